/* SPDX-License-Identifier: GPL-2.0-only */
/* Lists what containers have mapped, for people: /sys/kernel/debug/vfio_type1/. */
#ifndef TETHER_DEBUGFS_H
#define TETHER_DEBUGFS_H

struct container;

void debug_add(struct container *c);
void debug_del(struct container *c);
void debug_init(void);
void debug_exit(void);

#endif
