// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings: making them and taking them away. A mapping is made whole or not at all.
 *
 * While a container has no domain, only emulated devices, its mappings have
 * no segments: nobody but those devices' drivers uses the memory, by the page
 * (emulated.c). The first domain populates them, the last one to go
 * depopulates them again.
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
#include "span.h"
#include "trace.h"
#include "tree.h"

/* How often drivers are asked to give pins back: others may pin anew meanwhile. */
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

/* What remains charged is what pins of emulated devices pay, if any are left. */
static void mapping_depopulate(struct container *c, struct mapping *m)
{
	struct segment *s, *tmp;
	unsigned long payable;

	lockdep_assert_held(&c->lock);
	list_for_each_entry_safe(s, tmp, &m->segments, node) {
		list_del(&s->node);
		trace_unmap(c, s, segment_backing(s));
		if (s->kind == SEGMENT_PINNED)
			pinned_unmap(c, s);
		else
			mirror_unmap(c, s);
	}
	payable = emulated_charged(c, m, 0, mapping_size(m));
	uncharge(c, m, m->charged - min(m->charged, payable));
}

/* Whatever of it is mapped: also the way back from half a mapping. */
static void mapping_destroy(struct container *c, struct mapping *m)
{
	lockdep_assert_held(&c->lock);
	mapping_depopulate(c, m);
	/* no unmap gets here with pins, and a device that is closed has none */
	WARN_ON(!xa_empty(&m->pins));
	if (m->stale)
		c->nr_stale--;
	kvfree(m->dirty);
	put_task_struct(m->task);
	mmdrop(m->mm);
	kfree(m);
}

/*
 * Most memory can be pinned, and pinning tells: only where it cannot is it
 * worth to look at what is there.
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
		trace_map(c, s, segment_backing(s));
		done += s->size;
	}
	return 0;
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
 * -ENOSPC if there are as many mappings as may be, -EINVAL if the IOVAs are
 * not usable, -EPERM for memory that strict_mmio_maps keeps out, -EFAULT for
 * addresses with no suitable memory, -ENOMEM.
 */
int mapping_map(struct container *c, u64 iova, u64 vaddr, u64 size, int prot)
{
	u64 last = iova + size - 1;
	struct mapping *m;
	int ret = 0;

	lockdep_assert_held(&c->lock);
	if (mapping_first(c, iova, last))
		return -EEXIST;
	if (!c->mappings_avail)
		return -ENOSPC;
	if (!list_empty(&c->usable) && !spans_contain(&c->usable, iova, last))
		return -EINVAL;

	m = mapping_create(iova, vaddr, size, prot);
	if (!m)
		return -ENOMEM;

	if (!list_empty(&c->domains))
		ret = mapping_populate(c, m);
	if (!ret)
		ret = dirty_track(c, m);
	if (ret) {
		mapping_destroy(c, m);
		return ret;
	}

	interval_tree_insert(&m->node, &c->mappings);
	c->mappings_avail--;
	return 0;
}

/*
 * Two that go together: if one process pays for both, the second is uncharged for
 * the first, too. With many small mappings the mm's lock would cost more than they do.
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

/* All of it can leave the IOMMU in one go, with its neighbours. */
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

/* What a driver does not unmap is for pinned_unmap() to find out. */
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
 * This mapping and all up to @last leave the IOMMU. A call of its driver can cost
 * more than all else, and a flush more than that: one call serves mappings that
 * follow each other, and one flush all, before the first page is unpinned. With
 * many mappings it is looking at each that costs, so each is looked at once.
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

/* This mapping and all up to @last. */
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

/* @m is the lowest mapping of the range. */
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
 * Return: true if a mapping lies on both sides of either end.
 */
bool mapping_would_split(struct container *c, u64 first, u64 last)
{
	lockdep_assert_held(&c->lock);
	return range_splits(c, mapping_first(c, first, last), first, last);
}

/*
 * What an unmap of the range means. A type1v2 unmap may not cut a mapping;
 * for type1 one that starts below hides all above it, and one that reaches
 * beyond goes whole.
 */
static struct mapping *unmap_first(struct container *c, u64 first, u64 last)
{
	struct mapping *m = mapping_first(c, first, last);

	if (c->v2 && range_splits(c, m, first, last))
		return ERR_PTR(-EINVAL);
	return m && m->node.start >= first ? m : NULL;
}

/* This mapping, or the first above it up to @last, in which devices have pins. */
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
 * Tell emulated devices of each mapping in which they have pins, this one and
 * all up to @last. Their drivers are told without the lock, after which anything
 * may have changed: so it goes on by IOVA.
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
 * Have emulated devices give back all pins in the range. Returns what
 * unmap_first() has at the end. A mapping that still has pins may not go: the
 * drivers would go on using pages that nobody could give back any more.
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
 * @dirty: if not NULL, what gets the dirty bits, the first for @first; large
 *	   enough, and the log is on
 * @unmapped: set to the number of bytes that were mapped
 *
 * On return no device can reach them.
 *
 * Return: 0, also if nothing was mapped; with all still mapped, -EINVAL if a
 * mapping would be cut or the log is off by now, -EBUSY if drivers of emulated
 * devices do not give their pins back, -EFAULT if the bits cannot be written.
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
		/* the lock may have been dropped since the caller looked */
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
 * mapping_unmap_all() - Unmap everything; no emulated device has pins
 * @c: the container, its lock held
 */
void mapping_unmap_all(struct container *c)
{
	struct mapping *m = mapping_first(c, 0, U64_MAX), *next;

	lockdep_assert_held(&c->lock);
	unmap_entries(c, m, U64_MAX);
	/* from the leaves up: nobody looks at the tree any more */
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
 * mapping_set_stale() - The user addresses of a range are about to change
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 * @size: set to the number of bytes mapped there
 *
 * Devices reach what they did.
 *
 * Return: 0; with nothing changed, -EINVAL if a mapping would be cut or is
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

/* Segments of device memory follow; pinned pages are what they are. */
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

/* The old mirrors come back by themselves, if their memory is still there. */
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
 * RAM is taken on trust to be the same. Device memory is mirrored from the
 * new address on, once it is on if it is off.
 *
 * Return: 0; with the mapping still stale: -ENOENT if there is none, -EINVAL
 * if it is not exactly this or not stale, -EFAULT if device memory is not at
 * the new address, -ENOMEM, -EINTR.
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
	if (!m)
		return -ENOENT;
	if (!m->stale || m->node.start != iova || m->node.last != last)
		return -EINVAL;

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
		trace_unmap(c, s, segment_backing(s));
		mirror_unmap(c, s);
	}
	list_for_each_entry(s, &m->segments, node)
		if (s->kind == SEGMENT_MIRROR)
			trace_map(c, s, segment_backing(s));
	m->stale = false;
	c->nr_stale--;
	return 0;
}

/**
 * mapping_all_within() - Would every mapping fit into these spans of IOVA?
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
 * Return: 0, or a negative errno; @d then has an unknown part of it and is
 * fit only to be destroyed.
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
 * mapping_depopulate_all() - The last domain is about to go; mappings stay
 * @c: the container, its lock held
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
 * mapping_populate_all() - The first domain has come: map everything
 * @c: the container, its lock held
 *
 * Return: 0, or an errno as mapping_map() has it, also if the process that
 * made a mapping is gone (-EFAULT) or as owner_use() has it, and nothing is
 * mapped.
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
