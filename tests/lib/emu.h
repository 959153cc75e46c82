/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulated device of tests/emu as a user program sees it: what it is told
 * to do by one call each, and what came of it.
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

/* Its kernel module. Loading it twice is no error. */
int emu_load(void);
int emu_unload(void);

/* number: 0 or 1. The group fd is e->dev.group, as with every device. */
int emu_open(struct emu *e, struct vfio_container *c, unsigned int number);
void emu_close(struct emu *e);

/* What the backend said: pages pinned, or -errno. prot: EMU_PROT_*. */
int emu_pin(struct emu *e, uint64_t iova, unsigned int npages,
	    unsigned int prot);
/* How many pages of the range were pinned, each of which loses one pin. */
int emu_unpin(struct emu *e, uint64_t iova, unsigned int npages);

/* Through the backend, at most EMU_DATA bytes. */
int emu_read(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_write(struct emu *e, uint64_t iova, const void *data, size_t len);
/* The same, by a kernel thread of the device's driver. */
int emu_worker_read(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_worker_write(struct emu *e, uint64_t iova, const void *data, size_t len);

/* In a page that is pinned, as a device's DMA would. */
int emu_peek(struct emu *e, uint64_t iova, void *data, size_t len);
int emu_poke(struct emu *e, uint64_t iova, const void *data, size_t len);

/* How often it was told of an unmap since last asked, and of what last. */
int emu_notices(struct emu *e, uint64_t *iova, uint64_t *len);
/* From now on it takes so long to do so. */
int emu_delay(struct emu *e, unsigned int ms);
/* From now on it does not, or does again, give back what it is told goes. */
int emu_keep(struct emu *e, bool keep);

#endif
