/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu device: a DMA engine between its own 4 KiB buffer and any IOVA.
 *
 * The CPU cannot access that buffer, so the functions here transfer bytes in
 * and out of it by DMA to a bounce page that is mapped in the device's
 * container. Each transfer takes 100 ms.
 */
#ifndef TETHER_TESTS_EDU_H
#define TETHER_TESTS_EDU_H

#include "vfio.h"

#define EDU_MAX		2048	/* bytes in one transfer; QEMU aborts on 4096 */

struct edu {
	struct vfio_device dev;
	volatile uint8_t *regs;
	uint8_t *bounce;
	uint64_t bounce_iova;
};

int edu_open(struct edu *e, struct vfio_container *c, const char *bdf,
	     uint64_t bounce_iova);
void edu_close(struct edu *e);

/* Map the bounce page again after an UNMAP_ALL has unmapped it. */
int edu_map_bounce(struct edu *e);

int edu_load(struct edu *e, const void *data, size_t len);  /* data -> buffer */
int edu_unload(struct edu *e, void *data, size_t len);	    /* buffer -> data */
int edu_store(struct edu *e, uint64_t iova, size_t len);    /* buffer -> iova */
int edu_fetch(struct edu *e, uint64_t iova, size_t len);    /* iova -> buffer */

/*
 * edu_write() is edu_load() and edu_store(), edu_read() is edu_fetch() and
 * edu_unload(). Each takes 200 ms. Success means that the DMA engine ran, not that the
 * bytes arrived.
 */
int edu_write(struct edu *e, uint64_t iova, const void *data, size_t len);
int edu_read(struct edu *e, uint64_t iova, void *data, size_t len);

/* Start edu_store(), but do not wait: the transfer happens 100 ms after the start. */
int edu_start_store(struct edu *e, uint64_t iova, size_t len);
int edu_wait(struct edu *e);

#endif
