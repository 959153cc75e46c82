// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VFIO device without hardware. It reaches its user's memory only by the backend's
 * functions for such devices (pin, unpin, read and write by the CPU), and calls one
 * when its user sends a command. See tether_emu.h.
 *
 * emu->lock guards all of struct emu. This driver holds it while it calls the backend
 * to pin and unpin. The backend calls emu_dma_unmap(), which takes emu->lock, too. That
 * is no deadlock, since the backend then holds no lock that pin and unpin take. And a
 * page that is just being pinned is in emu->pins before emu_dma_unmap() looks there.
 */
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "probed.h"
#include "tether_emu.h"

static_assert(EMU_PROT_READ == IOMMU_READ && EMU_PROT_WRITE == IOMMU_WRITE);

#define MAX_DEVICES	16

/* What differs between kernels; emu/compat/questions says how. */
#ifdef HAVE_VFIO_FREE_DEVICE
#define emu_free(vdev)	vfio_free_device(vdev)
#else
#define emu_free(vdev)	do { } while (0)	/* vfio frees it */
#endif
#ifdef HAVE_PLATFORM_REMOVE_INT
#define emu_remove_t	int
#define EMU_REMOVED	0
#else
#define emu_remove_t	void
#define EMU_REMOVED
#endif
#if IS_ENABLED(CONFIG_IOMMUFD)
#define EMU_IOMMUFD_OPS \
	.bind_iommufd = vfio_iommufd_emulated_bind, \
	.unbind_iommufd = vfio_iommufd_emulated_unbind, \
	.attach_ioas = vfio_iommufd_emulated_attach_ioas, \
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#else
#define EMU_IOMMUFD_OPS
#endif

static unsigned int devices = 2;
module_param(devices, uint, 0444);
MODULE_PARM_DESC(devices, "How many devices there are (2)");

static struct platform_device *emu_devices[MAX_DEVICES];

struct pin {
	struct page *page;
	unsigned int count;
	int prot;		/* what the pins of the page permit together */
};

struct emu {
	struct vfio_device vdev;
	struct mutex lock;		/* see the comment at the top */
	struct xarray pins;		/* struct pin, by IOVA's page number */
	u32 held;
	bool keeps;			/* dma_unmap() unpins nothing */
	u32 delay;			/* ms that dma_unmap() waits before it unpins */
	u32 notices;
	u64 notice_iova;
	u64 notice_len;
	struct emu_command command;	/* the last one, with its result */
};

static struct emu *to_emu(struct vfio_device *vdev)
{
	return container_of(vdev, struct emu, vdev);
}

/* Undo one pin of a page: the backend counts them, so each takes a call of its own. */
static void unpin_one(struct emu *emu, unsigned long index, struct pin *pin)
{
	vfio_unpin_pages(&emu->vdev, (dma_addr_t)index << PAGE_SHIFT, 1);
	if (--pin->count)
		return;
	xa_erase(&emu->pins, index);
	kfree(pin);
	emu->held--;
}

static void unpin_range(struct emu *emu, unsigned long first, unsigned long last)
{
	unsigned long index;
	struct pin *pin;

	xa_for_each_range(&emu->pins, index, pin, first, last) {
		unsigned int count = pin->count;

		while (count--)
			unpin_one(emu, index, pin);
	}
}

static int remember(struct emu *emu, unsigned long index, struct page *page,
		    int prot)
{
	struct pin *pin = xa_load(&emu->pins, index);
	int ret;

	if (pin) {
		/* While an IOVA has a pin, a further pin must get the same page. */
		if (pin->page != page)
			return -EBADE;
		pin->count++;
		pin->prot |= prot;
		return 0;
	}
	pin = kmalloc(sizeof(*pin), GFP_KERNEL);
	if (!pin)
		return -ENOMEM;
	pin->page = page;
	pin->count = 1;
	pin->prot = prot;
	ret = xa_err(xa_store(&emu->pins, index, pin, GFP_KERNEL));
	if (ret) {
		kfree(pin);
		return ret;
	}
	emu->held++;
	return 0;
}

