// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening, refusing and releasing a container. container.h has the lock order.
 *
 * A build with TETHER_BESIDE runs while the in-tree backend is loaded, too. In the
 * ioctl VFIO_SET_IOMMU the vfio core then offers a container to tether first. If
 * container_open() or container_attach() returned an error there, the core would offer
 * the container to the in-tree backend, which does not revoke: any user who can make
 * tether fail could get around tether. So this build returns no error inside
 * VFIO_SET_IOMMU. It keeps the container and refuses it: no group is attached to a
 * domain, so the devices reach no memory, and every later call on the container returns
 * the errno that VFIO_SET_IOMMU did not return.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/slab.h>
#include <linux/vfio.h>

#include <asm/syscall.h>

#include "container.h"
#include "debugfs.h"
#include "events.h"
#include "group.h"
#include "mirror.h"
#include "owner.h"
#include "params.h"
#include "span.h"
#include "stats.h"

#ifdef TETHER_BESIDE
#define BESIDE	true
#else
#define BESIDE	false
#endif

static atomic_t last_id;

/*
 * With TETHER_BESIDE, container_open() returns one of these if it cannot make a
 * container. No field of them but @refused is ever read, so all containers that are
 * refused for the same reason can share one.
 */
static struct container refused_type = { .refused = -EINVAL };
static struct container refused_memory = { .refused = -ENOMEM };

static bool container_is_shared(const struct container *c)
{
	return c == &refused_type || c == &refused_memory;
}

static struct container *container_alloc(unsigned long type)
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

static void warn_refused(int error)
{
	stats_add(STAT_REFUSED_CONTAINERS, 1);
	pr_warn_ratelimited("VFIO_SET_IOMMU of %s[%d] was refused (%pe): its devices reach no memory, and the container returns this error\n",
			    current->comm, task_pid_nr(current),
			    ERR_PTR(error));
}

/**
 * container_open() - Allocate the backend's part of a container
 * @type: VFIO_TYPE1_IOMMU or VFIO_TYPE1v2_IOMMU
 *
 * Return: the container, with no group in it, or an ERR_PTR: -EINVAL for another type,
 * -ENOMEM. With TETHER_BESIDE a refused container instead of an ERR_PTR.
 */
struct container *container_open(unsigned long type)
{
	struct container *c = container_alloc(type);

	if (!BESIDE || !IS_ERR(c))
		return c;
	warn_refused(PTR_ERR(c));
	return PTR_ERR(c) == -ENOMEM ? &refused_memory : &refused_type;
}

/*
 * May container_attach() return an error? The vfio core calls it in two ioctls. In
 * VFIO_GROUP_SET_CONTAINER, which adds a group to a container that has its backend
 * already, the error goes to the user. In VFIO_SET_IOMMU an error would make the core
 * try the next backend, so with TETHER_BESIDE none may be returned. The second argument
 * of the system call that the thread is in is the ioctl's number, which tells the two
 * apart.
 */
static bool attach_may_fail(void)
{
	unsigned long args[6];

	if (!BESIDE)
		return true;
	syscall_get_arguments(current, current_pt_regs(), args);
	return (u32)args[1] == VFIO_GROUP_SET_CONTAINER;
}

/*
 * Refuse a container inside VFIO_SET_IOMMU: detach all its groups, and have every later
 * call on it return @error.
 */
static void container_refuse(struct container *c, int error)
{
	lockdep_assert_held(&c->lock);
	group_detach_all(c);
	c->refused = error;
	warn_refused(error);
}

/**
 * container_attach() - Let a group's devices reach what a container maps
 * @c: the container, whose lock this takes
 * @group: the group; the vfio core owns its DMA (iommu_group_claim_dma_owner()) unless
 *	   @emulated
 * @emulated: the group is one that the vfio core made for an emulated device
 *
 * Return: 0; or with the group attached to nothing, the negative errno of
 * group_attach() or the one for which the container was refused. With TETHER_BESIDE
 * always 0 inside VFIO_SET_IOMMU: if the group cannot be attached there, this refuses
 * the container.
 */
int container_attach(struct container *c, struct iommu_group *group,
		     bool emulated)
{
	bool may_fail = attach_may_fail();
	int ret = c->refused;

	if (!ret) {
		container_lock(c);
		ret = group_attach(c, group, emulated);
		if (ret && !may_fail)
			container_refuse(c, ret);
		mutex_unlock(&c->lock);
	}
	return may_fail ? ret : 0;
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
	if (container_is_shared(c))
		return;
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
