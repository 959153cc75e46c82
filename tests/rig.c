// SPDX-License-Identifier: GPL-2.0-only
/*
 * The set-up of the device-memory tests: see rig.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "rig.h"
#include "stall.h"

#define MARK	64	/* how many of the 4 KiB that are written are compared */

struct rig rig;

/* Did the IOMMU record a fault? Set by blind_dma(), used by expect_blind_dma_blocked(). */
static bool blind_fault;

static int open_target(void)
{
	int ret = vfio_device_open(&rig.device, &rig.container, TARGET);

	rig.target = (struct target){ &rig.device, TARGET_BAR };
	return ret;
}

int rig_reopen(void **state)
{
	ok(vfio_container_open(&rig.container, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&rig.edu, &rig.container, EDU_A, IOVA_A));
	ok(nvme_open(&rig.nvme, &rig.container, NVME, IOVA_NVME));
	ok(open_target());
	ok(fault_open(&rig.faults));
	return 0;
}

int rig_open(void **state)
{
	rig_reopen(state);
	ok(stall_watch());
	return 0;
}

int rig_close(void **state)
{
	fault_close(&rig.faults);
	vfio_device_close(&rig.device);
	nvme_close(&rig.nvme);
	edu_close(&rig.edu);
	vfio_container_close(&rig.container);
	return 0;
}

int rig_unmapped(void **state)
{
	fault_drain(&rig.faults);
	return 0;
}

int rig_mapped(void **state)
{
	rig_unmapped(state);
	rig.map = vfio_reserve(RIG_LEN, 2 * MIB, PAGE);
	assert_non_null(rig.map);
	assert_non_null(vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					 PROT_READ | PROT_WRITE, rig.map));
	ok(vfio_dma_map(&rig.container, rig.map, IOVA, RIG_LEN, VFIO_DMA_RW));
	return 0;
}

/* The test may have failed at any point: undo each of its steps that may be left. */
int rig_heal(void **state)
{
	int ret;

	ret = vfio_dma_unmap(&rig.container, IOVA, 1ULL << 37, NULL);
	if (rig.map)
		munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	if (rig.device.fd < 0)
		return ret ? ret : open_target();
	vfio_low_power(&rig.device, false);
	return ret ? ret : vfio_decoding(&rig.device, true);
}

bool dma_lands(uint64_t iova, uint64_t offset)
{
	ok(target_fill(&rig.target, offset, 0, MARK));
	ok(nvme_identify(&rig.nvme, iova));
	return target_has(&rig.target, offset, rig.nvme.identity, MARK);
}

void expect_landing(uint64_t iova, uint64_t offset)
{
	if (!dma_lands(iova, offset))
		broken("DMA to %#lx does not reach the device's memory", iova);
}

void expect_blocked(uint64_t iova, uint64_t offset)
{
	fault_drain(&rig.faults);
	if (dma_lands(iova, offset))
		hole("DMA to %#lx reached the device's memory", iova);
	if (fault_wait(&rig.faults, NVME, iova, true, FAULT_MS))
		hole("the IOMMU let DMA to %#lx out", iova);
}

double expect_return(uint64_t iova, uint64_t offset, double start, double limit)
{
	double end, stood_still;

	limit *= patience();
	do {
		/* Count to the end of the attempt, though the bytes may have arrived earlier. */
		bool landed = dma_lands(iova, offset);

		end = now();
		if (landed)
			break;
		fault_settle(&rig.faults);
		sleep_ms(1);
	} while (end - start < limit + 5);
	stood_still = stalled(start, end);
	if (end - start - stood_still > limit)
		broken("back after %.3f s, not %.3f (the machine stood still for %.3f s)",
		       end - start, limit, stood_still);
	return end - start;
}

int rig_query(uint64_t iova, uint64_t size, struct vfio_tether_query *q)
{
	*q = (struct vfio_tether_query){
		.argsz = sizeof(*q),
		.flags = size ? 0 : VFIO_TETHER_QUERY_FLAG_ALL,
		.iova = size ? iova : 0,
		.size = size,
		.pinned = 1, .live = 2, .revoked = 3, .gone = 4,
	};
	return ioctl(rig.container.fd, VFIO_TETHER_QUERY, q) ? -errno : 0;
}

void need_fault_records(void)
{
	if (!faults_are_recorded())
		lacks("fault records, which QEMU's IOMMU does not give");
}

void blind_dma(uint64_t iova)
{
	fault_drain(&rig.faults);
	ok(nvme_identify(&rig.nvme, iova));
	blind_fault = !fault_wait(&rig.faults, NVME, iova, true, FAULT_MS);
}

void expect_blind_dma_blocked(uint64_t iova, uint64_t offset)
{
	if (target_has(&rig.target, offset, rig.nvme.identity, MARK))
		hole("DMA to %#lx reached memory that was off", iova);
	if (!blind_fault)
		hole("the IOMMU let DMA to %#lx out", iova);
}

void expect_blocked_while_off(uint64_t iova, uint64_t offset)
{
	expect_landing(iova, offset);
	ok(target_fill(&rig.target, offset, 0, PAGE));
	ok(vfio_decoding(&rig.device, false));
	ok(host_decoding(TARGET, true));
	blind_dma(iova);
	ok(host_decoding(TARGET, false));
	ok(vfio_decoding(&rig.device, true));
	expect_blind_dma_blocked(iova, offset);
}
