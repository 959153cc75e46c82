// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists of address ranges; span.h says what they are for. This file has no lock: the
 * code that owns a list holds its own lock while it calls a function here.
 */
#include <linux/slab.h>

#include "span.h"

static struct span *span_new(u64 first, u64 last, gfp_t gfp)
{
	struct span *s = kmalloc(sizeof(*s), gfp);

	if (s) {
		s->first = first;
		s->last = last;
	}
	return s;
}

static void span_free(struct span *s)
{
	list_del(&s->node);
	kfree(s);
}

/**
 * spans_append() - Add a range above all others of a list
 * @spans: the list
 * @first: first address of the new range
 * @last: last address of the new range
 * @gfp: how to allocate
 *
 * Return: 0, or -ENOMEM.
 */
int spans_append(struct list_head *spans, u64 first, u64 last, gfp_t gfp)
{
	struct span *s = span_new(first, last, gfp);

	if (!s)
		return -ENOMEM;
	list_add_tail(&s->node, spans);
	return 0;
}

/**
 * spans_exclude() - Take a range of addresses out of a list
 * @spans: the list
 * @first: first address to take out
 * @last: last address to take out
 * @gfp: how to allocate; memory is needed only if the hole splits a range in two
 *
 * Return: 0, or -ENOMEM with the list as it was.
 */
int spans_exclude(struct list_head *spans, u64 first, u64 last, gfp_t gfp)
{
	struct span *s, *tmp, *above;

	list_for_each_entry_safe(s, tmp, spans, node) {
		if (last < s->first)
			break;
		if (first > s->last)
			continue;

		if (first > s->first && last < s->last) {
			above = span_new(last + 1, s->last, gfp);
			if (!above)
				return -ENOMEM;
			list_add(&above->node, &s->node);
			s->last = first - 1;
			break;
		}
		if (first > s->first)
			s->last = first - 1;
		else if (last < s->last)
			s->first = last + 1;
		else
			span_free(s);
	}
	return 0;
}

/**
 * spans_contain() - Does one range of a list contain all of these addresses?
 * @spans: the list
 * @first: first address asked for
 * @last: last address asked for
 *
 * Return: true if one range contains all of them.
 */
bool spans_contain(const struct list_head *spans, u64 first, u64 last)
{
	const struct span *s;

	list_for_each_entry(s, spans, node)
		if (first >= s->first && last <= s->last)
			return true;
	return false;
}

/** spans_overlap() - Does any range of a list contain any of these addresses? */
bool spans_overlap(const struct list_head *spans, u64 first, u64 last)
{
	const struct span *s;

	list_for_each_entry(s, spans, node)
		if (first <= s->last && last >= s->first)
			return true;
	return false;
}

/** spans_free() - Free all ranges of a list, and leave the list empty */
void spans_free(struct list_head *spans)
{
	struct span *s, *tmp;

	list_for_each_entry_safe(s, tmp, spans, node)
		span_free(s);
}
