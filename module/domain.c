// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains: attaching and detaching groups, and writing IOMMU entries.
 *
 * container->lock guards the groups. The list of domains is changed with
 * container->mirror_lock held too, since revocation walks it; a new domain
 * gets the live mirrors in the critical section in which it joins the list
 * (mirror_join()), so no revocation can miss it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "compat/compat.h"
#include "compat/unmap.h"
#include "container.h"
#include "dirty.h"
#include "domain.h"
#include "extent.h"
#include "iova.h"
#include "mapping.h"
#include "mirror.h"
#include "params.h"
#include "span.h"

#ifdef TETHER_SEPARATE_DOMAINS
#define SHARE_DOMAINS	false
#else
#define SHARE_DOMAINS	true
#endif

/* For tests alone: as if this were the smallest page of every IOMMU. */
#ifdef TETHER_LARGE_PAGES
#define SMALLEST_PAGE	SZ_64K
#else
#define SMALLEST_PAGE	1UL
#endif

/* At most this much between two looks at the scheduler; a power of two. */
#define MAP_STEP	SZ_1G
#define UNMAP_STEP	(16UL * SZ_1G)

static struct group *group_find(struct container *c, struct iommu_group *iommu,
				struct domain **in)
{
	struct domain *d;
	struct group *g;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node) {
		list_for_each_entry(g, &d->groups, node) {
			if (g->iommu == iommu) {
				*in = d;
				return g;
			}
		}
	}
	return NULL;
}

/*
 * A step ends where an aligned one does, so that no large page is cut, and is one
 * call of the driver: if several were made and the last fails, the core unmaps the
 * others, in one gather (compat/unmap.h says why that must not be).
 */
static size_t map_step(struct domain *d, const struct extent *e, size_t done)
{
	dma_addr_t iova = e->iova + done;
	size_t step;

	if (READ_ONCE(disable_hugepages))
		return PAGE_SIZE;
	step = min_t(size_t, e->len - done, MAP_STEP - (iova & (MAP_STEP - 1)));
	return compat_driver_call(d->iommu, iova, e->phys + done, step);
}

/*
 * How much of a step that could not be mapped is in the tables all the same.
 * VT-d's driver, when it runs out of memory in the middle, leaves what it had
 * entered and does not tell the core, which then undoes none of it. Only what
 * is there may be unmapped: of a hole that driver takes more than it is told.
 */
static size_t left_behind(struct domain *d, dma_addr_t iova, size_t step)
{
	size_t len;

	for (len = 0; len < step; len += PAGE_SIZE) {
		if (!iommu_iova_to_phys(d->iommu, iova + len))
			break;
		cond_resched();
	}
	return len;
}

/**
 * domain_map() - Map an extent in one domain
 * @d: the domain
 * @e: the extent
 * @prot: IOMMU_* permissions and memory type
 * @gfp: for the IOMMU's page tables; under mirror_lock it must not reclaim
 *
 * Return: 0, or a negative errno with nothing of @e mapped.
 */
int domain_map(struct domain *d, const struct extent *e, int prot, gfp_t gfp)
{
	struct extent mapped = { .iova = e->iova };
	size_t step;
	int ret;

	while (mapped.len < e->len) {
		step = map_step(d, e, mapped.len);
		ret = iommu_map(d->iommu, e->iova + mapped.len,
				e->phys + mapped.len, step, prot, gfp);
		if (ret) {
			mapped.len += left_behind(d, e->iova + mapped.len, step);
			domain_unmap(d, &mapped, 1);
			return ret;
		}
		mapped.len += step;
		cond_resched();
	}
	return 0;
}

/* What was unmapped and not flushed is under the lock of those segments. */
static void assert_unflushed(const struct container *c, enum segment_kind kind)
{
	lockdep_assert_held(kind == SEGMENT_MIRROR ? &c->mirror_lock : &c->lock);
}

/**
 * domains_map() - Map an extent in every domain of a container
 * @c: the container, its lock or mirror_lock held
 * @e: the extent
 * @prot: as for domain_map()
 * @gfp: as for domain_map()
 *
 * Return: 0, or a negative errno with nothing of @e mapped anywhere.
 */
int domains_map(struct container *c, const struct extent *e, int prot,
		gfp_t gfp)
{
	struct domain *d;
	int ret;

	container_assert_domains(c);
	list_for_each_entry(d, &c->domains, node) {
		ret = domain_map(d, e, prot, gfp);
		if (ret)
			goto unwind;
	}
	return 0;

unwind:
	list_for_each_entry_continue_reverse(d, &c->domains, node)
		domain_unmap(d, e, 1);
	return ret;
}

/*
 * Adjacent extents. The steps end where map_step() may have ended one, never
 * in a large page. A driver that leaves an entry behind is beyond our help,
 * but not unnoticed; the rest still goes.
 */
