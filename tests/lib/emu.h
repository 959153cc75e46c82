/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulated device of tests/emu as a user program sees it. Each function has
 * the device do one thing and returns the result.
 */
#ifndef TETHER_TESTS_EMU_H
#define TETHER_TESTS_EMU_H

#include <stdbool.h>

#include "../emu/tether_emu.h"
#include "vfio.h"

struct emu {
	struct vfio_device dev;
	unsigned int held;	/* pages pinned after the last command */
};

/* Load and unload the device's kernel module. Loading it twice is no error. */
int emu_load(void);
int emu_unload(void);

/* number: 0 or 1. The group fd is e->dev.group, as with every device. */
int emu_open(struct emu *e, struct vfio_container *c, unsigned int number);
void emu_close(struct emu *e);

/* Returns the backend's answer: how many pages it pinned, or -errno. prot: EMU_PROT_*. */
int emu_pin(struct emu *e, uint64_t iova, unsigned int npages,
	    unsigned int prot);
/* Takes one pin off each pinned page of the range. Returns the number of these pages. */
int emu_unpin(struct emu *e, uint64_t iova, unsigned int npages);

/* Read and write the program's memory with the backend's dma_rw: at most EMU_DATA bytes. */
int emu_read(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_write(struct emu *e, uint64_t iova, const void *data, size_t len);
/* The same, but the device's driver calls dma_rw from a work item. */
int emu_worker_read(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_worker_write(struct emu *e, uint64_t iova, const void *data, size_t len);

/* Read and write a page that the device has pinned, as a device's DMA would. */
int emu_peek(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_poke(struct emu *e, uint64_t iova, const void *data, size_t len);

/*
 * Returns how often the backend has told the device's driver of an unmap since the last
 * call of this function; *iova and *len are the range that it told last.
 */
int emu_notices(struct emu *e, uint64_t *iova, uint64_t *len);
/* From now on, when told of an unmap, the driver waits ms before it gives pins back. */
int emu_delay(struct emu *e, unsigned int ms);
/* From now on, when told of an unmap, the driver keeps its pins (keep) or unpins. */
int emu_keep(struct emu *e, bool keep);

#endif
