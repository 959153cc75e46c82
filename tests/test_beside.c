// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tether beside the in-tree backend: whatever a program does to make tether fail, the
 * in-tree backend must not get a container that is made while tether is loaded. If tether
 * refuses a container, its devices reach no memory, and each call on it returns the error.
 *
 * Needs a boot with intremap=off. Interrupts are then not isolated, so a backend refuses
 * each group with an IOMMU unless its parameter allow_unsafe_interrupts is set; a test
 * sets it for one backend and not for the other. If only the in-tree backend is loaded, it
 * gets each container, and the security tests report that as the hole.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio_tether.h>

#include "backend.h"
#include "cgroup.h"
#include "command.h"
#include "common.h"
#include "edu.h"
#include "edu_regs.h"
#include "emu.h"
#include "failnth.h"
#include "fault.h"
#include "kmsg.h"
#include "proc.h"
#include "target.h"

#define ALLOW		"allow_unsafe_interrupts"
#define IN_TREE_ALLOW	"/sys/module/vfio_iommu_type1/parameters/" ALLOW
#define NESTING		6	/* VFIO_TYPE1_NESTING_IOMMU, of Linux up to 6.12 */
#define LEN		64u
/* Tries in a control group at its limit. A tether that fails has lost within some ten. */
#define TRIES		200

static struct vfio_container container, other;
static struct emu emu;
static struct edu edu;
static struct vfio_device device;
static int real = -1, emulated = -1;	/* groups; teardown() closes them */
static uint8_t *ram;

static int setup(void **state)
{
	ok(proc_write_file(backend_parameter(ALLOW), "1"));
	if (!access(IN_TREE_ALLOW, F_OK))
		ok(proc_write_file(IN_TREE_ALLOW, "1"));
	ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	other.fd = -1;
	return 0;
}

static void close_groups(void)
{
	if (real >= 0)
		close(real);
	if (emulated >= 0)
		close(emulated);
	real = -1;
	emulated = -1;
}

static int teardown(void **state)
{
	vfio_device_close(&device);
	edu_close(&edu);
	emu_close(&emu);
	close_groups();
	vfio_container_close(&other);
	vfio_container_close(&container);
	memset(&device, 0, sizeof(device));
	memset(&edu, 0, sizeof(edu));
	memset(&emu, 0, sizeof(emu));
	munmap(ram, PAGE);
	return proc_write_file(backend_parameter(ALLOW), "1");
}

/*
 * Have tether refuse groups whose interrupts are not isolated, and the in-tree backend
 * still take them.
 */
static void refuse_unsafe_groups(void)
{
	if (backend_is_beside())
		ok(proc_write_file(backend_parameter(ALLOW), "0"));
}

/* --- Steps of vfio_device_open() -------------------------------------------- */

static int set_container(int group, struct vfio_container *c)
{
	return ioctl(group, VFIO_GROUP_SET_CONTAINER, &c->fd) ? -errno : 0;
}

static int set_iommu(struct vfio_container *c, unsigned long type)
{
	return ioctl(c->fd, VFIO_SET_IOMMU, type) ? -errno : 0;
}

static void open_real_group(void)
{
	ok(vfio_device_bind(EDU_A));
	real = vfio_group_open(EDU_A);
	assert_true(real >= 0);
}

static void open_emulated_group(void)
{
	emulated = vfio_group_open_link("/sys/devices/platform/" EMU_DEVICE_NAME ".0/iommu_group");
	assert_true(emulated >= 0);
}

/* Start anew with an open container that has no group. */
static void renew_container(void)
{
	close_groups();
	vfio_container_close(&container);
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
}

/* VFIO_SET_IOMMU with a group that tether has to refuse, and the in-tree backend takes. */
static void set_iommu_with_refused_group(void)
{
	open_real_group();
	refuse_unsafe_groups();
	ok(set_container(real, &container));
	ok(set_iommu(&container, VFIO_TYPE1v2_IOMMU));
}

/* Open a device of an attached group. @d takes over the group's file. */
static void take_device(struct vfio_device *d, int *group, const char *name)
{
	*d = (struct vfio_device){ .container = &container, .group = *group };
	*group = -1;
	strcpy(d->bdf, name);
	d->fd = ioctl(d->group, VFIO_GROUP_GET_DEVICE_FD, d->bdf);
	assert_true(d->fd >= 0);
}

/* --- Which backend has a container ------------------------------------------- */

static bool is_tethers(struct vfio_container *c)
{
	return ioctl(c->fd, VFIO_CHECK_EXTENSION, VFIO_TETHER_EXTENSION) == 1;
}

static void expect_tethers(struct vfio_container *c, const char *when)
{
	if (!is_tethers(c))
		hole("%s: the container is the in-tree backend's", when);
}