static int do_pin(struct emu *emu, struct emu_command *c)
{
	unsigned long first = c->iova >> PAGE_SHIFT;
	struct page **pages;
	int i, ret, err = 0;

	/* Let vfio see one page more than its limit, so that tests reach vfio's own check. */
	if (c->npages > VFIO_PIN_PAGES_MAX_ENTRIES + 1)
		return -E2BIG;
	/* emu->pins is indexed by page number: the IOVA has to be a page's first. */
	if (!PAGE_ALIGNED(c->iova))
		return -EINVAL;
	pages = kcalloc(c->npages + 1, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;

	ret = vfio_pin_pages(&emu->vdev, c->iova, c->npages, c->prot, pages);
	for (i = 0; i < ret; i++) {
		err = remember(emu, first + i, pages[i], c->prot);
		if (err)
			break;
	}
	/* Unpin pages that could not be recorded. The user or emu_close() unpins the rest. */
	for (; i < ret; i++)
		vfio_unpin_pages(&emu->vdev, c->iova + ((u64)i << PAGE_SHIFT), 1);
	kfree(pages);
	return err ? err : ret;
}

/* Unpin only pages that are held: for others the kernel warns of a driver's bug. */
static int do_unpin(struct emu *emu, struct emu_command *c)
{
	unsigned long index, first = c->iova >> PAGE_SHIFT;
	struct pin *pin;
	int done = 0;

	if (!c->npages)
		return 0;
	xa_for_each_range(&emu->pins, index, pin, first, first + c->npages - 1) {
		unpin_one(emu, index, pin);
		done++;
	}
	return done;
}

static int do_rw(struct emu *emu, struct emu_command *c, bool write)
{
	if (c->len > sizeof(c->data))
		return -E2BIG;
	return vfio_dma_rw(&emu->vdev, c->iova, c->data, c->len, write);
}

struct late_rw {
	struct work_struct work;
	struct emu *emu;
	struct emu_command *command;
	bool write;
	int ret;
};

static void rw_late(struct work_struct *work)
{
	struct late_rw *late = container_of(work, struct late_rw, work);

	late->ret = do_rw(late->emu, late->command, late->write);
}

/* Access memory from a work item, as drivers do that serve a guest's requests later. */
static int do_worker_rw(struct emu *emu, struct emu_command *c, bool write)
{
	struct late_rw late = { .emu = emu, .command = c, .write = write };

	INIT_WORK_ONSTACK(&late.work, rw_late);
	schedule_work(&late.work);
	flush_work(&late.work);
	destroy_work_on_stack(&late.work);
	return late.ret;
}

static int do_touch(struct emu *emu, struct emu_command *c, bool write)
{
	struct pin *pin = xa_load(&emu->pins, c->iova >> PAGE_SHIFT);
	size_t offset = offset_in_page(c->iova);

	if (!pin)
		return -ENOENT;
	if (c->len > PAGE_SIZE - offset)
		return -E2BIG;
	/*
	 * A page pinned only for reading may be shared with other processes, as the
	 * zero page is, and so must not be written.
	 */
	if (write && !(pin->prot & IOMMU_WRITE))
		return -EPERM;
	c->pfn = page_to_pfn(pin->page);
	if (write)
		memcpy_to_page(pin->page, offset, c->data, c->len);
	else
		memcpy_from_page(c->data, pin->page, offset, c->len);
	return 0;
}

static int do_notices(struct emu *emu, struct emu_command *c)
{
	c->notices = emu->notices;
	c->notice_iova = emu->notice_iova;
	c->notice_len = emu->notice_len;
	emu->notices = 0;
	emu->notice_iova = 0;
	emu->notice_len = 0;
	return 0;
}

static int execute(struct emu *emu, struct emu_command *c)
{
	switch (c->op) {
	case EMU_PIN:
		return do_pin(emu, c);
	case EMU_UNPIN:
		return do_unpin(emu, c);
	case EMU_READ:
		return do_rw(emu, c, false);
	case EMU_WRITE:
		return do_rw(emu, c, true);
	case EMU_WORKER_READ:
		return do_worker_rw(emu, c, false);
	case EMU_WORKER_WRITE:
		return do_worker_rw(emu, c, true);
	case EMU_PEEK:
		return do_touch(emu, c, false);
	case EMU_POKE:
		return do_touch(emu, c, true);
	case EMU_NOTICES:
		return do_notices(emu, c);
	case EMU_DELAY:
		emu->delay = min_t(u32, c->npages, 10 * MSEC_PER_SEC);
		return 0;
	case EMU_KEEP:
		emu->keeps = c->npages;
		return 0;
	default:
		return -EINVAL;
	}
}

static ssize_t emu_write(struct vfio_device *vdev, const char __user *buf,
			 size_t count, loff_t *ppos)
{
	struct emu *emu = to_emu(vdev);
	ssize_t ret = count;

	if (*ppos || count < EMU_HEADER || count > sizeof(emu->command))
		return -EINVAL;
	mutex_lock(&emu->lock);
	memset(&emu->command, 0, sizeof(emu->command));
	if (copy_from_user(&emu->command, buf, count)) {
		ret = -EFAULT;
	} else {
		emu->command.result = execute(emu, &emu->command);
		emu->command.held = emu->held;
	}
	mutex_unlock(&emu->lock);
	return ret;
}

static ssize_t emu_read(struct vfio_device *vdev, char __user *buf, size_t count,
			loff_t *ppos)
{
	struct emu *emu = to_emu(vdev);
	ssize_t ret = count;

	if (*ppos || count > sizeof(emu->command))
		return -EINVAL;
	mutex_lock(&emu->lock);
	if (copy_to_user(buf, &emu->command, count))
		ret = -EFAULT;
	mutex_unlock(&emu->lock);
	return ret;
}

static int emu_open(struct vfio_device *vdev)
{
	struct emu *emu = to_emu(vdev);

	/* Do not show the last user's command to the next user. */
	memset(&emu->command, 0, sizeof(emu->command));
	emu->keeps = false;
	emu->delay = 0;
	return do_notices(emu, &emu->command);
}

static void emu_close(struct vfio_device *vdev)
{
	struct emu *emu = to_emu(vdev);

	mutex_lock(&emu->lock);
	unpin_range(emu, 0, ULONG_MAX);
	mutex_unlock(&emu->lock);
}

/* The backend calls this before it removes a mapping in which pages are pinned. */
static void emu_dma_unmap(struct vfio_device *vdev, u64 iova, u64 length)
{
	struct emu *emu = to_emu(vdev);

	mutex_lock(&emu->lock);
	if (emu->delay)
		msleep(emu->delay);
	emu->notices++;
	emu->notice_iova = iova;
	emu->notice_len = length;
	if (!emu->keeps)
		unpin_range(emu, iova >> PAGE_SHIFT,
			    (iova + length - 1) >> PAGE_SHIFT);
	mutex_unlock(&emu->lock);
}

static int emu_init(struct vfio_device *vdev)
{
	struct emu *emu = to_emu(vdev);

	mutex_init(&emu->lock);
	xa_init(&emu->pins);
	return 0;
}

static void emu_release(struct vfio_device *vdev)
{
	xa_destroy(&to_emu(vdev)->pins);
	emu_free(vdev);
}

static const struct vfio_device_ops emu_ops = {
	.name = EMU_DEVICE_NAME,
	.init = emu_init,
	.release = emu_release,
	.open_device = emu_open,
	.close_device = emu_close,
	.read = emu_read,
	.write = emu_write,
	.dma_unmap = emu_dma_unmap,
	EMU_IOMMUFD_OPS
};

static int emu_probe(struct platform_device *pdev)
{
	struct emu *emu = vfio_alloc_device(emu, vdev, &pdev->dev, &emu_ops);
	int ret;

	if (IS_ERR(emu))
		return PTR_ERR(emu);
	ret = vfio_register_emulated_iommu_dev(&emu->vdev);
	if (ret) {
		vfio_put_device(&emu->vdev);
		return ret;
	}
	platform_set_drvdata(pdev, emu);
	return 0;
}

static emu_remove_t emu_remove(struct platform_device *pdev)
{
	struct emu *emu = platform_get_drvdata(pdev);

	vfio_unregister_group_dev(&emu->vdev);
	vfio_put_device(&emu->vdev);
	return EMU_REMOVED;
}

static struct platform_driver emu_driver = {
	.probe = emu_probe,
	.remove = emu_remove,
	.driver.name = EMU_DEVICE_NAME,
	/* VFIO makes the device's IOMMU group; the DMA API does not use that group. */
	.driver_managed_dma = true,
};

/*
 * Maps device memory as the driver of such memory does; the file's offset is the
 * physical address. No VFIO device has a part in it.
 */
static int emu_memory_mmap(struct file *file, struct vm_area_struct *vma)
{
	return io_remap_pfn_range(vma, vma->vm_start, vma->vm_pgoff,
				  vma->vm_end - vma->vm_start,
				  pgprot_noncached(vma->vm_page_prot));
}

static const struct file_operations emu_memory_fops = {
	.owner = THIS_MODULE,
	.mmap = emu_memory_mmap,
};

static struct miscdevice emu_memory = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = EMU_MEMORY_NAME,
	.fops = &emu_memory_fops,
};

