// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which type1 drivers the kernel has. Tether's module is vfio_iommu_type1, in place of the
 * in-tree one, or vfio_iommu_tether, beside it. Only tether's has strict_mmio_maps. A kernel
 * may also have tether as its own vfio_iommu_type1 (docs/kernel-tree.md), maybe without that
 * parameter.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <linux/vfio_tether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tetherctl.h"

#define STRICT	"parameters/strict_mmio_maps"

static bool module_has(const char *module, const char *file)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/%s", module, file);
	return !access(path, F_OK);
}

/* Does a container without a backend answer that one has tether's interface? */
static bool tether_answers(void)
{
	int file = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	bool answers = file >= 0 &&
		       ioctl(file, VFIO_CHECK_EXTENSION, VFIO_TETHER_EXTENSION) == 1;

	if (file >= 0)
		close(file);
	return answers;
}

bool kernel_has_tether(void)
{
	char version[64];

	if (module_has(BESIDE, STRICT) || !module_has(TYPE1, ""))
		return false;
	if (!module_has(TYPE1, STRICT))
		return tether_answers();
	/* the package's module has a version, and "-tether" at its end */
	return read_line("/sys/module/" TYPE1 "/version", version, sizeof(version)) ||
	       !strstr(version, "-tether");
}

const char *tether_module(void)
{
	if (module_has(BESIDE, STRICT))
		return BESIDE;
	return module_has(TYPE1, STRICT) || kernel_has_tether() ? TYPE1 : NULL;
}

enum in_tree in_tree_driver(void)
{
	if (!module_has(TYPE1, "") || module_has(TYPE1, STRICT) || kernel_has_tether())
		return IN_TREE_NONE;
	return module_has(TYPE1, "initstate") ? IN_TREE_MODULE : IN_TREE_BUILT_IN;
}

/*
 * The vfio core asks the driver that registered last first. /proc/modules begins with the
 * module that was loaded last.
 */
static bool in_tree_came_last(void)
{
	FILE *file = fopen("/proc/modules", "re");
	char line[1024] = "";

	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, " ")] = 0;
		if (!strcmp(line, TYPE1) || !strcmp(line, BESIDE))
			break;
	}
	if (file)
		fclose(file);
	return !strcmp(line, TYPE1);
}

enum backend backend(void)
{
	const char *tether = tether_module();

	if (!tether)
		return in_tree_driver() == IN_TREE_NONE ? BACKEND_NONE : BACKEND_OTHER;
	if (strcmp(tether, BESIDE))
		return BACKEND_IN_PLACE;
	return in_tree_came_last() ? BACKEND_BEHIND : BACKEND_BESIDE;
}

bool iommufd_serves(void)
{
	struct stat vfio, iommufd;

	return !stat("/dev/vfio/vfio", &vfio) && !stat("/dev/iommu", &iommufd) &&
	       S_ISCHR(vfio.st_mode) && S_ISCHR(iommufd.st_mode) &&
	       vfio.st_rdev == iommufd.st_rdev;
}

bool in_force(void)
{
	if (iommufd_serves())
		return false;
	return backend() == BACKEND_IN_PLACE || backend() == BACKEND_BESIDE;
}

int module_line(const char *file, char *text, size_t size)
{
	char path[320];

	snprintf(path, sizeof(path), "/sys/module/%s/%s", tether_module() ?: TYPE1,
		 file);
	return read_line(path, text, size);
}

void backend_version(char *text, size_t size)
{
	if (module_line("version", text, size) || !text[0])
		snprintf(text, size, "none");
}

bool strict(void)
{
	char text[8];

	if (module_line(STRICT, text, sizeof(text)))
		return kernel_has_tether();
	return text[0] == 'Y';
}

json_t *module_parameters(void)
{
	json_t *all = json_object();
	char path[128], file[280], text[64];
	struct dirent **entries;
	int i, n;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters",
		 tether_module() ?: TYPE1);
	n = scandir(path, &entries, NULL, alphasort);
	for (i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "parameters/%s", entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' &&
		    !module_line(file, text, sizeof(text)))
			json_object_set_new(all, entries[i]->d_name,
					    json_string(text));
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return all;
}

long in_tree_references(void)
{
	char text[32];

	if (read_line("/sys/module/" TYPE1 "/refcnt", text, sizeof(text)))
		return -1;
	return strtol(text, NULL, 10);
}
