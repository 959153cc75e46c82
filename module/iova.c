// SPDX-License-Identifier: GPL-2.0-only
/*
 * Usable IOVAs: the intersection of all domains' apertures, without the regions that
 * are reserved for any group. They are computed from scratch whenever a group is
 * attached or detached. container->lock guards the result, container->usable.
 */
#include <linux/iommu.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/slab.h>

#include "container.h"
#include "domain.h"
#include "iova.h"
#include "span.h"

static void resv_free(struct list_head *resv)
{
	struct iommu_resv_region *r, *tmp;

	list_for_each_entry_safe(r, tmp, resv, list)
		kfree(r);
}

static int exclude_reserved(struct list_head *usable, struct iommu_group *group)
{
	struct iommu_resv_region *r;
	LIST_HEAD(resv);
	int ret;

	ret = iommu_get_group_resv_regions(group, &resv);
	list_for_each_entry(r, &resv, list) {
		if (ret)
			break;
		/* usable once a driver, and no longer firmware, has the device */
		if (r->type == IOMMU_RESV_DIRECT_RELAXABLE)
			continue;
		ret = spans_exclude(usable, r->start, r->start + r->length - 1,
				    GFP_KERNEL_ACCOUNT);
	}
	resv_free(&resv);
	return ret;
}

static void aperture_intersect(u64 *first, u64 *last,
			       const struct iommu_domain *domain)
{
	*first = max_t(u64, *first, domain->geometry.aperture_start);
	*last = min_t(u64, *last, domain->geometry.aperture_end);
}

static int exclude_all_reserved(struct container *c, struct list_head *usable,
				struct iommu_group *extra_group)
{
	struct domain *d;
	struct group *g;
	int ret;

	list_for_each_entry(d, &c->domains, node) {
		list_for_each_entry(g, &d->groups, node) {
			ret = exclude_reserved(usable, g->iommu);
			if (ret)
				return ret;
		}
	}
	return extra_group ? exclude_reserved(usable, extra_group) : 0;
}

/**
 * iova_usable() - Compute the IOVAs that all groups of a container can use
 * @c: the container, its lock held
 * @extra: a domain outside of the container's list whose aperture limits the IOVAs,
 *	   too; or NULL
 * @extra_group: the group attached to @extra, whose reserved regions are left out, too;
 *		 or NULL
 * @usable: empty list, which gets the spans; the caller frees them
 *
 * Return: 0; with @usable empty, -EINVAL if no IOVA is usable, or -ENOMEM.
 */
int iova_usable(struct container *c, struct iommu_domain *extra,
		struct iommu_group *extra_group, struct list_head *usable)
{
	u64 first = 0, last = (dma_addr_t)~0ULL;
	struct domain *d;
	int ret;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node)
		aperture_intersect(&first, &last, d->iommu);
	if (extra)
		aperture_intersect(&first, &last, extra);
	if (first > last)
		return -EINVAL;

	ret = spans_append(usable, first, last, GFP_KERNEL_ACCOUNT);
	if (!ret)
		ret = exclude_all_reserved(c, usable, extra_group);
	if (!ret && list_empty(usable))
		ret = -EINVAL;
	if (ret)
		spans_free(usable);
	return ret;
}

/*
 * An IOMMU that translates MSIs needs a window of IOVAs at which the kernel maps the
 * interrupt controller's doorbells: the group's IOMMU_RESV_SW_MSI region. Set @base to
 * its start and return true. Return false if the group has no such region, or has an
 * IOMMU_RESV_MSI region: then the hardware does not translate MSIs, and no window is
 * needed.
 */
static bool software_msi_base(const struct list_head *resv, phys_addr_t *base)
{
	const struct iommu_resv_region *r;
	bool found = false;

	list_for_each_entry(r, resv, list) {
		if (r->type == IOMMU_RESV_MSI)
			return false;
		if (r->type == IOMMU_RESV_SW_MSI) {
			*base = r->start;
			found = true;
		}
	}
	return found;
}

/**
 * iova_reserve_msi() - Give a domain the window of IOVAs for MSI doorbells
 * @domain: a new domain
 * @group: the group that is attached to @domain
 *
 * Does nothing if the IOMMU does not translate MSIs, since then no window is needed.
 *
 * Return: 0, or a negative errno.
 */
int iova_reserve_msi(struct iommu_domain *domain, struct iommu_group *group)
{
	phys_addr_t base;
	LIST_HEAD(resv);
	int ret;

	ret = iommu_get_group_resv_regions(group, &resv);
	if (!ret && software_msi_base(&resv, &base)) {
		ret = iommu_get_msi_cookie(domain, base);
		if (ret == -ENODEV) /* the kernel is built without such windows */
			ret = 0;
	}
	resv_free(&resv);
	return ret;
}
