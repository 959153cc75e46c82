// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generates an episode from a seed, before any of its operations runs. The generator
 * remembers which ranges its earlier operations use, and often uses them again, since
 * operations on the same ranges find the most differences.
 *
 * Operations that would hang or crash the in-tree module are not generated; a comment
 * at each such place says why.
 */
#include <linux/vfio.h>
#include <string.h>

#include "../emu/tether_emu.h"
#include "common.h"
#include "op.h"
#include "random.h"

#define REMEMBERED	16

struct range {
	uint64_t iova, size;
};

struct generator {
	struct random r;
	struct episode *e;
	struct range ranges[REMEMBERED];
	unsigned int known;
	unsigned int weights[OP_KINDS];
	unsigned int total;
};

static const uint64_t odd_iovas[] = {
	0, PAGE, 0xfedff000, 0xfee00000, 0xfeeff000, 0xfef00000, 0xffffe000,
	(1ULL << 32) - PAGE, (1ULL << 39) - PAGE, (1ULL << 47) - PAGE, 1ULL << 47,
	(1ULL << 48) - PAGE, 1ULL << 48, (1ULL << 52) - PAGE, (1ULL << 57) - PAGE,
	1ULL << 57, 1ULL << 63, IOVA + 1, IOVA + 2048, UINT64_MAX,
};

static const uint64_t odd_vaddrs[] = {
	0, PAGE, 0x7fffffffe000, 0x7ffffffff000, 0x800000000000, 1ULL << 63,
	0xffff888000000000, 0xffffffff81000000, 0ULL - PAGE, UINT64_MAX,
	ARENA + 1, ARENA + 2048, ARENA - PAGE,
};

static const uint64_t odd_sizes[] = {
	0, 1, 2048, PAGE - 1, PAGE + 1, UINT64_MAX, 0ULL - PAGE, 0ULL - 2048,
	1ULL << 63, (1ULL << 63) + 1, 0ULL - IOVA, 0ULL - ARENA, 0ULL - IOVA + PAGE,
};

static const uint32_t map_flags[] = {
	0, 4, 5, 6, 7, 8, 9, 0x80000003, UINT32_MAX,
};

static const uint32_t unmap_flags[] = {
	VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_ALL, VFIO_DMA_UNMAP_FLAG_ALL,
	VFIO_DMA_UNMAP_FLAG_VADDR, VFIO_DMA_UNMAP_FLAG_VADDR,
	VFIO_DMA_UNMAP_FLAG_ALL | VFIO_DMA_UNMAP_FLAG_VADDR,
	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_ALL,
	VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP | VFIO_DMA_UNMAP_FLAG_VADDR,
	7, 8, 0x80000000, UINT32_MAX,
};

/* Never 0: in-tree's behaviour is not defined then. */
static const uint64_t odd_bitmap_pgsizes[] = {
	1, 3, 2048, 8192, 0x200000, PAGE + 1, 1ULL << 63, UINT64_MAX,
};

static uint64_t below(struct generator *g, uint64_t n)
{
	return random_below(&g->r, n);
}

static bool percent(struct generator *g, unsigned int p)
{
	return random_percent(&g->r, p);
}

static uint64_t few_pages(struct generator *g)
{
	uint64_t pages = 1 + below(g, 4);

	return (percent(g, 25) ? pages * 4 : pages) * PAGE;
}

static void remember(struct generator *g, const struct op *op)
{
	struct range *range = &g->ranges[g->known++ % REMEMBERED];

	*range = (struct range){ op->iova, op->size };
}

static struct range recall(struct generator *g)
{
	unsigned int n = g->known < REMEMBERED ? g->known : REMEMBERED;

	if (!n)
		return (struct range){ WINDOW, PAGE };
	return g->ranges[below(g, n)];
}

static uint64_t any_iova(struct generator *g)
{
	if (percent(g, 4))
		return random_pick(&g->r, odd_iovas);
	/* Half are multiples of 8 pages, at which most mappings do not overlap. */
	if (percent(g, 50))
		return WINDOW + below(g, WINDOW_PAGES / 8) * 8 * PAGE;
	return WINDOW + below(g, WINDOW_PAGES) * PAGE;
}

