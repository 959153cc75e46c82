/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A segment: a part of a mapping with one kind of memory behind it. struct pinned is
 * defined here and not in pinned.c, since struct mapping contains one. container->lock
 * guards both.
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
 * struct segment - A part of a mapping with one kind of memory behind it
 * @node: in mapping->segments
 * @mapping: the mapping it is a part of
 * @kind: says whether it is embedded in a struct pinned or a struct mirror
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
 * @extents: the pages that are pinned; of a scattered segment, only those that are not
 *	     in the IOMMU yet
 * @only: room for one extent, lent to @extents; enough for small mappings and for
 *	  memory in large folios that follow each other
 * @mapped: how many bytes from the segment's start are in the IOMMU
 * @scattered: only the IOMMU's tables, not @extents, tell which pages are pinned
 * @hugetlb: all of the segment is hugetlb memory, with one pin on each folio instead
 *	     of one on each page
 *
 * Used by pinned.c only, under container->lock.
 */
struct pinned {
	struct segment seg;
	struct extents extents;
	struct extent only;
	size_t mapped;
	bool scattered;
	bool hugetlb;
};

#endif
