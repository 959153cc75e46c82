/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between the vfio core and its backends, and other private structs of
 * VFIO. No installed header declares them; drivers/vfio/vfio.h in the kernel's source
 * has the interface. check-abi compares every type named in private-structs with the
 * BTF of the module that defines it, in the kernel for which tether is built, and fails
 * the build if they differ.
 */
#ifndef TETHER_COMPAT_VFIO_PRIVATE_H
#define TETHER_COMPAT_VFIO_PRIVATE_H

#include <linux/list.h>
#include <linux/types.h>

#include "probed.h"

struct iommu_domain;
struct iommu_group;
struct module;
struct page;
struct vfio_device;
struct vm_area_struct;

enum vfio_group_type {
	VFIO_IOMMU,
	VFIO_EMULATED_IOMMU,
	VFIO_NO_IOMMU,
};

enum vfio_iommu_notify_type {
	VFIO_IOMMU_CONTAINER_CLOSE = 0,
};

struct vfio_iommu_driver_ops {
	char *name;
	struct module *owner;
	void *(*open)(unsigned long type);
	void (*release)(void *data);
	long (*ioctl)(void *data, unsigned int cmd, unsigned long arg);
	int (*attach_group)(void *data, struct iommu_group *group,
			    enum vfio_group_type type);
	void (*detach_group)(void *data, struct iommu_group *group);
	int (*pin_pages)(void *data, struct iommu_group *group,
			 dma_addr_t iova, int npage, int prot,
			 struct page **pages);
	void (*unpin_pages)(void *data, dma_addr_t iova, int npage);
	void (*register_device)(void *data, struct vfio_device *vdev);
	void (*unregister_device)(void *data, struct vfio_device *vdev);
	int (*dma_rw)(void *data, dma_addr_t iova, void *buf, size_t count,
		      bool write);
	struct iommu_domain *(*group_iommu_domain)(void *data,
						   struct iommu_group *group);
	/* Not in the struct of kernels since 6.3, which therefore never read it. */
	void (*notify)(void *data, enum vfio_iommu_notify_type event);
};

int vfio_register_iommu_driver(const struct vfio_iommu_driver_ops *ops);
void vfio_unregister_iommu_driver(const struct vfio_iommu_driver_ops *ops);

#ifdef HAVE_VFIO_PCI_LISTS_VMAS
/* vfio-pci's list of the VMAs in which it has served a fault since it last zapped. */
struct vfio_pci_mmap_vma {
	struct vm_area_struct *vma;
	struct list_head vma_next;
};
#endif

#ifdef HAVE_VFIO_FILE_IS_VALID
/* An open device's file->private_data points to this; only @device is read. */
struct vfio_device_file {
	struct vfio_device *device;
	struct vfio_group *group;
};
#endif

#endif
