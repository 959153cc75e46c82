// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM: devices reach memory that is mapped, and no other memory. MAP_DMA pins each page
 * and charges it to the process; UNMAP_DMA undoes both.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "common.h"
#include "edu.h"
#include "fault.h"
#include "nvme.h"
#include "proc.h"
#include "target.h"

#define LEN	512	/* bytes of one edu transfer here */

static struct vfio_container container;
static struct edu edu;
static struct nvme nvme;
static struct fault_log faults;
static uint8_t pattern[LEN];

static int open_all(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	ok(nvme_open(&nvme, &container, NVME, IOVA_NVME));
	ok(fault_open(&faults));
	return 0;
}

static int close_all(void **state)
{
	fault_close(&faults);
	nvme_close(&nvme);
	edu_close(&edu);
	vfio_container_close(&container);
	return 0;
}

static int setup(void **state)
{
	target_pattern(pattern, LEN);
	fault_drain(&faults);
	return 0;
}

/* Unmap all: mappings that a failed test has left behind would fail the next test. */
static int teardown(void **state)
{
	return vfio_dma_unmap(&container, IOVA, 1ULL << 36, NULL);
}

static uint8_t *anonymous(size_t len)
{
	uint8_t *mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	return mem;
}

/* Does a DMA write to iova arrive at mem? */
static bool arrives(uint64_t iova, uint8_t *mem)
{
	memset(mem, 0, NVME_IDENTIFY_LEN);
	ok(nvme_identify(&nvme, iova));
	return !memcmp(mem, nvme.identity, NVME_IDENTIFY_LEN);
}

static void dma_writes_reach_mapped_memory(void **state)
{
	uint8_t *mem = anonymous(2 * PAGE);

	ok(vfio_dma_map(&container, mem, IOVA, 2 * PAGE, VFIO_DMA_RW));
	ok(edu_write(&edu, IOVA + PAGE - 100, pattern, LEN));
	assert_memory_equal(mem + PAGE - 100, pattern, LEN);
	assert_true(arrives(IOVA + PAGE, mem + PAGE));
	ok(vfio_dma_unmap(&container, IOVA, 2 * PAGE, NULL));
	munmap(mem, 2 * PAGE);
}

static void dma_reads_mapped_memory(void **state)
{
	uint8_t *mem = anonymous(PAGE), got[LEN];

	memcpy(mem + 40, pattern, LEN);
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RO));
	ok(edu_read(&edu, IOVA + 40, got, LEN));
	assert_memory_equal(got, pattern, LEN);
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	munmap(mem, PAGE);
}

static void dma_to_an_unmapped_address_faults(void **state)
{
	ok(edu_store(&edu, IOVA, LEN));
	ok(fault_wait(&faults, EDU_A, IOVA, true, FAULT_MS));
	ok(edu_fetch(&edu, IOVA + PAGE, LEN));
	ok(fault_wait(&faults, EDU_A, IOVA + PAGE, false, FAULT_MS));
	ok(nvme_identify(&nvme, IOVA + 2 * PAGE));
	ok(fault_wait(&faults, NVME, IOVA + 2 * PAGE, true, FAULT_MS));
}

static void read_only_mapping_stops_writes(void **state)
{
	uint8_t *mem = anonymous(PAGE), before[PAGE];

	target_pattern(mem, PAGE);
	memcpy(before, mem, PAGE);
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RO));
	ok(edu_write(&edu, IOVA, pattern, LEN));
	ok(fault_wait(&faults, EDU_A, IOVA, true, FAULT_MS));
	assert_memory_equal(mem, before, PAGE);
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	munmap(mem, PAGE);
}

/* This does not check that reads are stopped: stock 6.1's VT-d driver permits them. */
static void write_only_mapping_lets_writes_in(void **state)
{
	uint8_t *mem = anonymous(PAGE);

	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_WO));
	assert_true(arrives(IOVA, mem));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	munmap(mem, PAGE);
}

static void unmapping_ends_dma(void **state)
{
	uint8_t *mem = anonymous(PAGE);

	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RW));
	assert_true(arrives(IOVA, mem));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	assert_false(arrives(IOVA, mem));
	ok(fault_wait(&faults, NVME, IOVA, true, FAULT_MS));
	munmap(mem, PAGE);
}

