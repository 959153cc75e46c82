// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mirrors: device memory that the IOMMU maps exactly as long as the process
 * does.
 *
 * The invariant
 *
 *	At every instant, what a container's domains let devices reach through
 *	a mirror is a subset of what the process's own VMAs let its CPUs reach.
 *
 * A BAR cannot be pinned. But the process's VMA keeps its device open, and
 * the kernel tells mmu notifiers before it takes any of that VMA's page-table
 * entries away: when the VMA goes or changes, and when the device's driver
 * zaps it before memory decoding is turned off, a reset, or low power. So a
 * mirror subscribes to its user range and takes its IOMMU entries away, IOTLB
 * flush included, before that call returns. It needs no reference to the
 * device, which would be a cycle (container, mapping, device, container).
 *
 * States of a mirror
 *
 *	LIVE	has extents, and they are in every domain of the container
 *	REVOKED	has none; is in container->revoked and will be tried again
 *	GONE	has no pieces of user address space left; nothing can bring
 *		it back. VFIO_IOMMU_UNMAP_DMA still counts it.
 *
 * Establishing (map and restore; container->lock held)
 *
 *	seq = mmu_interval_read_begin()
 *	under mmap_lock: VMAs are as they were, faulted in, extents resolved
 *	under mirror_lock: unless mmu_interval_read_retry(seq), enter them
 *
 * Revoking (the notifier; any thread, maybe under mmap_lock)
 *
 *	under mirror_lock: mmu_interval_set_seq(), remove all extents
 *	under mirror_lock: flush, once for all mirrors where the kernel has
 *		two passes; whoever finds nothing to remove flushes, too
 *
 * Both end under mirror_lock, so one sees the other: an invalidation that
 * began after read_begin either finds the entries and removes them, or has
 * set the sequence number and makes establish start over. One that began
 * before it is waited for by read_begin.
 *
 * Whole extents are removed, never a part of one: what an IOMMU driver does
 * when asked for half a large page differs. What is still backed comes back
 * with the restore.
 *
 * An UNMAP event names user addresses whose VMA is going. A new VMA there
 * may be anything, so those addresses leave the mirror's pieces for good.
 * Addresses in a piece are still of the VMA that was mapped, though perhaps
 * split from it. With any other event the VMA stays, and the memory may come
 * back without anybody saying so. So restore tries: first when a burst of zaps is
 * over (a VMM resets a device in several steps, and vfio-pci gives up on a hot
 * reset when somebody faults its memory in). A mirror whose device turns out to be
 * off joins the others of its source, and restore looks at each such source every
 * 10 ms, by a byte of one device, however many mirrors wait; once that says on,
 * they are tried at once. A mirror for which such a look cannot tell is tried by a
 * clock of its own, often at first and then more rarely.
 *
 * Restore is one work for all mirrors of a container, on a workqueue of the
 * container's own. It takes container->lock for one mirror at a time, so none can be
 * freed under it, and mmap_lock, both only if they are free; it holds no reference
 * to the mm (owner.c), and it never waits for a reset under way. What a user can
 * make it wait for is thus only an invalidation, and then only his own restore.
 *
 * Up to 6.9 vfio-pci does not zap the VMAs of an mm without users, which exists for
 * as long as exit_aio() waits: nobody is told that such memory goes. But an mm
 * without users never gets its memory back, so on those kernels the watch looks
 * every 10 ms for sources whose mm has none, and gives up their mirrors.
 *
 * Locks: container->mirror_lock guards all of struct mirror and struct source that
 * changes, container->revoked, and the domain list as seen from here; container.h
 * says what may not be done under it. Removing the subscription waits for
 * callbacks, so that is done without it, and only after the mirror is GONE:
 * in the other order entries could outlive the last one to be told.
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
#include "span.h"
#include "trace.h"
#include "tree.h"

/* Under mirror_lock nothing may reclaim; on failure it is dropped for that. */
#define GFP_MIRROR	(GFP_NOWAIT | __GFP_NOWARN | __GFP_ACCOUNT)
#define ROOM_TRIES	8

