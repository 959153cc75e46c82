// SPDX-License-Identifier: GPL-2.0-only
/*
 * Making and removing mappings. A mapping is made whole or not at all.
 *
 * A mapping consists of segments (tree.h), which own its IOMMU entries. A container
 * that has emulated devices only has no domain, and its mappings have no segments: only
 * the drivers of those devices use the memory, page by page (emulated.c). When the
 * container gets its first domain, this file makes the segments of all its mappings
 * (populates them); before its last domain is destroyed, this file frees all segments
 * (depopulates the mappings).
 *
 * container->lock guards the tree and everything in it; the caller of every
 * function here holds it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/err.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "charge.h"
#include "container.h"
#include "dirty.h"
#include "domain.h"
#include "emulated.h"
#include "extent.h"
#include "mapping.h"
#include "mirror.h"
#include "owner.h"
#include "pinned.h"
#include "reason.h"
#include "span.h"
#include "stats.h"
#include "trace.h"
#include "tree.h"

/*
 * How often an unmap asks the drivers of emulated devices to give their pins back
 * before it fails. Once may not be enough, since a driver that has given its pins back
 * may pin pages again while the next driver is asked.
 */
#define NOTIFY_TRIES	10

static struct mapping *mapping_create(u64 iova, u64 vaddr, u64 size, int prot)
{
	struct mapping *m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);

	if (!m)
		return NULL;

	m->node.start = iova;
	m->node.last = iova + size - 1;
	m->vaddr = untagged_addr((unsigned long)vaddr);
	m->prot = prot;
	m->lock_cap = capable(CAP_IPC_LOCK);
	m->mm = current->mm;
	mmgrab(m->mm);
	m->task = get_task_struct(current->group_leader);
	m->made_at = ktime_get();
	INIT_LIST_HEAD(&m->segments);
	xa_init(&m->pins);
	return m;
}

static void tell_map(const struct container *c, const struct segment *s)
{
	stats_add(s->kind == SEGMENT_MIRROR ? STAT_MAPPED_MIRROR :
					      STAT_MAPPED_PINNED, s->size);
	trace_map(c, s, segment_backing(s));
}

static void tell_unmap(const struct container *c, const struct segment *s)
{
	stats_add(s->kind == SEGMENT_MIRROR ? STAT_UNMAPPED_MIRROR :
					      STAT_UNMAPPED_PINNED, s->size);
	trace_unmap(c, s, segment_backing(s));
}

/*
 * Unmap and free all segments. Pages that emulated devices have pinned stay charged
 * to the mapping; all other pages are uncharged.
 */
static void mapping_depopulate(struct container *c, struct mapping *m)
{
	struct segment *s, *tmp;
	unsigned long payable;

	lockdep_assert_held(&c->lock);
	list_for_each_entry_safe(s, tmp, &m->segments, node) {
		list_del(&s->node);
		tell_unmap(c, s);
		if (s->kind == SEGMENT_PINNED)
			pinned_unmap(c, s);
		else
			mirror_unmap(c, s);
	}
	payable = emulated_charged(c, m, 0, mapping_size(m));
	uncharge(c, m, m->charged - min(m->charged, payable));
}

/*
 * Free a mapping that is not in the container's tree. It may have all of its segments,
 * or only some if an error ended mapping_populate().
 */
static void mapping_destroy(struct container *c, struct mapping *m)
{
	lockdep_assert_held(&c->lock);
	mapping_depopulate(c, m);
	/* none: with pins an unmap is refused, and closing a device ends its pins */
	WARN_ON(!xa_empty(&m->pins));
	if (m->stale)
		c->nr_stale--;
	kvfree(m->dirty);
	put_task_struct(m->task);
	mmdrop(m->mm);
	kfree(m);
}

/*
 * Make the segments of a mapping. Try to pin the memory first, since most memory is
 * RAM. Only if pinning fails with -EFAULT does mirror_map() search the process's VMAs
 * for device memory.
 */
