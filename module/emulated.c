// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated devices own pins of single pages: for each page that one of them uses,
 * mapping->pins has a struct pin, with a count of how often the page was pinned.
 *
 * Charging: while the container has a domain, all of its pages are pinned and charged
 * by pinned.c, so pins of emulated devices are not charged. Without a domain each page
 * with a pin is charged once. When the container gets its first domain,
 * emulated_charged() tells pinned.c how many pages are charged already, so that none is
 * charged twice.
 *
 * container->lock guards the pins, and device_lock the list of devices. device_lock is
 * held while drivers are told of an unmap. A driver may then take a lock of its own
 * that it also holds when it calls emulated_pin() or emulated_unpin(), which take
 * container->lock. If container->lock were held while drivers are told, two threads
 * could wait for each other. So device_lock is taken before container->lock, never
 * while it is held.
 */
#include <linux/iommu.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "charge.h"
#include "compat/compat.h"
#include "container.h"
#include "dirty.h"
#include "emulated.h"
#include "owner.h"
#include "tree.h"

/**
 * struct pin - A page that emulated devices use
 * @page: the page
 * @count: how many pins the drivers have not given back yet
 */
struct pin {
	struct page *page;
	unsigned int count;
};

/* --- Devices ------------------------------------------------------------ */

/** emulated_register() - Note a device if its driver wants to be told of unmaps */
void emulated_register(struct container *c, struct vfio_device *vdev)
{
	if (!vdev->ops->dma_unmap)
		return;
	mutex_lock(&c->device_lock);
	list_add(&vdev->iommu_entry, &c->devices);
	mutex_unlock(&c->device_lock);
}

/** emulated_unregister() - Undo emulated_register() */
void emulated_unregister(struct container *c, struct vfio_device *vdev)
{
	if (!vdev->ops->dma_unmap)
		return;
	mutex_lock(&c->device_lock);
	list_del(&vdev->iommu_entry);
	mutex_unlock(&c->device_lock);
}

/**
 * emulated_notify_unmap() - Ask the drivers to give their pins on a mapping back
 * @c: the container, its lock held; the lock is dropped while drivers are called, and
 *     taken again. Takes device_lock
 * @m: the mapping, which may have been freed on return
 */
void emulated_notify_unmap(struct container *c, struct mapping *m)
{
	u64 iova = m->node.start, size = mapping_size(m);
	struct vfio_device *vdev;

	lockdep_assert_held(&c->lock);
	mutex_unlock(&c->lock);
	mutex_lock(&c->device_lock);
	list_for_each_entry(vdev, &c->devices, iommu_entry)
		vdev->ops->dma_unmap(vdev, iova, size);
	mutex_unlock(&c->device_lock);
	container_lock(c);
}

/* --- Pins --------------------------------------------------------------- */

static struct mapping *mapping_at(struct container *c, u64 iova)
{
	return mapping_first(c, iova, iova);
}

static unsigned long pin_index(const struct mapping *m, u64 iova)
{
	return (iova - m->node.start) >> PAGE_SHIFT;
}

static bool pin_pays(const struct container *c, struct page *page)
{
	lockdep_assert_held(&c->lock);
	return list_empty(&c->domains) && !PageReserved(page);
}

/*
 * The errno for a page that could not be pinned: -EINVAL, as in the in-tree module, if
 * its VMA is VM_PFNMAP, whose memory has no struct pages; else @ret.
 */
static int why_not_pinned(struct mm_struct *mm, unsigned long vaddr, int ret)
{
	struct vm_area_struct *vma = vma_lookup(mm, vaddr);

	return vma && vma->vm_flags & VM_PFNMAP ? -EINVAL : ret;
}

/* Pin one page of the mapping's mm, whose mm_users the caller holds. */
static int pin_used(struct mapping *m, unsigned long vaddr, struct page **page)
{
	unsigned int flags = FOLL_LONGTERM;
	long ret;

	if (m->prot & IOMMU_WRITE)
		flags |= FOLL_WRITE;

	if (mmap_read_lock_killable(m->mm))
		return -EINTR;
	ret = pin_user_pages_remote(m->mm, vaddr, 1, flags, page, NULL);
	if (ret == 1)
		compat_drop_zero_page_pin(*page);
	else
		ret = why_not_pinned(m->mm, vaddr, ret ?: -EFAULT);
	mmap_read_unlock(m->mm);
	return ret == 1 ? 0 : ret;
}

