/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * QEMU's edu device: the registers of BAR 0 (its docs/specs/edu).
 */
#ifndef TETHER_TESTS_EDU_REGS_H
#define TETHER_TESTS_EDU_REGS_H

#define EDU_ID		0x00
#define EDU_SRC		0x80
#define EDU_DST		0x88
#define EDU_COUNT	0x90
#define EDU_COMMAND	0x98
#define EDU_RUN		0x1
#define EDU_FROM_EDU	0x2
#define EDU_BUFFER	0x40000		/* DMA address of the 4 KiB buffer */
#define EDU_REGS	0x1000		/* the part of the 1 MiB BAR that has registers */

#endif
