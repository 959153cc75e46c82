/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between kernel versions, and nothing else: on an older
 * kernel the newest kernel's functions are presented under their own names,
 * so that the rest of the module is written for one kernel.
 */
#ifndef TETHER_COMPAT_H
#define TETHER_COMPAT_H

#include <linux/cgroup.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hugetlb_inline.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/version.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "vfio_private.h"

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)

/* iommu_map() had no gfp argument, but a second function for GFP_ATOMIC. */
static inline int compat_iommu_map(struct iommu_domain *domain,
				   unsigned long iova, phys_addr_t paddr,
				   size_t size, int prot, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		return iommu_map(domain, iova, paddr, size, prot);
	return iommu_map_atomic(domain, iova, paddr, size, prot);
}

#define iommu_map compat_iommu_map

static inline int compat_device_lacks_intr_remap(struct device *dev, void *unused)
{
	return !device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}

/* Isolation was a property of the MSI domain or of the IOMMU, asked apart. */
static inline bool iommu_group_has_isolated_msi(struct iommu_group *group)
{
	return irq_domain_check_msi_remap() ||
	       !iommu_group_for_each_dev(group, NULL,
					 compat_device_lacks_intr_remap);
}

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)

/* Could add any number, and nobody but aio did. */
static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx, 1);
}

#define eventfd_signal compat_eventfd_signal

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)

static inline struct iommu_domain *iommu_paging_domain_alloc(struct device *dev)
{
	return iommu_domain_alloc(dev->bus) ?: ERR_PTR(-EIO);
}

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 17, 0)

/* Was what a workqueue is that does not say WQ_UNBOUND. */
#define WQ_PERCPU	0

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)

struct mmu_interval_notifier_finish {
	struct mmu_interval_notifier *notifier;
};

/* Invalidation had one pass: both halves of it for each notifier in turn. */
#define COMPAT_INTERVAL_NOTIFIER_OPS(name, start, finish)		\
static bool name##_invalidate(struct mmu_interval_notifier *notifier,	\
			      const struct mmu_notifier_range *range,	\
			      unsigned long seq)			\
{									\
	struct mmu_interval_notifier_finish *last = NULL;		\
	bool ret = start(notifier, range, seq, &last);			\
									\
	if (last) {							\
		last->notifier = notifier;				\
		finish(last);						\
	}								\
	return ret;							\
}									\
static const struct mmu_interval_notifier_ops name = {			\
	.invalidate = name##_invalidate,				\
}

#else

#define COMPAT_INTERVAL_NOTIFIER_OPS(name, start, finish)		\
static const struct mmu_interval_notifier_ops name = {			\
	.invalidate_start = start,					\
	.invalidate_finish = finish,					\
}

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)

/* Had no addr_mask before, and did not exist before 6.12. */
struct compat_follow_pfnmap_args {
	struct vm_area_struct *vma;
	unsigned long address;
	unsigned long pfn;
	unsigned long addr_mask;
	bool writable;
};

/*
 * Read the entry that maps an address of a PFNMAP VMA. Newer kernels keep it
 * locked until follow_pfnmap_end(), which nobody here relies on.
 */
static inline int compat_follow_pfnmap_start(struct compat_follow_pfnmap_args *args)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
	struct follow_pfnmap_args entry = {
		.vma = args->vma,
		.address = args->address,
	};
	int ret = follow_pfnmap_start(&entry);

	if (ret)
		return ret;
	args->pfn = entry.pfn;
	args->writable = entry.writable;
	follow_pfnmap_end(&entry);
#else
	spinlock_t *lock;	/* of the page table */
	pte_t *ptep;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
	int ret = follow_pte(args->vma, args->address, &ptep, &lock);
#else
	int ret = follow_pte(args->vma->vm_mm, args->address, &ptep, &lock);
#endif

	if (ret)
		return ret;
	__acquire(lock); /* for sparse: follow_pte() does not tell it */
	args->pfn = pte_pfn(*ptep);
	args->writable = pte_write(*ptep);
	pte_unmap_unlock(ptep, lock);
#endif
	args->addr_mask = PAGE_MASK;
	return 0;
}

static inline void compat_follow_pfnmap_end(struct compat_follow_pfnmap_args *args)
{
}

#define follow_pfnmap_args compat_follow_pfnmap_args
#define follow_pfnmap_start compat_follow_pfnmap_start
#define follow_pfnmap_end compat_follow_pfnmap_end

#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)

