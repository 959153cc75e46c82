// SPDX-License-Identifier: GPL-2.0-only
/*
 * What programs are told beyond vfio's uAPI: an eventfd, for when something is revoked
 * or restored.
 *
 * mirror_lock guards it, since revocation signals it under that. eventfd_signal() takes
 * a spinlock and wakes, so it may be called there.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>

#include "compat/compat.h"
#include "container.h"
#include "events.h"

/**
 * events_set_eventfd() - Whom to tell of revocations and restores
 * @c: the container; takes its mirror_lock
 * @fd: an eventfd of the calling process, or -1 for nobody
 *
 * Return: 0; with the old one still told, -EBADF or -EINVAL for another @fd.
 */
int events_set_eventfd(struct container *c, int fd)
{
	struct eventfd_ctx *eventfd = NULL;

	if (fd != -1) {
		eventfd = eventfd_ctx_fdget(fd);
		if (IS_ERR(eventfd))
			return PTR_ERR(eventfd);
	}

	mutex_lock(&c->mirror_lock);
	swap(c->eventfd, eventfd);
	mutex_unlock(&c->mirror_lock);

	if (eventfd)
		eventfd_ctx_put(eventfd);
	return 0;
}

/**
 * events_signal() - Something was revoked or restored
 * @c: the container, its mirror_lock held
 */
void events_signal(struct container *c)
{
	lockdep_assert_held(&c->mirror_lock);
	if (c->eventfd)
		eventfd_signal(c->eventfd);
}
