// SPDX-License-Identifier: GPL-2.0-only
/*
 * Generates random calls. Most are valid or have one or two wrong values, since a call
 * that the kernel refuses at once reaches little code.
 */
#include <linux/vfio.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"

#define PAGES	(ARENA_LEN / PAGE)

static const uint64_t odd_numbers[] = {
	0, 1, 7, PAGE - 1, PAGE, PAGE + 1, 1ULL << 20, 1ULL << 31, 1ULL << 32,
	1ULL << 39, 1ULL << 48, 1ULL << 63, ~0ULL, ~0ULL - PAGE + 1,
	0xffff888000000000ULL, 0xffffffff81000000ULL, 0xfee00000ULL,
	0x7ffffffff000ULL, ARENA, ARENA + ARENA_LEN - PAGE,
};

static uint64_t odd(struct random *r)
{
	return random_percent(r, 70) ? random_pick(r, odd_numbers) :
				       random_next(r) >> random_below(r, 64);
}

/* The right value most of the time, else a wrong one. */
static uint64_t flawed(struct random *r, uint64_t right)
{
	return random_percent(r, 94) ? right : odd(r);
}

static uint64_t pages(struct random *r)
{
	static const uint64_t few[] = { 1, 1, 1, 2, 3, 8, 64, 512, 513, 1024 };

	return random_pick(r, few);
}

static uint64_t page(struct random *r)
{
	uint64_t n = random_below(r, PAGES);

	return random_percent(r, 50) ? n & ~511ULL : n;
}

/* One of 16 IOVAs, so that many calls use the IOVA of an earlier call. */
static uint64_t iova(struct random *r)
{
	return (1ULL << 37) + random_below(r, 16) * (64 * PAGE);
}

static uint32_t argsz(struct random *r, size_t right)
{
	return flawed(r, random_percent(r, 95) ? right : right - 1);
}

static void map_dma(struct call *call, struct random *r)
{
	static const uint32_t flags[] = { 1, 2, 3, 3, 3, 4, 0, 7, 8 };
	struct vfio_iommu_type1_dma_map m = {
		.argsz = argsz(r, sizeof(m)),
		.flags = flawed(r, random_pick(r, flags)),
		.vaddr = flawed(r, ARENA + page(r) * PAGE),
		.iova = flawed(r, iova(r)),
		.size = flawed(r, pages(r) * PAGE),
	};

	call->b = VFIO_IOMMU_MAP_DMA;
	memcpy(call->data, &m, sizeof(m));
}

static void unmap_dma(struct call *call, struct random *r)
{
	static const uint32_t flags[] = { 0, 0, 0, 0, 1, 1, 2, 4, 4, 6, 8 };
	struct vfio_iommu_type1_dma_unmap u = {
		.argsz = argsz(r, sizeof(u)),
		.flags = flawed(r, random_pick(r, flags)),
		.iova = flawed(r, iova(r)),
		.size = flawed(r, pages(r) * PAGE),
	};
	struct vfio_bitmap bitmap = {
		.pgsize = flawed(r, PAGE),
		.size = flawed(r, 4096),
		.data = (void *)flawed(r, ARENA + page(r) * PAGE),
	};

	if (u.flags & 1)
		u.argsz = argsz(r, sizeof(u) + sizeof(bitmap));
	if (u.flags & 2 && random_percent(r, 80)) {
		u.iova = 0;
		u.size = 0;
	}
	call->b = VFIO_IOMMU_UNMAP_DMA;
	memcpy(call->data, &u, sizeof(u));
	memcpy(call->data + sizeof(u), &bitmap, sizeof(bitmap));
}

