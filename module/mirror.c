// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mirrors: segments of device memory, which the IOMMU maps only while the process that
 * mapped them does.
 *
 * The invariant
 *
 *	At every instant, the memory that a container's domains let devices
 *	reach through a mirror is a subset of the memory that the process's own
 *	VMAs let its CPUs reach.
 *
 * A BAR cannot be pinned as RAM can. But the process's VMA keeps the device open,
 * and the kernel calls mmu notifiers before it removes any page-table entry of that
 * VMA: when the VMA is unmapped or changed, and when the device's driver zaps the VMA
 * before it turns memory decoding off, resets the device, or puts it into low power.
 * So each mirror has a notifier for its range of user addresses, whose callback
 * removes the mirror's IOMMU entries and flushes the IOTLB before it returns. A mirror
 * holds no reference to the device, since that would make a cycle of references
 * (container, mapping, device, container).
 *
 * States of a mirror
 *
 *	LIVE	has extents, and they are in every domain of the container
 *	REVOKED	has no extents; waits in container->revoked, or in the list of its
 *		open device (struct source), until restore establishes it again
 *	GONE	has lost all of its user addresses for good, so it is never LIVE
 *		again. VFIO_IOMMU_UNMAP_DMA still counts its bytes.
 *
 * Establishing (map and restore; container->lock held)
 *
 *	seq = mmu_interval_read_begin()
 *	under mmap_lock: check that the VMAs are still those that were mapped,
 *		fault them in, and read the extents from the page tables
 *	under mirror_lock: if mmu_interval_read_retry(seq) says that no
 *		invalidation came, map the extents in every domain
 *
 * Revoking (the notifier; any thread, maybe under mmap_lock)
 *
 *	under mirror_lock: mmu_interval_set_seq(), unmap all extents
 *	under mirror_lock: flush. On kernels whose notifiers have two passes, the
 *		second pass flushes, once for all mirrors. A callback that finds no
 *		extents flushes, too, since another callback may have unmapped some
 *		and not have flushed yet
 *
 * Establishing and revoking both end in a critical section of mirror_lock. So if an
 * invalidation begins after mmu_interval_read_begin(), either its callback finds the
 * entries and removes them, or the callback has set the sequence number before
 * mmu_interval_read_retry() compares it, and establishing starts over. If an
 * invalidation began earlier, mmu_interval_read_begin() waits until it is over.
 *
 * Revoking removes whole extents, never a part of one, because IOMMU drivers
 * differ in what they do if asked to unmap half a large page. Restore maps the
 * parts again whose memory the process has not lost.
 *
 * An UNMAP event names user addresses whose VMA is being removed. A VMA that is
 * made there later may map anything. So the callback takes these addresses for good
 * out of the mirror's pieces, the ranges of user addresses that the mirror still has.
 * An address in a piece therefore still belongs to the VMA that was mapped, or to a
 * VMA split from it.
 *
 * Any other event leaves the VMA in place. The device's memory may be turned on again
 * later, and no notification says so, so restore has to try. It first tries when a
 * burst of zaps is over: a VMM resets a device in several steps, and vfio-pci gives up
 * a hot reset if a thread faults the device's memory in meanwhile. If restore finds the
 * memory off, the mirror waits with the other mirrors of the same open device, their
 * source. Restore checks each such source every 10 ms with one VMA lookup and a few
 * reads, however many mirrors wait; once a check finds the memory on, restore tries all
 * of them at once. If a check cannot tell whether a mirror's memory is on, restore
 * tries that mirror at times of its own, often at first and then more rarely.
 *
 * One work item restores all mirrors of a container, on a workqueue of the container's
 * own. It takes container->lock for one mirror at a time, so no mirror is freed while
 * restore uses it. It takes container->lock with trylock only, and mmap_lock with
 * trylock until that has failed LOOK_MISSES_MAX times in a row. It holds no reference
 * to the mm (owner.c), and never waits for a device's reset. So a user can make restore
 * wait only for an invalidation or for mmap_lock, and that delays only the restore of
 * this user's container.
 *
 * Up to Linux 6.9, when vfio-pci turns memory off, it does not zap the VMAs of an mm
 * without users (mm_users is 0), so no notifier is called. The mm of an exiting process
 * is in this state for as long as exit_aio() waits for the process's reads. An mm
 * without users never gets users again, so its mirrors are not needed any more. So on
 * those kernels a second work item, the watch, looks every 10 ms for sources whose mm
 * has no users, and revokes their mirrors for good.
 *
 * Locks: container->mirror_lock guards every field of struct mirror and struct source
 * that changes (except source->nr), container->revoked, and the domain list as this
 * file reads it; container.h says what a thread that holds it must not do.
 * mmu_interval_notifier_remove() waits for callbacks, and these take mirror_lock. So
 * this file calls it without mirror_lock. Before the call it makes the mirror GONE: if
 * it removed the notifier first, the process could lose the memory while the entries
 * are still in the IOMMU, and no callback would remove them.
 */
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/memcontrol.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timerqueue.h>
#include <linux/workqueue.h>

#include "backing.h"
#include "compat/compat.h"
#include "container.h"
#include "domain.h"
#include "events.h"
#include "extent.h"
#include "mirror.h"
#include "owner.h"
#include "reason.h"
#include "span.h"
#include "stats.h"
#include "trace.h"
#include "tree.h"

/*
 * For allocations under mirror_lock. They must not reclaim memory, since reclaim may
 * call a notifier, which takes mirror_lock. If an allocation fails, the caller drops
 * mirror_lock, calls make_room(), and starts over, at most ROOM_TRIES times.
 */
#define GFP_MIRROR	(GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT)
#define ROOM_TRIES	8

/*
 * For make_room(), which does not hold mirror_lock: the allocation may reclaim memory,
 * but fails rather than invoke the OOM killer.
 */
#define GFP_ROOM	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* How many tries one attempt of restore has, if an invalidation disturbs each try. */
#define RESTORE_TRIES	4

/*
 * With TETHER_NO_REVOKE, notifiers and the watch revoke nothing. Only one build for
 * tests may define it, to prove that the tests notice memory that is not revoked.
 */
#ifdef TETHER_NO_REVOKE
#define REVOKES		false
#else
#define REVOKES		true
#endif

/*
 * How long after a revocation restore first tries the mirror: QUIET_NS after a zap,
 * to let a burst of zaps end, and SOON_NS after any other event.
 */
#define QUIET_NS	(10 * NSEC_PER_MSEC)
#define SOON_NS		(1 * NSEC_PER_MSEC)

/* The time between two checks whether a source's memory, found off, is on again. */
#define LOOK_NS		(10 * NSEC_PER_MSEC)