static int mapping_populate(struct container *c, struct mapping *m)
{
	size_t size = mapping_size(m), done = 0;
	struct segment *s;

	while (done < size) {
		s = pinned_map(c, m, done, size - done);
		if (s == ERR_PTR(-EFAULT))
			s = mirror_map(c, m, done, size - done, NULL);
		if (IS_ERR(s))
			return PTR_ERR(s);

		list_add_tail(&s->node, &m->segments);
		tell_map(c, s);
		done += s->size;
	}
	return 0;
}

static int refuse_overlap(struct container *c, const struct mapping *m)
{
	reason_set(c, "IOVAs 0x%llx to 0x%llx are mapped already, by %s[%d]",
		   (u64)m->node.start, (u64)m->node.last, m->task->comm,
		   m->task->tgid);
	return -EEXIST;
}

/*
 * Name the span of usable IOVAs that the range leaves: the one in which it begins, else
 * the next one above its beginning, else the highest one.
 */
static int refuse_unusable(struct container *c, u64 iova)
{
	const struct span *s;

	list_for_each_entry(s, &c->usable, node)
		if (s->last >= iova || list_is_last(&s->node, &c->usable))
			break;
	reason_set_loud(c, "not all in the usable IOVAs 0x%llx to 0x%llx",
			s->first, s->last);
	return -EINVAL;
}

/**
 * mapping_map() - Map memory of the calling process
 * @c: the container, its lock held
 * @iova: first device address, aligned to the container's granule (bytes)
 * @vaddr: first user address, aligned likewise (bytes)
 * @size: length, aligned likewise (bytes), not 0; neither range may wrap
 * @prot: IOMMU_READ, IOMMU_WRITE or both
 *
 * Return: 0, or with nothing mapped: -EEXIST if an IOVA is mapped already,
 * -ENOSPC if the container has as many mappings or mirrors as it may have,
 * -EINVAL if the IOVAs are not usable or the dirty log is on and the range is too
 * large for it, -EPERM for memory that the parameters forbid, -EFAULT for
 * addresses without suitable memory, -ENOMEM, -EINTR if the caller is being
 * killed, -ERESTARTNOINTR if a signal came, or the IOMMU driver's errno.
 */
int mapping_map(struct container *c, u64 iova, u64 vaddr, u64 size, int prot)
{
	u64 last = iova + size - 1;
	struct mapping *m;
	int ret = 0;

	lockdep_assert_held(&c->lock);
	m = mapping_first(c, iova, last);
	if (m)
		return refuse_overlap(c, m);
	if (!c->mappings_avail) {
		reason_set_loud(c, "the container has its %u mappings (dma_entry_limit)",
				c->mappings_max);
		return -ENOSPC;
	}
	if (!list_empty(&c->usable) && !spans_contain(&c->usable, iova, last))
		return refuse_unusable(c, iova);

	m = mapping_create(iova, vaddr, size, prot);
	if (!m)
		return -ENOMEM;

	if (!list_empty(&c->domains))
		ret = mapping_populate(c, m);
	if (!ret) {
		ret = dirty_track(c, m);
		if (ret == -EINVAL)
			reason_set(c, "too large for the dirty log, which is on");
	}
	if (ret) {
		mapping_destroy(c, m);
		return ret;
	}

	interval_tree_insert(&m->node, &c->mappings);
	c->mappings_avail--;
	return 0;
}

/*
 * The caller removes @m, and then @next. If the same mm pays for both, move the charge
 * of @m to @next, so that both are uncharged at once. Each uncharge takes mmap_lock,
 * and with many small mappings that would cost more than the rest of their removal.
 */
static void mapping_uncharge_with(struct mapping *m, struct mapping *next)
{
	if (!next || next->mm != m->mm)
		return;
	next->charged += m->charged;
	m->charged = 0;
}

static u64 mapping_remove(struct container *c, struct mapping *m)
{
	u64 size = mapping_size(m);

	interval_tree_remove(&m->node, &c->mappings);
	mapping_destroy(c, m);
	c->mappings_avail++;
	return size;
}