static void dirty_pages(struct call *call, struct random *r)
{
	static const uint32_t flags[] = { 1, 1, 2, 4, 4, 4, 0, 3, 8 };
	struct {
		struct vfio_iommu_type1_dirty_bitmap d;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.d.argsz = argsz(r, sizeof(arg)),
		.d.flags = flawed(r, random_pick(r, flags)),
		.get.iova = flawed(r, iova(r)),
		.get.size = flawed(r, pages(r) * PAGE),
		.get.bitmap.pgsize = flawed(r, PAGE),
		.get.bitmap.size = flawed(r, 4096),
		.get.bitmap.data = (void *)flawed(r, ARENA + page(r) * PAGE),
	};

	call->b = VFIO_IOMMU_DIRTY_PAGES;
	memcpy(call->data, &arg, sizeof(arg));
}

static void get_info(struct call *call, struct random *r)
{
	uint32_t size = argsz(r, random_percent(r, 50) ? 24 : DATA);

	call->b = VFIO_IOMMU_GET_INFO;
	memcpy(call->data, &size, sizeof(size));
}

static void any_ioctl(struct call *call, struct random *r)
{
	size_t i;

	call->b = VFIO_GET_API_VERSION + random_below(r, 24);
	for (i = 0; i < DATA; i += 8)
		*(uint64_t *)(call->data + i) = odd(r);
}

/*
 * Mostly the first container, so that most calls work on the mappings of earlier ones.
 */
static uint64_t any_container(struct random *r)
{
	return random_percent(r, 80) ? FD_CONTAINER : FD_CONTAINER2;
}

static void generate_ioctl(struct call *call, struct random *r)
{
	call->a = random_percent(r, 97) ? any_container(r) : random_below(r, FDS);
	call->c = random_percent(r, 95) ? AT_BUFFER : random_below(r, PLACES);
	switch (random_below(r, 16)) {
	case 0:
		get_info(call, r);
		break;
	case 1:
		any_ioctl(call, r);
		break;
	case 2 ... 4:
		dirty_pages(call, r);
		break;
	case 5 ... 9:
		unmap_dma(call, r);
		break;
	default:
		map_dma(call, r);
	}
}

static void generate_bare(struct call *call, struct random *r)
{
	static const uint64_t requests[] = {
		VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_UNSET_CONTAINER,
		VFIO_SET_IOMMU, VFIO_CHECK_EXTENSION, VFIO_CHECK_EXTENSION,
		VFIO_DEVICE_RESET,
	};

	call->b = random_pick(r, requests);
	call->a = call->b == VFIO_SET_IOMMU || call->b == VFIO_CHECK_EXTENSION ?
		  any_container(r) : call->b == VFIO_DEVICE_RESET ? FD_DEVICE :
		  random_percent(r, 70) ? FD_GROUP2 : FD_GROUP3;
	call->a = random_percent(r, 95) ? call->a : random_below(r, FDS);
	call->c = flawed(r, random_below(r, 12));
}

static void generate_mmap(struct call *call, struct random *r)
{
	static const uint8_t memories[] = {
		MEMORY_DEVICE, MEMORY_DEVICE, MEMORY_DEVICE, MEMORY_DEVICE,
		MEMORY_ANONYMOUS, MEMORY_ANONYMOUS, MEMORY_HUGETLB, MEMORY_MEMFD,
		MEMORY_FILE, MEMORY_SERVED,
	};

	call->d = random_pick(r, memories);
	if (random_percent(r, 50))
		call->c |= 4;
}

/*
 * Moves memory to a page of the arena, anywhere or nowhere, and may change its length.
 */
static void generate_mremap(struct call *call, struct random *r)
{
	static const uint8_t ways[] = {
		MOVE_FRESH | MOVE_HERE, MOVE_FRESH | MOVE_HERE, MOVE_HERE, MOVE_HERE,
		MOVE_HERE | MOVE_LEAVE, MOVE_ANYWHERE, MOVE_ANYWHERE | MOVE_LEAVE, 0, 0,
	};

	call->c = page(r);
	call->d = random_percent(r, 50) ? call->b : pages(r);
	call->data[0] = random_pick(r, ways);
}

