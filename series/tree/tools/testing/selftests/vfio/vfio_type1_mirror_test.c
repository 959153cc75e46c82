// SPDX-License-Identifier: GPL-2.0-only
/*
 * A mapping of a device's BAR in a type1 container never outlives the memory. Device
 * memory that devices reach is "live" in VFIO_MIRROR_QUERY, which the backend counts from
 * the entries that it has in the IOMMU.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <uapi/linux/types.h>
#include <linux/pci_regs.h>
#include <linux/sizes.h>
#include <linux/vfio.h>

#include <libvfio.h>

#include "../kselftest_harness.h"

static const char *device_bdf;

FIXTURE(vfio_type1_mirror_test) {
	struct iommu *iommu;
	struct vfio_pci_device *device;
	struct iova_allocator *iova_allocator;
	struct dma_region region;
};

FIXTURE_VARIANT(vfio_type1_mirror_test) {
	const char *iommu_mode;
};

FIXTURE_VARIANT_ADD(vfio_type1_mirror_test, vfio_type1_iommu) {
	.iommu_mode = MODE_VFIO_TYPE1_IOMMU,
};

FIXTURE_VARIANT_ADD(vfio_type1_mirror_test, vfio_type1v2_iommu) {
	.iommu_mode = MODE_VFIO_TYPE1V2_IOMMU,
};

static struct vfio_mirror_query query(struct iommu *iommu)
{
	struct vfio_mirror_query query = {
		.argsz = sizeof(query),
		.flags = VFIO_MIRROR_QUERY_FLAG_ALL,
	};

	ioctl_assert(iommu->container_fd, VFIO_MIRROR_QUERY, &query);
	return query;
}

/* Wait until all of the mapping is live. It takes some 10 ms; the harness has a limit. */
static void await_live(struct iommu *iommu, u64 size)
{
	while (query(iommu).live != size)
		usleep(1000);
}

static struct vfio_pci_bar *some_bar(struct vfio_pci_device *device)
{
	for (int i = 0; i < PCI_STD_NUM_BARS; i++) {
		struct vfio_pci_bar *bar = &device->bars[i];

		if (bar->vaddr && bar->info.size >= 2 * getpagesize())
			return bar;
	}
	return NULL;
}

FIXTURE_SETUP(vfio_type1_mirror_test)
{
	struct vfio_pci_bar *bar;

	self->iommu = iommu_init(variant->iommu_mode);
	self->device = vfio_pci_device_init(device_bdf, self->iommu);
	self->iova_allocator = iova_allocator_init(self->iommu);
	if (ioctl(self->iommu->container_fd, VFIO_CHECK_EXTENSION,
		  VFIO_MIRROR_EXTENSION) <= 0)
		SKIP(return, "The container's backend does not revoke device memory");
	bar = some_bar(self->device);
	if (!bar)
		SKIP(return, "No mappable BAR of two pages found on device %s", device_bdf);

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	self->region.size = min_t(u64, bar->info.size, SZ_2M);
	self->region.vaddr = mmap(NULL, self->region.size, PROT_READ | PROT_WRITE,
				  MAP_SHARED, self->device->fd, bar->info.offset);
	ASSERT_NE(self->region.vaddr, MAP_FAILED);
	self->region.iova = iova_allocator_alloc(self->iova_allocator,
						 self->region.size);
	iommu_map(self->iommu, &self->region);
	ASSERT_EQ(query(self->iommu).live, self->region.size);
}

FIXTURE_TEARDOWN(vfio_type1_mirror_test)
{
	iova_allocator_cleanup(self->iova_allocator);
	vfio_pci_device_cleanup(self->device);
	iommu_cleanup(self->iommu);
}

TEST_F(vfio_type1_mirror_test, memory_off_revokes)
{
	u64 size = self->region.size;

	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ASSERT_EQ(query(self->iommu).live, 0);
	ASSERT_EQ(query(self->iommu).revoked, size);

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	await_live(self->iommu, size);
}

TEST_F(vfio_type1_mirror_test, reset_revokes)
{
	u64 before = query(self->iommu).revocations;

	if (!(self->device->info.flags & VFIO_DEVICE_FLAGS_RESET))
		SKIP(return, "Device %s has no reset", device_bdf);
	vfio_pci_device_reset(self->device);
	ASSERT_GT(query(self->iommu).revocations, before);

	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	await_live(self->iommu, self->region.size);
}

TEST_F(vfio_type1_mirror_test, munmap_revokes_for_good)
{
	u64 half = self->region.size / 2, unmapped;

	ASSERT_EQ(munmap(self->region.vaddr, half), 0);
	ASSERT_EQ(query(self->iommu).gone, half);
	await_live(self->iommu, self->region.size - half);

	ASSERT_EQ(__iommu_unmap(self->iommu, &self->region, &unmapped), 0);
	ASSERT_EQ(unmapped, self->region.size);
}

TEST_F(vfio_type1_mirror_test, memory_that_is_off_cannot_be_mapped)
{
	struct dma_region region = self->region;

	iommu_unmap(self->iommu, &self->region);
	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ASSERT_EQ(__iommu_map(self->iommu, &region), -EFAULT);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
}

TEST_F(vfio_type1_mirror_test, eventfd_tells_of_a_revocation)
{
	struct vfio_mirror_eventfd set = {
		.argsz = sizeof(set),
		.fd = eventfd(0, EFD_NONBLOCK),
	};
	struct pollfd pollfd = { .fd = set.fd, .events = POLLIN };

	ASSERT_GE(set.fd, 0);
	ioctl_assert(self->iommu->container_fd, VFIO_MIRROR_SET_EVENTFD, &set);
	ASSERT_EQ(poll(&pollfd, 1, 0), 0);
	vfio_pci_cmd_clear(self->device, PCI_COMMAND_MEMORY);
	ASSERT_EQ(poll(&pollfd, 1, 0), 1);
	vfio_pci_cmd_set(self->device, PCI_COMMAND_MEMORY);
	close(set.fd);
}

int main(int argc, char *argv[])
{
	device_bdf = vfio_selftests_get_bdf(&argc, argv);
	return test_harness_run(argc, argv);
}
