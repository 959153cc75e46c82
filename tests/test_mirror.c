// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory: DMA through a mapping reaches it for as long as the process that
 * mapped it can reach it with its CPU, and no longer.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "rig.h"

/*
 * In how many seconds DMA has to reach the memory again. docs/behaviour.md promises
 * SOON for outages of less than a second, also on an emulated CPU.
 */
#define SOON	0.050
#define LATER	2.0

/*
 * The running test's child, or 0. A child inherits all open files: if a failed test
 * left it running, the next test program could not open the devices. So heal() kills
 * it.
 */
static pid_t child;

static void reap_child(int signal)
{
	if (signal)
		kill(child, signal);
	assert_int_equal(waitpid(child, NULL, 0), child);
	child = 0;
}

static int heal(void **state)
{
	if (child)
		reap_child(SIGKILL);
	return rig_heal(state);
}

/*
 * How long a test waits before it checks that a mirror stays revoked. Restore tries a
 * revoked mirror about once a second or more often, so it will not come back later.
 */
#define NEVER_MS	2200

static void whole_bar_is_reached_at_any_alignment(void **state)
{
	static const size_t skews[] = { 0, PAGE, 2 * MIB - PAGE };
	size_t i;

	for (i = 0; i < sizeof(skews) / sizeof(*skews); i++) {
		uint8_t *at = vfio_reserve(TARGET_LEN, TARGET_LEN, skews[i]);
		uint64_t unmapped = 0;

		assert_non_null(at);
		assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0,
						 TARGET_LEN,
						 PROT_READ | PROT_WRITE, at));
		ok(vfio_dma_map(&rig.container, at, IOVA, TARGET_LEN,
				VFIO_DMA_RW));
		expect_landing(IOVA, 0);
		expect_landing(IOVA + TARGET_LEN / 2 - PAGE,
			       TARGET_LEN / 2 - PAGE);
		expect_landing(IOVA + TARGET_LEN - PAGE, TARGET_LEN - PAGE);
		ok(vfio_dma_unmap(&rig.container, IOVA, TARGET_LEN, &unmapped));
		assert_int_equal(unmapped, TARGET_LEN);
		munmap(at, TARGET_LEN);
	}
}

/* The mmap starts inside the BAR, and the DMA mapping inside the mmap. */
static void part_of_a_bar_is_the_right_part(void **state)
{
	uint64_t mmap_at = 48 * MIB + 3 * PAGE, map_at = 5 * PAGE;
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, mmap_at,
					MIB, PROT_READ | PROT_WRITE, NULL);

	assert_non_null(map);
	ok(vfio_dma_map(&rig.container, map + map_at, IOVA, 7 * PAGE,
			VFIO_DMA_RW));
	expect_landing(IOVA, mmap_at + map_at);
	expect_landing(IOVA + 6 * PAGE, mmap_at + map_at + 6 * PAGE);
	ok(nvme_identify(&rig.nvme, IOVA + 7 * PAGE));
	ok(fault_wait(&rig.faults, NVME, IOVA + 7 * PAGE, true, FAULT_MS));
	munmap(map, MIB);
}

/*
 * This BAR has no memory to read back, so the test only sees that DMA does not fault.
 */
static void a_bar_larger_than_memory_can_be_mapped(void **state)
{
	const uint64_t len = 4096 * MIB;
	struct vfio_device large;
	uint64_t unmapped = 0;
	struct fault fault;
	uint8_t *map;

	need_fault_records();
	ok(vfio_device_open(&large, &rig.container, LARGE));
	map = vfio_region_mmap(&large, TARGET_BAR, 60 * 1024 * MIB, len,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(map);
	ok(vfio_dma_map(&rig.container, map, IOVA, len, VFIO_DMA_RW));
	ok(nvme_identify(&rig.nvme, IOVA));
	ok(nvme_identify(&rig.nvme, IOVA + len - PAGE));
	assert_int_equal(fault_next(&rig.faults, &fault, 200), -ETIMEDOUT);
	ok(nvme_identify(&rig.nvme, IOVA + len));
	ok(fault_wait(&rig.faults, NVME, IOVA + len, true, FAULT_MS));
	ok(vfio_dma_unmap(&rig.container, IOVA, len, &unmapped));
	assert_int_equal(unmapped, len);
	munmap(map, len);
	vfio_device_close(&large);
}

static void device_memory_is_not_charged(void **state)
{
	long locked = proc_status_kb(0, "VmLck");

	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
}

static void read_only_mapping_of_device_memory_stops_writes(void **state)
{
	uint8_t pattern[64], got[64];

	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RO));
	assert_false(dma_lands(IOVA, 0));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
	target_pattern(pattern, sizeof(pattern));
	ok(target_write(&rig.target, PAGE, pattern, sizeof(pattern)));
	ok(edu_read(&rig.edu, IOVA + PAGE, got, sizeof(got)));
	assert_memory_equal(got, pattern, sizeof(got));
}

