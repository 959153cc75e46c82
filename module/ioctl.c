// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of <linux/vfio.h> and <linux/vfio_tether.h> on a type1 container. Only
 * this file reads, checks and writes the structs that programs pass. On every kernel it
 * accepts and refuses the arguments that the newest kernel's in-tree backend accepts
 * and refuses. An ioctl first reads its struct and makes every check that needs no
 * lock, and only then takes container->lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vfio_tether.h>

#include "container.h"
#include "dirty.h"
#include "domain.h"
#include "events.h"
#include "ioctl.h"
#include "mapping.h"
#include "query.h"
#include "reason.h"
#include "span.h"
#include "stats.h"
#include "trace.h"

/* if narrower, each 64-bit argument would have to be checked for truncation */
static_assert(sizeof(unsigned long) == sizeof(u64));
static_assert(sizeof(dma_addr_t) == sizeof(u64));

/* @c is NULL before VFIO_SET_IOMMU, and for a container that is refused (beside.c). */
static long check_extension(struct container *c, unsigned long extension)
{
	long ret;

	switch (extension) {
	case VFIO_TYPE1_IOMMU:
	case VFIO_TYPE1v2_IOMMU:
	case VFIO_UNMAP_ALL:
	case VFIO_TETHER_EXTENSION:
		return 1;
	case VFIO_DMA_CC_IOMMU:
		if (!c)
			return 0;
		container_lock(c);
		ret = domains_coherent(c);
		mutex_unlock(&c->lock);
		return ret;
	case VFIO_UPDATE_VADDR:
		/* not if the driver of an emulated device may use a stale address */
		if (!c)
			return 0;
		container_lock(c);
		ret = list_empty(&c->emulated);
		mutex_unlock(&c->lock);
		return ret;
	default:
		return 0;
	}
}

static int add_migration(struct container *c, struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_migration cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION,
		.header.version = 1,
		.pgsize_bitmap = container_granule(c),
		.max_dirty_bitmap_size = DIRTY_BYTES(DIRTY_PAGES_MAX),
	};

	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}

static int add_dma_avail(struct container *c, struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_dma_avail cap = {
		.header.id = VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL,
		.header.version = 1,
		.avail = c->mappings_avail,
	};

	return vfio_info_add_capability(caps, &cap.header, sizeof(cap));
}

static int add_iova_ranges(struct container *c, struct vfio_info_cap *caps)
{
	struct vfio_iommu_type1_info_cap_iova_range *cap;
	size_t size, n = 0;
	struct span *s;
	int ret;

	list_for_each_entry(s, &c->usable, node)
		n++;
	if (!n)
		return 0;

	size = struct_size(cap, iova_ranges, n);
	cap = kzalloc(size, GFP_KERNEL_ACCOUNT);
	if (!cap)
		return -ENOMEM;

	cap->header.id = VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE;
	cap->header.version = 1;
	cap->nr_iovas = n;
	n = 0;
	list_for_each_entry(s, &c->usable, node) {
		cap->iova_ranges[n].start = s->first;
		cap->iova_ranges[n].end = s->last;
		n++;
	}
	ret = vfio_info_add_capability(caps, &cap->header, size);
	kfree(cap);
	return ret;
}

static int put_info(void __user *arg, struct vfio_iommu_type1_info *info,
		    struct vfio_info_cap *caps)
{
	size_t room = min_t(size_t, info->argsz, sizeof(*info));

	info->flags |= VFIO_IOMMU_INFO_CAPS;
	if (info->argsz < sizeof(*info) + caps->size) {
		info->argsz = sizeof(*info) + caps->size;
	} else {
		vfio_info_cap_shift(caps, sizeof(*info));
		if (copy_to_user(arg + sizeof(*info), caps->buf, caps->size))
			return -EFAULT;
		info->cap_offset = sizeof(*info);
	}
	return copy_to_user(arg, info, room) ? -EFAULT : 0;
}