static uint64_t any_vaddr(struct generator *g)
{
	if (percent(g, 3))
		return random_pick(&g->r, odd_vaddrs);
	if (g->e->huge && percent(g, 20))
		return THP + below(g, 2 * HUGE_LEN / PAGE) * PAGE;
	if (g->e->device && percent(g, 30))
		return DEVICE + below(g, DEVICE_PAGES) * PAGE;
	return ARENA + below(g, ARENA_PAGES) * PAGE;
}

static uint64_t any_size(struct generator *g)
{
	if (percent(g, 4))
		return random_pick(&g->r, odd_sizes);
	if (percent(g, 3))
		return WINDOW_PAGES * PAGE;
	if (g->e->huge && percent(g, 10))
		return HUGE_LEN;
	return few_pages(g);
}

static enum pointer any_pointer(struct generator *g, unsigned int bad)
{
	return percent(g, bad) ? 1 + below(g, POINTERS - 1) : PTR_GOOD;
}

static void any_argument(struct generator *g, struct op *op, uint32_t argsz)
{
	op->argsz = argsz;
	if (percent(g, 4))
		op->argsz = percent(g, 80) ? below(g, argsz + 16) : UINT32_MAX;
	op->pointer = any_pointer(g, 3);
	op->straddle = below(g, argsz);
}

static void any_bitmap(struct generator *g, struct op *op)
{
	uint64_t pages = op->size / PAGE;

	op->bitmap_pgsize = PAGE;
	op->bitmap_size = (pages + 63) / 64 * 8;
	op->bitmap_pointer = any_pointer(g, 8);
	op->straddle = below(g, 64);
	op->filler = percent(g, 70) ? 0 : 0xa5;
	if (percent(g, 10))
		op->bitmap_pgsize = random_pick(&g->r, odd_bitmap_pgsizes);
	if (percent(g, 10)) {
		uint64_t sizes[] = { 0, 1, op->bitmap_size - 8,
				     op->bitmap_size - 1, op->bitmap_size + 1,
				     op->bitmap_size + 8, 8192, 1ULL << 28,
				     (1ULL << 28) + 8, 1ULL << 40, UINT64_MAX };

		op->bitmap_size = random_pick(&g->r, sizes);
	}
}

/* A range that ends at the last address: 6.1 maps it, but does not find it again. */
static void at_the_top(struct generator *g, struct op *op)
{
	op->size = (1 + below(g, 4)) * PAGE;
	op->iova = 0ULL - op->size;
	if (percent(g, 20))
		op->iova -= PAGE;
}

/*
 * A container with only emulated devices accepts a mapping of any size. If a group with
 * an IOMMU joins it and the mapping has no memory, in-tree 6.1 tries to pin each page
 * in turn, which takes for ever if the mapping is huge. So this makes such a mapping
 * small.
 */
static void not_huge(struct generator *g, struct op *op)
{
	uint64_t last = op->size - 1;

	if (g->e->emulated && last < UINT64_MAX && last >> 30 &&
	    op->iova + last > op->iova && op->vaddr + last > op->vaddr)
		op->size = PAGE;
}

static void generate_map(struct generator *g, struct op *op)
{
	static const uint32_t good[] = { 3, 3, 3, 3, 3, 1, 1, 2, 2 };
	struct range range;

	any_argument(g, op, sizeof(struct vfio_iommu_type1_dma_map));
	op->flags = percent(g, 94) ? random_pick(&g->r, good) :
				     random_pick(&g->r, map_flags);
	op->iova = any_iova(g);
	op->vaddr = any_vaddr(g);
	op->size = any_size(g);
	if (g->e->edge && percent(g, 20))
		at_the_top(g, op);
	if (op->flags & VFIO_DMA_MAP_FLAG_VADDR || percent(g, 5)) {
		range = recall(g);
		op->iova = range.iova;
		op->size = range.size;
	}
	not_huge(g, op);
	remember(g, op);
}