/* Could return the VMAs, too. */
static inline long compat_pin_user_pages_remote(struct mm_struct *mm,
						unsigned long start,
						unsigned long npages,
						unsigned int flags,
						struct page **pages,
						int *locked)
{
	return pin_user_pages_remote(mm, start, npages, flags, pages, NULL,
				     locked);
}

#define pin_user_pages_remote compat_pin_user_pages_remote

static inline long compat_get_user_pages_remote(struct mm_struct *mm,
						unsigned long start,
						unsigned long npages,
						unsigned int flags,
						struct page **pages,
						int *locked)
{
	return get_user_pages_remote(mm, start, npages, flags, pages, NULL,
				     locked);
}

#define get_user_pages_remote compat_get_user_pages_remote

/*
 * The zero page took a reference at every pin, which a user could overflow.
 * It never goes away: give its references back at once, as newer kernels
 * never take them.
 */
static inline void compat_drop_zero_page_pin(struct page *page)
{
	if (is_zero_pfn(page_to_pfn(page)))
		unpin_user_page(page);
}

#else

static inline void compat_drop_zero_page_pin(struct page *page)
{
}

#endif

#include "pin.h"

/* A choice that cgroup2 has since 6.7 (memory_hugetlb_accounting). */
static inline bool compat_hugetlb_is_charged_as_memory(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0) && IS_ENABLED(CONFIG_MEMCG)
	return cgrp_dfl_root.flags & CGRP_ROOT_MEMORY_HUGETLB_ACCOUNTING;
#else
	return false;
#endif
}

/**
 * compat_vfio_device() - The VFIO device an open file stands for
 * @file: the file behind a VMA; the VMA keeps it, and the device, open
 *
 * Of the vfio module's files only a device's can be mapped. Kernels before
 * 6.6 export no function that recognises one, so its operations' owner has to.
 *
 * Return: the device, or NULL if @file is no VFIO device.
 */
static inline struct vfio_device *compat_vfio_device(struct file *file)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	const struct vfio_device_file *df;

	if (!vfio_file_is_valid(file) || vfio_file_is_group(file))
		return NULL;
	df = file->private_data;
	return df->device;
#else
	const struct module *owner = file->f_op->owner;

	if (!owner || strcmp(owner->name, "vfio") || !file->f_op->mmap)
		return NULL;
	return file->private_data;
#endif
}

/* vfio-pci kept a list of the VMAs that it had filled. */
#define COMPAT_VFIO_PCI_LISTS_VMAS	(LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0))

/* It dropped those of an mm without users from it, and did not zap them. */
#define COMPAT_ZAPS_SKIP_ENDING_MMS	COMPAT_VFIO_PCI_LISTS_VMAS

/**
 * compat_vfio_pci_zap_untracked() - Drop entries that vfio-pci does not know of
 * @vdev: the device
 * @vma: a VMA of it, mmap_lock held
 * @addr: an address in it
 * @is_filled: has the VMA an entry there?
 *
 * Before 6.10 vfio-pci kept a list of VMAs that were faulted in since it last
 * zapped, and zapped no others. mremap() moves entries to one it never saw;
 * when they are gone, the next fault puts it in the list. Since then it asks the
 * file's mapping, which has all.
 *
 * vma_lock is held over all of it: of a VMA in the list vfio-pci believes that it
 * has entries. If a fault put it there just before its entries go, every access to
 * it faults for ever. It is not taken if there is nothing to drop, nor held for
 * long, for a hot reset that finds it taken fails.
 */
static inline void
compat_vfio_pci_zap_untracked(struct vfio_pci_core_device *vdev,
			      struct vm_area_struct *vma, unsigned long addr,
			      bool (*is_filled)(struct vm_area_struct *vma,
						unsigned long addr))
{
#if COMPAT_VFIO_PCI_LISTS_VMAS
	const struct vfio_pci_mmap_vma *entry;
	bool found = false;

	lockdep_assert_held(&vma->vm_mm->mmap_lock);
	if (!is_filled(vma, addr))
		return;
	mutex_lock(&vdev->vma_lock);
	list_for_each_entry(entry, &vdev->vma_list, vma_next) {
		if (entry->vma == vma) {
			found = true;
			break;
		}
	}
	if (!found && is_filled(vma, addr))
		zap_vma_ptes(vma, vma->vm_start, vma->vm_end - vma->vm_start);
	mutex_unlock(&vdev->vma_lock);
#endif
}

#endif
