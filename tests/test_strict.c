// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameters strict_mmio_maps and foreign_mmio_maps. If strict_mmio_maps is on,
 * MAP_DMA refuses device memory that is not vfio-pci's, except that of the drivers that
 * foreign_mmio_maps lists; if it is off, MAP_DMA makes a mirror of any device memory.
 *
 * These tests use the BAR of a device that has no driver. They mmap it through its
 * sysfs file, or through a character device of the module emu.
 */
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "emu.h"
#include "kmsg.h"
#include "proc.h"
#include "rig.h"

#define STRICT	backend_parameter("strict_mmio_maps")
#define FOREIGN	backend_parameter("foreign_mmio_maps")
#define MEMORY	"/dev/" EMU_MEMORY_NAME
#define TAINT_USER_BIT	6

#define LACKING		120	/* a child's status: the kernel lacks the feature */

static struct host_bar other;		/* mapped for DMA */
static struct host_bar witness;		/* the same memory, another mmap */

static int setup(void **state)
{
	ok(vfio_device_unbind(ROOT_TARGET));
	ok(host_bar_open(&other, ROOT_TARGET, TARGET_BAR, RIG_LEN));
	ok(host_bar_open(&witness, ROOT_TARGET, TARGET_BAR, RIG_LEN));
	return rig_unmapped(state);
}

static int teardown(void **state)
{
	host_bar_close(&other);
	host_bar_close(&witness);
	if (on_tether()) {
		proc_write_file(STRICT, "1");
		proc_write_file(FOREIGN, "\n");
	}
	return rig_heal(state);
}

/* The memory is mapped through the driver emu, not through sysfs. */
static int setup_driver(void **state)
{
	ok(emu_load());
	setup(state);
	host_bar_close(&other);
	ok(host_bar_open_by_driver(&other, MEMORY, ROOT_TARGET, TARGET_BAR,
				   RIG_LEN));
	return 0;
}

static int setup_off(void **state)
{
	if (on_tether())
		ok(proc_write_file(STRICT, "0"));
	return setup(state);
}

static bool reaches_other(uint64_t offset)
{
	host_bar_clear(&witness, offset, PAGE);
	ok(nvme_identify(&rig.nvme, IOVA + offset));
	return host_bar_has(&witness, offset, rig.nvme.identity, PAGE);
}

static int map_other(void)
{
	return vfio_dma_map(&rig.container, other.mem, IOVA, RIG_LEN,
			    VFIO_DMA_RW);
}

static void other_drivers_memory_is_refused(void **state)
{
	int log = kmsg_open(), ret = map_other();

	if (!ret && reaches_other(0))
		hole("DMA reaches memory that is no VFIO device's");
	refused(EPERM, ret);
	/* The log has the file's directory, too, which tells whose memory it is. */
	assert_true(kmsg_says(log, " " ROOT_TARGET "/resource2 refused: it belongs to no VFIO"));
	close(log);
	ok(nvme_identify(&rig.nvme, IOVA));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

/* The first page is RAM: it is unpinned again when the memory behind it is refused. */
static void refusal_leaves_nothing(void **state)
{
	long locked = proc_status_kb(0, "VmLck");

	assert_ptr_equal(mmap(other.mem, PAGE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			 other.mem);
	refused(EPERM, map_other());
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	ok(nvme_identify(&rig.nvme, IOVA));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

/* Tries to map RAM that a driver has mapped. Returns 0 or a positive errno. */
static int map_drivers_ram(void *mem, size_t len)
{
	return -vfio_dma_map(&rig.container, mem, IOVA, len, VFIO_DMA_RO);
}

static int map_heap(void *arg)
{
	struct dma_heap_allocation_data buffer = {
		.len = MIB,
		.fd_flags = O_RDWR | O_CLOEXEC,
	};
	int heap = open("/dev/dma_heap/system", O_RDONLY | O_CLOEXEC);
	void *mem;

	(void)arg;
	if (heap < 0 || ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &buffer))
		return LACKING;
	mem = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, buffer.fd, 0);
	return mem == MAP_FAILED ? LACKING : map_drivers_ram(mem, MIB);
}

/* In a time namespace the vDSO's data has a page of RAM, mapped as device memory is. */
static int map_time(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long addr = 0;
	char line[256];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "[vvar]"))
			addr = strtoul(line, NULL, 16);
	return addr ? map_drivers_ram((void *)addr, PAGE) : LACKING;
}

