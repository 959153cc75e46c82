// SPDX-License-Identifier: GPL-2.0-only
/*
 * On a kernel whose own type1 driver is tether (docs/kernel-tree.md), tetherctl says so, and
 * shows what it shows of the package's module.
 */
#include <signal.h>
#include <string.h>

#include "command.h"
#include "rig.h"

static struct command ctl;

static void says(int status, const char *command, const char *text)
{
	const char *const argv[] = { "tetherctl", command, NULL };
	int ret = command_run(&ctl, argv);

	if (ret != status)
		broken("tetherctl %s: status %d: %s", command, ret, ctl.text);
	if (!strstr(ctl.text, text))
		broken("no '%s' in: %s", text, ctl.text);
}

static void says_not(const char *text)
{
	if (strstr(ctl.text, text))
		broken("'%s' in: %s", text, ctl.text);
}

static void status_says_that_the_kernel_has_it(void **state)
{
	says(0, "status", "in force  yes: ");
	says(0, "status", "vfio_iommu_type1, as the kernel's own driver");
	says(0, "status", "strict    yes");
	says(0, "status", "in-tree   none");
}

static void doctor_wants_no_module(void **state)
{
	says(0, "doctor", "the kernel's own type1 driver is tether");
	says_not("BAD");
}

static void maps_shows_the_mirror(void **state)
{
	says(0, "maps", "live");
	ok(vfio_decoding(&rig.device, false));
	says(0, "maps", "revoked");
	ok(vfio_decoding(&rig.device, true));
}

static void watch_names_events_as_with_the_module(void **state)
{
	static const char *const argv[] = { "tetherctl", "watch", NULL };

	ok(command_start(&ctl, argv));
	ok(command_await(&ctl, "watching", 30 * patience()));
	ok(vfio_decoding(&rig.device, false));
	ok(command_await(&ctl, " revoke container=", 10 * patience()));
	ok(vfio_decoding(&rig.device, true));
	ok(command_await(&ctl, " restore container=", 10 * patience()));
	assert_int_equal(command_finish(&ctl, SIGINT), 0);
}

static const struct CMUnitTest tests[] = {
	TEST(status_says_that_the_kernel_has_it, rig_mapped, rig_heal),
	TEST(doctor_wants_no_module, rig_mapped, rig_heal),
	TEST(maps_shows_the_mirror, rig_mapped, rig_heal),
	TEST(watch_names_events_as_with_the_module, rig_mapped, rig_heal),
};

TEST_MAIN(tests, rig_open, rig_close)
