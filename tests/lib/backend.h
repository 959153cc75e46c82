/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which module serves the containers that are opened now. Its name is vfio_iommu_type1
 * if it is the in-tree module, or tether loaded in place of that; it is
 * vfio_iommu_tether if tether is loaded beside the in-tree module.
 */
#ifndef TETHER_TESTS_BACKEND_H
#define TETHER_TESTS_BACKEND_H

#include <stdbool.h>

/* Is tether loaded beside the in-tree module? */
bool backend_is_beside(void);
/* Is the in-tree driver built into the kernel, so that it cannot be unloaded? */
bool in_tree_is_built_in(void);
/* The name of the module that serves containers. */
const char *backend_module(void);
/*
 * What stack dumps have in a line of the backend's functions: that name in brackets, or how
 * the names of functions begin in a backend that is built in.
 */
const char *backend_mark(void);
/* The path of a module parameter's file; the string is valid until the next call. */
const char *backend_parameter(const char *name);

#endif
