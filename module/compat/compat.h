/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences between kernels. For an older kernel, this file defines the newest
 * kernel's functions under their own names, so that the rest of the module is written
 * for one kernel. probed.h, which the build writes, defines HAVE_NAME for each form
 * that the kernel's headers have; the file questions, next to this one, says what each
 * NAME stands for. This file has no state and no lock. "This kernel" in a comment is
 * one for which the #ifdef around the comment is true.
 */
#ifndef TETHER_COMPAT_H
#define TETHER_COMPAT_H

#include <linux/cgroup.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hugetlb.h>
#include <linux/iommu.h>
#include <linux/irqdomain.h>
#include <linux/lockdep.h>
#include <linux/magic.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "probed.h"
#include "vfio_private.h"

#ifdef HAVE_IOMMU_MAP_WITHOUT_GFP

/*
 * iommu_map() of this kernel has no gfp argument and may sleep; iommu_map_atomic() does
 * not sleep, since it allocates with GFP_ATOMIC. So @gfp decides which of them is
 * called.
 */
static inline int compat_iommu_map(struct iommu_domain *domain,
				   unsigned long iova, phys_addr_t paddr,
				   size_t size, int prot, gfp_t gfp)
{
	if (gfpflags_allow_blocking(gfp))
		return iommu_map(domain, iova, paddr, size, prot);
	return iommu_map_atomic(domain, iova, paddr, size, prot);
}

#define iommu_map compat_iommu_map

#endif

#ifdef HAVE_IRQ_DOMAIN_CHECK_MSI_REMAP

static inline int compat_device_lacks_intr_remap(struct device *dev, void *unused)
{
	return !device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
}

/*
 * On this kernel either the MSI interrupt domain or the IOMMU isolates interrupts, and
 * each has a function of its own that says so. It is enough if one of them says so.
 */
static inline bool iommu_group_has_isolated_msi(struct iommu_group *group)
{
	return irq_domain_check_msi_remap() ||
	       !iommu_group_for_each_dev(group, NULL,
					 compat_device_lacks_intr_remap);
}

#endif

#ifdef HAVE_EVENTFD_SIGNAL_NUMBER

/* This kernel's eventfd_signal() takes the number to add; this module adds 1. */
static inline void compat_eventfd_signal(struct eventfd_ctx *ctx)
{
	eventfd_signal(ctx, 1);
}

#define eventfd_signal compat_eventfd_signal

#endif

#ifdef HAVE_IOMMU_DOMAIN_ALLOC_FOR_BUS

static inline struct iommu_domain *iommu_paging_domain_alloc(struct device *dev)
{
	return iommu_domain_alloc(dev->bus) ?: ERR_PTR(-EIO);
}

#endif

#ifdef HAVE_WQ_PERCPU_BY_DEFAULT

/* On this kernel a workqueue without WQ_UNBOUND is per CPU, which takes no flag. */
#define WQ_PERCPU	0

#endif

#ifdef HAVE_INTERVAL_NOTIFIER_ONE_PASS

struct mmu_interval_notifier_finish {
	struct mmu_interval_notifier *notifier;
};

/* On this kernel one callback runs @start, and then @finish if @start set @last. */
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

#ifndef HAVE_FOLLOW_PFNMAP_WITH_MASK

/* For struct follow_pfnmap_args, which exists since 6.12; addr_mask since 6.15. */
struct compat_follow_pfnmap_args {
	struct vm_area_struct *vma;
	unsigned long address;
	unsigned long pfn;
	unsigned long addr_mask;
	bool writable;
};

/*
 * Read the page-table entry that maps an address of a PFNMAP VMA. The newest kernel's
 * function keeps the page table locked until follow_pfnmap_end(); this one drops the
 * lock before it returns, and no caller in this module relies on the lock.
 */