static void write_mapping_of_a_read_only_mmap_is_refused(void **state)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, MIB,
					PROT_READ, NULL);
	uint8_t pattern[64], got[64];

	assert_non_null(map);
	refused(EFAULT, vfio_dma_map(&rig.container, map, IOVA, MIB,
				     VFIO_DMA_RW));
	ok(vfio_dma_map(&rig.container, map, IOVA, MIB, VFIO_DMA_RO));
	target_pattern(pattern, sizeof(pattern));
	ok(target_write(&rig.target, 0, pattern, sizeof(pattern)));
	ok(edu_read(&rig.edu, IOVA, got, sizeof(got)));
	assert_memory_equal(got, pattern, sizeof(got));
	munmap(map, MIB);
}

static void map_while_decoding_is_off_is_refused(void **state)
{
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, false));
	refused(EFAULT, vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN,
				     VFIO_DMA_RW));
	ok(vfio_decoding(&rig.device, true));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	expect_landing(IOVA, 0);
}

/*
 * The memory of the one mapping is, in this order: RAM, the end of the target's BAR,
 * the BAR's start, RAM, and the BAR of another device.
 */
static void one_mapping_spans_ram_and_several_devices(void **state)
{
	const size_t part = 4 * PAGE;
	uint8_t *at = vfio_reserve(5 * part, PAGE, 0), *ram = at + 3 * part;
	struct vfio_device second;
	struct target other = { &second, TARGET_BAR };
	long locked = proc_status_kb(0, "VmLck");
	uint64_t unmapped = 0;

	assert_non_null(at);
	ok(vfio_device_open(&second, &rig.container, TARGET2));
	assert_int_equal(mprotect(at, part, PROT_READ | PROT_WRITE), 0);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR,
					 TARGET_LEN - part, part,
					 PROT_READ | PROT_WRITE, at + part));
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, part,
					 PROT_READ | PROT_WRITE,
					 at + 2 * part));
	assert_int_equal(mprotect(ram, part, PROT_READ | PROT_WRITE), 0);
	assert_non_null(vfio_region_mmap(&second, TARGET_BAR, 0, part,
					 PROT_READ | PROT_WRITE,
					 at + 4 * part));
	ok(vfio_dma_map(&rig.container, at, IOVA, 5 * part, VFIO_DMA_RW));
	assert_int_equal(proc_status_kb(0, "VmLck"), locked + 2 * part / 1024);

	ok(nvme_identify(&rig.nvme, IOVA));
	assert_memory_equal(at, rig.nvme.identity, PAGE);
	expect_landing(IOVA + part, TARGET_LEN - part);
	expect_landing(IOVA + 2 * part, 0);
	ok(nvme_identify(&rig.nvme, IOVA + 3 * part + PAGE));
	assert_memory_equal(ram + PAGE, rig.nvme.identity, PAGE);
	ok(nvme_identify(&rig.nvme, IOVA + 4 * part + 3 * PAGE));
	assert_true(target_has(&other, 3 * PAGE, rig.nvme.identity, PAGE));

	/* While the second device is off, DMA still reaches the rest of the mapping. */
	ok(vfio_decoding(&second, false));
	expect_landing(IOVA + part, TARGET_LEN - part);
	memset(at, 0, PAGE);
	ok(nvme_identify(&rig.nvme, IOVA));
	assert_memory_equal(at, rig.nvme.identity, PAGE);
	ok(vfio_decoding(&second, true));

	ok(vfio_dma_unmap(&rig.container, IOVA, 5 * part, &unmapped));
	assert_int_equal(unmapped, 5 * part);
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	munmap(at, 5 * part);
	vfio_device_close(&second);
}

