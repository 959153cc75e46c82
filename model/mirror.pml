/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mirror protocol of module/mirror.c, for one mirror of two pieces in up to two
 * domains. An inline with the name of a function of the module models that function.
 *
 * With -DMUTANT_x the model breaks one rule of the protocol: model/run checks that a
 * property is violated then.
 */
mtype = { OK, EAGAIN, EBUSY, EFAULT, EINTR, ENOMEM };

/* Each domain: has a group, is in container->domains, has been freed */
bool attached[2], listed[2], freed[2];

/* Page tables: the VMA (kernel.pml) whose memory domain d maps for piece p, or 0 */
byte entry[4];
#define ENTRY(d, p)	entry[2 * (d) + (p)]

/* Removed entries that the IOTLB may still have until a flush (domain->gather) */
byte iotlb[4];
#define IOTLB(d, p)	iotlb[2 * (d) + (p)]

/*
 * A group joins or leaves a domain that is in the list. regrouping: the module's flag,
 * for which revocation waits. group_moves: a group moves just now; revocation must not
 * run.
 */
bool regrouping, group_moves;

/* struct mirror, and whether its mapping is in the tree */
bool allocated, mapped;
byte pieces;		/* mask of the pieces that it still has; 0: GONE */
byte extents[2];	/* the VMA that it maps in each piece, or 0; any: LIVE */
bool cuts;		/* it has given up pieces */
bool awaits;		/* waits for restore */
bool looking;		/* container->looking_at is the mm: restore uses its VMAs */
#define IS_LIVE		(extents[0] || extents[1])

/* Only for the properties; the module has no such state */
byte was[2];		/* the VMAs that the user mapped for DMA */

/* --- Revoking: mirror_lock held -------------------------------------------- */

inline domain_unmap_unflushed(d)
{
	if
	:: listed[d] ->
		must(!freed[d], no_use_of_a_freed_domain);
		must(!group_moves, no_revocation_while_regrouping);
		must(ENTRY(d, 0) == extents[0] && ENTRY(d, 1) == extents[1],
		     listed_domains_have_the_extents);
		IOTLB(d, 0) = (extents[0] -> extents[0] : IOTLB(d, 0));
		IOTLB(d, 1) = (extents[1] -> extents[1] : IOTLB(d, 1));
		ENTRY(d, 0) = 0;
		ENTRY(d, 1) = 0
	:: else
	fi
}

inline flush(d)
{
	if
	:: listed[d] && (IOTLB(d, 0) || IOTLB(d, 1)) ->
		must(!freed[d], no_use_of_a_freed_domain);
		must(!group_moves, no_revocation_while_regrouping);
		IOTLB(d, 0) = 0;
		IOTLB(d, 1) = 0
	:: else
	fi
}

inline domains_flush() { flush(0); flush(1) }

inline revoke_unflushed()
{
	if
	:: IS_LIVE ->
		domain_unmap_unflushed(0);
		domain_unmap_unflushed(1);
		extents[0] = 0;
		extents[1] = 0
	:: else
	fi
}

inline revoke() { revoke_unflushed(); domains_flush() }

/*
 * Gives up the pieces in the range; with -DFAILURES maybe all pieces, since the module
 * does so if it has no memory to record a hole, or too many holes.
 */
inline give_up(range)
{
	if
	:: pieces = pieces & (ALL - (range))
#ifdef FAILURES
	:: pieces = 0
#endif
	fi;
	cuts = true;
	awaits = (pieces && awaits)
}

#ifdef MUTANT_regroup_unawaited
#define MAY_REVOKE	(!mirror_lock)
#else
#define MAY_REVOKE	(!mirror_lock && !regrouping)	/* lock_for_revocation() */
#endif

/*
 * If the mirror gives up pieces, mirror_invalidate_start() itself flushes. The mirror
 * ignores later zaps of these pieces, so such a zap would not wait for a flush in the
 * second pass.
 */
#if defined(MUTANT_give_up_unflushed) || defined(MUTANT_flush_late)
#define FLUSH_FIRST(event)
#else
#define FLUSH_FIRST(event)	|| event != CLEAR
#endif

