// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions of tether that the vfio core calls, and the module's init and exit
 * functions. This file decides the order in which the other files are initialised and
 * ended; it has no other state. If a function that it calls needs container->lock held,
 * this file takes the lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
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
#include "params.h"

static void *type1_open(unsigned long type)
{
	return container_open(type);
}

static void type1_release(void *data)
{
	container_release(data);
}

static int refused(void *data)
{
	return ((struct container *)data)->refused;
}

static long type1_ioctl(void *data, unsigned int cmd, unsigned long arg)
{
	if (data && refused(data)) {
		if (cmd != VFIO_CHECK_EXTENSION)
			return refused(data);
		data = NULL; /* so it answers as before VFIO_SET_IOMMU */
	}
	return container_ioctl(data, cmd, arg);
}

static int type1_attach_group(void *data, struct iommu_group *group,
			      enum vfio_group_type type)
{
	return container_attach(data, group, type == VFIO_EMULATED_IOMMU);
}

static void type1_detach_group(void *data, struct iommu_group *group)
{
	struct container *c = data;

	if (refused(c))
		return;
	container_lock(c);
	group_detach(c, group);
	mutex_unlock(&c->lock);
}

static int type1_pin_pages(void *data, struct iommu_group *group,
			   dma_addr_t iova, int npage, int prot,
			   struct page **pages)
{
	return refused(data) ?: emulated_pin(data, iova, npage, prot, pages);
}

static void type1_unpin_pages(void *data, dma_addr_t iova, int npage)
{
	if (!refused(data))
		emulated_unpin(data, iova, npage);
}

static void type1_register_device(void *data, struct vfio_device *vdev)
{
	if (!refused(data))
		emulated_register(data, vdev);
}

static void type1_unregister_device(void *data, struct vfio_device *vdev)
{
	if (!refused(data))
		emulated_unregister(data, vdev);
}

static int type1_dma_rw(void *data, dma_addr_t iova, void *buf, size_t count,
			bool write)
{
	return refused(data) ?: emulated_rw(data, iova, buf, count, write);
}

static struct iommu_domain *type1_group_iommu_domain(void *data,
						     struct iommu_group *group)
{
	struct container *c = data;
	struct iommu_domain *domain;

	if (refused(c))
		return ERR_PTR(-ENODEV);
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

/*
 * Tether is built as one of two modules: one is loaded in place of the in-tree backend,
 * the other (TETHER_BESIDE) beside it. Both must not be loaded at once. So each exports
 * a symbol of its own, and refuses to be loaded if it finds the symbol of the other.
 */
#ifdef TETHER_BESIDE
#define OTHER	"tether_is_in_place"
extern const bool tether_is_beside;
const bool tether_is_beside = true;
EXPORT_SYMBOL_GPL(tether_is_beside);
#else
#define OTHER	"tether_is_beside"
extern const bool tether_is_in_place;
const bool tether_is_in_place = true;
EXPORT_SYMBOL_GPL(tether_is_in_place);
#endif

static bool other_is_loaded(void)
{
	if (!__symbol_get(OTHER))
		return false;
	__symbol_put(OTHER);
	pr_err("not loaded: tether is loaded already under its other name (lsmod has vfio_iommu_type1 or vfio_iommu_tether)\n");
	return true;
}

static int __init type1_init(void)
{
	int ret;

	if (other_is_loaded())
		return -EBUSY;
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
	ret = vfio_register_iommu_driver(&type1_ops);
	if (ret)
		goto err_debug;
	pr_info("version " TETHER_VERSION ", strict_mmio_maps=%c\n",
		strict_mmio_maps ? 'Y' : 'N');
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
	vfio_unregister_iommu_driver(&type1_ops);
	debug_exit();
	mirror_exit();
	charge_exit();
	owner_exit();
	faultin_exit();
	backing_exit();
}

module_init(type1_init);
module_exit(type1_exit);

MODULE_DESCRIPTION("tether: type1 IOMMU backend for VFIO that revokes device memory");
MODULE_AUTHOR("The tether developers");
MODULE_LICENSE("GPL");
MODULE_VERSION(TETHER_VERSION "-tether");