/* What reclaims then; nobody is killed for a mapping. */
#define GFP_ROOM	(GFP_KERNEL_ACCOUNT | __GFP_NOWARN | __GFP_RETRY_MAYFAIL)

/* Collisions with invalidations that a restore puts up with for one try. */
#define RESTORE_TRIES	4

/* Leaves the revoke out, for a test of the tests: nothing else may build it. */
#ifdef TETHER_NO_REVOKE
#define REVOKES		false
#else
#define REVOKES		true
#endif

/* How long after a revocation restore begins to try. */
#define QUIET_NS	(10 * NSEC_PER_MSEC)
#define SOON_NS		(1 * NSEC_PER_MSEC)

/* Between two looks at a device whose memory is off. */
#define LOOK_NS		(10 * NSEC_PER_MSEC)

/* Between two looks for processes that are ending. */
#define WATCH_MS	10

/* How much time a run of restore may waste, and how often that it rests then. */
#define WASTE_NS	(2 * NSEC_PER_MSEC)
#define RESTS		3

/* Partial unmaps after which the rest of a mirror is given up too. */
#define CUTS_MAX	1024

/**
 * struct source - The memory of one open device, in one mm
 * @node: in container->sources
 * @state: in container->off or container->on while some mirrors wait, else in none
 * @mm: the mm; its mirrors' subscriptions hold the struct
 * @file: the device's, for comparison only, as in struct backing
 * @nr: mirrors of it, under container->lock
 * @live: those that are LIVE
 * @waiting: those that wait until the memory is on
 * @next_look: when to look at it again, while in container->off
 *
 * mirror_lock guards it unless said.
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
 * @container: whose domains it is in
 * @notifier: subscription to the user range; @seg.size bytes from @first
 * @first: first user address, without a tag
 * @backing: what was mapped: set once
 * @pieces: spans of user addresses not unmapped since; none: GONE
 * @cuts: UNMAP events that took a part; written under mirror_lock, read without
 * @finish: for the second pass of an invalidation. One at a time: until it is
 *	    over the mirror cannot be LIVE, and only LIVE ones need it.
 * @extents: what is in the IOMMU; some: LIVE
 * @revoked_at: when it was last revoked
 * @away_since: when it, or what it replaced, stopped to be LIVE; 0 while it is
 *		and before it was
 * @revocations: how often it did
 * @source: whose memory it is
 * @at: in source->live while it is LIVE, in source->waiting while it waits until the
 *	memory is on, else in none
 * @retry: in container->revoked while it waits for restore by its own clock
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

/* Of the watches, which never wait for a user. */
static struct workqueue_struct *watch_wq;

static struct mirror *to_mirror(struct segment *s)
{
	return container_of(s, struct mirror, seg);
}

static bool mirror_is_gone(const struct mirror *m)
{
	return list_empty(&m->pieces);
}

/* Memory that is RAM all the same, a driver's, stays cacheable. */
static int mirror_prot(const struct mirror *m, const struct extent *e)
{
	bool ram = !m->backing.vfio && pfn_valid(PHYS_PFN(e->phys));

	return m->seg.mapping->prot | (ram ? IOMMU_CACHE : IOMMU_MMIO);
}

/* --- Revoking: mirror_lock held --------------------------------------- */

/* True if that leaves something to flush. */
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

/* Also what another thread has only begun to revoke. */
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

/* These addresses will never again be the memory that was mapped. */
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

/* The memory has been seen to be off: one look will tell for all of its source. */
static void mirror_queue_for_memory(struct mirror *m)
{
	struct source *s = m->source;

	lockdep_assert_held(&m->container->mirror_lock);
	mirror_unqueue(m);
	if (list_empty(&s->state) || list_empty(&s->waiting))
		s->next_look = ktime_add_ns(ktime_get(), LOOK_NS);
	list_add_tail(&m->at, &s->waiting);
	list_move_tail(&s->state, &m->container->off);
	m->container->nr_revoked++;
}