static void known_range(struct generator *g, struct op *op)
{
	struct range range = recall(g);

	op->iova = range.iova;
	op->size = range.size;
	if (percent(g, 60))
		return;
	/* A range near the earlier one, a part of it, or one that contains it. */
	if (percent(g, 50))
		op->iova += (below(g, 5) - 2) * PAGE;
	if (percent(g, 50))
		op->size += (below(g, 9) - 4) * PAGE;
}

static void any_range(struct generator *g, struct op *op)
{
	if (percent(g, 60)) {
		known_range(g, op);
	} else if (percent(g, 15)) {
		op->iova = WINDOW;
		op->size = WINDOW_PAGES * PAGE;
	} else {
		op->iova = any_iova(g);
		op->size = any_size(g);
	}
	if (g->e->edge && percent(g, 15))
		at_the_top(g, op);
}

static void generate_unmap(struct generator *g, struct op *op)
{
	any_range(g, op);
	any_argument(g, op, sizeof(struct vfio_iommu_type1_dma_unmap));
	if (percent(g, 82))
		return;
	op->flags = random_pick(&g->r, unmap_flags);
	if (op->flags & VFIO_DMA_UNMAP_FLAG_ALL && percent(g, 85))
		*op = (struct op){ .kind = op->kind, .flags = op->flags,
				   .container = op->container, .argsz = op->argsz,
				   .pointer = op->pointer, .straddle = op->straddle };
	if (op->flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
		any_argument(g, op, sizeof(struct vfio_iommu_type1_dma_unmap) +
				    sizeof(struct vfio_bitmap));
		any_bitmap(g, op);
	}
}

static void generate_dirty(struct generator *g, struct op *op)
{
	static const uint32_t odd[] = { 0, 3, 5, 6, 7, 8, 12, UINT32_MAX };

	any_argument(g, op, sizeof(struct vfio_iommu_type1_dirty_bitmap));
	if (percent(g, 5)) {
		op->flags = random_pick(&g->r, odd);
	} else if (percent(g, 30)) {
		op->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START;
	} else if (percent(g, 10)) {
		op->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
	} else {
		op->flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP;
		any_argument(g, op,
			     sizeof(struct vfio_iommu_type1_dirty_bitmap) +
			     sizeof(struct vfio_iommu_type1_dirty_bitmap_get));
	}
	any_range(g, op);
	any_bitmap(g, op);
}

static void generate_info(struct generator *g, struct op *op)
{
	any_argument(g, op, 256);
	if (percent(g, 60))
		op->argsz = below(g, percent(g, 50) ? 33 : 256);
}

static void generate_unknown(struct generator *g, struct op *op)
{
	/* Not vfio's own ioctls, 100 to 102, nor these four, which the backend has. */
	do
		op->number = 103 + below(g, 40);
	while (op->number == 112 || op->number == 113 || op->number == 114 ||
	       op->number == 117);
}

static enum group_id any_group(struct generator *g)
{
	if (g->e->emulated && percent(g, 60))
		return percent(g, 60) ? GROUP_EMU_0 : GROUP_EMU_1;
	return below(g, 3);
}

static void generate_emu(struct generator *g, struct op *op)
{
	static const uint8_t commands[] = {
		EMU_PIN, EMU_PIN, EMU_PIN, EMU_PIN, EMU_UNPIN, EMU_UNPIN,
		EMU_READ, EMU_READ, EMU_WRITE, EMU_WRITE, EMU_PEEK, EMU_POKE,
		EMU_NOTICES,
	};
	static const uint32_t prots[] = { 3, 3, 1, 1, 2, 2, 0, 4 };
	struct range range = recall(g);

	op->group = percent(g, 70) ? GROUP_EMU_0 : GROUP_EMU_1;
	op->number = random_pick(&g->r, commands);
	op->prot = random_pick(&g->r, prots);
	op->flags = percent(g, 90) ? 1 + below(g, 6) : below(g, 600);	/* pages */
	op->iova = percent(g, 80) ?
		range.iova + below(g, range.size / PAGE % 64 + 1) * PAGE :
		any_iova(g);
	op->size = below(g, 64);
	if (op->number == EMU_READ || op->number == EMU_WRITE) {
		op->iova += below(g, PAGE);
		if (percent(g, 20))
			op->size = below(g, EMU_DATA + 2);
	}
}