static int pin_one(struct container *c, struct mapping *m, unsigned long vaddr,
		   struct page **page)
{
	int ret = owner_use(c, m->mm);

	if (ret)
		return ret;
	ret = pin_used(m, vaddr, page);
	owner_let_go(c, m->mm);
	return ret;
}

static void unpin_one(struct mapping *m, struct page *page)
{
	if (!is_zero_pfn(page_to_pfn(page)))
		unpin_user_page_range_dirty_lock(page, 1,
						 m->prot & IOMMU_WRITE);
}

static int add_pin(struct container *c, struct mapping *m, u64 iova,
		   struct page **page)
{
	struct pin *pin = kzalloc(sizeof(*pin), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!pin)
		return -ENOMEM;

	ret = pin_one(c, m, m->vaddr + (iova - m->node.start), &pin->page);
	if (ret)
		goto err_free;
	if (pin_pays(c, pin->page)) {
		ret = charge(c, m, 1);
		if (ret)
			goto err_unpin;
	}
	pin->count = 1;
	ret = xa_err(xa_store(&m->pins, pin_index(m, iova), pin,
			      GFP_KERNEL_ACCOUNT));
	if (ret)
		goto err_uncharge;

	dirty_mark(c, m, iova - m->node.start, PAGE_SIZE);
	*page = pin->page;
	return 0;

err_uncharge:
	if (pin_pays(c, pin->page))
		uncharge(c, m, 1);
err_unpin:
	unpin_one(m, pin->page);
err_free:
	kfree(pin);
	return ret;
}

static int get_pin(struct container *c, u64 iova, int prot, struct page **page)
{
	struct mapping *m = mapping_at(c, iova);
	struct pin *pin;

	if (!m)
		return -EINVAL;
	if ((m->prot & prot) != prot)
		return -EPERM;

	pin = xa_load(&m->pins, pin_index(m, iova));
	if (!pin)
		return add_pin(c, m, iova, page);
	pin->count++;
	*page = pin->page;
	return 0;
}

static bool put_pin(struct container *c, u64 iova)
{
	struct mapping *m = mapping_at(c, iova);
	struct pin *pin;

	if (!m)
		return false;
	pin = xa_load(&m->pins, pin_index(m, iova));
	if (!pin || --pin->count)
		return true;

	xa_erase(&m->pins, pin_index(m, iova));
	if (pin_pays(c, pin->page))
		uncharge(c, m, 1);
	unpin_one(m, pin->page);
	kfree(pin);
	return true;
}

/**
 * emulated_pin() - Pin pages for an emulated device
 * @c: the container, whose lock this takes
 * @iova: first IOVA (bytes)
 * @npages: how many pages
 * @prot: IOMMU_* permissions that the driver wants
 * @pages: set to the pages
 *
 * Return: @npages; or with none pinned: -EACCES for a type1 (not v2) container,
 * -EOVERFLOW if the IOVAs wrap, -EBUSY while a mapping is stale or if owner_use()
 * returns it, -EINVAL if no device of the container has a callback for unmaps, or an
 * IOVA is not mapped, or the memory has no struct pages, -EPERM if the mapping does not
 * permit @prot, -ENODEV if the process that made the mapping has ended, -ENOMEM,
 * -EFAULT, -EINTR.
 */
int emulated_pin(struct container *c, u64 iova, int npages, int prot,
		 struct page **pages)
{
	int i = 0, ret;
	u64 last;

	if (!c->v2)
		return -EACCES;
	if (check_add_overflow(iova, ((u64)npages << PAGE_SHIFT) - 1, &last))
		return -EOVERFLOW;

	container_lock(c);
	if (WARN_ON_ONCE(c->nr_stale)) {
		ret = -EBUSY;
		goto out;
	}
	ret = -EINVAL;
	/* read without device_lock: a device that is coming or going may be missed */
	if (list_empty(&c->devices))
		goto out;

