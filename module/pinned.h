/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments of RAM: pinned, accounted and mapped for as long as they live. */
#ifndef TETHER_PINNED_H
#define TETHER_PINNED_H

#include <linux/types.h>

#include "extent.h"
#include "segment.h"

struct container;
struct domain;
struct mapping;

/**
 * struct pinned - A segment of RAM
 * @seg: its place in the mapping
 * @extents: what is pinned; while mapping a scattered one, only what the
 *	     IOMMU has not got yet
 * @only: lent to @extents: small mappings and large folios need no more
 * @mapped: bytes from its start that are in the IOMMU
 * @scattered: the IOMMU's tables, not @extents, remember what is pinned
 * @hugetlb: all of it is hugetlb's, with one pin on each folio, not on each page
 */
struct pinned {
	struct segment seg;
	struct extents extents;
	struct extent only;
	size_t mapped;
	bool scattered;
	bool hugetlb;
};

struct segment *pinned_map(struct container *c, struct mapping *m,
			   size_t offset, size_t size);
bool pinned_remembered(struct container *c, struct segment *s);
void pinned_set_mapped(struct container *c, struct segment *s, bool mapped);
void pinned_unmap(struct container *c, struct segment *s);
int pinned_join(struct container *c, struct segment *s, struct domain *d);

#endif
