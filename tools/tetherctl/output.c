// SPDX-License-Identifier: GPL-2.0-only
/*
 * Formats output: colours on a terminal, sizes, JSON.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tetherctl.h"

const char *paint(enum colour c)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m", [GREEN] = "\033[32m",
		[YELLOW] = "\033[33m", [RED] = "\033[31m", [BOLD] = "\033[1m",
	};

	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") ? codes[c] : "";
}

const char *human(uint64_t bytes, char text[16])
{
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0;

	while (bytes && !(bytes & 1023) && units[unit + 1]) {
		bytes >>= 10;
		unit++;
	}
	while (bytes > 9999 && units[unit + 1]) {
		bytes >>= 10;
		unit++;
	}
	snprintf(text, 16, "%" PRIu64 "%c", bytes, units[unit]);
	return text;
}

int print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return EXIT_GOOD;
}
