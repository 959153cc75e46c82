// SPDX-License-Identifier: GPL-2.0-only
/*
 * From user addresses to device memory. What this file finds out is true only until
 * mmap_lock is dropped; mirror.c uses it only if no invalidation has come since.
 *
 * A VMA of vfio-pci maps one BAR in one piece. So one page-table entry tells where the
 * whole VMA is, if the entry agrees with vm_pgoff and with the PCI device's BARs. The
 * page tables of any other VMA are read entry by entry. No lock of this file's own.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pgtable.h>
#include <linux/sched/signal.h>
#include <linux/vfio.h>
#include <linux/vfio_pci_core.h>

#include "backing.h"
#include "compat/compat.h"
#include "extent.h"
#include "owner.h"
#include "params.h"

/* A copy of one entry of the process's page tables; the entry's lock is not held. */
struct entry {
	unsigned long pfn;
	unsigned long last; /* last user address it maps */
};

/* Does the VMA have the permission that GUP would require if it were RAM? */
static bool vma_permits(const struct vm_area_struct *vma, int prot)
{
	return vma->vm_flags & (prot & IOMMU_WRITE ? VM_WRITE : VM_READ);
}

static struct vfio_device *vma_vfio_device(const struct vm_area_struct *vma)
{
	return vma->vm_file ? compat_vfio_device(vma->vm_file) : NULL;
}

/*
 * The address of vfio_pci_core_mmap() while vfio_pci_core is loaded, else NULL; tether
 * does not depend on that module. A VMA keeps its device open, and an open device keeps
 * its driver's module loaded. So the address does not change while there is a VMA of the
 * module to compare it with.
 */
static int (*core_mmap)(struct vfio_device *vdev, struct vm_area_struct *vma);

static void find_core_mmap(void)
{
	WRITE_ONCE(core_mmap, symbol_get(vfio_pci_core_mmap));
	if (core_mmap)
		symbol_put(vfio_pci_core_mmap);
}

static int module_changed(struct notifier_block *nb, unsigned long state,
			  void *data)
{
	const struct module *mod = data;

	if (strcmp(mod->name, "vfio_pci_core"))
		return NOTIFY_DONE;
	if (state == MODULE_STATE_LIVE)
		find_core_mmap();
	else if (state == MODULE_STATE_GOING)
		WRITE_ONCE(core_mmap, NULL);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changed,
};

/* The VMA's device if vfio-pci's own code has mapped its memory, else NULL. */
static struct vfio_pci_core_device *vma_vfio_pci(const struct vm_area_struct *vma)
{
	struct vfio_device *vdev = vma_vfio_device(vma);

	if (!vdev || !dev_is_pci(vdev->dev) || !vdev->ops->mmap ||
	    vdev->ops->mmap != READ_ONCE(core_mmap))
		return NULL;
	return container_of(vdev, struct vfio_pci_core_device, vdev);
}

static void backing_set_name(struct backing *b,
			     const struct vm_area_struct *vma)
{
	struct vfio_device *vdev = vma_vfio_device(vma);

	if (vdev)
		strscpy(b->name, dev_name(vdev->dev), sizeof(b->name));
	else
		snprintf(b->name, sizeof(b->name), "%pD", vma->vm_file);
	b->region = -1;
	b->offset = 0;
}

/*
 * Is the frame ordinary RAM that a driver has mapped like device memory? That is refused,
 * since the RAM's owner may free it at any time.
 */
static bool pfn_is_ram(unsigned long pfn)
{
	return pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn));
}

/*
 * Must a page-table entry permit the write, or is the VMA's permission enough? The
 * VMA's is enough for a shared mapping of a VFIO device: after clear_refs its entries are
 * read-only, new ones as well, but only so that the kernel notices the first write. For
 * other memory the entry must permit it, since a write might go to another page.
 */
static bool entry_decides(const struct vm_area_struct *vma)
{
	return !(vma_vfio_device(vma) && vma->vm_flags & VM_SHARED);
}

