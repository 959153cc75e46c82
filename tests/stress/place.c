// SPDX-License-Identifier: GPL-2.0-only
/*
 * An actor that owns a place: a piece of TARGET's memory, an mmap of it, and a DMA
 * mapping of that mmap in the actor's slot. The actor takes the memory away in every
 * possible way, and checks that no write arrives in it any more. It also checks that
 * writes arrive in memory that it has not lost or has got back.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "stress.h"

#define LEN		(4 * MIB)
#define HALF		(LEN / 2)
#define RW		(PROT_READ | PROT_WRITE)

/*
 * Two addresses for each slot, for the mmap of its place. The kernel does not choose
 * them for another mmap, even while they are free. So when the actor has unmapped a
 * piece and maps it again, no memory of another thread is there.
 */
#define ARENA(slot, n)	((uint8_t *)0x100000000000 + (slot) * (4096 * MIB) + \
			 (n) * (64 * MIB))

struct place {
	uint8_t *map;		/* LEN bytes in the arena */
	unsigned int arena;	/* which of the slot's two arenas */
	uint64_t bar;		/* offset of the place in the BAR */
	uint64_t aim;		/* offset in the place to which the devices write */
};

/*
 * Reads or writes TARGET's memory through VFIO's file. While the memory is off, waits.
 */
static bool witness(struct actor *a, bool write, uint64_t offset, uint8_t *buf)
{
	int ret;

	do {
		ret = write ? target_write(&stress.target, offset, buf, MARK) :
			      target_read(&stress.target, offset, buf, MARK);
	} while (ret == -EIO && !stress.stop);
	return must(a, ret, -EIO, "the witness");
}

static bool mark(struct actor *a, uint64_t offset)
{
	uint8_t text[MARK];

	memset(text, 0x5a, MARK);
	return witness(a, true, offset, text);
}

static bool overwritten(struct actor *a, uint64_t offset)
{
	uint8_t text[MARK], there[MARK];

	memset(text, 0x5a, MARK);
	return witness(a, false, offset, there) && !stress.stop &&
	       memcmp(text, there, MARK);
}

/* The memory was taken away in the way that how tells: no write may arrive any more. */
static void expect_nothing(struct actor *a, const char *how)
{
	struct place *p = a->own;

	doing(a, how);
	if (!mark(a, p->bar + p->aim))
		return;
	let_them_write(a->slot);
	if (overwritten(a, p->bar + p->aim))
		hole(a, "DMA landed in device memory that is gone: %s", how);
	a->checks++;
}

/*
 * Writes have to arrive within the deadline. Until then no actor may turn TARGET off.
 */
static void expect_return(struct actor *a, const char *how)
{
	struct place *p = a->own;
	double start, still;

	doing(a, how);
	target_hold();
	start = now();
	if (!mark(a, p->bar + p->aim))
		goto out;
	while (!overwritten(a, p->bar + p->aim) && !stress.stop) {
		still = stalled(start, now());
		if (now() - start - still > stress.deadline) {
			broken(a, "not reached %.1f s (and %.1f s of standing still) after: %s",
			       now() - start - still, still, how);
			break;
		}
		usleep(500);
	}
	a->checks++;
out:
	target_release();
}

static bool map_mmap(struct actor *a, uint8_t *at)
{
	struct place *p = a->own;

	if (vfio_region_mmap(&stress.device, TARGET_BAR, p->bar, LEN, RW, at))
		return true;
	return must(a, -errno, 0, "mmap");
}

/* MAP_DMA fails while the memory is off, so this repeats it until it succeeds. */
static bool map_dma(struct actor *a)
{
	struct place *p = a->own;
	int ret;

	do {
		ret = vfio_dma_map(&stress.container, p->map,
				   IOVA_SLOT(a->slot), LEN, VFIO_DMA_RW);
	} while ((ret == -EFAULT || ret == -EINVAL) && !stress.stop);
	return must(a, ret, stress.stop ? ret : 0, "MAP_DMA") && !ret;
}

