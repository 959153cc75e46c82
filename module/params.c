// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's parameters. The kernel's code for parameters writes them at any time,
 * under kernel_param_lock(). This module reads them without a lock.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/sched.h>
#include <linux/security.h>

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
#else
#define STRICT_ONLY	false
#endif

bool strict_mmio_maps __read_mostly = true;

/**
 * params_loosen() - The machine's owner wants a parameter that loosens the protection
 *
 * Description: Taints the kernel if that is permitted. The caller then writes a line to
 * the log that names the task.
 *
 * Return: 0; -EPERM if the kernel is locked down, where not even root may do that, or
 * if this is a build with TETHER_STRICT_ONLY.
 */
int params_loosen(void)
{
	int ret;

	if (STRICT_ONLY)
		return -EPERM;
	ret = security_locked_down(LOCKDOWN_MODULE_PARAMETERS);
	if (ret)
		return ret;
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
	return 0;
}

/* Set strict_mmio_maps. The caller holds kernel_param_lock(). */
static int strict_set(const char *val, const struct kernel_param *kp)
{
	bool strict;
	int ret = kstrtobool(val ?: "1", &strict);

	if (ret)
		return ret;
	if (strict == strict_mmio_maps)
		return 0;
	if (!strict) {
		ret = params_loosen();
		if (ret)
			return ret;
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

module_param_cb(strict_mmio_maps, &strict_ops, &strict_mmio_maps, LOOSEN_MODE);
__MODULE_PARM_TYPE(strict_mmio_maps, "bool");
MODULE_PARM_DESC(strict_mmio_maps,
		 "Map device memory of VFIO devices only (Y); turning it off taints the kernel");
