/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The processes that act on one container, and the properties that must hold. Flags
 * select the processes; model/run lists the flags of each scenario:
 *
 *	ZAPS=n		device memory goes off and on again n times
 *	ZAP_LIST	vfio-pci zaps as it did up to Linux 6.9, not as later
 *	UNMAP_IOCTL	VFIO_IOMMU_UNMAP_DMA removes the mapping
 *	MUNMAP		the process munmaps the first piece, and mmaps another VMA there
 *	MUNMAP_ALL	with MUNMAP: the one munmap() removes both pieces
 *	EXIT		the process exits
 *	ATTACH		a second domain is added; then the domains are removed, in any order
 *	FAILURES	allocations fail, and fatal signals arrive
 *	SIBLING		the container has another mirror of the mm, live until RELEASE
 *	OTHERS		the mm has another notifier subscription, which every event hits
 *	PIN		tether takes and drops mm_users for a pin of an emulated device
 *	AIO		the end of the mm hangs: exit_aio() waits for a read for ever
 *	WATCH		the watch, which exists with ZAP_LIST, finds mms without users
 */
#ifndef ZAPS
#define ZAPS	0
#endif
#ifndef RESTORE_TRIES
#define RESTORE_TRIES	2
#endif

/*
 * Spin prints the text of a failed assertion. Each property's name is a variable that
 * is always false, so it does not change the condition, but is in that text.
 */
#define must(cond, name)	assert((cond) || name)
bool dma_reaches_only_what_the_cpu_does;
bool nothing_live_after_unmap;
bool nothing_live_after_exit;
bool nothing_live_without_mirror;
bool notifier_removed_once;
bool no_use_of_a_freed_domain;
bool no_use_of_a_freed_mirror;
bool no_callback_after_free;
bool no_restore_of_another_vma;
bool listed_domains_have_the_extents;
bool no_revocation_while_regrouping;
bool no_fault_while_page_tables_go;
bool nothing_live_after_the_watch;

#include "kernel.pml"
#include "mirror.pml"

bool sibling;		/* the second mirror (SIBLING) is live */
bool watched;		/* the watch has found that the mm has no users */
bool unmapped;		/* VFIO_IOMMU_UNMAP_DMA has returned */
byte busy;		/* how many processes that interfere with restore() still run */

/* --- The processes ----------------------------------------------------------- */

/* VFIO_IOMMU_MAP_DMA by a thread of the process */
proctype map()
{
	bool restoring, waits, ok, no_room;
	byte seq, tries, ex[2];
	mtype ret = OK;

	lock(c_lock);
	if
	:: listed[0] || listed[1] -> mirror_map()
	:: else
	fi;
	unlock(c_lock);
#ifdef SIBLING
	sibling = true;
#endif
	d_step { threads--; busy-- }
}

/* VFIO_IOMMU_UNMAP_DMA, maybe by another process that has the container's file open */
proctype unmap()
{
	byte seq;

	lock(c_lock);
	if
	:: mapped -> mapped = false; mirror_unmap(); unmapped = true
	:: else
	fi;
	unlock(c_lock);
	busy--
}

/* restore_work(): tries again for as long as the mirror waits for restore */
proctype restore()
{
	bool restoring = true, waits, ok, no_room;
	byte seq, tries, ex[2];
	mtype ret = OK;

end:	do
	:: awaits ->
#ifndef MUTANT_restore_unlocked
		lock(c_lock);
#endif
		atomic { !mirror_lock -> ok = awaits; looking = awaits }	/* next_due() */
		if
		:: ok ->
			ok = false;
			establish();
			atomic { !mirror_lock -> looking = false }
		:: else
		fi;
#ifndef MUTANT_restore_unlocked
		unlock(c_lock)
#endif
	od
}

