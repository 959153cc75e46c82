/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Extents: the contiguous ranges that are mapped in IOMMUs. Mappings are mapped and
 * unmapped by extent, so the cost depends on the number of extents, not of pages.
 */
#ifndef TETHER_EXTENT_H
#define TETHER_EXTENT_H

#include <linux/types.h>

/**
 * struct extent - Contiguous IOVAs that map contiguous physical memory
 * @iova: first device address (bytes)
 * @phys: the physical address it maps to (bytes)
 * @len: length (bytes), a multiple of PAGE_SIZE
 */
struct extent {
	dma_addr_t iova;
	phys_addr_t phys;
	size_t len;
};

/**
 * struct extents - A growing array of extents, by ascending IOVA
 * @v: the array, NULL while empty
 * @nr: extents in use
 * @cap: how many extents @v has room for: 0; 1, in room from extents_lend(); or more,
 *	 in memory that was allocated
 *
 * A zeroed struct is an empty array. The code that uses an array has to serialise
 * access to it.
 */
struct extents {
	struct extent *v;
	unsigned int nr;
	unsigned int cap;
};

/**
 * extents_lend() - Give an empty array room for one extent, to save an allocation
 * @ex: the array
 * @room: the room; the caller keeps it valid and in place while @ex is in use
 */
static inline void extents_lend(struct extents *ex, struct extent *room)
{
	ex->v = room;
	ex->cap = 1;
}

static inline struct extent *extents_last(struct extents *ex)
{
	return ex->nr ? &ex->v[ex->nr - 1] : NULL;
}

int extents_push(struct extents *ex, const struct extent *e);
int extents_add(struct extents *ex, const struct extent *e);
bool extent_adjoins(const struct extent *e, const struct extent *next);
void extents_free(struct extents *ex);

#endif
