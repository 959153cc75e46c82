/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocates RAM of a known kind, as the benchmark's cases need it. memory_get() returns
 * 0 or -errno: -ENOTSUP if the machine has no such memory.
 */
#ifndef TETHER_BENCH_MEMORY_H
#define TETHER_BENCH_MEMORY_H

#include <stddef.h>

enum memory_kind {
	MEMORY_PAGES,		/* 4 KiB pages, as the kernel allocates them */
	MEMORY_SCATTERED,	/* 4 KiB pages, nearly no two of them adjacent */
	MEMORY_THP,
	MEMORY_HUGETLB_2M,
	MEMORY_HUGETLB_1G,
	MEMORY_ALIASED,		/* the same 256 MiB of 4 KiB pages, mapped repeatedly */
	MEMORY_UNTOUCHED,	/* not allocated yet; 4 KiB pages when touched */
	MEMORY_UNTOUCHED_THP,
};

struct memory {
	char *at;
	size_t size;
	char *between;		/* the pages between those at @at, if scattered */
};

int memory_get(struct memory *m, enum memory_kind kind, size_t size);
void memory_put(struct memory *m);

#endif