/* vfio-pci turns the device's memory off and on: a write to PCI_COMMAND, or a reset */
proctype zapper()
{
	bool hit, finish;
	byte cur, range, n;

	do
	:: n < ZAPS ->
		zap_and_down_write(range);
		mem = false;
		if
		:: unlock(memory_write); lock(memory_write)
		:: skip		/* a reset keeps memory_lock until the memory is on */
		fi;
		mem = true;
		unlock(memory_write);
		n++
	:: else -> break
	od;
	busy--
}

#ifdef MUNMAP_ALL
#define CUT	ALL
#else
#define CUT	LO
#endif

/* munmap() the first piece or both; mmap() in place of the first; maybe munmap() it */
proctype munmapper()
{
	bool hit, finish;
	byte cur;

	mmap_write_lock();
	if
	:: invalidate_range_start(LO, CLEAR);	/* a VMA split: vfio_pci_mmap_open() */
	   clear_ptes(LO);
	   invalidate_range_end()
	:: skip
	fi;
	munmap_locked(CUT);

	mmap_write_lock();
	d_step { vma[0] = 2; cpu[0] = 2 };
	mmap_write_unlock();

	if
	:: mmap_write_lock(); munmap_locked(LO)
	:: skip
	fi;
	d_step { threads--; busy-- }
}

/* The last thread of the process exits: mmput(), and waits for mm_end() if that runs */
proctype exit()
{
	threads == 0;
	d_step { drop_user() }
#ifdef AIO
end:
#endif
	!mm_dying || mm_dead;
	exited = true;
	busy--
}

/*
 * A pin of an emulated device: owner_use(), owner_let_go(). If tether's is the last
 * mmput(), another thread makes it, so this process does not wait for mm_end(). The mm
 * then outlives waitpid(), so the mirror may be live after it (foreign).
 */
proctype pin()
{
	bool used;

	lock(c_lock);
	d_step { if
	:: mm_users > 0 -> mm_users++; used = true; foreign = true
	:: else
	fi };
	if
	:: used ->
		d_step { drop_user() };
#ifdef MUTANT_put_inline
		!mm_dying || mm_dead;
#endif
		d_step { foreign = mm_dying }
	:: else
	fi;
	unlock(c_lock);
	busy--
}

/* watch_work(): revokes the mirrors of an mm without users */
proctype watch()
{
end:	atomic { mm_dying && MAY_REVOKE ->
#ifndef MUTANT_watch_by_zap
		if
		:: IS_LIVE -> revoke(); pieces = 0; awaits = false
		:: else
		fi;
#endif
		watched = true
	}
}

/* __mmput(): ends the mm. The process that dropped the last user waits for it. */
proctype mm_end()
{
	bool hit, finish;
	byte cur;

end:	mm_dying;
#ifdef AIO
end_aio: false;
#endif
	invalidate_range_start(ALL, RELEASE);
	sibling = false;
	invalidate_range_end();
	mm_going = true;
	mmap_read_lock();
	invalidate_range_start(ALL, UNMAP);
	d_step { cpu[0] = 0; cpu[1] = 0; pte[0] = false; pte[1] = false };
	invalidate_range_end();
	mmap_read_unlock();
	lock(vma_lock);
	d_step { vma[0] = 0; vma[1] = 0; tracked[0] = false; tracked[1] = false };
	unlock(vma_lock);
	mm_dead = true
}

#ifdef MUTANT_flush_late
proctype late_flush()
{
end:	do
	:: atomic { !mirror_lock && (iotlb[0] || iotlb[1] || iotlb[2] || iotlb[3]) ->
		domains_flush() }
	od
}
#endif

inline detach(d)
{
	set_regrouping(true);
	group_moves = true;
	d_step { attached[d] = false; group_moves = false }
	set_regrouping(false);
	if
	:: mapped && !listed[1 - d] -> mapped = false; mirror_unmap()
	:: else
	fi;
#ifdef MUTANT_free_first
	freed[d] = true;
	unlist(d)
#else
	unlist(d);
	freed[d] = true
#endif
}