static bool unmap_range(struct domain *d, dma_addr_t iova, size_t len,
			struct iommu_iotlb_gather *gather)
{
	size_t step, gone;
	bool all = true;

	while (len) {
		step = min_t(size_t, len, UNMAP_STEP - (iova & (UNMAP_STEP - 1)));
		gone = iommu_unmap_fast(d->iommu, iova, step, gather);
		if (WARN_ON_ONCE(!gone)) {
			gone = PAGE_SIZE;
			all = false;
		}
		gone = min(gone, len);
		iova += gone;
		len -= gone;
		cond_resched();
	}
	return all;
}

/*
 * Unmap extents, and flush what @gather has where the next range is apart from
 * it. Where a driver frees tables too early iommu_unmap_fast() flushes more
 * (compat/unmap.h).
 */
static bool unmap_gathering(struct domain *d, const struct extent *v,
			    unsigned int nr, struct iommu_iotlb_gather *gather)
{
	bool all = true;
	unsigned int i = 0;

	while (i < nr) {
		dma_addr_t iova = v[i].iova;
		size_t len = 0;

		for (; i < nr && v[i].iova == iova + len; i++)
			len += v[i].len;
		if (iommu_iotlb_gather_is_disjoint(gather, iova, len)) {
			iommu_iotlb_sync(d->iommu, gather);
			iommu_iotlb_gather_init(gather);
		}
		all &= unmap_range(d, iova, len, gather);
	}
	return all;
}

/**
 * domain_unmap() - Unmap extents from one domain
 * @d: the domain
 * @v: the extents, by ascending IOVA, each mapped whole
 * @nr: how many
 *
 * One flush serves what is adjacent in the IOMMU, which is nearly always all.
 *
 * Return: true, and no device can reach them; false if the IOMMU driver did
 * not unmap some of it.
 */
bool domain_unmap(struct domain *d, const struct extent *v, unsigned int nr)
{
	struct iommu_iotlb_gather gather;
	bool all;

	iommu_iotlb_gather_init(&gather);
	all = unmap_gathering(d, v, nr, &gather);
	iommu_iotlb_sync(d->iommu, &gather);
	return all;
}

/**
 * domains_unmap() - domain_unmap() for every domain of a container
 * @c: the container, its lock or mirror_lock held
 * @ex: the extents
 *
 * Return: as domain_unmap(), for all of them.
 */
bool domains_unmap(struct container *c, const struct extents *ex)
{
	struct domain *d;
	bool all = true;

	container_assert_domains(c);
	list_for_each_entry(d, &c->domains, node)
		all &= domain_unmap(d, ex->v, ex->nr);
	return all;
}

/**
 * domains_unmap_unflushed() - Unmap extents from every domain, for the most part
 * @c: the container; its mirror_lock is held for mirrors, else its lock
 * @ex: the extents
 * @kind: what segments they are of
 *
 * Devices may reach them until domains_flush().
 *
 * Return: as domain_unmap() does, but for the flush.
 */
bool domains_unmap_unflushed(struct container *c, const struct extents *ex,
			     enum segment_kind kind)
{
	struct domain *d;
	bool all = true;

	assert_unflushed(c, kind);
	list_for_each_entry(d, &c->domains, node) {
		all &= unmap_gathering(d, ex->v, ex->nr,
				       &d->unflushed[kind].gather);
		d->unflushed[kind].any = true;
	}
	return all;
}

static void flush(struct domain *d, enum segment_kind kind)
{
	struct unflushed *u = &d->unflushed[kind];

	if (!u->any)
		return;
	iommu_iotlb_sync(d->iommu, &u->gather);
	iommu_iotlb_gather_init(&u->gather);
	u->any = false;
}

/**
 * domains_flush() - End what domains_unmap_unflushed() began
 * @c: the container, locked as for that
 * @kind: what segments it was called for
 */
void domains_flush(struct container *c, enum segment_kind kind)
{
	struct domain *d;

	assert_unflushed(c, kind);
	list_for_each_entry(d, &c->domains, node)
		flush(d, kind);
}

/**
 * domains_coherent() - Does every domain enforce cache coherency?
 * @c: the container, its lock held
 *
 * Return: true if every domain does, or the container has none.
 */
bool domains_coherent(const struct container *c)
{
	const struct domain *d;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node)
		if (!d->coherent)
			return false;
	return true;
}

/**
 * domain_of_group() - The kernel's domain that a group is attached to
 * @c: the container, its lock held
 * @iommu: the group
 *
 * Return: the domain, or ERR_PTR(-ENODEV).
 */
struct iommu_domain *domain_of_group(struct container *c,
				     struct iommu_group *iommu)
{
	struct domain *d;

