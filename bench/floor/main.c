// SPDX-License-Identifier: GPL-2.0-only
/*
 * The floor does only the work that no backend can avoid. It pins RAM in batches and
 * maps each run of adjacent pages with one call; it computes the address of device
 * memory. To unmap, it calls iommu_unmap() once, which flushes once, and unpins by
 * range. It hardly checks arguments, charges no process for pinned pages, shares no
 * domain, and records of a mapping only what it needs to undo the mapping.
 *
 * This module is for measurements alone: a program that opens its file can reach the
 * memory of all devices. floor->lock guards the mappings of one open file.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "compat/compat.h"
#include "extent.h"
#include "floor.h"

#define BATCH	2048UL

/**
 * struct floor - One open file
 * @lock: guards the whole struct
 * @group: the group attached to the domain, referenced; NULL before FLOOR_ATTACH
 * @domain: the domain
 * @mappings: struct mapping, by the page of the first IOVA
 */
struct floor {
	struct mutex lock;	/* see above */
	struct iommu_group *group;
	struct iommu_domain *domain;
	struct xarray mappings;
};

/**
 * struct mapping - The mapping that one FLOOR_MAP_* has made
 * @iova: the first IOVA
 * @size: how much is mapped (bytes)
 * @pinned: the RAM that was pinned, to be unpinned; none for device memory
 */
struct mapping {
	u64 iova;
	size_t size;
	struct extents pinned;
};

static struct pci_dev *find_device(u32 device)
{
	return pci_get_domain_bus_and_slot(0, device >> 8, device & 0xff);
}

static int attach_domain(struct floor *f, struct device *dev)
{
	struct iommu_domain *domain;
	int ret;

	domain = iommu_paging_domain_alloc(dev);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_group(domain, f->group);
	if (ret) {
		iommu_domain_free(domain);
		return ret;
	}
	if (domain->ops->enforce_cache_coherency)
		domain->ops->enforce_cache_coherency(domain);
	f->domain = domain;
	return 0;
}

static int attach(struct floor *f, u32 device)
{
	struct pci_dev *pdev;
	int ret = -ENODEV;

	if (f->group)
		return -EBUSY;
	pdev = find_device(device);
	if (!pdev)
		return -ENODEV;
	f->group = iommu_group_get(&pdev->dev);
	if (f->group)
		ret = attach_domain(f, &pdev->dev);
	if (ret) {
		iommu_group_put(f->group);
		f->group = NULL;
	}
	pci_dev_put(pdev);
	return ret;
}

static void unmap(struct floor *f, struct mapping *m)
{
	unsigned int i;

	if (m->size)
		iommu_unmap(f->domain, m->iova, m->size);
	for (i = 0; i < m->pinned.nr; i++) {
		const struct extent *e = &m->pinned.v[i];

		unpin_user_page_range_dirty_lock(pfn_to_page(PHYS_PFN(e->phys)),
						 e->len >> PAGE_SHIFT, true);
	}
	extents_free(&m->pinned);
	kfree(m);
}

/*
 * Adds pages to m->pinned, adjacent ones as one extent. If it fails, unpins the rest.
 */
static int gather(struct mapping *m, struct page **pages, long npages,
		  dma_addr_t iova)
{
	int ret;
	long i;

	for (i = 0; i < npages; i++) {
		struct extent e = {
			.iova = iova + i * PAGE_SIZE,
			.phys = page_to_phys(pages[i]),
			.len = PAGE_SIZE,
		};

		ret = extents_add(&m->pinned, &e);
		if (ret) {
			unpin_user_pages(pages + i, npages - i);
			return ret;
		}
	}
	return 0;
}

