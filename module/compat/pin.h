/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What pinning for a device that only reads means since 6.2: the pages are those
 * that the process goes on to use, even if it writes to them later.
 *
 * Older kernels pin for reading whatever is mapped. In a private mapping that may
 * be the zero page or a page of the file, which the process's next write replaces
 * by a copy: the device would read the old bytes for as long as the pin is held.
 * Anonymous pages are not replaced: since 5.19 a pin makes them the process's own
 * first. So a page of a private mapping is accepted if it is anonymous; where it
 * is not, the copy is made at once, by a pin for writing.
 *
 * Included by compat.h only. It owns nothing; mmap_lock keeps the VMAs it looks
 * at as they are.
 */
#ifndef TETHER_COMPAT_PIN_H
#define TETHER_COMPAT_PIN_H

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)

static inline bool compat_pins_to_read(unsigned int flags)
{
	return (flags & (FOLL_LONGTERM | FOLL_WRITE)) == FOLL_LONGTERM;
}

/* Unpins the first page that a write would replace, and all after it. */
static inline long compat_keep_own(struct mm_struct *mm, unsigned long start,
				   struct page **pages, long npages)
{
	struct vm_area_struct *vma = NULL;
	unsigned long addr;
	long n;

	lockdep_assert_held(&mm->mmap_lock);
	for (n = 0; n < npages; n++) {
		if (PageAnon(pages[n]))
			continue;
		addr = start + (n << PAGE_SHIFT);
		if (!vma || addr >= vma->vm_end)
			vma = vma_lookup(mm, addr);
		if (!vma || is_cow_mapping(vma->vm_flags))
			break;
	}
	unpin_user_pages(pages + n, npages - n);
	return n;
}

/*
 * No pin for writing gets a page of hugetlb that the process may not write to. But
 * a fault can make it the process's own, once another has brought it in.
 */
static inline long compat_pin_readonly_hugetlb(struct mm_struct *mm,
					       unsigned long start,
					       unsigned int flags,
					       struct page **pages)
{
	unsigned int tries = 2;
	long ret;

	do {
		ret = fixup_user_fault(mm, start,
				       FAULT_FLAG_REMOTE | FAULT_FLAG_UNSHARE,
				       NULL);
		if (ret)
			return ret;
		ret = compat_pin_user_pages_remote(mm, start, 1, flags, pages,
						   NULL);
		if (ret == 1)
			ret = compat_keep_own(mm, start, pages, 1);
	} while (!ret && --tries);
	return ret ?: -EFAULT;
}

/* Pins at least one page, from one VMA only. */
static inline long compat_pin_and_copy(struct mm_struct *mm,
				       unsigned long start,
				       unsigned long npages,
				       unsigned int flags, struct page **pages)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	if (!vma)
		return -EFAULT;
	npages = min(npages, (vma->vm_end - start) >> PAGE_SHIFT);
	/* what the process may not read is refused below, as ever */
	if (is_cow_mapping(vma->vm_flags) && vma->vm_flags & VM_READ) {
		if (vma->vm_flags & VM_WRITE)
			flags |= FOLL_WRITE;
		else if (is_vm_hugetlb_page(vma))
			return compat_pin_readonly_hugetlb(mm, start, flags,
							   pages);
		else
			flags |= FOLL_WRITE | FOLL_FORCE;
	}
	return compat_pin_user_pages_remote(mm, start, npages, flags, pages,
					    NULL);
}

/* @locked has to be NULL; the caller holds mmap_lock. */
static inline long compat_pin_own_pages_remote(struct mm_struct *mm,
					       unsigned long start,
					       unsigned long npages,
					       unsigned int flags,
					       struct page **pages, int *locked)
{
	long n;

	if (!compat_pins_to_read(flags))
		return compat_pin_user_pages_remote(mm, start, npages, flags,
						    pages, locked);
	n = compat_pin_user_pages_remote(mm, start, npages,
					 flags | FOLL_NOFAULT, pages, NULL);
	if (n > 0)
		n = compat_keep_own(mm, start, pages, n);
	return n > 0 ? n : compat_pin_and_copy(mm, start, npages, flags, pages);
}

#undef pin_user_pages_remote
#define pin_user_pages_remote compat_pin_own_pages_remote

/* For FOLL_NOFAULT: what has to be copied first is not there, either. */
static inline int compat_pin_user_pages_fast(unsigned long start, int npages,
					     unsigned int flags,
					     struct page **pages)
{
	int n = pin_user_pages_fast(start, npages, flags, pages);

	if (n <= 0 || !compat_pins_to_read(flags))
		return n;
	mmap_read_lock(current->mm);
	n = compat_keep_own(current->mm, start, pages, n);
	mmap_read_unlock(current->mm);
	return n;
}

#define pin_user_pages_fast compat_pin_user_pages_fast

#endif

#endif
