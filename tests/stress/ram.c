// SPDX-License-Identifier: GPL-2.0-only
/*
 * An actor that owns RAM. It maps the RAM in its slot, lets the devices write, unmaps
 * it, and checks that no write arrives after UNMAP_DMA has returned. The pages are
 * small or huge, in one mapping or in four. Sometimes the actor frees them with
 * madvise() while they are mapped, and other actors fork meanwhile.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "stress.h"

#define LEN		(4 * MIB)
#define RW		(PROT_READ | PROT_WRITE)

struct ram {
	uint8_t *map;
	uint64_t aim;
};

static void fill(struct ram *r)
{
	memset(r->map + r->aim, 0x5a, PAGE);
}

static bool overwritten(struct ram *r)
{
	size_t i;

	for (i = 0; i < PAGE; i++)
		if (((volatile uint8_t *)r->map)[r->aim + i] != 0x5a)
			return true;
	return false;
}

static void expect_nothing(struct actor *a, const char *how)
{
	struct ram *r = a->own;

	doing(a, how);
	fill(r);
	let_them_write(a->slot);
	if (!stress.stop && overwritten(r))
		hole(a, "DMA landed in RAM at %p: %s", r->map + r->aim, how);
	a->checks++;
}

/* RAM is never revoked: as long as it is mapped, writes have to arrive in it. */
static void expect_writes(struct actor *a)
{
	struct ram *r = a->own;

	doing(a, "it is mapped");
	fill(r);
	let_them_write(a->slot);
	if (!stress.stop && !overwritten(r))
		broken(a, "RAM at %p is not reached", r->map + r->aim);
	a->checks++;
}

static bool fresh(struct actor *a)
{
	struct ram *r = a->own;

	if (mmap(r->map, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return must(a, -errno, 0, "mmap");
	madvise(r->map, LEN, random_percent(&a->random, 50) ? MADV_HUGEPAGE :
							      MADV_NOHUGEPAGE);
	r->aim = random_below(&a->random, LEN / PAGE) * PAGE;
	slot_aim(a->slot, r->aim);
	return true;
}

static void unmap_dma(struct actor *a, uint64_t len)
{
	uint64_t size = 0, iova = IOVA_SLOT(a->slot);

	if (must(a, vfio_dma_unmap(&stress.container, iova, LEN, &size), 0,
		 "UNMAP_DMA") && size != len)
		broken(a, "UNMAP_DMA says %#lx, not %#lx", size, len);
}

/* Maps the RAM with one mapping or with four; one UNMAP_DMA of all removes either. */
static bool map_dma(struct actor *a)
{
	struct ram *r = a->own;
	uint64_t at, part = random_percent(&a->random, 50) ? LEN : LEN / 4;

	for (at = 0; at < LEN; at += part)
		if (!must(a, vfio_dma_map(&stress.container, r->map + at,
					  IOVA_SLOT(a->slot) + at, part,
					  VFIO_DMA_RW), 0, "MAP_DMA"))
			return false;
	return true;
}

void ram_begin(struct actor *a)
{
	struct ram *r = calloc(1, sizeof(*r));

	a->own = r;
	r->map = vfio_reserve(LEN, 2 * MIB, 0);
	if (!r->map)
		must(a, -errno, 0, "mmap");
	fresh(a);
}

void ram_step(struct actor *a)
{
	struct ram *r = a->own;

	if (!map_dma(a))
		return;
	if (random_percent(&a->random, 50))
		expect_writes(a);
	if (random_percent(&a->random, 30)) {
		/*
		 * Devices write to the old, pinned pages, no longer to the process's.
		 */
		if (madvise(r->map, LEN, MADV_DONTNEED))
			must(a, -errno, 0, "madvise");
		expect_nothing(a, "its pages were replaced");
	}
	unmap_dma(a, LEN);
	expect_nothing(a, "UNMAP_DMA");
	if (random_percent(&a->random, 50))
		fresh(a);
}

void ram_end(struct actor *a)
{
	struct ram *r = a->own;

	slot_aim(a->slot, UINT64_MAX);
	vfio_dma_unmap(&stress.container, IOVA_SLOT(a->slot), LEN, NULL);
	munmap(r->map, LEN);
	free(r);
}