static void a_hole_behind_device_memory_leaves_nothing(void **state)
{
	long locked;

	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	locked = proc_status_kb(0, "VmLck");
	/* Make the range: RAM, device memory, an unmapped page, device memory. */
	assert_ptr_equal(mmap(rig.map, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 rig.map);
	munmap(rig.map + RIG_HALF, PAGE);
	refused(EFAULT, vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN,
				     VFIO_DMA_RW));
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	assert_false(dma_lands(IOVA + PAGE, PAGE));
	ok(fault_wait(&rig.faults, NVME, IOVA + PAGE, true, FAULT_MS));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_HALF, VFIO_DMA_RW));
	expect_landing(IOVA + PAGE, PAGE);
}

/* Tests of mirrors that tether revokes because VFIO changes the device's state. */

static void decoding_off_revokes(void **state)
{
	expect_blocked_while_off(IOVA, 0);
}

static void low_power_revokes(void **state)
{
	need_fault_records();
	expect_landing(IOVA, 0);
	ok(target_fill(&rig.target, 0, 0, PAGE));
	ok(vfio_low_power(&rig.device, true));
	blind_dma(IOVA);
	ok(vfio_low_power(&rig.device, false));
	expect_blind_dma_blocked(IOVA, 0);
}

/* The target is the NVMe controller's memory buffer here, since TARGET has no D3hot. */
static void power_state_d3_revokes(void **state)
{
	struct target cmb = { &rig.nvme.dev, TARGET_BAR };
	uint8_t *map = vfio_region_mmap(&rig.nvme.dev, TARGET_BAR, 0, MIB,
					PROT_READ | PROT_WRITE, NULL);
	uint8_t pattern[64];
	bool fault;
	int ret;

	need_fault_records();
	assert_non_null(map);
	target_pattern(pattern, sizeof(pattern));
	ok(vfio_dma_map(&rig.container, map, IOVA, MIB, VFIO_DMA_RW));
	ok(edu_write(&rig.edu, IOVA, pattern, sizeof(pattern)));
	assert_true(target_has(&cmb, 0, pattern, sizeof(pattern)));
	ok(target_fill(&cmb, 0, 0, sizeof(pattern)));

	ok(vfio_power_state(&rig.nvme.dev, 3));
	fault_drain(&rig.faults);
	ret = edu_store(&rig.edu, IOVA, sizeof(pattern));
	fault = !fault_wait(&rig.faults, EDU_A, IOVA, true, FAULT_MS);
	ok(vfio_power_state(&rig.nvme.dev, 0));
	ok(ret);
	munmap(map, MIB);
	ok(vfio_bus_master(&rig.nvme.dev, true));
	if (target_has(&cmb, 0, pattern, sizeof(pattern)))
		hole("DMA reached the memory of a device in D3");
	if (!fault)
		hole("the IOMMU let DMA to a device in D3 out");
}

struct watch {
	volatile bool stop;
	volatile unsigned int writes;
	volatile int ret;
};

static void *write_all_the_time(void *arg)
{
	struct watch *w = arg;

	while (!w->stop && !w->ret) {
		w->ret = nvme_identify(&rig.nvme, IOVA);
		w->writes++;
	}
	return NULL;
}

/*
 * A reset lasts only milliseconds, and the memory is on after it. So another thread
 * makes DMA all the time, and some of it has to fault during the reset.
 */
static void reset_revokes_by(int (*reset)(struct vfio_device *d))
{
	struct watch w = { 0 };
	pthread_t thread;
	bool fault;
	int ret;

	need_fault_records();
	expect_landing(IOVA, 0);
	fault_drain(&rig.faults);
	assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, &w),
			 0);
	while (!w.writes && !w.ret)
		sched_yield();
	ret = reset(&rig.device);
	w.stop = true;
	pthread_join(thread, NULL);
	ok(ret);
	ok(w.ret);
	fault = !fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS);
	if (!fault)
		hole("the IOMMU let %u DMAs to a device in reset out",
		     w.writes);
}

static void reset_revokes(void **state)
{
	reset_revokes_by(vfio_reset);
}

