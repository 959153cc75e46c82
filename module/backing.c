// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the device memory behind user addresses. The physical addresses that this file
 * returns are certain only until it drops mmap_lock; mirror.c maps them only if no
 * invalidation (mmu notifier event) of the user addresses has come since before the
 * call.
 *
 * vfio-pci lets a VMA map one contiguous part of one BAR. So one page-table entry gives
 * the physical addresses of the whole VMA, if the entry agrees with vm_pgoff and all of
 * the addresses are in one of the PCI device's BARs. The page tables of any other VMA
 * are read entry by entry. This file has no lock of its own.
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
#include "container.h"
#include "extent.h"
#include "foreign.h"
#include "owner.h"
#include "params.h"
#include "reason.h"

/* A copy of a page-table entry; the page table is unlocked, so the entry may change. */
struct entry {
	unsigned long pfn;
	unsigned long last; /* last user address it maps */
};

/*
 * Does the VMA permit @prot? Writing needs VM_WRITE, mere reading VM_READ, as
 * get_user_pages() requires for RAM.
 */
static bool vma_permits(const struct vm_area_struct *vma, int prot)
{
	return vma->vm_flags & (prot & IOMMU_WRITE ? VM_WRITE : VM_READ);
}

static struct vfio_device *vma_vfio_device(const struct vm_area_struct *vma)
{
	return vma->vm_file ? compat_vfio_device(vma->vm_file) : NULL;
}

/*
 * The address of vfio_pci_core_mmap() while vfio_pci_core is loaded, else NULL. It is
 * looked up at run time, so that tether can be loaded without vfio_pci_core.
 * vma_vfio_pci() compares it without a lock: a VMA of vfio-pci keeps its device open,
 * and an open device keeps vfio_pci_core loaded, so the address cannot change while
 * there is such a VMA.
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

/* The VMA's device if the device's mmap() is vfio_pci_core_mmap(), else NULL. */
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
		/* with the directory's name: of a sysfs file, the device */
		snprintf(b->name, sizeof(b->name), "%pD2", vma->vm_file);
	b->region = -1;
	b->offset = 0;
}

/*
 * Is the page frame ordinary RAM, which a driver has mapped in a VM_PFNMAP VMA as if it
 * were device memory? The caller then refuses to map it for devices, since the driver
 * that owns the page may free it at any time.
 */
static bool pfn_is_ram(unsigned long pfn)
{
	return pfn_valid(pfn) && !PageReserved(pfn_to_page(pfn));
}

/*
 * For a write: must the page-table entry be writable (true), or is it enough that the
 * VMA is (false)? The VMA is enough for a shared mapping of a VFIO device: a write to
 * /proc/PID/clear_refs makes its entries read-only, also those that are made later, but
 * only so that the kernel notices the first write. In any other VMA a read-only entry
 * may be copy-on-write: the process would then write to another page than the entry's.
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
 * Read the page-table entry of @addr into @e. If there is none, or if it must be
 * writable and is not, fault it in first: up to twice, since the first fault may make a
 * read-only entry. Returns -EAGAIN if the fault handler dropped mmap_lock and took it
 * again: @vma may have been freed meanwhile. With @keep_lock the handler may not drop
 * it. Returns -ENXIO if a fault on a VFIO device's memory fails, which it does while
 * that memory is off.
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
 * vfio-pci's shadow of the command register and the device's power state without a
 * lock, so the answer may be out of date. That only makes restore try a mirror in vain,
 * or one check later than it could.
 */
static bool vfio_pci_memory_on(struct vfio_pci_core_device *vdev)
{
	const __le16 *command = (__le16 *)(vdev->vconfig + PCI_COMMAND);
	struct pci_dev *pdev = vdev->pdev;
	int state;

	/*
	 * data_race(), since vfio-pci writes the flag under memory_lock, which is not
	 * held here. Not READ_ONCE(), which cannot read a bit-field: the flag is one in
	 * some kernels (6.12.95, 6.17 to 6.19).
	 */
	if (data_race(!!vdev->pm_runtime_engaged))
		return false;
	/* data_race(): no lock that is usable here guards the PCI core's writes */
	state = (__force int)data_race(READ_ONCE(pdev->current_state));
	if (state >= (__force int)PCI_D3hot)
		return false;
	if (pdev->no_command_memory)
		return true;
	/* data_race(): vfio-pci writes the shadow under memory_lock, not held here */
	return le16_to_cpu(data_race(READ_ONCE(*command))) & PCI_COMMAND_MEMORY;
}

