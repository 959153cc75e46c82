/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The differences that are meant: see intended.c, where each has its reason.
 */
#ifndef TETHER_DIFFERENTIAL_INTENDED_H
#define TETHER_DIFFERENTIAL_INTENDED_H

#include "op.h"

struct intended {
	const char *reason;
	/* The same operation, the in-tree module's result and the other's. */
	bool (*matches)(const struct op *op, const struct result *intree,
			const struct result *other);
	/* From here on the two are not in the same state: no more is compared. */
	bool ends;
	/* ... even if nothing was to be seen of it yet. */
	bool unseen;
	unsigned long count;
};

extern struct intended intended[];
extern const unsigned int intended_rows;

/* The row that explains the difference, seen or unseen, or NULL. */
struct intended *intended_find(const struct op *op, const struct result *intree,
			       const struct result *other);

#endif
