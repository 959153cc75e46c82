/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOMMU's fault records. Each says that the IOMMU has stopped DMA, which
 * device started the DMA, and at which address. The kernel logs only some of
 * them, so each kind of IOMMU has a source (fault_source.h) that delivers all
 * records that a test waits for.
 *
 * QEMU's AMD-Vi makes no records that the kernel could read. There fault_wait()
 * succeeds at once, and a test has only the bytes in memory as evidence. A test
 * whose bytes are no evidence calls faults_are_recorded(), and skips itself.
 */
#ifndef TETHER_TESTS_FAULT_H
#define TETHER_TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_LINE	4096	/* longer than any line of a source */

struct fault {
	uint16_t source;	/* bus << 8 | devfn */
	uint64_t addr;		/* IOVA, page aligned */
	bool write;
	bool either_way;	/* the IOMMU does not tell reads from writes */
	uint8_t reason;
};

struct fault_source;

struct fault_log {
	const struct fault_source *source;	/* NULL: nothing is recorded */
	int fd;
	char text[16384];	/* read, not yet parsed */
	size_t len;
	/* Used by the source alone. */
	char instance[80];
	struct fault last;	/* if pending: the kernel's handler for it still runs */
	bool pending;
	uint64_t word[4];
	unsigned int words;
	const volatile uint8_t *registers;
};

/* Does this machine's IOMMU record faults at all? */
bool faults_are_recorded(void);

int fault_open(struct fault_log *f);
void fault_close(struct fault_log *f);

/*
 * Wait until the kernel has handled all faults that the IOMMU has reported, since the
 * kernel thread that handles them may keep other work off a CPU meanwhile. Returns at
 * once for an IOMMU whose faults the kernel handles fast.
 */
void fault_settle(struct fault_log *f);

/* Forget what was recorded so far. */
void fault_drain(struct fault_log *f);

/* The next record: 0, or -ETIMEDOUT after timeout_ms without one. */
int fault_next(struct fault_log *f, struct fault *fault, int timeout_ms);

/*
 * Wait for a record of this device, page and direction, and skip all others. 0, also at
 * once if the IOMMU records nothing; or -ETIMEDOUT.
 */
int fault_wait(struct fault_log *f, const char *bdf, uint64_t iova, bool write,
	       int timeout_ms);

#endif
