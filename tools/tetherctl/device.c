// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that an option names: PCI devices as lspci -s takes them, other devices by their
 * name in sysfs.
 */
#include <dirent.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

#define PCI	"/sys/bus/pci/devices"

/* [[[[domain]:]bus]:][device][.[function]]; a part that is not given is -1. */
struct slot {
	long domain, bus, device, function;
};

/* Parses a part of a slot: hexadecimal, or nothing or "*" for any. */
static bool parse_part(const char *text, long max, long *value)
{
	*value = -1;
	if (!text || !*text || !strcmp(text, "*"))
		return true;
	if (strspn(text, "0123456789abcdefABCDEF") != strlen(text) || strlen(text) > 8)
		return false;
	*value = strtol(text, NULL, 16);
	return *value <= max;
}

static bool parse_slot(const char *name, struct slot *slot)
{
	char text[32], *domain = NULL, *bus = NULL, *device = text, *function, *colon;

	if (!*name || strlen(name) >= sizeof(text))
		return false;
	strcpy(text, name);
	colon = strrchr(text, ':');
	if (colon) {
		*colon = 0;
		device = colon + 1;
		bus = text;
		colon = strrchr(text, ':');
		if (colon) {
			*colon = 0;
			bus = colon + 1;
			domain = text;
		}
	}
	function = strchr(device, '.');
	if (function)
		*function++ = 0;
	return parse_part(domain, 0x7fffffff, &slot->domain) &&
	       parse_part(bus, 0xff, &slot->bus) &&
	       parse_part(device, 0x1f, &slot->device) &&
	       parse_part(function, 7, &slot->function);
}

static bool part_matches(long wanted, long value)
{
	return wanted < 0 || wanted == value;
}

bool device_matches(const char *wanted, const char *name)
{
	struct slot w, s;

	if (!wanted || !strcmp(wanted, name))
		return true;
	return parse_slot(wanted, &w) && parse_slot(name, &s) &&
	       s.bus >= 0 && s.function >= 0 &&
	       part_matches(w.domain, s.domain) && part_matches(w.bus, s.bus) &&
	       part_matches(w.device, s.device) &&
	       part_matches(w.function, s.function);
}

static bool is_in_sysfs(const char *wanted)
{
	DIR *dir = opendir(PCI);
	struct dirent *entry;
	bool found = false;
	char pattern[320];
	glob_t paths;

	while (dir && !found && (entry = readdir(dir)))
		found = entry->d_name[0] != '.' &&
			device_matches(wanted, entry->d_name);
	if (dir)
		closedir(dir);
	if (found || strpbrk(wanted, "/*?[") || !*wanted)
		return found;
	snprintf(pattern, sizeof(pattern), "/sys/bus/*/devices/%s", wanted);
	found = !glob(pattern, 0, NULL, &paths);
	globfree(&paths);
	return found;
}

void device_must_exist(const char *wanted)
{
	if (!wanted || is_in_sysfs(wanted))
		return;
	fprintf(stderr, "tetherctl: no such device: %s (lspci -D lists PCI devices)\n",
		wanted);
	exit(EXIT_USAGE);
}