static void hot_reset_revokes(void **state)
{
	reset_revokes_by(vfio_hot_reset);
}

/* Tests of mirrors that tether revokes because the process changes its mmap. */

static void munmap_revokes(void **state)
{
	expect_landing(IOVA, 0);
	munmap(rig.map, RIG_LEN);
	expect_blocked(IOVA, 0);
	expect_blocked(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

static void munmap_of_a_part_revokes_that_part(void **state)
{
	munmap(rig.map + RIG_HALF, RIG_HALF);
	expect_blocked(IOVA + RIG_HALF, RIG_HALF);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA + RIG_HALF, RIG_HALF);
	expect_blocked(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

static void munmap_of_one_page_revokes_that_page(void **state)
{
	munmap(rig.map + RIG_HALF, PAGE);
	expect_blocked(IOVA + RIG_HALF, RIG_HALF);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA + RIG_HALF, RIG_HALF);
}

static void mmap_over_it_revokes(void **state)
{
	assert_ptr_equal(mmap(rig.map, RIG_LEN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 rig.map);
	expect_blocked(IOVA, 0);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void mprotect_to_none_revokes(void **state)
{
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_NONE), 0);
	expect_blocked(IOVA, 0);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void mprotect_to_read_only_revokes(void **state)
{
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_READ), 0);
	expect_blocked(IOVA, 0);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void mprotect_of_a_part_revokes_that_part(void **state)
{
	assert_int_equal(mprotect(rig.map, RIG_HALF, PROT_READ), 0);
	expect_blocked(IOVA, 0);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void close_and_unbind_revoke(void **state)
{
	struct host_bar bar;
	bool landed;

	expect_landing(IOVA, 0);
	munmap(rig.map, RIG_LEN);
	vfio_device_close(&rig.device);
	ok(vfio_device_unbind(TARGET));
	ok(host_bar_open(&bar, TARGET, TARGET_BAR, RIG_LEN));
	host_bar_clear(&bar, 0, PAGE);
	fault_drain(&rig.faults);
	ok(nvme_identify(&rig.nvme, IOVA));
	landed = host_bar_has(&bar, 0, rig.nvme.identity, PAGE);
	host_bar_close(&bar);
	if (landed)
		hole("DMA reached the memory of a device the host has back");
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

/*
 * Tests of a mapping that another process, a child, makes of device memory in its own
 * address space. Parent and child share the container.
 */

static void *map_in_child(size_t len)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, len,
					PROT_READ | PROT_WRITE, NULL);

	if (!map || vfio_dma_map(&rig.container, map, IOVA, len, VFIO_DMA_RW))
		return NULL;
	return map;
}

/*
 * Starts a child that maps device memory at IOVA and then calls then(). Returns once
 * the child has mapped it, which the child says with a byte in the pipe.
 */
static void spawn(void (*then)(void))
{
	char byte = 0;
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (map_in_child(RIG_LEN) && write(pipes[1], "m", 1) == 1)
			then();
		_exit(1);
	}
	close(pipes[1]);
	if (read(pipes[0], &byte, 1) != 1)
		broken("the child could not map");
	close(pipes[0]);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void become_another_program(void)
{
	sleep_ms(300);
	execl("/bin/sleep", "sleep", "1000", NULL);
}

static void leave(void)
{
	sleep_ms(300);
	_exit(0);
}

static void other_processes_memory_is_reached(void **state)
{
	spawn(wait_for_ever);
	expect_landing(IOVA, 0);
	ok(vfio_decoding(&rig.device, false));
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), SOON);
	reap_child(SIGKILL);
}

static void exit_revokes(void **state)
{
	spawn(leave);
	expect_landing(IOVA, 0);
	reap_child(0);
	expect_blocked(IOVA, 0);
}

static void being_killed_revokes(void **state)
{
	spawn(wait_for_ever);
	expect_landing(IOVA, 0);
	reap_child(SIGKILL);
	expect_blocked(IOVA, 0);
}

