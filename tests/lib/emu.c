// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated device: see emu.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emu.h"

#define EMU_MODULE	"/modules/emu.ko"
#define EMU_LOADED	"/sys/module/emu"

int emu_load(void)
{
	if (!access(EMU_LOADED, F_OK))
		return 0;
	return system("insmod " EMU_MODULE) ? -ENODEV : 0;
}

int emu_unload(void)
{
	return system("rmmod emu") ? -EBUSY : 0;
}

int emu_open(struct emu *e, struct vfio_container *c, unsigned int number)
{
	struct vfio_device *d = &e->dev;
	char link[128];

	*e = (struct emu){ .dev = { .container = c, .group = -1, .fd = -1 } };
	snprintf(d->bdf, sizeof(d->bdf), EMU_DEVICE_NAME ".%u", number);
	snprintf(link, sizeof(link), "/sys/devices/platform/%s/iommu_group", d->bdf);
	return vfio_device_open_in(d, vfio_group_open_link(link));
}

void emu_close(struct emu *e)
{
	vfio_device_close(&e->dev);
}

static int command(struct emu *e, struct emu_command *c)
{
	if (pwrite(e->dev.fd, c, sizeof(*c), 0) != (ssize_t)sizeof(*c) ||
	    pread(e->dev.fd, c, sizeof(*c), 0) != (ssize_t)sizeof(*c))
		return errno ? -errno : -EIO;
	e->held = c->held;
	return c->result;
}

int emu_pin(struct emu *e, uint64_t iova, unsigned int npages,
	    unsigned int prot)
{
	struct emu_command c = {
		.op = EMU_PIN,
		.iova = iova,
		.npages = npages,
		.prot = prot,
	};

	return command(e, &c);
}

int emu_unpin(struct emu *e, uint64_t iova, unsigned int npages)
{
	struct emu_command c = {
		.op = EMU_UNPIN,
		.iova = iova,
		.npages = npages,
	};

	return command(e, &c);
}

static int data_in(struct emu *e, enum emu_op op, uint64_t iova, void *data,
		   size_t len)
{
	struct emu_command c = { .op = op, .iova = iova, .len = len };
	int ret = command(e, &c);

	if (!ret)
		memcpy(data, c.data, len);
	return ret;
}

static int data_out(struct emu *e, enum emu_op op, uint64_t iova,
		    const void *data, size_t len)
{
	struct emu_command c = { .op = op, .iova = iova, .len = len };

	if (len > sizeof(c.data))
		return -E2BIG;
	memcpy(c.data, data, len);
	return command(e, &c);
}

int emu_read(struct emu *e, uint64_t iova, void *data, size_t len)
{
	return data_in(e, EMU_READ, iova, data, len);
}

int emu_write(struct emu *e, uint64_t iova, const void *data, size_t len)
{
	return data_out(e, EMU_WRITE, iova, data, len);
}

int emu_worker_read(struct emu *e, uint64_t iova, void *data, size_t len)
{
	return data_in(e, EMU_WORKER_READ, iova, data, len);
}

int emu_worker_write(struct emu *e, uint64_t iova, const void *data, size_t len)
{
	return data_out(e, EMU_WORKER_WRITE, iova, data, len);
}

int emu_peek(struct emu *e, uint64_t iova, void *data, size_t len)
{
	return data_in(e, EMU_PEEK, iova, data, len);
}

int emu_poke(struct emu *e, uint64_t iova, const void *data, size_t len)
{
	return data_out(e, EMU_POKE, iova, data, len);
}

int emu_notices(struct emu *e, uint64_t *iova, uint64_t *len)
{
	struct emu_command c = { .op = EMU_NOTICES };
	int ret = command(e, &c);

	if (ret)
		return ret;
	*iova = c.notice_iova;
	*len = c.notice_len;
	return c.notices;
}

int emu_keep(struct emu *e, bool keep)
{
	struct emu_command c = { .op = EMU_KEEP, .npages = keep };

	return command(e, &c);
}

int emu_delay(struct emu *e, unsigned int ms)
{
	struct emu_command c = { .op = EMU_DELAY, .npages = ms };

	return command(e, &c);
}
