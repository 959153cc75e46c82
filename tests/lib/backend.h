/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which module serves the containers that are opened now: vfio_iommu_type1, in-tree or
 * tether's in its place, or vfio_iommu_tether, tether's that is loaded beside in-tree's.
 */
#ifndef TETHER_TESTS_BACKEND_H
#define TETHER_TESTS_BACKEND_H

#include <stdbool.h>

/* Is the module loaded beside the in-tree one? */
bool backend_is_beside(void);
/* The module's name. */
const char *backend_module(void);
/* The name in brackets, as a line of a stack dump has it behind the module's functions. */
const char *backend_mark(void);
/* The file of one of its parameters; valid until the next call. */
const char *backend_parameter(const char *name);

#endif
