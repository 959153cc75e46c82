// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfd of a container, which is signalled when a mirror is revoked or restored.
 *
 * mirror_lock guards container->eventfd, since revocation holds that lock when it
 * signals. eventfd_signal() takes a spinlock and wakes waiters; it neither sleeps nor
 * allocates, so it may be called under mirror_lock.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>

#include "compat/compat.h"
#include "container.h"
#include "events.h"

/**
 * events_set_eventfd() - Set the eventfd that revocations and restores signal
 * @c: the container, whose mirror_lock this takes
 * @fd: an eventfd of the calling process, which the container then holds; or -1 for none
 *
 * Return: 0; -EBADF if @fd is not open, -EINVAL if it is no eventfd. After an error the
 * container keeps the eventfd that it had, and goes on to signal that one.
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
 * events_signal() - Signal the eventfd, if one is set, after a revocation or a restore
 * @c: the container, its mirror_lock held
 */
void events_signal(struct container *c)
{
	lockdep_assert_held(&c->mirror_lock);
	if (c->eventfd)
		eventfd_signal(c->eventfd);
}