/*
 * Can one call unmap this mapping together with the mappings next to it? It can if all
 * of its segments are RAM and remember their pinned pages, so that the pages can be
 * unpinned when their IOMMU entries are gone.
 */
static bool mapping_all_remembered(struct container *c, const struct mapping *m)
{
	struct segment *s;

	list_for_each_entry(s, &m->segments, node)
		if (s->kind != SEGMENT_PINNED || !pinned_remembered(c, s))
			return false;
	return !list_empty(&m->segments);
}

static void mapping_set_mapped(struct container *c, struct mapping *m,
			       bool mapped)
{
	struct segment *s;

	list_for_each_entry(s, &m->segments, node)
		pinned_set_mapped(c, s, mapped);
}

/*
 * Unmap @from, @to and the mappings between them, which adjoin each other, with one
 * call and without a flush. The caller has marked their segments as unmapped. If the
 * IOMMU driver leaves entries behind, mark the segments as mapped again: then
 * pinned_unmap() unmaps each segment by itself, and leaves the pages pinned that are
 * still mapped.
 */
static void unmap_adjacent(struct container *c, struct mapping *from,
			   struct mapping *to)
{
	u64 last = to->node.last;
	struct extent whole = {
		.iova = from->node.start,
		.len = last - from->node.start + 1,
	};
	struct extents ex = { .v = &whole, .nr = 1 };

	if (domains_unmap_unflushed(c, &ex, SEGMENT_PINNED))
		return;
	for (; from; from = mapping_next(c, from, last)) {
		mapping_set_mapped(c, from, true);
		cond_resched();
	}
}

/*
 * Unmap the IOMMU entries of @m and of all mappings above it up to @last. Skip mappings
 * with a mirror or a scattered segment (pinned.c): mapping_destroy() unmaps those. A
 * call of the IOMMU driver can cost more than the other work of an unmap, and a flush
 * more than a call. So one call serves all mappings with adjacent IOVAs, and one flush
 * serves all calls, before the first page is unpinned. With many mappings, most of the
 * time goes into visiting them, so this visits each only once.
 */
static void unmap_entries(struct container *c, struct mapping *m, u64 last)
{
	struct mapping *from = NULL, *to = NULL;

	for (; m; m = mapping_next(c, m, last)) {
		cond_resched();
		if (!mapping_all_remembered(c, m))
			continue;
		if (from && to->node.last + 1 != m->node.start) {
			unmap_adjacent(c, from, to);
			from = NULL;
		}
		from = from ?: m;
		to = m;
		mapping_set_mapped(c, m, false);
	}
	if (from)
		unmap_adjacent(c, from, to);
	domains_flush(c, SEGMENT_PINNED);
}

/*
 * Remove @from and every mapping above it that begins at or below IOVA @last. Returns
 * the sum of their sizes (bytes).
 */
static u64 mappings_remove_from(struct container *c, struct mapping *from,
				u64 last)
{
	struct mapping *m, *next;
	u64 size = 0;

	unmap_entries(c, from, last);
	for (m = from; m; m = next) {
		next = mapping_next(c, m, last);
		mapping_uncharge_with(m, next);
		size += mapping_remove(c, m);
		cond_resched();
	}
	return size;
}

/*
 * Is a mapping partly inside and partly outside of the range? @m is the lowest mapping
 * with an IOVA in the range, or NULL.
 */
static bool range_splits(struct container *c, struct mapping *m, u64 first,
			 u64 last)
{
	if (m && m->node.start >= first && m->node.last < last)
		m = mapping_first(c, last, last);
	return m && (m->node.start < first || m->node.last > last);
}

/**
 * mapping_would_split() - Would an end of the range split a mapping?
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 *
 * Return: true if a mapping has IOVAs in the range and also below or above it.
 */
bool mapping_would_split(struct container *c, u64 first, u64 last)
{
	lockdep_assert_held(&c->lock);
	return range_splits(c, mapping_first(c, first, last), first, last);
}

