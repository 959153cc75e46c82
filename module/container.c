// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening and releasing a container. container.h has the lock order.
 */
#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include "container.h"
#include "debugfs.h"
#include "events.h"
#include "group.h"
#include "mirror.h"
#include "owner.h"
#include "params.h"
#include "span.h"

static atomic_t last_id;

/**
 * container_open() - Allocate the backend's part of a container
 * @type: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
 *
 * Return: the container, with no group in it, or an ERR_PTR: -EINVAL for another type,
 * -ENOMEM.
 */
struct container *container_open(unsigned long type)
{
	struct container *c;

	if (type != VFIO_TYPE1_IOMMU && type != VFIO_TYPE1v2_IOMMU)
		return ERR_PTR(-EINVAL);

	c = kzalloc(sizeof(*c), GFP_KERNEL_ACCOUNT);
	if (!c)
		return ERR_PTR(-ENOMEM);
	c->put = owner_put_alloc();
	if (!c->put)
		goto err_free;
	if (mirror_restore_init(c))
		goto err_put;

	c->id = atomic_inc_return(&last_id);
	mutex_init(&c->lock);
	mutex_init(&c->device_lock);
	mutex_init(&c->mirror_lock);
	INIT_LIST_HEAD(&c->domains);
	INIT_LIST_HEAD(&c->emulated);
	INIT_LIST_HEAD(&c->devices);
	INIT_LIST_HEAD(&c->usable);
	init_waitqueue_head(&c->regrouped);
	init_waitqueue_head(&c->turn);
	c->mappings = RB_ROOT_CACHED;
	c->mappings_max = READ_ONCE(dma_entry_limit);
	c->mappings_avail = c->mappings_max;
	c->mirrors_avail = c->mappings_max;
	c->pgsizes = PAGE_MASK;
	c->v2 = type == VFIO_TYPE1v2_IOMMU;
	debug_add(c);
	return c;

err_put:
	owner_put_free(c->put);
err_free:
	kfree(c);
	return ERR_PTR(-ENOMEM);
}

/**
 * container_release() - Unmap everything and free a container
 * @c: the container; no program can reach it any more
 *
 * The vfio core has detached all groups before, but for those that a failed
 * VFIO_SET_IOMMU may have left; group_detach_all() detaches these. The restore work and
 * the watch are cancelled last: then no mirror is left whose mmu notifier could queue
 * them again.
 */
void container_release(struct container *c)
{
	debug_del(c);
	mutex_lock(&c->lock);
	group_detach_all(c);
	mutex_unlock(&c->lock);

	mirror_restore_exit(c);
	owner_put_free(c->put);
	events_set_eventfd(c, -1);
	spans_free(&c->usable);
	kfree(c);
}
