// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps memory by VFIO or by the floor's module: see side.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "floor/floor.h"
#include "side.h"

#define INITIATOR	"0000:00:03.0"
#define FLOOR_DEVICE	0x20	/* 0000:00:04.0, which no driver uses */
#define HUGE		(1UL << 30)

static int floor_call(struct side *s, unsigned long request, unsigned long arg)
{
	return ioctl(s->fd, request, arg) ? -errno : 0;
}

static int open_floor(struct side *s)
{
	s->fd = open(FLOOR_PATH, O_RDWR | O_CLOEXEC);
	return s->fd < 0 ? -errno : floor_call(s, FLOOR_ATTACH, FLOOR_DEVICE);
}

int side_open(struct side *s, bool floor)
{
	int ret;

	*s = (struct side){ .floor = floor, .fd = -1, .container.fd = -1 };
	if (floor)
		return open_floor(s);
	ret = vfio_container_open(&s->container, VFIO_TYPE1v2_IOMMU);
	return ret ? ret : vfio_device_open(&s->initiator, &s->container, INITIATOR);
}

void side_close(struct side *s)
{
	if (s->floor) {
		close(s->fd);
		return;
	}
	vfio_device_close(&s->initiator);
	vfio_container_close(&s->container);
}

int side_map_ram(struct side *s, const void *vaddr, uint64_t iova, size_t size)
{
	struct floor_map map = {
		.vaddr = (uintptr_t)vaddr,
		.iova = iova,
		.size = size,
	};

	if (!s->floor)
		return vfio_dma_map(&s->container, vaddr, iova, size, VFIO_DMA_RW);
	return floor_call(s, FLOOR_MAP_RAM, (uintptr_t)&map);
}

static uint32_t floor_device(const char *bdf)
{
	unsigned int bus = 0, slot = 0, function = 0;

	/* No device has this address, so the floor refuses it. */
	if (sscanf(bdf, "0000:%x:%x.%u", &bus, &slot, &function) != 3)
		return UINT32_MAX;
	return bus << 8 | slot << 3 | function;
}

int side_map_bar(struct side *s, const struct bar *b, uint64_t iova, size_t size)
{
	struct floor_map map = {
		.iova = iova,
		.size = size,
		.bar = b->number,
	};

	if (!s->floor)
		return vfio_dma_map(&s->container, b->at, iova, size, VFIO_DMA_RW);
	map.device = floor_device(b->bdf);
	return floor_call(s, FLOOR_MAP_BAR, (uintptr_t)&map);
}

int side_unmap(struct side *s, uint64_t iova, size_t size)
{
	if (!s->floor)
		return vfio_dma_unmap(&s->container, iova, size, NULL);
	return floor_call(s, FLOOR_UNMAP, (uintptr_t)&iova);
}

int bar_open(struct bar *b, struct side *s, const char *bdf, unsigned int number,
	     size_t size, size_t skew)
{
	int ret;

	*b = (struct bar){ .bdf = bdf, .number = number, .size = size };
	if (s->floor)
		return 0;
	ret = vfio_device_open(&b->dev, &s->container, bdf);
	if (!ret)
		ret = vfio_decoding(&b->dev, true);
	if (ret)
		return ret;
	b->at = vfio_reserve(size, HUGE, skew);
	if (b->at)
		b->at = vfio_region_mmap(&b->dev, number, 0, size,
					 PROT_READ | PROT_WRITE, b->at);
	return b->at ? 0 : -errno;
}

void bar_close(struct bar *b)
{
	if (b->at)
		munmap(b->at, b->size);
	vfio_device_close(&b->dev);
}