static void remove_devices(void)
{
	unsigned int i;

	for (i = 0; i < devices; i++)
		if (!IS_ERR_OR_NULL(emu_devices[i]))
			platform_device_unregister(emu_devices[i]);
}

static int __init emu_module_init(void)
{
	unsigned int i;
	int ret;

	devices = clamp(devices, 1U, (unsigned int)MAX_DEVICES);
	ret = misc_register(&emu_memory);
	if (ret)
		return ret;
	ret = platform_driver_register(&emu_driver);
	if (ret)
		goto err_memory;
	for (i = 0; i < devices; i++) {
		emu_devices[i] = platform_device_register_simple(EMU_DEVICE_NAME,
								 i, NULL, 0);
		ret = PTR_ERR_OR_ZERO(emu_devices[i]);
		if (ret)
			goto err_devices;
	}
	return 0;

err_devices:
	remove_devices();
	platform_driver_unregister(&emu_driver);
err_memory:
	misc_deregister(&emu_memory);
	return ret;
}

static void __exit emu_module_exit(void)
{
	remove_devices();
	platform_driver_unregister(&emu_driver);
	misc_deregister(&emu_memory);
}

module_init(emu_module_init);
module_exit(emu_module_exit);
MODULE_DESCRIPTION("A VFIO device without hardware, for tests");
MODULE_LICENSE("GPL");