/*
 * UNMAP_DMA has to report the full size, whether the memory is mapped, revoked or gone.
 */
static void unmap_dma(struct actor *a)
{
	uint64_t size = 0;
	int ret = vfio_dma_unmap(&stress.container, IOVA_SLOT(a->slot), LEN,
				 &size);

	if (must(a, ret, 0, "UNMAP_DMA") && size != LEN)
		broken(a, "UNMAP_DMA says %#lx", size);
}

static void aim(struct actor *a, uint64_t from, uint64_t len)
{
	struct place *p = a->own;

	p->aim = from + random_below(&a->random, len / PAGE) * PAGE;
	slot_aim(a->slot, p->aim);
}

/*
 * Up to 6.9 stock vfio-pci zaps the VMAs in its list with mmap_lock held for reading.
 * munmap() frees page tables with mmap_lock downgraded to reading, while the VMA is still
 * in that list. So on those kernels a munmap() and a zap must not run at the same time.
 */
static void give_back(struct actor *a, void *at, size_t len)
{
	if (stress.old_kernel)
		target_hold();
	if (munmap(at, len))
		must(a, -errno, 0, "munmap");
	if (stress.old_kernel)
		target_release();
}

static void take_munmap(struct actor *a)
{
	struct place *p = a->own;

	give_back(a, p->map, LEN);
	expect_nothing(a, "munmap");
}

/* Unmaps the first half: no write may arrive there, but the other half is restored. */
static void take_half(struct actor *a)
{
	struct place *p = a->own;

	give_back(a, p->map, HALF);
	if (random_percent(&a->random, 50)) {
		aim(a, 0, HALF);
		expect_nothing(a, "munmap of this half");
	} else {
		aim(a, HALF, HALF);
		expect_return(a, "munmap of the other half");
	}
}

/* Unmaps single pages at random places. */
static void take_pieces(struct actor *a)
{
	struct place *p = a->own;
	unsigned int i;

	for (i = 0; i < 8; i++) {
		aim(a, 0, LEN);
		give_back(a, p->map + p->aim, PAGE);
	}
	expect_nothing(a, "munmap of a page");
}

static void take_by_mmap(struct actor *a)
{
	struct place *p = a->own;

	if (random_percent(&a->random, 50)) {
		map_mmap(a, p->map);
		expect_nothing(a, "mmap of the same over it");
	} else {
		if (mmap(p->map, LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_FIXED, -1, 0) == MAP_FAILED)
			must(a, -errno, 0, "mmap");
		expect_nothing(a, "mmap of something else over it");
	}
}

static void take_by_mprotect(struct actor *a)
{
	struct place *p = a->own;

	if (mprotect(p->map, LEN, random_percent(&a->random, 50) ? PROT_READ :
								   PROT_NONE))
		must(a, -errno, 0, "mprotect");
	expect_nothing(a, "mprotect");
	if (mprotect(p->map, LEN, RW))
		must(a, -errno, 0, "mprotect");
	expect_return(a, "mprotect and back");
}

static void take_by_mremap(struct actor *a)
{
	struct place *p = a->own;
	uint8_t *to = vfio_reserve(LEN, PAGE, 0);

	if (!to || mremap(p->map, LEN, LEN, MREMAP_MAYMOVE | MREMAP_FIXED,
			  to) != to)
		must(a, -errno, 0, "mremap");
	expect_nothing(a, "mremap");
	munmap(to, LEN);
}

/* UNMAP_DMA: no write may arrive any more, although the process still has its mmap. */
static void take_dma(struct actor *a)
{
	unmap_dma(a);
	expect_nothing(a, "UNMAP_DMA");
	map_dma(a);
}

