// SPDX-License-Identifier: GPL-2.0-only
/*
 * guard: has modprobe load tether, and never the in-tree driver, if it is asked for
 * vfio_iommu_type1. The guard is on while its file is in modprobe's configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tetherctl.h"

#define DIRECTORY	"/etc/modprobe.d"
#define GUARD		DIRECTORY "/tether-guard.conf"
/* modprobe reads only files whose names end in .conf. */
#define UNFINISHED	DIRECTORY "/tether-guard.new"
#define RENEW		"/usr/lib/tether/renew-initramfs"

/*
 * modprobe ignores the install command of a module that has a softdep, as the package
 * gives it one; but it takes only the first softdep that it finds, and "tether-guard.conf"
 * is before "tether.conf". So this one, which names no module, is taken.
 *
 * To load tether, modprobe loads vfio, and with it vfio_iommu_type1, and so comes here
 * again: TETHER_GUARD ends that.
 */
static const char text[] =
	"# Written by \"tetherctl guard on\"; \"tetherctl guard off\" removes it.\n"
	"# Nothing but tether is loaded as VFIO's type1 driver. Where tether cannot be\n"
	"# loaded, no driver is.\n"
	"softdep " TYPE1 " pre:\n"
	"install " TYPE1 " [ -n \"$TETHER_GUARD\" ] || TETHER_GUARD=1 modprobe " BESIDE
	" || { echo \"tether-guard: tether cannot be loaded, and " TYPE1 " must not be:"
	" no VFIO container can be used\" | tee /dev/kmsg >&2; exit 1; }\n";

/* Is the in-tree driver in the running kernel's image, where modprobe cannot stop it? */
static bool built_in(void)
{
	char path[128], line[256];
	struct utsname name;
	bool found = false;
	FILE *file;

	if (in_tree_driver() == IN_TREE_BUILT_IN)
		return true;
	uname(&name);
	snprintf(path, sizeof(path), "/lib/modules/%s/modules.builtin",
		 name.release);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, "/" TYPE1 ".ko");
	if (file)
		fclose(file);
	return found;
}

/* Runs modprobe or modinfo, without output. */
static bool succeeds(const char *command)
{
	return !system(command);
}

/* Does modprobe find tether's module, for the running kernel? */
static bool installed(void)
{
	return tether_module() || succeeds("modinfo -n " BESIDE " >/dev/null 2>&1");
}

/* Is tether installed in place of the in-tree module, under its name? */
static bool in_place(void)
{
	return !strcmp(tether_module() ?: "", TYPE1) ||
	       succeeds("modinfo -F version " TYPE1 " 2>/dev/null | grep -q -- -tether");
}

static bool is_on(void)
{
	return !access(GUARD, F_OK);
}

static int complain(const char *what)
{
	fprintf(stderr, "tetherctl: %s: %s\n", what, strerror(errno));
	return errno == EACCES || errno == EPERM || errno == EROFS ?
	       EXIT_UNREADABLE : EXIT_BAD;
}

/* Make the directory's change outlast a power failure. */
static void sync_directory(void)
{
	int fd = open(DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/* Writes the whole file, or leaves it as it was: returns an exit code. */
static int write_guard(void)
{
	int fd, ret = EXIT_GOOD;

	if (mkdir(DIRECTORY, 0755) && errno != EEXIST)
		return complain(DIRECTORY);
	fd = open(UNFINISHED, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return complain(UNFINISHED);
	if (fchmod(fd, 0644) ||
	    write(fd, text, sizeof(text) - 1) != sizeof(text) - 1 || fsync(fd))
		ret = complain(UNFINISHED);
	close(fd);
	if (!ret && rename(UNFINISHED, GUARD))
		ret = complain(GUARD);
	if (ret)
		unlink(UNFINISHED);
	else
		sync_directory();
	return ret;
}

/* An initramfs that has vfio has a copy of modprobe's configuration. */
static int renew_initramfs(void)
{
	int status;

	fflush(stdout);
	if (access(RENEW, X_OK)) {
		printf("if vfio is in your initramfs, renew it: it has a copy of this\n");
		return EXIT_GOOD;
	}
	status = system(RENEW);
	return status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) ?
	       EXIT_BAD : EXIT_GOOD;
}

static int guard_on(void)
{
	int ret;

	if (built_in()) {
		fprintf(stderr,
			"tetherctl: " TYPE1 " is built into this kernel, so no guard can keep it away; tether beside it serves the containers (tetherctl status)\n");
		return EXIT_BAD;
	}
	if (in_place()) {
		fprintf(stderr,
			"tetherctl: here vfio_iommu_type1 is tether's own module, in place of the in-tree one; the guard is for vfio_iommu_tether\n");
		return EXIT_BAD;
	}
	ret = write_guard();
	if (ret)
		return ret;
	printf("on: nothing but tether is loaded as " TYPE1 "\n");
	if (!installed())
		printf("but " BESIDE " is not installed for this kernel: no VFIO container can be used then\n");
	if (in_tree_driver() == IN_TREE_MODULE)
		printf("the in-tree driver is still loaded: rmmod " TYPE1 ", or reboot\n");
	return renew_initramfs();
}

static int guard_off(void)
{
	if (unlink(GUARD)) {
		if (errno != ENOENT)
			return complain(GUARD);
		printf("off: it was not on\n");
		return EXIT_GOOD;
	}
	sync_directory();
	printf("off: modprobe loads the kernel's own " TYPE1 " again\n");
	return renew_initramfs();
}

/* Says in one line why the guard does not do what it is for, or returns NULL if it does. */
static const char *what_is_wrong(void)
{
	if (built_in())
		return "the kernel has " TYPE1 " built in, so no guard can keep it away";
	if (!is_on())
		return "modprobe may load the kernel's own " TYPE1;
	if (in_tree_driver() == IN_TREE_MODULE)
		return "the in-tree driver was loaded before: rmmod " TYPE1 ", or reboot";
	if (!installed())
		return BESIDE " is not installed for this kernel: no VFIO container can be used";
	return NULL;
}

static int guard_status(const struct options *o)
{
	const char *wrong = what_is_wrong();

	if (o->json)
		print_json(json_pack("{s:b, s:b, s:s?, s:s}", "on", is_on(),
				     "works", !wrong, "why_not", wrong,
				     "file", GUARD));
	else
		printf("guard     %s%s%s: %s\n", paint(wrong ? RED : GREEN),
		       is_on() ? "on" : "off", paint(PLAIN),
		       wrong ?: "nothing but tether is loaded as " TYPE1);
	return wrong ? EXIT_BAD : EXIT_GOOD;
}

int do_guard(const struct options *o)
{
	const char *what = o->argument ?: "";

	if (!strcmp(what, "status"))
		return guard_status(o);
	if (o->json || o->device) {
		fprintf(stderr, "tetherctl: guard on and guard off take no options\n");
		return EXIT_USAGE;
	}
	if (!strcmp(what, "on"))
		return guard_on();
	if (!strcmp(what, "off"))
		return guard_off();
	fprintf(stderr, "tetherctl: guard on, guard off, or guard status\n");
	return EXIT_USAGE;
}
