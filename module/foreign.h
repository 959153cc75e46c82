/* SPDX-License-Identifier: GPL-2.0-only */
/* Which drivers' memory may be mapped although it belongs to no VFIO device. */
#ifndef TETHER_FOREIGN_H
#define TETHER_FOREIGN_H

#include <linux/module.h>
#include <linux/types.h>

struct file;

/* Size of a name of foreign_mmio_maps: a module's, or "MAJOR:MINOR". */
#define FOREIGN_NAME	MODULE_NAME_LEN

bool foreign_is_listed(const struct file *file);
void foreign_name(const struct file *file, char *name, size_t size);

#endif
