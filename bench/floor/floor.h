/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the floor's module can be told, for its kernel side and for bench.c. One open
 * file is one IOMMU domain; closing it takes all away.
 */
#ifndef TETHER_BENCH_FLOOR_H
#define TETHER_BENCH_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define FLOOR_PATH	"/dev/tether-floor"

/**
 * struct floor_map - Map memory at an IOVA
 * @vaddr: RAM of the caller's from here on, to be pinned; for device memory its
 *	   offset in the BAR
 * @iova: where to map it; also what FLOOR_UNMAP calls the mapping by
 * @size: how much (bytes); both above and this are multiples of a page
 * @device: bus << 8 | devfn of the PCI device whose memory it is
 * @bar: its BAR
 */
struct floor_map {
	__u64 vaddr;
	__u64 iova;
	__u64 size;
	__u32 device;
	__u32 bar;
};

/* The device, as above, to attach the domain to; nothing is bound to it. */
#define FLOOR_ATTACH	_IO('F', 0)
#define FLOOR_MAP_RAM	_IOW('F', 1, struct floor_map)
#define FLOOR_MAP_BAR	_IOW('F', 2, struct floor_map)
#define FLOOR_UNMAP	_IOW('F', 3, __u64)

#endif
