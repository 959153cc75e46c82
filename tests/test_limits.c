// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much CPU time and memory a hostile program can make the kernel use: measures the
 * bounds of docs/behaviour.md.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cgroup.h"
#include "proc.h"
#include "rig.h"
#include "stall.h"

#define LIMIT		65535	/* dma_entry_limit */
#define OTHERS		16	/* the rig's own mappings: at most so many, four now */
#define WATCH_S		5	/* how long a test measures the CPU time of restore */
/*
 * Restore, which maps revoked mirrors again, may use a quarter of a CPU for attempts
 * that fail. It measures that by a clock; this program does so by ticks, which are less
 * exact.
 */
#define CPU_SHARE	0.35
#define MIRROR_BYTES	1024	/* most kernel memory of a mapping and its mirror */

static uint8_t *map;

static int setup(void **state)
{
	map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(map);
	return rig_unmapped(state);
}

/* Unmaps all, which takes seconds if a test has made tens of thousands of mappings. */
static int teardown(void **state)
{
	vfio_decoding(&rig.device, true);
	if (map)
		munmap(map, RIG_LEN);
	map = NULL;
	return rig_heal(state);
}

/* Maps one page of the device's memory n times. Returns how many mappings succeeded. */
static unsigned int map_times(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		int ret = vfio_dma_map(&rig.container, map, IOVA + i * PAGE,
				       PAGE, VFIO_DMA_RW);

		if (ret == -ENOSPC)
			break;
		ok(ret);
	}
	return i;
}

/*
 * Makes as many mappings as the limit permits; fewer on debug kernels, which are slow.
 */
static unsigned int map_many(void)
{
	unsigned int many = LIMIT / patience(), n = map_times(many);

	assert_in_range(n, many - OTHERS, many);
	return n;
}

/*
 * CPU time of a process in seconds; 0 if it is no worker thread that can run restore.
 */
static double time_of_restorer(const char *pid)
{
	unsigned long user, system;
	char path[300], text[1024];
	const char *fields;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (proc_read_file(path, text, sizeof(text)) ||
	    strncmp(strchr(text, '(') ?: "", "(kworker/u", 10))
		return 0;
	fields = strrchr(text, ')');
	if (sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &system) != 2)
		return 0;
	return (double)(user + system) / sysconf(_SC_CLK_TCK);
}

/*
 * The CPU time so far of all kernel workers that are not bound to a CPU. Restore runs
 * in one of them, and their other work takes hardly any time here. So restore's time
 * between two calls is the difference of their results: the kernel ends idle workers
 * only after minutes, and a new worker begins at 0.
 */
