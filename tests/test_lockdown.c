// SPDX-License-Identifier: GPL-2.0-only
/*
 * A locked-down kernel keeps strict_mmio_maps on, and no driver can be listed in
 * foreign_mmio_maps. A list from before can be emptied, but not changed.
 *
 * Once this program has locked the kernel down, only a reboot ends that. So it has to
 * be the last program of its boot.
 */
#include "backend.h"
#include "common.h"
#include "proc.h"

#define STRICT	backend_parameter("strict_mmio_maps")
#define FOREIGN	backend_parameter("foreign_mmio_maps")
#define LOCKDOWN "/sys/kernel/security/lockdown"

static void expect_text(const char *parameter, const char *value)
{
	char text[8];

	ok(proc_read_file(parameter, text, sizeof(text)));
	assert_string_equal(text, value);
}

static void expect_strict(const char *value)
{
	expect_text(STRICT, value);
}

static void drivers_can_be_listed_before_lockdown(void **state)
{
	ok(proc_write_file(FOREIGN, "emu"));
	expect_text(FOREIGN, "emu\n");
}

static void strict_can_be_turned_off_before_lockdown(void **state)
{
	ok(proc_write_file(STRICT, "0"));
	expect_strict("N\n");
	ok(proc_write_file(STRICT, "1"));
	expect_strict("Y\n");
}

static void strict_cannot_be_turned_off_under_lockdown(void **state)
{
	ok(proc_write_file(LOCKDOWN, "integrity"));
	refused(EPERM, proc_write_file(STRICT, "0"));
	expect_strict("Y\n");
	refused(EPERM, proc_write_file(STRICT, "N"));
	expect_strict("Y\n");
	ok(proc_write_file(STRICT, "1"));
}

static void drivers_cannot_be_listed_under_lockdown(void **state)
{
	refused(EPERM, proc_write_file(FOREIGN, "emu,uio"));
	expect_text(FOREIGN, "emu\n");
	ok(proc_write_file(FOREIGN, "\n"));
	expect_text(FOREIGN, "\n");
	refused(EPERM, proc_write_file(FOREIGN, "emu"));
	expect_text(FOREIGN, "\n");
}

static const struct CMUnitTest tests[] = {
	TETHER(drivers_can_be_listed_before_lockdown, NULL, NULL),
	TETHER(strict_can_be_turned_off_before_lockdown, NULL, NULL),
	TETHER(strict_cannot_be_turned_off_under_lockdown, NULL, NULL),
	TETHER(drivers_cannot_be_listed_under_lockdown, NULL, NULL),
};

TEST_MAIN(tests, NULL, NULL)
