/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * With this file, kernels before 6.2 pin memory for a device that only reads as kernels
 * since 6.2 do: they pin the pages that the process goes on to use, even if it writes
 * to the memory later.
 *
 * Without it they pin the page that is mapped at the moment. In a private mapping
 * that may be the zero page or a page of the file. The process's next write replaces
 * such a page by a copy, and the device would go on to read the old page as long as
 * that is pinned. Anonymous pages are not replaced, since from 5.19 on the kernel makes
 * a page exclusive to the process before it pins it. So this file accepts a page of a
 * private mapping if it is anonymous; otherwise it pins the page for writing, so that
 * the kernel makes the copy first and pins the copy.
 *
 * Included by compat.h only. This file has no state; mmap_lock guards the VMAs that it
 * reads.
 */
#ifndef TETHER_COMPAT_PIN_H
#define TETHER_COMPAT_PIN_H

#ifdef HAVE_PIN_TO_READ_SHARES

static inline bool compat_pins_to_read(unsigned int flags)
{
	return (flags & (FOLL_LONGTERM | FOLL_WRITE)) == FOLL_LONGTERM;
}

/*
 * Unpin the first page that a write of the process would replace by a copy, and all
 * pages after it. Returns how many pages are still pinned.
 */
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
 * Pin a hugetlb page that the process may not write to. A pin for writing would fail,
 * even with FOLL_FORCE. But a fault with FAULT_FLAG_UNSHARE replaces the page by a copy
 * that is the process's own. The first such fault may only bring the page in, so there
 * are two tries.
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
		ret = pin_user_pages_remote(mm, start, 1, flags, pages, NULL);
		if (ret == 1)
			ret = compat_keep_own(mm, start, pages, 1);
	} while (!ret && --tries);
	return ret ?: -EFAULT;
}

/*
 * Pin pages of the VMA at @start. If it is a private mapping, where a write of the
 * process would replace pages by copies, pin for writing, so that the kernel makes the
 * copies now. Returns how many pages were pinned, at least one, or a negative errno.
 */
static inline long compat_pin_and_copy(struct mm_struct *mm,
				       unsigned long start,
				       unsigned long npages,
				       unsigned int flags, struct page **pages)
{
	struct vm_area_struct *vma = vma_lookup(mm, start);

	if (!vma)
		return -EFAULT;
	npages = min(npages, (vma->vm_end - start) >> PAGE_SHIFT);
	/* memory that the process may not read is refused by the pin below */
	if (is_cow_mapping(vma->vm_flags) && vma->vm_flags & VM_READ) {
		if (vma->vm_flags & VM_WRITE)
			flags |= FOLL_WRITE;
		else if (is_vm_hugetlb_page(vma))
			return compat_pin_readonly_hugetlb(mm, start, flags,
							   pages);
		else
			flags |= FOLL_WRITE | FOLL_FORCE;
	}
	return pin_user_pages_remote(mm, start, npages, flags, pages, NULL);
}

/*
 * pin_user_pages_remote() with its behaviour since 6.2. @locked has to be NULL: the
 * caller holds mmap_lock, which must not be dropped.
 */
static inline long compat_pin_own_pages_remote(struct mm_struct *mm,
					       unsigned long start,
					       unsigned long npages,
					       unsigned int flags,
					       struct page **pages, int *locked)
{
	long n;

	if (!compat_pins_to_read(flags))
		return pin_user_pages_remote(mm, start, npages, flags, pages,
					     locked);
	n = pin_user_pages_remote(mm, start, npages, flags | FOLL_NOFAULT,
				  pages, NULL);
	if (n > 0)
		n = compat_keep_own(mm, start, pages, n);
	return n > 0 ? n : compat_pin_and_copy(mm, start, npages, flags, pages);
}

#undef pin_user_pages_remote
#define pin_user_pages_remote compat_pin_own_pages_remote

/*
 * pin_user_pages_fast() with its behaviour since 6.2. @flags has to have FOLL_NOFAULT,
 * so a page that would have to be copied first is not pinned, like one that is not
 * present. Takes mmap_lock of current->mm.
 */
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