	return group_find(c, iommu, &d) ? d->iommu : ERR_PTR(-ENODEV);
}

/**
 * domain_has_group() - Is this group attached, with an IOMMU of its own?
 * @c: the container, its lock held
 * @iommu: the group
 */
bool domain_has_group(struct container *c, struct iommu_group *iommu)
{
	struct domain *d;

	return group_find(c, iommu, &d);
}

/*
 * A group joins or leaves a domain in the container's list: not while mirrors
 * are being revoked from it. A driver's flush may follow what belongs to the
 * last device on an IOMMU, and detaching frees that.
 *
 * No lock may be held for it that a notifier takes, since attaching allocates
 * and waits for group->mutex. So revocation waits for a flag, and nothing that
 * clears it ever waits for a notifier: all it needs is the IOMMU core and
 * driver, for a group that is ours alone, and memory, whose reclaim has no
 * business in the VMAs of devices.
 */
static void set_regrouping(struct container *c, bool regrouping)
{
	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	WRITE_ONCE(c->regrouping, regrouping);
	mutex_unlock(&c->mirror_lock);
	if (!regrouping)
		wake_up_all(&c->regrouped);
}

static int join_group(struct container *c, struct domain *d,
		      struct iommu_group *group)
{
	int ret;

	set_regrouping(c, true);
	ret = iommu_attach_group(d->iommu, group);
	set_regrouping(c, false);
	return ret;
}

static void leave_group(struct container *c, struct domain *d,
			struct iommu_group *group)
{
	set_regrouping(c, true);
	iommu_detach_group(d->iommu, group);
	set_regrouping(c, false);
}

static int alloc_for_device(struct device *dev, void *data)
{
	struct iommu_domain **iommu = data;

	*iommu = iommu_paging_domain_alloc(dev);
	return 1; /* one device speaks for its group */
}

/* A domain with the group attached, in no list yet. */
static struct domain *domain_create(struct iommu_group *group)
{
	struct domain *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!d)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&d->node);
	INIT_LIST_HEAD(&d->groups);
	iommu_iotlb_gather_init(&d->unflushed[SEGMENT_PINNED].gather);
	iommu_iotlb_gather_init(&d->unflushed[SEGMENT_MIRROR].gather);
	d->iommu = ERR_PTR(-ENODEV);
	iommu_group_for_each_dev(group, &d->iommu, alloc_for_device);
	if (IS_ERR(d->iommu)) {
		ret = PTR_ERR(d->iommu);
		goto err_free;
	}

	ret = iommu_attach_group(d->iommu, group);
	if (ret)
		goto err_domain;

	if (d->iommu->ops->enforce_cache_coherency)
		d->coherent = d->iommu->ops->enforce_cache_coherency(d->iommu);
	return d;

err_domain:
	iommu_domain_free(d->iommu);
err_free:
	kfree(d);
	return ERR_PTR(ret);
}

static void domain_destroy(struct domain *d)
{
	iommu_domain_free(d->iommu);
	kfree(d);
}

/*
 * Move a group from its own domain to one that the container has and whose
 * IOMMU is alike, if any accepts it.
 *
 * Return: the domain it is attached to now, @own if none accepted it, or an
 * ERR_PTR, with the group attached to nothing, if @own did not take it back.
 */
static struct domain *domain_share(struct container *c, struct domain *own,
				   struct iommu_group *group)
{
	struct domain *d;
	int ret;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node) {
		if (!SHARE_DOMAINS || d->iommu->ops != own->iommu->ops ||
		    d->coherent != own->coherent)
			continue;

		iommu_detach_group(own->iommu, group);
		if (!join_group(c, d, group))
			return d;
		ret = iommu_attach_group(own->iommu, group);
		if (ret)
			return ERR_PTR(ret);
	}
	return own;
}

static unsigned long domain_pgsizes(const struct domain *d)
{
	unsigned long sizes = d->iommu->pgsize_bitmap;

	if (sizes & (SMALLEST_PAGE - 1))
		sizes = (sizes & ~(SMALLEST_PAGE - 1)) | SMALLEST_PAGE;
	return sizes;
}

static void update_pgsizes(struct container *c)
{
	const struct domain *d;

	lockdep_assert_held(&c->lock);
	c->pgsizes = ULONG_MAX;
	list_for_each_entry(d, &c->domains, node)
		c->pgsizes &= domain_pgsizes(d);

	/* memory is pinned by PAGE_SIZE, which smaller IOMMU pages can make up */
	if (c->pgsizes & ~PAGE_MASK)
		c->pgsizes = (c->pgsizes & PAGE_MASK) | PAGE_SIZE;
}

static void unlist(struct container *c, struct domain *d)
{
	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	flush(d, SEGMENT_MIRROR);
	list_del(&d->node);
	mutex_unlock(&c->mirror_lock);
}