static int vaddr_ioctl(bool map, uint64_t iova, void *vaddr)
{
	struct vfio_iommu_type1_dma_map m = {
		.argsz = sizeof(m), .flags = VFIO_DMA_MAP_FLAG_VADDR,
		.vaddr = (uintptr_t)vaddr, .iova = iova, .size = LEN,
	};
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = sizeof(u), .flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = iova, .size = LEN,
	};
	int ret = map ? ioctl(stress.container.fd, VFIO_IOMMU_MAP_DMA, &m) :
			ioctl(stress.container.fd, VFIO_IOMMU_UNMAP_DMA, &u);

	return ret ? -errno : 0;
}

/* Gives the mapping another user address for the same memory, without an unmap. */
static void move_vaddr(struct actor *a)
{
	struct place *p = a->own;
	uint8_t *to = ARENA(a->slot, !p->arena) + PAGE, *old = p->map;
	int ret;

	if (!map_mmap(a, to))
		return;
	if (!must(a, vaddr_ioctl(false, IOVA_SLOT(a->slot), NULL), 0,
		  "UNMAP_DMA of the address"))
		return;
	do {
		ret = vaddr_ioctl(true, IOVA_SLOT(a->slot), to);
	} while (ret == -EFAULT && !stress.stop);
	if (!must(a, ret, stress.stop ? ret : 0, "MAP_DMA of the address"))
		return;
	give_back(a, old, LEN);
	p->map = to;
	p->arena = !p->arena;
	expect_return(a, "its address was changed");
}

/* For proc_spawn(): a child makes the mapping, and owns it until it is killed. */
static bool map_as_owner(void *a)
{
	return map_dma(a);
}

/*
 * A child maps the place and is killed. Stock vfio-pci holds a reference to a process's
 * mm while it zaps the process's mmap of the device. If the child ends just then, its
 * memory stays mapped until that call is over. target_hold() waits for the end of such
 * a call.
 */
static void take_owner(struct actor *a)
{
	pid_t pid;

	unmap_dma(a);
	pid = proc_spawn(map_as_owner, a);
	if (pid < 0) {
		if (!stress.stop)
			broken(a, "the process that maps does not: %s", strerror(-pid));
		return;
	}
	usleep(random_below(&a->random, 4000));
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		must(a, -errno, 0, "waitpid");
	target_hold();
	target_release();
	expect_nothing(a, "the process was killed");
}

static void (*const ways[])(struct actor *a) = {
	take_munmap, take_half, take_pieces, take_by_mmap, take_by_mprotect,
	take_dma, take_owner, move_vaddr, take_by_mremap,
};

void place_begin(struct actor *a)
{
	struct place *p = calloc(1, sizeof(*p));

	if (!p) {
		must(a, -ENOMEM, 0, "calloc");
		return;
	}
	a->own = p;
	p->bar = a->slot * 32 * MIB + random_below(&a->random, 4) * 3 * PAGE;
	p->map = ARENA(a->slot, 0) + random_below(&a->random, 2) * PAGE;
	if (map_mmap(a, p->map))
		map_dma(a);
}

/* Each step ends with the place mmapped and mapped for DMA anew. */
void place_step(struct actor *a)
{
	struct place *p = a->own;
	/* On 6.1 leave out the last way, mremap(), of which that kernel warns. */
	size_t n = sizeof(ways) / sizeof(ways[0]) - stress.old_kernel;

	aim(a, 0, LEN);
	if (random_percent(&a->random, 40))
		expect_return(a, "it was mapped");
	else
		usleep(random_below(&a->random, 4000));
	ways[random_below(&a->random, n)](a);
	if (stress.stop)
		return;
	doing(a, "mapping it again");
	unmap_dma(a);
	if (map_mmap(a, p->map))
		map_dma(a);
}

void place_end(struct actor *a)
{
	struct place *p = a->own;

	slot_aim(a->slot, UINT64_MAX);
	if (!p)
		return;
	vfio_dma_unmap(&stress.container, IOVA_SLOT(a->slot), LEN, NULL);
	give_back(a, p->map, LEN);
	free(p);
}
