/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records, on each backend, which pages of the window are mapped in v2 containers, as
 * the results of the operations tell. Rows of intended.c use this to match only
 * differences that concern pages that are mapped, or pages that are not.
 */
#ifndef TETHER_DIFFERENTIAL_SHADOW_H
#define TETHER_DIFFERENTIAL_SHADOW_H

#include "op.h"

/* Called before and after each operation. */
void shadow_before(const struct op *op, struct result *r);
void shadow_after(const struct op *op, const struct result *r);

#endif
