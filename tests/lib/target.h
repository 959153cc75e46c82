/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads and writes a device's memory by a path that does not use the mapping
 * under test, so that tests can see whether DMA has arrived there.
 *
 * While the device belongs to VFIO, the path is read() and write() on the
 * device's file, which use the kernel's own mapping of the BAR. When the host
 * has the device back, the path is the BAR's resource file in sysfs.
 */
#ifndef TETHER_TESTS_TARGET_H
#define TETHER_TESTS_TARGET_H

#include "vfio.h"

struct target {
	struct vfio_device *dev;
	unsigned int region;
};

int target_read(const struct target *t, uint64_t offset, void *buf, size_t len);
int target_write(const struct target *t, uint64_t offset, const void *buf,
		 size_t len);
int target_fill(const struct target *t, uint64_t offset, uint8_t byte,
		size_t len);
/* True if the len bytes at offset are those at data. */
bool target_has(const struct target *t, uint64_t offset, const void *data,
		size_t len);

/*
 * A BAR as the host maps it after the device has left vfio-pci. On Arm it is
 * mapped as device memory, on which memset() and memcpy() may fault, so these
 * functions access it by aligned words.
 */
struct host_bar {
	uint8_t *mem;
	size_t len;
};

int host_bar_open(struct host_bar *h, const char *bdf, unsigned int bar,
		  size_t len);
/* The same memory as the driver of a character device maps it (emu_load(), EMU_MEMORY_NAME). */
int host_bar_open_by_driver(struct host_bar *h, const char *path,
			    const char *bdf, unsigned int bar, size_t len);
void host_bar_close(struct host_bar *h);
/* The BAR's physical address, or 0. */
uint64_t host_bar_start(const char *bdf, unsigned int bar);
/* Offsets and lengths are multiples of 8. */
void host_bar_clear(struct host_bar *h, size_t offset, size_t len);
bool host_bar_has(const struct host_bar *h, size_t offset, const void *data,
		  size_t len);

/* Switch memory decoding by writing to config space without VFIO's knowledge. 0 or -errno. */
int host_decoding(const char *bdf, bool on);

/* Fill buf with a random pattern, which differs for every call. */
void target_pattern(void *buf, size_t len);

#endif
