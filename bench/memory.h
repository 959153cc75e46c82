/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * RAM of a known kind, so that what is measured is what the case says. Every function
 * returns 0 or -errno; -ENOTSUP if the machine has no such memory.
 */
#ifndef TETHER_BENCH_MEMORY_H
#define TETHER_BENCH_MEMORY_H

#include <stddef.h>

enum memory_kind {
	MEMORY_PAGES,		/* 4 KiB pages, as the kernel hands them out */
	MEMORY_SCATTERED,	/* 4 KiB pages, nearly no two of them adjacent */
	MEMORY_THP,
	MEMORY_HUGETLB_2M,
	MEMORY_HUGETLB_1G,
	MEMORY_ALIASED,		/* the same 256 MiB of 4 KiB pages again and again */
	MEMORY_UNTOUCHED,	/* nothing yet; 4 KiB pages when it is touched */
	MEMORY_UNTOUCHED_THP,
};

struct memory {
	char *at;
	size_t size;
	char *between;		/* what keeps scattered pages apart */
};

int memory_get(struct memory *m, enum memory_kind kind, size_t size);
void memory_put(struct memory *m);

#endif