/*
 * mirror_invalidate_start(), and mirror_invalidate_finish() if start has left entries
 * to flush. Each process that invalidates declares the local variables hit, cur and
 * finish.
 */
inline mirror_invalidate(range, event, seq)
{
	atomic { !mirror_lock;
		must(allocated, no_callback_after_free);
		finish = (pieces & (range) -> true : false)	/* concerns() */
	}
	if
	:: finish ->
		atomic { MAY_REVOKE;
			must(allocated, no_callback_after_free);
			finish = false;
			if
			:: pieces & (range) ->
#ifndef MUTANT_no_set_seq
				sub_seq = seq;	/* mmu_interval_set_seq() */
#endif
				finish = IS_LIVE;
				revoke_unflushed();
				if
				:: !finish FLUSH_FIRST(event) ->
					domains_flush();
					finish = false
				:: else
				fi;
#ifndef MUTANT_no_shrink
				if
				:: event != CLEAR -> give_up(range)
				:: else
				fi;
#endif
#ifndef MUTANT_no_await
				awaits = (pieces != 0);	/* await_restore() */
#endif
				skip
			:: else
			fi
		}
	:: else
	fi;
	if
	:: finish ->
#ifndef MUTANT_flush_late
		atomic { MAY_REVOKE;
			must(allocated, no_callback_after_free);
			domains_flush();
			finish = false
		}
#else
		finish = false
#endif
	:: else
	fi;
#ifndef MUTANT_no_await_look
	if
	:: event == RELEASE && looking ->
		mmap_write_lock();	/* owner_await_look() */
		mmap_write_unlock()
	:: else
	fi
#endif
}

/* --- Establishing: container->lock held ------------------------------------
 *
 * Each process that establishes declares the local variables restoring, ret, seq,
 * waits, ok, tries, no_room and ex[2].
 */

#ifdef MUTANT_look_unchecked
#define MAY_LOOK	true
#else
#define MAY_LOOK	(mm_users > 0)
#endif

/*
 * Takes mmap_lock for reading. Restore holds no mm_users, so it uses
 * owner_look_begin(), which fails if a writer has or awaits the lock, or if the mm has
 * no users. map() waits for the lock.
 */
inline lock_to_resolve()
{
	if
	:: !restoring ->
		mmap_read_lock()
	:: restoring ->
		atomic { if
		:: mmap_writer || mmap_wanted -> ret = EBUSY; ok = false
		:: !mmap_writer && !mmap_wanted && !MAY_LOOK -> ret = EFAULT; ok = false
		:: !mmap_writer && !mmap_wanted && MAY_LOOK -> mmap_readers++
		fi }
	fi
}

/* find_piece(), then backing_resolve(): faults piece p in and sets ex[p] to its VMA */
inline resolve_piece(p)
{
	atomic { !mirror_lock -> ok = (ret == OK && (pieces >> p) & 1) }
	if
	:: ok -> lock_to_resolve()
	:: else
	fi;
	if
	:: ok ->
		atomic {
			if
			:: vma[p] == 0 -> ret = EFAULT; ok = false /* still_is() */
			:: vma[p] && pte[p] -> ex[p] = vma[p]; ok = false
			:: vma[p] && !pte[p] && restoring && (memory_write || !mem) ->
				ret = EBUSY; ok = false		/* worth_a_fault() */
			:: else
			fi
		}
		if
		:: ok ->
#ifndef MUTANT_no_fault
			fault(p, ok);
#endif
			ex[p] = (ok -> vma[p] : 0);
			ret = (ok -> OK : EFAULT);
			ok = false
		:: else
		fi;
		mmap_read_unlock()
	:: else
	fi
}

inline resolve()
{
	ret = OK;
	resolve_piece(0);
	resolve_piece(1);
	if
	:: ret == OK && !ex[0] && !ex[1] -> ret = EFAULT
	:: else
	fi
}

inline domain_map(d)
{
	d_step { if
	:: listed[d] ->
		must(!freed[d], no_use_of_a_freed_domain);
		ENTRY(d, 0) = ex[0];
		ENTRY(d, 1) = ex[1]
	:: else
	fi }
}