/* When restore has something to do, or KTIME_MAX. Devices are looked at in turn. */
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

/* Run the work when that is, and it has rested. */
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

/* What is not given up of a range of its user addresses. */
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

/* Say so: it was LIVE, or some of it will never be again. */
static void mirror_tell_revoked(struct mirror *m, bool was_live, int cause)
{
	lockdep_assert_held(&m->container->mirror_lock);
	if (was_live) {
		m->revocations++;
		m->away_since = ktime_get();
	}
	if (trace_revoke_enabled())
		trace_revoke(m->container, &m->seg, &m->backing, cause,
			     m->seg.size - mirror_bytes_left(m, 0, ULONG_MAX));
	events_signal(m->container);
}

static void mirror_tell_restored(struct mirror *m)
{
	lockdep_assert_held(&m->container->mirror_lock);
	if (!m->away_since)
		return;
	trace_restore(m->container, &m->seg, &m->backing,
		      ktime_to_ns(ktime_sub(ktime_get(), m->away_since)));
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
	 * Once addresses are given up, events there are none of ours, and
	 * nobody would wait for a flush: it has to be over before.
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
 * mirror_lock, while no group joins or leaves a domain: group.c says why, and
 * why this cannot wait for ever.
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

/* Ignore addresses that the mirror has lost: another VMA may be there by now. */
static bool mirror_is_concerned(struct mirror *m,
				const struct mmu_notifier_range *range)
{
	lockdep_assert_held(&m->container->mirror_lock);
	return spans_overlap(&m->pieces, range->start, range->end - 1);
}

/* False if that would have to wait, and may not. */
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

	/* only here, where reclaim never comes, there is something to wait for */
	lock_for_revocation(c);
	if (REVOKES && mirror_is_concerned(m, range)) {
		mmu_interval_set_seq(&m->notifier, seq);
		mirror_invalidate(m, range, finish);
	}
	mutex_unlock(&c->mirror_lock);
	return true;
}

/*
 * The mm has no users any more, and its page tables are about to go: wait for a look
 * of restore that began before (owner.c). A later one finds that there are no users.
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

	/* /proc/PID/clear_refs: the CPU can reach no less than before */
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

/* Give up all that is LIVE of an mm that has no users. */
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

/* Enter all extents, in place of what another mirror had, or none. */
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
 * What allocations that may not reclaim lacked, others that may can free, of
 * the machine or of the memory cgroup that pays: more at every try, since a
 * large range of small pages takes many tables.
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
 * -EAGAIN: an invalidation came in between. An mm without users is on its way
 * to RELEASE, or past it; one that loses them later has RELEASE before it.
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

/* The piece at or next above a user address. */
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
 * What this waits for may be the memory's going, which vfio-pci notes only after
 * it, up to 6.9 with no lock held in between. A fault there would hold what a
 * hot reset tries to take, so restore looks again another time.
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

/* The one that was asked for last comes first: it is the likeliest. */
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

/* The first of an mm takes all its locks, which a signal may interrupt. */
static int mirror_subscribe(struct mirror *m, struct mm_struct *mm)
{
	int ret = mmu_interval_notifier_insert(&m->notifier, mm,
					       m->first, m->seg.size,
					       &mirror_notifier_ops);

	return ret == -EINTR ? -ERESTARTNOINTR : ret;
}

/*
 * Its memory is where the user says, but off: it is REVOKED from the beginning, and
 * away since the mirror was that it replaces.
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

/* The first time. What replaces a mirror need not be on, nor need that have been. */
static int mirror_establish_first(struct mirror *m, struct segment *replaced)
{
	struct mirror *old = replaced ? to_mirror(replaced) : NULL;
	int ret = mirror_establish(m, UINT_MAX, old);

	if (ret == -ENXIO) {
		if (!old)
			return -EFAULT;
		mirror_begin_revoked(m, old);
		ret = 0;
	}
	/* part of it went meanwhile: a hole in a new mapping is an error */
	if (!ret && READ_ONCE(m->cuts))
		ret = -EFAULT;
	return ret;
}