static long get_info(struct container *c, void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_iommu_type1_info,
					 iova_pgsizes);
	struct vfio_iommu_type1_info info = {};
	struct vfio_info_cap caps = {};
	long ret;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;

	info.flags = VFIO_IOMMU_INFO_PGSIZES;
	container_lock(c);
	info.iova_pgsizes = c->pgsizes;
	ret = add_migration(c, &caps);
	if (!ret)
		ret = add_dma_avail(c, &caps);
	if (!ret)
		ret = add_iova_ranges(c, &caps);
	mutex_unlock(&c->lock);

	if (!ret)
		ret = put_info(arg, &info, &caps);
	kfree(caps.buf);
	return ret;
}

static bool iova_is_aligned(const struct container *c, u64 bits)
{
	return !(bits & (container_granule(c) - 1));
}

static int refuse_unaligned(struct container *c)
{
	reason_set(c, "not aligned to the IOMMU's pages of %llu bytes",
		   container_granule(c));
	return -EINVAL;
}

/*
 * Tell of a MAP_DMA that failed. Not of -ERESTARTNOINTR: the kernel calls the ioctl
 * again, and the program sees no error.
 */
static void tell_refused(struct container *c,
			 const struct vfio_iommu_type1_dma_map *map, int error)
{
	lockdep_assert_held(&c->lock);
	if (error == -ERESTARTNOINTR)
		return;
	if (!c->reason[0])
		reason_set(c, "%s", error == -ENOMEM ? "no memory" :
			   error == -EINTR ? "interrupted by a signal" :
			   "the IOMMU driver's or another part of the kernel's error");
	stats_refused(error);
	trace_refuse(c, map->iova, map->vaddr, map->size, error);
	if (c->reason_loud)
		pr_warn_ratelimited("%s[%d]: MAP_DMA of IOVA 0x%llx, %llu bytes, from user address 0x%llx refused (%pe): %s\n",
				    current->comm, task_pid_nr(current),
				    map->iova, map->size, map->vaddr,
				    ERR_PTR(error), c->reason);
}

static long map_dma(struct container *c, void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_iommu_type1_dma_map, size);
	struct vfio_iommu_type1_dma_map map;
	bool vaddr_only;
	int prot = 0;
	u64 last;
	long ret;

	if (copy_from_user(&map, arg, minsz))
		return -EFAULT;
	if (map.argsz < minsz || map.flags & ~(VFIO_DMA_MAP_FLAG_READ |
					       VFIO_DMA_MAP_FLAG_WRITE |
					       VFIO_DMA_MAP_FLAG_VADDR))
		return -EINVAL;
	if (!map.size)
		return -EINVAL;
	if (check_add_overflow(map.iova, map.size - 1, &last) ||
	    check_add_overflow(map.vaddr, map.size - 1, &last))
		return -EOVERFLOW;

	if (map.flags & VFIO_DMA_MAP_FLAG_READ)
		prot |= IOMMU_READ;
	if (map.flags & VFIO_DMA_MAP_FLAG_WRITE)
		prot |= IOMMU_WRITE;
	vaddr_only = map.flags & VFIO_DMA_MAP_FLAG_VADDR;
	if (!prot != vaddr_only)
		return -EINVAL;

	container_lock(c);
	reason_clear(c);
	if (!iova_is_aligned(c, map.iova | map.vaddr | map.size))
		ret = refuse_unaligned(c);
	else if (vaddr_only)
		ret = mapping_set_vaddr(c, map.iova, map.vaddr, map.size);
	else
		ret = mapping_map(c, map.iova, map.vaddr, map.size, prot);
	if (ret)
		tell_refused(c, &map, ret);
	mutex_unlock(&c->lock);
	return ret;
}

/*
 * Check a user's bitmap for a range of @size bytes. The caller does not hold
 * container->lock, so this does not compare @bitmap->pgsize with the container's
 * granule; dirty_log_has() does that later, under the lock.
 */
