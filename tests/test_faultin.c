// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that no process has touched before it is mapped for DMA: which threads fault
 * it in, which cgroup is charged, and how much of it is allocated if the mapping fails.
 * Also memory that the mapping thread itself could not touch, because of a userfaultfd
 * or a protection key.
 */
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cgroup.h"
#include "common.h"
#include "edu.h"
#include "proc.h"
#include "target.h"

#define SIZE	(200 * MIB)
#define PAGES	(SIZE / PAGE)
#define LEN	512	/* bytes of one edu transfer here */
#define MUCH	(1024 * MIB)
#define AHEAD	(64 * MIB)	/* tether faults in this much ahead of pinning */
#define SOON_S	60		/* in this time a call that does not wait returns */
#define LACKING	120		/* a child's status: the kernel lacks the feature */

static struct vfio_container container;
static struct edu edu;

static int open_all(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	return 0;
}

static int close_all(void **state)
{
	edu_close(&edu);
	vfio_container_close(&container);
	return 0;
}

/* Unmap all: mappings that a failed test has left behind would fail the next test. */
static int teardown(void **state)
{
	cgroup_leave();
	proc_write_file("/proc/sys/vm/nr_hugepages", "0");
	return vfio_dma_unmap(&container, IOVA, 1ULL << 36, NULL);
}

/* Anonymous memory that begins one page past a multiple of 2 MiB. */
static uint8_t *untouched(size_t size, int flags)
{
	uint8_t *at = vfio_reserve(size, 2 * MIB, PAGE);
	uint8_t *mem = mmap(at, size, PROT_READ | PROT_WRITE,
			    flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	assert_ptr_equal(mem, at);
	return mem;
}

static uint8_t *small_pages(void)
{
	uint8_t *mem = untouched(SIZE, MAP_PRIVATE);

	assert_int_equal(madvise(mem, SIZE, MADV_NOHUGEPAGE), 0);
	return mem;
}

static uint8_t *huge_pages(void)
{
	uint8_t *mem = vfio_reserve(SIZE, 2 * MIB, 0);

	assert_non_null(mem);
	assert_int_equal(mprotect(mem, SIZE, PROT_READ | PROT_WRITE), 0);
	want_huge_pages(mem, SIZE);
	return mem;
}

static uint8_t *hugetlb(void)
{
	uint8_t *mem;

	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "100"));
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	return mem;
}

/* How many bytes of MAP_SHARED memory are allocated by now. */
static size_t touched(uint8_t *mem, size_t size)
{
	unsigned char *there = malloc(size / PAGE);
	size_t i, n = 0;

	assert_non_null(there);
	assert_int_equal(mincore(mem, size, there), 0);
	for (i = 0; i < size / PAGE; i++)
		n += there[i] & 1;
	free(there);
	return n * PAGE;
}

static void expect_reached(uint8_t *mem, size_t offset)
{
	uint8_t pattern[LEN];

	target_pattern(pattern, LEN);
	ok(edu_write(&edu, IOVA + offset, pattern, LEN));
	assert_memory_equal(mem + offset, pattern, LEN);
}

static void expect_all_reached(uint8_t *mem)
{
	long pinned = proc_pages_pinned();
	size_t offset;

	ok(vfio_dma_map(&container, mem, IOVA, SIZE, VFIO_DMA_RW));
	assert_int_equal(proc_pages_pinned() - pinned, PAGES);
	for (offset = 0; offset < SIZE; offset += 20 * MIB + PAGE)
		expect_reached(mem, offset);
	expect_reached(mem, SIZE - LEN);
	ok(vfio_dma_unmap(&container, IOVA, SIZE, NULL));
	assert_int_equal(proc_pages_pinned(), pinned);
	munmap(mem, SIZE);
}

static void untouched_small_pages_are_reached(void **state)
{
	expect_all_reached(small_pages());
}

static void untouched_huge_pages_are_reached(void **state)
{
	uint8_t *mem = untouched(SIZE, MAP_PRIVATE);

	madvise(mem, SIZE, MADV_HUGEPAGE);
	expect_all_reached(mem);
}

static void untouched_shared_memory_is_reached(void **state)
{
	expect_all_reached(untouched(SIZE, MAP_SHARED));
}