static void locked_memory_is_accounted_and_given_back(void **state)
{
	uint8_t *mem = anonymous(64 * MIB);
	long before = proc_status_kb(0, "VmLck");

	ok(vfio_dma_map(&container, mem, IOVA, 64 * MIB, VFIO_DMA_RW));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + 64 * 1024);
	ok(vfio_dma_map(&container, mem, IOVA + 64 * MIB, MIB, VFIO_DMA_RW));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + 65 * 1024);
	ok(vfio_dma_unmap(&container, IOVA, 64 * MIB, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + 1024);
	ok(vfio_dma_unmap(&container, IOVA + 64 * MIB, MIB, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), before);
	munmap(mem, 64 * MIB);
}

/* Runs in a child, where cmocka's asserts do not work: the result tells what failed. */
static int over_the_limit(void *arg)
{
	uint8_t *mem = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long before = proc_status_kb(0, "VmLck");

	(void)arg;
	if (mem == MAP_FAILED || before < 0)
		return 1;
	if (vfio_dma_map(&container, mem, IOVA, MIB + PAGE,
			 VFIO_DMA_RW) != -ENOMEM)
		return 2;
	if (proc_status_kb(0, "VmLck") != before)
		return 3;
	/* The refused mapping has left nothing behind, and exactly the limit is allowed. */
	if (vfio_dma_map(&container, mem, IOVA, MIB, VFIO_DMA_RW))
		return 4;
	if (proc_status_kb(0, "VmLck") != before + 1024)
		return 5;
	if (vfio_dma_map(&container, mem + MIB, IOVA + MIB, PAGE,
			 VFIO_DMA_RW) != -ENOMEM)
		return 6;
	if (vfio_dma_unmap(&container, IOVA, MIB, NULL))
		return 7;
	if (proc_status_kb(0, "VmLck") != before)
		return 8;
	return 0;
}

static void memlock_limit_holds_without_the_capability(void **state)
{
	assert_int_equal(proc_run_unprivileged(MIB, over_the_limit, NULL), 0);
	/* The IOMMU has no entries of the refused mapping. */
	ok(nvme_identify(&nvme, IOVA));
	ok(fault_wait(&faults, NVME, IOVA, true, FAULT_MS));
}

static void every_pinned_page_is_unpinned(void **state)
{
	uint8_t *mem = anonymous(128 * MIB);
	long before = proc_pages_pinned();

	ok(vfio_dma_map(&container, mem, IOVA, 128 * MIB, VFIO_DMA_RW));
	assert_int_equal(proc_pages_pinned() - before, 128 * MIB / PAGE);
	ok(vfio_dma_unmap(&container, IOVA, 128 * MIB, NULL));
	assert_int_equal(proc_pages_pinned(), before);
	munmap(mem, 128 * MIB);
}

static void memory_returns_to_the_system(void **state)
{
	long before = proc_meminfo_kb("MemFree"), now_kb;
	long pins = proc_pages_pinned();
	size_t len = 256 * MIB / patience();
	int i;

	for (i = 0; i < 8; i++) {
		uint8_t *mem = anonymous(len);

		ok(vfio_dma_map(&container, mem, IOVA, len, VFIO_DMA_RW));
		munmap(mem, len);
		assert_int_equal(proc_pages_pinned(), pins + (long)(len / PAGE));
		ok(vfio_dma_unmap(&container, IOVA, len, NULL));
	}
	now_kb = proc_meminfo_kb("MemFree");
	if (now_kb < before - 64 * 1024)
		broken("%ld MiB lost", (before - now_kb) / 1024);
}

/* Maps mem at IOVA and checks that DMA reaches its first, middle and last page. */
static void check_kind(uint8_t *mem, size_t len)
{
	size_t middle = len / 2 & ~(PAGE - 1);
	long before = proc_pages_pinned();
	uint64_t unmapped = 0;

	ok(vfio_dma_map(&container, mem, IOVA, len, VFIO_DMA_RW));
	assert_true(arrives(IOVA, mem));
	assert_true(arrives(IOVA + middle, mem + middle));
	assert_true(arrives(IOVA + len - PAGE, mem + len - PAGE));
	ok(vfio_dma_unmap(&container, IOVA, len, &unmapped));
	assert_int_equal(unmapped, len);
	assert_int_equal(proc_pages_pinned(), before);
}

