// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the module does so that it can work while the in-tree backend is loaded, too.
 *
 * In the ioctl VFIO_SET_IOMMU the vfio core offers a container to tether first. If
 * open() or attach_group() returned an error there, the core would offer the container
 * to the in-tree backend, which does not revoke: any user who can make tether fail could
 * get around tether. So the functions of this file, which call those of main.c, return
 * no error inside VFIO_SET_IOMMU. They keep the container and refuse it: no group is
 * attached to a domain, so the devices reach no memory, and every later call on the
 * container returns the errno that VFIO_SET_IOMMU did not return.
 *
 * container->refused says so. It is set only inside VFIO_SET_IOMMU, before any other
 * call can reach the container; so it is read without a lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/vfio.h>

#include <asm/syscall.h>

#include "beside.h"
#include "compat/compat.h"
#include "container.h"
#include "group.h"
#include "stats.h"

/* The functions of main.c. */
static const struct vfio_iommu_driver_ops *backend;

/*
 * beside_open() returns one of these if no container can be made. No field of them but
 * @refused is ever read, so all containers that are refused for the same reason can
 * share one.
 */
static struct container refused_type = { .refused = -EINVAL };
static struct container refused_memory = { .refused = -ENOMEM };

static bool container_is_shared(const struct container *c)
{
	return c == &refused_type || c == &refused_memory;
}

static int refused(void *data)
{
	return ((struct container *)data)->refused;
}

static void warn_refused(int error)
{
	stats_add(STAT_REFUSED_CONTAINERS, 1);
	pr_warn_ratelimited("VFIO_SET_IOMMU of %s[%d] was refused (%pe): its devices reach no memory, and the container returns this error\n",
			    current->comm, task_pid_nr(current),
			    ERR_PTR(error));
}

static void *beside_open(unsigned long type)
{
	void *data = backend->open(type);

	if (!IS_ERR(data))
		return data;
	warn_refused(PTR_ERR(data));
	return PTR_ERR(data) == -ENOMEM ? &refused_memory : &refused_type;
}

static void beside_release(void *data)
{
	if (!container_is_shared(data))
		backend->release(data);
}

static long beside_ioctl(void *data, unsigned int cmd, unsigned long arg)
{
#ifdef VFIO_TYPE1_NESTING_IOMMU
	/*
	 * Tether does not support this type, but the in-tree backend does on kernels
	 * that declare it, and the vfio core would give it the container if this
	 * returned 0. So return 1: then tether gets the container, and refuses it.
	 */
	if (cmd == VFIO_CHECK_EXTENSION && arg == VFIO_TYPE1_NESTING_IOMMU)
		return 1;
#endif
	if (data && refused(data)) {
		if (cmd != VFIO_CHECK_EXTENSION)
			return refused(data);
		data = NULL; /* so it answers as before VFIO_SET_IOMMU */
	}
	return backend->ioctl(data, cmd, arg);
}

/*
 * May beside_attach_group() return an error? The vfio core calls it in two ioctls. In
 * VFIO_GROUP_SET_CONTAINER, which adds a group to a container that has its backend
 * already, the error goes to the user. In VFIO_SET_IOMMU an error would make the core
 * try the next backend, so none may be returned. The second argument of the system call
 * that the thread is in is the ioctl's number, which tells the two apart.
 */
static bool attach_may_fail(void)
{
	unsigned long args[6];

	syscall_get_arguments(current, current_pt_regs(), args);
	return (u32)args[1] == VFIO_GROUP_SET_CONTAINER;
}

/*
 * Refuse a container inside VFIO_SET_IOMMU: detach all its groups, and have every later
 * call on it return @error.
 */
static void container_refuse(struct container *c, int error)
{
	container_lock(c);
	group_detach_all(c);
	c->refused = error;
	mutex_unlock(&c->lock);
	warn_refused(error);
}

/*
 * Returns 0, or with the group attached to nothing, the negative errno for which it could
 * not be attached or for which the container was refused. Inside VFIO_SET_IOMMU it always
 * returns 0: if the group cannot be attached there, it refuses the container.
 */
static int beside_attach_group(void *data, struct iommu_group *group,
			       enum vfio_group_type type)
{
	bool may_fail = attach_may_fail();
	int ret = refused(data);

	if (!ret) {
		ret = backend->attach_group(data, group, type);
		if (ret && !may_fail)
			container_refuse(data, ret);
	}
	return may_fail ? ret : 0;
}

static void beside_detach_group(void *data, struct iommu_group *group)
{
	if (!refused(data))
		backend->detach_group(data, group);
}

static int beside_pin_pages(void *data, struct iommu_group *group,
			    dma_addr_t iova, int npage, int prot,
			    struct page **pages)
{
	return refused(data) ?:
	       backend->pin_pages(data, group, iova, npage, prot, pages);
}

static void beside_unpin_pages(void *data, dma_addr_t iova, int npage)
{
	if (!refused(data))
		backend->unpin_pages(data, iova, npage);
}

static void beside_register_device(void *data, struct vfio_device *vdev)
{
	if (!refused(data))
		backend->register_device(data, vdev);
}

static void beside_unregister_device(void *data, struct vfio_device *vdev)
{
	if (!refused(data))
		backend->unregister_device(data, vdev);
}

static int beside_dma_rw(void *data, dma_addr_t iova, void *buf, size_t count,
			 bool write)
{
	return refused(data) ?: backend->dma_rw(data, iova, buf, count, write);
}

static struct iommu_domain *beside_group_iommu_domain(void *data,
						      struct iommu_group *group)
{
	if (refused(data))
		return ERR_PTR(-ENODEV);
	return backend->group_iommu_domain(data, group);
}

static const struct vfio_iommu_driver_ops ops_beside = {
	.name = "vfio-iommu-type1",
	.owner = THIS_MODULE,
	.open = beside_open,
	.release = beside_release,
	.ioctl = beside_ioctl,
	.attach_group = beside_attach_group,
	.detach_group = beside_detach_group,
	.pin_pages = beside_pin_pages,
	.unpin_pages = beside_unpin_pages,
	.register_device = beside_register_device,
	.unregister_device = beside_unregister_device,
	.dma_rw = beside_dma_rw,
	.group_iommu_domain = beside_group_iommu_domain,
};

/**
 * beside_ops() - The functions to register with the vfio core in a build beside in-tree
 * @ops: the backend's own functions, which those call
 *
 * Return: functions that return no error inside VFIO_SET_IOMMU.
 */
const struct vfio_iommu_driver_ops *
beside_ops(const struct vfio_iommu_driver_ops *ops)
{
	backend = ops;
	return &ops_beside;
}
