/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The intended differences: intended.c has the reason of each.
 */
#ifndef TETHER_DIFFERENTIAL_INTENDED_H
#define TETHER_DIFFERENTIAL_INTENDED_H

#include "op.h"

struct intended {
	const char *reason;
	/* Does this row explain the two modules' results of an operation? */
	bool (*matches)(const struct op *op, const struct result *intree,
			const struct result *other);
	/* After this difference the two modules' states differ: compare no further. */
	bool ends;
	/* The same, even if the results of the operation itself do not differ. */
	bool unseen;
	unsigned long count;
};

extern struct intended intended[];
extern const unsigned int intended_rows;

/* The row that explains a difference of results or of states, or NULL. */
struct intended *intended_find(const struct op *op, const struct result *intree,
			       const struct result *other);

#endif