static void generate_fork(struct call *call, struct random *r)
{
	map_dma(call, r);
	call->a = random_below(r, CHILD_ENDS);
	call->b = random_percent(r, 60);
	call->c = any_container(r);
}

void call_generate(struct call *call, struct random *r)
{
	static const uint8_t kinds[] = {
		CALL_IOCTL, CALL_IOCTL, CALL_IOCTL, CALL_IOCTL, CALL_IOCTL,
		CALL_IOCTL, CALL_IOCTL_BARE, CALL_MMAP, CALL_MMAP, CALL_MMAP,
		CALL_MUNMAP, CALL_MPROTECT, CALL_MREMAP, CALL_MADVISE,
		CALL_DECODING, CALL_DECODING, CALL_FORK,
	};
	static const uint8_t advice[] = {
		MADV_DONTNEED, MADV_DONTNEED, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	/* Calls that take long, or after which few calls succeed. */
	static const uint8_t seldom[] = {
		CALL_RESET, CALL_HOT_RESET, CALL_LOW_POWER, CALL_LOW_POWER,
		CALL_REOPEN, CALL_REOPEN,
	};

	memset(call, 0, sizeof(*call));
	call->kind = random_percent(r, 97) ? random_pick(r, kinds) :
					     random_pick(r, seldom);
	call->a = page(r);
	call->b = pages(r);
	call->d = random_below(r, 4);
	switch (call->kind) {
	case CALL_IOCTL:
		generate_ioctl(call, r);
		break;
	case CALL_IOCTL_BARE:
		generate_bare(call, r);
		break;
	case CALL_MREMAP:
		generate_mremap(call, r);
		break;
	case CALL_LOW_POWER:
		call->a = random_below(r, 2);
		break;
	case CALL_REOPEN:
		call->a = random_below(r, 2);
		call->d = random_percent(r, 80);
		break;
	case CALL_FORK:
		generate_fork(call, r);
		break;
	case CALL_MADVISE:
		call->c = random_percent(r, 70) ? random_pick(r, advice) :
						  random_below(r, 26);
		break;
	default:
		call->c = random_percent(r, 70) ? PROT_READ | PROT_WRITE :
						  random_below(r, 4);
	}
	if (call->kind == CALL_MMAP)
		generate_mmap(call, r);
}

/* Changes one argument of the call, or one bit or 4 bytes of its struct. */
void call_mutate(struct call *call, struct random *r)
{
	uint64_t *fields[] = { &call->a, &call->b, &call->c, &call->d };

	if (call->kind == CALL_IOCTL && random_percent(r, 80)) {
		size_t at = random_below(r, DATA / 4) * 4;
		uint64_t value = odd(r);

		if (random_percent(r, 50))
			call->data[at + random_below(r, 4)] ^=
				1 << random_below(r, 8);
		else
			memcpy(call->data + at, &value, 4);
	} else if (call->kind != CALL_IOCTL && call->kind != CALL_IOCTL_BARE) {
		*fields[random_below(r, 2)] = random_below(r, 512);
	} else {
		*fields[2] = odd(r);
	}
}

void call_print(FILE *f, const struct call *call)
{
	size_t i;

	fprintf(f, "call %u %#lx %#lx %#lx %#lx ", call->kind, call->a, call->b,
		call->c, call->d);
	for (i = 0; i < DATA; i++)
		fprintf(f, "%02x", call->data[i]);
	fprintf(f, "\n");
}

bool call_parse(const char *line, struct call *call)
{
	unsigned int kind, byte;
	int at;
	size_t i;

	if (sscanf(line, "call %u %lx %lx %lx %lx %n", &kind, &call->a, &call->b,
		   &call->c, &call->d, &at) != 5 || kind >= CALL_KINDS)
		return false;
	call->kind = kind;
	for (i = 0; i < DATA; i++) {
		if (sscanf(line + at + 2 * i, "%2x", &byte) != 1)
			return false;
		call->data[i] = byte;
	}
	return true;
}