static void generate_memory(struct generator *g, struct op *op)
{
	static const uint32_t prots[] = { 0, 1, 1, 3, 3, 3 };

	op->vaddr = ARENA + below(g, ARENA_PAGES) * PAGE;
	op->size = (1 + below(g, 6)) * PAGE;
	/* Do not replace memory behind the arena. */
	if (op->vaddr + op->size > ARENA + ARENA_PAGES * PAGE)
		op->size = PAGE;
	op->prot = random_pick(&g->r, prots);
	op->number = below(g, MEMORIES);
	if (op->kind == OP_TOUCH)
		op->number = random_next(&g->r);
}

static void generate_probe(struct generator *g, struct op *op)
{
	struct range range = recall(g);

	op->group = GROUP_NVME;
	op->iova = percent(g, 85) ?
		range.iova + below(g, range.size / PAGE % 64 + 1) * PAGE :
		any_iova(g);
	op->iova &= ~(PAGE - 1);
	/*
	 * A write to 0xfeexxxxx is an interrupt, possibly one that resets the machine.
	 */
	if (op->iova >> 20 == 0xfee)
		op->iova = WINDOW;
}

static void generate_arguments(struct generator *g, struct op *op)
{
	static const uint64_t types[] = {
		VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU, 0, 2, 7, 8, 99, UINT32_MAX,
	};

	op->container = percent(g, 85) ? 0 : 1;
	switch (op->kind) {
	case OP_MAP:
		generate_map(g, op);
		break;
	case OP_UNMAP:
		generate_unmap(g, op);
		break;
	case OP_DIRTY:
		generate_dirty(g, op);
		break;
	case OP_INFO:
		generate_info(g, op);
		break;
	case OP_EXTENSION:
		op->number = percent(g, 90) ? below(g, 24) : random_next(&g->r);
		break;
	case OP_UNKNOWN:
		generate_unknown(g, op);
		break;
	case OP_SET_IOMMU:
		op->number = random_pick(&g->r, types);
		if (percent(g, 5))
			op->number = VFIO_TYPE1_NESTING_IOMMU;
		break;
	case OP_ATTACH:
	case OP_DETACH:
	case OP_OPEN:
	case OP_CLOSE:
		op->group = any_group(g);
		break;
	case OP_EMU:
		generate_emu(g, op);
		break;
	case OP_PROBE:
		generate_probe(g, op);
		break;
	case OP_MEMLOCK:
		op->size = below(g, 64) * 4 * PAGE;
		break;
	default:
		generate_memory(g, op);
		break;
	}
}

static bool is_container_ioctl(unsigned int kind)
{
	return kind == OP_MAP || kind == OP_UNMAP || kind == OP_DIRTY ||
	       kind == OP_INFO;
}

static struct op *add(struct generator *g, enum kind kind)
{
	static struct op lost;
	struct episode *e = g->e;
	struct op *op = &lost;

	if (e->count < EPISODE_OPS)
		op = &e->ops[e->count++];
	*op = (struct op){ .kind = kind };
	return op;
}

static void join(struct generator *g, unsigned int container, enum group_id group)
{
	struct op *op = add(g, OP_ATTACH);

	op->container = container;
	op->group = group;
	op = add(g, OP_SET_IOMMU);
	op->container = container;
	op->number = g->e->v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
	if (group == GROUP_EMU_0 || group == GROUP_EMU_1) {
		op = add(g, OP_OPEN);
		op->group = group;
	}
}

static enum kind any_kind(struct generator *g)
{
	uint64_t at = below(g, g->total);
	unsigned int kind;

	for (kind = 0; at >= g->weights[kind]; kind++)
		at -= g->weights[kind];
	return kind;
}

static void step(struct generator *g)
{
	struct episode *e = g->e;
	struct op *op = add(g, any_kind(g));

	generate_arguments(g, op);
	op->sample = percent(g, 20);
	/*
	 * Not with a device: a child's copy of its mmap is also zapped and faulted in.
	 */
	if (is_container_ioctl(op->kind) && !e->nvme && !e->device)
		op->in_child = percent(g, 1);
	if (op->kind == OP_ATTACH && percent(g, 60))
		join(g, op->container, op->group);
}

