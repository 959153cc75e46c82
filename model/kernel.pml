/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Models the kernel for mirror.pml: locks, an mm and its users, the mmu interval
 * notifier, and vfio-pci's faults and zaps.
 *
 * The process's memory has two pieces. In each a VMA maps memory of the one device. A
 * range is a mask of pieces: 1 for piece 0, 2 for piece 1. A number stands for the VMA
 * of a piece: 0 no VMA, 1 the first VMA, 2 a VMA that was mapped there after the first.
 */
mtype = { CLEAR, UNMAP, RELEASE };	/* events */
#define LO	1
#define ALL	3

/* --- Locks. A thread that waits to write mmap_lock keeps new readers out. -- */

bool c_lock, mirror_lock, vma_lock;
bool memory_write;	/* memory_lock is held for writing; a reader is one step */
byte mmap_readers;
bool mmap_writer, mmap_wanted;

inline lock(l)	 { atomic { !l -> l = true } }
inline unlock(l) { l = false }

inline mmap_read_lock()   { atomic { !mmap_writer && !mmap_wanted -> mmap_readers++ } }
inline mmap_read_unlock() { mmap_readers-- }
inline mmap_write_lock()
{
	mmap_wanted = true;
	atomic { !mmap_writer && mmap_readers == 0 -> mmap_writer = true; mmap_wanted = false }
}
inline mmap_write_unlock() { mmap_writer = false }
inline mmap_downgrade()	   { mmap_writer = false; mmap_readers++ }

/* --- The mm ---------------------------------------------------------------- */

byte vma[2] = 1;	/* the VMA of each piece, as vma_lookup() finds it */
byte cpu[2] = 1;	/* the VMA by which the CPU can reach memory, maybe faulting */
bool pte[2];		/* do the page tables have an entry for the VMA? */
bool tracked[2];	/* in vfio-pci's vma_list (ZAP_LIST), else unused */
byte rounds;		/* how often the current zap has started over: see fault() */
bool mem = true;	/* the device's memory is on: decoding, no reset, in D0 */

byte mm_users = 1;	/* all threads of the process together hold one */
byte threads;		/* how many threads of the process exit() still waits for */
bool mm_dying;		/* the last user is gone: mm_end() runs */
bool mm_going;		/* RELEASE is over: mm_end() may free the page tables */
bool mm_dead;		/* mm_end() has finished */
bool foreign;		/* others hold mm_users, too: the mm may outlive the process */
bool exited;		/* waitpid() has returned */

/* --- mmu_interval_notifier: what it does under its spinlock is one d_step --- */

byte subs_seq = 2;	/* subscriptions->invalidate_seq */
byte subs_active;	/* active_invalidate_ranges */
bool others;		/* every event also hits a subscription of somebody else */
byte sub_seq;		/* interval_sub->invalidate_seq */
bool in_tree, deferred;	/* deferred: if in_tree, to be removed; else to be inserted */
byte inserted, removed;	/* how often the subscription was inserted, removed */

inline mmu_interval_notifier_insert()
{
	d_step {
		assert(mm_users > 0);
		if
		:: subs_active > 0 && (subs_seq & 1) -> deferred = true
		:: subs_active > 0 && !(subs_seq & 1) -> subs_seq++; in_tree = true
		:: else -> in_tree = true
		fi;
		sub_seq = (subs_active > 0 -> subs_seq : subs_seq - 1);
		inserted++
	}
}

inline mmu_interval_notifier_remove(seq)
{
	d_step {
		assert(inserted == removed + 1);
		seq = 0;
		if
		:: (subs_seq & 1) && !in_tree -> deferred = false
		:: (subs_seq & 1) && in_tree -> deferred = true; seq = subs_seq
		:: else -> assert(in_tree); in_tree = false
		fi
	}
	atomic { seq == 0 || subs_seq != seq -> seq = 0; removed++ }
}

inline mmu_interval_read_begin(seq)
{
	d_step { seq = sub_seq; waits = (sub_seq == subs_seq) }
	atomic { !waits || subs_seq != seq -> waits = false }
}

/* Begins an event: if the mirror is subscribed (hit), its notifier runs to its end. */
inline invalidate_range_start(range, event)
{
	d_step {
		subs_active++;
		hit = in_tree;
		subs_seq = (hit || others -> subs_seq | 1 : subs_seq);
		cur = subs_seq
	}
	if
	:: hit -> mirror_invalidate(range, event, cur)
	:: else
	fi
}

