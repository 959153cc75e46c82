// SPDX-License-Identifier: GPL-2.0-only
/*
 * What procfs tells of a process that has mappings.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

#define CAP_IPC_LOCK	14

void owner_name(int pid, char *text, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (read_line(path, text, size))
		snprintf(text, size, "-");
	make_printable(text);	/* a process may give itself any name */
}

/* Gets what follows the key in the line of /proc/PID/FILE that begins with it. */
static bool process_word(int pid, const char *name, const char *key, char *text, size_t size)
{
	size_t len = strlen(key);
	bool found = false;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "re");
	while (file && !found && fgets(text, size, file))
		found = !strncmp(text, key, len);
	if (file)
		fclose(file);
	if (found)
		memmove(text, text + len, strlen(text + len) + 1);
	return found;
}

bool read_memlock(int pid, struct memlock *m)
{
	char locked[256], limit[256], caps[256];

	*m = (struct memlock){ .limit = UINT64_MAX };
	if (!process_word(pid, "status", "VmLck:", locked, sizeof(locked)) ||
	    !process_word(pid, "status", "CapEff:", caps, sizeof(caps)) ||
	    !process_word(pid, "limits", "Max locked memory", limit, sizeof(limit)))
		return false;
	m->locked = strtoull(locked, NULL, 10) << 10;
	/* a limit of "unlimited", and a process with CAP_IPC_LOCK, may lock all memory */
	if (!(strtoull(caps, NULL, 16) >> CAP_IPC_LOCK & 1))
		sscanf(limit, "%" SCNu64, &m->limit);
	return true;
}
