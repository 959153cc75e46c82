/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is mapped, as far as the results of what was asked say: page by page, in
 * the window, for v2 containers. It is not compared; it is what a row of
 * intended.c needs to say "a page that is not mapped".
 */
#ifndef TETHER_DIFFERENTIAL_SHADOW_H
#define TETHER_DIFFERENTIAL_SHADOW_H

#include "op.h"

/* Before and after each operation. */
void shadow_before(const struct op *op, struct result *r);
void shadow_after(const struct op *op, const struct result *r);

#endif