static int read_entry(struct vm_area_struct *vma, unsigned long addr,
		      bool write, struct entry *e)
{
	struct follow_pfnmap_args args = { .vma = vma, .address = addr };
	int ret;

	ret = follow_pfnmap_start(&args);
	if (ret)
		return ret;
	e->pfn = args.pfn;
	e->last = addr | ~args.addr_mask;
	if (write && !args.writable && entry_decides(vma))
		ret = -EACCES;
	follow_pfnmap_end(&args);
	return ret;
}

/*
 * Read an entry, and fault it in if necessary: twice if the first fault makes an entry
 * that does not permit the write. Returns -EAGAIN if the fault handler dropped mmap_lock
 * and took it again, so that @vma may have been freed; with @keep_lock the handler may not
 * drop it. Returns -ENXIO if the memory of a VFIO device is off.
 */
static int fault_entry(struct vm_area_struct *vma, unsigned long addr,
		       bool write, bool keep_lock, struct entry *e)
{
	unsigned int flags = FAULT_FLAG_REMOTE | (write ? FAULT_FLAG_WRITE : 0);
	unsigned int tries = 2;
	bool unlocked = false;
	int ret;

	while (read_entry(vma, addr, write, e)) {
		if (!tries--)
			return -EFAULT;
		ret = fixup_user_fault(vma->vm_mm, addr, flags,
				       keep_lock ? NULL : &unlocked);
		if (ret == -EFAULT && !unlocked && vma_vfio_device(vma))
			return -ENXIO;
		if (ret)
			return ret;
		if (unlocked)
			return -EAGAIN;
	}
	return 0;
}

/*
 * Would vfio-pci's fault handler find the device awake and its memory on? Reads
 * vfio-pci's shadow of the command register and the device's power state without a lock.
 * If the answer is out of date, that costs only an attempt to restore.
 */
static bool vfio_pci_memory_on(struct vfio_pci_core_device *vdev)
{
	const __le16 *command = (__le16 *)(vdev->vconfig + PCI_COMMAND);
	struct pci_dev *pdev = vdev->pdev;
	int state;

	/*
	 * data_race(): vfio-pci writes the flag under memory_lock. No READ_ONCE(), since the
	 * flag is a bit-field in some kernels (6.12.95, 6.17 to 6.19).
	 */
	if (data_race(!!vdev->pm_runtime_engaged))
		return false;
	/* data_race(): the PCI core writes the state, and no lock usable here guards it */
	state = (__force int)data_race(READ_ONCE(pdev->current_state));
	if (state >= (__force int)PCI_D3hot)
		return false;
	if (pdev->no_command_memory)
		return true;
	/* data_race(): vfio-pci writes the shadow under memory_lock */
	return le16_to_cpu(data_race(READ_ONCE(*command))) & PCI_COMMAND_MEMORY;
}

/*
 * Is a fault likely to succeed, and at once? vfio_pci_memory_on() tells if the memory is
 * off. It takes none of the locks that a hot reset takes with trylock, so it makes none
 * fail. While a device is reset, for up to seconds, vfio-pci holds memory_lock; a fault
 * would wait for that with mmap_lock held, so this tries the lock first.
 */
static bool vfio_pci_worth_a_fault(struct vfio_pci_core_device *vdev)
{
	if (!vfio_pci_memory_on(vdev))
		return false;
	if (!down_read_trylock(&vdev->memory_lock))
		return false;
	up_read(&vdev->memory_lock);
	return true;
}

static bool vma_is_filled(struct vm_area_struct *vma, unsigned long addr)
{
	struct entry e;

	return !read_entry(vma, addr, false, &e);
}

/*
 * Before the entries of a VMA are read, make sure that vfio-pci tracks the VMA, so that
 * it will zap them when the memory is turned off. Older kernels' vfio-pci does not notice
 * when mremap() moves entries to a new VMA: such entries are zapped here, and the next
 * fault makes them again. Returns -EBUSY if the caller may not wait and a fault would fail
 * or have to wait.
 */
static int prepare_vma(struct vm_area_struct *vma, unsigned long addr,
		       const struct backing *b)
{
	struct vfio_pci_core_device *vdev = vma_vfio_pci(vma);

	if (!vdev)
		return 0;
	if (b->no_wait && !vfio_pci_worth_a_fault(vdev))
		return -EBUSY;
	compat_vfio_pci_zap_untracked(vdev, vma, addr, vma_is_filled);
	return 0;
}

