/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unmapping on kernels whose VT-d driver frees page tables too early.
 *
 * Before 6.19 that driver puts the tables of the range that it unmaps into the gather's
 * list, and only then adds the range to the gather. If the gather cannot hold the range,
 * because it does not adjoin the gathered range or comes from a call of another size, the
 * driver syncs the gather at this point: it flushes the old range only, and frees the
 * new range's tables with the old ones, although the IOMMU may still have cached entries
 * that point to them. When the new range is flushed later, the list is empty, and the
 * driver sets the hint (IH) that lets the IOMMU keep its cached page-table entries.
 *
 * So this file syncs the gather before it calls the driver with a range that the gather
 * cannot hold. It can foresee that only if each call of the core is one call of the
 * driver; so it splits ranges accordingly.
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
 * compat_driver_call() - How much of a range the core passes to its driver in one call
 * @domain: the domain
 * @iova: where the range begins (bytes)
 * @phys: the physical address that @iova maps to (bytes); for an unmap, pass @iova, as
 *	  the core does
 * @len: length of the range (bytes), a multiple of the smallest page
 *
 * One call is for pages of one size: the largest that @len allows and both addresses are
 * aligned to, and as many pages as there are before a larger size fits.
 *
 * Return: the length of the call (bytes), at least one page.
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
 * iommu_unmap_fast() that syncs the gather in time. There are as many flushes as VT-d's
 * driver would make. Other drivers flush as before: AMD-Vi's driver never sets a size in
 * the gather, and virtio-iommu's adds nothing to it.
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
