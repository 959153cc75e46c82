/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A segment: a part of a mapping with one kind of memory behind it. One of RAM is here
 * as a whole, since a mapping has room for one.
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
 * @kind: what it is embedded in: struct pinned or struct mirror
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
 * @extents: what is pinned; while mapping a scattered one, only what the
 *	     IOMMU has not got yet
 * @only: lent to @extents: small mappings and large folios need no more
 * @mapped: bytes from its start that are in the IOMMU
 * @scattered: the IOMMU's tables, not @extents, remember what is pinned
 * @hugetlb: all of it is hugetlb's, with one pin on each folio, not on each page
 *
 * pinned.c's, under container->lock.
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
