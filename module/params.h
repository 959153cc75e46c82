/* SPDX-License-Identifier: GPL-2.0-only */
/* The module's parameters. They may change at any time: read them with READ_ONCE(). */
#ifndef TETHER_PARAMS_H
#define TETHER_PARAMS_H

#include <linux/types.h>

extern bool allow_unsafe_interrupts;
extern bool disable_hugepages;
extern unsigned int dma_entry_limit;
extern bool strict_mmio_maps;

/* The mode of the files in sysfs of parameters that loosen the protection. */
#ifdef TETHER_STRICT_ONLY
#define LOOSEN_MODE	0444
#else
#define LOOSEN_MODE	0644
#endif

int params_loosen(void);

#endif