static void a_hole_in_untouched_memory_is_refused(void **state)
{
	uint8_t *mem = untouched(SIZE, MAP_SHARED);
	long pinned = proc_pages_pinned();

	munmap(mem + 70 * MIB, PAGE);
	refused(EFAULT, vfio_dma_map(&container, mem, IOVA, SIZE, VFIO_DMA_RW));
	assert_int_equal(proc_pages_pinned(), pinned);
	munmap(mem, SIZE);
}

/* How many page faults the calling thread took itself while it mapped mem. */
static long faults_to_map(uint8_t *mem)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	ok(vfio_dma_map(&container, mem, IOVA, SIZE, VFIO_DMA_RW));
	getrusage(RUSAGE_THREAD, &after);
	ok(vfio_dma_unmap(&container, IOVA, SIZE, NULL));
	munmap(mem, SIZE);
	return after.ru_minflt - before.ru_minflt;
}

static long faults_to_map_alone(uint8_t *mem)
{
	cpu_set_t all, one;
	long faults;

	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	faults = faults_to_map(mem);
	assert_int_equal(sched_setaffinity(0, sizeof(all), &all), 0);
	return faults;
}

static void other_cpus_help_to_fault_memory_in(void **state)
{
	long faults;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		lacks("a second CPU");
	faults = faults_to_map(small_pages());
	if (faults >= (long)PAGES)
		broken("%ld of %llu faults were the caller's", faults, PAGES);
}

/*
 * Fails unless tether's helpers, on other CPUs, take 40 % of the page faults off the
 * calling thread in at least one of 20 tries. One try is not enough: tether has AHEAD
 * bytes faulted in at a time, a third of SIZE, and helpers that start late miss the
 * first of these parts.
 */
static void expect_help(uint8_t *(*get)(void))
{
	long alone, faults;
	int tries;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		lacks("a second CPU");
	alone = faults_to_map_alone(get());
	/* 6.1 does not count faults that get_user_pages() causes in hugetlb memory. */
	if (alone < (long)(SIZE / (2 * MIB)))
		lacks("a count of such faults");
	faults = alone;
	for (tries = 0; tries < 20 && faults * 10 > alone * 6; tries++)
		faults = faults_to_map(get());
	if (faults * 10 > alone * 6)
		broken("%ld of %ld faults were the caller's", faults, alone);
}

static void other_cpus_help_with_huge_pages_to_the_end(void **state)
{
	expect_help(huge_pages);
}

static void other_cpus_help_with_hugetlb(void **state)
{
	expect_help(hugetlb);
}

/*
 * A hugetlb page of 1 GiB gets one pin. In the second pass the page is present, so
 * tether pins it in windows of AHEAD bytes, but it must still get only one pin.
 */
static void a_page_of_1_gib_has_one_pin(void **state)
{
	long pinned = proc_pages_pinned();
	unsigned int again;
	uint8_t *mem;

	mem = mmap(NULL, MUCH, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB |
		   30 << MAP_HUGE_SHIFT, -1, 0);
	if (mem == MAP_FAILED)
		lacks("pages of 1 GiB");
	for (again = 0; again < 2; again++) {
		ok(vfio_dma_map(&container, mem, IOVA, MUCH, VFIO_DMA_RW));
		assert_int_equal(proc_pages_pinned(), pinned + 1);
		expect_reached(mem, 0);
		expect_reached(mem, AHEAD - LEN / 2);
		expect_reached(mem, MUCH - LEN);
		ok(vfio_dma_unmap(&container, IOVA, MUCH, NULL));
		assert_int_equal(proc_pages_pinned(), pinned);
	}
	munmap(mem, MUCH);
}

/*
 * The kernel charges a hugetlb page to the cgroup of the thread that faults it in.
 * Helpers are in the root cgroup, so the caller has to fault these pages in itself;
 * otherwise its cgroup's limit would have no effect.
 */
static void hugetlb_is_charged_to_the_control_group_of_the_caller(void **state)
{
	uint8_t *mem;
	int ret;

	ret = cgroup_enter("hugetlb");
	if (ret == -ENODEV)
		lacks("control groups");
	ok(ret);
	mem = hugetlb();
	ok(vfio_dma_map(&container, mem, IOVA, SIZE, VFIO_DMA_RW));
	assert_int_equal(cgroup_number("hugetlb.2MB.current"), SIZE);
	ok(vfio_dma_unmap(&container, IOVA, SIZE, NULL));
	munmap(mem, SIZE);
	assert_int_equal(cgroup_number("hugetlb.2MB.current"), 0);
}

