// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the processes that have files of VFIO open: groups, containers and devices, mapped
 * or not. While a process has a group open, no other process can open it.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tetherctl.h"

static void note_group(struct vfio_user *u, int group)
{
	unsigned int i;

	for (i = 0; i < u->nr_groups; i++)
		if (u->groups[i] == group)
			return;
	if (u->nr_groups < sizeof(u->groups) / sizeof(*u->groups))
		u->groups[u->nr_groups++] = group;
}

static void note_file(struct vfio_user *u, const char *target)
{
	int group;

	if (!strcmp(target, "/dev/vfio/vfio"))
		u->containers++;
	else if (!strncmp(target, "/dev/vfio/devices/", 18) ||
		 !strcmp(target, "anon_inode:[vfio-device]"))
		u->devices++;
	else if (sscanf(target, "/dev/vfio/%d", &group) == 1 ||
		 sscanf(target, "/dev/vfio/noiommu-%d", &group) == 1)
		note_group(u, group);
}

static void look_at(struct vfio_users *all, int pid)
{
	struct vfio_user u = { .pid = pid };
	char path[320], target[256];
	struct dirent *entry;
	ssize_t len;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%s", pid, entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len > 0) {
			target[len] = 0;
			note_file(&u, target);
		}
	}
	if (dir)
		closedir(dir);
	if (!u.nr_groups && !u.containers && !u.devices)
		return;
	owner_name(pid, u.command, sizeof(u.command));
	u.has_memlock = read_memlock(pid, &u.memlock);
	all->v = reallocarray(all->v, all->nr + 1, sizeof(*all->v));
	if (!all->v)
		abort();
	all->v[all->nr++] = u;
}

/* Has the process a group open that has such a device? */
static bool has_device(const struct vfio_user *u, const char *wanted)
{
	bool found = !wanted;
	json_t *names, *one;
	unsigned int i;
	size_t j;

	for (i = 0; i < u->nr_groups && !found; i++) {
		names = group_devices(u->groups[i]);
		json_array_foreach(names, j, one)
			found |= device_matches(wanted, json_string_value(one));
		json_decref(names);
	}
	return found;
}

void read_users(struct vfio_users *all, const char *wanted)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	size_t i, n = 0;

	*all = (struct vfio_users){ .nr = 0 };
	while (dir && (entry = readdir(dir)))
		if (atoi(entry->d_name) > 0)
			look_at(all, atoi(entry->d_name));
	if (dir)
		closedir(dir);
	for (i = 0; i < all->nr; i++)
		if (has_device(&all->v[i], wanted))
			all->v[n++] = all->v[i];
	all->nr = n;
}
