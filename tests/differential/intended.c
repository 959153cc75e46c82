// SPDX-License-Identifier: GPL-2.0-only
/*
 * The intended differences between tether and the in-tree module. Most exist because
 * tether behaves like the newest kernel on all kernels. Every row is one decision. Its
 * predicate matches exactly the difference that was decided on, so that it cannot hide
 * another one.
 */
#include <errno.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "emu.h"
#include "intended.h"

static bool same_but_ret(const struct result *a, const struct result *b)
{
	struct result c = *b;

	c.ret = a->ret;
	return !memcmp(a, &c, sizeof(c));
}

static bool wraps(uint64_t start, uint64_t size)
{
	return size && start + (size - 1) < start;
}

static bool overflow(const struct op *op, const struct result *intree,
		     const struct result *other)
{
	bool wrap = wraps(op->iova, op->size);
	bool refused = intree->ret == -EINVAL;

	if (op->kind == OP_MAP) {
		wrap |= wraps(op->vaddr, op->size);
	} else if (op->kind == OP_EMU && op->number == EMU_PIN) {
		/* In-tree pins page by page, so an error of the first page precedes. */
		wrap = wraps(op->iova, op->flags * PAGE);
		refused = intree->ret < 0;
	} else if (op->kind != OP_UNMAP && op->kind != OP_DIRTY) {
		return false;
	}
	return wrap && refused && other->ret == -EOVERFLOW &&
	       same_but_ret(intree, other);
}

/*
 * The newest kernel writes as much of the 24-byte struct as argsz has room for. 6.1 writes
 * 16 or 20 bytes, that is up to or including cap_offset.
 */
static bool info_tail(const struct op *op, const struct result *intree,
		      const struct result *other)
{
	size_t from = op->argsz >= 20 ? 20 : 16;
	size_t to = op->argsz < 24 ? op->argsz : 24;
	const uint8_t *written = (const uint8_t *)other->out;
	struct result rest = *other;
	size_t i;

	if (op->kind != OP_INFO || op->argsz <= 16 || from >= to)
		return false;
	for (i = from; i < to; i++)
		if (written[i])
			return false;
	memcpy((uint8_t *)rest.out + from, (const uint8_t *)intree->out + from,
	       to - from);
	return !memcmp(&rest, intree, sizeof(rest));
}

/*
 * If bytes 16 to 23 of the struct are not all accessible, the newest kernel fails,
 * since it writes them; 6.1 does not write them, and succeeds.
 */
static bool info_no_room(const struct op *op, const struct result *intree,
			 const struct result *other)
{
	return op->kind == OP_INFO && op->pointer == PTR_STRADDLE &&
	       op->straddle >= 16 && op->straddle < op->argsz &&
	       op->straddle < 24 && !intree->ret && other->ret == -EFAULT;
}

static bool nesting(const struct op *op, const struct result *intree,
		    const struct result *other)
{
	return op->kind == OP_EXTENSION && op->number == VFIO_TYPE1_NESTING_IOMMU &&
	       intree->ret == 1 && other->ret == 0;
}

static bool set_nesting(const struct op *op, const struct result *intree,
			const struct result *other)
{
	return op->kind == OP_SET_IOMMU &&
	       op->number == VFIO_TYPE1_NESTING_IOMMU &&
	       (intree->ret == 0 || intree->ret == -EINVAL) &&
	       other->ret == -ENODEV;
}

/*
 * MAP_DMA of a range that ends at the last address. 6.1 accepts it, but its tree of
 * mappings cannot hold it: from then on look-ups in the tree find mappings that are not
 * in a range, and miss mappings that are.
 */
static bool at_the_top(const struct op *op, const struct result *intree,
		       const struct result *other)
{
	return op->kind == OP_MAP && op->iova && op->iova + op->size == 0 &&
	       (intree->ret == 0 || other->ret == 0);
}

/*
 * Another call for a range that ends at the last address. 6.1 computes a size of 0 for
 * it, and so finds no mapping in it.
 */