static const unsigned int usual_weights[OP_KINDS] = {
	[OP_MAP] = 280, [OP_UNMAP] = 180, [OP_DIRTY] = 80, [OP_INFO] = 30,
	[OP_EXTENSION] = 20, [OP_UNKNOWN] = 5, [OP_SET_IOMMU] = 5, [OP_ATTACH] = 20,
	[OP_DETACH] = 15, [OP_OPEN] = 8, [OP_CLOSE] = 6, [OP_REOPEN] = 2,
	[OP_EMU] = 200, [OP_MMAP] = 15, [OP_MUNMAP] = 10, [OP_MPROTECT] = 15,
	[OP_DISCARD] = 8, [OP_TOUCH] = 20, [OP_FORK] = 3, [OP_MEMLOCK] = 15,
	[OP_PROBE] = 150,
};

/* Each episode has its own mixture, so that some have mainly one kind of operation. */
static void mix(struct generator *g)
{
	static const unsigned int factors[] = { 0, 1, 1, 1, 2, 4 };
	struct episode *e = g->e;
	unsigned int i;

	for (i = 0; i < OP_KINDS; i++) {
		g->weights[i] = usual_weights[i];
		if (i != OP_MAP && i != OP_UNMAP)
			g->weights[i] *= random_pick(&g->r, factors);
	}
	if (!e->emulated)
		g->weights[OP_EMU] = 0;
	if (!e->unprivileged)
		g->weights[OP_MEMLOCK] = 0;
	if (!e->nvme)
		g->weights[OP_PROBE] = 0;
	if (e->nvme)
		g->weights[OP_REOPEN] = 0;
	if (e->nvme || e->device)
		g->weights[OP_FORK] = 0;
	for (i = 0; i < OP_KINDS; i++)
		g->total += g->weights[i];
}

static void choose_features(struct generator *g)
{
	struct episode *e = g->e;
	unsigned int i;

	e->v1 = percent(g, 20);
	e->emulated = percent(g, 45);
	e->nvme = percent(g, 4);
	e->huge = percent(g, 10);
	e->device = percent(g, 5);
	e->unprivileged = percent(g, 15);
	e->edge = !e->nvme && percent(g, 4);
	e->memlock = below(g, 128) * PAGE;
	for (i = 0; i < ARENA_SEGMENTS; i++)
		e->arena[i] = percent(g, 45) ? MEM_ANON : below(g, MEMORIES);
}

static void begin(struct generator *g)
{
	struct episode *e = g->e;
	struct op *op;

	if (e->nvme) {
		op = add(g, OP_OPEN);
		op->group = GROUP_NVME;
		op->number = e->v1 ? VFIO_TYPE1_IOMMU : VFIO_TYPE1v2_IOMMU;
	}
	if (e->device) {
		join(g, 0, GROUP_TARGET);
		op = add(g, OP_OPEN);
		op->group = GROUP_TARGET;
		op = add(g, OP_MMAP);
		op->vaddr = DEVICE;
		op->size = DEVICE_PAGES * PAGE;
	}
	if (e->emulated && percent(g, 70))
		join(g, 0, GROUP_EMU_0);
	if (!e->emulated || percent(g, 60))
		join(g, 0, GROUP_EDU_A);
	if (e->emulated && percent(g, 30))
		join(g, percent(g, 50), GROUP_EMU_1);
}

/**
 * episode_generate() - Fill in an episode
 * @e: the episode
 * @seed: the run's seed
 * @number: which of the run's episodes
 */
void episode_generate(struct episode *e, uint64_t seed, uint64_t number)
{
	struct generator g = { .e = e };
	unsigned int length;

	memset(e, 0, sizeof(*e));
	e->seed = random_mix(seed * 0x9e3779b97f4a7c15ULL + number);
	g.r.state = e->seed;
	choose_features(&g);
	mix(&g);
	begin(&g);
	length = 50 + below(&g, EPISODE_OPS - 50);
	while (e->count < length)
		step(&g);
	e->ops[e->count - 1].sample = true;
}