/* The time between two runs of watch_work(), which finds processes that are ending. */
#define WATCH_MS	10

/*
 * A run of the restore work ends when its checks and failed attempts have taken
 * WASTE_NS together. Then restore rests for RESTS times as long as they took.
 */
#define WASTE_NS	(2 * NSEC_PER_MSEC)
#define RESTS		3

/*
 * How often restore may find container->lock taken before container_lock() makes other
 * threads wait until restore has had the lock.
 */
#define MISSES_MAX	4

/*
 * How often in a row restore may find mmap_lock taken before it waits for the lock.
 * With trylock alone, threads that map and unmap all the time could keep restore from
 * it for ever.
 */
#define LOOK_MISSES_MAX	16

/*
 * A mirror that has lost addresses to more UNMAP events than this gives up its other
 * addresses, too. That bounds the number of its pieces.
 */
#define CUTS_MAX	1024

/**
 * struct source - One open device whose memory mirrors of one mm map
 * @node: in container->sources
 * @state: while mirrors are in @waiting: in container->off, or in container->on once
 *	   a check has found the memory on and restore is to try these mirrors; else
 *	   in no list
 * @mm: the mm; the mirrors' notifiers keep struct mm_struct allocated
 * @file: the device's file; only compared, since no reference to it is held
 * @nr: how many mirrors have this source; under container->lock
 * @live: list of the mirrors of this source that are LIVE
 * @waiting: list of the mirrors of this source that wait until its memory is on
 * @next_look: while the source is in container->off, when restore is to check it next
 *
 * mirror_lock guards each field for which no other lock is named.
 */
struct source {
	struct list_head node;
	struct list_head state;
	struct mm_struct *mm;
	const struct file *file;
	unsigned int nr;
	struct list_head live;
	struct list_head waiting;
	ktime_t next_look;
};

/**
 * struct mirror - A segment of device memory
 * @seg: its place in the mapping
 * @container: the container in whose domains the mirror is mapped
 * @notifier: has the kernel call this file before page-table entries of the user range,
 *	      @seg.size bytes from @first, are removed
 * @first: first user address, without its tag (untagged_addr())
 * @backing: the device memory that was mapped; set once
 * @pieces: spans of the user addresses that the mirror has not lost to UNMAP events; if
 *	    empty, the mirror is GONE
 * @cuts: number of UNMAP events that took addresses out of @pieces; written under
 *	  mirror_lock, read without it
 * @finish: given to the kernel for the second pass of an invalidation. One is enough:
 *	    only a LIVE mirror uses it, and the mirror cannot be LIVE again until that
 *	    second pass is over
 * @extents: the extents that are in the IOMMU; if there are any, the mirror is LIVE
 * @revoked_at: when an event last made the mirror wait for restore
 * @away_since: when the mirror, or the one it replaced, stopped being LIVE; 0 while
 *		the mirror is LIVE, and before it was LIVE for the first time unless
 *		it replaced one
 * @revocations: how often it stopped being LIVE
 * @source: the open device that the memory belongs to
 * @at: in source->live while the mirror is LIVE, in source->waiting while it waits
 *	until the memory is on, else in no list
 * @retry: in container->revoked while restore is to try the mirror at a time of its
 *	   own, @retry.expires
 */
struct mirror {
	struct segment seg;
	struct container *container;
	struct mmu_interval_notifier notifier;
	unsigned long first;
	struct backing backing;
	struct list_head pieces;
	unsigned int cuts;
	struct mmu_interval_notifier_finish finish;
	struct extents extents;
	ktime_t revoked_at;
	ktime_t away_since;
	unsigned int revocations;
	struct source *source;
	struct list_head at;
	struct timerqueue_node retry;
};

/*
 * Runs watch_work() of all containers. They share the queue, since watch_work() never
 * waits for anything that a user does, so no user can delay another container's watch.
 */
static struct workqueue_struct *watch_wq;

static struct mirror *to_mirror(struct segment *s)
{
	return container_of(s, struct mirror, seg);
}

static bool mirror_is_gone(const struct mirror *m)
{
	return list_empty(&m->pieces);
}

/*
 * The file of another driver than VFIO's may have RAM behind it. Devices access RAM
 * through the CPU's caches (IOMMU_CACHE), and other memory as MMIO.
 */
static int mirror_prot(const struct mirror *m, const struct extent *e)
{
	bool ram = !m->backing.vfio && pfn_valid(PHYS_PFN(e->phys));

	return m->seg.mapping->prot | (ram ? IOMMU_CACHE : IOMMU_MMIO);
}

/* --- Revoking: mirror_lock held --------------------------------------- */

/*
 * Remove the mirror's IOMMU entries. Returns true if there were any; then the caller
 * has to call domains_flush(), and devices may still reach the memory until it has.
 */
static bool mirror_revoke_unflushed(struct mirror *m)
{
	lockdep_assert_held(&m->container->mirror_lock);
	if (!m->extents.nr)
		return false;
	domains_unmap_unflushed(m->container, &m->extents, SEGMENT_MIRROR);
	extents_free(&m->extents);
	list_del_init(&m->at);
	return true;
}

/*
 * Remove the mirror's IOMMU entries, and flush. The flush includes entries that another
 * thread has removed and not flushed yet.
 */
static void mirror_revoke(struct mirror *m)
{
	mirror_revoke_unflushed(m);
	domains_flush(m->container, SEGMENT_MIRROR);
}

static bool mirror_awaits_time(const struct mirror *m)
{
	return !RB_EMPTY_NODE(&m->retry.node);
}

static bool mirror_awaits_memory(const struct mirror *m)
{
	return !m->extents.nr && !list_empty(&m->at);
}

static void mirror_unqueue(struct mirror *m)
{
	struct container *c = m->container;

	lockdep_assert_held(&m->container->mirror_lock);
	if (mirror_awaits_time(m)) {
		timerqueue_del(&c->revoked, &m->retry);
		c->nr_revoked--;
	} else if (mirror_awaits_memory(m)) {
		list_del_init(&m->at);
		if (list_empty(&m->source->waiting))
			list_del_init(&m->source->state);
		c->nr_revoked--;
	}
}

static void mirror_set_gone(struct mirror *m)
{
	lockdep_assert_held(&m->container->mirror_lock);
	spans_free(&m->pieces);
	mirror_unqueue(m);
}

/*
 * Take user addresses out of the mirror for good: a VMA that is made there later may
 * not map the memory that the mirror was made for. After CUTS_MAX such events, or if no
 * memory can be allocated to split a piece, take all addresses out.
 */
