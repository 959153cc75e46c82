// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tree of a container's mappings, by IOVA. container->lock guards it.
 */
#include <linux/container_of.h>
#include <linux/interval_tree.h>
#include <linux/lockdep.h>
#include <linux/rbtree.h>

#include "container.h"
#include "tree.h"

static struct mapping *to_mapping(struct interval_tree_node *node)
{
	return node ? container_of(node, struct mapping, node) : NULL;
}

/**
 * mapping_first() - The lowest mapping with an IOVA in a range
 * @c: the container, its lock held
 * @first: first IOVA
 * @last: last IOVA
 *
 * Return: the mapping, or NULL.
 */
struct mapping *mapping_first(struct container *c, u64 first, u64 last)
{
	lockdep_assert_held(&c->lock);
	return to_mapping(interval_tree_iter_first(&c->mappings, first, last));
}

/**
 * mapping_next() - The next mapping above a mapping
 * @c: the container, its lock held since @m was found
 * @m: the mapping
 * @last: last IOVA
 *
 * Return: the mapping, or NULL if there is none that begins at @last or below.
 */
struct mapping *mapping_next(struct container *c, struct mapping *m, u64 last)
{
	struct rb_node *rb = rb_next(&m->node.rb);
	struct mapping *next;

	lockdep_assert_held(&c->lock);
	if (!rb)
		return NULL;
	next = to_mapping(rb_entry(rb, struct interval_tree_node, rb));
	return next->node.start <= last ? next : NULL;
}
