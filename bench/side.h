/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A side is the module that maps memory: the loaded VFIO backend, or the floor
 * (floor/main.c). The functions here hide which it is. They return 0 or -errno.
 */
#ifndef TETHER_BENCH_SIDE_H
#define TETHER_BENCH_SIDE_H

#include "vfio.h"

struct side {
	bool floor;
	struct vfio_container container;
	struct vfio_device initiator;	/* the device for whose DMA memory is mapped */
	int fd;				/* the floor's device file */
};

/* Device memory: a BAR, and its address in the process. */
struct bar {
	struct vfio_device dev;		/* not used if the side is the floor */
	const char *bdf;
	unsigned int number;
	char *at;
	size_t size;
};

int side_open(struct side *s, bool floor);
void side_close(struct side *s);

int side_map_ram(struct side *s, const void *vaddr, uint64_t iova, size_t size);
int side_map_bar(struct side *s, const struct bar *b, uint64_t iova, size_t size);
int side_unmap(struct side *s, uint64_t iova, size_t size);

/* mmaps the BAR skew bytes behind a multiple of 1 GiB; large pages fit if skew is 0. */
int bar_open(struct bar *b, struct side *s, const char *bdf, unsigned int number,
	     size_t size, size_t skew);
void bar_close(struct bar *b);

#endif
