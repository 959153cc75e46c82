/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A tiny NVMe host: one admin queue, one command in flight.
 *
 * The command Identify Controller writes the same 4 KiB to any IOVA within
 * microseconds. So tests use it as the DMA writer in loops that have to notice if
 * the IOMMU lets DMA through for even a very short time. The device reports success
 * even if the IOMMU stopped the write: only the bytes in memory show whether it
 * arrived.
 */
#ifndef TETHER_TESTS_NVME_H
#define TETHER_TESTS_NVME_H

#include "vfio.h"

#define NVME_IDENTIFY_LEN	4096

struct nvme {
	struct vfio_device dev;
	volatile uint8_t *regs;
	uint8_t *mem;		/* submission queue, completion queue, data */
	uint64_t iova;		/* where mem is mapped */
	unsigned int stride;
	unsigned int sq_tail, cq_head, phase;
	uint16_t cid;
	uint8_t identity[NVME_IDENTIFY_LEN];	/* what Identify writes */
};

/* Maps three pages of the driver's own memory at iova. */
int nvme_open(struct nvme *n, struct vfio_container *c, const char *bdf,
	      uint64_t iova);
void nvme_close(struct nvme *n);

/* Reset the controller and set its queues up (again). */
int nvme_enable(struct nvme *n);

/* Write identity[] to iova by DMA; -EIO if the controller reports that this failed. */
int nvme_identify(struct nvme *n, uint64_t iova);

#endif