/* The container was refused with this error, which all its calls return. */
static void expect_refused(struct vfio_container *c, int error)
{
	struct vfio_iommu_type1_info info = { .argsz = sizeof(info) };

	expect_tethers(c, "refused");
	refused(error, vfio_dma_map(c, ram, IOVA, PAGE, VFIO_DMA_RW));
	refused(error, ioctl(c->fd, VFIO_IOMMU_GET_INFO, &info) ? -errno : 0);
	refused(error, vfio_dirty_log(c, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
}

/* --- Tests ------------------------------------------------------------------- */

static void a_group_that_only_in_tree_takes_is_refused(void **state)
{
	int log = kmsg_open();

	assert_true(log >= 0);
	set_iommu_with_refused_group();
	expect_refused(&container, EPERM);
	assert_true(kmsg_says(log, "was refused"));
	close(log);
}

static void tetherctl_says_what_was_refused(void **state)
{
	static const char *const argv[] = { "tetherctl", "maps", NULL };
	static struct command ctl;

	set_iommu_with_refused_group();
	ok(command_run(&ctl, argv));
	if (!strstr(ctl.text, "was refused (Operation not permitted)"))
		broken("no refused container in: %s", ctl.text);
}

static void devices_of_a_refused_container_reach_nothing(void **state)
{
	struct vfio_device *d = &device;
	struct fault_log faults;

	ok(fault_open(&faults));
	set_iommu_with_refused_group();
	expect_tethers(&container, "with a device to open");
	take_device(d, &real, EDU_A);
	edu.dev = *d;
	ok(vfio_bus_master(d, true));
	edu.regs = vfio_region_mmap(d, 0, 0, EDU_REGS, PROT_READ | PROT_WRITE,
				    NULL);
	assert_non_null(edu.regs);
	fault_drain(&faults);
	ok(edu_start_store(&edu, IOVA, LEN));
	ok(edu_wait(&edu));
	ok(fault_wait(&faults, EDU_A, IOVA, true, FAULT_MS));
	fault_close(&faults);
	munmap((void *)edu.regs, EDU_REGS);
	memset(&edu, 0, sizeof(edu));
}

static void emulated_devices_of_a_refused_container_get_the_error(void **state)
{
	uint8_t data[8];

	open_emulated_group();
	ok(set_container(emulated, &container));
	set_iommu_with_refused_group();
	expect_refused(&container, EPERM);
	take_device(&emu.dev, &emulated, EMU_DEVICE_NAME ".0");
	refused(EPERM, emu_pin(&emu, IOVA, 1, EMU_PROT_READ));
	refused(EPERM, emu_read(&emu, IOVA, data, sizeof(data)));
	refused(EPERM, emu_write(&emu, IOVA, data, sizeof(data)));
}

/*
 * The program makes no ioctl on the container between VFIO_SET_IOMMU and the second group,
 * so tether cannot tell by an earlier call that VFIO_SET_IOMMU has ended.
 */
static void a_group_that_joins_later_gets_its_error(void **state)
{
	open_real_group();
	open_emulated_group();
	ok(set_container(emulated, &container));
	ok(set_iommu(&container, VFIO_TYPE1v2_IOMMU));
	if (!backend_is_beside())
		expect_tethers(&container, "with a group that was taken");
	refuse_unsafe_groups();
	refused(EPERM, set_container(real, &container));
	expect_tethers(&container, "with the group that was taken");
	ok(vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
}

static void a_group_that_joins_a_refused_container_gets_the_error(void **state)
{
	open_emulated_group();
	set_iommu_with_refused_group();
	expect_tethers(&container, "before the other group joins");
	refused(EPERM, set_container(emulated, &container));
	close_groups();
	/* A container without groups has no backend, and VFIO_SET_IOMMU works again. */
	ok(proc_write_file(backend_parameter(ALLOW), "1"));
	open_real_group();
	ok(set_container(real, &container));
	ok(set_iommu(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW));
}

static void nesting_is_refused(void **state)
{
	int ret;

	open_emulated_group();
	ok(set_container(emulated, &container));
	ret = set_iommu(&container, NESTING);
	if (ret)
		refused(ENODEV, ret); /* on this kernel no backend takes the type */
	else
		expect_refused(&container, EINVAL);
}

/*
 * Runs in a child. The child limits its control group to one page more than it uses, and
 * opens so many files, which use up some of that page. With the right number of files, the
 * kernel kills the child at the first charged allocation in VFIO_SET_IOMMU, which is
 * tether's, and that allocation fails. The in-tree backend's is not charged, and succeeds.
 */
static int set_iommu_in_need(void *files)
{
	unsigned int i, n = *(unsigned int *)files;
	char limit[32];
	long used;

	if (cgroup_enter("memory"))
		return 1;
	used = cgroup_number("memory.current");
	snprintf(limit, sizeof(limit), "%ld",
		 (used > 0 ? used : 0) + (long)PAGE);
	cgroup_write("memory.swap.max", "0");
	cgroup_write("memory.max", limit);
	for (i = 0; i < n; i++)
		open("/dev/null", O_RDONLY);
	return set_iommu(&container, VFIO_TYPE1v2_IOMMU) ? 2 : 0;
}

static void want_of_memory_is_no_way_around(void **state)
{
	unsigned int i, files, killed = 0;
	int ret;

	ok(proc_write_file(backend_parameter(ALLOW), "1"));
	for (i = 0; i < TRIES; i++) {
		open_real_group();
		ok(set_container(real, &container));
		files = i % 40;
		ret = proc_run(set_iommu_in_need, &files);
		if (ret == 1)
			lacks("control groups with the memory controller");
		killed += ret == -EINTR;
		expect_tethers(&container, "made by a process at its memory limit");
		renew_container();
	}
	printf("# %u of %u processes were killed in the call\n", killed, TRIES);
}

static void each_allocation_may_fail(void **state)
{
	unsigned int nth = 0;
	bool failed;
	int ret;

	if (failnth_open())
		lacks("fault injection, which a debug kernel has");
	do {
		open_real_group();
		ok(set_container(real, &container));
		failnth_arm(++nth);
		ok(set_iommu(&container, VFIO_TYPE1v2_IOMMU));
		failed = failnth_disarm();
		expect_tethers(&container, "an allocation of which failed");
		/*
		 * If 6.1's IOMMU core cannot allocate a domain, it returns none and no
		 * errno, which tether makes EIO.
		 */
		ret = vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW);
		if (ret && ret != -EIO)
			assert_int_equal(ret, -ENOMEM);
		if (ret)
			expect_refused(&container, -ret);
		renew_container();
	} while (failed);
	printf("# INJECTED: calls %u, failing %u (VFIO_SET_IOMMU beside)\n",
	       nth, nth - 1);
	failnth_close();
}

static void the_two_names_do_not_serve_at_once(void **state)
{
	if (in_tree_is_built_in())
		lacks("an in-tree module, whose name tether could have");
	vfio_container_close(&container);
	assert_int_equal(system("rmmod vfio_iommu_type1"), 0);
	assert_int_not_equal(system("insmod /modules/tether/vfio_iommu_type1.ko"),
			     0);
	assert_int_equal(system("dmesg | grep -q 'type1: not loaded: tether is loaded already'"),
			 0);
	assert_int_equal(system("use-backend beside " ALLOW "=1"), 0);
}

/*
 * The in-tree backend keeps a container that was open when tether was loaded, and tether
 * gets the next one. A device's memory is mapped in both containers, and then the device
 * moves from one to the other.
 */
static void old_containers_go_on_and_new_ones_are_tethers(void **state)
{
	struct vfio_device moved;
	void *bar;

	vfio_container_close(&container);
	assert_int_equal(system("use-backend intree " ALLOW "=1"), 0);
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	assert_int_equal(system("insmod /modules/beside/vfio_iommu_tether.ko " ALLOW "=1"),
			 0);
	assert_false(is_tethers(&container));
	ok(vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW));

	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &other, TARGET));
	expect_tethers(&other, "made after tether was loaded");
	bar = vfio_region_mmap(&device, TARGET_BAR, 0, MIB,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(bar);
	ok(vfio_dma_map(&other, bar, IOVA, MIB, VFIO_DMA_RW));
	ok(vfio_dma_map(&container, bar, IOVA + MIB, MIB, VFIO_DMA_RW));
	ok(edu_store(&edu, IOVA + MIB, LEN));
	ok(vfio_dma_unmap(&container, IOVA + MIB, MIB, NULL));
	munmap(bar, MIB);

	/* Each goes on when the other is closed; both modules unload when they are idle. */
	vfio_device_close(&device);
	vfio_container_close(&other);
	assert_int_equal(system("rmmod vfio_iommu_tether"), 0);
	ok(vfio_device_open(&moved, &container, TARGET));
	ok(edu_store(&edu, IOVA, LEN));
	vfio_device_close(&moved);
	edu_close(&edu);
	memset(&edu, 0, sizeof(edu));
	vfio_container_close(&container);
	assert_int_equal(system("use-backend beside " ALLOW "=1"), 0);
}

static const struct CMUnitTest tests[] = {
	SECURITY(a_group_that_only_in_tree_takes_is_refused, setup, teardown),
	TETHER(tetherctl_says_what_was_refused, setup, teardown),
	SECURITY(devices_of_a_refused_container_reach_nothing, setup, teardown),
	SECURITY(emulated_devices_of_a_refused_container_get_the_error, setup,
		 teardown),
	SECURITY(a_group_that_joins_later_gets_its_error, setup, teardown),
	SECURITY(a_group_that_joins_a_refused_container_gets_the_error, setup,
		 teardown),
	TETHER(nesting_is_refused, setup, teardown),
	SECURITY(want_of_memory_is_no_way_around, setup, teardown),
	TETHER(each_allocation_may_fail, setup, teardown),
	TETHER(the_two_names_do_not_serve_at_once, setup, teardown),
	TETHER(old_containers_go_on_and_new_ones_are_tethers, setup, teardown),
};

TEST_MAIN(tests, with_emu, without_emu)
