/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Finds out what an SMMUv3 does with a device's access. It walks the SMMU's tables
 * as the hardware does, from the registers to the page-table entry. The kernel has
 * to let root read the registers and tables (iomem=relaxed, /proc/kcore).
 */
#ifndef TETHER_TESTS_SMMU_H
#define TETHER_TESTS_SMMU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SMMU_DEVICE_MEMORY	0x04	/* nGnRE, as MAIR_ELx encodes it */
#define SMMU_NORMAL_CACHEABLE	0xff	/* write-back, inner and outer */

struct smmu_entry {
	uint64_t phys;		/* of the IOVA asked for */
	uint64_t size;		/* of the page or block */
	uint8_t memory;		/* type, as MAIR_ELx encodes it */
	bool writable;
};

struct smmu_ram;

struct smmu {
	const volatile uint8_t *regs;
	int kcore;
	struct smmu_ram *ram;
	size_t pieces;
};

/* Map a page of the SMMU's registers. NULL with errno set; ENODEV if there is no SMMU. */
const volatile uint8_t *smmu_map(unsigned int offset);
void smmu_unmap(const volatile uint8_t *registers);

#define SMMU_PAGE_0	0
#define SMMU_PAGE_1	0x10000

/* Has the SMMU reported events that the driver has not read yet? Takes SMMU_PAGE_1. */
bool smmu_events_pending(const volatile uint8_t *registers);

int smmu_open(struct smmu *s);
void smmu_close(struct smmu *s);

/*
 * Find the entry by which the SMMU translates a device's access to iova. 0; -ENOENT if
 * the access would be a translation fault.
 */
int smmu_lookup(struct smmu *s, const char *bdf, uint64_t iova,
		struct smmu_entry *entry);

#endif