inline enter()
{
	must(!restoring || ((!ex[0] || ex[0] == was[0]) && (!ex[1] || ex[1] == was[1])),
	     no_restore_of_another_vma);
	domain_map(0);
	domain_map(1);
	d_step {
		extents[0] = ex[0];
		extents[1] = ex[1];
		awaits = false;
		was[0] = (restoring -> was[0] : ex[0]);
		was[1] = (restoring -> was[1] : ex[1])
	}
}

/* The IOMMU driver lacks memory to map in domain 1: maps in domain 0, undoes that. */
inline enter_fails()
{
	domain_map(0);
	d_step { if
	:: listed[0] -> ENTRY(0, 0) = 0; ENTRY(0, 1) = 0
	:: else
	fi }
}

#ifdef MUTANT_no_retry
#define READ_RETRY	false
#else
#define READ_RETRY	(sub_seq != seq)	/* mmu_interval_read_retry() */
#endif
#ifdef MUTANT_no_users_check
#define NO_USERS	false
#else
#define NO_USERS	(mm_users == 0)
#endif

inline commit()
{
	do
	:: lock(mirror_lock);
	   must(allocated, no_use_of_a_freed_mirror);
	   if
	   :: READ_RETRY ->
		ret = EAGAIN
	   :: !READ_RETRY && NO_USERS ->
		ret = EFAULT
	   :: !READ_RETRY && !NO_USERS ->
#ifdef MUTANT_drop_lock
		unlock(mirror_lock);
		lock(mirror_lock);
#endif
		if
		:: enter(); ret = OK
#ifdef FAILURES
		:: !no_room -> enter_fails(); ret = ENOMEM
#endif
		fi
	   fi;
	   unlock(mirror_lock);
	   if
	   :: ret == ENOMEM -> no_room = true	/* make_room(), and try again */
	   :: else -> break
	   fi
	od;
	no_room = false
}

inline establish()
{
	do
#ifdef FAILURES
	:: !restoring -> ret = EINTR; break	/* fatal_signal_pending() */
#endif
	:: must(allocated, no_use_of_a_freed_mirror);
	   mmu_interval_read_begin(seq);
	   resolve();
	   if
	   :: ret == OK -> commit()
	   :: else
	   fi;
	   d_step { ex[0] = 0; ex[1] = 0; seq = 0; tries = tries + restoring };
	   if
	   :: ret != EAGAIN || tries == RESTORE_TRIES -> break
	   :: else
	   fi
	od;
	tries = 0
}

/* --- Mapping and unmapping, and domains: container->lock held -------------- */

inline mirror_unmap()
{
#ifdef MUTANT_remove_first
	mmu_interval_notifier_remove(seq);
#endif
	atomic {
		lock(mirror_lock);
		revoke();
		pieces = 0;			/* set_gone() */
		awaits = false
	}
#ifdef MUTANT_remove_locked
	mmu_interval_notifier_remove(seq);
#endif
	unlock(mirror_lock);
#if !defined(MUTANT_remove_first) && !defined(MUTANT_remove_locked)
	mmu_interval_notifier_remove(seq);
#endif
	allocated = false
}

inline mirror_map()
{
	mmap_read_lock();
	ret = (vma[0] && vma[1] -> OK : EFAULT);	/* backing_find() */
	mmap_read_unlock();
	if
	:: ret == OK ->
		d_step { allocated = true; pieces = ALL };
		mmu_interval_notifier_insert();
		establish();
		ret = (ret == OK && cuts -> EFAULT : ret);
		if
		:: ret == OK -> mapped = true
		:: else -> mirror_unmap()
		fi
	:: else
	fi
}

inline set_regrouping(on)
{
	atomic { !mirror_lock -> regrouping = on }
}

inline mirror_join(d)
{
	lock(mirror_lock);
	if
	:: mapped ->
		d_step { ENTRY(d, 0) = extents[0]; ENTRY(d, 1) = extents[1] }
	:: else
	fi;
#ifdef MUTANT_join_outside
	unlock(mirror_lock);
	lock(mirror_lock);
#endif
	listed[d] = true;
	unlock(mirror_lock)
}

inline unlist(d)
{
	atomic { !mirror_lock -> flush(d); listed[d] = false }
}
