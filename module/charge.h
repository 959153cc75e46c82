/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Charges pinned pages to the process that mapped them: counts them in its
 * mm->locked_vm (VmLck in /proc/PID/status), which RLIMIT_MEMLOCK limits.
 */
#ifndef TETHER_CHARGE_H
#define TETHER_CHARGE_H

struct container;
struct mapping;

int charge(struct container *c, struct mapping *m, unsigned long npages);
void uncharge(struct container *c, struct mapping *m, unsigned long npages);
int charge_move_to_current(struct container *c, struct mapping *m);
void charge_exit(void);

#endif