/*
 * Find the first mapping that an unmap of the range removes, or NULL. In a type1v2
 * container the range must not split a mapping (-EINVAL). In a type1 container
 * nothing is removed if the range begins inside a mapping, and a mapping that
 * reaches beyond the end of the range is removed whole.
 */
static struct mapping *unmap_first(struct container *c, u64 first, u64 last)
{
	struct mapping *m = mapping_first(c, first, last);

	if (c->v2 && range_splits(c, m, first, last))
		return ERR_PTR(-EINVAL);
	return m && m->node.start >= first ? m : NULL;
}

/*
 * Return the lowest mapping, from @m up to @last, in which emulated devices have pins;
 * NULL if there is none.
 */
static struct mapping *first_with_pins(struct container *c, struct mapping *m,
				       u64 last)
{
	while (m && xa_empty(&m->pins)) {
		m = mapping_next(c, m, last);
		cond_resched();
	}
	return m;
}

/*
 * Ask the drivers of emulated devices to give their pins back, for each mapping with
 * pins from @m up to @last. emulated_notify_unmap() drops container->lock while it
 * calls the drivers, and another thread may remove any mapping meanwhile. So look the
 * next mapping up by its IOVA.
 */
static void ask_for_pins(struct container *c, struct mapping *m, u64 last)
{
	u64 told;

	while ((m = first_with_pins(c, m, last))) {
		told = m->node.last;
		emulated_notify_unmap(c, m);
		m = told < last ? mapping_first(c, told + 1, last) : NULL;
	}
}

/*
 * Have the drivers of emulated devices give back all pins in the range; if there are
 * any, this drops container->lock and takes it again. Returns the result of
 * unmap_first() when no pins are left, or -EBUSY if the drivers keep some. A mapping is
 * not removed with its pins, since no record would be left of the pages that the
 * drivers still use.
 */
static struct mapping *release_pins(struct container *c, u64 first, u64 last)
{
	unsigned int tries = NOTIFY_TRIES;
	struct mapping *from;

	for (;;) {
		from = unmap_first(c, first, last);
		if (IS_ERR(from) || !first_with_pins(c, from, last))
			return from;
		if (!tries--)
			break;
		ask_for_pins(c, from, last);
	}
	pr_warn_ratelimited("%s[%d]: an emulated device keeps pages pinned: unmap refused\n",
			    current->comm, task_pid_nr(current));
	return ERR_PTR(-EBUSY);
}

/**
 * mapping_unmap() - Unmap a range of IOVAs
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 * @dirty: if not NULL, the user's bitmap, which gets the dirty bits of the range; its
 *	   first bit is for @first. The caller has checked that it is large enough and
 *	   that the dirty log is on
 * @unmapped: set to the number of bytes that were mapped
 *
 * Drops container->lock and takes it again while drivers of emulated devices are asked
 * to give pins back. On return no device can reach the memory that was unmapped.
 *
 * Return: 0, also if nothing was mapped; with everything still mapped, -EINVAL if a
 * mapping would be split, or if by now the dirty log is off or has another page size;
 * -EBUSY if drivers of emulated devices do not give their pins back; -EFAULT if the
 * bits cannot be written.
 */
int mapping_unmap(struct container *c, u64 first, u64 last,
		  const struct vfio_bitmap *dirty, u64 *unmapped)
{
	struct mapping *m;
	int ret;

	lockdep_assert_held(&c->lock);
	*unmapped = 0;
	m = release_pins(c, first, last);
	if (IS_ERR_OR_NULL(m))
		return PTR_ERR_OR_ZERO(m);

	if (dirty) {
		/* release_pins() may have dropped the lock: check the log again */
		if (!dirty_log_has(c, dirty))
			return -EINVAL;
		ret = dirty_report(c, first, last, first, dirty->data);
		if (ret)
			return ret;
	}
	*unmapped = mappings_remove_from(c, m, last);
	return 0;
}

/**
 * mapping_unmap_all() - Unmap everything, when no emulated device has pins any more
 * @c: the container, its lock held
 */
