/* SPDX-License-Identifier: GPL-2.0-only */
/* The container's ioctls. */
#ifndef TETHER_IOCTL_H
#define TETHER_IOCTL_H

struct container;

long container_ioctl(struct container *c, unsigned int cmd, unsigned long arg);

#endif
