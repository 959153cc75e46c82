// SPDX-License-Identifier: GPL-2.0-only
/*
 * The bpftrace scripts of tools/ print what their comments promise.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "rig.h"

#define START_S	40	/* how long bpftrace may compile a script on an emulated CPU */

static struct command script;

static int unmapped(void **state)
{
	script.pid = 0;
	return rig_unmapped(state);
}

/* Stop the script that a failed test may have left running. */
static int heal(void **state)
{
	if (script.pid && script.out >= 0)
		command_finish(&script, SIGKILL);
	return rig_heal(state);
}

static void start(const char *name, const char *argument)
{
	const char *const argv[] = { "bpftrace", "-B", "line", name, argument,
				     NULL };

	if (!command_exists("bpftrace"))
		lacks("bpftrace");
	ok(command_start(&script, argv));
	if (command_await(&script, "TIME", START_S * patience()))
		broken("%s does not start: %s", name, script.text);
}

static void await(const char *text)
{
	if (command_await(&script, text, 5 * patience()))
		broken("no '%s' in: %s", text, script.text);
}

static void end(void)
{
	int status = command_finish(&script, SIGINT);

	if (status)
		broken("status %d: %s", status, script.text);
}

static void says(const char *text)
{
	if (!strstr(script.text, text))
		broken("no '%s' in: %s", text, script.text);
}

static void who_holds_names_the_holder(void **state)
{
	char holder[64];

	start("/tests/bin/who-holds.bt", TARGET);
	ok(rig_mapped(state));
	await("2+0x0");
	snprintf(holder, sizeof(holder), "map      %d", getpid());
	says(holder);
	end();
	snprintf(holder, sizeof(holder), "@bytes[%d, ", getpid());
	says(holder);
	says("]: 16777216\n");
}

static void who_holds_tells_devices_apart(void **state)
{
	start("/tests/bin/who-holds.bt", TARGET2);
	ok(rig_mapped(state));
	sleep_ms(500);
	end();
	if (strstr(script.text, "0x2000000000"))
		broken("another device's mapping: %s", script.text);
}

static void outages_tells_how_long(void **state)
{
	ok(rig_mapped(state));
	start("/tests/bin/outages.bt", NULL);
	ok(vfio_decoding(&rig.device, false));
	await(" off, 0 bytes gone for good");
	sleep_ms(200);
	ok(vfio_decoding(&rig.device, true));
	await("restore  " TARGET);
	munmap(rig.map, PAGE);
	await(" unmapped, 4096 bytes gone for good");
	end();
	says("@outage_ms[" TARGET "]:");
	says("@longest_ms[" TARGET "]: ");
	if (atol(strstr(script.text, "@longest_ms[" TARGET "]: ") +
		 strlen("@longest_ms[" TARGET "]: ")) < 200)
		broken("shorter than it was: %s", script.text);
}

static const struct CMUnitTest tests[] = {
	TETHER(who_holds_names_the_holder, unmapped, heal),
	TETHER(who_holds_tells_devices_apart, unmapped, heal),
	TETHER(outages_tells_how_long, unmapped, heal),
};

TEST_MAIN(tests, rig_open, rig_close)
