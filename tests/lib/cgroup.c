// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control groups: see cgroup.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "proc.h"

#define ROOT	"/tmp/cgroup"
#define GROUP	ROOT "/test"

int cgroup_enter(const char *controller)
{
	char enable[32];
	int ret;

	mkdir(ROOT, 0755);
	if (mount("none", ROOT, "cgroup2", 0, NULL) && errno != EBUSY)
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

long cgroup_number(const char *file)
{
	char path[128], text[64];
	int ret;

	snprintf(path, sizeof(path), GROUP "/%s", file);
	ret = proc_read_file(path, text, sizeof(text));
	return ret ? ret : atol(text);
}