/* unshare() gives the new time namespace to later children only, so a child maps. */
static int map_time_namespace(void *arg)
{
	int status;
	pid_t pid;

	(void)arg;
	if (unshare(CLONE_NEWTIME))
		return LACKING;
	pid = fork();
	if (!pid)
		_exit(map_time());
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status);
}

static bool is_refused_as_ram(int (*map)(void *arg))
{
	int log = kmsg_open(), ret = proc_run(map, NULL);

	if (ret == LACKING) {
		close(log);
		return false;
	}
	assert_int_equal(ret, EFAULT);
	assert_false(kmsg_says(log, "strict_mmio_maps"));
	close(log);
	return true;
}

/* The kernel log must not advise strict_mmio_maps=N, which does not permit such RAM. */
static void ram_that_a_driver_maps_is_refused_without_advice(void **state)
{
	bool heap = is_refused_as_ram(map_heap);
	bool time = is_refused_as_ram(map_time_namespace);

	if (!heap && !time)
		lacks("RAM that a driver maps like a device's");
	if (on_tether())
		ok(proc_write_file(STRICT, "0"));
	if (heap)
		assert_int_equal(proc_run(map_heap, NULL), EFAULT);
	if (time)
		assert_int_equal(proc_run(map_time_namespace, NULL), EFAULT);
}

static void expect_refused(void)
{
	refused(EPERM, map_other());
}

/* The line names a setting that would permit this memory and no other driver's. */
static void refusal_names_the_driver(void **state)
{
	int log = kmsg_open();

	expect_refused();
	assert_true(kmsg_says(log, EMU_MEMORY_NAME));
	close(log);
	log = kmsg_open();
	expect_refused();
	assert_true(kmsg_says(log, "foreign_mmio_maps=emu would"));
	close(log);
}

static void listed_drivers_memory_is_mapped(void **state)
{
	ok(proc_write_file(FOREIGN, "nobody,emu"));
	ok(map_other());
	assert_true(reaches_other(0));
	munmap(other.mem, RIG_LEN);
	other.mem = NULL;
	assert_false(reaches_other(0));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

static void listed_devices_memory_is_mapped(void **state)
{
	char name[32];
	struct stat st;

	assert_int_equal(stat(MEMORY, &st), 0);
	snprintf(name, sizeof(name), "%u:%u\n", major(st.st_rdev),
		 minor(st.st_rdev));
	ok(proc_write_file(FOREIGN, name));
	ok(map_other());
	assert_true(reaches_other(0));
}

static void only_listed_drivers_memory_is_mapped(void **state)
{
	static const char *const lists[] = { "em", "emu2", "nobody,e_mu",
		"10:0", "vfio_pci,vfio" };
	size_t i;

	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		ok(proc_write_file(FOREIGN, lists[i]));
		expect_refused();
	}
	ok(proc_write_file(FOREIGN, "emu"));
	host_bar_close(&other);
	ok(host_bar_open(&other, ROOT_TARGET, TARGET_BAR, RIG_LEN));
	expect_refused();
}

static void driver_that_is_listed_no_more_is_refused(void **state)
{
	ok(proc_write_file(FOREIGN, "emu"));
	ok(map_other());
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	ok(proc_write_file(FOREIGN, "\n"));
	expect_refused();
}