static void mirror_drop_range(struct mirror *m, unsigned long first,
			      unsigned long last)
{
	lockdep_assert_held(&m->container->mirror_lock);
	WRITE_ONCE(m->cuts, m->cuts + 1);
	if (m->cuts > CUTS_MAX ||
	    spans_exclude(&m->pieces, first, last, GFP_MIRROR))
		spans_free(&m->pieces);
	if (mirror_is_gone(m))
		mirror_set_gone(m);
}

static void mirror_queue_until(struct mirror *m, ktime_t when)
{
	lockdep_assert_held(&m->container->mirror_lock);
	mirror_unqueue(m);
	m->retry.expires = when;
	timerqueue_add(&m->container->revoked, &m->retry);
	m->container->nr_revoked++;
}

/*
 * Restore has found the mirror's memory off. Queue the mirror with its source: restore
 * checks the source, once for all mirrors that wait for it, and tries them when a check
 * finds the memory on.
 */
static void mirror_queue_for_memory(struct mirror *m)
{
	struct source *s = m->source;

	lockdep_assert_held(&m->container->mirror_lock);
	mirror_unqueue(m);
	if (list_empty(&s->waiting))
		s->next_look = ktime_add_ns(ktime_get(), LOOK_NS);
	list_add_tail(&m->at, &s->waiting);
	list_move_tail(&s->state, &m->container->off);
	m->container->nr_revoked++;
}

/*
 * The time of restore's next attempt or check: 0 if it is due now, KTIME_MAX if there
 * is none. Sources in container->off are checked in turn, so the first one is due
 * first.
 */
static ktime_t restore_due(struct container *c)
{
	struct timerqueue_node *next = timerqueue_getnext(&c->revoked);
	struct source *off = list_first_entry_or_null(&c->off, struct source,
						      state);
	ktime_t when = next ? next->expires : KTIME_MAX;

	lockdep_assert_held(&c->mirror_lock);
	if (!list_empty(&c->on))
		return 0;
	return off ? min(when, off->next_look) : when;
}

/*
 * Have the restore work run when its next attempt or check is due, but not before
 * container->restore_rests_until.
 */
static void restore_schedule(struct container *c)
{
	ktime_t when = restore_due(c);
	s64 ns;

	lockdep_assert_held(&c->mirror_lock);
	if (when == KTIME_MAX)
		return;
	when = max(when, c->restore_rests_until);
	ns = ktime_to_ns(ktime_sub(when, ktime_get()));
	mod_delayed_work(c->restore_wq, &c->restore_work,
			 ns > 0 ? nsecs_to_jiffies(ns) + 1 : 0);
}

static void mirror_queue(struct mirror *m, u64 delay_ns)
{
	lockdep_assert_held(&m->container->mirror_lock);
	m->revoked_at = ktime_get();
	mirror_queue_until(m, ktime_add_ns(m->revoked_at, delay_ns));
	restore_schedule(m->container);
}

/* Returns how many bytes of a range of user addresses the mirror has not given up. */
static u64 mirror_bytes_left(const struct mirror *m, unsigned long first,
			     unsigned long last)
{
	const struct span *s;
	u64 start, end, left = 0;

	lockdep_assert_held(&m->container->mirror_lock);
	list_for_each_entry(s, &m->pieces, node) {
		start = max_t(u64, s->first, first);
		end = min_t(u64, s->last, last);
		if (start <= end)
			left += end - start + 1;
	}
	return left;
}

/*
 * Report that the mirror was revoked (@was_live) or has lost addresses for good: trace
 * it and signal the eventfd. Only the former counts as a revocation.
 */
static void mirror_tell_revoked(struct mirror *m, bool was_live, int cause)
{
	lockdep_assert_held(&m->container->mirror_lock);
	if (was_live) {
		m->revocations++;
		m->away_since = ktime_get();
		stats_revoked(cause);
	}
	if (trace_revoke_enabled())
		trace_revoke(m->container, &m->seg, &m->backing, cause,
			     m->seg.size - mirror_bytes_left(m, 0, ULONG_MAX));
	events_signal(m->container);
}

static void mirror_tell_restored(struct mirror *m)
{
	u64 away_ns;

	lockdep_assert_held(&m->container->mirror_lock);
	if (!m->away_since)
		return;
	away_ns = ktime_to_ns(ktime_sub(ktime_get(), m->away_since));
	stats_restored(away_ns);
	trace_restore(m->container, &m->seg, &m->backing, away_ns);
	m->away_since = 0;
	events_signal(m->container);
}

static void mirror_invalidate(struct mirror *m,
			      const struct mmu_notifier_range *range,
			      struct mmu_interval_notifier_finish **finish)
{
	bool for_good = range->event == MMU_NOTIFY_UNMAP ||
			range->event == MMU_NOTIFY_RELEASE;
	bool was_live = m->extents.nr;

	lockdep_assert_held(&m->container->mirror_lock);
	/*
	 * Flush before the mirror gives the addresses up. From then on it ignores
	 * events there, so the callback of a later event would return without a
	 * flush, although the entries might still be cached.
	 */
	if (for_good) {
		mirror_revoke(m);
		mirror_drop_range(m, range->start, range->end - 1);
	} else if (mirror_revoke_unflushed(m)) {
		*finish = &m->finish;
	} else {
		domains_flush(m->container, SEGMENT_MIRROR);
	}
	if (was_live || for_good)
		mirror_tell_revoked(m, was_live, range->event);
	if (!mirror_is_gone(m))
		mirror_queue(m, range->event == MMU_NOTIFY_CLEAR ? QUIET_NS :
								    SOON_NS);
}

/*
 * Take mirror_lock when no group is joining or leaving a domain: a group that leaves
 * may make the IOMMU driver free structures that a flush uses. set_regrouping() in
 * group.c says why this wait ends.
 */
static void lock_for_revocation(struct container *c)
{
	mutex_lock(&c->mirror_lock);
	while (c->regrouping) {
		mutex_unlock(&c->mirror_lock);
		wait_event(c->regrouped, !READ_ONCE(c->regrouping));
		mutex_lock(&c->mirror_lock);
	}
}

/*
 * Does the event touch user addresses that the mirror still has? Addresses that it has
 * given up do not count: another VMA may be there by now.
 */
static bool mirror_is_concerned(struct mirror *m,
				const struct mmu_notifier_range *range)
{
	lockdep_assert_held(&m->container->mirror_lock);
	return spans_overlap(&m->pieces, range->start, range->end - 1);
}

/*
 * Revoke the mirror if the event concerns it. If the event's sender must not sleep
 * (!blockable), this revokes nothing, and returns false if the event concerns the
 * mirror or if mirror_lock is taken, so that this cannot be found out.
 */