/* The number of the memory BAR that contains all these physical addresses, or -1. */
static int pci_dev_find_bar(struct pci_dev *pdev, phys_addr_t first,
			    phys_addr_t last)
{
	int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		resource_size_t len = PAGE_ALIGN(pci_resource_len(pdev, i));
		phys_addr_t start = pci_resource_start(pdev, i);

		if (len && pci_resource_flags(pdev, i) & IORESOURCE_MEM &&
		    first >= start && last <= start + len - 1)
			return i;
	}
	return -1;
}

/*
 * Does the vm_pgoff that vfio-pci has set say that the user address maps @phys? On older
 * kernels vm_pgoff is a page frame number, on newer ones the region's index and the offset
 * in the region; either meaning is accepted.
 */
static bool vfio_pci_says(const struct vm_area_struct *vma, unsigned long addr,
			  struct pci_dev *pdev, phys_addr_t phys)
{
	u64 offset = addr - vma->vm_start + ((u64)vma->vm_pgoff << PAGE_SHIFT);
	unsigned int bar = VFIO_PCI_OFFSET_TO_INDEX(offset);

	if (phys == offset)
		return true;
	return bar < PCI_STD_NUM_BARS &&
	       phys == pci_resource_start(pdev, bar) +
		       (offset & VFIO_PCI_OFFSET_MASK);
}

/* Does vfio-pci map this range of one VMA in one piece, starting at @phys? */
static bool vma_maps_one_bar(const struct vm_area_struct *vma,
			     unsigned long addr,
			     unsigned long last, phys_addr_t phys)
{
	struct vfio_device *vdev = vma_vfio_device(vma);
	struct pci_dev *pdev;

	if (!vdev || !dev_is_pci(vdev->dev))
		return false;
	pdev = to_pci_dev(vdev->dev);
	return vfio_pci_says(vma, addr, pdev, phys) &&
	       pci_dev_find_bar(pdev, phys, phys + (last - addr)) >= 0;
}

/*
 * Fault in and check one entry for each further PUD of a VMA that maps one BAR in one
 * piece. On kernels that fault a BAR in page by page, mprotect() calls notifiers only for
 * ranges whose tables are populated down to the PUD; the entry populates them. Returns
 * -EXDEV if an entry shows that the VMA is not linear.
 */
static int resolve_linear(struct vm_area_struct *vma, unsigned long addr,
			  unsigned long last, bool write, bool keep_lock,
			  unsigned long pfn)
{
	unsigned long a = addr;
	struct entry e;
	int ret;

	while ((a | ~PUD_MASK) < last) {
		a = (a | ~PUD_MASK) + 1;
		ret = fault_entry(vma, a, write, keep_lock, &e);
		if (ret)
			return ret;
		if (e.pfn != pfn + ((a - addr) >> PAGE_SHIFT))
			return -EXDEV;
	}
	return 0;
}

/*
 * Add the memory at *@addr to the extents: up to @last if the VMA maps one BAR in one
 * piece, else what one page-table entry maps. @last is in the same VMA. Advances *@addr
 * and @e to the address behind that memory.
 */
static int resolve_some(struct vm_area_struct *vma, unsigned long *addr,
			unsigned long last, bool write, bool keep_lock,
			struct extent *e, struct extents *ex)
{
	struct entry entry;
	int ret;

	ret = fault_entry(vma, *addr, write, keep_lock, &entry);
	if (ret)
		return ret;

	e->phys = PFN_PHYS(entry.pfn);
	if (vma_maps_one_bar(vma, *addr, last, e->phys)) {
		ret = resolve_linear(vma, *addr, last, write, keep_lock,
				     entry.pfn);
		if (!ret)
			entry.last = last;
		else if (ret != -EXDEV)
			return ret;
	} else if (pfn_is_ram(entry.pfn)) {
		return -EFAULT;
	}

	e->len = min(entry.last, last) - *addr + 1;
	ret = extents_add(ex, e);
	if (ret)
		return ret;
	e->iova += e->len;
	*addr += e->len;
	return 0;
}

/*
 * Note the region and offset of the mirror's first address. Done only once, since restore
 * may begin at a later address.
 */
