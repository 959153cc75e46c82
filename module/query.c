// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_TETHER_QUERY: counts how many bytes of a container's mappings the devices can
 * reach at this moment. container->lock guards the mappings; mirror_stat() takes
 * mirror_lock to read the state of a mirror.
 */
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/sched.h>
#include <linux/vfio_tether.h>

#include "container.h"
#include "mirror.h"
#include "query.h"
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
 * query_range() - Count the mappings and the mapped memory in a range of IOVAs
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 * @query: the counts are added to its fields
 */
void query_range(struct container *c, u64 first, u64 last,
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
