// SPDX-License-Identifier: GPL-2.0-only
/*
 * Allocates RAM of several kinds: see memory.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memory.h"
#include "proc.h"
#include "vfio.h"

#define PAGE		4096UL
#define MIB2		(2UL << 20)
#define ALIASED		(256UL << 20)

static int reserve(struct memory *m, size_t size)
{
	m->size = size;
	m->at = vfio_reserve(size, MIB2, 0);
	if (!m->at)
		return -errno;
	return mprotect(m->at, size, PROT_READ | PROT_WRITE) ? -errno : 0;
}

static void touch(char *at, size_t size)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		at[i] = 1;
}

static int get_pages(struct memory *m, size_t size, int advice, bool touched)
{
	int ret = reserve(m, size);

	if (ret)
		return ret;
	if (madvise(m->at, size, advice))
		return -errno;
	if (touched)
		touch(m->at, size);
	return 0;
}

static int get_thp(struct memory *m, size_t size)
{
	char path[] = "/proc/self/smaps_rollup", text[4096], *line;
	int ret;

	proc_write_file("/proc/sys/vm/compact_memory", "1");
	ret = get_pages(m, size, MADV_HUGEPAGE, true);
	if (!ret)
		ret = proc_read_file(path, text, sizeof(text));
	if (ret)
		return ret;
	line = strstr(text, "AnonHugePages:");
	if (!line || strtoul(line + 14, NULL, 10) < size >> 10)
		return -ENOTSUP;
	return 0;
}

static int get_hugetlb(struct memory *m, size_t size, unsigned int shift)
{
	char path[96], number[24];
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | shift << MAP_HUGE_SHIFT;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
		 1UL << (shift - 10));
	snprintf(number, sizeof(number), "%zu", size >> shift);
	proc_write_file("/proc/sys/vm/compact_memory", "1");
	if (proc_write_file(path, number))
		return -ENOTSUP;
	m->size = size;
	m->at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	if (m->at == MAP_FAILED) {
		m->at = NULL;
		return -ENOTSUP;
	}
	touch(m->at, size);
	return 0;
}

/* The share of pages that are not adjacent in RAM to the page before them. */
static double scatter(const struct memory *m)
{
	size_t i, n = m->size / PAGE, apart = 0;
	uint64_t frame = 0, last;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	for (i = 0; fd >= 0 && i < n; i++) {
		last = frame;
		if (pread(fd, &frame, sizeof(frame),
			  ((uintptr_t)m->at / PAGE + i) * sizeof(frame)) != sizeof(frame))
			break;
		apart += frame != last + 1;
	}
	if (fd >= 0)
		close(fd);
	return (double)apart / n;
}

/*
 * The kernel hands out pages that are adjacent in RAM, one by one. So this takes them
 * in turn for m->at and for m->between, which keeps the pages between those of m->at.
 */
static int get_scattered(struct memory *m, size_t size)
{
	struct memory between = {};
	size_t i;
	int ret;

	ret = get_pages(m, size, MADV_NOHUGEPAGE, false);
	if (!ret)
		ret = get_pages(&between, size, MADV_NOHUGEPAGE, false);
	m->between = between.at;
	if (ret)
		return ret;
	for (i = 0; i < size; i += PAGE) {
		m->at[i] = 1;
		m->between[i] = 1;
	}
	return scatter(m) < 0.9 ? -ENOTSUP : 0;
}

static int get_aliased(struct memory *m, size_t size)
{
	int fd = memfd_create("bench", MFD_CLOEXEC);
	int ret = reserve(m, size);
	size_t i;

	if (fd < 0)
		return -errno;
	if (!ret && ftruncate(fd, ALIASED))
		ret = -errno;
	for (i = 0; !ret && i < size; i += ALIASED) {
		if (mmap(m->at + i, ALIASED, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)
			ret = -errno;
		else
			touch(m->at + i, ALIASED);
	}
	close(fd);
	return ret;
}

int memory_get(struct memory *m, enum memory_kind kind, size_t size)
{
	*m = (struct memory){};
	switch (kind) {
	case MEMORY_PAGES:
		return get_pages(m, size, MADV_NOHUGEPAGE, true);
	case MEMORY_SCATTERED:
		return get_scattered(m, size);
	case MEMORY_THP:
		return get_thp(m, size);
	case MEMORY_HUGETLB_2M:
		return get_hugetlb(m, size, 21);
	case MEMORY_HUGETLB_1G:
		return get_hugetlb(m, size, 30);
	case MEMORY_ALIASED:
		return get_aliased(m, size);
	case MEMORY_UNTOUCHED:
		return get_pages(m, size, MADV_NOHUGEPAGE, false);
	case MEMORY_UNTOUCHED_THP:
		return get_pages(m, size, MADV_HUGEPAGE, false);
	}
	return -EINVAL;
}

void memory_put(struct memory *m)
{
	if (m->at)
		munmap(m->at, m->size);
	if (m->between)
		munmap(m->between, m->size);
	*m = (struct memory){};
}
