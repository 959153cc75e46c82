/* SPDX-License-Identifier: GPL-2.0-only */
/* A segment: a part of a mapping with one kind of memory behind it. */
#ifndef TETHER_SEGMENT_H
#define TETHER_SEGMENT_H

#include <linux/list.h>
#include <linux/types.h>

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

#endif
