/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mappings, and how to find them. One MAP_DMA makes one mapping. A mapping consists of
 * segments; a new segment begins where the kind of memory behind the user's addresses
 * changes. RAM is pinned (pinned.c), device memory is mirrored (mirror.c). mapping.c
 * makes and removes mappings.
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
 * struct mapping - The mapping that one VFIO_IOMMU_MAP_DMA has made
 * @node: in container->mappings; has the first and the last IOVA (bytes)
 * @vaddr: user address that the first IOVA maps, without its tag (untagged_addr())
 * @prot: what devices may do: IOMMU_READ, IOMMU_WRITE or both
 * @lock_cap: the process that pays had CAP_IPC_LOCK, so RLIMIT_MEMLOCK does not apply
 * @stale: an unmap with VFIO_DMA_UNMAP_FLAG_VADDR has made @vaddr invalid, and no map
 *	   has set a new one yet
 * @mm: address space of the process that made the mapping, held by mmgrab(), which
 *	keeps the struct but not the memory
 * @task: thread group leader of that process, held; its RLIMIT_MEMLOCK applies
 * @made_at: when the mapping was made
 * @charged: pages charged to @mm for this mapping; while many mappings are removed,
 *	     also those of mappings removed before it
 * @segments: struct segment, by ascending offset, without gaps; empty while the
 *	      container has no domain
 * @pins: struct pin for each page that emulated devices have pinned, by the page's
 *	  number counted from the mapping's start
 * @dirty: bitmap of dirty pages while the container's dirty log is on, else NULL; one
 *	   bit for each PAGE_SIZE bytes
 * @room: memory for the first segment of RAM, which is nearly always the only one; used
 *	  by pinned.c
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

/* Walk the mappings with an IOVA in the range, upwards. The loop must remove none. */
#define for_each_mapping_in(m, c, first, last)				\
	for ((m) = mapping_first((c), (first), (last)); (m);		\
	     (m) = mapping_next((c), (m), (last)))

#define for_each_mapping(m, c)	for_each_mapping_in(m, c, 0, U64_MAX)

#endif