static void shared_memory_can_be_mapped(void **state)
{
	int fd = memfd_create("shared", 0);
	uint8_t *mem;

	assert_int_equal(ftruncate(fd, 8 * MIB), 0);
	mem = mmap(NULL, 8 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	check_kind(mem, 8 * MIB);
	munmap(mem, 8 * MIB);
	close(fd);
}

static void private_file_memory_is_copied_before_dma(void **state)
{
	uint8_t byte = 0, *mem;
	int fd = open("/tmp/private", O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(ftruncate(fd, MIB), 0);
	mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	check_kind(mem, MIB);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
	munmap(mem, MIB);
	close(fd);
	unlink("/tmp/private");
}

/*
 * Maps hugetlb memory at @at, or anywhere if @at is NULL, from the reserved huge pages.
 */
static uint8_t *hugetlb(void *at, size_t len)
{
	uint8_t *mem = mmap(at, len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
			    (at ? MAP_FIXED : 0), -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	return mem;
}

static void hugetlb_memory_can_be_mapped(void **state)
{
	uint8_t *mem;

	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "8"));
	mem = hugetlb(NULL, 16 * MIB);
	check_kind(mem, 16 * MIB);
	/* Start and end inside two different huge pages, then inside the same one. */
	check_kind(mem + MIB + PAGE, 3 * MIB);
	check_kind(mem + PAGE, MIB);
	munmap(mem, 16 * MIB);
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

static void hugetlb_between_other_memory_can_be_mapped(void **state)
{
	uint8_t *mem = vfio_reserve(8 * MIB, 2 * MIB, 0);
	size_t i;

	assert_non_null(mem);
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "2"));
	assert_int_equal(mprotect(mem, 8 * MIB, PROT_READ | PROT_WRITE), 0);
	hugetlb(mem + 2 * MIB, 4 * MIB);
	check_kind(mem, 8 * MIB);
	/*
	 * From huge pages on into small ones, and from small pages on into huge ones.
	 */
	check_kind(mem + 3 * MIB, 5 * MIB);
	check_kind(mem + MIB, 3 * MIB);
	ok(vfio_dma_map(&container, mem, IOVA, 8 * MIB, VFIO_DMA_RW));
	for (i = 0; i < 8 * MIB; i += MIB / 2)
		assert_true(arrives(IOVA + i, mem + i));
	ok(vfio_dma_unmap(&container, IOVA, 8 * MIB, NULL));
	munmap(mem, 8 * MIB);
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

/*
 * munmap() must not free a page that is mapped for DMA; UNMAP_DMA has to free them all.
 */
static void hugetlb_memory_is_kept_until_unmap(void **state)
{
	struct fault fault;
	uint8_t *mem;

	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "4"));
	mem = hugetlb(NULL, 8 * MIB);
	ok(vfio_dma_map(&container, mem + MIB, IOVA, 6 * MIB, VFIO_DMA_RW));
	munmap(mem, 8 * MIB);
	assert_int_equal(proc_meminfo_kb("HugePages_Free"), 0);
	ok(nvme_identify(&nvme, IOVA));
	ok(nvme_identify(&nvme, IOVA + 6 * MIB - PAGE));
	assert_int_equal(fault_next(&faults, &fault, 100), -ETIMEDOUT);
	ok(vfio_dma_unmap(&container, IOVA, 6 * MIB, NULL));
	assert_int_equal(proc_meminfo_kb("HugePages_Free"), 4);
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

static void transparent_huge_pages_can_be_mapped(void **state)
{
	uint8_t *mem = vfio_reserve(16 * MIB, 2 * MIB, 0);

	assert_non_null(mem);
	assert_int_equal(mprotect(mem, 16 * MIB, PROT_READ | PROT_WRITE), 0);
	want_huge_pages(mem, 16 * MIB);
	memset(mem, 1, 16 * MIB);
	check_kind(mem, 16 * MIB);
	/* A piece that starts and ends inside huge pages. */
	check_kind(mem + MIB + PAGE, 3 * MIB);
	munmap(mem, 16 * MIB);
}

/* mmaps a file's pages in reverse order, one VMA each, so that none are adjacent. */
static void map_backwards(uint8_t *mem, size_t len, int fd)
{
	size_t at;

	for (at = 0; at < len; at += PAGE)
		assert_ptr_equal(mmap(mem + at, PAGE, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd,
				      len - PAGE - at), mem + at);
}

