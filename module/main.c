// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions of this backend that the vfio core calls, and the module's init and
 * exit functions. This file decides the order in which the other files are initialised
 * and ended; it has no other state. If a function that it calls needs container->lock
 * held, this file takes the lock.
 */
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/vfio.h>

#include "backing.h"
#include "charge.h"
#include "compat/compat.h"
#include "container.h"
#include "debugfs.h"
#include "emulated.h"
#include "faultin.h"
#include "group.h"
#include "ioctl.h"
#include "mirror.h"
#include "owner.h"
#include "package.h"

static void *type1_open(unsigned long type)
{
	return container_open(type);
}

static void type1_release(void *data)
{
	container_release(data);
}

static long type1_ioctl(void *data, unsigned int cmd, unsigned long arg)
{
	return container_ioctl(data, cmd, arg);
}

static int type1_attach_group(void *data, struct iommu_group *group,
			      enum vfio_group_type type)
{
	struct container *c = data;
	int ret;

	container_lock(c);
	ret = group_attach(c, group, type == VFIO_EMULATED_IOMMU);
	mutex_unlock(&c->lock);
	return ret;
}

static void type1_detach_group(void *data, struct iommu_group *group)
{
	struct container *c = data;

	container_lock(c);
	group_detach(c, group);
	mutex_unlock(&c->lock);
}

static int type1_pin_pages(void *data, struct iommu_group *group,
			   dma_addr_t iova, int npage, int prot,
			   struct page **pages)
{
	return emulated_pin(data, iova, npage, prot, pages);
}

static void type1_unpin_pages(void *data, dma_addr_t iova, int npage)
{
	emulated_unpin(data, iova, npage);
}

static void type1_register_device(void *data, struct vfio_device *vdev)
{
	emulated_register(data, vdev);
}

static void type1_unregister_device(void *data, struct vfio_device *vdev)
{
	emulated_unregister(data, vdev);
}

static int type1_dma_rw(void *data, dma_addr_t iova, void *buf, size_t count,
			bool write)
{
	return emulated_rw(data, iova, buf, count, write);
}

static struct iommu_domain *type1_group_iommu_domain(void *data,
						     struct iommu_group *group)
{
	struct container *c = data;
	struct iommu_domain *domain;

	container_lock(c);
	domain = group_domain(c, group);
	mutex_unlock(&c->lock);
	return domain;
}

static const struct vfio_iommu_driver_ops type1_ops = {
	.name = "vfio-iommu-type1",
	.owner = THIS_MODULE,
	.open = type1_open,
	.release = type1_release,
	.ioctl = type1_ioctl,
	.attach_group = type1_attach_group,
	.detach_group = type1_detach_group,
	.pin_pages = type1_pin_pages,
	.unpin_pages = type1_unpin_pages,
	.register_device = type1_register_device,
	.unregister_device = type1_unregister_device,
	.dma_rw = type1_dma_rw,
	.group_iommu_domain = type1_group_iommu_domain,
};

static int __init type1_init(void)
{
	int ret;

	ret = backing_init();
	if (ret)
		return ret;
	ret = faultin_init();
	if (ret)
		goto err_backing;
	ret = owner_init();
	if (ret)
		goto err_faultin;
	ret = mirror_init();
	if (ret)
		goto err_owner;
	debug_init();
	ret = package_register(&type1_ops);
	if (ret)
		goto err_debug;
	return 0;

err_debug:
	debug_exit();
	mirror_exit();
err_owner:
	owner_exit();
err_faultin:
	faultin_exit();
err_backing:
	backing_exit();
	return ret;
}

static void __exit type1_exit(void)
{
	package_unregister(&type1_ops);
	debug_exit();
	mirror_exit();
	charge_exit();
	owner_exit();
	faultin_exit();
	backing_exit();
}

module_init(type1_init);
module_exit(type1_exit);

MODULE_DESCRIPTION("Type1 IOMMU backend for VFIO that revokes device memory");
MODULE_LICENSE("GPL");
