/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A segment: a part of a mapping whose memory is all of one kind: RAM, which is pinned,
 * or device memory, which is mirrored. struct pinned is defined here and not in
 * pinned.c, since struct mapping embeds one. container->lock guards struct segment and
 * struct pinned.
 */
#ifndef TETHER_SEGMENT_H
#define TETHER_SEGMENT_H

#include <linux/list.h>
#include <linux/types.h>

#include "extent.h"

struct mapping;

enum segment_kind {
	SEGMENT_PINNED,
	SEGMENT_MIRROR,
	SEGMENT_KINDS,
};

/**
 * struct segment - A part of a mapping whose memory is all of one kind
 * @node: in mapping->segments
 * @mapping: the mapping it is a part of
 * @kind: tells whether this struct is embedded in a struct pinned or a struct mirror
 * @offset: where in the mapping it starts (bytes)
 * @size: its length (bytes)
 */
struct segment {
	struct list_head node;
	struct mapping *mapping;
	enum segment_kind kind;
	size_t offset;
	size_t size;
};

/**
 * struct pinned - A segment of RAM
 * @seg: its place in the mapping
 * @extents: the pages that are pinned; if @scattered, only those whose IOMMU entries
 *	     have not been made yet
 * @frames: if @scattered, the page frame number of each page that is in the IOMMU, or
 *	    NULL: then only the IOMMU's page tables tell which pages these are
 * @only: room for one extent, which @extents uses until it has more, to save an
 *	  allocation. One is enough for a small mapping, and for large folios that
 *	  follow each other in physical memory
 * @mapped: how many bytes from the segment's start are in the IOMMU
 * @scattered: the extents were too many to keep
 * @hugetlb: all of the segment is hugetlb memory, with one pin on each folio instead
 *	     of one on each page
 *
 * Used by pinned.c only, under container->lock.
 */
struct pinned {
	struct segment seg;
	struct extents extents;
	struct extent only;
	u32 *frames;
	size_t mapped;
	bool scattered;
	bool hugetlb;
};

#endif