/*
 * Would a fault on the device's memory probably succeed, and without waiting? First
 * asks vfio_pci_memory_on(), which takes no lock: vfio-pci's hot reset fails if it
 * finds one of its locks taken, so this function must take none while the memory is
 * off. Then tries memory_lock: vfio-pci holds it while it resets the device, for up to
 * seconds, and a fault would wait for it with mmap_lock held.
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
 * Called before the entries of a VMA are read. Makes sure that vfio-pci tracks the VMA,
 * so that it zaps the entries, and thereby revokes the mirror, when the device's memory
 * is turned off. Before 6.10 vfio-pci does not track a VMA to which mremap() has moved
 * entries: this zaps such entries, and the next fault makes them again and has the VMA
 * tracked. Returns -EBUSY if @b->no_wait is set and a fault would fail or have to wait.
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

/* The number of the memory BAR that has all addresses from @first to @last, or -1. */
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
 * Does vm_pgoff of this vfio-pci VMA say that the user address @addr maps the physical
 * address @phys? On older kernels vm_pgoff is the page frame number of the VMA's
 * beginning, on newer ones the region's index and the offset in the region. True if
 * either of these two readings gives @phys.
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

/*
 * Do vm_pgoff and the device's BARs say that the user addresses from @addr to @last,
 * all in one VMA, map a contiguous part of one BAR that begins at @phys?
 */
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
 * For a VMA that maps one BAR in one piece: fault in and check the first page-table
 * entry of each PUD (1 GiB on x86) after the one of @addr, up to @last. On kernels that
 * fault a BAR in page by page, mprotect() calls mmu notifiers only for ranges whose
 * page tables are populated down to the PUD; the entry populates them, so that
 * mprotect() revokes the mirror. Returns -EXDEV if an entry shows that the VMA is not
 * in one piece.
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
 * Append the physical memory behind *@addr to the extents @ex: all of it up to @last,
 * which is in the same VMA, if the VMA maps one BAR in one piece; otherwise only as
 * much as one page-table entry maps. Then advance *@addr and @e->iova past this memory.
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
 * Set @b->region and @b->offset from @phys, the physical address of the mirror's first
 * byte. Leaves them alone if they are set: restore calls this again, and it may begin
 * at a later address, if the process has unmapped the first ones.
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
 * backing_memory_is_on() - Is a revoked mirror's memory on, so that restore may try it?
 * @mm: the address space; the caller fulfils the conditions of owner_look_begin()
 * @addr: a user address of the mirror
 * @prot: IOMMU_* permissions wanted
 * @b: what backing_find() found at @addr when the mirror was made
 *
 * Takes mmap_lock with owner_look_begin(): waits for it if @b->patient is set, else
 * only tries it. Waits for nothing else, and faults no page in.
 *
 * Return: 1 if a fault is likely to succeed; 0 if the device's memory is off or the
 * device is being reset; -EINPROGRESS if mmap_lock is taken; -EFAULT if the VMA at
 * @addr does not match @b any more, if the mm has no users, or if the device's mmap()
 * is not vfio_pci_core_mmap(), so that only a fault can tell.
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
 * Take mmap_lock for reading. Restore (@b->no_wait) holds no reference to mm_users, so
 * it uses owner_look_begin(), which also checks that the mm has users, and which waits
 * for the lock only if @b->patient is set. All other callers hold mm_users, and wait
 * for the lock.
 */
static int lock_to_resolve(struct mm_struct *mm, const struct backing *b)
{
	return b->no_wait ? owner_look_begin(mm, b->patient) :
			    mmap_read_lock_killable(mm);
}

/* Do the parameters forbid to map the memory of this VMA? */
static bool vma_is_forbidden(const struct vm_area_struct *vma)
{
	if (vma_vfio_device(vma) || !READ_ONCE(strict_mmio_maps))
		return false;
	return !vma->vm_file || !foreign_is_listed(vma->vm_file);
}

/**
 * backing_resolve() - Find the physical addresses of device memory
 * @mm: the address space; the caller holds its mm_users, or with @b->no_wait fulfils
 *	the conditions of owner_look_begin()
 * @first: first user address
 * @last: last user address
 * @prot: IOMMU_* permissions wanted
 * @b: what backing_find() found there; sets @b->region and @b->offset if they are not
 *     set yet
 * @iova: IOVA at which @first is to be mapped
 * @ex: array to which the extents are appended
 *
 * Takes mmap_lock, and faults in the page-table entries that it reads. A fault also has
 * the driver of the memory track the VMA, so the driver will zap the entries, which
 * calls the mmu notifiers, when it turns the memory off. The caller may map the extents
 * only if no invalidation of the range has come since before the call.
 *
 * Return: 0; -EFAULT if some of the memory cannot be mapped with @prot, does not match
 * @b any more or is forbidden by the parameters; -ENXIO if all VMAs match @b, but the
 * memory of a VFIO device is off; with @b->no_wait, -EBUSY where a fault would fail or
 * have to wait for a device, and -EINPROGRESS if mmap_lock is taken; -ENOMEM; -EINTR.
 */