/* A mirror that is listed no more is not restored. */
static void mirror_of_unlisted_driver_stays_revoked(void **state)
{
	ok(proc_write_file(FOREIGN, "emu"));
	ok(map_other());
	ok(proc_write_file(FOREIGN, "\n"));
	assert_int_equal(mprotect(other.mem, RIG_LEN, PROT_READ), 0);
	assert_int_equal(mprotect(other.mem, RIG_LEN, PROT_READ | PROT_WRITE),
			 0);
	usleep(500 * 1000);
	assert_false(reaches_other(0));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

static void bad_lists_are_refused(void **state)
{
	static const char *const lists[] = { ",", "emu,", ",emu", "a,,b",
		"a b", "/dev/mem", "emu;x" };
	char text[32];
	size_t i;

	ok(proc_write_file(FOREIGN, "emu"));
	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		refused(EINVAL, proc_write_file(FOREIGN, lists[i]));
	ok(proc_read_file(FOREIGN, text, sizeof(text)));
	assert_string_equal(text, "emu\n");
}

static void listing_a_driver_is_logged(void **state)
{
	int log = kmsg_open();

	ok(proc_write_file(FOREIGN, "emu"));
	assert_true(kmsg_says(log, "foreign_mmio_maps set to emu by test_strict["));
	close(log);
}

static void strict_is_the_default(void **state)
{
	char text[8];

	ok(proc_read_file(STRICT, text, sizeof(text)));
	assert_string_equal(text, "Y\n");
}

static bool is_tainted(void)
{
	char text[32];

	ok(proc_read_file("/proc/sys/kernel/tainted", text, sizeof(text)));
	return atol(text) & 1 << TAINT_USER_BIT;
}

/* test_strict_only and test_lockdown run in boots of their own. */
static void listing_a_driver_taints(void **state)
{
	assert_false(is_tainted());
	ok(proc_write_file(FOREIGN, "\n"));
	assert_false(is_tainted());
	ok(proc_write_file(FOREIGN, "nobody"));
	assert_true(is_tainted());
}

static void turning_it_off_taints_and_is_logged(void **state)
{
	int log = kmsg_open();

	ok(proc_write_file(STRICT, "0"));
	assert_true(is_tainted());
	assert_true(kmsg_says(log, "strict_mmio_maps"));
	close(log);
}

static void with_strict_off_other_memory_is_reached(void **state)
{
	uint64_t unmapped = 0;

	ok(map_other());
	assert_true(reaches_other(0));
	assert_true(reaches_other(RIG_LEN - PAGE));
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, &unmapped));
	assert_int_equal(unmapped, RIG_LEN);
	assert_false(reaches_other(0));
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

static void with_strict_off_munmap_revokes(void **state)
{
	ok(map_other());
	munmap(other.mem, RIG_LEN);
	if (reaches_other(0))
		hole("DMA reaches memory that was unmapped");
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
}

static void with_strict_off_mprotect_revokes(void **state)
{
	ok(map_other());
	assert_int_equal(mprotect(other.mem, RIG_LEN, PROT_READ), 0);
	if (reaches_other(0))
		hole("DMA writes to memory that is read-only");
	ok(fault_wait(&rig.faults, NVME, IOVA, true, FAULT_MS));
	assert_int_equal(mprotect(other.mem, RIG_LEN, PROT_READ | PROT_WRITE),
			 0);
}

static const struct CMUnitTest tests[] = {
	TETHER(strict_is_the_default, NULL, NULL),
	SECURITY(other_drivers_memory_is_refused, setup, teardown),
	TETHER(refusal_leaves_nothing, setup, teardown),
	TETHER(listing_a_driver_taints, NULL, teardown),
	TETHER(listing_a_driver_is_logged, NULL, teardown),
	TETHER(bad_lists_are_refused, NULL, teardown),
	TETHER(refusal_names_the_driver, setup_driver, teardown),
	TETHER(listed_drivers_memory_is_mapped, setup_driver, teardown),
	TETHER(listed_devices_memory_is_mapped, setup_driver, teardown),
	TETHER(only_listed_drivers_memory_is_mapped, setup_driver, teardown),
	TETHER(driver_that_is_listed_no_more_is_refused, setup_driver, teardown),
	TETHER(mirror_of_unlisted_driver_stays_revoked, setup_driver, teardown),
	TETHER(turning_it_off_taints_and_is_logged, setup, teardown),
	TEST(ram_that_a_driver_maps_is_refused_without_advice, rig_unmapped,
	     teardown),
	TEST(with_strict_off_other_memory_is_reached, setup_off, teardown),
	SECURITY(with_strict_off_munmap_revokes, setup_off, teardown),
	SECURITY(with_strict_off_mprotect_revokes, setup_off, teardown),
};

TEST_MAIN(tests, rig_open, rig_close)
