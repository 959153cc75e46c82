// SPDX-License-Identifier: GPL-2.0-only
/*
 * The entries in the page tables of an SMMU, Arm's IOMMU. Each entry says how a device
 * accesses the memory: as device memory (in order and uncached), or as RAM. QEMU has no
 * caches, so a wrong type does not change what DMA transfers. So these tests read the
 * entries, by the same walk that the SMMU makes. They also check the entry by which the
 * SMMU translates devices' interrupts.
 */
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"
#include "smmu.h"

#define RETURN_S	2.0

static struct smmu smmu;

static int setup(void **state)
{
	ok(smmu_open(&smmu));
	return rig_open(state);
}

static int teardown(void **state)
{
	smmu_close(&smmu);
	return rig_close(state);
}

static struct smmu_entry entry_at(uint64_t iova)
{
	struct smmu_entry entry;

	ok(smmu_lookup(&smmu, NVME, iova, &entry));
	return entry;
}

/* Checks every entry of the range. The kernel chooses how much memory an entry maps. */
static void expect_entries(uint64_t iova, uint64_t len, uint8_t memory)
{
	uint64_t end = iova + len;

	while (iova < end) {
		struct smmu_entry entry = entry_at(iova);

		if (entry.memory != memory)
			broken("%#lx is memory of type %#x, not %#x", iova,
			       entry.memory, memory);
		assert_true(entry.writable);
		iova = (iova | (entry.size - 1)) + 1;
	}
}

static void expect_device_memory(uint64_t iova, uint64_t len, uint64_t offset)
{
	assert_int_equal(entry_at(iova).phys,
			 host_bar_start(TARGET, TARGET_BAR) + offset);
	assert_int_equal(entry_at(iova + len - PAGE).phys,
			 host_bar_start(TARGET, TARGET_BAR) + offset + len - PAGE);
	/*
	 * In-tree maps a device's memory as RAM. This also shows that the test can tell
	 * the two memory types apart.
	 */
	expect_entries(iova, len,
		       on_tether() ? SMMU_DEVICE_MEMORY : SMMU_NORMAL_CACHEABLE);
}

static void device_memory_is_mapped_as_device_memory(void **state)
{
	expect_device_memory(IOVA, RIG_LEN, 0);
	expect_landing(IOVA, 0);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

static void ram_is_mapped_as_cacheable_memory(void **state)
{
	uint8_t *mem = vfio_reserve(4 * MIB, 2 * MIB, PAGE);

	assert_non_null(mem);
	ok(mprotect(mem, 4 * MIB, PROT_READ | PROT_WRITE) ? -errno : 0);
	ok(vfio_dma_map(&rig.container, mem, IOVA, 4 * MIB, VFIO_DMA_RW));
	expect_entries(IOVA, 4 * MIB, SMMU_NORMAL_CACHEABLE);
	ok(nvme_identify(&rig.nvme, IOVA + MIB));
	assert_memory_equal(mem + MIB, rig.nvme.identity, NVME_IDENTIFY_LEN);
	ok(vfio_dma_unmap(&rig.container, IOVA, 4 * MIB, NULL));
	refused(ENOENT, smmu_lookup(&smmu, NVME, IOVA, &(struct smmu_entry){}));
	munmap(mem, 4 * MIB);
}

static void each_part_of_a_mapping_has_its_own_type(void **state)
{
	uint8_t *mem = vfio_reserve(4 * MIB, 2 * MIB, 0);

	assert_non_null(mem);
	ok(mprotect(mem, 2 * MIB, PROT_READ | PROT_WRITE) ? -errno : 0);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, MIB, 2 * MIB,
					 PROT_READ | PROT_WRITE, mem + 2 * MIB));
	ok(vfio_dma_map(&rig.container, mem, IOVA, 4 * MIB, VFIO_DMA_RW));
	expect_entries(IOVA, 2 * MIB, SMMU_NORMAL_CACHEABLE);
	expect_device_memory(IOVA + 2 * MIB, 2 * MIB, MIB);
	ok(vfio_dma_unmap(&rig.container, IOVA, 4 * MIB, NULL));
	munmap(mem, 4 * MIB);
}

static void entries_go_with_the_memory(void **state)
{
	struct smmu_entry entry;
	double start;
	int ret;

	ok(vfio_decoding(&rig.device, false));
	ret = smmu_lookup(&smmu, NVME, IOVA, &entry);
	if (!ret)
		hole("the SMMU translates %#llx to %#lx of memory that is off",
		     IOVA, entry.phys);
	assert_int_equal(ret, -ENOENT);
	refused(ENOENT, smmu_lookup(&smmu, NVME, IOVA + RIG_LEN - PAGE, &entry));
	start = now();
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, start, RETURN_S);
	expect_device_memory(IOVA, RIG_LEN, 0);
}

/*
 * The kernel maps the interrupt controller's page there when an interrupt is enabled.
 */
static void interrupts_are_translated_in_their_window(void **state)
{
	struct pollfd signal = { .fd = eventfd(0, EFD_NONBLOCK), .events = POLLIN };
	struct smmu_entry entry;
	uint64_t first, last;

	assert_true(signal.fd >= 0);
	ok(vfio_msi_window(NVME, &first, &last));
	refused(ENOENT, smmu_lookup(&smmu, NVME, first, &entry));
	ok(vfio_msix_enable(&rig.nvme.dev, 0, signal.fd));
	/* QEMU's nvme takes a queue's vector only when the queue is created. */
	ok(nvme_enable(&rig.nvme));
	expect_entries(first, PAGE, SMMU_DEVICE_MEMORY);
	expect_landing(IOVA, 0);
	assert_int_equal(poll(&signal, 1, FAULT_MS), 1);
	ok(vfio_msix_enable(&rig.nvme.dev, 0, -1));
	close(signal.fd);
}

static const struct CMUnitTest tests[] = {
	TEST(device_memory_is_mapped_as_device_memory, rig_mapped, rig_heal),
	TEST(ram_is_mapped_as_cacheable_memory, rig_unmapped, rig_heal),
	TEST(each_part_of_a_mapping_has_its_own_type, rig_unmapped, rig_heal),
	SECURITY(entries_go_with_the_memory, rig_mapped, rig_heal),
	TEST(interrupts_are_translated_in_their_window, rig_mapped, rig_heal),
};

TEST_MAIN(tests, setup, teardown)