static inline int compat_follow_pfnmap_start(struct compat_follow_pfnmap_args *args)
{
#ifdef HAVE_FOLLOW_PFNMAP
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
#ifdef HAVE_FOLLOW_PTE_OF_VMA
	int ret = follow_pte(args->vma, args->address, &ptep, &lock);
#else
	int ret = follow_pte(args->vma->vm_mm, args->address, &ptep, &lock);
#endif

	if (ret)
		return ret;
	__acquire(lock); /* tells sparse that follow_pte() took it */
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

#ifdef HAVE_PIN_REMOTE_WITH_VMAS

/* This kernel's function has one more argument, which could return the VMAs. */
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

#endif

#ifdef HAVE_GET_REMOTE_WITH_VMAS

/* This kernel's get_user_pages_remote() has the same extra argument. */
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

#endif

/*
 * On older kernels each pin of the zero page takes a reference to it, so a user could
 * make its reference count overflow. The zero page is never freed, so it needs no pin:
 * drop the pin at once. Newer kernels take no reference, and there this does nothing.
 */
static inline void compat_drop_zero_page_pin(struct page *page)
{
#ifdef HAVE_ZERO_PAGE_IS_PINNED
	if (is_zero_pfn(page_to_pfn(page)))
		unpin_user_page(page);
#endif
}

#include "pin.h"

/*
 * Does cgroup2 charge hugetlb pages to the memory controller? It can since 6.7, with the
 * mount option memory_hugetlb_accounting.
 */
static inline bool compat_hugetlb_is_charged_as_memory(void)
{
#if defined(HAVE_HUGETLB_CHARGED_AS_MEMORY) && IS_ENABLED(CONFIG_MEMCG)
	return cgrp_dfl_root.flags & CGRP_ROOT_MEMORY_HUGETLB_ACCOUNTING;
#else
	return false;
#endif
}

/*
 * Has vfio made this file for a device? Called if vfio is built into the kernel, so
 * that no module owns the file's operations. The kernel keeps such files in the file
 * system of anonymous inodes, in which no program can create or rename a file. So only
 * the kernel names files there, and it names only files of VFIO devices
 * "[vfio-device]".
 */
static inline bool compat_is_built_in_vfio_device(const struct file *file)
{
	const struct dentry *dentry = file->f_path.dentry;

	return dentry->d_sb->s_magic == ANON_INODE_FS_MAGIC &&
	       !strcmp(dentry->d_name.name, "[vfio-device]");
}

/**
 * compat_vfio_device() - The VFIO device that an open file belongs to
 * @file: the file behind a VMA; the VMA keeps the file and the device open
 *
 * Kernels before 6.6 export no function that recognises the file of a device. There this
 * checks that the vfio module owns the file's operations and that they have mmap(): of
 * all files of that module, only a device's can be mapped. If vfio is built into the
 * kernel, no module owns the operations; then this compares the name of the file.
 *
 * Return: the device, or NULL if @file is no VFIO device.
 */
static inline struct vfio_device *compat_vfio_device(struct file *file)
{
#ifdef HAVE_VFIO_FILE_IS_VALID
	const struct vfio_device_file *df;

	if (!vfio_file_is_valid(file) || vfio_file_is_group(file))
		return NULL;
	df = file->private_data;
	return df->device;
#else
	const struct module *owner = file->f_op->owner;

	if (!file->f_op->mmap)
		return NULL;
	if (owner ? strcmp(owner->name, "vfio") != 0 :
		    !compat_is_built_in_vfio_device(file))
		return NULL;
	return file->private_data;
#endif
}

/*
 * True if this kernel's vfio-pci has a list of VMAs to zap. It drops VMAs of an mm
 * without users from that list and does not zap them, so no notifier of a mirror is
 * called for them.
 */
#ifdef HAVE_VFIO_PCI_LISTS_VMAS
#define COMPAT_ZAPS_SKIP_ENDING_MMS	true
#else
#define COMPAT_ZAPS_SKIP_ENDING_MMS	false
#endif

/**
 * compat_vfio_pci_zap_untracked() - Zap a VMA's entries if vfio-pci does not track it
 * @vdev: the device
 * @vma: a VMA that maps the device's memory; its mm's mmap_lock is held
 * @addr: a user address in the VMA
 * @is_filled: returns true if the VMA has a page-table entry at the address
 *
 * Before 6.10 vfio-pci had a list of the VMAs in which it had served a fault since it
 * last zapped, and zapped only these. mremap() moves entries to a VMA that is not in
 * the list. This function zaps such entries; then the next fault in the VMA adds it to
 * the list. Since 6.10 vfio-pci finds all VMAs through the file's address_space, and
 * this function does nothing.
 *
 * The list is searched and the VMA zapped in one critical section of vma_lock, so that
 * no fault adds the VMA in between. vfio-pci assumes that a VMA in the list has its
 * entries, and makes none at a later fault: if this zapped such a VMA, each access
 * would fault for ever. vma_lock is not taken if there is nothing to zap, and is held
 * only for a short time, since a hot reset fails if it finds vma_lock taken.
 */
static inline void
compat_vfio_pci_zap_untracked(struct vfio_pci_core_device *vdev,
			      struct vm_area_struct *vma, unsigned long addr,
			      bool (*is_filled)(struct vm_area_struct *vma,
						unsigned long addr))
{
#ifdef HAVE_VFIO_PCI_LISTS_VMAS
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
