// SPDX-License-Identifier: GPL-2.0-only
/*
 * Without interrupt remapping, a device's DMA can forge any interrupt. Needs a
 * boot with intremap=off.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "edu.h"
#include "emu.h"
#include "proc.h"

#define ALLOW "/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts"

static struct vfio_container container;
static struct emu emu;
static struct edu edu;

static int load(void **state)
{
	(void)state;
	return emu_load();
}

static int unload(void **state)
{
	(void)state;
	return emu_unload();
}

static int setup(void **state)
{
	(void)state;
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	edu_close(&edu);
	emu_close(&emu);
	vfio_container_close(&container);
	return proc_write_file(ALLOW, "0");
}

static bool log_says(int fd, const char *text)
{
	char line[2048];
	bool found = false;
	ssize_t len;

	while ((len = read(fd, line, sizeof(line) - 1)) > 0) {
		line[len] = 0;
		if (strstr(line, "vfio_iommu_type1") && strstr(line, text))
			found = true;
	}
	close(fd);
	return found;
}

static void unsafe_interrupts_are_refused_unless_allowed(void **state)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	uint8_t data[] = "where it must";

	(void)state;
	assert_true(log >= 0);
	assert_int_equal(lseek(log, 0, SEEK_END), 0);
	/* As the first group, whose container has no backend yet ... */
	refused(EPERM, edu_open(&edu, &container, EDU_A, IOVA_A));
	assert_true(log_says(log, "allow_unsafe_interrupts"));
	/* ... and as a later one; emulated devices have no interrupts. */
	ok(emu_open(&emu, &container, 0));
	refused(EPERM, edu_open(&edu, &container, EDU_A, IOVA_A));

	ok(proc_write_file(ALLOW, "1"));
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	ok(edu_load(&edu, data, sizeof(data)));
	memset(edu.bounce, 0, sizeof(data));
	ok(edu_store(&edu, IOVA_A, sizeof(data)));
	assert_memory_equal(edu.bounce, data, sizeof(data));
}

static const struct CMUnitTest tests[] = {
	TEST(unsafe_interrupts_are_refused_unless_allowed, setup, teardown),
};

TEST_MAIN(tests, load, unload)
