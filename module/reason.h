/* SPDX-License-Identifier: GPL-2.0-only */
/* Why a MAP_DMA failed, in words, for the log and the tracepoint "refuse". */
#ifndef TETHER_REASON_H
#define TETHER_REASON_H

#include <linux/compiler.h>

struct container;

void reason_clear(struct container *c);
__printf(2, 3) void reason_set(struct container *c, const char *format, ...);
__printf(2, 3) void reason_set_loud(struct container *c, const char *format, ...);

#endif
