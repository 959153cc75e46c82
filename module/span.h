/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sorted lists of disjoint address ranges. A range includes its last address, so it can
 * end at the highest address there is. Such lists hold the IOVAs that a container may
 * use, and the user addresses that a mirror still has.
 */
#ifndef TETHER_SPAN_H
#define TETHER_SPAN_H

#include <linux/list.h>
#include <linux/types.h>

/**
 * struct span - One range of a list
 * @node: in the list; the list's owner guards it
 * @first: first address (bytes)
 * @last: last address (bytes), itself part of the range
 */
struct span {
	struct list_head node;
	u64 first;
	u64 last;
};

int spans_append(struct list_head *spans, u64 first, u64 last, gfp_t gfp);
int spans_exclude(struct list_head *spans, u64 first, u64 last, gfp_t gfp);
bool spans_contain(const struct list_head *spans, u64 first, u64 last);
bool spans_overlap(const struct list_head *spans, u64 first, u64 last);
void spans_free(struct list_head *spans);

#endif
