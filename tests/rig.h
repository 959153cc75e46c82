/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rig of the device-memory tests: one container with two initiators and
 * the target, a mapping of the target's memory, and the question whether DMA
 * reaches it.
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

/* Test fixtures: the target mapped at rig.map and IOVA; only healed. */
int rig_mapped(void **state);
int rig_unmapped(void **state);
int rig_heal(void **state);

/*
 * DMA to iova, which is (or was) the target's memory at offset. Needs the
 * memory to be on, for the witness.
 */
bool dma_lands(uint64_t iova, uint64_t offset);
void expect_landing(uint64_t iova, uint64_t offset);
/* Neither bytes nor silence: the IOMMU has to have recorded a fault. */
void expect_blocked(uint64_t iova, uint64_t offset);
/* Until it lands; returns the seconds since start, or fails after limit. */
double expect_return(uint64_t iova, uint64_t offset, double start,
		     double limit);

/* VFIO_TETHER_QUERY of a range, or of everything if @size is 0. */
int rig_query(uint64_t iova, uint64_t size, struct vfio_tether_query *q);

/* Skips a test in which bytes alone tell nothing. */
void need_fault_records(void);

/*
 * DMA to memory that VFIO has off: what it did is asked later. To see it by
 * bytes, somebody must be there to take them: host_decoding() (target.h).
 */
void blind_dma(uint64_t iova);
/* With the memory on again: what blind_dma() did. */
void expect_blind_dma_blocked(uint64_t iova, uint64_t offset);
/* DMA lands before VFIO turns decoding off, and not while it is off. It is on again after. */
void expect_blocked_while_off(uint64_t iova, uint64_t offset);

#endif