static int check_bitmap(const struct vfio_bitmap *bitmap, u64 size)
{
	u64 pages;

	if (!bitmap->pgsize || !access_ok(bitmap->data, bitmap->size))
		return -EINVAL;
	pages = size >> __ffs64(bitmap->pgsize);
	if (!pages || pages > DIRTY_PAGES_MAX ||
	    bitmap->size > DIRTY_BYTES(DIRTY_PAGES_MAX) ||
	    bitmap->size < DIRTY_BYTES(pages))
		return -EINVAL;
	return 0;
}

/*
 * Check the range of an unmap, and set @last to its last IOVA. VFIO_DMA_UNMAP_FLAG_ALL
 * stands for all IOVAs; iova and size have to be 0 then.
 */
static int unmap_dma_range(struct container *c,
			   const struct vfio_iommu_type1_dma_unmap *unmap,
			   u64 *last)
{
	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
		*last = U64_MAX;
		return unmap->iova || unmap->size ? -EINVAL : 0;
	}
	if (!unmap->size || !iova_is_aligned(c, unmap->iova | unmap->size))
		return -EINVAL;
	if (check_add_overflow(unmap->iova, unmap->size - 1, last))
		return -EOVERFLOW;
	return 0;
}

static int do_unmap(struct container *c,
		    struct vfio_iommu_type1_dma_unmap *unmap,
		    const struct vfio_bitmap *bitmap)
{
	u64 last;
	int ret;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR &&
	    !list_empty(&c->emulated))
		return -EBUSY;
	ret = unmap_dma_range(c, unmap, &last);
	if (ret)
		return ret;
	if (bitmap && !dirty_log_has(c, bitmap))
		return -EINVAL;

	if (unmap->flags & VFIO_DMA_UNMAP_FLAG_VADDR)
		return mapping_set_stale(c, unmap->iova, last, &unmap->size);
	return mapping_unmap(c, unmap->iova, last, bitmap, &unmap->size);
}

static long unmap_dma(struct container *c, void __user *arg)
{
	const u32 bitmap_flag = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	const u32 other_flags = VFIO_DMA_UNMAP_FLAG_ALL |
				VFIO_DMA_UNMAP_FLAG_VADDR;
	const size_t minsz = offsetofend(struct vfio_iommu_type1_dma_unmap,
					 size);
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap = {};
	bool wants_bitmap;
	long ret;

	if (copy_from_user(&unmap, arg, minsz))
		return -EFAULT;
	if (unmap.argsz < minsz || unmap.flags & ~(bitmap_flag | other_flags))
		return -EINVAL;

	wants_bitmap = unmap.flags & bitmap_flag;
	if (wants_bitmap) {
		if (unmap.flags & other_flags ||
		    unmap.argsz < minsz + sizeof(bitmap))
			return -EINVAL;
		if (copy_from_user(&bitmap, arg + minsz, sizeof(bitmap)))
			return -EFAULT;
		ret = check_bitmap(&bitmap, unmap.size);
		if (ret)
			return ret;
	}

	container_lock(c);
	ret = do_unmap(c, &unmap, wants_bitmap ? &bitmap : NULL);
	mutex_unlock(&c->lock);

	if (ret)
		return ret;
	return copy_to_user(arg, &unmap, minsz) ? -EFAULT : 0;
}

static long get_dirty_bitmap(struct container *c, void __user *arg)
{
	struct vfio_iommu_type1_dirty_bitmap_get get;
	u64 last;
	long ret;

	if (copy_from_user(&get, arg, sizeof(get)))
		return -EFAULT;
	if (!get.size)
		return -EINVAL;
	if (check_add_overflow(get.iova, get.size - 1, &last))
		return -EOVERFLOW;
	ret = check_bitmap(&get.bitmap, get.size);
	if (ret)
		return ret;

	container_lock(c);
	if (!dirty_log_has(c, &get.bitmap) ||
	    !iova_is_aligned(c, get.iova | get.size) ||
	    mapping_would_split(c, get.iova, last))
		ret = -EINVAL;
	else
		ret = dirty_take(c, get.iova, last, get.bitmap.data);
	mutex_unlock(&c->lock);
	return ret;
}