/**
 * mirror_map() - Mirror device memory
 * @c: the container, its lock held
 * @mapping: the mapping
 * @offset: where in the mapping to start (bytes)
 * @size: how far it may reach (bytes)
 * @replaced: a mirror of the caller's own, older mapping of the same IOVAs, to
 *	      revoke in the moment in which the new one is entered, or NULL: then
 *	      the memory is the mapping's mm's, whose users the caller holds
 *
 * Goes as far as the VMAs are of the same file; all the way if it replaces. If
 * the memory is off, one that replaces is REVOKED and awaits restore.
 *
 * Return: a segment of at least one page, in no list, or an ERR_PTR: -EFAULT
 * if there is no device memory that may be mapped so, or if it is off and none
 * is replaced; -EPERM if strict_mmio_maps keeps it out; -ENOSPC if there are
 * too many mirrors; -ENOMEM; -EINTR; or what the IOMMU driver said.
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
	ret = backing_find(mm, first, first + size - 1, mapping->prot, &b);
	if (ret)
		return ERR_PTR(ret);
	if (replaced && b.last != first + size - 1)
		return ERR_PTR(-EFAULT);
	if (!c->mirrors_avail)
		return ERR_PTR(-ENOSPC);

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
		/* revoked, perhaps, for one that has not come to stay */
		if (replaced)
			mirror_await(replaced);
		return ERR_PTR(ret);
	}
	return &m->seg;
}

/**
 * mirror_unmap() - Unmap and free a mirror, in whatever state it is
 * @c: the container, its lock held
 * @s: the segment, in no list
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
 * mirror_stat() - What a mirror is doing
 * @s: the segment, its container's lock held
 * @first: first IOVA asked about, in the segment
 * @last: last IOVA
 * @stat: the answer
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
	/* every piece is in the IOMMU, or none */
	if (m->extents.nr)
		stat->live = left;
	else
		stat->revoked = left;
	stat->revocations = m->revocations;
	if (m->away_since)
		stat->away_ns = ktime_to_ns(ktime_sub(ktime_get(), m->away_since));
	mutex_unlock(&m->container->mirror_lock);
}

/** segment_backing() - What a segment mirrors, or NULL if it is RAM */
const struct backing *segment_backing(const struct segment *s)
{
	if (s->kind != SEGMENT_MIRROR)
		return NULL;
	return &container_of(s, struct mirror, seg)->backing;
}

/**
 * mirror_await() - Have a mirror restored that another one had replaced
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

/* --- Domains that come late: both locks held ---------------------------- */

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

/* All mirrors into the domain; on failure, those before the failed one out. */
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
 * mirror_join() - Put a new domain into a container's list, live mirrors in it
 * @c: the container, its lock held
 * @d: the domain
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
 * When to try again: after an eighth of the time that has passed since the revocation,
 * at most 25 ms in the first second and a second later.
 */
static ktime_t mirror_next_try(const struct mirror *m, ktime_t now)
{
	u64 age = ktime_to_ns(ktime_sub(now, m->revoked_at));
	u64 most = (age < NSEC_PER_SEC ? 25 : 1000) * NSEC_PER_MSEC;

	return ktime_add_ns(now, clamp_t(u64, age / 8, NSEC_PER_MSEC, most));
}

/* The first of those that wait for memory which is on by now. */
static struct mirror *mirror_first_on(struct container *c)
{
	struct source *s = list_first_entry_or_null(&c->on, struct source, state);

	lockdep_assert_held(&c->mirror_lock);
	return s ? list_first_entry(&s->waiting, struct mirror, at) : NULL;
}

/* The first of those whose time has come. */
static struct mirror *mirror_first_due(struct container *c, ktime_t now)
{
	struct timerqueue_node *next = timerqueue_getnext(&c->revoked);