static void scattered_memory_can_be_mapped(void **state)
{
	size_t pages = 512, len = pages * PAGE, i;
	int fd = memfd_create("scattered", 0);
	uint8_t *mem = vfio_reserve(len, PAGE, 0);
	uint8_t *file;

	assert_non_null(mem);
	assert_int_equal(ftruncate(fd, len), 0);
	map_backwards(mem, len, fd);
	file = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(file, MAP_FAILED);
	ok(vfio_dma_map(&container, mem, IOVA, len, VFIO_DMA_RW));
	for (i = 0; i < pages; i++) {
		memset(file, 0, len);
		ok(nvme_identify(&nvme, IOVA + i * PAGE));
		assert_memory_equal(file + (pages - 1 - i) * PAGE,
				    nvme.identity, PAGE);
	}
	ok(vfio_dma_unmap(&container, IOVA, len, NULL));
	munmap(file, len);
	munmap(mem, len);
	close(fd);
}

/*
 * There is so much scattered memory that tether does not remember its pages, but reads
 * them back from the IOMMU's tables, in steps, when it unmaps them. The huge pages
 * behind that memory do not begin at the start of a step.
 */
static void huge_pages_in_scattered_memory_are_unpinned(void **state)
{
	/* Fewer pages on debug kernels, which check all VMAs at every mmap(). */
	const size_t scattered = (patience() > 1 ? 15 : 59) * MIB;
	const size_t huge = (patience() > 1 ? 64 : 256) * MIB;
	uint8_t *mem = vfio_reserve(scattered + huge, 2 * MIB, MIB);
	long before = proc_pages_pinned();
	int fd = memfd_create("scattered", 0);

	assert_int_equal(ftruncate(fd, scattered), 0);
	assert_ptr_equal(mmap(mem, scattered + huge, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), mem);
	map_backwards(mem, scattered, fd);
	madvise(mem + scattered, huge, MADV_HUGEPAGE);
	memset(mem + scattered, 1, huge);
	ok(vfio_dma_map(&container, mem, IOVA + MIB, scattered + huge,
			VFIO_DMA_RO));
	ok(vfio_dma_unmap(&container, IOVA + MIB, scattered + huge, NULL));
	assert_int_equal(proc_pages_pinned(), before);
	munmap(mem, scattered + huge);
	close(fd);
}

static void a_hole_is_refused_and_leaves_nothing(void **state)
{
	uint8_t *mem = anonymous(16 * PAGE);
	long locked = proc_status_kb(0, "VmLck"), pinned = proc_pages_pinned();

	munmap(mem + 8 * PAGE, PAGE);
	refused(EFAULT, vfio_dma_map(&container, mem, IOVA, 16 * PAGE,
				     VFIO_DMA_RW));
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_false(arrives(IOVA, mem));
	ok(fault_wait(&faults, NVME, IOVA, true, FAULT_MS));
	ok(vfio_dma_map(&container, mem, IOVA, 8 * PAGE, VFIO_DMA_RW));
	assert_true(arrives(IOVA + 7 * PAGE, mem + 7 * PAGE));
	ok(vfio_dma_unmap(&container, IOVA, 8 * PAGE, NULL));
	munmap(mem, 16 * PAGE);
}

static void read_only_memory_is_not_mapped_for_writing(void **state)
{
	uint8_t *mem = anonymous(2 * PAGE), got[LEN];
	long pinned = proc_pages_pinned();

	memcpy(mem + PAGE, pattern, LEN);
	assert_int_equal(mprotect(mem + PAGE, PAGE, PROT_READ), 0);
	refused(EFAULT, vfio_dma_map(&container, mem, IOVA, 2 * PAGE,
				     VFIO_DMA_RW));
	assert_int_equal(proc_pages_pinned(), pinned);
	ok(vfio_dma_map(&container, mem, IOVA, 2 * PAGE, VFIO_DMA_RO));
	ok(edu_read(&edu, IOVA + PAGE, got, LEN));
	assert_memory_equal(got, pattern, LEN);
	ok(vfio_dma_unmap(&container, IOVA, 2 * PAGE, NULL));
	munmap(mem, 2 * PAGE);
}

