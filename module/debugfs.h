/* SPDX-License-Identifier: GPL-2.0-only */
/* The files in /sys/kernel/debug/vfio_type1/, which show people what containers map. */
#ifndef TETHER_DEBUGFS_H
#define TETHER_DEBUGFS_H

struct container;

void debug_add(struct container *c);
void debug_del(struct container *c);
void debug_init(void);
void debug_exit(void);

#endif
