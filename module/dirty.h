/* SPDX-License-Identifier: GPL-2.0-only */
/* The log of dirty pages, which devices may have written; used to migrate a VM. */
#ifndef TETHER_DIRTY_H
#define TETHER_DIRTY_H

#include <linux/limits.h>
#include <linux/types.h>

struct container;
struct mapping;
struct vfio_bitmap;

/* The size of a bitmap of @bits bits (bytes): the uAPI's bitmaps consist of u64. */
#define DIRTY_BYTES(bits)	(DIV_ROUND_UP_ULL(bits, 64) * sizeof(u64))

/* The most pages of one bitmap, a bit each: bitmap functions count bits in an int. */
#define DIRTY_PAGES_MAX		((u64)INT_MAX)

int dirty_start(struct container *c);
void dirty_stop(struct container *c);
bool dirty_log_has(const struct container *c, const struct vfio_bitmap *bitmap);
int dirty_track(struct container *c, struct mapping *m);
void dirty_mark(struct container *c, struct mapping *m, u64 offset, u64 size);
void dirty_mark_all(struct container *c);
int dirty_report(struct container *c, u64 first, u64 last, u64 base,
		 u64 __user *bitmap);
int dirty_take(struct container *c, u64 first, u64 last, u64 __user *bitmap);

#endif
