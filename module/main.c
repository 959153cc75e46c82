// SPDX-License-Identifier: GPL-2.0-only
/*
 * tether: the module, its parameters, and what it offers to the vfio core.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/security.h>

#include "backing.h"
#include "charge.h"
#include "compat/compat.h"
#include "container.h"
#include "debugfs.h"
#include "domain.h"
#include "emulated.h"
#include "faultin.h"
#include "ioctl.h"
#include "mirror.h"
#include "owner.h"
#include "params.h"

bool allow_unsafe_interrupts;
module_param(allow_unsafe_interrupts, bool, 0644);
MODULE_PARM_DESC(allow_unsafe_interrupts,
		 "Accept groups whose interrupts are not isolated from other devices'");

bool disable_hugepages;
module_param(disable_hugepages, bool, 0644);
MODULE_PARM_DESC(disable_hugepages,
		 "Map with the IOMMU's smallest pages only");

unsigned int dma_entry_limit __read_mostly = U16_MAX;
module_param(dma_entry_limit, uint, 0644);
MODULE_PARM_DESC(dma_entry_limit,
		 "Most mappings that a container may have (65535)");

#ifdef TETHER_STRICT_ONLY
#define STRICT_ONLY	true
#define STRICT_MODE	0444
#else
#define STRICT_ONLY	false
#define STRICT_MODE	0644
#endif

bool strict_mmio_maps __read_mostly = true;

/*
 * Turning it off is a decision of whoever owns the machine, and it shows:
 * in the log, with a name, and as a taint. A locked-down kernel has no such
 * owner. kernel_param_lock() serialises callers.
 */
static int strict_set(const char *val, const struct kernel_param *kp)
{
	bool strict;
	int ret = kstrtobool(val ?: "1", &strict);

	if (ret)
		return ret;
	if (strict == strict_mmio_maps)
		return 0;
	if (!strict) {
		if (STRICT_ONLY)
			return -EPERM;
		ret = security_locked_down(LOCKDOWN_MODULE_PARAMETERS);
		if (ret)
			return ret;
		add_taint(TAINT_USER, LOCKDEP_STILL_OK);
		pr_warn("strict_mmio_maps turned off by %s[%d], uid %u: memory of any driver may be mapped for DMA\n",
			current->comm, task_pid_nr(current),
			from_kuid(&init_user_ns, current_uid()));
	}
	WRITE_ONCE(strict_mmio_maps, strict);
	return 0;
}

static const struct kernel_param_ops strict_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = strict_set,
	.get = param_get_bool,
};

module_param_cb(strict_mmio_maps, &strict_ops, &strict_mmio_maps, STRICT_MODE);
__MODULE_PARM_TYPE(strict_mmio_maps, "bool");
MODULE_PARM_DESC(strict_mmio_maps,
		 "Map device memory of VFIO devices only (Y); turning it off taints the kernel");

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

	mutex_lock(&c->lock);
	if (c->nr_stale) /* it might have to pin */
		ret = -EBUSY;
	else if (domain_has_group(c, group) || emulated_has_group(c, group))
		ret = -EINVAL;
	else if (type == VFIO_EMULATED_IOMMU)
		ret = emulated_attach_group(c, group);
	else
		ret = domain_attach_group(c, group);
	mutex_unlock(&c->lock);
	return ret;
}

static void type1_detach_group(void *data, struct iommu_group *group)
{
	struct container *c = data;

	mutex_lock(&c->lock);
	if (!emulated_detach_group(c, group))
		domain_detach_group(c, group);
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

	mutex_lock(&c->lock);
	domain = domain_of_group(c, group);
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
	int ret = backing_init();

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