static bool mirror_invalidate_range(struct mirror *m,
				    const struct mmu_notifier_range *range,
				    unsigned long seq,
				    struct mmu_interval_notifier_finish **finish)
{
	struct container *c = m->container;
	bool blockable = mmu_notifier_range_blockable(range);
	bool ours;

	if (blockable)
		mutex_lock(&c->mirror_lock);
	else if (!mutex_trylock(&c->mirror_lock))
		return false;
	ours = mirror_is_concerned(m, range);
	mutex_unlock(&c->mirror_lock);
	if (!ours || !blockable)
		return !ours;

	/*
	 * This may wait for a group that joins a domain, and joining may wait for
	 * memory reclaim. But reclaim does not touch device memory, so a thread that
	 * reclaims never gets here, and the two never wait for each other.
	 */
	lock_for_revocation(c);
	if (REVOKES && mirror_is_concerned(m, range)) {
		mmu_interval_set_seq(&m->notifier, seq);
		mirror_invalidate(m, range, finish);
	}
	mutex_unlock(&c->mirror_lock);
	return true;
}

/*
 * Called on RELEASE, when the mm has no users any more and its page tables are about to
 * be freed. If restore is looking at the mm (owner.c), wait until that look is over. A
 * look that begins later finds that the mm has no users, and ends at once.
 */
static void mirror_await_look(struct mirror *m)
{
	struct mm_struct *mm = m->notifier.mm;
	bool looks;

	mutex_lock(&m->container->mirror_lock);
	looks = m->container->looking_at == mm;
	mutex_unlock(&m->container->mirror_lock);
	if (looks)
		owner_await_look(mm);
}

static bool mirror_invalidate_start(struct mmu_interval_notifier *notifier,
				    const struct mmu_notifier_range *range,
				    unsigned long seq,
				    struct mmu_interval_notifier_finish **finish)
{
	struct mirror *m = container_of(notifier, struct mirror, notifier);
	bool done;

	/* from a write to /proc/PID/clear_refs: CPUs reach the same memory after it */
	if (range->event == MMU_NOTIFY_SOFT_DIRTY)
		return true;
	done = mirror_invalidate_range(m, range, seq, finish);
	if (range->event == MMU_NOTIFY_RELEASE)
		mirror_await_look(m);
	return done;
}

static void mirror_invalidate_finish(struct mmu_interval_notifier_finish *finish)
{
	struct mirror *m = container_of(finish->notifier, struct mirror,
					notifier);

	lock_for_revocation(m->container);
	domains_flush(m->container, SEGMENT_MIRROR);
	mutex_unlock(&m->container->mirror_lock);
}

COMPAT_INTERVAL_NOTIFIER_OPS(mirror_notifier_ops, mirror_invalidate_start,
			     mirror_invalidate_finish);

/* --- The watch ---------------------------------------------------------- */

/* Give up all LIVE mirrors of a source whose mm has no users. */
static void source_drop_live(struct container *c, struct source *s)
{
	struct mirror *m, *tmp;
	LIST_HEAD(dropped);

	lockdep_assert_held(&c->mirror_lock);
	list_for_each_entry_safe(m, tmp, &s->live, at) {
		mirror_revoke_unflushed(m);
		list_add_tail(&m->at, &dropped);
	}
	domains_flush(c, SEGMENT_MIRROR);
	list_for_each_entry_safe(m, tmp, &dropped, at) {
		list_del_init(&m->at);
		mirror_set_gone(m);
		mirror_tell_revoked(m, true, MMU_NOTIFY_RELEASE);
	}
}

static void watch_start(struct container *c)
{
	lockdep_assert_held(&c->mirror_lock);
	queue_delayed_work(watch_wq, &c->watch, msecs_to_jiffies(WATCH_MS));
}

static void watch_work(struct work_struct *work)
{
	struct container *c = container_of(to_delayed_work(work),
					   struct container, watch);
	struct source *s;
	bool live = false;

	lock_for_revocation(c);
	list_for_each_entry(s, &c->sources, node) {
		if (list_empty(&s->live))
			continue;
		if (owner_is_ending(s->mm))
			source_drop_live(c, s);
		else
			live = true;
	}
	if (live)
		watch_start(c);
	mutex_unlock(&c->mirror_lock);
}

/* --- Establishing: container->lock held -------------------------------- */

/*
 * Map all extents in every domain, or on failure none. If the mirror is to replace
 * @replaced, revoke @replaced first, in the same critical section of mirror_lock.
 */
static int mirror_map_extents(struct mirror *m, struct extents *ex,
			      struct mirror *replaced)
{
	struct container *c = m->container;
	struct extents entered = { .v = ex->v };
	int ret;

	lockdep_assert_held(&c->mirror_lock);
	if (replaced)
		mirror_revoke(replaced);
	while (entered.nr < ex->nr) {
		const struct extent *e = &ex->v[entered.nr];

		ret = domains_map(c, e, mirror_prot(m, e), GFP_MIRROR);
		if (ret) {
			domains_unmap(c, &entered);
			return ret;
		}
		entered.nr++;
	}

	mirror_unqueue(m);
	m->extents = *ex;
	*ex = (struct extents){};
	list_add_tail(&m->at, &m->source->live);
	if (COMPAT_ZAPS_SKIP_ENDING_MMS && REVOKES)
		watch_start(c);
	mirror_tell_restored(m);
	return 0;
}

/*
 * An allocation under mirror_lock has failed, since it must not reclaim. The caller has
 * dropped the lock. So allocate pages with flags that make the kernel reclaim, from the
 * machine or from the memory cgroup that pays, and free the pages for the caller's next
 * try. Each try needs twice as many, since a large range of small pages takes many
 * IOMMU tables. Returns true if all pages could be allocated.
 */
static bool make_room(unsigned int try)
{
	struct page *page, *tmp;
	unsigned int n = 8 << try;
	LIST_HEAD(pages);

	while (n) {
		page = alloc_page(GFP_ROOM);
		if (!page)
			break;
		list_add(&page->lru, &pages);
		n--;
	}
	list_for_each_entry_safe(page, tmp, &pages, lru)
		__free_page(page);
	return !n;
}

/*
 * Map the extents if they are still valid. Returns -EAGAIN if an invalidation came
 * since @seq was read. Returns -EFAULT if the mm has no users: its RELEASE event may be
 * over, and then no callback would come that removes the entries. If the mm has users
 * now, RELEASE is still to come, and its callback will remove them.
 */
static int mirror_commit(struct mirror *m, unsigned long seq,
			 struct extents *ex,
			 struct mirror *replaced)
{
	struct container *c = m->container;
	unsigned int try = 0;
	int ret;

