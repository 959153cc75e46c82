/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The witness: a device's memory seen by a path that has nothing to do with
 * the mapping under test.
 *
 * While the device belongs to VFIO that is read and write on its file (the
 * kernel's own mapping of the BAR). Once the host has it back, it is the
 * host's resource file.
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
 * A BAR as the host maps it after the device has left vfio-pci. On Arm that is
 * device memory, which memset() and its like must not touch: by aligned words.
 */
struct host_bar {
	uint8_t *mem;
	size_t len;
};

int host_bar_open(struct host_bar *h, const char *bdf, unsigned int bar,
		  size_t len);
void host_bar_close(struct host_bar *h);
/* Offsets and lengths are multiples of 8. */
void host_bar_clear(struct host_bar *h, size_t offset, size_t len);
bool host_bar_has(const struct host_bar *h, size_t offset, const void *data,
		  size_t len);

/* The host's hand on memory decoding, past VFIO. 0 or -errno. */
int host_decoding(const char *bdf, bool on);

/* A pattern no memory holds by accident; differs for every call. */
void target_pattern(void *buf, size_t len);

#endif