/* Ends the event. Between start and end the caller removes page-table entries. */
inline invalidate_range_end()
{
	d_step {
		subs_active--;
		if
		:: subs_active == 0 && (subs_seq & 1) ->
			subs_seq++;
			in_tree = (deferred -> !in_tree : in_tree);
			deferred = false
		:: else
		fi;
		hit = false;
		cur = 0
	}
}

/* mmput(). If it drops the last user, the process mm_end() runs. */
inline drop_user() { mm_users--; mm_dying = (mm_users == 0) }

/* --- vfio-pci ------------------------------------------------------------- */

/*
 * vfio_pci_mmap_fault(), with mmap_lock held. Sets ok if the page tables have an entry
 * then. If a thread faults during a zap by the list (ZAP_LIST), the zap starts over.
 * Zap and fault could so alternate for ever, without new states. Therefore, once a zap
 * has started over ROUNDS times, faults fail, as if memory were short.
 */
#define ROUNDS	2
inline fault(p, ok)
{
#ifdef ZAP_LIST
	lock(vma_lock);
#endif
	atomic {
		!memory_write;
		must(!mm_going, no_fault_while_page_tables_go);
		ok = (mem && rounds < ROUNDS);
		pte[p] = ok;
#ifdef ZAP_LIST
		tracked[p] = ok;
#endif
	}
#ifdef ZAP_LIST
	unlock(vma_lock);
#endif
}

inline clear_ptes(range)
{
	d_step {
		pte[0] = (range & 1 -> false : pte[0]);
		pte[1] = (range & 2 -> false : pte[1])
	}
}

/* munmap(). Called with mmap_lock held for writing; downgrades it, and drops it. */
inline munmap_locked(range)
{
	d_step {
		vma[0] = 0;
		vma[1] = ((range) == ALL -> 0 : vma[1]);
		mmap_downgrade()
	}
	invalidate_range_start(range, UNMAP);
	d_step {
		cpu[0] = 0;
		cpu[1] = ((range) == ALL -> 0 : cpu[1]);
		pte[0] = false;
		pte[1] = ((range) == ALL -> false : pte[1])
	}
	invalidate_range_end();
#ifdef ZAP_LIST
	lock(vma_lock);			/* vfio_pci_mmap_close() */
	d_step {
		tracked[0] = false;
		tracked[1] = ((range) == ALL -> false : tracked[1])
	}
	unlock(vma_lock);
#endif
	mmap_read_unlock()
}

#ifdef ZAP_LIST
/*
 * vfio-pci up to 6.9 finds an mm in its vma_list under vma_lock. It drops vma_lock,
 * takes the mm's mmap_lock, takes vma_lock again, and zaps the VMAs of that mm that are
 * in the list then. It starts over until the list is empty.
 */
inline zap_and_down_write(range)
{
	do
	:: lock(vma_lock);
	   if
	   :: !tracked[0] && !tracked[1] ->
		break
	   :: (tracked[0] || tracked[1]) && mm_users == 0 ->
		/* vfio-pci leaves the VMAs of an mm without users to exit_mmap() */
		d_step { tracked[0] = false; tracked[1] = false };
		break
	   :: atomic { (tracked[0] || tracked[1]) && mm_users > 0 ->
		mm_users++;	/* mmget_not_zero() */
		foreign = true }
		unlock(vma_lock)
	   fi;
	   mmap_read_lock();
	   lock(vma_lock);
	   d_step {
		range = tracked[0] + 2 * tracked[1];
		tracked[0] = false;
		tracked[1] = false
	   };
	   if
	   :: range ->
		invalidate_range_start(range, CLEAR);
		clear_ptes(range);
		invalidate_range_end();
		d_step { range = 0; rounds++ }
	   :: else
	   fi;
	   unlock(vma_lock);
	   mmap_read_unlock();
	   d_step { drop_user() };
	   /* if this is the last mmput(), vfio-pci waits until mm_end() is over */
end_put:   atomic { !mm_dying || mm_dead -> foreign = false }
	od;
	lock(memory_write);
	d_step { unlock(vma_lock); rounds = 0 }
}
#else
/* vfio-pci after 6.9: unmap_mapping_range() zaps the device's VMAs in any mm. */
inline zap_and_down_write(range)
{
	lock(memory_write);
	range = (cpu[0] != 0) + 2 * (cpu[1] != 0);
	if
	:: range ->
		invalidate_range_start(range, CLEAR);
		clear_ptes(range);
		invalidate_range_end();
		range = 0
	:: else
	fi
}
#endif