/* Everything the container maps, into a domain that is not in its list. */
static int domain_join(struct container *c, struct domain *d,
		       struct iommu_group *group)
{
	int ret;

	lockdep_assert_held(&c->lock);
	ret = iova_reserve_msi(d->iommu, group);
	if (ret)
		return ret;

	if (!list_empty(&c->domains)) {
		ret = mapping_join(c, d);
		if (ret)
			return ret;
	}

	/* puts it in the list */
	ret = mirror_join(c, d);
	if (ret)
		return ret;

	if (list_is_singular(&c->domains)) {
		ret = mapping_populate_all(c);
		if (ret) {
			unlist(c, d);
			return ret;
		}
	}
	update_pgsizes(c);
	return 0;
}

static bool interrupts_isolated(struct iommu_group *group)
{
	if (READ_ONCE(allow_unsafe_interrupts) ||
	    iommu_group_has_isolated_msi(group))
		return true;

	pr_warn_ratelimited("interrupts of IOMMU group %d are not isolated: refused; allow_unsafe_interrupts=1 would allow it\n",
			    iommu_group_id(group));
	return false;
}

/**
 * domain_attach_group() - Let a group's devices reach what the container maps
 * @c: the container, its lock held
 * @iommu: the group, not attached; the caller owns its DMA
 *
 * Return: 0, or a negative errno with the group attached to nothing: -EINVAL
 * if a mapping lies where its IOMMU cannot map or something is reserved;
 * -EPERM if its interrupts are not isolated.
 */
int domain_attach_group(struct container *c, struct iommu_group *iommu)
{
	struct domain *own, *d;
	LIST_HEAD(usable);
	struct group *g;
	int ret;

	lockdep_assert_held(&c->lock);
	g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);
	if (!g)
		return -ENOMEM;
	g->iommu = iommu;

	own = domain_create(iommu);
	if (IS_ERR(own)) {
		ret = PTR_ERR(own);
		goto err_group;
	}

	ret = iova_usable(c, own->iommu, iommu, &usable);
	if (ret)
		goto err_detach;

	ret = -EINVAL;
	if (!mapping_all_within(c, &usable))
		goto err_detach;

	ret = -EPERM;
	if (!interrupts_isolated(iommu))
		goto err_detach;

	d = domain_share(c, own, iommu);
	if (IS_ERR(d)) {
		ret = PTR_ERR(d);
		goto err_domain;
	}
	if (d != own) {
		domain_destroy(own);
	} else {
		ret = domain_join(c, own, iommu);
		if (ret)
			goto err_detach;
	}

	list_add(&g->node, &d->groups);
	spans_free(&c->usable);
	list_splice(&usable, &c->usable);
	return 0;

err_detach:
	iommu_detach_group(own->iommu, iommu);
err_domain:
	spans_free(&usable);
	domain_destroy(own);
err_group:
	kfree(g);
	return ret;
}

/*
 * The group's devices reach nothing from the first line on; only then may
 * the domain leave the list by which revocation finds it.
 */
static void detach(struct container *c, struct domain *d, struct group *g)
{
	lockdep_assert_held(&c->lock);
	leave_group(c, d, g->iommu);
	list_del(&g->node);
	kfree(g);
	dirty_mark_all(c);
	if (!list_empty(&d->groups))
		return;

	/* owning a group is what allows to map: the last one takes it all */
	if (list_is_singular(&c->domains)) {
		if (list_empty(&c->emulated))
			mapping_unmap_all(c);
		else
			mapping_depopulate_all(c);
	}

	unlist(c, d);
	domain_destroy(d);
	update_pgsizes(c);
}

/**
 * domain_detach_group() - Undo domain_attach_group()
 * @c: the container, its lock held
 * @iommu: the group; nothing happens if it is not attached
 *
 * With the last group all mappings go. Otherwise what was reserved for this
 * one alone becomes usable, if there is memory to write that down.
 */
void domain_detach_group(struct container *c, struct iommu_group *iommu)
{
	LIST_HEAD(usable);
	struct domain *d;
	struct group *g;

	lockdep_assert_held(&c->lock);
	g = group_find(c, iommu, &d);
	if (!g)
		return;

	detach(c, d, g);
	if (iova_usable(c, NULL, NULL, &usable))
		return;
	spans_free(&c->usable);
	list_splice(&usable, &c->usable);
}

/**
 * domain_detach_all() - Detach every group
 * @c: the container, its lock held
 */
void domain_detach_all(struct container *c)
{
	struct domain *d, *next_d;
	struct group *g, *next_g;

	lockdep_assert_held(&c->lock);
	list_for_each_entry_safe(d, next_d, &c->domains, node)
		list_for_each_entry_safe(g, next_g, &d->groups, node)
			detach(c, d, g);
}
