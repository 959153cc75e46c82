/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments of device memory: in the IOMMU while the process has it too. */
#ifndef TETHER_MIRROR_H
#define TETHER_MIRROR_H

#include <linux/types.h>

struct backing;
struct container;
struct domain;
struct mapping;
struct segment;

struct segment *mirror_map(struct container *c, struct mapping *m,
			   size_t offset, size_t size,
			   struct segment *replaced);
void mirror_await(struct segment *s);
const struct backing *segment_backing(const struct segment *s);
void mirror_unmap(struct container *c, struct segment *s);
int mirror_join(struct container *c, struct domain *d);
void mirror_restore_init(struct container *c);
int mirror_init(void);
void mirror_exit(void);

#endif