static bool asks_at_the_top(const struct op *op, const struct result *intree,
			    const struct result *other)
{
	return (op->kind == OP_UNMAP || op->kind == OP_DIRTY) && op->iova &&
	       op->iova + op->size == 0 && (!intree->ret || !other->ret);
}

/* The answers are the same, except for bits that only in-tree has set. */
static bool more_bits(const struct op *op, const struct result *intree,
		      const struct result *other)
{
	struct result rest = *other;
	unsigned int i;

	if (op->kind != OP_DIRTY && op->kind != OP_UNMAP)
		return false;
	for (i = 0; i < BITMAP_WORDS; i++)
		if (other->bitmap[i] & ~intree->bitmap[i])
			return false;
	memcpy(rest.bitmap, intree->bitmap, sizeof(rest.bitmap));
	return !memcmp(intree, &rest, sizeof(rest));
}

/*
 * If a mapping's first bit in the caller's bitmap is not the first bit of a word,
 * in-tree shifts the mapping's own bitmap, copies it, and clears as many of its bits as
 * the mapping has pages, which leaves shifted bits set. In later calls they stand for
 * other pages. So in-tree may report any page as dirty after such a call, and before it
 * only pages that are not mapped.
 */
static bool stale_bits(const struct op *op, const struct result *intree,
		       const struct result *other)
{
	unsigned int i;

	if (!more_bits(op, intree, other))
		return false;
	if (intree->shifted)
		return true;
	for (i = 0; i < BITMAP_WORDS; i++)
		if (intree->bitmap[i] & ~other->bitmap[i] & intree->mapped[i])
			return false;
	return true;
}

/*
 * In the caller's bitmap in-tree ORs a mapping's bits into the first of their words,
 * and overwrites the other words. So bits that the caller has set before stay set
 * in-tree.
 */
static bool callers_bits(const struct op *op, const struct result *intree,
			 const struct result *other)
{
	uint64_t filler = op->filler * 0x0101010101010101UL;
	unsigned int i;

	if (!op->filler || !more_bits(op, intree, other))
		return false;
	for (i = 0; i < BITMAP_WORDS; i++)
		if (intree->bitmap[i] & ~other->bitmap[i] & intree->mapped[i] &
		    ~filler)
			return false;
	return true;
}

static bool attaches(const struct op *op)
{
	return op->kind == OP_ATTACH || op->kind == OP_OPEN;
}

static bool out_of_aperture(const struct op *op, const struct result *intree,
			    const struct result *other)
{
	return attaches(op) && other->ret == -EINVAL &&
	       (intree->ret == -EFAULT || intree->ret == -ENOMEM ||
		intree->ret == -ERANGE) &&
	       same_but_ret(intree, other);
}

/*
 * Attaching a group may pin the memory of all mappings. If the process of a mapping has
 * exited, in-tree pins the memory that the attaching process has at that address;
 * tether fails.
 */
static bool nobodys_memory(const struct op *op, const struct result *intree,
			   const struct result *other)
{
	return attaches(op) && intree->orphans && !intree->ret &&
	       other->ret == -EFAULT;
}

/*
 * An unmap fails because the bitmap cannot be written. In-tree has unmapped the
 * mappings whose bits it could write before that; tether unmaps none.
 */
static bool half_an_unmap(const struct op *op, const struct result *intree,
			  const struct result *other)
{
	unsigned int i, pages = 0;

	for (i = 0; i < BITMAP_WORDS; i++)
		pages += __builtin_popcountll(intree->mapped[i]);
	return op->kind == OP_UNMAP && pages > 1 &&
	       op->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP &&
	       intree->ret == -EFAULT && other->ret == -EFAULT;
}

/*
 * Does in-tree map pages that the process's next write replaces? Before 6.2, if private
 * memory is mapped for reading only, it maps the zero page, which it does not charge,
 * or a page of a file. Tether gives the process pages of its own first, and charges
 * them.
 */
static bool maps_what_is_replaced(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major < 6 || (major == 6 && minor < 2);
}

/*
 * At most so many pages are mapped read-only after op; r->readable does not count op's.
 */
