// SPDX-License-Identifier: GPL-2.0-only
/*
 * What programs may ask and be told beyond vfio's uAPI: how much of what they
 * mapped is reached, and an eventfd for when that changes.
 *
 * container->lock guards what is asked; mirror_lock the eventfd, since
 * revocation signals it. eventfd_signal() takes a spinlock and wakes, so it
 * may be called there.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/vfio_tether.h>

#include "compat/compat.h"
#include "container.h"
#include "events.h"
#include "mirror.h"
#include "tree.h"

static void count_segment(const struct segment *s, u64 first, u64 last,
			  struct vfio_tether_query *query)
{
	u64 start = max(segment_iova(s), first);
	u64 end = min(segment_iova(s) + s->size - 1, last);
	struct mirror_stat stat;

	if (start > end)
		return;
	if (s->kind == SEGMENT_PINNED) {
		query->pinned += end - start + 1;
		return;
	}
	mirror_stat(s, start, end, &stat);
	query->mirrors++;
	query->live += stat.live;
	query->revoked += stat.revoked;
	query->gone += stat.gone;
	query->revocations += stat.revocations;
}

/**
 * events_query() - Count what is mapped in a range of IOVAs
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 * @query: its sums get what is there
 */
void events_query(struct container *c, u64 first, u64 last,
		  struct vfio_tether_query *query)
{
	const struct segment *s;
	struct mapping *m;

	lockdep_assert_held(&c->lock);
	for_each_mapping_in(m, c, first, last) {
		query->mappings++;
		list_for_each_entry(s, &m->segments, node)
			count_segment(s, first, last, query);
		cond_resched();
	}
}

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