static int pin(struct mapping *m, const struct floor_map *map)
{
	unsigned long max = min_t(u64, map->size >> PAGE_SHIFT, BATCH);
	struct page **pages;
	size_t done = 0;
	int ret = 0;
	long n;

	pages = kvmalloc_array(max, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	while (!ret && done < map->size) {
		n = pin_user_pages_fast(map->vaddr + done,
					min(max, (map->size - done) >> PAGE_SHIFT),
					FOLL_WRITE | FOLL_LONGTERM, pages);
		if (n <= 0) {
			ret = n ? n : -EFAULT;
			break;
		}
		ret = gather(m, pages, n, m->iova + done);
		done += n << PAGE_SHIFT;
	}
	kvfree(pages);
	return ret;
}

static int map_ram(struct floor *f, struct mapping *m,
		   const struct floor_map *map)
{
	unsigned int i;
	int ret;

	ret = pin(m, map);
	for (i = 0; !ret && i < m->pinned.nr; i++) {
		const struct extent *e = &m->pinned.v[i];

		ret = iommu_map(f->domain, e->iova, e->phys, e->len,
				IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE,
				GFP_KERNEL_ACCOUNT);
		if (!ret)
			m->size += e->len;
	}
	return ret;
}

static int map_bar(struct floor *f, struct mapping *m,
		   const struct floor_map *map)
{
	struct pci_dev *pdev;
	phys_addr_t start;
	int ret;

	if (map->bar >= PCI_STD_NUM_BARS)
		return -EINVAL;
	pdev = find_device(map->device);
	if (!pdev)
		return -ENODEV;
	start = pci_resource_start(pdev, map->bar) + map->vaddr;
	pci_dev_put(pdev);

	ret = iommu_map(f->domain, map->iova, start, map->size,
			IOMMU_READ | IOMMU_WRITE | IOMMU_MMIO,
			GFP_KERNEL_ACCOUNT);
	if (!ret)
		m->size = map->size;
	return ret;
}

static int map(struct floor *f, const struct floor_map *map, bool ram)
{
	struct mapping *m;
	int ret;

	if (!f->domain || !map->size)
		return -EINVAL;
	m = kzalloc(sizeof(*m), GFP_KERNEL_ACCOUNT);
	if (!m)
		return -ENOMEM;
	m->iova = map->iova;
	ret = ram ? map_ram(f, m, map) : map_bar(f, m, map);
	if (!ret)
		ret = xa_insert(&f->mappings, PHYS_PFN(m->iova), m,
				GFP_KERNEL_ACCOUNT);
	if (ret)
		unmap(f, m);
	return ret;
}

static int unmap_at(struct floor *f, u64 iova)
{
	struct mapping *m = xa_erase(&f->mappings, PHYS_PFN(iova));

	if (!m)
		return -ENOENT;
	unmap(f, m);
	return 0;
}

static int command(struct floor *f, unsigned int cmd, unsigned long arg)
{
	struct floor_map fm;
	u64 iova;

	switch (cmd) {
	case FLOOR_ATTACH:
		return attach(f, arg);
	case FLOOR_MAP_RAM:
	case FLOOR_MAP_BAR:
		if (copy_from_user(&fm, (void __user *)arg, sizeof(fm)))
			return -EFAULT;
		return map(f, &fm, cmd == FLOOR_MAP_RAM);
	case FLOOR_UNMAP:
		if (get_user(iova, (u64 __user *)arg))
			return -EFAULT;
		return unmap_at(f, iova);
	}
	return -ENOTTY;
}

static long floor_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct floor *f = file->private_data;
	int ret;

	mutex_lock(&f->lock);
	ret = command(f, cmd, arg);
	mutex_unlock(&f->lock);
	return ret;
}

static int floor_open(struct inode *inode, struct file *file)
{
	struct floor *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->lock);
	xa_init(&f->mappings);
	file->private_data = f;
	return 0;
}

static int floor_release(struct inode *inode, struct file *file)
{
	struct floor *f = file->private_data;
	struct mapping *m;
	unsigned long at;

	xa_for_each(&f->mappings, at, m)
		unmap(f, m);
	xa_destroy(&f->mappings);
	if (f->group) {
		iommu_detach_group(f->domain, f->group);
		iommu_domain_free(f->domain);
		iommu_group_put(f->group);
	}
	kfree(f);
	return 0;
}

static const struct file_operations floor_fops = {
	.owner = THIS_MODULE,
	.open = floor_open,
	.release = floor_release,
	.unlocked_ioctl = floor_ioctl,
};

static struct miscdevice floor_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "tether-floor",
	.fops = &floor_fops,
	.mode = 0600,
};

module_misc_device(floor_misc);

MODULE_DESCRIPTION("The least that mapping memory for DMA can cost, for tether's benchmark");
MODULE_LICENSE("GPL");
