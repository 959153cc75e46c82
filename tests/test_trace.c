// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tracepoints: each map, revocation, restore, unmap and refusal has a record, with the
 * process's PID and the device's PCI address.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "kmsg.h"
#include "proc.h"
#include "rig.h"
#include "trace.h"

#define RAM_LEN		(4 * PAGE)
#define IOVA_RAM	(IOVA + RIG_LEN)
#define HIGH		(1ULL << 60)

static char owner[32], ram_iova[32], ram_size[32];
static const char rig_iova[] = "iova=0x2000000000";

static int open_all(void **state)
{
	ok(rig_open(state));
	ok(trace_open());
	snprintf(owner, sizeof(owner), "owner=%d", getpid());
	snprintf(ram_iova, sizeof(ram_iova), "iova=0x%llx", IOVA_RAM);
	snprintf(ram_size, sizeof(ram_size), "size=0x%llx", RAM_LEN);
	return 0;
}

static int close_all(void **state)
{
	trace_close();
	return rig_close(state);
}

static int mapped(void **state)
{
	ok(trace_clear());
	return rig_mapped(state);
}

/* Restore runs without a call from the program, so wait until its record appears. */
static const char *await_restore(void)
{
	double end = now() + 3;
	const char *record;

	do {
		record = trace_find("restore", rig_iova, NULL);
		if (record)
			return record;
		sleep_ms(5);
	} while (now() < end);
	broken("no restore was traced");
	return NULL;
}

static void *get_ram(void)
{
	void *ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(ram, MAP_FAILED);
	return ram;
}

static void ram_is_traced(void **state)
{
	void *ram = get_ram();

	ok(trace_clear());
	ok(vfio_dma_map(&rig.container, ram, IOVA_RAM, RAM_LEN, VFIO_DMA_RO));
	assert_non_null(trace_find("map", owner, ram_iova, ram_size,
				   "kind=pinned prot=r device=-", NULL));
	assert_int_equal(trace_count("unmap"), 0);
	ok(vfio_dma_unmap(&rig.container, IOVA_RAM, RAM_LEN, NULL));
	assert_non_null(trace_find("unmap", owner, ram_iova, ram_size,
				   "kind=pinned", NULL));
	munmap(ram, RAM_LEN);
}

static void device_memory_is_traced_by_name(void **state)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 3 * MIB, MIB,
					PROT_READ | PROT_WRITE, NULL);

	ok(trace_clear());
	ok(vfio_dma_map(&rig.container, map + PAGE, IOVA, PAGE, VFIO_DMA_RW));
	assert_non_null(trace_find("map", owner, rig_iova, "size=0x1000 ",
				   "kind=mirror prot=rw device=" TARGET " region=2 offset=0x301000",
				   NULL));
	ok(vfio_dma_unmap(&rig.container, IOVA, PAGE, NULL));
	assert_non_null(trace_find("unmap", owner, rig_iova,
				   "kind=mirror", "device=" TARGET, NULL));
	munmap(map, MIB);
}

static void each_segment_is_traced(void **state)
{
	uint8_t *at = vfio_reserve(2 * PAGE, PAGE, 0);

	assert_int_equal(mprotect(at, PAGE, PROT_READ | PROT_WRITE), 0);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, PAGE,
					 PROT_READ | PROT_WRITE, at + PAGE));
	ok(trace_clear());
	ok(vfio_dma_map(&rig.container, at, IOVA, 2 * PAGE, VFIO_DMA_RW));
	assert_int_equal(trace_count("map"), 2);
	assert_non_null(trace_find("map", rig_iova, "kind=pinned", NULL));
	assert_non_null(trace_find("map", "iova=0x2000001000", "kind=mirror",
				   NULL));
	ok(vfio_dma_unmap(&rig.container, IOVA, 2 * PAGE, NULL));
	assert_int_equal(trace_count("unmap"), 2);
	munmap(at, 2 * PAGE);
}

static void outages_are_traced_with_their_length(void **state)
{
	const char *record;
	double away;

	ok(vfio_decoding(&rig.device, false));
	record = trace_find("revoke", owner, rig_iova, "device=" TARGET,
			    "region=2 cause=off gone=0x0", NULL);
	assert_non_null(record);
	sleep_ms(300);
	assert_int_equal(trace_count("restore"), 0);
	ok(vfio_decoding(&rig.device, true));
	record = await_restore();
	assert_non_null(strstr(record, "device=" TARGET));
	away = atof(trace_field(record, "away_ns=")) / 1e9;
	if (away < 0.3 || away > 3)
		broken("away for %.3f s, says the record", away);
}

static void what_is_unmapped_is_traced_as_gone(void **state)
{
	munmap(rig.map + RIG_HALF, RIG_HALF);
	assert_non_null(trace_find("revoke", rig_iova,
				   "cause=unmapped gone=0x800000", NULL));
	await_restore();
}

static void mprotect_is_traced(void **state)
{
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_READ), 0);
	assert_non_null(trace_find("revoke", rig_iova, "cause=mprotect gone=0x0",
				   NULL));
	assert_int_equal(mprotect(rig.map, RIG_LEN, PROT_READ | PROT_WRITE), 0);
	await_restore();
}

