/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What tether offers programs beyond <linux/vfio.h>: to ask how much of what
 * they mapped is reached by devices right now, and to be told when that
 * changes. All of it is done on a container's file, after VFIO_SET_IOMMU. A
 * program that knows nothing of this works as ever.
 */
#ifndef _UAPI_LINUX_VFIO_TETHER_H
#define _UAPI_LINUX_VFIO_TETHER_H

#include <linux/types.h>
#include <linux/vfio.h>

/**
 * VFIO_TETHER_EXTENSION - Is this tether?
 *
 * For VFIO_CHECK_EXTENSION, which returns the version of this interface, 1, or
 * 0 if the container's backend is another one.
 *
 * The kernel numbers its extensions upwards from 1 and has not reached 20 in
 * ten years. This is "teth" in ASCII: the kernel will not reach it by counting,
 * and it fits an int, which is the type that many programs pass.
 */
#define VFIO_TETHER_EXTENSION		0x74657468

/*
 * Likewise the ioctls: VFIO's are numbered upwards from VFIO_BASE, and of the
 * 155 that are left above it in eight bits these are from the end.
 */

/**
 * struct vfio_tether_query - How much is mapped, and reached
 * @argsz: size of this struct (bytes)
 * @flags: VFIO_TETHER_QUERY_FLAG_ALL: of all IOVAs; @iova and @size are 0 then
 * @iova: first IOVA of the range that is asked about
 * @size: its length (bytes)
 * @pinned: out: RAM that is pinned and in the IOMMU (bytes)
 * @live: out: device memory in the IOMMU (bytes)
 * @revoked: out: device memory that is out of the IOMMU, and comes back when
 *	     its device has it again (bytes)
 * @gone: out: device memory that the process has unmapped meanwhile; it never
 *	  comes back, but stays mapped in name until VFIO_IOMMU_UNMAP_DMA (bytes)
 * @mappings: out: how many mappings are in the range, with some part of them
 * @mirrors: out: how many stretches of device memory are
 * @revocations: out: how often those have been revoked since they were mapped
 *
 * Bytes are of the range, whatever the mappings are cut into. Memory that is
 * mapped for emulated devices alone is in none of the sums.
 */
struct vfio_tether_query {
	__u32	argsz;
	__u32	flags;
#define VFIO_TETHER_QUERY_FLAG_ALL	(1 << 0)
	__u64	iova;
	__u64	size;
	__u64	pinned;
	__u64	live;
	__u64	revoked;
	__u64	gone;
	__u32	mappings;
	__u32	mirrors;
	__u64	revocations;
};

/**
 * VFIO_TETHER_QUERY - _IOWR(VFIO_TYPE, VFIO_BASE + 150, struct vfio_tether_query)
 *
 * Return: 0; -EFAULT for a bad pointer, -EINVAL for a short argsz, an unknown
 * flag, a size of 0 without VFIO_TETHER_QUERY_FLAG_ALL or a range with it,
 * -EOVERFLOW if the range wraps.
 */
#define VFIO_TETHER_QUERY		_IO(VFIO_TYPE, VFIO_BASE + 150)

/**
 * struct vfio_tether_eventfd - Which eventfd to signal
 * @argsz: size of this struct (bytes)
 * @flags: 0
 * @fd: an eventfd, or -1 to signal none
 * @reserved: 0
 */
struct vfio_tether_eventfd {
	__u32	argsz;
	__u32	flags;
	__s32	fd;
	__u32	reserved;
};

/**
 * VFIO_TETHER_SET_EVENTFD - _IOW(VFIO_TYPE, VFIO_BASE + 151, struct vfio_tether_eventfd)
 *
 * Description: Tether adds one to the eventfd's counter each time device memory of the
 * container is revoked or restored. On a revocation it does so before the system call that
 * takes the memory away returns. VFIO_TETHER_QUERY tells the state then. A container has
 * one eventfd: a new one replaces the old one, and the container's end releases it.
 *
 * Return: 0; -EFAULT for a bad pointer, -EINVAL for a short argsz, a flag,
 * something in @reserved, an @fd below -1, or a file that is no eventfd, -EBADF
 * for no file.
 */
#define VFIO_TETHER_SET_EVENTFD		_IO(VFIO_TYPE, VFIO_BASE + 151)

#endif
