/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Unmapping, where VT-d's driver frees page tables too early.
 *
 * Before 6.19 it puts the tables of the range it unmaps into the gather's list,
 * and adds the range to the gather only then. If that cannot hold the range, for
 * it is apart from what is there, or comes from a call of another size, the gather
 * is synced at this point: the flush is of the old range, and with it the new
 * range's tables are freed, which the IOMMU may still have cached the way to.
 * When the new range is flushed in its turn, no table is in the list, and the flush
 * says by its hint (IH) that the IOMMU may keep what it knows of tables.
 *
 * So what cannot be gathered is synced here, before the driver is called. For that
 * each call of the core has to be one call of the driver.
 *
 * Nothing here has a lock; whoever owns the gather has one.
 */
#ifndef TETHER_COMPAT_UNMAP_H
#define TETHER_COMPAT_UNMAP_H

#include <linux/bits.h>
#include <linux/iommu.h>
#include <linux/log2.h>
#include <linux/math.h>
#include <linux/types.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 19, 0) && IS_ENABLED(CONFIG_INTEL_IOMMU)

/**
 * compat_driver_call() - How much the core hands its driver in one call
 * @domain: the domain
 * @iova: where it begins (bytes)
 * @phys: what it is mapped to (bytes); to unmap, @iova again, as the core has it
 * @len: how much there is (bytes), a multiple of the smallest page
 *
 * That is pages of one size: the largest that both addresses are aligned to,
 * and as many as there are before a larger size fits.
 *
 * Return: bytes, at least one page.
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
		return len; /* which the core refuses */
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

/* Would VT-d's driver sync the gather, to make room for this? */
static inline bool compat_must_sync(struct iommu_iotlb_gather *gather,
				    unsigned long iova, size_t len)
{
	return (gather->pgsize && gather->pgsize != len) ||
	       iommu_iotlb_gather_is_disjoint(gather, iova, len);
}

/*
 * Flushes as often as VT-d's driver would. AMD-Vi's never tells the gather a size,
 * and virtio-iommu's tells it nothing: to them nothing changes.
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