static void exec_revokes(void **state)
{
	int i;

	spawn(become_another_program);
	expect_landing(IOVA, 0);
	/* Once the child has executed the other program, /proc shows that program's name. */
	for (i = 0; i < 300; i++) {
		char path[64], name[64] = "";

		snprintf(path, sizeof(path), "/proc/%d/comm", child);
		proc_read_file(path, name, sizeof(name));
		if (!strcmp(name, "sleep\n"))
			break;
		sleep_ms(10);
	}
	assert_true(i < 300);
	expect_blocked(IOVA, 0);
	reap_child(SIGKILL);
}

static void exit_while_revoked_is_for_good(void **state)
{
	spawn(wait_for_ever);
	ok(vfio_decoding(&rig.device, false));
	reap_child(SIGKILL);
	ok(vfio_decoding(&rig.device, true));
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

/* The parent made the mapping, so a child that has the same mmap does not keep it. */
static void munmap_revokes_although_a_child_has_the_mmap(void **state)
{
	child = fork();
	assert_true(child >= 0);
	if (!child)
		wait_for_ever();
	munmap(rig.map, RIG_LEN);
	expect_blocked(IOVA, 0);
	reap_child(SIGKILL);
}

/*
 * Tests that mmap device memory anew at an address that a mirror was made for: restore
 * must not take the new mmap for the old one.
 */

static void new_mmap_in_its_place_is_another_one(void **state)
{
	munmap(rig.map, RIG_LEN);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					 PROT_READ | PROT_WRITE, rig.map));
	/* Tether must not map the new memory even after the CPU has touched it. */
	*(volatile uint32_t *)rig.map = 1;
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void unmapped_while_revoked_is_for_good(void **state)
{
	ok(vfio_decoding(&rig.device, false));
	munmap(rig.map, RIG_LEN);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					 PROT_READ | PROT_WRITE, rig.map));
	ok(vfio_decoding(&rig.device, true));
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void half_unmapped_while_revoked_is_for_good(void **state)
{
	ok(vfio_decoding(&rig.device, false));
	munmap(rig.map, RIG_HALF);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_HALF,
					 PROT_READ | PROT_WRITE, rig.map));
	ok(vfio_decoding(&rig.device, true));
	sleep_ms(NEVER_MS);
	expect_landing(IOVA + RIG_HALF, RIG_HALF);
	expect_blocked(IOVA, 0);
}

/*
 * Tests that tether restores mirrors on its own: no test here touches rig.map after an
 * outage, which would make the CPU fault the memory in.
 */

static void back_soon_after_a_short_outage(void **state)
{
	static const unsigned int outages[] = { 0, 10, 100, 500, 900 };
	double start;
	size_t i;

	for (i = 0; i < sizeof(outages) / sizeof(*outages); i++) {
		ok(vfio_decoding(&rig.device, false));
		sleep_ms(outages[i]);
		ok(vfio_decoding(&rig.device, true));
		start = now();
		printf("# back %.1f ms after %u ms off\n",
		       1e3 * expect_return(IOVA, 0, start, SOON), outages[i]);
		expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
	}
}

/*
 * The memory has to be back just as soon if the outage was long. Only the quickest of
 * the rounds is judged, since the machine may have delayed the other ones.
 */
static void back_soon_after_a_long_outage(void **state)
{
	static const unsigned int outages[] = { 1300, 1500, 3500 };
	double back, quickest = LATER;
	size_t i;

	for (i = 0; i < sizeof(outages) / sizeof(*outages); i++) {
		ok(vfio_decoding(&rig.device, false));
		sleep_ms(outages[i]);
		ok(vfio_decoding(&rig.device, true));
		back = expect_return(IOVA, 0, now(), LATER);
		printf("# back %.1f ms after %u ms off\n", 1e3 * back, outages[i]);
		if (back < quickest)
			quickest = back;
	}
	if (quickest > 0.050 * patience())
		broken("back after %.3f s at best", quickest);
}

static void back_after_reset(void **state)
{
	double start;

	ok(vfio_reset(&rig.device));
	start = now();
	printf("# back %.0f ms after a reset\n",
	       1e3 * expect_return(IOVA, 0, start, LATER));
	ok(vfio_hot_reset(&rig.device));
	start = now();
	printf("# back %.0f ms after a hot reset\n",
	       1e3 * expect_return(IOVA, 0, start, LATER));
}