/* A child makes the mapping in its parent's container, and exits. */
static void exit_is_traced_with_its_owner(void **state)
{
	char text[32];
	pid_t child;
	int status;

	child = fork();
	assert_true(child >= 0);
	if (!child) {
		void *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, MIB,
					     PROT_READ, NULL);

		_exit(!map || vfio_dma_map(&rig.container, map, IOVA, MIB,
					   VFIO_DMA_RO));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	snprintf(text, sizeof(text), "owner=%d", child);
	assert_non_null(trace_find("map", rig_iova, text, NULL));
	assert_non_null(trace_find("revoke", rig_iova, text, "device=" TARGET,
				   "gone=0x100000", NULL));
}

static void refusals_are_traced(void **state)
{
	refused(EEXIST, vfio_dma_map(&rig.container, rig.map, IOVA, PAGE,
				     VFIO_DMA_RW));
	assert_non_null(trace_find("refuse", rig_iova, "size=0x1000 ", owner,
				   "error=-17 comm=test_trace",
				   "reason=IOVAs 0x2000000000 to 0x2000ffffff are mapped already, by test_trace[",
				   NULL));
	munmap(rig.map + PAGE, PAGE);
	ok(trace_clear());
	refused(EFAULT, vfio_dma_map(&rig.container, rig.map + PAGE, IOVA_RAM,
				     PAGE, VFIO_DMA_RW));
	assert_non_null(trace_find("refuse", ram_iova, "error=-14",
				   " has no memory", NULL));
	/*
	 * If MAP_DMA fails after it has mapped a part, the part's unmap is traced, too.
	 */
	refused(EFAULT, vfio_dma_map(&rig.container, rig.map, IOVA_RAM,
				     2 * PAGE, VFIO_DMA_RW));
	assert_int_equal(trace_count("map"), 1);
	assert_int_equal(trace_count("unmap"), 1);
	assert_int_equal(trace_count("refuse"), 2);
}

static void refused_and_logged(int error, void *at, uint64_t iova, const char *reason)
{
	int log = kmsg_open();

	refused(error, vfio_dma_map(&rig.container, at, iova, PAGE, VFIO_DMA_RW));
	if (!kmsg_says(log, reason))
		broken("not logged: %s", reason);
	close(log);
	assert_non_null(trace_find("refuse", owner, reason, NULL));
}

static void the_log_tells_what_an_operator_can_change(void **state)
{
	void *ram = get_ram();
	int log;

	ok(trace_clear());
	/* Some IOMMUs can translate every IOVA. */
	if (!vfio_dma_map(&rig.container, ram, HIGH, PAGE, VFIO_DMA_RW))
		ok(vfio_dma_unmap(&rig.container, HIGH, PAGE, NULL));
	else
		refused_and_logged(EINVAL, ram, HIGH, "not all in the usable IOVAs 0x");
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, false));
	refused_and_logged(EFAULT, rig.map, IOVA,
			   "the memory of " TARGET " is off, or it is being reset");
	ok(vfio_decoding(&rig.device, true));

	/* A mistake of the program's is traced only. */
	log = kmsg_open();
	ok(vfio_dma_map(&rig.container, ram, IOVA, PAGE, VFIO_DMA_RW));
	refused(EEXIST, vfio_dma_map(&rig.container, ram, IOVA, PAGE, VFIO_DMA_RW));
	assert_false(kmsg_says(log, "MAP_DMA of IOVA"));
	close(log);
	munmap(ram, RAM_LEN);
}

static void the_log_tells_that_a_limit_is_reached(void **state)
{
	const char *limit = backend_parameter("dma_entry_limit");
	struct vfio_container container, saved = rig.container;
	struct vfio_device device;
	void *ram = get_ram();

	ok(trace_clear());
	ok(vfio_device_bind(TARGET2));
	ok(proc_write_file(limit, "1"));
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &container, TARGET2));
	ok(proc_write_file(limit, "65535"));
	ok(vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW));
	rig.container = container;
	refused_and_logged(ENOSPC, ram, IOVA + PAGE,
			   "the container has its 1 mappings (dma_entry_limit)");
	rig.container = saved;
	vfio_device_close(&device);
	vfio_container_close(&container);
	munmap(ram, RAM_LEN);
}

static void memory_that_is_not_mapped_any_more_is_not_traced(void **state)
{
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	assert_int_equal(trace_count("map"), 1);
	assert_int_equal(trace_count("unmap"), 1);
	munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	assert_int_equal(trace_count("revoke"), 0);
}

static const struct CMUnitTest tests[] = {
	TETHER(ram_is_traced, rig_unmapped, rig_heal),
	TETHER(device_memory_is_traced_by_name, rig_unmapped, rig_heal),
	TETHER(each_segment_is_traced, rig_unmapped, rig_heal),
	TETHER(outages_are_traced_with_their_length, mapped, rig_heal),
	TETHER(what_is_unmapped_is_traced_as_gone, mapped, rig_heal),
	TETHER(mprotect_is_traced, mapped, rig_heal),
	TETHER(exit_is_traced_with_its_owner, rig_unmapped, rig_heal),
	TETHER(refusals_are_traced, mapped, rig_heal),
	TETHER(the_log_tells_what_an_operator_can_change, mapped, rig_heal),
	TETHER(the_log_tells_that_a_limit_is_reached, mapped, rig_heal),
	TETHER(memory_that_is_not_mapped_any_more_is_not_traced, mapped,
	       rig_heal),
};

TEST_MAIN(tests, open_all, close_all)
