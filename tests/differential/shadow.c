// SPDX-License-Identifier: GPL-2.0-only
/*
 * Derives from the results of operations which pages are mapped: see shadow.h.
 */
#include <linux/vfio.h>
#include <string.h>

#include "shadow.h"

static bool mapped[CONTAINERS][WINDOW_PAGES];
static bool shifted[CONTAINERS];
static bool orphans[CONTAINERS];
/* Pages mapped for reading only: each page of the window, and how many outside of it. */
static bool readable[CONTAINERS][WINDOW_PAGES];
static uint64_t readable_elsewhere[CONTAINERS];
static uint64_t readable_lost;		/* in containers replaced by OP_REOPEN */
static unsigned int home[GROUPS];	/* a group's container, counted from 1 */

static void mark(const struct op *op, bool *pages, bool value)
{
	uint64_t page;

	/* Ranges that start and end outside the window are rare, and are not recorded. */
	for (page = 0; page < WINDOW_PAGES; page++)
		if (WINDOW + page * PAGE - op->iova < op->size)
			pages[page] = value;
}

static bool in_window(const struct op *op)
{
	return op->iova >= WINDOW && op->size <= WINDOW_PAGES * PAGE &&
	       op->iova - WINDOW <= WINDOW_PAGES * PAGE - op->size;
}

static void mark_readable(const struct op *op)
{
	if (op->flags != VFIO_DMA_MAP_FLAG_READ)
		return;
	if (in_window(op))
		mark(op, readable[op->container], true);
	else
		readable_elsewhere[op->container] += op->size / PAGE;
}

static uint64_t count_readable(unsigned int container)
{
	uint64_t pages = readable_elsewhere[container];
	unsigned int i;

	for (i = 0; i < WINDOW_PAGES; i++)
		pages += readable[container][i];
	return pages;
}

static void forget(unsigned int container)
{
	shifted[container] = false;
	orphans[container] = false;
	memset(mapped[container], 0, sizeof(mapped[container]));
	memset(readable[container], 0, sizeof(readable[container]));
	readable_elsewhere[container] = 0;
}

/* When a container's last group leaves, all its mappings end. */
static void detached(unsigned int group)
{
	unsigned int container = home[group], i;

	home[group] = 0;
	if (!container)
		return;
	for (i = 0; i < GROUPS; i++)
		if (home[i] == container)
			return;
	forget(container - 1);
}

/* OP_REOPEN closed the container's file. Its groups keep the old container alive. */
static void replaced(unsigned int container)
{
	unsigned int i;

	for (i = 0; i < GROUPS; i++)
		if (home[i] == container + 1)
			home[i] = 0;
	readable_lost += count_readable(container);
	forget(container);
}

void shadow_before(const struct op *op, struct result *r)
{
	uint64_t i;

	/* All containers together, since one process is charged for all. */
	r->readable = readable_lost;
	for (i = 0; i < CONTAINERS; i++)
		r->readable += count_readable(i);
	if (op->kind == OP_ATTACH || op->kind == OP_OPEN)
		r->orphans = orphans[op->container];
	if (op->kind != OP_DIRTY && op->kind != OP_UNMAP)
		return;
	r->shifted = shifted[op->container];
	for (i = 0; i < BITMAP_WORDS * 64 && i < op->size / PAGE; i++) {
		uint64_t offset = op->iova + i * PAGE - WINDOW;

		if (offset / PAGE < WINDOW_PAGES &&
		    mapped[op->container][offset / PAGE])
			r->mapped[i / 64] |= 1UL << i % 64;
	}
}

/* Is a mapping's first bit not the first one of a word? In-tree shifts bits then. */
static bool shifts(const struct result *r)
{
	unsigned int i;

	for (i = 0; i < BITMAP_WORDS; i++) {
		bool before = i && r->mapped[i - 1] >> 63;

		if (r->mapped[i] && !before && !(r->mapped[i] & 1))
			return true;
		if (r->mapped[i] & ~(r->mapped[i] << 1) & ~1UL)
			return true;
	}
	return false;
}

void shadow_after(const struct op *op, const struct result *r)
{
	/* Also if the operation failed: it may have shifted bits before that. */
	if ((op->kind == OP_DIRTY || op->kind == OP_UNMAP) && shifts(r))
		shifted[op->container] = true;
	if (r->ret)
		return;
	switch (op->kind) {
	case OP_MAP:
		if (op->flags & VFIO_DMA_MAP_FLAG_VADDR)
			break;
		mark(op, mapped[op->container], true);
		mark_readable(op);
		orphans[op->container] |= op->in_child;
		break;
	case OP_UNMAP:
		if (op->flags & VFIO_DMA_UNMAP_FLAG_VADDR)
			break;
		if (op->flags & VFIO_DMA_UNMAP_FLAG_ALL) {
			forget(op->container);
			break;
		}
		mark(op, mapped[op->container], false);
		/*
		 * v1 keeps a mapping that begins before the range, and reports size 0.
		 */
		if (r->out[2])
			mark(op, readable[op->container], false);
		break;
	case OP_ATTACH:
		home[op->group] = op->container + 1;
		break;
	case OP_OPEN:
		if (op->group == GROUP_NVME)
			home[op->group] = 1;
		break;
	case OP_DETACH:
		detached(op->group);
		break;
	case OP_REOPEN:
		replaced(op->container);
		break;
	}
}