static uint64_t readable_pages(const struct op *op, const struct result *r)
{
	bool adds = op->kind == OP_MAP && op->flags == VFIO_DMA_MAP_FLAG_READ;

	return r->readable + (adds ? op->size / PAGE : 0);
}

/*
 * Tether charges more, but only for pages mapped read-only. Ignores all other results.
 */
static bool pays_for_copies(const struct op *op, const struct result *intree,
			    const struct result *other)
{
	return maps_what_is_replaced() && op->sample &&
	       other->locked > intree->locked &&
	       other->locked - intree->locked <=
		       readable_pages(op, other) * (PAGE / 1024);
}

static bool cannot_pay_for_copies(const struct op *op,
				  const struct result *intree,
				  const struct result *other)
{
	bool charges = op->kind == OP_MAP || attaches(op) ||
		       (op->kind == OP_EMU && op->number == EMU_PIN);

	return maps_what_is_replaced() && charges &&
	       readable_pages(op, other) && other->ret == -ENOMEM &&
	       intree->ret != -ENOMEM;
}

static bool reads_the_copy(const struct op *op, const struct result *intree,
			   const struct result *other)
{
	struct result rest = *other;

	rest.digest = intree->digest;
	return maps_what_is_replaced() && op->kind == OP_EMU &&
	       op->number == EMU_PEEK && other->readable &&
	       !memcmp(intree, &rest, sizeof(rest));
}

/* The difference of the first row may occur together with that of another row. */
struct intended intended[] = {
	{
		.reason = "private memory is the process's own, and charged, if a device only reads it",
		.matches = pays_for_copies,
	},
	{
		.reason = "a range that wraps around is -EOVERFLOW, as in the newest",
		.matches = overflow,
	},
	{
		.reason = "GET_INFO fills what argsz has room for, as in the newest",
		.matches = info_tail,
	},
	{
		.reason = "and is -EFAULT if argsz has more room than there is",
		.matches = info_no_room,
	},
	{
		.reason = "the nesting extension is gone, as in the newest",
		.matches = nesting,
	},
	{
		.reason = "a nesting container cannot be had, as in the newest",
		.matches = set_nesting,
		.ends = true,
	},
	{
		.reason = "a range may end at the last byte of the address space, as in the newest",
		.matches = at_the_top,
		.ends = true,
		.unseen = true,
	},
	{
		.reason = "so may one that is unmapped or asked about",
		.matches = asks_at_the_top,
		.ends = true,
	},
	{
		.reason = "an unmap whose bitmap cannot be written unmaps nothing",
		.matches = half_an_unmap,
		.ends = true,
		.unseen = true,
	},
	{
		.reason = "in-tree leaves bits behind, and reports other pages as dirty",
		.matches = stale_bits,
	},
	{
		.reason = "what the caller had in the bitmap says nothing about mapped pages",
		.matches = callers_bits,
	},
	{
		.reason = "a mapping that a new group's IOMMU cannot have is -EINVAL, with or without a group before",
		.matches = out_of_aperture,
	},
	{
		.reason = "the memory of a process that has exited cannot be pinned, and nobody else's is",
		.matches = nobodys_memory,
		.ends = true,
	},
	{
		.reason = "so it may be more than RLIMIT_MEMLOCK allows",
		.matches = cannot_pay_for_copies,
		.ends = true,
	},
	{
		.reason = "and a write of the process's is seen",
		.matches = reads_the_copy,
	},
};

const unsigned int intended_rows = sizeof(intended) / sizeof(intended[0]);

struct intended *intended_find(const struct op *op, const struct result *intree,
			       const struct result *other)
{
	struct result rest = *other;
	unsigned int i;
	bool seen;

	/*
	 * The first row may match besides another row: leave its difference out of
	 * rest.
	 */
	if (intended[0].matches(op, intree, other)) {
		rest.locked = intree->locked;
		if (!memcmp(intree, &rest, sizeof(rest)))
			return &intended[0];
	}
	seen = memcmp(intree, &rest, sizeof(rest));
	for (i = 1; i < intended_rows; i++)
		if ((seen || intended[i].unseen) &&
		    intended[i].matches(op, intree, &rest))
			return &intended[i];
	return NULL;
}