void mapping_unmap_all(struct container *c)
{
	struct mapping *m = mapping_first(c, 0, U64_MAX), *next;

	lockdep_assert_held(&c->lock);
	unmap_entries(c, m, U64_MAX);
	/* children first, without rebalancing: no other code uses the tree any more */
	rbtree_postorder_for_each_entry_safe(m, next, &c->mappings.rb_root,
					     node.rb) {
		mapping_uncharge_with(m, next);
		mapping_destroy(c, m);
		c->mappings_avail++;
		cond_resched();
	}
	c->mappings = RB_ROOT_CACHED;
}

/**
 * mapping_set_stale() - Note that the user addresses of a range are about to change
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 * @size: set to the number of bytes mapped there
 *
 * Devices still reach the memory that they reached before.
 *
 * Return: 0; with nothing changed, -EINVAL if a mapping would be split or is
 * stale already.
 */
int mapping_set_stale(struct container *c, u64 first, u64 last, u64 *size)
{
	struct mapping *m, *from = unmap_first(c, first, last);

	lockdep_assert_held(&c->lock);
	*size = 0;
	if (IS_ERR(from))
		return PTR_ERR(from);

	for (m = from; m; m = mapping_next(c, m, last))
		if (m->stale)
			return -EINVAL;
	for (m = from; m; m = mapping_next(c, m, last)) {
		m->stale = true;
		c->nr_stale++;
		*size += mapping_size(m);
	}
	return 0;
}

/*
 * Replace each mirror of a mapping by one at the mapping's new user address. Each old
 * mirror goes to @replaced; it was revoked if the new one is LIVE. After an error,
 * @replaced has the mirrors that were replaced before it. The caller frees the old
 * mirrors or puts them back with mapping_put_mirrors_back(). Segments of RAM are not
 * replaced, since their pages stay pinned.
 */
static int mapping_replace_mirrors(struct container *c, struct mapping *m,
				   struct list_head *replaced)
{
	struct segment *s, *tmp, *new;

	list_for_each_entry_safe(s, tmp, &m->segments, node) {
		if (s->kind != SEGMENT_MIRROR)
			continue;
		new = mirror_map(c, m, s->offset, s->size, s);
		if (IS_ERR(new))
			return PTR_ERR(new);
		list_replace(&s->node, &new->node);
		list_add(&s->node, replaced);
	}
	return 0;
}

/*
 * Free the new mirrors and put the old ones back into the mapping. Queue the old ones
 * that were revoked for restore, which maps them again if their memory is still at the
 * old address.
 */
static void mapping_put_mirrors_back(struct container *c, struct mapping *m,
				     struct list_head *replaced)
{
	struct segment *s, *old, *tmp;

	list_for_each_entry_safe(old, tmp, replaced, node) {
		list_for_each_entry(s, &m->segments, node)
			if (s->offset == old->offset)
				break;
		list_del(&old->node);
		list_replace(&s->node, &old->node);
		mirror_unmap(c, s);
		mirror_await(old);
	}
}

/**
 * mapping_set_vaddr() - Give a stale mapping its new user address
 * @c: the container, its lock held
 * @iova: first IOVA of the mapping
 * @vaddr: where its memory is now, in the calling process (bytes)
 * @size: its size (bytes)
 *
 * For RAM, this does not check that the same pages are at the new address, but trusts
 * the program. Device memory is mirrored at the new address; if the device has its
 * memory turned off, restore maps it when it is on. From now on the calling process is
 * charged.
 *
 * Return: 0; with the mapping still stale: -ENOENT if no mapping has any of these
 * IOVAs, -EINVAL if no mapping has exactly these IOVAs or it is not stale, -EFAULT if
 * there is no suitable device memory at the new address, -EPERM if the parameters
 * forbid the memory, -ENOSPC if the container has no room for a second mirror of the
 * IOVAs, -ENOMEM if memory cannot be allocated or RLIMIT_MEMLOCK would be exceeded,
 * -EINTR, -ERESTARTNOINTR if a signal came, or the IOMMU driver's errno.
 */
