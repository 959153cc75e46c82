// SPDX-License-Identifier: GPL-2.0-only
/*
 * Containers: their birth and their end. container.h has the lock order.
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
 * container_open() - Make the backend's side of a container
 * @type: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
 *
 * Return: the container, with no group in it, or an ERR_PTR: -EINVAL for
 * another type, -ENOMEM.
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
	c->mappings = RB_ROOT_CACHED;
	c->mappings_avail = READ_ONCE(dma_entry_limit);
	c->mirrors_avail = c->mappings_avail;
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
 * container_release() - The end of a container
 * @c: the container, which nobody else can reach any more
 *
 * The vfio core has detached the groups, unless attaching one of the first
 * failed. Restore and the watch are cancelled only once no mirror is left whose
 * notifier could queue it again.
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
