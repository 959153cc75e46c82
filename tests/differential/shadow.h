/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records which pages of the window are mapped in v2 containers, as derived from the
 * operations' results. It is not compared between backends. Rows of intended.c use it to
 * tell pages that are not mapped.
 */
#ifndef TETHER_DIFFERENTIAL_SHADOW_H
#define TETHER_DIFFERENTIAL_SHADOW_H

#include "op.h"

/* Called before and after each operation. */
void shadow_before(const struct op *op, struct result *r);
void shadow_after(const struct op *op, const struct result *r);

#endif
