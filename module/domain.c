// SPDX-License-Identifier: GPL-2.0-only
/*
 * Domains: this file makes and removes IOMMU entries, and flushes the IOTLB.
 *
 * group.c owns the list of a container's domains and changes it with container->lock and
 * mirror_lock held. So a thread that holds either may walk the list; revocation holds
 * mirror_lock only. struct unflushed of pinned segments is guarded by container->lock,
 * that of mirrors by mirror_lock.
 */
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "compat/compat.h"
#include "compat/unmap.h"
#include "container.h"
#include "domain.h"
#include "extent.h"
#include "params.h"

/* The most bytes to map or unmap between two calls of cond_resched(); powers of two. */
#define MAP_STEP	SZ_1G
#define UNMAP_STEP	(16UL * SZ_1G)

/*
 * How many bytes of @e to map next, after the first @done bytes. The step ends at the
 * next multiple of MAP_STEP at the latest, so that it splits no large IOMMU page.
 * compat_driver_call() shortens it so that iommu_map() calls the driver once. If
 * iommu_map() made several calls and a later one failed, it would unmap what the
 * earlier ones mapped, all with one gather, for which some VT-d drivers free page
 * tables too early (compat/unmap.h).
 */
static size_t domain_map_step(struct domain *d, const struct extent *e,
			      size_t done)
{
	dma_addr_t iova = e->iova + done;
	size_t step;

	if (READ_ONCE(disable_hugepages))
		return PAGE_SIZE;
	step = min_t(size_t, e->len - done, MAP_STEP - (iova & (MAP_STEP - 1)));
	return compat_driver_call(d->iommu, iova, e->phys + done, step);
}

/*
 * Returns how many bytes of a step are in the IOMMU's page tables although iommu_map()
 * failed for the step. If VT-d's driver runs out of memory in the middle of a step, it
 * leaves the entries that it has made and does not report them, so the IOMMU core does
 * not remove them. domain_map() then unmaps just these bytes: if asked to unmap
 * addresses that are not mapped, that driver may unmap more than it was asked to.
 */
static size_t domain_left_behind(struct domain *d, dma_addr_t iova, size_t step)
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
 * @gfp: how to allocate the IOMMU's page tables; under mirror_lock it must not reclaim
 *
 * Return: 0, or a negative errno with nothing of @e mapped.
 */
int domain_map(struct domain *d, const struct extent *e, int prot, gfp_t gfp)
{
	struct extent mapped = { .iova = e->iova };
	size_t step;
	int ret;

	while (mapped.len < e->len) {
		step = domain_map_step(d, e, mapped.len);
		ret = iommu_map(d->iommu, e->iova + mapped.len,
				e->phys + mapped.len, step, prot, gfp);
		if (ret) {
			mapped.len += domain_left_behind(d, e->iova + mapped.len,
							 step);
			domain_unmap(d, &mapped, 1);
			return ret;
		}
		mapped.len += step;
		cond_resched();
	}
	return 0;
}

/* Assert that the lock that guards domain->unflushed[@kind] is held. */
static void domains_assert_unflushed(const struct container *c,
				     enum segment_kind kind)
{
	lockdep_assert_held(kind == SEGMENT_MIRROR ? &c->mirror_lock : &c->lock);
}

/**
 * domains_map() - Map an extent in every domain of a container
 * @c: the container; either its lock or its mirror_lock is held, since each of them
 *     alone keeps the list of domains as it is
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
 * Unmap @len bytes from @iova on, all of them mapped, and add them to @gather. A step
 * ends at a multiple of UNMAP_STEP, hence of MAP_STEP, where domain_map_step() ended a
 * step, too; so no step ends inside a large IOMMU page. If the driver unmaps nothing at
 * an address, warn, skip a page, and unmap the rest. Returns true if all was unmapped.
 */
static bool domain_unmap_range(struct domain *d, dma_addr_t iova, size_t len,
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
 * Unmap extents, and add their IOVAs to @gather, which the caller flushes at the end. A
 * gather holds one range: before IOVAs that do not adjoin it are added, it is flushed.
 * On kernels whose VT-d driver frees page tables too early, iommu_unmap_fast() stands
 * for a function of compat/unmap.h, which flushes more often. Returns true if all was
 * unmapped.
 */
static bool domain_unmap_gathering(struct domain *d, const struct extent *v,
				   unsigned int nr,
				   struct iommu_iotlb_gather *gather)
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
		all &= domain_unmap_range(d, iova, len, gather);
	}
	return all;
}

/**
 * domain_unmap() - Unmap extents from one domain
 * @d: the domain
 * @v: the extents, by ascending IOVA, each mapped whole
 * @nr: how many
 *
 * Extents whose IOVAs adjoin, which nearly always are all of them, share one flush.
 *
 * Return: true if no device can reach the extents through this domain any more; false
 * if the IOMMU driver did not unmap some of them.
 */
bool domain_unmap(struct domain *d, const struct extent *v, unsigned int nr)
{
	struct iommu_iotlb_gather gather;
	bool all;

	iommu_iotlb_gather_init(&gather);
	all = domain_unmap_gathering(d, v, nr, &gather);
	iommu_iotlb_sync(d->iommu, &gather);
	return all;
}

/**
 * domains_unmap() - domain_unmap() for every domain of a container
 * @c: the container, its lock or mirror_lock held
 * @ex: the extents
 *
 * Return: true if domain_unmap() returned true for every domain.
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
 * domains_unmap_unflushed() - Unmap extents from every domain, to be flushed later
 * @c: the container; its mirror_lock is held for mirrors, else its lock
 * @ex: the extents
 * @kind: the kind of the segments that the extents belong to
 *
 * Devices may still reach the extents until the caller has called domains_flush().
 *
 * Return: true if all was unmapped; false if the IOMMU driver did not unmap some of it.
 */
bool domains_unmap_unflushed(struct container *c, const struct extents *ex,
			     enum segment_kind kind)
{
	struct domain *d;
	bool all = true;

	domains_assert_unflushed(c, kind);
	list_for_each_entry(d, &c->domains, node) {
		all &= domain_unmap_gathering(d, ex->v, ex->nr,
					      &d->unflushed[kind].gather);
		d->unflushed[kind].any = true;
	}
	return all;
}

/**
 * domain_flush() - Flush in one domain what domains_unmap_unflushed() unmapped
 * @d: the domain
 * @kind: the kind of the segments; for SEGMENT_MIRROR the container's mirror_lock is
 *	  held, else the container's lock
 */
void domain_flush(struct domain *d, enum segment_kind kind)
{
	struct unflushed *u = &d->unflushed[kind];

	if (!u->any)
		return;
	iommu_iotlb_sync(d->iommu, &u->gather);
	iommu_iotlb_gather_init(&u->gather);
	u->any = false;
}

/**
 * domains_flush() - Flush in every domain what domains_unmap_unflushed() unmapped
 * @c: the container; its mirror_lock is held for SEGMENT_MIRROR, else its lock
 * @kind: which struct unflushed of each domain to flush: that of mirrors or that of
 *	  pinned segments
 */
void domains_flush(struct container *c, enum segment_kind kind)
{
	struct domain *d;

	domains_assert_unflushed(c, kind);
	list_for_each_entry(d, &c->domains, node)
		domain_flush(d, kind);
}

/**
 * domains_coherent() - Does every domain enforce cache coherency?
 * @c: the container, its lock held
 *
 * Return: true if every domain does, or if the container has no domain.
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
