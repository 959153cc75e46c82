// SPDX-License-Identifier: GPL-2.0-only
/*
 * Why a MAP_DMA failed. The function that finds out writes the reason into the container;
 * the ioctl, which knows the error, tells both. container->lock guards container->reason
 * and container->reason_loud.
 */
#include <linux/kernel.h>
#include <linux/lockdep.h>

#include "container.h"
#include "reason.h"

/**
 * reason_clear() - Forget the reason, before memory is mapped
 * @c: the container, its lock held
 */
void reason_clear(struct container *c)
{
	lockdep_assert_held(&c->lock);
	c->reason[0] = 0;
	c->reason_loud = false;
}

/**
 * reason_set() - Note why memory cannot be mapped
 * @c: the container, its lock held
 * @format: the reason, as for printf; cut off if it is too long
 */
void reason_set(struct container *c, const char *format, ...)
{
	va_list args;

	lockdep_assert_held(&c->lock);
	va_start(args, format);
	vscnprintf(c->reason, sizeof(c->reason), format, args);
	va_end(args);
}

/**
 * reason_set_loud() - Note why memory cannot be mapped, for the log, too
 * @c: the container, its lock held
 * @format: the reason, as for printf; cut off if it is too long
 *
 * For reasons about which the machine's operator can do something.
 */
void reason_set_loud(struct container *c, const char *format, ...)
{
	va_list args;

	lockdep_assert_held(&c->lock);
	va_start(args, format);
	vscnprintf(c->reason, sizeof(c->reason), format, args);
	va_end(args);
	c->reason_loud = true;
}
