// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory that an episode's process maps for DMA: see memory.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memory.h"
#include "random.h"

#define MARK		16
#define RW		(PROT_READ | PROT_WRITE)

static int file = -1;	/* as long as the arena; a page has the same offset in both */
static int self = -1;	/* /proc/self/mem */

struct layout {
	int prot, flags;
	bool file, touched;
};

static const struct layout layouts[MEMORIES] = {
	[MEM_ANON] = { RW, MAP_PRIVATE, .touched = true },
	[MEM_ANON_UNTOUCHED] = { RW, MAP_PRIVATE },
	[MEM_ANON_READONLY] = { PROT_READ, MAP_PRIVATE, .touched = true },
	[MEM_ANON_UNTOUCHED_READONLY] = { PROT_READ, MAP_PRIVATE },
	[MEM_SHARED_ANON] = { RW, MAP_SHARED },
	[MEM_SHARED_FILE] = { RW, MAP_SHARED, .file = true },
	[MEM_SHARED_FILE_READONLY] = { PROT_READ, MAP_SHARED, .file = true },
	[MEM_PRIVATE_FILE] = { RW, MAP_PRIVATE, .file = true },
	[MEM_PRIVATE_FILE_READONLY] = { PROT_READ, MAP_PRIVATE, .file = true },
	[MEM_PAST_END_OF_FILE] = { RW, MAP_SHARED, .file = true },
	[MEM_NONE] = { PROT_NONE, MAP_PRIVATE },
};

/* Gives every page its own first bytes, so that a wrong page is noticed. */
static void mark_pages(uint64_t addr, uint64_t len)
{
	uint64_t at;

	for (at = addr; at < addr + len; at += PAGE)
		*(uint64_t *)at = random_mix(at);
}

int memory_map(uint64_t addr, uint64_t len, enum memory memory)
{
	const struct layout *l = &layouts[memory];
	off_t offset = 0;
	void *map;

	if (memory == MEM_HOLE)
		return munmap((void *)addr, len) ? -errno : 0;
	if (l->file) {
		offset = addr - ARENA;
		if (memory == MEM_PAST_END_OF_FILE)
			offset += ARENA_PAGES * PAGE;
	}
	map = mmap((void *)addr, len, l->touched ? RW : l->prot,
		   l->flags | MAP_FIXED | (l->file ? 0 : MAP_ANONYMOUS),
		   l->file ? file : -1, offset);
	if (map == MAP_FAILED)
		return -errno;
	if (l->touched) {
		mark_pages(addr, len);
		if (l->prot != RW && mprotect(map, len, l->prot))
			return -errno;
	}
	return 0;
}

int memory_touch(uint64_t addr, uint64_t value)
{
	struct iovec from = { &value, sizeof(value) };
	struct iovec to = { (void *)addr, sizeof(value) };

	/* Writes as a store by the CPU does, but fails with an error instead of a signal. */
	if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) < 0)
		return -errno;
	return 0;
}

static int map_huge(void)
{
	void *map = mmap((void *)THP, HUGE_LEN, RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (map == MAP_FAILED || madvise(map, HUGE_LEN, MADV_HUGEPAGE))
		return -errno;
	*(uint64_t *)THP = THP;
	map = mmap((void *)HUGETLB, HUGE_LEN, RW,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB, -1, 0);
	return map == MAP_FAILED ? -errno : 0;
}

static int open_file(void)
{
	uint64_t page, value;

	file = memfd_create("arena", MFD_CLOEXEC);
	self = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	if (file < 0 || self < 0 || ftruncate(file, ARENA_PAGES * PAGE))
		return -errno;
	/* Some pages are in the page cache, some are holes. */
	for (page = 0; page < ARENA_PAGES; page += 3) {
		value = random_mix(page);
		if (pwrite(file, &value, sizeof(value), page * PAGE) < 0)
			return -errno;
	}
	return 0;
}

int memory_setup(const struct episode *e)
{
	unsigned int i;
	int ret = open_file();

	for (i = 0; !ret && i < ARENA_SEGMENTS; i++)
		ret = memory_map(ARENA + i * SEGMENT_PAGES * PAGE,
				 SEGMENT_PAGES * PAGE, e->arena[i]);
	if (!ret && e->huge)
		ret = map_huge();
	return ret;
}

/*
 * Does the page at addr begin with mark? If so, wipes the mark. Uses /proc/self/mem,
 * which raises no signal, and can read memory that is PROT_NONE.
 */
static bool take_mark(uint64_t addr, const void *mark)
{
	static const char nothing[MARK];
	char found[MARK];

	if (pread(self, found, MARK, addr) != MARK || memcmp(found, mark, MARK))
		return false;
	/* May fail (shared, read-only): then both backends find the mark again. */
	if (pwrite(self, nothing, MARK, addr) < 0)
		errno = 0;
	return true;
}

static uint64_t find_in(uint64_t from, uint64_t pages, const void *mark,
			uint64_t *count)
{
	uint64_t at, digest = 0;

	for (at = from; at < from + pages * PAGE; at += PAGE) {
		if (!take_mark(at, mark))
			continue;
		digest = random_mix(digest ^ at);
		++*count;
	}
	return digest;
}

uint64_t memory_find_mark(const void *mark, uint64_t *count)
{
	*count = 0;
	return find_in(ARENA, ARENA_PAGES, mark, count) ^
	       find_in(THP, 2, mark, count) ^
	       find_in(HUGETLB, 2, mark, count);
}
