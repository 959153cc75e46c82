// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arrays of extents; extent.h says what extents are. This file has no lock: its callers
 * serialise access to an array.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "extent.h"

/* Did extents_grow() allocate the array? Else it is NULL or lent by extents_lend(). */
static bool extents_owned(const struct extents *ex)
{
	return ex->cap > 1;
}

static int extents_grow(struct extents *ex)
{
	unsigned int cap = ex->cap ? ex->cap * 2 : 2;
	struct extent *v;

	v = kvmalloc_array(cap, sizeof(*v), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!v)
		return -ENOMEM;
	if (ex->nr)
		memcpy(v, ex->v, ex->nr * sizeof(*v));
	if (extents_owned(ex))
		kvfree(ex->v);
	ex->v = v;
	ex->cap = cap;
	return 0;
}

/**
 * extents_push() - Append an extent without merging it with the last one
 * @ex: the array; may sleep to grow it
 * @e: what to append
 *
 * Return: 0, or -ENOMEM with the array as it was.
 */
int extents_push(struct extents *ex, const struct extent *e)
{
	if (ex->nr == ex->cap) {
		int ret = extents_grow(ex);

		if (ret)
			return ret;
	}
	ex->v[ex->nr++] = *e;
	return 0;
}

/** extent_adjoins() - Does @next begin where @e ends, in IOVA and physical address? */
bool extent_adjoins(const struct extent *e, const struct extent *next)
{
	return next->iova == e->iova + e->len && next->phys == e->phys + e->len;
}

/**
 * extents_add() - Append an extent, merging it with the last one if they adjoin
 * @ex: the array; may sleep to grow it
 * @e: what to append
 *
 * Return: 0, or -ENOMEM with the array as it was.
 */
int extents_add(struct extents *ex, const struct extent *e)
{
	struct extent *last = extents_last(ex);

	if (last && extent_adjoins(last, e)) {
		last->len += e->len;
		return 0;
	}
	return extents_push(ex, e);
}

/** extents_free() - Free the array, and leave it empty and ready for use */
void extents_free(struct extents *ex)
{
	if (extents_owned(ex))
		kvfree(ex->v);
	*ex = (struct extents){};
}