static void pinned_memory_outlives_its_mmap(void **state)
{
	int fd = memfd_create("outlives", 0);
	uint8_t *mem, *other;

	assert_int_equal(ftruncate(fd, PAGE), 0);
	mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RW));
	munmap(mem, PAGE);
	other = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(other, MAP_FAILED);
	assert_true(arrives(IOVA, other));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	munmap(other, PAGE);
	close(fd);
}

static void fork_leaves_dma_with_the_parent(void **state)
{
	uint8_t *mem = anonymous(PAGE);
	pid_t pid;

	mem[0] = 1;
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RW));
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	assert_true(arrives(IOVA, mem));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(arrives(IOVA, mem));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	munmap(mem, PAGE);
}

/*
 * Does a device read what the process writes to private memory after MAP_DMA? Not with
 * in-tree before 6.2: it pins the zero page or a page of the file. The process's first
 * write replaces that page by a copy, but the device goes on to read the old page.
 */
static bool sees_copies(void)
{
	return on_tether() || !kernel_before(6, 2);
}

static bool reads_what_is_written(uint8_t *mem, size_t offset)
{
	uint8_t got[LEN];

	target_pattern(mem + offset, LEN);
	ok(edu_read(&edu, IOVA + offset, got, LEN));
	return !memcmp(got, mem + offset, LEN);
}

/*
 * Maps mem for reading, and only then writes to it. expected: does the device have to
 * read the new bytes?
 */
static void expect_to_be_read(uint8_t *mem, size_t len, bool expected)
{
	long pinned = proc_pages_pinned();

	ok(vfio_dma_map(&container, mem, IOVA, len, VFIO_DMA_RO));
	assert_int_equal(mprotect(mem, len, PROT_READ | PROT_WRITE), 0);
	assert_int_equal(reads_what_is_written(mem, 0), expected);
	assert_int_equal(reads_what_is_written(mem, len - PAGE), expected);
	ok(vfio_dma_unmap(&container, IOVA, len, NULL));
	assert_int_equal(proc_pages_pinned(), pinned);
}

static void touch_for_reading(const uint8_t *mem, size_t len)
{
	size_t i;

	for (i = 0; i < len; i += PAGE)
		(void)*(volatile const uint8_t *)(mem + i);
}

/* The process has written to two pages in the middle, but not to the first or last. */
static void untouched_memory_is_read_as_it_is_written_later(void **state)
{
	uint8_t *mem = anonymous(MIB);
	long locked = proc_status_kb(0, "VmLck");

	madvise(mem, MIB, MADV_NOHUGEPAGE);
	mem[100 * PAGE] = 1;
	mem[200 * PAGE] = 1;
	expect_to_be_read(mem, MIB, sees_copies());
	munmap(mem, MIB);

	/*
	 * Again, with memory that the process has only read, so that the zero page is
	 * there, and that is read-only during MAP_DMA. It becomes writable after that.
	 */
	mem = anonymous(MIB);
	madvise(mem, MIB, MADV_NOHUGEPAGE);
	touch_for_reading(mem, MIB);
	assert_int_equal(mprotect(mem, MIB, PROT_READ), 0);
	expect_to_be_read(mem, MIB, sees_copies());
	munmap(mem, MIB);
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
}

static void huge_zero_memory_is_read_as_it_is_written_later(void **state)
{
	uint8_t *mem = vfio_reserve(4 * MIB, 2 * MIB, 0);

	assert_non_null(mem);
	assert_int_equal(mprotect(mem, 4 * MIB, PROT_READ | PROT_WRITE), 0);
	want_huge_pages(mem, 4 * MIB);
	touch_for_reading(mem, 4 * MIB);
	expect_to_be_read(mem, 4 * MIB, sees_copies());
	munmap(mem, 4 * MIB);
}

static void private_file_memory_is_read_as_it_is_written_later(void **state)
{
	int fd = memfd_create("private", 0);
	unsigned int again;
	uint8_t *mem;

	assert_int_equal(ftruncate(fd, MIB), 0);
	assert_int_equal(pwrite(fd, "here", 4, 0), 4);
	for (again = 0; again < 2; again++) {
		mem = mmap(NULL, MIB, PROT_READ, MAP_PRIVATE, fd, 0);
		assert_ptr_not_equal(mem, MAP_FAILED);
		if (again)
			touch_for_reading(mem, MIB);
		expect_to_be_read(mem, MIB, sees_copies());
		munmap(mem, MIB);
	}
	close(fd);
}

