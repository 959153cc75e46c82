/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The set-up of the device-memory tests: one container with two initiators and
 * the target device, a mapping of the target's memory, and functions that check
 * whether DMA reaches it.
 */
#ifndef TETHER_TESTS_RIG_H
#define TETHER_TESTS_RIG_H

#include <linux/vfio_tether.h>

#include "common.h"
#include "edu.h"
#include "fault.h"
#include "nvme.h"
#include "target.h"

#define RIG_LEN		(16 * MIB)	/* of the target's BAR, mapped at IOVA */
#define RIG_HALF	(RIG_LEN / 2)

struct rig {
	struct vfio_container container;
	struct edu edu;
	struct nvme nvme;
	struct fault_log faults;
	struct vfio_device device;	/* the target */
	struct target target;
	uint8_t *map;			/* RIG_LEN of its BAR, misaligned */
};

extern struct rig rig;

/* Group fixtures. */
int rig_open(void **state);
int rig_close(void **state);
/* For a test that has closed the rig. */
int rig_reopen(void **state);

/*
 * Test fixtures. Both set-ups forget old fault records; rig_mapped() also maps the target's
 * memory at rig.map and IOVA. rig_heal() is the teardown of both: whatever the test has
 * left behind, it unmaps all, opens the target if it is closed, and switches its memory on.
 */
int rig_mapped(void **state);
int rig_unmapped(void **state);
int rig_heal(void **state);

/*
 * Write to iova by DMA; iova maps (or mapped) the target's memory at offset. True if
 * the bytes arrived there. The memory has to be on, so that its bytes can be read.
 */
bool dma_lands(uint64_t iova, uint64_t offset);
void expect_landing(uint64_t iova, uint64_t offset);
/* The bytes must not arrive, and the IOMMU has to record a fault. */
void expect_blocked(uint64_t iova, uint64_t offset);
/*
 * Repeat the DMA until the bytes arrive. Returns the seconds since start; fails the test
 * if they are more than limit.
 */
double expect_return(uint64_t iova, uint64_t offset, double start,
		     double limit);

/* VFIO_TETHER_QUERY of a range, or of the whole container if size is 0. */
int rig_query(uint64_t iova, uint64_t size, struct vfio_tether_query *q);

/* Skips a test whose bytes are no evidence, if this machine's IOMMU records no faults. */
void need_fault_records(void);

/*
 * Write by DMA to memory that VFIO has switched off; a later call checks the result. The
 * memory can take bytes only while it is on: host_decoding() (target.h) does that.
 */
void blind_dma(uint64_t iova);
/* With the memory on again: the write of blind_dma() must not have arrived. */
void expect_blind_dma_blocked(uint64_t iova, uint64_t offset);
/*
 * DMA has to arrive while decoding is on, and must not while VFIO has it switched off.
 * Decoding is on again at the end.
 */
void expect_blocked_while_off(uint64_t iova, uint64_t offset);

#endif
