/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The intended differences between the two modules; intended.c has the reason of each.
 */
#ifndef TETHER_DIFFERENTIAL_INTENDED_H
#define TETHER_DIFFERENTIAL_INTENDED_H

#include "op.h"

struct intended {
	const char *reason;
	/* Does this row explain the two modules' results of an operation? */
	bool (*matches)(const struct op *op, const struct result *intree,
			const struct result *other);
	/* The modules' states differ afterwards: compare no more of the episode. */
	bool ends;
	/* Also match if the operation's results are equal: the states may differ. */
	bool unseen;
	unsigned long count;
};

extern struct intended intended[];
extern const unsigned int intended_rows;

/* The row that explains a difference of results or of states, or NULL. */
struct intended *intended_find(const struct op *op, const struct result *intree,
			       const struct result *other);

#endif