	lockdep_assert_held(&c->mirror_lock);
	if (!next || ktime_compare(next->expires, now) > 0)
		return NULL;
	return container_of(next, struct mirror, retry);
}

/* What is to be tried next, if anything, put off to the time after that. */
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

/* Did a fault fail since the memory has gone off again? Then a look will tell when. */
static bool mirror_is_off_again(struct mirror *m)
{
	struct span piece;

	return mirror_find_piece(m, m->first, &piece) &&
	       !backing_memory_is_on(m->notifier.mm, piece.first,
				     m->seg.mapping->prot, &m->backing);
}

/* On the account of whoever mapped it, like the first time. */
static int mirror_try_restore(struct mirror *m)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(m->notifier.mm);
	struct mem_cgroup *old = set_active_memcg(memcg);
	int ret;

	m->backing.no_wait = true;
	ret = mirror_establish(m, RESTORE_TRIES, NULL);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
	return ret == -ENXIO && mirror_is_off_again(m) ? -EBUSY : ret;
}

/*
 * What a try that failed makes of a mirror, unless something else has come in
 * between. Memory that is off is for a look to find on again. A try that found a
 * lock taken, or collided with invalidations, looked at nothing: it is made up for,
 * however long the memory has been away.
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

/* Adds the time of a try that came to nothing. */
static bool restore_next(struct container *c, u64 *wasted_ns)
{
	ktime_t start = ktime_get();
	struct mirror *m = mirror_next_due(c);
	int ret;

	lockdep_assert_held(&c->lock);
	if (!m)
		return false;
	ret = mirror_try_restore(m);

	mutex_lock(&c->mirror_lock);
	c->looking_at = NULL;
	if (ret)
		mirror_put_off(m, ret);
	mutex_unlock(&c->mirror_lock);

	/* waiting took no CPU, but all mirrors of that memory had better rest */
	if (ret == -EINPROGRESS)
		*wasted_ns += WASTE_NS;
	else if (ret)
		*wasted_ns += ktime_to_ns(ktime_sub(ktime_get(), start));
	return true;
}

/* The source whose turn it is to be looked at, if any, put behind the others. */
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

/* Of a mirror that still waits. If it could not tell, another of its source may. */
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

/* One look at one device, by one of the mirrors that wait for it. */
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
	on = backing_memory_is_on(m->notifier.mm, addr, m->seg.mapping->prot,
				  &m->backing);

	mutex_lock(&c->mirror_lock);
	c->looking_at = NULL;
	if (mirror_awaits_memory(m))
		source_was_looked_at(c, m, now, on);
	mutex_unlock(&c->mirror_lock);
	*wasted_ns += ktime_to_ns(ktime_sub(ktime_get(), now));
	return true;
}

/* One look or one try, if nobody else has the lock. */
static bool restore_step(struct container *c, u64 *wasted_ns)
{
	bool more;

	if (!mutex_trylock(&c->lock)) {
		*wasted_ns += WASTE_NS;
		return false;
	}
	more = source_look_next(c, wasted_ns) || restore_next(c, wasted_ns);
	mutex_unlock(&c->lock);
	return more;
}

/*
 * A user may have many mirrors of a dead device, or mirrors of many pieces one
 * of which is protected: what comes to nothing is followed by a rest, so that it
 * takes a share of one CPU, however slow that is. What succeeds is not held up.
 */
static void restore_run(struct work_struct *work)
{
	struct container *c = container_of(to_delayed_work(work),
					   struct container, restore_work);
	u64 wasted_ns = 0;

	while (wasted_ns < WASTE_NS && restore_step(c, &wasted_ns))
		cond_resched();

	mutex_lock(&c->mirror_lock);
	c->restore_rests_until = ktime_add_ns(ktime_get(), RESTS * wasted_ns);
	restore_schedule(c);
	mutex_unlock(&c->mirror_lock);
}

/**
 * mirror_restore_init() - Prepare a new container's restore and watch
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
 * mirror_restore_exit() - The end of a container's restore and watch
 * @c: the container, which has no mirrors any more
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