static void backing_set_region(struct backing *b,
			       const struct vm_area_struct *vma,
			       phys_addr_t phys)
{
	struct vfio_device *vdev = vma_vfio_device(vma);
	struct pci_dev *pdev;
	int bar;

	if (b->region >= 0 || !vdev || !dev_is_pci(vdev->dev))
		return;
	pdev = to_pci_dev(vdev->dev);
	bar = pci_dev_find_bar(pdev, phys, phys);
	if (bar < 0)
		return;
	b->offset = phys - pci_resource_start(pdev, bar);
	WRITE_ONCE(b->region, bar);
}

static bool vma_still_matches(const struct vm_area_struct *vma, int prot,
			      const struct backing *b)
{
	return vma && vma->vm_flags & VM_PFNMAP && vma->vm_file == b->file &&
	       vma_permits(vma, prot) && !vma_vfio_device(vma) == !b->vfio;
}

/**
 * backing_memory_is_on() - Is it worth trying a mirror again?
 * @mm: the address space; the caller fulfils the conditions of owner_look_begin()
 * @addr: a user address of the mirror
 * @prot: IOMMU_* permissions wanted
 * @b: what backing_find() had found there
 *
 * Takes mmap_lock as owner_look_begin() does; with @b->patient it waits for that lock,
 * and for nothing else. Faults no page in.
 *
 * Return: 1 if a fault is likely to succeed; 0 if the device's memory is off or the
 * device is being reset; -EINPROGRESS if mmap_lock is taken; -EFAULT if only a fault
 * can tell, if the VMA at @addr does not match @b any more, or if the mm has no users.
 */
int backing_memory_is_on(struct mm_struct *mm, unsigned long addr, int prot,
			 const struct backing *b)
{
	struct vfio_pci_core_device *vdev;
	struct vm_area_struct *vma;
	int ret = owner_look_begin(mm, b->patient);

	if (ret)
		return ret;
	ret = -EFAULT;
	vma = vma_lookup(mm, addr);
	if (vma_still_matches(vma, prot, b)) {
		vdev = vma_vfio_pci(vma);
		if (vdev)
			ret = vfio_pci_worth_a_fault(vdev);
	}
	owner_look_end(mm);
	return ret;
}

/*
 * Take mmap_lock for reading. Restore does not hold the mm's users, so for it this is
 * owner_look_begin(), which waits only with @b->patient. Other callers hold them, and wait.
 */
static int lock_to_resolve(struct mm_struct *mm, const struct backing *b)
{
	return b->no_wait ? owner_look_begin(mm, b->patient) :
			    mmap_read_lock_killable(mm);
}

/* Does the work of backing_resolve(), without a check of strict_mmio_maps. */
static int backing_resolve_any(struct mm_struct *mm, unsigned long first,
			       unsigned long last, int prot, struct backing *b,
			       dma_addr_t iova, struct extents *ex)
{
	struct extent e = { .iova = iova };
	bool write = prot & IOMMU_WRITE;
	unsigned long addr = first;
	struct vm_area_struct *vma;
	int ret = lock_to_resolve(mm, b);
	bool off = false;

	if (ret)
		return ret;

	/* addr wraps to below first if last is the last address there is */
	while (addr <= last && addr >= first) {
		vma = vma_lookup(mm, addr);
		if (!vma_still_matches(vma, prot, b)) {
			ret = -EFAULT;
			break;
		}
		/* if the memory is off, check the other VMAs, but fault nothing in */
		if (off) {
			addr = vma->vm_end;
			continue;
		}
		ret = prepare_vma(vma, addr, b);
		if (!ret)
			ret = resolve_some(vma, &addr,
					   min(last, vma->vm_end - 1),
					   write, b->no_wait, &e, ex);
		if (!ret && ex->nr == 1)
			backing_set_region(b, vma, ex->v[0].phys);
		if (ret == -ENXIO)
			off = true;
		if (ret == -EAGAIN || ret == -ENXIO)
			ret = 0;
		if (!ret && fatal_signal_pending(current))
			ret = -EINTR;
		if (ret)
			break;
		cond_resched();
	}
	mmap_read_unlock(mm);
	return !ret && off ? -ENXIO : ret;
}

