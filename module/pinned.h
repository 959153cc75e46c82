/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments of RAM: their pages are pinned, charged and mapped until they are unmapped. */
#ifndef TETHER_PINNED_H
#define TETHER_PINNED_H

#include <linux/types.h>

struct container;
struct domain;
struct mapping;
struct segment;

struct segment *pinned_map(struct container *c, struct mapping *m,
			   size_t offset, size_t size);
bool pinned_remembered(struct container *c, struct segment *s);
void pinned_set_mapped(struct container *c, struct segment *s, bool mapped);
void pinned_unmap(struct container *c, struct segment *s);
int pinned_join(struct container *c, struct segment *s, struct domain *d);

#endif