int backing_resolve(struct mm_struct *mm, unsigned long first,
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

	/* if @last is the highest address, @addr wraps to 0, which ends the loop */
	while (addr <= last && addr >= first) {
		vma = vma_lookup(mm, addr);
		if (!vma_still_matches(vma, prot, b) ||
		    (!b->is_refused && vma_is_forbidden(vma))) {
			ret = -EFAULT;
			break;
		}
		/* memory is off: only check that the other VMAs match */
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

/*
 * Return the error for memory that the parameters forbid. The error is -EPERM, with a
 * log line that says which parameter would permit the memory, only if it could be
 * mapped then. Otherwise it is the error that mapping would have with that parameter,
 * too: -EFAULT for RAM that a driver has mapped like device memory. To find out, this
 * resolves the memory as for a mapping, and drops the extents. @driver is the name by
 * which foreign_mmio_maps could list the memory's driver, or "".
 */
static int backing_refuse(struct container *c, struct mm_struct *mm,
			  unsigned long first, int prot, struct backing *b,
			  const char *driver)
{
	struct extents ex = {};
	int ret;

	b->is_refused = true;
	ret = backing_resolve(mm, first, b->last, prot, b, 0, &ex);
	extents_free(&ex);
	if (ret)
		return ret;
	pr_warn_ratelimited("%s[%d]: DMA to memory of %s refused: it belongs to no VFIO device; %s%s would allow it\n",
			    current->comm, task_pid_nr(current), b->name,
			    *driver ? "foreign_mmio_maps=" :
				      "strict_mmio_maps=N",
			    driver);
	reason_set(c, "memory of %s, which belongs to no VFIO device", b->name);
	return -EPERM;
}

/* Why @vma, at a user address that cannot be pinned, has no device memory for @prot. */
static const char *vma_unfit(const struct vm_area_struct *vma, int prot)
{
	if (!vma)
		return "has no memory";
	if (!vma_permits(vma, prot))
		return prot & IOMMU_WRITE ?
		       "has memory that the process may not write to" :
		       "has memory that the process may not read";
	return "has memory that cannot be pinned";
}

/**
 * backing_find() - Find out what memory is behind a user address
 * @c: the container, its lock held, which gets the reason if the memory may not be mapped
 * @mm: the address space; the caller holds its mm_users
 * @first: the user address (bytes)
 * @last: last user address of the range that the caller wants to map
 * @prot: IOMMU_* permissions wanted
 * @b: set to the device memory that was found, and to how far it reaches
 *
 * Takes mmap_lock.
 *
 * Return: 0 if there is device memory at @first that may be mapped with @prot; -EFAULT
 * if there is none or the process's own VMA does not permit @prot; -EPERM, with a line
 * in the log, if only the parameters forbid the memory; -ENOMEM; -EINTR.
 */
int backing_find(struct container *c, struct mm_struct *mm,
		 unsigned long first, unsigned long last, int prot,
		 struct backing *b)
{
	char driver[FOREIGN_NAME] = "";
	struct vm_area_struct *vma;
	bool forbidden = false;
	int ret = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;

	vma = vma_lookup(mm, first);
	if (!vma || !(vma->vm_flags & VM_PFNMAP) || !vma_permits(vma, prot)) {
		reason_set(c, "user address 0x%lx %s", first,
			   vma_unfit(vma, prot));
		ret = -EFAULT;
		goto out;
	}

	b->no_wait = false;
	b->patient = false;
	b->is_refused = false;
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
	forbidden = vma_is_forbidden(vma);
	if (forbidden && vma->vm_file)
		foreign_name(vma->vm_file, driver, sizeof(driver));
out:
	mmap_read_unlock(mm);
	if (forbidden)
		ret = backing_refuse(c, mm, first, prot, b, driver);
	return ret;
}

/** backing_init() - Begin to track vfio_pci_core. Return: 0, or a negative errno */
int backing_init(void)
{
	int ret = register_module_notifier(&module_notifier);

	if (!ret)
		find_core_mmap();
	return ret;
}

/** backing_exit() - Stop tracking vfio_pci_core, on module unload */
void backing_exit(void)
{
	unregister_module_notifier(&module_notifier);
}