static void private_hugetlb_is_read_as_it_is_written_later(void **state)
{
	unsigned int again;
	uint8_t *mem;
	int fd;

	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "8"));
	fd = memfd_create("hugetlb", MFD_HUGETLB);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * MIB), 0);
	/*
	 * Fill the file, since a page that it lacks would be the process's own at once.
	 */
	mem = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	memset(mem, 1, 4 * MIB);
	munmap(mem, 4 * MIB);
	for (again = 0; again < 2; again++) {
		mem = mmap(NULL, 4 * MIB, again ? PROT_READ :
						  PROT_READ | PROT_WRITE,
			   MAP_PRIVATE, fd, 0);
		assert_ptr_not_equal(mem, MAP_FAILED);
		touch_for_reading(mem, 4 * MIB);
		expect_to_be_read(mem, 4 * MIB, sees_copies());
		munmap(mem, 4 * MIB);
	}
	close(fd);
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

/*
 * After fork() parent and child share each page. Before MAP_DMA pins a page, the kernel
 * gives the parent a copy of its own. So the device reads what the parent writes later.
 */
static void memory_shared_by_fork_is_read_as_it_is_written_later(void **state)
{
	uint8_t *mem = anonymous(MIB);
	pid_t pid;

	madvise(mem, MIB, MADV_NOHUGEPAGE);
	memset(mem, 1, MIB);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		pause();
		_exit(0);
	}
	expect_to_be_read(mem, MIB, true);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(mem, MIB);
}

/* MAP_DMA copies no page of a shared file, and refuses memory that may not be read. */
static void shared_and_forbidden_memory_is_not_copied(void **state)
{
	int fd = memfd_create("shared", 0);
	uint8_t *mem, *other, got[LEN];

	assert_int_equal(ftruncate(fd, MIB), 0);
	mem = mmap(NULL, MIB, PROT_READ, MAP_SHARED, fd, 0);
	other = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_ptr_not_equal(other, MAP_FAILED);
	ok(vfio_dma_map(&container, mem, IOVA, MIB, VFIO_DMA_RO));
	memcpy(other, pattern, LEN);
	ok(edu_read(&edu, IOVA, got, LEN));
	assert_memory_equal(got, pattern, LEN);
	assert_memory_equal(mem, pattern, LEN);
	ok(vfio_dma_unmap(&container, IOVA, MIB, NULL));
	munmap(other, MIB);
	munmap(mem, MIB);
	close(fd);

	mem = anonymous(2 * PAGE);
	assert_int_equal(mprotect(mem + PAGE, PAGE, PROT_NONE), 0);
	refused(EFAULT, vfio_dma_map(&container, mem, IOVA, 2 * PAGE,
				     VFIO_DMA_RO));
	munmap(mem, 2 * PAGE);
}

/* Returns a userfaultfd that write-protects mem, or -errno. */
static int write_protect(uint8_t *mem, size_t len)
{
	struct uffdio_api api = {
		.api = UFFD_API,
		.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)mem, .len = len },
		.mode = UFFDIO_REGISTER_MODE_WP,
	};
	struct uffdio_writeprotect protect = {
		.range = range.range,
		.mode = UFFDIO_WRITEPROTECT_MODE_WP,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range) ||
	    ioctl(fd, UFFDIO_WRITEPROTECT, &protect))
		return -errno;
	return fd;
}

/*
 * MAP_DMA for reading needs a page that is the process's own. The first page here is;
 * for the second one, before 6.2, tether would have to cause a write fault to get such
 * a page. It does not, because only the userfaultfd's owner may permit writes, so
 * MAP_DMA fails.
 */
static void memory_that_a_userfaultfd_protects_is_read_if_it_can_be(void **state)
{
	const int expected = on_tether() && kernel_before(6, 2) ? -EFAULT : 0;
	uint8_t *mem = anonymous(2 * PAGE);
	int fd;

	madvise(mem, 2 * PAGE, MADV_NOHUGEPAGE);
	mem[0] = 1;
	touch_for_reading(mem, 2 * PAGE);
	fd = write_protect(mem, 2 * PAGE);
	if (fd < 0)
		lacks("write protection by userfaultfd");
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RO));
	assert_int_equal(vfio_dma_map(&container, mem + PAGE, IOVA + PAGE, PAGE,
				      VFIO_DMA_RO), expected);
	close(fd);
	munmap(mem, 2 * PAGE);
}

