/* SPDX-License-Identifier: GPL-2.0-only */
/* Counts what VFIO_TETHER_QUERY of <linux/vfio_tether.h> reports. */
#ifndef TETHER_QUERY_H
#define TETHER_QUERY_H

#include <linux/types.h>

struct container;
struct vfio_tether_query;

void query_range(struct container *c, u64 first, u64 last,
		 struct vfio_tether_query *query);

#endif
