/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes and removes mappings, and changes all of them when a domain comes or goes. */
#ifndef TETHER_MAPPING_H
#define TETHER_MAPPING_H

#include <linux/types.h>

struct container;
struct domain;
struct list_head;
struct vfio_bitmap;

int mapping_map(struct container *c, u64 iova, u64 vaddr, u64 size, int prot);
int mapping_unmap(struct container *c, u64 first, u64 last,
		  const struct vfio_bitmap *dirty, u64 *unmapped);
void mapping_unmap_all(struct container *c);
int mapping_set_stale(struct container *c, u64 first, u64 last, u64 *size);
int mapping_set_vaddr(struct container *c, u64 iova, u64 vaddr, u64 size);
bool mapping_would_split(struct container *c, u64 first, u64 last);
bool mapping_all_within(struct container *c, const struct list_head *spans);
int mapping_join(struct container *c, struct domain *d);
int mapping_populate_all(struct container *c);
void mapping_depopulate_all(struct container *c);

#endif
