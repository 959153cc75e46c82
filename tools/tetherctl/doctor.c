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
static json_t *checks;		/* gathers what is said, or NULL to print it */

static void line(enum colour colour, const char *word, const char *format,
		 va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0)
		abort();
	if (checks)
		json_array_append_new(checks, json_pack("{s:s, s:s}", "result", word,
							"text", text));
	else
		printf("%s%-4s%s %s\n", paint(colour), word, paint(PLAIN), text);
	free(text);
}

static void __attribute__((format(printf, 2, 3)))
say(bool good, const char *format, ...)
{
	va_list args;

	if (!good)
		problems++;
	va_start(args, format);
	line(good ? GREEN : RED, good ? "ok" : "BAD", format, args);
	va_end(args);
}

/* Prints what the administrator should know or do, although tether has no fault. */
static void __attribute__((format(printf, 1, 2)))
warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	line(YELLOW, "WARN", format, args);
	va_end(args);
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

/* The tether module that the checks are about: the loaded one, else the installed one. */
static const char *module_meant(void)
{
	char path[512];

	if (tether_module())
		return tether_module();
	ask("modinfo -n " BESIDE " 2>/dev/null", path, sizeof(path));
	return path[0] ? BESIDE : TYPE1;
}

static void check_loaded(const char *meant)
{
	char version[64];

	backend_version(version, sizeof(version));
	switch (backend()) {
	case BACKEND_NONE:
		say(false, "module loaded: none: modprobe %s", meant);
		break;
	case BACKEND_OTHER:
		if (!strcmp(meant, BESIDE))
			say(false, "module loaded: the kernel's own: modprobe vfio_iommu_tether");
		else
			say(false, "module loaded: the kernel's own: stop all VFIO programs, modprobe -r vfio_iommu_type1, modprobe vfio_iommu_type1");
		break;
	case BACKEND_BEHIND:
		say(false, "the kernel's own vfio_iommu_type1 was loaded after tether, and serves new containers: rmmod vfio_iommu_type1");
		break;
	default:
		say(true, "module loaded: %s", version);
	}
}

/* Is the module that modprobe would load now the one that is loaded? */
static void check_upgrade(const char *meant)
{
	char command[96], installed[64], loaded[64];

	if (!tether_module() || module_line("srcversion", loaded, sizeof(loaded)))
		return;
	snprintf(command, sizeof(command),
		 "/sbin/modinfo -F srcversion %s 2>/dev/null", meant);
	ask(command, installed, sizeof(installed));
	if (installed[0] && loaded[0] && strcmp(installed, loaded))
		warn("the installed %s (source %s) is not the one that is loaded (source %s): it is used after the next boot, or once tether is unloaded and loaded again",
		     meant, installed, loaded);
}

static void check_initramfs(void)
{
	char path[256];

	if (read_initramfs(path, sizeof(path)) != INITRAMFS_IN_TREE)
		return;
	if (backend() == BACKEND_OTHER)
		say(false, "%s has the kernel's own vfio_iommu_type1 and no tether, so the former is loaded at boot: update-initramfs -u, or dracut -f, and reboot",
		    path);
	else
		warn("%s has the kernel's own vfio_iommu_type1 and no tether: update-initramfs -u, or dracut -f, before the next boot",
		     path);
}

/* Would modprobe load tether for this kernel, now and from the initramfs? */
static void check_installed(const char *meant)
{
	char command[64], path[512];

	snprintf(command, sizeof(command), "modinfo -n %s 2>/dev/null", meant);
	ask(command, path, sizeof(path));
	if (path[0])
		say(strstr(path, "/updates/"), "modprobe takes %s%s", path,
		    strstr(path, "/updates/") ? "" :
		    ": tether is not installed for this kernel");
	else
		say(false, "modprobe finds no %s", meant);
	check_upgrade(meant);
	check_initramfs();
}

static void check_module(void)
{
	const char *meant = module_meant();

	if (kernel_has_tether())
		say(true, "the kernel's own type1 driver is tether: it needs no module");
	else
		check_loaded(meant);
	if (iommufd_serves())
		say(false, "%s: %s", IOMMUFD_SERVES, IOMMUFD_NEXT);
	if (!kernel_has_tether())
		check_installed(meant);
	if (tether_module())
		say(strict(), "strict_mmio_maps is %s", strict() ? "on" :
		    "off: memory of any driver may be mapped");
}

static void check_in_tree(void)
{
	struct in_tree_use use;
	const struct holder *h;

	read_in_tree(&use);
	for (h = use.v; h < use.v + use.nr; h++)
		warn("%s[%d] %s containers of the in-tree driver, whose mappings are not revoked: %u: restart or migrate it",
		     h->command, h->pid, h->certain ? "has" : "perhaps has",
		     h->containers);
	if (use.containers > use.found)
		warn("the in-tree driver has %s%ld containers, whose processes were not found",
		     use.found ? "another " : "", use.containers - use.found);
	if (use.containers < 0)
		warn("how many containers the in-tree driver has cannot be told");
	if (tether_module() && use.driver == IN_TREE_MODULE && !use.containers)
		warn("the in-tree driver is idle: rmmod vfio_iommu_type1");
	free(use.v);
}

/*
 * Warns of options that are set for vfio_iommu_type1 only: beside it, vfio_iommu_tether
 * does not have them, so new containers behave differently.
 */
static void check_options(void)
{
	static const char *const options[] = { "allow_unsafe_interrupts",
		"disable_hugepages", "dma_entry_limit" };
	char where[512], unused[512];
	size_t i;

	if (!tether_module() || strcmp(tether_module(), BESIDE))
		return;
	for (i = 0; i < sizeof(options) / sizeof(*options); i++)
		if (option_is_set(TYPE1, options[i], where, sizeof(where)) &&
		    !option_is_set(BESIDE, options[i], unused, sizeof(unused)))
			warn("%s sets %s for vfio_iommu_type1, and nothing sets it for vfio_iommu_tether: add a line to a file in /etc/modprobe.d if you want it there, too",
			     where, options[i]);
}

static void check_dkms(void)
{
	char command[256], text[512];
	struct utsname name;

	if (kernel_has_tether())
		return;
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
	struct options all = { .container = -1 };
	struct holding *v;
	struct segments s;
	size_t i, nr;
	char command[32];

	if (!tether_module())
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
	for (i = 0; i < s.nr_refusals; i++)
		warn("container %u was refused (%s): its devices reach no memory; dmesg has the process",
		     s.refusals[i].container, strerror(s.refusals[i].error));
}

int do_doctor(const struct options *o)
{
	if (o->json)
		checks = json_array();
	check_iommu();
	check_devices();
	check_module();
	check_options();
	check_in_tree();
	check_dkms();
	check_holders();
	if (checks)
		print_json(json_pack("{s:i, s:o}", "problems", problems, "checks",
				     checks));
	return problems ? EXIT_BAD : EXIT_GOOD;
}
