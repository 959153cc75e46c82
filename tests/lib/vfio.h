/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * VFIO containers and PCI devices as a user program sees them.
 *
 * Every function that can fail returns 0 or -errno (one that returns a pointer:
 * NULL, with errno set). The functions do not depend on a test framework.
 */
#ifndef TETHER_TESTS_VFIO_H
#define TETHER_TESTS_VFIO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <linux/vfio.h>

#define VFIO_DMA_RO	VFIO_DMA_MAP_FLAG_READ
#define VFIO_DMA_WO	VFIO_DMA_MAP_FLAG_WRITE
#define VFIO_DMA_RW	(VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE)

struct vfio_container {
	int fd;
	unsigned long type;	/* VFIO_SET_IOMMU argument for the first group */
	unsigned int groups;	/* attached through this library */
};

struct vfio_device {
	char bdf[16];
	struct vfio_container *container;
	int group;		/* fd */
	int fd;
};

/* Containers: type is VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU. */
int vfio_container_open(struct vfio_container *c, unsigned long type);
void vfio_container_close(struct vfio_container *c);

int vfio_dma_map(struct vfio_container *c, const void *vaddr, uint64_t iova,
		 uint64_t size, uint32_t flags);
/* *unmapped (may be NULL) is the size the kernel says it unmapped. */
int vfio_dma_unmap(struct vfio_container *c, uint64_t iova, uint64_t size,
		   uint64_t *unmapped);
int vfio_dma_unmap_all(struct vfio_container *c, uint64_t *unmapped);

/* VFIO_IOMMU_DIRTY_PAGES with the flag START or STOP. */
int vfio_dirty_log(struct vfio_container *c, uint32_t flags);
/* Get the dirty bits of a range; a bit stands for bitmap.pgsize bytes. */
int vfio_dirty_get(struct vfio_container *c, uint64_t iova, uint64_t size,
		   struct vfio_bitmap bitmap);

/* *info is a copy from malloc(), with the whole chain of capabilities. */
int vfio_iommu_info(struct vfio_container *c,
		    struct vfio_iommu_type1_info **info);
const void *vfio_iommu_cap(const struct vfio_iommu_type1_info *info,
			   uint16_t id);
/* The highest IOVA that may be mapped, or 0 if it is not known. */
uint64_t vfio_last_iova(struct vfio_container *c);
/* The IOVAs to which a device writes to signal interrupts. MAP_DMA refuses them. */
int vfio_msi_window(const char *bdf, uint64_t *first, uint64_t *last);

/* Groups: the steps of which vfio_device_open() consists. */
int vfio_group_open(const char *bdf);	/* fd or -errno */
/* The same for a device of any bus, by the link iommu_group in its sysfs directory. */
int vfio_group_open_link(const char *path_of_link);
int vfio_group_attach(int group, struct vfio_container *c);
int vfio_group_detach(int group, struct vfio_container *c);

/* Devices. Binding a device that is bound already is no error. */
int vfio_device_bind(const char *bdf);
int vfio_device_unbind(const char *bdf);
bool vfio_device_present(const char *bdf);

/* Bind, open the group, attach it to the container, open the device. */
int vfio_device_open(struct vfio_device *d, struct vfio_container *c,
		     const char *bdf);
/*
 * The last two steps of vfio_device_open(). The caller has set d->bdf and d->container.
 * Takes over group, which is an open fd, and closes it on failure; or returns group if
 * that is an -errno.
 */
int vfio_device_open_in(struct vfio_device *d, int group);
/*
 * As vfio_device_open(), but waits while the device is busy, because a process that was
 * killed has not ended yet, or because restore still reads its memory. Waits for ten
 * seconds, longer on a slow kernel, or until *stop is true if stop is not NULL.
 */
int vfio_device_open_patiently(struct vfio_device *d, struct vfio_container *c,
			       const char *bdf, const atomic_bool *stop);
/* Close the device and take its group out of the container. mmaps of its memory stay. */
void vfio_device_close(struct vfio_device *d);

/* Have an MSI-X vector signalled to an eventfd. */
int vfio_msix_enable(struct vfio_device *d, unsigned int vector, int eventfd);

int vfio_region_info(struct vfio_device *d, unsigned int region,
		     struct vfio_region_info *info);
uint64_t vfio_region_size(struct vfio_device *d, unsigned int region);
/* mmap() a part of a region, at address at (replacing what is mapped there) or anywhere. */
void *vfio_region_mmap(struct vfio_device *d, unsigned int region,
		       uint64_t offset, size_t len, int prot, void *at);
int vfio_region_read(struct vfio_device *d, unsigned int region,
		     uint64_t offset, void *buf, size_t len);
int vfio_region_write(struct vfio_device *d, unsigned int region,
		      uint64_t offset, const void *buf, size_t len);

/*
 * Reserve len bytes of address space with PROT_NONE. The range starts skew bytes
 * past a multiple of align (a power of two).
 */
void *vfio_reserve(size_t len, size_t align, size_t skew);

int vfio_decoding(struct vfio_device *d, bool on);	/* PCI_COMMAND_MEMORY */
int vfio_bus_master(struct vfio_device *d, bool on);
int vfio_reset(struct vfio_device *d);
int vfio_hot_reset(struct vfio_device *d);
int vfio_low_power(struct vfio_device *d, bool enter);
int vfio_power_state(struct vfio_device *d, unsigned int dstate); /* PMCSR */

#endif