static void back_after_low_power(void **state)
{
	double start;

	ok(vfio_low_power(&rig.device, true));
	sleep_ms(100);
	ok(vfio_low_power(&rig.device, false));
	start = now();
	expect_return(IOVA, 0, start, SOON);
}

static void back_after_mprotect_gives_the_permission_back(void **state)
{
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_NONE), 0);
	sleep_ms(100);
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_READ | PROT_WRITE), 0);
	expect_return(IOVA, 0, now(), SOON);
}

/* DMA still reads through a read-only mapping after its mmap has become read-only. */
static void read_only_mapping_survives_mprotect_to_read_only(void **state)
{
	uint8_t pattern[64], got[64] = { 0 };
	double start;

	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RO));
	target_pattern(pattern, sizeof(pattern));
	ok(target_write(&rig.target, 0, pattern, sizeof(pattern)));
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_READ), 0);
	for (start = now(); now() - start < LATER;) {
		ok(edu_read(&rig.edu, IOVA, got, sizeof(got)));
		if (!memcmp(got, pattern, sizeof(got)))
			break;
	}
	assert_memory_equal(got, pattern, sizeof(got));
}

static void rest_comes_back_after_a_partial_munmap(void **state)
{
	munmap(rig.map + RIG_HALF, PAGE);
	expect_return(IOVA, 0, now(), SOON);
	expect_landing(IOVA + RIG_HALF - PAGE, RIG_HALF - PAGE);
	expect_landing(IOVA + RIG_HALF + PAGE, RIG_HALF + PAGE);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
	munmap(rig.map, RIG_HALF);
	expect_return(IOVA + RIG_HALF + PAGE, RIG_HALF + PAGE, now(), SOON);
	/* Turning decoding off and on still revokes and restores the rest. */
	ok(vfio_decoding(&rig.device, false));
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE, now(), SOON);
}

static void splitting_the_mmap_loses_nothing(void **state)
{
	assert_int_equal(madvise(rig.map + RIG_HALF, PAGE, MADV_DONTFORK), 0);
	expect_return(IOVA, 0, now(), SOON);
	expect_landing(IOVA + RIG_HALF, RIG_HALF);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

static void closing_the_file_revokes_nothing_the_mmap_has(void **state)
{
	int fd = dup(rig.device.fd);

	close(rig.device.fd);
	rig.device.fd = fd;
	expect_landing(IOVA, 0);
}

static void unmap_reports_the_full_size_whatever_is_left(void **state)
{
	uint64_t unmapped = 0;

	ok(vfio_decoding(&rig.device, false));
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, &unmapped));
	assert_int_equal(unmapped, RIG_LEN);
	ok(vfio_decoding(&rig.device, true));

	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	munmap(rig.map, RIG_HALF);
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, &unmapped));
	assert_int_equal(unmapped, RIG_LEN);

	ok(vfio_dma_map(&rig.container, rig.map + RIG_HALF, IOVA, RIG_HALF,
			VFIO_DMA_RW));
	munmap(rig.map + RIG_HALF, RIG_HALF);
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_HALF, &unmapped));
	assert_int_equal(unmapped, RIG_HALF);
	/* All of the mapping is gone: its range can be mapped again. */
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					 PROT_READ | PROT_WRITE, rig.map));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	expect_landing(IOVA, 0);
}

/* Tests of operations that must not revoke a mirror, not even for a moment. */

/*
 * A thread writes to IOVA by DMA without a pause while disturb() is called again and
 * again, for a second and until there have been 100 writes. If IOVA is absent from the
 * IOMMU even for a moment, a write faults there and leaves a fault record, which fails
 * the test.
 */
static void undisturbed_by(void (*disturb)(void))
{
	struct watch w = { 0 };
	struct fault fault;
	pthread_t thread;
	double start = now();

	need_fault_records();
	fault_drain(&rig.faults);
	assert_int_equal(pthread_create(&thread, NULL, write_all_the_time, &w),
			 0);
	while ((now() - start < 1 || w.writes < 100) && !w.ret)
		disturb();
	w.stop = true;
	pthread_join(thread, NULL);
	ok(w.ret);
	printf("# %u DMA writes\n", w.writes);
	if (!fault_next(&rig.faults, &fault, 100))
		broken("a write in between met a fault at %#lx", fault.addr);
	expect_landing(IOVA, 0);
}

