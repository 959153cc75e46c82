/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory that an episode's process maps for DMA, at fixed addresses. The arena has
 * short segments of every kind of memory next to each other. Behind it are a huge page
 * of each kind and a device's BAR.
 */
#ifndef TETHER_DIFFERENTIAL_MEMORY_H
#define TETHER_DIFFERENTIAL_MEMORY_H

#include "op.h"

int memory_setup(const struct episode *e);

/* These return 0 or -errno, and take any page-aligned range. */
int memory_map(uint64_t addr, uint64_t len, enum memory memory);
int memory_touch(uint64_t addr, uint64_t value);

/*
 * Finds the pages whose first bytes are mark. Returns a digest of the pages' addresses,
 * counts the pages, and wipes the mark.
 */
uint64_t memory_find_mark(const void *mark, uint64_t *count);

#endif
