// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control groups: see cgroup.h.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "proc.h"

#define ROOT	"/tmp/cgroup"
#define GROUP	ROOT "/test"

/* Does the kernel have the controller, and may this cgroup2 hierarchy use it? */
static bool has_controller(const char *controller)
{
	char text[256], *word;

	if (proc_read_file(ROOT "/cgroup.controllers", text, sizeof(text)))
		return false;
	for (word = strtok(text, "\n "); word; word = strtok(NULL, "\n "))
		if (!strcmp(word, controller))
			return true;
	return false;
}

int cgroup_enter(const char *controller)
{
	char enable[32];
	int ret;

	mkdir(ROOT, 0755);
	if (mount("none", ROOT, "cgroup2", 0, NULL) && errno != EBUSY)
		return -ENODEV;
	if (!has_controller(controller))
		return -ENODEV;
	snprintf(enable, sizeof(enable), "+%s", controller);
	ret = proc_write_file(ROOT "/cgroup.subtree_control", enable);
	if (ret)
		return ret;
	mkdir(GROUP, 0755);
	return proc_write_file(GROUP "/cgroup.procs", "0");
}

void cgroup_leave(void)
{
	proc_write_file(ROOT "/cgroup.procs", "0");
}

static int read_group(const char *file, char *text, size_t size)
{
	char path[128];

	snprintf(path, sizeof(path), GROUP "/%s", file);
	return proc_read_file(path, text, size);
}

long cgroup_number(const char *file)
{
	char text[64];
	int ret = read_group(file, text, sizeof(text));

	return ret ? ret : atol(text);
}

long cgroup_field(const char *file, const char *word)
{
	size_t len = strlen(word);
	char text[2048], *line;
	int ret = read_group(file, text, sizeof(text));

	if (ret)
		return ret;
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (!strncmp(line, word, len) && line[len] == ' ')
			return atol(line + len);
	return -ENOENT;
}

int cgroup_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), GROUP "/%s", file);
	return proc_write_file(path, text);
}
