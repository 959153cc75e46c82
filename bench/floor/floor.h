/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ioctls of the floor's module, for the module and for side.c. Each open file has
 * an IOMMU domain of its own; closing the file removes the domain and its mappings.
 */
#ifndef TETHER_BENCH_FLOOR_H
#define TETHER_BENCH_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FLOOR_PATH	"/dev/tether-floor"

/**
 * struct floor_map - Map memory at an IOVA
 * @vaddr: address of the caller's RAM, which is pinned; for device memory the offset
 *	   in the BAR
 * @iova: where to map it; FLOOR_UNMAP takes the same value
 * @size: bytes to map; @vaddr, @iova and @size are multiples of the page size
 * @device: bus << 8 | devfn of the PCI device whose memory is mapped
 * @bar: number of the device's BAR
 */
struct floor_map {
	__u64 vaddr;
	__u64 iova;
	__u64 size;
	__u32 device;
	__u32 bar;
};

/* Attaches the device with bus << 8 | devfn to the domain; it must have no driver. */
#define FLOOR_ATTACH	_IO('F', 0)
#define FLOOR_MAP_RAM	_IOW('F', 1, struct floor_map)
#define FLOOR_MAP_BAR	_IOW('F', 2, struct floor_map)
#define FLOOR_UNMAP	_IOW('F', 3, __u64)

#endif