static void cpus_that_the_caller_may_not_use_do_not_help(void **state)
{
	assert_true(faults_to_map_alone(small_pages()) >= (long)PAGES);
}

/*
 * Helpers would allocate by their own memory policy, not by the caller's. So a caller
 * that has a policy has to take all faults itself.
 */
static void a_caller_with_a_memory_policy_is_not_helped(void **state)
{
	unsigned long nodes = 1;
	long faults, ret;

	ret = syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes));
	if (ret && errno == ENOSYS)
		lacks("memory policies");
	assert_int_equal(ret, 0);
	faults = faults_to_map(small_pages());
	assert_int_equal(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0), 0);
	assert_true(faults >= (long)PAGES);
}

/*
 * The evidence is the CPU time that the kernel has accounted, not how long the call
 * takes. The caller's cgroup may use half a CPU. A helper, which is outside of the
 * cgroup, would do more of the work than the caller, and that would show in the kernel
 * workers' time.
 */
static void all_of_it_is_accounted_to_the_callers_cpu_group(void **state)
{
	long used, others, faults;
	uint8_t *mem;
	int ret;

	ret = cgroup_enter("cpu");
	if (ret == -ENODEV || ret == -EINVAL)
		lacks("a control group's CPU controller");
	ok(ret);
	ok(cgroup_write("cpu.max", "50000 100000"));
	mem = small_pages();
	used = cgroup_field("cpu.stat", "usage_usec");
	others = proc_kworkers_usec();
	faults = faults_to_map(mem);
	used = cgroup_field("cpu.stat", "usage_usec") - used;
	others = proc_kworkers_usec() - others;
	ok(cgroup_write("cpu.max", "max"));
	if (others * 4 > used)
		broken("%ld us were used outside of the group, %ld in it", others,
		       used);
	assert_true(faults >= (long)PAGES);
}

static void expect_no_help(const char *why)
{
	long faults = faults_to_map(small_pages());

	if (faults < (long)PAGES)
		broken("%s: %ld of %llu faults were the caller's", why, faults,
		       PAGES);
}

/*
 * A helper has class SCHED_NORMAL, and its CPU time is charged to no caller. So it
 * would evade the limits of a caller with a lower priority or an RLIMIT_CPU.
 */
static void a_caller_whose_time_is_limited_is_not_helped(void **state)
{
	static const struct sched_param none;
	struct rlimit limit, seconds;

	assert_int_equal(setpriority(PRIO_PROCESS, 0, 5), 0);
	expect_no_help("nice");
	assert_int_equal(setpriority(PRIO_PROCESS, 0, 0), 0);

	assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &none), 0);
	expect_no_help("SCHED_IDLE");
	assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &none), 0);

	assert_int_equal(getrlimit(RLIMIT_CPU, &limit), 0);
	seconds = limit;
	seconds.rlim_cur = 24 * 60 * 60;
	assert_int_equal(setrlimit(RLIMIT_CPU, &seconds), 0);
	expect_no_help("RLIMIT_CPU");
	assert_int_equal(setrlimit(RLIMIT_CPU, &limit), 0);
}

/* Reset the thread's own limits, which a failed test may have left behind. */
static int teardown_limits(void **state)
{
	static const struct sched_param none;
	struct rlimit limit;

	sched_setscheduler(0, SCHED_OTHER, &none);
	setpriority(PRIO_PROCESS, 0, 0);
	getrlimit(RLIMIT_CPU, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_CPU, &limit);
	cgroup_write("cpu.max", "max");
	return teardown(state);
}

/*
 * Runs in a child: maps for DMA memory of a userfaultfd whose faults no thread serves.
 * Returns MAP_DMA's errno, positive. If MAP_DMA waits for the fault, alarm() kills the
 * child.
 */
static int map_what_nobody_serves(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)arg, .len = AHEAD },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		return LACKING;
	alarm(SOON_S);
	return -vfio_dma_map(&container, arg, IOVA, AHEAD, VFIO_DMA_RW);
}

