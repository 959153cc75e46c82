// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is mapped, as far as the results say: see shadow.h.
 */
#include <linux/vfio.h>
#include <string.h>

#include "shadow.h"

static bool mapped[CONTAINERS][WINDOW_PAGES];
static bool shifted[CONTAINERS];
static bool orphans[CONTAINERS];
static unsigned int home[GROUPS];	/* a group's container, counted from 1 */

static void mark(const struct op *op, bool value)
{
	uint64_t page;

	/* From outside to outside: a few times in a million, and then forgotten. */
	for (page = 0; page < WINDOW_PAGES; page++)
		if (WINDOW + page * PAGE - op->iova < op->size)
			mapped[op->container][page] = value;
}

static void forget(unsigned int container)
{
	shifted[container] = false;
	orphans[container] = false;
	memset(mapped[container], 0, sizeof(mapped[container]));
}

/* The last one to leave takes everything along. */
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

/* The groups keep the old one, which cannot be asked any more. */
static void replaced(unsigned int container)
{
	unsigned int i;

	for (i = 0; i < GROUPS; i++)
		if (home[i] == container + 1)
			home[i] = 0;
	forget(container);
}

void shadow_before(const struct op *op, struct result *r)
{
	uint64_t i;

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

/* Does a mapping start anywhere but at the first bit of a word? */
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
	/* Even if it failed: it may have got that far. */
	if ((op->kind == OP_DIRTY || op->kind == OP_UNMAP) && shifts(r))
		shifted[op->container] = true;
	if (r->ret)
		return;
	switch (op->kind) {
	case OP_MAP:
		if (op->flags & VFIO_DMA_MAP_FLAG_VADDR)
			break;
		mark(op, true);
		orphans[op->container] |= op->in_child;
		break;
	case OP_UNMAP:
		if (op->flags & VFIO_DMA_UNMAP_FLAG_VADDR)
			break;
		if (op->flags & VFIO_DMA_UNMAP_FLAG_ALL)
			forget(op->container);
		else
			mark(op, false);
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