static double time_of_workers(double (*time_of)(const char *pid))
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	double sum = 0;

	assert_non_null(proc);
	while ((entry = readdir(proc)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			sum += time_of(entry->d_name);
	closedir(proc);
	return sum;
}

/*
 * Restore tries each mirror once soon after the outage begins. Wait until those
 * attempts are over, then measure how much CPU time restore takes.
 */
static void expect_little_work(const char *what)
{
	double start, used, share;

	sleep_ms(6000);
	start = now();
	used = time_of_workers(time_of_restorer);
	sleep_ms(WATCH_S * 1000);
	used = time_of_workers(time_of_restorer) - used;
	share = used / (now() - start);
	printf("# %s: %.0f %% of a CPU\n", what, 100 * share);
	if (share > CPU_SHARE)
		broken("%s: restore takes %.0f %% of a CPU", what, 100 * share);
}

static void waiting_for_a_dead_device_costs_little(void **state)
{
	unsigned int n;
	double start;

	n = map_many();
	ok(vfio_decoding(&rig.device, false));
	expect_little_work("many mirrors of a device that is off");
	ok(vfio_decoding(&rig.device, true));
	start = now();
	printf("# back after %.1f s\n",
	       expect_return(IOVA + (n / 2) * PAGE, 0, start, 5.0));
}

/*
 * Like time_of_restorer(), but from the scheduler's count in nanoseconds, not in ticks.
 */
static double run_time_of_restorer(const char *pid)
{
	unsigned long long ns = 0;
	char path[300], text[256];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (proc_read_file(path, text, sizeof(text)) || strncmp(text, "kworker/u", 9))
		return 0;
	snprintf(path, sizeof(path), "/proc/%s/schedstat", pid);
	if (!proc_read_file(path, text, sizeof(text)))
		sscanf(text, "%llu", &ns);
	return ns * 1e-9;
}

/*
 * While a mirror waits, the module checks a hundred times a second whether its device
 * is on again. Up to Linux 6.9 it also checks as often for processes that are ending,
 * as long as there is a live mirror.
 */
static void waiting_costs_an_idle_machine_little(void **state)
{
	double live, off;

	ok(vfio_dma_map(&rig.container, map, IOVA, RIG_LEN, VFIO_DMA_RW));
	sleep_ms(500);
	live = time_of_workers(run_time_of_restorer);
	sleep_ms(4000);
	live = time_of_workers(run_time_of_restorer) - live;
	ok(vfio_decoding(&rig.device, false));
	sleep_ms(500);
	off = time_of_workers(run_time_of_restorer);
	sleep_ms(4000);
	off = time_of_workers(run_time_of_restorer) - off;
	ok(vfio_decoding(&rig.device, true));
	printf("# a second of workers: %.2f ms with a live mirror, %.2f ms with one that waits\n",
	       live * 1e3 / 4, off * 1e3 / 4);
	/* The limit holds even on a machine whose CPU is emulated on a busy host. */
	assert_true(live / 4 < 0.10 * patience());
	assert_true(off / 4 < 0.10 * patience());
}

/*
 * The device is on, but mprotect() has made the last of many pages inaccessible. So
 * each attempt of restore is long: it looks up all other pages before it fails at the
 * last one.
 */
static void waiting_for_a_permission_costs_little(void **state)
{
	const unsigned int pages = 2000, mirrors = 100;
	unsigned int i;

	for (i = 0; i < pages; i++)
		assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR,
						 i * PAGE, PAGE,
						 PROT_READ | PROT_WRITE,
						 map + i * PAGE));
	for (i = 0; i < mirrors; i++)
		ok(vfio_dma_map(&rig.container, map, IOVA + i * RIG_LEN,
				pages * PAGE, VFIO_DMA_RW));
	assert_int_equal(mprotect(map + (pages - 1) * PAGE, PAGE, PROT_NONE),
			 0);
	expect_little_work("100 mirrors of 2000 pieces");
	/* This mprotect() makes restore try at once; no need to wait for its timer. */
	assert_int_equal(mprotect(map + (pages - 1) * PAGE, PAGE,
				  PROT_READ | PROT_WRITE), 0);
	expect_return(IOVA, 0, now(), 5.0);
}

/* KiB of page tables of IOMMUs, which the kernel counts since 6.10, or -errno. */
static long table_kb(void)
{
	return proc_meminfo_kb("SecPageTables");
}

static long cgroup_bytes(void)
{
	long bytes = cgroup_number("memory.current");

	assert_true(bytes >= 0);
	return bytes;
}

/*
 * Enter a new memory cgroup. Until leave_cgroup() it is charged for memory that the
 * kernel allocates in this process's system calls.
 */
static void enter_cgroup(void)
{
	int ret = cgroup_enter("memory");

	if (ret == -ENODEV)
		lacks("control groups");
	ok(ret);
}

static int leave_cgroup(void **state)
{
	cgroup_leave();
	return teardown(state);
}

static void kernel_memory_is_bounded_and_charged(void **state)
{
	const unsigned int n = 20000 / patience();
	long before, after;

	enter_cgroup();
	before = cgroup_bytes();
	assert_int_equal(map_times(n), n);
	after = cgroup_bytes();
	printf("# %ld bytes a mapping\n", (after - before) / (long)n);
	if (after - before < 200L * n)
		broken("%ld bytes are charged for each mapping: not all of it",
		       (after - before) / (long)n);
	if (after - before > (long)(MIRROR_BYTES * n))
		broken("a mapping takes %ld bytes", (after - before) / (long)n);
	ok(vfio_dma_unmap(&rig.container, IOVA, 1ULL << 37, NULL));
	if (cgroup_bytes() - before > MIRROR_BYTES * n / 20)
		broken("%ld bytes are charged that are not there any more",
		       cgroup_bytes() - before);
}

/*
 * The process's cgroup has to be charged for the IOMMU page tables that were allocated
 * since there were @tables KiB of them and the cgroup was charged with @charged bytes.
 */
