/* SPDX-License-Identifier: GPL-2.0-only */
/* Tether's own interface for programs: <linux/vfio_tether.h>. */
#ifndef TETHER_EVENTS_H
#define TETHER_EVENTS_H

#include <linux/types.h>

struct container;
struct vfio_tether_query;

void events_query(struct container *c, u64 first, u64 last,
		  struct vfio_tether_query *query);
int events_set_eventfd(struct container *c, int fd);
void events_signal(struct container *c);

#endif