	do {
		mutex_lock(&c->mirror_lock);
		if (mmu_interval_read_retry(&m->notifier, seq))
			ret = -EAGAIN;
		else if (owner_is_ending(m->notifier.mm))
			ret = -EFAULT;
		else
			ret = mirror_map_extents(m, ex, replaced);
		mutex_unlock(&c->mirror_lock);
	} while (ret == -ENOMEM && try < ROOM_TRIES && make_room(try++));

	return ret;
}

/* Find the piece that contains a user address, or the next piece above it. */
static bool mirror_find_piece(struct mirror *m, unsigned long addr,
			      struct span *piece)
{
	const struct span *s;
	bool found = false;

	mutex_lock(&m->container->mirror_lock);
	list_for_each_entry(s, &m->pieces, node) {
		if (s->last >= addr) {
			*piece = *s;
			found = true;
			break;
		}
	}
	mutex_unlock(&m->container->mirror_lock);
	return found;
}

static int mirror_resolve(struct mirror *m, struct extents *ex)
{
	int prot = m->seg.mapping->prot;
	unsigned long addr = m->first;
	struct span piece;
	int ret;

	while (mirror_find_piece(m, addr, &piece)) {
		ret = backing_resolve(m->notifier.mm, piece.first, piece.last,
				      prot, &m->backing,
				      segment_iova(&m->seg) + (piece.first - m->first),
				      ex);
		if (ret)
			return ret;
		addr = piece.last + 1;
	}
	return ex->nr ? 0 : -EFAULT;
}

/*
 * Read the sequence number. mmu_interval_read_begin() waits for an invalidation that is
 * under way. That may be vfio-pci's zap before it turns the memory off. vfio-pci notes
 * that the memory is off only after the zap, and up to 6.9 holds no lock in between. If
 * restore faulted at that moment, it would hold locks that a hot reset takes with
 * trylock, and make the reset fail. So if restore had to wait here, return
 * -EINPROGRESS, and restore tries again later.
 */
static int mirror_read_begin(struct mirror *m, unsigned long *seq)
{
	unsigned long waits = current->nvcsw;

	*seq = mmu_interval_read_begin(&m->notifier);
	return m->backing.no_wait && current->nvcsw != waits ? -EINPROGRESS : 0;
}

static int mirror_establish(struct mirror *m, unsigned int tries,
			    struct mirror *replaced)
{
	struct extents ex = {};
	unsigned long seq;
	int ret;

	lockdep_assert_held(&m->container->lock);
	do {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		ex.nr = 0;
		ret = mirror_read_begin(m, &seq);
		if (!ret)
			ret = mirror_resolve(m, &ex);
		if (!ret)
			ret = mirror_commit(m, seq, &ex, replaced);
	} while (ret == -EAGAIN && --tries);

	extents_free(&ex);
	return ret;
}

static struct source *source_find(struct container *c, struct mm_struct *mm,
				  const struct file *file)
{
	struct source *s;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(s, &c->sources, node)
		if (s->mm == mm && s->file == file)
			return s;
	return NULL;
}

/*
 * Find or make the source, and count one more mirror of it. Move the source to the head
 * of the list, since the next mirror most likely has the same source.
 */
static struct source *source_get(struct container *c, struct mm_struct *mm,
				 const struct file *file)
{
	struct source *s = source_find(c, mm, file);

	if (!s) {
		s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
		if (!s)
			return NULL;
		s->mm = mm;
		s->file = file;
		INIT_LIST_HEAD(&s->node);
		INIT_LIST_HEAD(&s->state);
		INIT_LIST_HEAD(&s->live);
		INIT_LIST_HEAD(&s->waiting);
	}
	mutex_lock(&c->mirror_lock);
	list_move(&s->node, &c->sources);
	mutex_unlock(&c->mirror_lock);
	s->nr++;
	return s;
}

static void source_put(struct container *c, struct source *s)
{
	lockdep_assert_held(&c->lock);
	if (--s->nr)
		return;
	mutex_lock(&c->mirror_lock);
	list_del(&s->node);
	mutex_unlock(&c->mirror_lock);
	kfree(s);
}

static struct mirror *mirror_create(struct container *c, struct mapping *mapping,
				    struct mm_struct *mm, size_t offset,
				    unsigned long first, const struct backing *b)
{
	struct mirror *m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);

	if (!m)
		return NULL;

	m->seg.mapping = mapping;
	m->seg.kind = SEGMENT_MIRROR;
	m->seg.offset = offset;
	m->seg.size = b->last - first + 1;
	m->container = c;
	m->first = first;
	m->backing = *b;
	timerqueue_init(&m->retry);
	INIT_LIST_HEAD(&m->at);
	INIT_LIST_HEAD(&m->pieces);
	if (spans_append(&m->pieces, first, b->last, GFP_KERNEL_ACCOUNT))
		goto err_free;
	m->source = source_get(c, mm, b->file);
	if (!m->source)
		goto err_pieces;
	return m;

err_pieces:
	spans_free(&m->pieces);
err_free:
	kfree(m);
	return NULL;
}

static void mirror_free(struct mirror *m)
{
	source_put(m->container, m->source);
	spans_free(&m->pieces);
	kfree(m);
}

/*
 * Subscribe to invalidations of the user range. The first subscription in an mm takes
 * all of the mm's locks, which fails with -EINTR if a signal is pending. Return
 * -ERESTARTNOINTR then, so that the kernel restarts the ioctl after the signal.
 */
static int mirror_subscribe(struct mirror *m, struct mm_struct *mm)
{
	int ret = mmu_interval_notifier_insert(&m->notifier, mm,
					       m->first, m->seg.size,
					       &mirror_notifier_ops);

	return ret == -EINTR ? -ERESTARTNOINTR : ret;
}

/*
 * A new mirror replaces @replaced, and the memory at its user address is the right one
 * but off. So the new mirror begins REVOKED. Its @away_since is that of @replaced, or
 * now if @replaced is LIVE.
 */
static void mirror_begin_revoked(struct mirror *m,
				 const struct mirror *replaced)
{
	lockdep_assert_held(&m->container->lock);
	mutex_lock(&m->container->mirror_lock);
	m->away_since = replaced->away_since ?: ktime_get();
	if (!mirror_is_gone(m))
		mirror_queue(m, SOON_NS);
	mutex_unlock(&m->container->mirror_lock);
}

/*
 * Establish a new mirror. If its memory is off, fail with -EFAULT, unless the mirror
 * replaces another one: then the new mirror begins REVOKED.
 */
