// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tiny NVMe host: see nvme.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "nvme.h"

#define NVME_CAP	0x00
#define NVME_CC		0x14
#define NVME_CSTS	0x1c
#define NVME_AQA	0x24
#define NVME_ASQ	0x28
#define NVME_ACQ	0x30
#define NVME_DOORBELL	0x1000
#define NVME_BAR	0x2000
#define NVME_PAGE	4096
#define NVME_DEPTH	16
#define NVME_TIMEOUT_MS	10000

#define CC_ENABLE	0x00460001u	/* 64-byte SQEs, 16-byte CQEs, 4 KiB pages */
#define OPCODE_IDENTIFY	0x06
#define CNS_CONTROLLER	1

struct sqe {
	uint8_t opcode, flags;
	uint16_t cid;
	uint32_t nsid;
	uint64_t rsvd, metadata, prp1, prp2;
	uint32_t cdw10[6];
};

struct cqe {
	uint32_t result, rsvd;
	uint16_t sq_head, sq_id, cid, status;
};

_Static_assert(sizeof(struct sqe) == 64, "NVMe submission entry");
_Static_assert(sizeof(struct cqe) == 16, "NVMe completion entry");

static void write32(struct nvme *n, unsigned int reg, uint32_t value)
{
	*(volatile uint32_t *)(n->regs + reg) = value;
}

static uint32_t read32(struct nvme *n, unsigned int reg)
{
	return *(volatile uint32_t *)(n->regs + reg);
}

static void write64(struct nvme *n, unsigned int reg, uint64_t value)
{
	write32(n, reg, value);
	write32(n, reg + 4, value >> 32);
}

static long elapsed_ms(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - start->tv_sec) * 1000 +
	       (now.tv_nsec - start->tv_nsec) / 1000000;
}

static int wait_ready(struct nvme *n, uint32_t ready)
{
	struct timespec start, tick = { .tv_nsec = 1000000 };

	clock_gettime(CLOCK_MONOTONIC, &start);
	while ((read32(n, NVME_CSTS) & 1) != ready) {
		if (elapsed_ms(&start) > NVME_TIMEOUT_MS)
			return -ETIMEDOUT;
		nanosleep(&tick, NULL);
	}
	return 0;
}

int nvme_enable(struct nvme *n)
{
	int ret;

	write32(n, NVME_CC, 0);
	ret = wait_ready(n, 0);
	if (ret)
		return ret;
	memset(n->mem, 0, 2 * NVME_PAGE);
	n->sq_tail = 0;
	n->cq_head = 0;
	n->phase = 1;
	n->stride = 4u << (read32(n, NVME_CAP + 4) & 0xf);
	write32(n, NVME_AQA, (NVME_DEPTH - 1) << 16 | (NVME_DEPTH - 1));
	write64(n, NVME_ASQ, n->iova);
	write64(n, NVME_ACQ, n->iova + NVME_PAGE);
	write32(n, NVME_CC, CC_ENABLE);
	return wait_ready(n, 1);
}

static void submit(struct nvme *n, uint64_t iova)
{
	struct sqe *sqe = (struct sqe *)n->mem + n->sq_tail;

	*sqe = (struct sqe){
		.opcode = OPCODE_IDENTIFY,
		.cid = ++n->cid,
		.prp1 = iova,
		.cdw10[0] = CNS_CONTROLLER,
	};
	n->sq_tail = (n->sq_tail + 1) % NVME_DEPTH;
	__sync_synchronize();
	write32(n, NVME_DOORBELL, n->sq_tail);
}

static int complete(struct nvme *n)
{
	volatile struct cqe *cqe =
		(struct cqe *)(n->mem + NVME_PAGE) + n->cq_head;
	struct timespec start;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while ((cqe->status & 1) != n->phase)
		if (elapsed_ms(&start) > NVME_TIMEOUT_MS)
			return -ETIMEDOUT;
	__sync_synchronize();
	if (cqe->cid != n->cid)
		return -EPROTO;
	if (++n->cq_head == NVME_DEPTH) {
		n->cq_head = 0;
		n->phase ^= 1;
	}
	write32(n, NVME_DOORBELL + n->stride, n->cq_head);
	return cqe->status >> 1 ? -EIO : 0;
}

int nvme_identify(struct nvme *n, uint64_t iova)
{
	submit(n, iova);
	return complete(n);
}

int nvme_open(struct nvme *n, struct vfio_container *c, const char *bdf,
	      uint64_t iova)
{
	int ret;

	*n = (struct nvme){ .iova = iova };
	ret = vfio_device_open(&n->dev, c, bdf);
	if (ret)
		return ret;
	n->regs = vfio_region_mmap(&n->dev, 0, 0, NVME_BAR,
				   PROT_READ | PROT_WRITE, NULL);
	if (!n->regs) {
		ret = -errno;
		goto fail;
	}
	n->mem = mmap(NULL, 3 * NVME_PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (n->mem == MAP_FAILED) {
		n->mem = NULL;
		ret = -errno;
		goto fail;
	}
	ret = vfio_dma_map(c, n->mem, iova, 3 * NVME_PAGE, VFIO_DMA_RW);
	if (!ret)
		ret = vfio_bus_master(&n->dev, true);
	if (!ret)
		ret = nvme_enable(n);
	if (!ret)
		ret = nvme_identify(n, iova + 2 * NVME_PAGE);
	if (ret)
		goto fail;
	memcpy(n->identity, n->mem + 2 * NVME_PAGE, NVME_IDENTIFY_LEN);
	if (n->identity[0] || n->identity[1])	/* vendor ID: the data was written */
		return 0;
	ret = -ENODATA;
fail:
	nvme_close(n);
	return ret;
}

void nvme_close(struct nvme *n)
{
	if (n->regs) {
		write32(n, NVME_CC, 0);
		wait_ready(n, 0);
		munmap((void *)n->regs, NVME_BAR);
	}
	n->regs = NULL;
	if (n->mem) {
		vfio_dma_unmap(n->dev.container, n->iova, 3 * NVME_PAGE, NULL);
		munmap(n->mem, 3 * NVME_PAGE);
	}
	n->mem = NULL;
	vfio_device_close(&n->dev);
}
