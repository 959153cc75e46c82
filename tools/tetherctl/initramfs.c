// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which type1 drivers the running kernel's initramfs has. A module that is loaded from there
 * is not loaded again from the root file system, whatever modprobe would take then.
 */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tetherctl.h"

/* A system has one of these programs, which list an initramfs' files. */
static const struct {
	const char *file, *command;
} lists[] = {
	{ "/boot/initrd.img-%s", "lsinitramfs /boot/initrd.img-%s 2>/dev/null" },
	{ "/boot/initramfs-%s.img", "lsinitrd /boot/initramfs-%s.img 2>/dev/null" },
};

static enum initramfs judge(FILE *list)
{
	enum initramfs found = INITRAMFS_NEITHER;
	char line[512];
	bool any = false;

	while (fgets(line, sizeof(line), list)) {
		any = true;
		if (strstr(line, "/" BESIDE ".ko") ||
		    (strstr(line, "/updates/") && strstr(line, "/" TYPE1 ".ko")))
			return INITRAMFS_TETHER;
		if (strstr(line, "/" TYPE1 ".ko"))
			found = INITRAMFS_IN_TREE;
	}
	return any ? found : INITRAMFS_UNKNOWN;
}

enum initramfs read_initramfs(char *path, size_t size)
{
	enum initramfs found = INITRAMFS_UNKNOWN;
	struct utsname name;
	char command[512];
	size_t i;
	FILE *list;

	uname(&name);
	for (i = 0; i < sizeof(lists) / sizeof(*lists) && found == INITRAMFS_UNKNOWN; i++) {
		snprintf(path, size, lists[i].file, name.release);
		if (access(path, R_OK))
			continue;
		snprintf(command, sizeof(command), lists[i].command, name.release);
		list = popen(command, "re");
		if (!list)
			continue;
		found = judge(list);
		pclose(list);
	}
	return found;
}
