/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mappings, and how to find them. A mapping is one MAP_DMA. It is cut into segments
 * where the kind of memory behind the user's addresses changes: RAM is pinned
 * (pinned.c), device memory is mirrored (mirror.c). mapping.c makes and removes both.
 */
#ifndef TETHER_TREE_H
#define TETHER_TREE_H

#include <linux/interval_tree.h>
#include <linux/ktime.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/types.h>
#include <linux/xarray.h>

#include "segment.h"

struct container;
struct mm_struct;
struct task_struct;

/**
 * struct mapping - What one VFIO_IOMMU_MAP_DMA made
 * @node: in container->mappings: the IOVAs, first and last (bytes)
 * @vaddr: user address that the first IOVA maps, without a tag
 * @prot: IOMMU_READ, IOMMU_WRITE or both, as the device may
 * @lock_cap: its maker had CAP_IPC_LOCK, so no limit on pinned memory holds
 * @stale: VFIO_DMA_UNMAP_FLAG_VADDR was there, and no new @vaddr yet
 * @mm: address space of its maker, held by mmgrab(): it does not keep the
 *	memory, only the struct
 * @task: thread group leader of its maker, held, for its RLIMIT_MEMLOCK
 * @made_at: when
 * @charged: pages charged to @mm; while many go, those of others before it, too
 * @segments: struct segment, by ascending offset, without gaps; none while the
 *	      container has no domain
 * @pins: struct pin, of emulated devices, by page of the mapping
 * @dirty: bitmap of dirty pages while the container's log is on: one bit for each
 *	   PAGE_SIZE
 * @room: for its first segment of RAM, which is nearly always its only one; pinned.c
 *	  uses it
 *
 * container->lock guards all of it.
 */
struct mapping {
	struct interval_tree_node node;
	unsigned long vaddr;
	int prot;
	bool lock_cap;
	bool stale;
	struct mm_struct *mm;
	struct task_struct *task;
	ktime_t made_at;
	unsigned long charged;
	struct list_head segments;
	struct xarray pins;
	unsigned long *dirty;
	struct pinned room;
};

static inline size_t mapping_size(const struct mapping *m)
{
	return m->node.last - m->node.start + 1;
}

static inline dma_addr_t segment_iova(const struct segment *s)
{
	return s->mapping->node.start + s->offset;
}

static inline unsigned long segment_vaddr(const struct segment *s)
{
	return s->mapping->vaddr + s->offset;
}

struct mapping *mapping_first(struct container *c, u64 first, u64 last);
struct mapping *mapping_next(struct container *c, struct mapping *m, u64 last);

/* Every mapping with an IOVA in the range, ascending; none may go meanwhile. */
#define for_each_mapping_in(m, c, first, last)				\
	for ((m) = mapping_first((c), (first), (last)); (m);		\
	     (m) = mapping_next((c), (m), (last)))

#define for_each_mapping(m, c)	for_each_mapping_in(m, c, 0, U64_MAX)

#endif
