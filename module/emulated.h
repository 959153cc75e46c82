/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Emulated devices (mediated devices, mdev), which have no IOMMU. Their drivers pin the
 * pages that they use (emulated_pin(), by IOVA), or have this module read or write the
 * mapped memory for them (emulated_rw()).
 */
#ifndef TETHER_EMULATED_H
#define TETHER_EMULATED_H

#include <linux/types.h>

struct container;
struct mapping;
struct page;
struct vfio_device;

void emulated_register(struct container *c, struct vfio_device *vdev);
void emulated_unregister(struct container *c, struct vfio_device *vdev);

int emulated_pin(struct container *c, u64 iova, int npages, int prot,
		 struct page **pages);
void emulated_unpin(struct container *c, u64 iova, int npages);
int emulated_rw(struct container *c, u64 iova, void *buf, size_t count,
		bool write);

unsigned long emulated_charged(struct container *c, struct mapping *m,
			       u64 offset, u64 size);
void emulated_notify_unmap(struct container *c, struct mapping *m);

#endif