static void expect_tables_are_charged(long tables, long charged, const char *when)
{
	long made = (table_kb() - tables) * 1024;

	charged = cgroup_bytes() - charged;
	printf("# %s: %ld KiB of tables, %ld KiB charged\n", when, made / 1024,
	       charged / 1024);
	assert_true(made > 4 * (long)MIB);
	if (charged < made - made / 8)
		broken("%s: of %ld KiB of the IOMMU's tables %ld KiB are charged",
		       when, made / 1024, charged / 1024);
}

static void iommu_tables_are_charged(void **state)
{
	const unsigned int n = 256;
	long tables, charged;
	unsigned int i;
	double start;

	if (table_kb() < 0 || kernel_before(6, 12))
		lacks("IOMMU page tables that the kernel counts");
	enter_cgroup();
	tables = table_kb();
	charged = cgroup_bytes();
	for (i = 0; i < n; i++)
		ok(vfio_dma_map(&rig.container, map, IOVA + PAGE + i * 2 * RIG_LEN,
				RIG_LEN, VFIO_DMA_RW));
	expect_tables_are_charged(tables, charged, "mapped");
	ok(vfio_decoding(&rig.device, false));
	ok(vfio_decoding(&rig.device, true));
	start = now();
	for (i = 0; i < n; i++)
		expect_return(IOVA + PAGE + i * 2 * RIG_LEN, 0, start, 5.0);
	expect_tables_are_charged(tables, charged, "restored");
}

#define MUNMAPS		400

static double time_of_round(void)
{
	double start = now();
	unsigned int i;

	for (i = 0; i < MUNMAPS; i++) {
		void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			       0);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(munmap(p, PAGE), 0);
	}
	return (now() - start) / MUNMAPS;
}

/* Returns the time of the shortest round, since other load only makes rounds longer. */
static double time_of_munmap(void)
{
	double best = time_of_round();
	unsigned int i;

	for (i = 0; i < 9; i++) {
		double round = time_of_round();

		if (round < best)
			best = round;
	}
	return best;
}

static void other_munmaps_do_not_pay_for_many_mirrors(void **state)
{
	double before, after;
	unsigned int n;

	ok(vfio_dma_map(&rig.container, map, IOVA + (1ULL << 36), PAGE,
			VFIO_DMA_RW));
	before = time_of_munmap();
	n = map_many();
	after = time_of_munmap();
	printf("# mmap and munmap: %.1f us, with %u mirrors %.1f us\n",
	       before * 1e6, n, after * 1e6);
	if (after > 3 * before)
		broken("an unrelated munmap takes %.1f times as long",
		       after / before);
}

static void expect_gone(uint64_t bytes)
{
	struct vfio_tether_query q;

	ok(rig_query(IOVA, RIG_LEN, &q));
	assert_int_equal(q.gone, bytes);
}

/*
 * munmap() every other page of a mirror until tether gives the mirror up, and with it
 * the pages that are still mapped. One of these munmaps may make an attempt of restore
 * fail, and restore then rests three times as long as that attempt took. On a debug
 * kernel an attempt with so many pieces is long, so there the test allows more time for
 * the return.
 */
static void too_many_pieces_are_given_up(void **state)
{
	unsigned int i;

	ok(vfio_dma_map(&rig.container, map, IOVA, RIG_LEN, VFIO_DMA_RW));
	for (i = 0; i < 1000; i++)
		assert_int_equal(munmap(map + (2 * i + 1) * PAGE, PAGE), 0);
	expect_gone(1000 * PAGE);
	expect_return(IOVA, 0, now(), patience() > 1 ? 10.0 : 2.0);
	for (; i < 1100; i++)
		assert_int_equal(munmap(map + (2 * i + 1) * PAGE, PAGE), 0);
	expect_gone(RIG_LEN);
	sleep_ms(2200);
	expect_blocked(IOVA, 0);
}

#define LIMITS(f)	TETHER(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	LIMITS(waiting_costs_an_idle_machine_little),
	LIMITS(waiting_for_a_dead_device_costs_little),
	LIMITS(waiting_for_a_permission_costs_little),
	TETHER(kernel_memory_is_bounded_and_charged, setup, leave_cgroup),
	TETHER(iommu_tables_are_charged, setup, leave_cgroup),
	LIMITS(other_munmaps_do_not_pay_for_many_mirrors),
	LIMITS(too_many_pieces_are_given_up),
};

TEST_MAIN(tests, rig_open, rig_close)
