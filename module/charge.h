/* SPDX-License-Identifier: GPL-2.0-only */
/* Pinned pages are charged to the mm that maps them, as VmLck shows. */
#ifndef TETHER_CHARGE_H
#define TETHER_CHARGE_H

struct mapping;

int charge(struct mapping *m, unsigned long npages);
void uncharge(struct mapping *m, unsigned long npages);
int charge_current_instead(struct mapping *m);
void charge_exit(void);

#endif
