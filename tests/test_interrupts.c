// SPDX-License-Identifier: GPL-2.0-only
/*
 * If the IOMMU does not remap interrupts, a device's DMA can forge any interrupt, so
 * the backend has to refuse the device's group. This program needs a boot with
 * intremap=off, which turns that remapping off.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "common.h"
#include "edu.h"
#include "emu.h"
#include "kmsg.h"
#include "proc.h"

#define ALLOW	backend_parameter("allow_unsafe_interrupts")

static struct vfio_container container;
static struct emu emu;
static struct edu edu;

static int setup(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	return 0;
}

static int teardown(void **state)
{
	edu_close(&edu);
	emu_close(&emu);
	vfio_container_close(&container);
	return proc_write_file(ALLOW, "0");
}

static void unsafe_interrupts_are_refused_unless_allowed(void **state)
{
	int log = kmsg_open();
	uint8_t data[] = "where it must";

	assert_true(log >= 0);
	/*
	 * The group is refused as the first one of a container that has no backend yet.
	 */
	refused(EPERM, edu_open(&edu, &container, EDU_A, IOVA_A));
	assert_true(kmsg_says(log, "allow_unsafe_interrupts"));
	close(log);
	/*
	 * The group is also refused as the container's second one. The first one may be
	 * that of an emulated device, which has no interrupts and is not refused.
	 */
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

TEST_MAIN(tests, with_emu, without_emu)