static void memory_that_a_userfaultfd_serves_is_refused(void **state)
{
	uint8_t *mem = untouched(AHEAD, MAP_SHARED);
	int ret = proc_run(map_what_nobody_serves, mem);

	munmap(mem, AHEAD);
	if (ret == LACKING)
		lacks("userfaultfd");
	assert_int_equal(ret, EFAULT);
}

/* Protection keys restrict threads, not DMA: MAP_DMA has to ignore them. */
static void memory_whose_key_the_thread_lacks_is_reached(void **state)
{
	int key = pkey_alloc(0, 0);
	uint8_t *mem;

	if (key < 0)
		lacks("protection keys");
	mem = small_pages();
	assert_int_equal(pkey_mprotect(mem + MIB, SIZE - MIB,
				       PROT_READ | PROT_WRITE, key), 0);
	/* A part of the memory is present before it is mapped. */
	memset(mem, 1, SIZE / 3);
	assert_int_equal(pkey_set(key, PKEY_DISABLE_ACCESS), 0);
	ok(vfio_dma_map(&container, mem, IOVA, SIZE, VFIO_DMA_RW));
	assert_int_equal(pkey_set(key, 0), 0);
	expect_reached(mem, 0);
	expect_reached(mem, SIZE / 3 - LEN / 2);
	expect_reached(mem, SIZE - LEN);
	ok(vfio_dma_unmap(&container, IOVA, SIZE, NULL));
	pkey_free(key);
	munmap(mem, SIZE);
}

static int over_the_limit(void *arg)
{
	return vfio_dma_map(&container, arg, IOVA, MUCH, VFIO_DMA_RW) != -ENOMEM;
}

static void a_mapping_beyond_the_limit_touches_little(void **state)
{
	uint8_t *mem = untouched(MUCH, MAP_SHARED);

	assert_int_equal(proc_run_unprivileged(8 * MIB, over_the_limit, mem), 0);
	assert_in_range(touched(mem, MUCH), 8 * MIB, AHEAD);
	munmap(mem, MUCH);
}

static void a_mapping_that_is_killed_touches_no_more(void **state)
{
	uint8_t *mem = untouched(MUCH, MAP_SHARED);
	long pinned = proc_pages_pinned();
	int status;
	pid_t pid;

	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(vfio_dma_map(&container, mem, IOVA, MUCH, VFIO_DMA_RW) != 0);
	while (!touched(mem, AHEAD) && !waitpid(pid, &status, WNOHANG))
		sleep_ms(1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(touched(mem, MUCH) < MUCH);
	assert_int_equal(proc_pages_pinned(), pinned);
	munmap(mem, MUCH);
}

static const struct CMUnitTest tests[] = {
	TEST(untouched_small_pages_are_reached, NULL, teardown),
	TEST(untouched_huge_pages_are_reached, NULL, teardown),
	TEST(untouched_shared_memory_is_reached, NULL, teardown),
	TEST(a_hole_in_untouched_memory_is_refused, NULL, teardown),
	TETHER(other_cpus_help_to_fault_memory_in, NULL, teardown),
	TETHER(other_cpus_help_with_huge_pages_to_the_end, NULL, teardown),
	TETHER(other_cpus_help_with_hugetlb, NULL, teardown),
	TETHER(a_page_of_1_gib_has_one_pin, NULL, teardown),
	TEST(hugetlb_is_charged_to_the_control_group_of_the_caller, NULL, teardown),
	TETHER(cpus_that_the_caller_may_not_use_do_not_help, NULL, teardown),
	TETHER(a_caller_with_a_memory_policy_is_not_helped, NULL, teardown),
	TETHER(all_of_it_is_accounted_to_the_callers_cpu_group, NULL,
	       teardown_limits),
	TETHER(a_caller_whose_time_is_limited_is_not_helped, NULL,
	       teardown_limits),
	TEST(memory_that_a_userfaultfd_serves_is_refused, NULL, teardown),
	TEST(memory_whose_key_the_thread_lacks_is_reached, NULL, teardown),
	TEST(a_mapping_beyond_the_limit_touches_little, NULL, teardown),
	TEST(a_mapping_that_is_killed_touches_no_more, NULL, teardown),
};

TEST_MAIN(tests, open_all, close_all)
