// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor: checks everything that tether needs, and prints what to do about each fault.
 */
#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "tetherctl.h"

static int problems;

static void __attribute__((format(printf, 2, 3)))
say(bool good, const char *format, ...)
{
	va_list args;

	if (!good)
		problems++;
	printf("%s%s%s  ", paint(good ? GREEN : RED), good ? "ok " : "BAD",
	       paint(PLAIN));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static unsigned int count_entries(const char *path)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir(path);

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* Gets the first line of a command's output, or an empty string. */
static void ask(const char *command, char *text, size_t size)
{
	FILE *pipe = popen(command, "re");

	text[0] = 0;
	if (!pipe)
		return;
	if (!fgets(text, size, pipe))
		text[0] = 0;
	text[strcspn(text, "\n")] = 0;
	pclose(pipe);
}

static void check_iommu(void)
{
	unsigned int iommus = count_entries("/sys/class/iommu");
	unsigned int groups = count_entries("/sys/kernel/iommu_groups");

	if (iommus && groups)
		say(true, "IOMMU is on: %u, with %u groups", iommus, groups);
	else
		say(false, "no IOMMU: turn it on in the firmware, and boot with intel_iommu=on or amd_iommu=on");
}

/* A driver's sysfs directory has other files, too; only devices' names have a colon. */
static void check_devices(void)
{
	DIR *dir = opendir("/sys/bus/pci/drivers/vfio-pci");
	struct dirent *entry;
	unsigned int n = 0;

	while (dir && (entry = readdir(dir)))
		if (strchr(entry->d_name, ':'))
			n++;
	if (dir)
		closedir(dir);
	say(dir, "devices bound to vfio-pci: %u%s", n,
	    dir ? "" : ": modprobe vfio-pci");
}

static void check_module(void)
{
	char path[512], version[64];

	backend_version(version, sizeof(version));
	say(backend() == BACKEND_TETHER, "module loaded: %s",
	    backend() == BACKEND_NONE ? "none: modprobe vfio_iommu_type1" :
	    backend() == BACKEND_TETHER ? version :
	    "the kernel's own: stop all VFIO programs, modprobe -r vfio_iommu_type1, modprobe vfio_iommu_type1");
	ask("modinfo -n vfio_iommu_type1 2>/dev/null", path, sizeof(path));
	if (path[0])
		say(strstr(path, "/updates/"), "modprobe takes %s%s", path,
		    strstr(path, "/updates/") ? "" :
		    ": tether is not installed for this kernel");
	else
		say(false, "modprobe finds no vfio_iommu_type1");
	if (backend() == BACKEND_TETHER)
		say(strict(), "strict_mmio_maps is %s", strict() ? "on" :
		    "off: memory of any driver may be mapped");
}

static void check_dkms(void)
{
	char command[256], text[512];
	struct utsname name;

	if (access("/usr/sbin/dkms", X_OK)) {
		say(true, "no DKMS: tether was installed by hand, if at all");
		return;
	}
	uname(&name);
	snprintf(command, sizeof(command), "dkms status -m tether -k %s 2>/dev/null",
		 name.release);
	ask(command, text, sizeof(text));
	if (strstr(text, "installed"))
		say(true, "DKMS: %s", text);
	else
		say(false, "DKMS has no tether for %s: apt-get install linux-headers-%s, then dkms autoinstall",
		    name.release, name.release);
}

static void check_holders(void)
{
	struct options all = { .json = false };
	struct holding *v;
	struct segments s;
	size_t i, nr;
	char command[32];

	if (backend() != BACKEND_TETHER)
		return;
	read_segments(&s, &all);
	v = sum_holdings(&s, &nr);
	for (i = 0; i < nr; i++) {
		char live[16], revoked[16], gone[16];

		owner_name(v[i].owner, command, sizeof(command));
		say(!v[i].gone, "%s: mapped by %s[%d], container %u: %s live, %s revoked, %s gone%s",
		    v[i].device, command, v[i].owner, v[i].container,
		    human(v[i].live, live), human(v[i].revoked, revoked),
		    human(v[i].gone, gone), v[i].gone ?
		    ": it has unmapped memory that it still maps for DMA" : "");
	}
	if (!nr)
		say(true, "nobody maps device memory");
	free(v);
}

int do_doctor(const struct options *o)
{
	(void)o;
	check_iommu();
	check_devices();
	check_module();
	check_dkms();
	check_holders();
	return problems ? EXIT_BAD : EXIT_GOOD;
}
