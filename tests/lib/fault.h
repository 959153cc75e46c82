/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The IOMMU's own fault records: that DMA was stopped, by whom it was tried
 * and where. The kernel logs only some of them, so each kind of IOMMU has a
 * source (fault_source.h) that gets at all that a test waits for.
 *
 * QEMU's AMD-Vi records none that the kernel would see. There fault_wait()
 * succeeds at once, and bytes alone have to tell; a test that bytes tell
 * nothing asks faults_are_recorded() and skips itself.
 */
#ifndef TETHER_TESTS_FAULT_H
#define TETHER_TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_LINE	4096	/* more than any */

struct fault {
	uint16_t source;	/* bus << 8 | devfn */
	uint64_t addr;		/* IOVA, page aligned */
	bool write;
	bool either_way;	/* the IOMMU does not tell */
	uint8_t reason;
};

struct fault_source;

struct fault_log {
	const struct fault_source *source;	/* NULL: nothing is recorded */
	int fd;
	char text[16384];	/* read, not yet parsed */
	size_t len;
	/* The source's own. */
	char instance[80];
	struct fault last;	/* handler still running if pending */
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
 * Let the kernel get through what is reported, if that takes it long: its
 * thread for this may keep other work off a CPU.
 */
void fault_settle(struct fault_log *f);

/* Forget what was recorded so far. */
void fault_drain(struct fault_log *f);

/* The next record: 0, or -ETIMEDOUT after timeout_ms without one. */
int fault_next(struct fault_log *f, struct fault *fault, int timeout_ms);

/* Wait for a record of this device and page; others are skipped. */
int fault_wait(struct fault_log *f, const char *bdf, uint64_t iova, bool write,
	       int timeout_ms);

#endif
