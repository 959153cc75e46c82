// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameter foreign_mmio_maps: the drivers whose device memory may be mapped
 * although it belongs to no VFIO device and strict_mmio_maps is on. A name in the list
 * is that of a module, or MAJOR:MINOR of a character device, which also names a driver
 * that is built into the kernel.
 *
 * The kernel's code for parameters sets the list under kernel_param_lock(). Readers
 * hold rcu_read_lock().
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "foreign.h"
#include "params.h"

/*
 * struct foreign - A value of the parameter
 * @rcu: frees it after the last reader has left it
 * @names: the names, separated by commas, without blanks
 */
struct foreign {
	struct rcu_head rcu;
	char names[];
};

static struct foreign __rcu *foreign;

/* Compare two names of modules, in which '-' and '_' are the same. */
static bool same_name(const char *a, const char *b, size_t len)
{
	for (; len; len--, a++, b++)
		if (*a != *b && !(strchr("-_", *a) && strchr("-_", *b)))
			return false;
	return true;
}

static bool list_has(const char *names, const char *name)
{
	size_t len;

	if (!*name)
		return false;
	for (; *names; names += len + (names[len] == ',')) {
		len = strcspn(names, ",");
		if (len == strlen(name) && same_name(names, name, len))
			return true;
	}
	return false;
}

static void device_name(const struct file *file, char *name, size_t size)
{
	const struct inode *inode = file_inode(file);

	*name = '\0';
	if (S_ISCHR(inode->i_mode))
		snprintf(name, size, "%u:%u", imajor(inode), iminor(inode));
}

/**
 * foreign_name() - The name by which foreign_mmio_maps may list a file's driver
 * @file: a file that a VMA maps; the VMA keeps it open
 * @name: set to the name: that of the module that owns the file's operations, else the
 *	  device's number, else ""
 * @size: of @name (bytes), at least %FOREIGN_NAME
 */
void foreign_name(const struct file *file, char *name, size_t size)
{
	const struct module *owner = file->f_op->owner;

	if (owner)
		strscpy(name, owner->name, size);
	else
		device_name(file, name, size);
}

/**
 * foreign_is_listed() - Does foreign_mmio_maps list the driver of a file?
 * @file: a file that a VMA maps; the VMA keeps it open, and so its driver loaded
 *
 * Return: true if it lists the module that owns the file's operations, or the character
 * device
 */
bool foreign_is_listed(const struct file *file)
{
	const struct module *owner = file->f_op->owner;
	const struct foreign *list;
	char device[24];
	bool listed = false;

	device_name(file, device, sizeof(device));
	rcu_read_lock();
	list = rcu_dereference(foreign);
	if (list)
		listed = list_has(list->names, device) ||
			 (owner && list_has(list->names, owner->name));
	rcu_read_unlock();
	return listed;
}

/* Are these names, with one comma between two? */
static bool is_list(const char *names)
{
	char before = ',';

	for (; *names; before = *names++) {
		if (!isalnum(*names) && !strchr("-_:,", *names))
			return false;
		if (*names == ',' && before == ',')
			return false;
	}
	return before != ',';
}

/* Returns the list that @val is, NULL if @val names no driver, or an ERR_PTR. */
static struct foreign *foreign_parse(const char *val)
{
	struct foreign *list;
	size_t len;

	val = skip_spaces(val);
	len = strlen(val);
	while (len && isspace(val[len - 1]))
		len--;
	if (!len)
		return NULL;
	list = kzalloc(struct_size(list, names, len + 1), GFP_KERNEL);
	if (!list)
		return ERR_PTR(-ENOMEM);
	memcpy(list->names, val, len);
	if (is_list(list->names))
		return list;
	kfree(list);
	return ERR_PTR(-EINVAL);
}

static void foreign_replace(struct foreign *list)
{
	list = rcu_replace_pointer(foreign, list, true);
	if (list)
		kfree_rcu(list, rcu);
}

/* Set foreign_mmio_maps. The caller holds kernel_param_lock(). */
static int foreign_set(const char *val, const struct kernel_param *kp)
{
	struct foreign *list = foreign_parse(val);
	int ret;

	if (IS_ERR(list))
		return PTR_ERR(list);
	if (list) {
		ret = params_loosen();
		if (ret) {
			kfree(list);
			return ret;
		}
		pr_warn("foreign_mmio_maps set to %s by %s[%d], uid %u: memory of these drivers may be mapped for DMA\n",
			list->names, current->comm, task_pid_nr(current),
			from_kuid(&init_user_ns, current_uid()));
	}
	foreign_replace(list);
	return 0;
}

static int foreign_get(char *buffer, const struct kernel_param *kp)
{
	const struct foreign *list = rcu_dereference_protected(foreign, true);

	return sysfs_emit(buffer, "%s\n", list ? list->names : "");
}

/* Called when the module is unloaded, or could not be loaded. */
static void foreign_free(void *unused)
{
	foreign_replace(NULL);
}

static const struct kernel_param_ops foreign_ops = {
	.set = foreign_set,
	.get = foreign_get,
	.free = foreign_free,
};

module_param_cb(foreign_mmio_maps, &foreign_ops, NULL, LOOSEN_MODE);
__MODULE_PARM_TYPE(foreign_mmio_maps, "string");
MODULE_PARM_DESC(foreign_mmio_maps,
		 "Also map device memory of these drivers: names of modules, or MAJOR:MINOR of character devices, with commas between; taints the kernel");
