// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which module serves new containers: see backend.h.
 */
#include <stdio.h>
#include <unistd.h>

#include "backend.h"

bool backend_is_beside(void)
{
	return !access("/sys/module/vfio_iommu_tether", F_OK);
}

bool in_tree_is_built_in(void)
{
	return !access("/sys/module/vfio_iommu_type1", F_OK) &&
	       access("/sys/module/vfio_iommu_type1/initstate", F_OK);
}

const char *backend_module(void)
{
	return backend_is_beside() ? "vfio_iommu_tether" : "vfio_iommu_type1";
}

const char *backend_mark(void)
{
	if (backend_is_beside())
		return "[vfio_iommu_tether]";
	return in_tree_is_built_in() ? "type1_" : "[vfio_iommu_type1]";
}

const char *backend_parameter(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/%s",
		 backend_module(), name);
	return path;
}
