/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where fault records come from, one source a kind of IOMMU: between fault.c
 * and the sources only.
 */
#ifndef TETHER_TESTS_FAULT_SOURCE_H
#define TETHER_TESTS_FAULT_SOURCE_H

#include "fault.h"

struct fault_source {
	/* Sets f->fd to what can be read, line by line, without blocking. */
	int (*open)(struct fault_log *f);
	void (*close)(struct fault_log *f);
	/* Is this line (the last of) a record? */
	bool (*take)(struct fault_log *f, char *line, struct fault *fault);
	/* What has been seen so far was not the last, if there. */
	void (*more)(struct fault_log *f);
	/* Returns when the driver is done, if there. */
	void (*settle)(struct fault_log *f);
};

extern const struct fault_source fault_vtd;
extern const struct fault_source fault_virtio;
extern const struct fault_source fault_smmu;

#endif