static void disturb_by_fork(void)
{
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(0);
	reap_child(0);
}

static void fork_does_not_revoke(void **state)
{
	undisturbed_by(disturb_by_fork);
}

static void disturb_by_clear_refs(void)
{
	ok(proc_write_file("/proc/self/clear_refs", "1"));
	ok(proc_write_file("/proc/self/clear_refs", "4"));
}

static void clear_refs_does_not_revoke(void **state)
{
	undisturbed_by(disturb_by_clear_refs);
}

/*
 * A write to /proc/self/clear_refs makes the process's page-table entries read-only, so
 * that the kernel notices the next write to each page. The process may still write, so
 * MAP_DMA for writing must succeed nevertheless.
 */
static void clear_refs_does_not_keep_it_from_being_mapped(void **state)
{
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					 PROT_READ | PROT_WRITE, rig.map));
	disturb_by_clear_refs();
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	expect_landing(IOVA, 0);
}

static void clear_refs_does_not_keep_it_from_coming_back(void **state)
{
	disturb_by_clear_refs();
	ok(vfio_decoding(&rig.device, false));
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), SOON);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

static void disturb_by_other_vmas(void)
{
	uint8_t *mem = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *next = rig.map + RIG_LEN, *at;

	assert_ptr_not_equal(mem, MAP_FAILED);
	memset(mem, 1, 8 * PAGE);
	assert_int_equal(mprotect(mem, PAGE, PROT_NONE), 0);
	assert_int_equal(madvise(mem + PAGE, PAGE, MADV_DONTNEED), 0);
	munmap(mem, 8 * PAGE);
	/* A new mmap directly behind rig.map, if that address is free. */
	at = mmap(next, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		  MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (at != next)
		return;
	at[0] = 1;
	munmap(at, PAGE);
}

static void changes_to_other_vmas_do_not_revoke(void **state)
{
	undisturbed_by(disturb_by_other_vmas);
}

/* An mmap and munmap of the same device memory at another address. */
static void disturb_by_another_mmap(void)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					PROT_READ | PROT_WRITE, NULL);

	assert_non_null(map);
	(void)*(volatile uint32_t *)(map + RIG_HALF);
	munmap(map, RIG_LEN);
}

static void munmap_of_another_mmap_does_not_revoke(void **state)
{
	undisturbed_by(disturb_by_another_mmap);
}

/* Tests of groups that are attached after the mapping was made. */

static void late_group_reaches_live_memory(void **state)
{
	uint8_t pattern[64];
	struct edu late;

	ok(edu_open(&late, &rig.container, EDU_B, IOVA_B));
	target_pattern(pattern, sizeof(pattern));
	ok(edu_write(&late, IOVA + PAGE, pattern, sizeof(pattern)));
	assert_true(target_has(&rig.target, PAGE, pattern, sizeof(pattern)));
	edu_close(&late);
	expect_landing(IOVA, 0);
}

static void late_group_does_not_reach_revoked_memory(void **state)
{
	uint8_t pattern[64];
	struct edu late;
	bool fault;

	ok(target_fill(&rig.target, 0, 0, PAGE));
	ok(vfio_decoding(&rig.device, false));
	ok(edu_open(&late, &rig.container, EDU_B, IOVA_B));
	target_pattern(pattern, sizeof(pattern));
	ok(edu_load(&late, pattern, sizeof(pattern)));
	ok(host_decoding(TARGET, true));
	fault_drain(&rig.faults);
	ok(edu_store(&late, IOVA, sizeof(pattern)));
	fault = !fault_wait(&rig.faults, EDU_B, IOVA, true, FAULT_MS);
	ok(host_decoding(TARGET, false));
	ok(vfio_decoding(&rig.device, true));
	edu_close(&late);
	if (target_has(&rig.target, 0, pattern, sizeof(pattern)))
		hole("a late group's DMA reached memory that was off");
	if (!fault)
		hole("the IOMMU let a late group's DMA out");
}

static void late_group_sees_what_comes_back(void **state)
{
	uint8_t pattern[64];
	struct edu late;

	ok(vfio_decoding(&rig.device, false));
	ok(edu_open(&late, &rig.container, EDU_B, IOVA_B));
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), LATER);
	target_pattern(pattern, sizeof(pattern));
	ok(edu_write(&late, IOVA, pattern, sizeof(pattern)));
	assert_true(target_has(&rig.target, 0, pattern, sizeof(pattern)));
	edu_close(&late);
}

