/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Two ioctls of tether that <linux/vfio.h> does not have, for a container's
 * file after VFIO_SET_IOMMU. With VFIO_TETHER_QUERY a program asks how much
 * of the memory that it has mapped devices can reach now. With
 * VFIO_TETHER_SET_EVENTFD it asks to be notified when that changes. Programs
 * that do not use these ioctls are not affected by them.
 */
#ifndef _UAPI_LINUX_VFIO_TETHER_H
#define _UAPI_LINUX_VFIO_TETHER_H

#include <linux/types.h>
#include <linux/vfio.h>

/**
 * VFIO_TETHER_EXTENSION - Is the container's backend tether?
 *
 * The argument for VFIO_CHECK_EXTENSION, which then returns the version of
 * this interface, 1, or 0 if the container's backend is not tether.
 *
 * The kernel numbers its extensions upwards from 1 and has not reached 20 in
 * ten years. This is "teth" in ASCII: the kernel will not reach it by counting,
 * and it fits an int, which is the type that many programs pass.
 */
#define VFIO_TETHER_EXTENSION		0x74657468

/*
 * The kernel numbers its VFIO ioctls upwards from VFIO_BASE. A number has eight
 * bits, so the highest one is VFIO_BASE + 155. Tether's ioctls have numbers
 * near that end, which the kernel will not reach soon.
 */

/**
 * struct vfio_tether_query - How much memory is mapped, and can be reached
 * @argsz: size of this struct (bytes)
 * @flags: 0, or VFIO_TETHER_QUERY_FLAG_ALL to ask about all IOVAs; then @iova
 *	   and @size have to be 0
 * @iova: first IOVA of the range that is asked about
 * @size: length of that range (bytes)
 * @pinned: out: RAM that is pinned and in the IOMMU (bytes)
 * @live: out: device memory in the IOMMU (bytes)
 * @revoked: out: device memory that tether has taken out of the IOMMU, for
 *	     example since its device was reset, and puts back when the memory
 *	     is available again (bytes)
 * @gone: out: device memory that the process has unmapped from its own address
 *	  space (munmap); tether never puts it back into the IOMMU, but its
 *	  IOVAs stay in use until VFIO_IOMMU_UNMAP_DMA (bytes)
 * @mappings: out: how many mappings have an IOVA in the range
 * @mirrors: out: how many stretches of device memory have an IOVA in the range
 * @revocations: out: how often these stretches were revoked, in total, since
 *		 they were mapped
 *
 * Of a mapping that is only partly in the range, the sums count only the bytes
 * in the range. Memory of a container that has only emulated devices is in none
 * of the sums.
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
 * Return: 0; -EFAULT for a bad pointer; -EINVAL for a short argsz, an unknown
 * flag, a size of 0 without VFIO_TETHER_QUERY_FLAG_ALL, or an iova or size that
 * is not 0 with that flag; -EOVERFLOW if the range wraps.
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
 * Description: Tether adds one to the eventfd's counter each time device
 * memory of the container is revoked or restored. On a revocation it does so
 * before the system call that takes the memory away returns. The program can
 * then learn the new state with VFIO_TETHER_QUERY. A container has one eventfd:
 * a new one replaces the old one, and tether releases it when the container is
 * closed.
 *
 * Return: 0; -EFAULT for a bad pointer; -EINVAL for a short argsz, @flags or
 * @reserved that is not 0, an @fd below -1, or an @fd that is not an eventfd;
 * -EBADF if @fd is not open.
 */
#define VFIO_TETHER_SET_EVENTFD		_IO(VFIO_TYPE, VFIO_BASE + 151)

#endif
