// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold DEVICE: opens a container with this device, prints the driver that serves it (tether
 * or in-tree), and maps and unmaps a page of RAM until it is killed. Fails if a call fails.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/vfio_tether.h>

#include "vfio.h"

#define PAGE	4096
#define IOVA	0x100000000ULL

int main(int argc, char **argv)
{
	struct vfio_container container;
	struct vfio_device device;
	void *ram = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (argc != 2)
		errx(2, "usage: %s DEVICE", argv[0]);
	if (ram == MAP_FAILED)
		err(1, "mmap");
	ret = vfio_container_open(&container, VFIO_TYPE1v2_IOMMU);
	if (!ret)
		ret = vfio_device_open(&device, &container, argv[1]);
	if (ret)
		errx(1, "%s: %s", argv[1], strerror(-ret));
	printf("%s\n", ioctl(container.fd, VFIO_CHECK_EXTENSION,
			     VFIO_TETHER_EXTENSION) == 1 ? "tether" : "in-tree");
	fflush(stdout);
	for (;;) {
		ret = vfio_dma_map(&container, ram, IOVA, PAGE, VFIO_DMA_RW);
		if (!ret)
			ret = vfio_dma_unmap(&container, IOVA, PAGE, NULL);
		if (ret)
			errx(1, "%s", strerror(-ret));
		usleep(100000);
	}
}
