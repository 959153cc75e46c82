// SPDX-License-Identifier: GPL-2.0-only
/*
 * A module built with STRICT_ONLY=1 has no way to turn strict_mmio_maps off, nor to list
 * a driver in foreign_mmio_maps.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "backend.h"
#include "proc.h"
#include "rig.h"

#define STRICT	backend_parameter("strict_mmio_maps")
#define FOREIGN	backend_parameter("foreign_mmio_maps")

static void expect_strict(void)
{
	char text[8];

	ok(proc_read_file(STRICT, text, sizeof(text)));
	assert_string_equal(text, "Y\n");
}

static void expect_no_list(void)
{
	char text[8];

	ok(proc_read_file(FOREIGN, text, sizeof(text)));
	assert_string_equal(text, "\n");
}

static void expect_read_only(const char *parameter, const char *value)
{
	struct stat st;

	assert_int_equal(stat(parameter, &st), 0);
	assert_int_equal(st.st_mode & 0222, 0);
	assert_int_not_equal(proc_write_file(parameter, value), 0);
}

static void parameters_are_read_only(void **state)
{
	expect_read_only(STRICT, "0");
	expect_strict();
	expect_read_only(FOREIGN, "emu");
	expect_no_list();
}

/* Loading the module with a list fails, or the module has no list nevertheless. */
static void loading_it_with_a_list_lists_nothing(void **state)
{
	if (!system("use-backend strict-only foreign_mmio_maps=emu 2>/dev/null"))
		expect_no_list();
	assert_int_equal(system("use-backend strict-only"), 0);
	expect_no_list();
}

/* Loading the module with strict_mmio_maps=N fails, or the module is strict nevertheless. */
static void loading_it_off_does_not_turn_it_off(void **state)
{
	if (!system("use-backend strict-only strict_mmio_maps=0 2>/dev/null"))
		expect_strict();
	assert_int_equal(system("use-backend strict-only"), 0);
	expect_strict();
}

static void other_drivers_memory_is_refused(void **state)
{
	struct host_bar other;

	rig_open(state);
	ok(vfio_device_unbind(ROOT_TARGET));
	ok(host_bar_open(&other, ROOT_TARGET, TARGET_BAR, MIB));
	refused(EPERM, vfio_dma_map(&rig.container, other.mem, IOVA, MIB,
				    VFIO_DMA_RW));
	host_bar_close(&other);
	rig_close(state);
}

static const struct CMUnitTest tests[] = {
	TETHER(parameters_are_read_only, NULL, NULL),
	TETHER(loading_it_with_a_list_lists_nothing, NULL, NULL),
	TETHER(loading_it_off_does_not_turn_it_off, NULL, NULL),
	TETHER(other_drivers_memory_is_refused, NULL, NULL),
};

TEST_MAIN(tests, NULL, NULL)