	for (i = 0; i < npages; i++) {
		ret = get_pin(c, iova + ((u64)i << PAGE_SHIFT), prot, &pages[i]);
		if (ret)
			goto unwind;
	}
	ret = npages;
	goto out;

unwind:
	pages[i] = NULL;
	while (i--) {
		put_pin(c, iova + ((u64)i << PAGE_SHIFT));
		pages[i] = NULL;
	}
out:
	mutex_unlock(&c->lock);
	return ret;
}

/**
 * emulated_unpin() - Give pins back
 * @c: the container, whose lock this takes
 * @iova: first IOVA (bytes)
 * @npages: how many pages
 */
void emulated_unpin(struct container *c, u64 iova, int npages)
{
	int i;

	if (WARN_ON(!c->v2))
		return;

	container_lock(c);
	for (i = 0; i < npages; i++)
		if (!put_pin(c, iova + ((u64)i << PAGE_SHIFT)))
			break;
	mutex_unlock(&c->lock);
	WARN_ON(i != npages);
}

/**
 * emulated_charged() - Count the pages of a mapping that are to be charged for pins
 * @c: the container, its lock held
 * @m: the mapping
 * @offset: where in the mapping to start (bytes)
 * @size: how far to look (bytes)
 *
 * Return: how many pages in this part have a pin and are not reserved.
 */
unsigned long emulated_charged(struct container *c, struct mapping *m,
			       u64 offset, u64 size)
{
	unsigned long index, n = 0;
	struct pin *pin;

	lockdep_assert_held(&c->lock);
	if (xa_empty(&m->pins) || !size)
		return 0;
	xa_for_each_range(&m->pins, index, pin, offset >> PAGE_SHIFT,
			  (offset + size - 1) >> PAGE_SHIFT)
		if (!PageReserved(pin->page))
			n++;
	return n;
}

/* --- Reading and writing ------------------------------------------------ */

static int rw_used(struct container *c, struct mapping *m, u64 offset,
		   void *buf, size_t count, bool write)
{
	void __user *user = (void __user *)(m->vaddr + offset);
	bool kthread = !current->mm;
	int ret = -EFAULT;

	if (kthread)
		kthread_use_mm(m->mm);
	if (current->mm == m->mm) {
		if (write ? !copy_to_user(user, buf, count) :
			    !copy_from_user(buf, user, count))
			ret = 0;
		if (write && !ret)
			dirty_mark(c, m, offset, count);
	}
	if (kthread)
		kthread_unuse_mm(m->mm);
	return ret;
}

static int rw_one(struct container *c, struct mapping *m, u64 offset,
		  void *buf, size_t count, bool write)
{
	int ret;

	if ((write && !(m->prot & IOMMU_WRITE)) || !(m->prot & IOMMU_READ))
		return -EPERM;
	ret = owner_use(c, m->mm);
	if (ret)
		return ret == -ENODEV ? -EPERM : ret;
	ret = rw_used(c, m, offset, buf, count, write);
	owner_let_go(c, m->mm);
	return ret;
}

/**
 * emulated_rw() - Read or write memory that the container maps
 * @c: the container, whose lock this takes
 * @iova: first IOVA (bytes)
 * @buf: kernel memory: the data to write to the mapping, or room for what is read from
 *	 it
 * @count: how much (bytes)
 * @write: write to the mapped memory; else read it
 *
 * The caller is a kernel thread, or a thread of the process that made the mapping; for
 * a thread of another process this fails.
 *
 * Return: 0; -EINVAL if an IOVA is not mapped, -EPERM if the mapping does not permit
 * the access or the process that made it has ended, -EBUSY while a mapping is stale or
 * if owner_use() returns it, -EFAULT. After an error a part may have been read or
 * written.
 */
int emulated_rw(struct container *c, u64 iova, void *buf, size_t count,
		bool write)
{
	struct mapping *m;
	int ret = 0;
	size_t n;

	container_lock(c);
	if (WARN_ON_ONCE(c->nr_stale))
		ret = -EBUSY;

	for (; !ret && count; count -= n, iova += n, buf += n) {
		m = mapping_at(c, iova);
		if (!m) {
			ret = -EINVAL;
			break;
		}
		n = min_t(u64, count, m->node.last - iova + 1);
		ret = rw_one(c, m, iova - m->node.start, buf, n, write);
	}
	mutex_unlock(&c->lock);
	return ret;
}
