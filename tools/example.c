// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows how a program uses <linux/vfio_tether.h>: it maps the largest BAR of a device
 * for DMA, is notified by an eventfd when tether revokes and restores the mapping, and
 * queries the mapping's state.
 *
 *	tether-example 0000:01:00.0
 *
 * The device has to be bound to vfio-pci and alone in its IOMMU group. The program
 * turns the device's memory off and on, so that tether revokes and restores the
 * mapping.
 */
#include <err.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <linux/vfio_tether.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define IOVA	0x100000000ULL

static int open_group(const char *bdf)
{
	char path[128], link[256], dev[512];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", bdf);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		err(1, "%s", path);
	link[len] = 0;
	snprintf(dev, sizeof(dev), "/dev/vfio/%s", basename(link));
	fd = open(dev, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", dev);
	return fd;
}

static int open_device(int container, const char *bdf)
{
	int group = open_group(bdf), device;

	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		err(1, "the group of %s", bdf);
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, bdf);
	if (device < 0)
		err(1, "%s", bdf);
	return device;
}

static struct vfio_region_info largest_bar(int device)
{
	struct vfio_region_info info, best = { .size = 0 };
	unsigned int bar;

	for (bar = 0; bar < 6; bar++) {
		info = (struct vfio_region_info){
			.argsz = sizeof(info), .index = bar,
		};
		if (!ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &info) &&
		    info.flags & VFIO_REGION_INFO_FLAG_MMAP &&
		    info.size > best.size)
			best = info;
	}
	if (!best.size)
		errx(1, "no BAR that can be mapped");
	return best;
}

static void map_bar(int container, int device)
{
	struct vfio_region_info bar = largest_bar(device);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.iova = IOVA,
		.size = bar.size,
	};
	void *at = mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED,
			device, bar.offset);

	if (at == MAP_FAILED)
		err(1, "mmap");
	map.vaddr = (uintptr_t)at;
	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &map))
		err(1, "VFIO_IOMMU_MAP_DMA");
}

static void set_memory(int device, bool on)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	uint16_t command;

	if (ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    pread(device, &command, 2, config.offset + PCI_COMMAND) != 2)
		err(1, "configuration space");
	if (on)
		command |= PCI_COMMAND_MEMORY;
	else
		command &= ~PCI_COMMAND_MEMORY;
	if (pwrite(device, &command, 2, config.offset + PCI_COMMAND) != 2)
		err(1, "configuration space");
}

static void show(int container)
{
	struct vfio_tether_query query = {
		.argsz = sizeof(query),
		.flags = VFIO_TETHER_QUERY_FLAG_ALL,
	};

	if (ioctl(container, VFIO_TETHER_QUERY, &query))
		err(1, "VFIO_TETHER_QUERY");
	printf("live: %llu, revoked: %llu, gone: %llu, pinned: %llu\n",
	       query.live, query.revoked, query.gone, query.pinned);
}

/* Waits for the eventfd, which a real program would poll() with its other files. */
static void await_change(int container, int events)
{
	struct pollfd wait = { .fd = events, .events = POLLIN };
	uint64_t count;

	if (poll(&wait, 1, 5000) != 1)
		errx(1, "nothing happened");
	if (read(events, &count, sizeof(count)) != sizeof(count))
		err(1, "eventfd");
	show(container);
}

int main(int argc, char **argv)
{
	int container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC), device;
	struct vfio_tether_eventfd set = { .argsz = sizeof(set) };

	if (argc != 2)
		errx(2, "usage: %s DEVICE", argv[0]);
	if (container < 0)
		err(1, "/dev/vfio/vfio");
	if (ioctl(container, VFIO_CHECK_EXTENSION, VFIO_TETHER_EXTENSION) != 1)
		errx(3, "this is not tether");

	device = open_device(container, argv[1]);
	set.fd = eventfd(0, EFD_CLOEXEC);
	if (ioctl(container, VFIO_TETHER_SET_EVENTFD, &set))
		err(1, "VFIO_TETHER_SET_EVENTFD");

	set_memory(device, true);
	map_bar(container, device);
	show(container);
	set_memory(device, false);
	await_change(container, set.fd);
	set_memory(device, true);
	await_change(container, set.fd);
	return 0;
}
