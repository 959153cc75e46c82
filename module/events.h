/* SPDX-License-Identifier: GPL-2.0-only */
/* The eventfd that VFIO_TETHER_SET_EVENTFD of <linux/vfio_tether.h> sets. */
#ifndef TETHER_EVENTS_H
#define TETHER_EVENTS_H

struct container;

int events_set_eventfd(struct container *c, int fd);
void events_signal(struct container *c);

#endif
