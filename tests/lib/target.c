// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reading a device's memory to see what DMA has done: see target.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "proc.h"
#include "target.h"

#define CHUNK	4096

int target_read(const struct target *t, uint64_t offset, void *buf, size_t len)
{
	return vfio_region_read(t->dev, t->region, offset, buf, len);
}

int target_write(const struct target *t, uint64_t offset, const void *buf,
		 size_t len)
{
	return vfio_region_write(t->dev, t->region, offset, buf, len);
}

int target_fill(const struct target *t, uint64_t offset, uint8_t byte,
		size_t len)
{
	uint8_t chunk[CHUNK];
	int ret = 0;

	memset(chunk, byte, sizeof(chunk));
	while (len && !ret) {
		size_t part = len < CHUNK ? len : CHUNK;

		ret = target_write(t, offset, chunk, part);
		offset += part;
		len -= part;
	}
	return ret;
}

bool target_has(const struct target *t, uint64_t offset, const void *data,
		size_t len)
{
	uint8_t chunk[CHUNK];

	if (len > CHUNK || target_read(t, offset, chunk, len))
		return false;
	return !memcmp(chunk, data, len);
}

static int host_bar_map(struct host_bar *h, const char *path, uint64_t offset)
{
	int fd = open(path, O_RDWR | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	h->mem = mmap(NULL, h->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)offset);
	ret = h->mem == MAP_FAILED ? -errno : 0;
	close(fd);
	return ret;
}

int host_bar_open(struct host_bar *h, const char *bdf, unsigned int bar,
		  size_t len)
{
	char path[128];
	int ret;

	*h = (struct host_bar){ .len = len };
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/enable", bdf);
	ret = proc_write_file(path, "1");
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource%u",
		 bdf, bar);
	return host_bar_map(h, path, 0);
}

uint64_t host_bar_start(const char *bdf, unsigned int bar)
{
	unsigned long long start = 0;
	char path[128], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", bdf);
	file = fopen(path, "re");
	if (!file)
		return 0;
	do {
		if (!fgets(line, sizeof(line), file))
			line[0] = 0;
	} while (bar--);
	fclose(file);
	return sscanf(line, "%llx", &start) == 1 ? start : 0;
}

int host_bar_open_by_driver(struct host_bar *h, const char *path,
			    const char *bdf, unsigned int bar, size_t len)
{
	uint64_t start = host_bar_start(bdf, bar);

	*h = (struct host_bar){ .len = len };
	return start ? host_bar_map(h, path, start) : -ENXIO;
}

void host_bar_close(struct host_bar *h)
{
	if (h->mem && h->mem != MAP_FAILED)
		munmap(h->mem, h->len);
	h->mem = NULL;
}

static volatile uint64_t *words(const struct host_bar *h, size_t offset)
{
	return (volatile uint64_t *)(h->mem + offset);
}

void host_bar_clear(struct host_bar *h, size_t offset, size_t len)
{
	size_t i;

	for (i = 0; i < len / 8; i++)
		words(h, offset)[i] = 0;
}

bool host_bar_has(const struct host_bar *h, size_t offset, const void *data,
		  size_t len)
{
	uint64_t word;
	size_t i;

	for (i = 0; i < len / 8; i++) {
		memcpy(&word, (const uint8_t *)data + 8 * i, 8);
		if (words(h, offset)[i] != word)
			return false;
	}
	return true;
}

int host_decoding(const char *bdf, bool on)
{
	uint16_t command;
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (pread(fd, &command, 2, PCI_COMMAND) != 2)
		ret = -EIO;
	if (on)
		command |= PCI_COMMAND_MEMORY;
	else
		command &= ~PCI_COMMAND_MEMORY;
	if (!ret && pwrite(fd, &command, 2, PCI_COMMAND) != 2)
		ret = -EIO;
	close(fd);
	return ret;
}

void target_pattern(void *buf, size_t len)
{
	uint8_t *byte = buf;
	size_t done = 0;
	ssize_t got;

	while (done < len) {
		got = getrandom(byte + done, len - done, 0);
		if (got > 0)
			done += got;
	}
	/* Cleared memory must not equal the start or the end of the pattern. */
	byte[0] |= 0x41;
	byte[len - 1] |= 0x41;
}