int mapping_set_vaddr(struct container *c, u64 iova, u64 vaddr, u64 size)
{
	u64 last = iova + size - 1;
	struct mapping *m = mapping_first(c, iova, last);
	unsigned long old_vaddr;
	struct segment *s, *tmp;
	LIST_HEAD(replaced);
	int ret;

	lockdep_assert_held(&c->lock);
	if (!m) {
		reason_set(c, "nothing is mapped there that could get a new user address");
		return -ENOENT;
	}
	if (!m->stale || m->node.start != iova || m->node.last != last) {
		reason_set(c, "not exactly the IOVAs of a mapping without a user address");
		return -EINVAL;
	}

	old_vaddr = m->vaddr;
	m->vaddr = untagged_addr((unsigned long)vaddr);
	ret = mapping_replace_mirrors(c, m, &replaced);
	if (!ret)
		ret = charge_move_to_current(c, m);
	if (ret) {
		m->vaddr = old_vaddr;
		mapping_put_mirrors_back(c, m, &replaced);
		return ret;
	}

	list_for_each_entry_safe(s, tmp, &replaced, node) {
		tell_unmap(c, s);
		mirror_unmap(c, s);
	}
	list_for_each_entry(s, &m->segments, node)
		if (s->kind == SEGMENT_MIRROR)
			tell_map(c, s);
	m->stale = false;
	c->nr_stale--;
	return 0;
}

/**
 * mapping_all_within() - Does every mapping lie in these spans of IOVAs?
 * @c: the container, its lock held
 * @spans: the spans
 *
 * Return: true if each mapping lies in one of them.
 */
bool mapping_all_within(struct container *c, const struct list_head *spans)
{
	struct mapping *m;

	lockdep_assert_held(&c->lock);
	for_each_mapping(m, c)
		if (!spans_contain(spans, m->node.start, m->node.last))
			return false;
	return true;
}

/**
 * mapping_join() - Map the pinned memory of every mapping in a new domain
 * @c: the container, its lock held
 * @d: the domain, not in the container's list yet
 *
 * Return: 0, or a negative errno; then an unknown part of the memory is mapped in @d,
 * and the caller has to destroy @d.
 */
int mapping_join(struct container *c, struct domain *d)
{
	struct mapping *m;
	struct segment *s;
	int ret;

	lockdep_assert_held(&c->lock);
	for_each_mapping(m, c) {
		list_for_each_entry(s, &m->segments, node) {
			if (s->kind != SEGMENT_PINNED)
				continue;
			ret = pinned_join(c, s, d);
			if (ret)
				return ret;
		}
	}
	return 0;
}

/**
 * mapping_depopulate_all() - Free the segments of every mapping
 * @c: the container, its lock held
 *
 * Called when the last domain is about to be destroyed. The mappings stay, for
 * emulated devices.
 */
void mapping_depopulate_all(struct container *c)
{
	struct mapping *m;

	lockdep_assert_held(&c->lock);
	for_each_mapping(m, c)
		mapping_depopulate(c, m);
}

static int mapping_populate_used(struct container *c, struct mapping *m)
{
	int ret = owner_use(c, m->mm);

	if (ret)
		return ret == -ENODEV ? -EFAULT : ret;
	ret = mapping_populate(c, m);
	owner_let_go(c, m->mm);
	return ret;
}

/**
 * mapping_populate_all() - Make the segments of every mapping
 * @c: the container, its lock held
 *
 * Called when the container has got its first domain.
 *
 * Return: 0; with nothing mapped, an errno as mapping_map() returns it, -EFAULT
 * also if the process that made a mapping has ended, or -EBUSY as owner_use()
 * returns it.
 */
int mapping_populate_all(struct container *c)
{
	struct mapping *m;
	int ret;

	lockdep_assert_held(&c->lock);
	for_each_mapping(m, c) {
		ret = mapping_populate_used(c, m);
		if (ret) {
			mapping_depopulate_all(c);
			return ret;
		}
	}
	return 0;
}