static int mirror_establish_first(struct mirror *m, struct segment *replaced)
{
	struct mirror *old = replaced ? to_mirror(replaced) : NULL;
	int ret = mirror_establish(m, UINT_MAX, old);

	if (ret == -ENXIO) {
		if (!old) {
			reason_set_loud(m->container,
					"the memory of %s is off, or it is being reset",
					m->backing.name);
			return -EFAULT;
		}
		mirror_begin_revoked(m, old);
		ret = 0;
	}
	/* fail if an UNMAP event took a part: a new mapping must have no hole */
	if (!ret && READ_ONCE(m->cuts)) {
		reason_set(m->container, "a part of the memory was unmapped meanwhile");
		ret = -EFAULT;
	}
	return ret;
}

/**
 * mirror_map() - Mirror device memory
 * @c: the container, its lock held
 * @mapping: the mapping
 * @offset: where in the mapping to start (bytes)
 * @size: the most bytes that the mirror may have
 * @replaced: a mirror of the same IOVAs that the new one replaces, or NULL. @replaced
 *	      is revoked in the critical section that maps the new mirror. With
 *	      @replaced, the memory is looked for in the calling process; else in
 *	      @mapping->mm, whose users the caller holds
 *
 * The new mirror ends where the VMAs of the device's file end, or after @size bytes;
 * with @replaced it has to have all @size bytes. If the memory is off, a mirror with
 * @replaced begins REVOKED and waits for restore.
 *
 * Return: a segment of at least one page, in no list, or an ERR_PTR: -EFAULT if
 * there is no device memory that may be mapped with these permissions, if a part of
 * it is unmapped meanwhile, or if the memory is off and @replaced is NULL; -EPERM if
 * the parameters forbid the memory; -ENOSPC if the container has no room for
 * another mirror; -ENOMEM; -EINTR; -ERESTARTNOINTR if a signal came; or the IOMMU
 * driver's errno.
 */
struct segment *mirror_map(struct container *c, struct mapping *mapping,
			   size_t offset, size_t size,
			   struct segment *replaced)
{
	struct mm_struct *mm = replaced ? current->mm : mapping->mm;
	unsigned long first = mapping->vaddr + offset;
	struct backing b;
	struct mirror *m;
	int ret;

	lockdep_assert_held(&c->lock);
	ret = backing_find(c, mm, first, first + size - 1, mapping->prot, &b);
	if (ret)
		return ERR_PTR(ret);
	if (replaced && b.last != first + size - 1)
		return ERR_PTR(-EFAULT);
	if (!c->mirrors_avail) {
		reason_set_loud(c, "the container has its %u mirrors (dma_entry_limit)",
				c->mappings_max);
		return ERR_PTR(-ENOSPC);
	}

	m = mirror_create(c, mapping, mm, offset, first, &b);
	if (!m)
		return ERR_PTR(-ENOMEM);
	ret = mirror_subscribe(m, mm);
	if (ret) {
		mirror_free(m);
		return ERR_PTR(ret);
	}
	c->mirrors_avail--;

	ret = mirror_establish_first(m, replaced);
	if (ret) {
		mirror_unmap(c, &m->seg);
		/* @replaced may have been revoked before the failure: restore it */
		if (replaced)
			mirror_await(replaced);
		return ERR_PTR(ret);
	}
	return &m->seg;
}

/**
 * mirror_unmap() - Unmap and free a mirror in any state
 * @c: the container, its lock held
 * @s: the segment, in no list
 *
 * Takes mirror_lock, drops it, and then waits for the mirror's notifier callbacks.
 */
void mirror_unmap(struct container *c, struct segment *s)
{
	struct mirror *m = to_mirror(s);

	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	mirror_revoke(m);
	mirror_set_gone(m);
	mutex_unlock(&c->mirror_lock);

	mmu_interval_notifier_remove(&m->notifier);
	mirror_free(m);
	c->mirrors_avail++;
}

/**
 * mirror_stat() - Report the state of a mirror in a range of its IOVAs
 * @s: the segment, its container's lock held
 * @first: first IOVA of the range, in the segment
 * @last: last IOVA of the range, in the segment
 * @stat: set to the state
 */
void mirror_stat(const struct segment *s, u64 first, u64 last,
		 struct mirror_stat *stat)
{
	const struct mirror *m = container_of(s, struct mirror, seg);
	u64 to_user = m->first - segment_iova(s), left;

	lockdep_assert_held(&m->container->lock);
	*stat = (struct mirror_stat){};
	mutex_lock(&m->container->mirror_lock);
	left = mirror_bytes_left(m, first + to_user, last + to_user);
	stat->gone = last - first + 1 - left;
	/* either all pieces are in the IOMMU, or none is */
	if (m->extents.nr)
		stat->live = left;
	else
		stat->revoked = left;
	stat->revocations = m->revocations;
	if (m->away_since)
		stat->away_ns = ktime_to_ns(ktime_sub(ktime_get(), m->away_since));
	mutex_unlock(&m->container->mirror_lock);
}

/** segment_backing() - Return the device memory that a segment mirrors, NULL for RAM */
const struct backing *segment_backing(const struct segment *s)
{
	if (s->kind != SEGMENT_MIRROR)
		return NULL;
	return &container_of(s, struct mirror, seg)->backing;
}

/**
 * mirror_await() - Queue a REVOKED mirror for restore after replacing it has failed
 * @s: the segment, its container's lock held
 */
void mirror_await(struct segment *s)
{
	struct mirror *m = to_mirror(s);

	lockdep_assert_held(&m->container->lock);
	mutex_lock(&m->container->mirror_lock);
	if (!mirror_is_gone(m) && !m->extents.nr)
		mirror_queue(m, SOON_NS);
	mutex_unlock(&m->container->mirror_lock);
}

/* --- A new domain for mirrors that exist: container->lock held ----------- */

static int mirror_join_one(struct mirror *m, struct domain *d)
{
	unsigned int i;
	int ret;

	lockdep_assert_held(&m->container->mirror_lock);
	for (i = 0; i < m->extents.nr; i++) {
		const struct extent *e = &m->extents.v[i];

		ret = domain_map(d, e, mirror_prot(m, e), GFP_MIRROR);
		if (ret) {
			domain_unmap(d, m->extents.v, i);
			return ret;
		}
	}
	return 0;
}

/*
 * Map all LIVE mirrors in the domain. If one cannot be mapped, unmap those that were
 * mapped before it.
 */
