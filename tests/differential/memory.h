/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The memory an episode's process offers to devices, at fixed addresses: the
 * arena, a patchwork of short segments of every kind next to each other, and
 * behind it a huge page of each sort and a device's BAR.
 */
#ifndef TETHER_DIFFERENTIAL_MEMORY_H
#define TETHER_DIFFERENTIAL_MEMORY_H

#include "op.h"

int memory_setup(const struct episode *e);

/* -errno; all of them take any page-aligned range. */
int memory_map(uint64_t addr, uint64_t len, enum memory memory);
int memory_touch(uint64_t addr, uint64_t value);

/*
 * Whose first bytes are mark? Says so as a digest of the pages' places, counts
 * them, and wipes the mark.
 */
uint64_t memory_find_mark(const void *mark, uint64_t *count);

#endif