/*
 * When its last group leaves, a container loses all mappings. That must also work while
 * a mirror is revoked and restore works on it.
 */
static void container_goes_while_its_mapping_is_revoked(void **state)
{
	struct vfio_container other;
	struct edu edu;

	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&edu, &other, EDU_B, IOVA_B));
	ok(vfio_dma_map(&other, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	ok(vfio_decoding(&rig.device, false));
	sleep_ms(20);
	edu_close(&edu);
	vfio_container_close(&other);
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), SOON);
}

#define MAPPED(f)	TEST(f, rig_mapped, heal)
#define UNMAPPED(f)	TEST(f, rig_unmapped, heal)
#define REVOKED(f)	SECURITY(f, rig_mapped, heal)
#define SHARED(f)	SECURITY(f, rig_unmapped, heal)

static const struct CMUnitTest tests[] = {
	UNMAPPED(whole_bar_is_reached_at_any_alignment),
	UNMAPPED(part_of_a_bar_is_the_right_part),
	UNMAPPED(a_bar_larger_than_memory_can_be_mapped),
	MAPPED(device_memory_is_not_charged),
	MAPPED(read_only_mapping_of_device_memory_stops_writes),
	UNMAPPED(write_mapping_of_a_read_only_mmap_is_refused),
	MAPPED(map_while_decoding_is_off_is_refused),
	UNMAPPED(one_mapping_spans_ram_and_several_devices),
	MAPPED(a_hole_behind_device_memory_leaves_nothing),

	REVOKED(decoding_off_revokes),
	REVOKED(low_power_revokes),
	SHARED(power_state_d3_revokes),
	REVOKED(reset_revokes),
	REVOKED(hot_reset_revokes),
	REVOKED(munmap_revokes),
	REVOKED(munmap_of_a_part_revokes_that_part),
	REVOKED(munmap_of_one_page_revokes_that_page),
	REVOKED(mmap_over_it_revokes),
	REVOKED(mprotect_to_none_revokes),
	REVOKED(mprotect_to_read_only_revokes),
	REVOKED(mprotect_of_a_part_revokes_that_part),
	REVOKED(close_and_unbind_revoke),
	UNMAPPED(other_processes_memory_is_reached),
	SHARED(exit_revokes),
	SHARED(being_killed_revokes),
	SHARED(exec_revokes),
	SHARED(exit_while_revoked_is_for_good),
	REVOKED(munmap_revokes_although_a_child_has_the_mmap),
	REVOKED(new_mmap_in_its_place_is_another_one),
	REVOKED(unmapped_while_revoked_is_for_good),
	REVOKED(half_unmapped_while_revoked_is_for_good),

	MAPPED(back_soon_after_a_short_outage),
	MAPPED(back_soon_after_a_long_outage),
	MAPPED(back_after_reset),
	MAPPED(back_after_low_power),
	MAPPED(back_after_mprotect_gives_the_permission_back),
	MAPPED(read_only_mapping_survives_mprotect_to_read_only),
	MAPPED(rest_comes_back_after_a_partial_munmap),
	MAPPED(splitting_the_mmap_loses_nothing),
	MAPPED(closing_the_file_revokes_nothing_the_mmap_has),
	MAPPED(unmap_reports_the_full_size_whatever_is_left),

	MAPPED(fork_does_not_revoke),
	MAPPED(clear_refs_does_not_revoke),
	TETHER(clear_refs_does_not_keep_it_from_being_mapped, rig_mapped, heal),
	MAPPED(clear_refs_does_not_keep_it_from_coming_back),
	MAPPED(changes_to_other_vmas_do_not_revoke),
	MAPPED(munmap_of_another_mmap_does_not_revoke),

	MAPPED(late_group_reaches_live_memory),
	REVOKED(late_group_does_not_reach_revoked_memory),
	MAPPED(late_group_sees_what_comes_back),
	MAPPED(container_goes_while_its_mapping_is_revoked),
};

TEST_MAIN(tests, rig_open, rig_close)