static int mirror_join_all(struct container *c, struct domain *d)
{
	struct segment *s, *failed = NULL;
	struct mapping *mapping;
	int ret = 0;

	lockdep_assert_held(&c->lock);
	lockdep_assert_held(&c->mirror_lock);
	for_each_mapping(mapping, c) {
		list_for_each_entry(s, &mapping->segments, node) {
			if (s->kind != SEGMENT_MIRROR)
				continue;
			ret = mirror_join_one(to_mirror(s), d);
			if (ret) {
				failed = s;
				goto undo;
			}
		}
	}
	return 0;

undo:
	for_each_mapping(mapping, c) {
		list_for_each_entry(s, &mapping->segments, node) {
			if (s == failed)
				return ret;
			if (s->kind == SEGMENT_MIRROR)
				domain_unmap(d, to_mirror(s)->extents.v,
					     to_mirror(s)->extents.nr);
		}
	}
	return ret;
}

/**
 * mirror_join() - Map all LIVE mirrors in a new domain and add it to the list
 * @c: the container, its lock held
 * @d: the domain, in no list
 *
 * Both happen in one critical section of mirror_lock, so no revocation can miss the
 * domain.
 *
 * Return: 0, or a negative errno with the domain in no list.
 */
int mirror_join(struct container *c, struct domain *d)
{
	unsigned int try = 0;
	int ret;

	lockdep_assert_held(&c->lock);
	do {
		mutex_lock(&c->mirror_lock);
		ret = mirror_join_all(c, d);
		if (!ret)
			list_add(&d->node, &c->domains);
		mutex_unlock(&c->mirror_lock);
	} while (ret == -ENOMEM && try < ROOM_TRIES && make_room(try++));

	return ret;
}

/* --- Restore ------------------------------------------------------------ */

/*
 * The time of the next attempt. The time until then is an eighth of the time since the
 * revocation, at least 1 ms; and at most 25 ms if the revocation was less than a second
 * ago, else at most 1 s.
 */
static ktime_t mirror_next_try(const struct mirror *m, ktime_t now)
{
	u64 age = ktime_to_ns(ktime_sub(now, m->revoked_at));
	u64 most = (age < NSEC_PER_SEC ? 25 : 1000) * NSEC_PER_MSEC;

	return ktime_add_ns(now, clamp_t(u64, age / 8, NSEC_PER_MSEC, most));
}

/* The first mirror whose memory a check has found to be on. */
static struct mirror *mirror_first_on(struct container *c)
{
	struct source *s = list_first_entry_or_null(&c->on, struct source, state);

	lockdep_assert_held(&c->mirror_lock);
	return s ? list_first_entry(&s->waiting, struct mirror, at) : NULL;
}

/* The first mirror that restore tries at a time of its own, if that time has come. */
static struct mirror *mirror_first_due(struct container *c, ktime_t now)
{
	struct timerqueue_node *next = timerqueue_getnext(&c->revoked);

	lockdep_assert_held(&c->mirror_lock);
	if (!next || ktime_compare(next->expires, now) > 0)
		return NULL;
	return container_of(next, struct mirror, retry);
}

/*
 * The mirror that restore is to try now, or NULL. This queues the mirror for a next
 * attempt already, in case the one now fails. It sets container->looking_at to the
 * mirror's mm, so that mirror_await_look() makes an exit of that mm wait until the
 * attempt is over.
 */
static struct mirror *mirror_next_due(struct container *c)
{
	ktime_t now = ktime_get();
	struct mirror *m;

	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	m = mirror_first_on(c) ?: mirror_first_due(c, now);
	if (m) {
		mirror_queue_until(m, mirror_next_try(m, now));
		c->looking_at = m->notifier.mm;
	}
	mutex_unlock(&c->mirror_lock);
	return m;
}

/*
 * A fault in the mirror's memory has failed. Is the reason that the memory is off
 * again? If so, the mirror can wait until a check of its source finds the memory on.
 */
static bool mirror_is_off_again(struct mirror *m)
{
	struct span piece;

	return mirror_find_piece(m, m->first, &piece) &&
	       !backing_memory_is_on(m->notifier.mm, piece.first,
				     m->seg.mapping->prot, &m->backing);
}

/*
 * Before an attempt or a check of restore: have backing.c only look at the mm
 * (owner.c), and wait for mmap_lock only if the last LOOK_MISSES_MAX attempts and
 * checks did not get it.
 */
static void mirror_prepare_look(struct mirror *m)
{
	m->backing.no_wait = true;
	m->backing.patient = m->container->look_misses >= LOOK_MISSES_MAX;
}

static void restore_count_look(struct container *c, int ret)
{
	c->look_misses = ret == -EINPROGRESS ? c->look_misses + 1 : 0;
}

/*
 * Try to establish a revoked mirror. The memory that this allocates is charged to the
 * memory cgroup of the mirror's mm, as when the mirror was mapped.
 */
static int mirror_try_restore(struct mirror *m)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(m->notifier.mm);
	struct mem_cgroup *old = set_active_memcg(memcg);
	int ret;

	mirror_prepare_look(m);
	ret = mirror_establish(m, RESTORE_TRIES, NULL);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
	return ret == -ENXIO && mirror_is_off_again(m) ? -EBUSY : ret;
}

/*
 * Queue a mirror again after an attempt that failed with @why, unless an event has made
 * it GONE meanwhile. If the memory is off (-EBUSY), the mirror waits until a check of
 * its source finds the memory on. If the attempt found a lock taken (-EINPROGRESS) or
 * was disturbed by invalidations (-EAGAIN), it has learnt nothing about the memory: so
 * the next attempt comes soon, however long the memory has been away. After another
 * error the mirror stays queued as mirror_next_due() has queued it.
 */
static void mirror_put_off(struct mirror *m, int why)
{
	lockdep_assert_held(&m->container->mirror_lock);
	if (!mirror_awaits_time(m))
		return;
	if (why == -EBUSY)
		mirror_queue_for_memory(m);
	else if (why == -EINPROGRESS || why == -EAGAIN)
		mirror_queue_until(m, ktime_add_ns(ktime_get(), QUIET_NS));
}

/*
 * Try the next mirror that is due. Returns false if there is none. Adds the time of a
 * failed attempt to @wasted_ns.
 */
static bool restore_next(struct container *c, u64 *wasted_ns)
{
	ktime_t start = ktime_get();
	struct mirror *m = mirror_next_due(c);
	int ret;

	lockdep_assert_held(&c->lock);
	if (!m)
		return false;
	ret = mirror_try_restore(m);
	restore_count_look(c, ret);

	mutex_lock(&c->mirror_lock);
	c->looking_at = NULL;
	if (ret)
		mirror_put_off(m, ret);
	mutex_unlock(&c->mirror_lock);

	/*
	 * -EINPROGRESS: the attempt met an invalidation or a lock that was taken, and
	 * took little CPU time. But other mirrors of that memory would likely meet the
	 * same. So count WASTE_NS for it, which ends this run.
	 */
	if (ret == -EINPROGRESS)
		*wasted_ns += WASTE_NS;
	else if (ret)
		*wasted_ns += ktime_to_ns(ktime_sub(ktime_get(), start));
	return true;
}

