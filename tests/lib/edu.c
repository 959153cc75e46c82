// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's edu device as a DMA engine: see edu.h.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "edu.h"
#include "edu_regs.h"

#define EDU_PAGE	4096
#define EDU_TIMEOUT_MS	10000

static void reg_write(struct edu *e, unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(e->regs + reg) = value;
}

static uint64_t reg_read(struct edu *e, unsigned int reg)
{
	return *(volatile uint64_t *)(e->regs + reg);
}

int edu_map_bounce(struct edu *e)
{
	return vfio_dma_map(e->dev.container, e->bounce, e->bounce_iova,
			    EDU_PAGE, VFIO_DMA_RW);
}

int edu_open(struct edu *e, struct vfio_container *c, const char *bdf,
	     uint64_t bounce_iova)
{
	int ret;

	*e = (struct edu){ .bounce_iova = bounce_iova };
	ret = vfio_device_open(&e->dev, c, bdf);
	if (ret)
		return ret;
	ret = vfio_bus_master(&e->dev, true);
	if (ret)
		goto fail;
	e->regs = vfio_region_mmap(&e->dev, 0, 0, EDU_REGS,
				   PROT_READ | PROT_WRITE, NULL);
	if (!e->regs) {
		ret = -errno;
		goto fail;
	}
	if ((*(volatile uint32_t *)(e->regs + EDU_ID) & 0xff) != 0xed) {
		ret = -ENODEV;
		goto fail;
	}
	e->bounce = mmap(NULL, EDU_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (e->bounce == MAP_FAILED) {
		e->bounce = NULL;
		ret = -errno;
		goto fail;
	}
	ret = edu_map_bounce(e);
	if (ret)
		goto fail;
	return 0;
fail:
	edu_close(e);
	return ret;
}

void edu_close(struct edu *e)
{
	if (e->regs) {
		edu_wait(e);
		munmap((void *)e->regs, EDU_REGS);
	}
	e->regs = NULL;
	if (e->bounce) {
		vfio_dma_unmap(e->dev.container, e->bounce_iova, EDU_PAGE,
			       NULL);
		munmap(e->bounce, EDU_PAGE);
	}
	e->bounce = NULL;
	vfio_device_close(&e->dev);
}

int edu_wait(struct edu *e)
{
	struct timespec tick = { .tv_nsec = 1000000 };
	struct timespec start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	while (reg_read(e, EDU_COMMAND) & EDU_RUN) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if ((now.tv_sec - start.tv_sec) * 1000 > EDU_TIMEOUT_MS)
			return -ETIMEDOUT;
		nanosleep(&tick, NULL);
	}
	return 0;
}

static int start(struct edu *e, uint64_t src, uint64_t dst, size_t len,
		 unsigned int direction)
{
	int ret;

	if (!len || len > EDU_MAX)
		return -EINVAL;
	ret = edu_wait(e);
	if (ret)
		return ret;
	reg_write(e, EDU_SRC, src);
	reg_write(e, EDU_DST, dst);
	reg_write(e, EDU_COUNT, len);
	reg_write(e, EDU_COMMAND, EDU_RUN | direction);
	return 0;
}

int edu_start_store(struct edu *e, uint64_t iova, size_t len)
{
	return start(e, EDU_BUFFER, iova, len, EDU_FROM_EDU);
}

int edu_store(struct edu *e, uint64_t iova, size_t len)
{
	int ret = edu_start_store(e, iova, len);

	return ret ? ret : edu_wait(e);
}

int edu_fetch(struct edu *e, uint64_t iova, size_t len)
{
	int ret = start(e, iova, EDU_BUFFER, len, 0);

	return ret ? ret : edu_wait(e);
}

int edu_load(struct edu *e, const void *data, size_t len)
{
	if (len > EDU_MAX)
		return -EINVAL;
	memcpy(e->bounce, data, len);
	return edu_fetch(e, e->bounce_iova, len);
}

int edu_unload(struct edu *e, void *data, size_t len)
{
	int ret = edu_store(e, e->bounce_iova, len);

	if (!ret)
		memcpy(data, e->bounce, len);
	return ret;
}

int edu_write(struct edu *e, uint64_t iova, const void *data, size_t len)
{
	int ret = edu_load(e, data, len);

	return ret ? ret : edu_store(e, iova, len);
}

int edu_read(struct edu *e, uint64_t iova, void *data, size_t len)
{
	int ret = edu_fetch(e, iova, len);

	return ret ? ret : edu_unload(e, data, len);
}
