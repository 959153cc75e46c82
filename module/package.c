// SPDX-License-Identifier: GPL-2.0-only
/*
 * What tether does because it is built outside of the kernel's tree. Tether is built as
 * one of two modules: one is loaded in place of the in-tree backend, the other
 * (TETHER_BESIDE) beside it. Both must not be loaded at once. So each exports a symbol
 * of its own, and refuses to be loaded if it finds the symbol of the other. When it is
 * loaded, it writes its version to the log. This file has no state and no lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/errno.h>
#include <linux/export.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/types.h>

#include "compat/compat.h"
#include "package.h"
#include "params.h"

#ifdef TETHER_BESIDE
#include "beside.h"

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

static const struct vfio_iommu_driver_ops *
package_ops(const struct vfio_iommu_driver_ops *ops)
{
#ifdef TETHER_BESIDE
	return beside_ops(ops);
#else
	return ops;
#endif
}

static bool other_is_loaded(void)
{
	if (!__symbol_get(OTHER))
		return false;
	__symbol_put(OTHER);
	pr_err("not loaded: tether is loaded already under its other name (lsmod has vfio_iommu_type1 or vfio_iommu_tether)\n");
	return true;
}

/**
 * package_register() - Register the backend with the vfio core
 * @ops: the backend's functions; they stay where they are until package_unregister()
 *
 * Return: 0; -EBUSY if tether is loaded under its other name; else the negative errno of
 * vfio_register_iommu_driver().
 */
int package_register(const struct vfio_iommu_driver_ops *ops)
{
	int ret;

	if (other_is_loaded())
		return -EBUSY;
	ret = vfio_register_iommu_driver(package_ops(ops));
	if (!ret)
		pr_info("version " TETHER_VERSION ", strict_mmio_maps=%c\n",
			strict_mmio_maps ? 'Y' : 'N');
	return ret;
}

/**
 * package_unregister() - Undo package_register()
 * @ops: what it was called with
 */
void package_unregister(const struct vfio_iommu_driver_ops *ops)
{
	vfio_unregister_iommu_driver(package_ops(ops));
}

MODULE_AUTHOR("The tether developers");
MODULE_VERSION(TETHER_VERSION "-tether");