/*
 * If a source is due to be checked, return a mirror that waits for it, and in @addr a
 * user address of that mirror. The source moves to the end of the list.
 */
static struct mirror *source_next_look(struct container *c, ktime_t now,
				       unsigned long *addr)
{
	struct source *s = list_first_entry_or_null(&c->off, struct source, state);
	struct mirror *m;

	lockdep_assert_held(&c->mirror_lock);
	if (!s || ktime_compare(s->next_look, now) > 0)
		return NULL;
	m = list_first_entry(&s->waiting, struct mirror, at);
	*addr = list_first_entry(&m->pieces, struct span, node)->first;
	s->next_look = ktime_add_ns(now, LOOK_NS);
	list_move_tail(&s->state, &c->off);
	c->looking_at = s->mm;
	return m;
}

/*
 * Act on the result @on of a check of @m's source, which was made at a user address of
 * @m; @m still waits. If the memory is on, restore is to try all waiting mirrors of the
 * source. If the check could not tell (-EFAULT), restore tries @m at times of its own,
 * and checks the source again at once through the next mirror that waits for it.
 */
static void source_was_looked_at(struct container *c, struct mirror *m,
				 ktime_t now, int on)
{
	struct source *s = m->source;

	lockdep_assert_held(&c->mirror_lock);
	if (on > 0) {
		list_move_tail(&s->state, &c->on);
	} else if (on == -EFAULT) {
		mirror_queue_until(m, mirror_next_try(m, now));
		if (!list_empty(&s->waiting)) {
			s->next_look = now;
			list_move(&s->state, &c->off);
		}
	}
}

/*
 * Check one source, through one of the mirrors that wait for it. Returns false if no
 * check is due. Adds the time that the check takes to @wasted_ns.
 */
static bool source_look_next(struct container *c, u64 *wasted_ns)
{
	ktime_t now = ktime_get();
	unsigned long addr;
	struct mirror *m;
	int on;

	mutex_lock(&c->mirror_lock);
	m = source_next_look(c, now, &addr);
	mutex_unlock(&c->mirror_lock);
	if (!m)
		return false;
	mirror_prepare_look(m);
	on = backing_memory_is_on(m->notifier.mm, addr, m->seg.mapping->prot,
				  &m->backing);
	restore_count_look(c, on);

	mutex_lock(&c->mirror_lock);
	c->looking_at = NULL;
	if (mirror_awaits_memory(m))
		source_was_looked_at(c, m, now, on);
	mutex_unlock(&c->mirror_lock);
	*wasted_ns += ktime_to_ns(ktime_sub(ktime_get(), now));
	return true;
}

/*
 * Restore has got container->lock, or does not need it now: let the threads go on that
 * container_lock() holds back (@restore_turn). If restore got the lock only because
 * they were held back, it is likely to miss the lock again: @restore_misses stays, so
 * that the next miss holds threads back at once.
 */
static void restore_let_pass(struct container *c)
{
	if (!c->restore_turn) {
		c->restore_misses = 0;
		return;
	}
	WRITE_ONCE(c->restore_turn, false);
	wake_up_all(&c->turn);
}

/*
 * Make one check or one attempt, if no other thread holds container->lock. Returns
 * false if nothing was due, or the lock was taken.
 */
static bool restore_step(struct container *c, u64 *wasted_ns)
{
	bool more;

	if (!mutex_trylock(&c->lock)) {
		*wasted_ns += WASTE_NS;
		if (++c->restore_misses >= MISSES_MAX)
			WRITE_ONCE(c->restore_turn, true);
		return false;
	}
	restore_let_pass(c);
	more = source_look_next(c, wasted_ns) || restore_next(c, wasted_ns);
	mutex_unlock(&c->lock);
	return more;
}

/*
 * The restore work. A user may have many mirrors of a dead device, or mirrors of many
 * pieces one of which mprotect() has restricted, so attempts may fail without end.
 * After a run the work rests for RESTS times as long as checks and failed attempts took
 * in it, so that they use only a part of one CPU, however slow that CPU is. Successful
 * attempts cause no rest.
 */
static void restore_run(struct work_struct *work)
{
	struct container *c = container_of(to_delayed_work(work),
					   struct container, restore_work);
	u64 wasted_ns = 0;

	while (wasted_ns < WASTE_NS && restore_step(c, &wasted_ns))
		cond_resched();

	mutex_lock(&c->mirror_lock);
	/* if nothing is due any more (a mirror became GONE), hold no thread back */
	if (ktime_compare(restore_due(c), ktime_get()) > 0)
		restore_let_pass(c);
	c->restore_rests_until = ktime_add_ns(ktime_get(), RESTS * wasted_ns);
	restore_schedule(c);
	mutex_unlock(&c->mirror_lock);
}

/**
 * mirror_restore_init() - Prepare the restore work and the watch of a new container
 * @c: the container, zeroed
 *
 * Return: 0, or -ENOMEM.
 */
int mirror_restore_init(struct container *c)
{
	c->restore_wq = alloc_ordered_workqueue("tether_restore", 0);
	if (!c->restore_wq)
		return -ENOMEM;
	INIT_LIST_HEAD(&c->sources);
	INIT_LIST_HEAD(&c->off);
	INIT_LIST_HEAD(&c->on);
	timerqueue_init_head(&c->revoked);
	INIT_DELAYED_WORK(&c->restore_work, restore_run);
	INIT_DELAYED_WORK(&c->watch, watch_work);
	return 0;
}

/**
 * mirror_restore_exit() - Cancel a container's restore work and watch
 * @c: the container, which has no mirrors any more; its mirror_lock is not held, since
 *     this waits for work that takes it
 */
void mirror_restore_exit(struct container *c)
{
	cancel_delayed_work_sync(&c->watch);
	cancel_delayed_work_sync(&c->restore_work);
	destroy_workqueue(c->restore_wq);
}

/** mirror_init() - On module load. Return: 0, or -ENOMEM */
int mirror_init(void)
{
	watch_wq = alloc_workqueue("tether_watch", WQ_UNBOUND | WQ_HIGHPRI, 0);
	return watch_wq ? 0 : -ENOMEM;
}

/** mirror_exit() - On module unload, when no container is left */
void mirror_exit(void)
{
	destroy_workqueue(watch_wq);
}