static bool backing_is_forbidden(const struct backing *b)
{
	return !b->vfio && READ_ONCE(strict_mmio_maps);
}

/*
 * Refuse memory that strict_mmio_maps forbids. The log line advises to turn the parameter
 * off, so it is written only if that would help. Other memory, such as RAM that a driver
 * has mapped like device memory, would fail with -EFAULT even then. To find out, resolve
 * the memory, and drop the result.
 */
static int backing_refuse(struct mm_struct *mm, unsigned long first, int prot,
			  struct backing *b)
{
	struct extents ex = {};
	int ret = backing_resolve_any(mm, first, b->last, prot, b, 0, &ex);

	extents_free(&ex);
	if (ret)
		return ret;
	pr_warn_ratelimited("%s[%d]: DMA to memory of %s refused: it belongs to no VFIO device; strict_mmio_maps=N would allow it\n",
			    current->comm, task_pid_nr(current), b->name);
	return -EPERM;
}

/**
 * backing_find() - Find out what memory is behind a user address
 * @mm: the address space, whose users the caller holds
 * @first: the user address (bytes)
 * @last: last user address of the range that is wanted
 * @prot: IOMMU_* permissions wanted
 * @b: set to what was found
 *
 * Takes mmap_lock.
 *
 * Return: 0 if it is device memory that may be mapped with @prot; -EFAULT if there is no
 * device memory or the user's own mapping does not permit @prot; -EPERM, with a line in
 * the log, if only strict_mmio_maps forbids the memory; -ENOMEM; -EINTR.
 */
int backing_find(struct mm_struct *mm, unsigned long first, unsigned long last,
		 int prot, struct backing *b)
{
	struct vm_area_struct *vma;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;

	vma = vma_lookup(mm, first);
	if (!vma || !(vma->vm_flags & VM_PFNMAP) || !vma_permits(vma, prot)) {
		ret = -EFAULT;
		goto out;
	}

	b->no_wait = false;
	b->patient = false;
	b->file = vma->vm_file;
	b->vfio = vma_vfio_device(vma);
	backing_set_name(b, vma);
	while (vma->vm_end - 1 < last) {
		struct vm_area_struct *next = vma_lookup(mm, vma->vm_end);

		if (!next || next->vm_file != b->file ||
		    !(next->vm_flags & VM_PFNMAP))
			break;
		vma = next;
	}
	b->last = min(last, vma->vm_end - 1);
out:
	mmap_read_unlock(mm);
	if (!ret && backing_is_forbidden(b))
		ret = backing_refuse(mm, first, prot, b);
	return ret;
}

/**
 * backing_resolve() - Find the physical addresses of device memory
 * @mm: the address space; the caller holds its users, or with @b->no_wait fulfils the
 *	conditions of owner_look_begin()
 * @first: first user address
 * @last: last user address
 * @prot: IOMMU_* permissions wanted
 * @b: what backing_find() had found there; its region and offset are set
 * @iova: device address that @first is to have
 * @ex: the extents are added to these
 *
 * Takes mmap_lock, and faults in the page-table entries that are needed. So on return the
 * process's own mapping has entries there, and the memory's driver tracks the VMA. The
 * extents may be used only if no invalidation has come since before the call.
 *
 * Return: 0; -EFAULT if some of the memory cannot be mapped with @prot or does not match
 * @b any more; -ENXIO if all of it matches, but the memory of a VFIO device is off; with
 * @b->no_wait, -EBUSY where a fault would fail or have to wait for a device, and
 * -EINPROGRESS if mmap_lock is taken; -ENOMEM; -EINTR.
 */
int backing_resolve(struct mm_struct *mm, unsigned long first,
		    unsigned long last, int prot, struct backing *b,
		    dma_addr_t iova, struct extents *ex)
{
	if (backing_is_forbidden(b))
		return -EFAULT;
	return backing_resolve_any(mm, first, last, prot, b, iova, ex);
}

/** backing_init() - On module load. Return: 0, or a negative errno */
int backing_init(void)
{
	int ret = register_module_notifier(&module_notifier);

	if (!ret)
		find_core_mmap();
	return ret;
}

/** backing_exit() - On module unload */
void backing_exit(void)
{
	unregister_module_notifier(&module_notifier);
}
