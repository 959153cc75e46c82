/* SPDX-License-Identifier: GPL-2.0-only */
/* Faults RAM in just ahead of pinning, on several CPUs. */
#ifndef TETHER_FAULTIN_H
#define TETHER_FAULTIN_H

unsigned long faultin_ahead(unsigned long vaddr, unsigned long size);
int faultin_init(void);
void faultin_exit(void);

#endif