static int map_and_leave(void *arg)
{
	uint8_t *mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)arg;
	if (mem == MAP_FAILED)
		return 1;
	return vfio_dma_map(&container, mem, IOVA, MIB, VFIO_DMA_RW) ? 2 : 0;
}

/*
 * The pages of a process that has ended stay pinned until another process unmaps them.
 */
static void memory_of_a_process_that_ended_is_released(void **state)
{
	long pinned = proc_pages_pinned();
	uint64_t unmapped = 0;

	assert_int_equal(proc_run(map_and_leave, NULL), 0);
	assert_int_equal(proc_pages_pinned() - pinned, MIB / PAGE);
	ok(vfio_dma_unmap(&container, IOVA, MIB, &unmapped));
	assert_int_equal(unmapped, MIB);
	assert_int_equal(proc_pages_pinned(), pinned);
}

static void closing_the_container_releases_everything(void **state)
{
	long locked = proc_status_kb(0, "VmLck"), pinned = proc_pages_pinned();
	uint8_t *mem = anonymous(4 * MIB);
	struct vfio_container other;
	struct vfio_device device;

	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &other, EDU_B));
	ok(vfio_dma_map(&other, mem, IOVA, 4 * MIB, VFIO_DMA_RW));
	assert_int_equal(proc_pages_pinned() - pinned, 4 * MIB / PAGE);
	vfio_device_close(&device);
	vfio_container_close(&other);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	munmap(mem, 4 * MIB);
}

static const struct CMUnitTest tests[] = {
	TEST(dma_writes_reach_mapped_memory, setup, teardown),
	TEST(dma_reads_mapped_memory, setup, teardown),
	TEST(dma_to_an_unmapped_address_faults, setup, teardown),
	TEST(read_only_mapping_stops_writes, setup, teardown),
	TEST(write_only_mapping_lets_writes_in, setup, teardown),
	TEST(unmapping_ends_dma, setup, teardown),
	TEST(locked_memory_is_accounted_and_given_back, setup, teardown),
	TEST(memlock_limit_holds_without_the_capability, setup, teardown),
	TEST(every_pinned_page_is_unpinned, setup, teardown),
	TEST(memory_returns_to_the_system, setup, teardown),
	TEST(shared_memory_can_be_mapped, setup, teardown),
	TEST(private_file_memory_is_copied_before_dma, setup, teardown),
	TEST(hugetlb_memory_can_be_mapped, setup, teardown),
	TEST(hugetlb_between_other_memory_can_be_mapped, setup, teardown),
	TEST(hugetlb_memory_is_kept_until_unmap, setup, teardown),
	TEST(transparent_huge_pages_can_be_mapped, setup, teardown),
	TEST(scattered_memory_can_be_mapped, setup, teardown),
	TEST(huge_pages_in_scattered_memory_are_unpinned, setup, teardown),
	TEST(a_hole_is_refused_and_leaves_nothing, setup, teardown),
	TEST(read_only_memory_is_not_mapped_for_writing, setup, teardown),
	TEST(pinned_memory_outlives_its_mmap, setup, teardown),
	TEST(fork_leaves_dma_with_the_parent, setup, teardown),
	TEST(untouched_memory_is_read_as_it_is_written_later, setup, teardown),
	TEST(huge_zero_memory_is_read_as_it_is_written_later, setup, teardown),
	TEST(private_file_memory_is_read_as_it_is_written_later, setup, teardown),
	TEST(private_hugetlb_is_read_as_it_is_written_later, setup, teardown),
	TEST(memory_shared_by_fork_is_read_as_it_is_written_later, setup,
	     teardown),
	TEST(shared_and_forbidden_memory_is_not_copied, setup, teardown),
	TEST(memory_that_a_userfaultfd_protects_is_read_if_it_can_be, setup,
	     teardown),
	TEST(memory_of_a_process_that_ended_is_released, setup, teardown),
	TEST(closing_the_container_releases_everything, setup, teardown),
};

TEST_MAIN(tests, open_all, close_all)
