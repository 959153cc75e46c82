/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where fault records come from: one source for each kind of IOMMU. Only
 * fault.c and the sources include this file.
 */
#ifndef TETHER_TESTS_FAULT_SOURCE_H
#define TETHER_TESTS_FAULT_SOURCE_H

#include "fault.h"

struct fault_source {
	/* Sets f->fd to a nonblocking fd from which lines can be read. */
	int (*open)(struct fault_log *f);
	void (*close)(struct fault_log *f);
	/* True if a record ends with this line; the record is then in fault. */
	bool (*take)(struct fault_log *f, char *line, struct fault *fault);
	/* Optional: the test is done with the records so far; lets others come. */
	void (*more)(struct fault_log *f);
	/* Optional: returns when the driver has handled all faults. */
	void (*settle)(struct fault_log *f);
};

extern const struct fault_source fault_vtd;
extern const struct fault_source fault_virtio;
extern const struct fault_source fault_smmu;

#endif
