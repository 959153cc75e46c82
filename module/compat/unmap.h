/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unmapping on kernels whose VT-d driver frees page tables too early.
 *
 * A gather (struct iommu_iotlb_gather) collects a range of unmapped IOVAs that is still
 * to be flushed, and a list of page tables to be freed after the flush; to sync it is
 * to do both. Before 6.19 the VT-d driver puts the tables of a range that it unmaps
 * into the list, and only then adds the range. If the gather cannot hold the range,
 * because it does not adjoin the gathered range or comes from a call of another size,
 * the driver syncs the gather at this point: that flushes only the old range, but frees
 * the tables of both ranges, although the IOMMU may still have cached entries that
 * point to the new range's tables. When the new range is flushed later, the list is
 * empty, so the driver sets the hint (IH) that lets the IOMMU keep its cached
 * page-table entries.
 *
 * So this file syncs the gather before it calls the driver with a range that the gather
 * cannot hold. It knows the range of each call of the driver only if the IOMMU core
 * makes one such call for each call of the core; so this file splits ranges
 * accordingly.
 *
 * This file has no lock; the owner of the gather guards it.
 */
#ifndef TETHER_COMPAT_UNMAP_H
#define TETHER_COMPAT_UNMAP_H

#include <linux/bits.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/types.h>

#include "probed.h"

#ifdef HAVE_VTD_GATHERS_TABLES_FIRST

/**
 * compat_driver_call() - How much of a range the IOMMU core gives its driver at a time
 * @domain: the domain
 * @iova: where the range begins (bytes)
 * @phys: the physical address that @iova maps to (bytes); for an unmap, pass @iova, as
 *	  the core does
 * @len: length of the range (bytes), a multiple of the smallest page
 *
 * The core calls the driver with pages of one size at a time: of the largest size that
 * is not above @len and to which both addresses are aligned. The call ends where a
 * larger size fits.
 *
 * Return: the length of that call (bytes), at least one page.
 */
static inline size_t compat_driver_call(const struct iommu_domain *domain,
					unsigned long iova, phys_addr_t phys,
					size_t len)
{
	unsigned long sizes = domain->pgsize_bitmap, fit = sizes, larger;
	unsigned long page, next, ahead;

	fit &= GENMASK(__fls(len), 0);
	if (iova | phys)
		fit &= GENMASK(__ffs(iova | phys), 0);
	if (!fit)
		return len; /* the core refuses this length */
	page = BIT(__fls(fit));

	larger = sizes & ~(page | (page - 1));
	if (larger) {
		next = BIT(__ffs(larger));
		ahead = next - (iova & (next - 1));
		if (!((iova ^ phys) & (next - 1)) && len >= next &&
		    len - next >= ahead)
			return ahead;
	}
	return round_down(len, page);
}

/* Would VT-d's driver sync the gather because it cannot hold this range? */
static inline bool compat_must_sync(struct iommu_iotlb_gather *gather,
				    unsigned long iova, size_t len)
{
	return (gather->pgsize && gather->pgsize != len) ||
	       iommu_iotlb_gather_is_disjoint(gather, iova, len);
}

/*
 * iommu_unmap_fast() that syncs the gather before VT-d's driver would. It makes as many
 * flushes as that driver would make. With other drivers it makes no additional flush:
 * AMD-Vi's driver never sets a size in the gather, and virtio-iommu's adds nothing to
 * it.
 */
static inline size_t compat_iommu_unmap_fast(struct iommu_domain *domain,
					     unsigned long iova, size_t len,
					     struct iommu_iotlb_gather *gather)
{
	size_t done = 0, step, gone;

	while (done < len) {
		step = compat_driver_call(domain, iova + done, iova + done,
					  len - done);
		if (compat_must_sync(gather, iova + done, step))
			iommu_iotlb_sync(domain, gather);
		gone = iommu_unmap_fast(domain, iova + done, step, gather);
		if (!gone)
			break;
		done += gone;
	}
	return done;
}

#define iommu_unmap_fast compat_iommu_unmap_fast

#else

static inline size_t compat_driver_call(const struct iommu_domain *domain,
					unsigned long iova, phys_addr_t phys,
					size_t len)
{
	return len;
}

#endif

#endif