/*
 * Attaches a group that joins domain 0, then one that gets domain 1, since it cannot
 * share domain 0. Then detaches the groups of none, one or both of the domains, in any
 * order.
 */
proctype attacher()
{
	bool hit, finish;
	byte seq, n, cur;

	lock(c_lock);
	set_regrouping(true);
	group_moves = true;
	if
	:: !(pieces & LO) ->
		/*
		 * Attaching allocates, so it may reclaim memory that the process has
		 * mapped in place of a piece that the mirror has given up.
		 */
		invalidate_range_start(LO, CLEAR);
		invalidate_range_end()
	:: skip
	fi;
	group_moves = false;
	set_regrouping(false);
	attached[1] = true;
	mirror_join(1);
	unlock(c_lock);
	do
	:: n < 2 ->
		lock(c_lock);
		if
		:: listed[0] -> detach(0)
		:: listed[1] -> detach(1)
		fi;
		unlock(c_lock);
		n++
	:: break
	od;
	busy--
}

init
{
	d_step {
		attached[0] = true;
		listed[0] = true
	};
#ifdef OTHERS
	others = true;
#endif
	atomic {
		run map(); run restore(); busy++; threads++;
#ifdef MUTANT_flush_late
		run late_flush();
#endif
#ifdef UNMAP_IOCTL
		run unmap(); busy++;
#endif
#if ZAPS
		run zapper(); busy++;
#endif
#ifdef MUNMAP
		run munmapper(); busy++; threads++;
#endif
#ifdef EXIT
		run exit(); run mm_end(); busy++;
#endif
#ifdef ATTACH
		run attacher(); busy++;
#endif
#ifdef PIN
		run pin(); busy++;
#endif
#ifdef WATCH
		run watch();
#endif
		skip
	}
}

/* --- What must hold -------------------------------------------------------- */

#define REACHES(d, p)	(attached[d] && (ENTRY(d, p) || IOTLB(d, p)))
#define REACHES_ANY	(REACHES(0, 0) || REACHES(0, 1) || REACHES(1, 0) || REACHES(1, 1))

/*
 * Up to 6.9 vfio-pci does not zap the VMAs of an mm without users: it turns the memory
 * off while that mm's page tables still map it, and no notifier is called. So here the
 * memory counts as on until the watch has found the mm. With -DDYING it counts as off,
 * so that spin shows the violation; with -DWATCH spin shows that the watch ends it.
 */
#if defined(ZAP_LIST) && !defined(DYING)
#define IS_ON		(mem || (mm_dying && !mm_dead && !watched))
#else
#define IS_ON		mem
#endif
#define WRONG(e, c)	(e && e != c)
#define STALE(d, p)	(REACHES(d, p) && (!IS_ON || WRONG(ENTRY(d, p), cpu[p]) || \
					  WRONG(IOTLB(d, p), cpu[p])))

#ifndef LIVENESS
active proctype monitor()
{
end:	if
	:: atomic { STALE(0, 0) || STALE(0, 1) || STALE(1, 0) || STALE(1, 1) ->
		must(false, dma_reaches_only_what_the_cpu_does) }
	:: atomic { unmapped && REACHES_ANY ->
		must(false, nothing_live_after_unmap) }
	:: atomic { exited && !foreign && (REACHES_ANY || sibling) ->
		must(false, nothing_live_after_exit) }
	:: atomic { watched && IS_LIVE ->
		must(false, nothing_live_after_the_watch) }
	:: atomic { inserted != removed + allocated && !c_lock ->
		must(false, notifier_removed_once) }
	fi
}

#else
/* Once nothing interferes with restore(), all pieces left have to become LIVE. */
#define BACK(p)		((extents[p] != 0) == ((pieces >> p) & 1))
ltl what_is_there_comes_back { [] (busy == 0 -> <> (!allocated || (BACK(0) && BACK(1)))) }
#endif