static long dirty_pages(struct container *c, void __user *arg)
{
	const size_t minsz = offsetofend(struct vfio_iommu_type1_dirty_bitmap,
					 flags);
	struct vfio_iommu_type1_dirty_bitmap dirty;
	long ret;

	if (!c->v2)
		return -EACCES;
	if (copy_from_user(&dirty, arg, minsz))
		return -EFAULT;
	if (dirty.argsz < minsz)
		return -EINVAL;

	switch (dirty.flags) {
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_START:
		container_lock(c);
		ret = dirty_start(c);
		mutex_unlock(&c->lock);
		return ret;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP:
		container_lock(c);
		dirty_stop(c);
		mutex_unlock(&c->lock);
		return 0;
	case VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP:
		if (dirty.argsz - minsz < sizeof(struct vfio_iommu_type1_dirty_bitmap_get))
			return -EINVAL;
		return get_dirty_bitmap(c, arg + minsz);
	default:
		return -EINVAL;
	}
}

static long tether_query(struct container *c, void __user *arg)
{
	struct vfio_tether_query query, asked;
	u64 last = U64_MAX;

	if (copy_from_user(&asked, arg, sizeof(asked)))
		return -EFAULT;
	if (asked.argsz < sizeof(asked) ||
	    asked.flags & ~VFIO_TETHER_QUERY_FLAG_ALL)
		return -EINVAL;
	if (asked.flags & VFIO_TETHER_QUERY_FLAG_ALL) {
		if (asked.iova || asked.size)
			return -EINVAL;
	} else {
		if (!asked.size)
			return -EINVAL;
		if (check_add_overflow(asked.iova, asked.size - 1, &last))
			return -EOVERFLOW;
	}

	query = (struct vfio_tether_query){
		.argsz = asked.argsz,
		.flags = asked.flags,
		.iova = asked.iova,
		.size = asked.size,
	};
	container_lock(c);
	query_range(c, query.iova, last, &query);
	mutex_unlock(&c->lock);
	return copy_to_user(arg, &query, sizeof(query)) ? -EFAULT : 0;
}

static long tether_set_eventfd(struct container *c, void __user *arg)
{
	struct vfio_tether_eventfd set;

	if (copy_from_user(&set, arg, sizeof(set)))
		return -EFAULT;
	if (set.argsz < sizeof(set) || set.flags || set.reserved || set.fd < -1)
		return -EINVAL;
	return events_set_eventfd(c, set.fd);
}

/**
 * container_ioctl() - An ioctl on a container's file
 * @c: the container; takes its lock. NULL only for VFIO_CHECK_EXTENSION, if the program
 *     has not called VFIO_SET_IOMMU yet or tether refuses the container
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Return: the result for the program; -ENOTTY if neither type1 nor tether has this
 * ioctl.
 */
long container_ioctl(struct container *c, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case VFIO_CHECK_EXTENSION:
		return check_extension(c, arg);
	case VFIO_IOMMU_GET_INFO:
		return get_info(c, (void __user *)arg);
	case VFIO_IOMMU_MAP_DMA:
		return map_dma(c, (void __user *)arg);
	case VFIO_IOMMU_UNMAP_DMA:
		return unmap_dma(c, (void __user *)arg);
	case VFIO_IOMMU_DIRTY_PAGES:
		return dirty_pages(c, (void __user *)arg);
	case VFIO_TETHER_QUERY:
		return tether_query(c, (void __user *)arg);
	case VFIO_TETHER_SET_EVENTFD:
		return tether_set_eventfd(c, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}
