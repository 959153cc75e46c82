// SPDX-License-Identifier: GPL-2.0-only
/*
 * A pinned segment is a range of RAM. It owns the pins on the pages and their IOMMU
 * entries, and charges the pages to its mapping.
 *
 * Pages are pinned in batches. Pages that follow each other in memory are gathered into
 * one extent, also across batches: an extent is mapped in the IOMMU only when the next
 * one has begun. So the end of a batch never splits memory that one large IOMMU page
 * could map. The segment remembers its extents, so it is unmapped with one call and
 * unpinned by range. If that would take too many extents (extents_worth_it()), the
 * segment is "scattered": instead of extents it remembers a number of 32 bits for each
 * page, a thousandth of the memory. If it cannot do that (frames_alloc(),
 * frames_note()), its pages are read back from the IOMMU's tables when it is unmapped.
 *
 * The kernel maps and frees a hugetlb folio only as a whole. So a segment of hugetlb
 * memory has one pin on each folio instead of one on each page, and its cost depends
 * on the number of folios. Such a segment contains no other memory.
 *
 * container->lock guards all of it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/hugetlb.h>
#include <linux/iommu.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/minmax.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sizes.h>
#include <linux/slab.h>

#include "charge.h"
#include "compat/compat.h"
#include "container.h"
#include "domain.h"
#include "emulated.h"
#include "extent.h"
#include "faultin.h"
#include "pinned.h"
#include "tree.h"

/*
 * A batch has at most BATCH_MAX pages, since pin_user_pages_fast() disables interrupts
 * while it pins a batch, for tens of microseconds. A batch of at most BATCH_FIRST pages
 * needs no allocation (struct batch).
 */
#define BATCH_MAX	2048UL
#define BATCH_FIRST	16UL

/* Pages that are unpinned or read back between two calls of cond_resched(). */
#define STEP_PAGES	(32UL << 10)

/* How many pages of a scattered segment are unpinned with one call. */
#define UNPIN_PAGES	32U

/* The most extents that a segment remembers, however large it is. */
#define EXTENTS_MAX	SZ_1M

/*
 * A build for tests defines TETHER_READ_BACK. Its scattered segments remember no page
 * frame numbers, so that reading them back is tested, too.
 */
#ifdef TETHER_READ_BACK
#define REMEMBERS_FRAMES	false
#else
#define REMEMBERS_FRAMES	true
#endif

/*
 * How many extents of a scattered segment are read back from the IOMMU's tables,
 * unmapped and flushed in one step. READ_BACK_MAX is the number of entries in a table,
 * so that one step can unmap a whole table even if each page is an extent: a table that
 * is unmapped in two steps is not freed, but stays behind, empty. READ_BACK_ALIGN is
 * how many bytes a table maps. READ_BACK_FEW is the number used if no memory can be
 * allocated.
 */
#define READ_BACK_MAX	512U
#define READ_BACK_ALIGN	SZ_2M
#define READ_BACK_FEW	16U

/* Room for the pages of one batch: @pages points to @few or to an allocated array. */
struct batch {
	struct page **pages;
	unsigned long max;
	struct page *few[BATCH_FIRST];
};

static struct pinned *to_pinned(struct segment *s)
{
	return container_of(s, struct pinned, seg);
}

/*
 * Use @m->room if it is free, else allocate. It is free while @m->room.seg.mapping is
 * NULL.
 */
static struct pinned *pinned_alloc(struct mapping *m, size_t offset)
{
	struct pinned *p = &m->room;

	if (p->seg.mapping)
		p = kmalloc(sizeof(*p), GFP_KERNEL_ACCOUNT);
	if (p)
		*p = (struct pinned){
			.seg = {
				.mapping = m,
				.kind = SEGMENT_PINNED,
				.offset = offset,
			},
		};
	return p;
}

static void pinned_free(struct pinned *p)
{
	kvfree(p->frames);
	if (p == &p->seg.mapping->room)
		p->seg.mapping = NULL;
	else
		kfree(p);
}

static int pinned_prot(const struct pinned *p)
{
	return p->seg.mapping->prot | IOMMU_CACHE;
}

/*
 * How many extents a segment of @size bytes may remember: eight, and as many more as
 * fit into a thousandth of @size; but at most EXTENTS_MAX.
 */
static unsigned int extents_worth_it(const struct pinned *p, size_t size)
{
	return min_t(size_t, 8 + size / (1024 * sizeof(*p->extents.v)),
		     EXTENTS_MAX);
}

static void batch_init(struct batch *b)
{
	b->pages = b->few;
	b->max = BATCH_FIRST;
}

static void batch_free(struct batch *b)
{
	if (b->pages != b->few)
		kvfree(b->pages);
}

static void batch_enlarge(struct batch *b, unsigned long npages)
{
	struct page **pages;
	unsigned long max = min(npages, BATCH_MAX);

	if (b->pages != b->few || max <= b->max)
		return;
	pages = kvmalloc_array(max, sizeof(*pages), GFP_KERNEL | __GFP_NOWARN);
	if (!pages)
		return; /* go on with small batches: slower, but correct */
	b->pages = pages;
	b->max = max;
}

/* The number of pages from @page to the end of its folio, at most @npages. */
static unsigned long rest_of_folio(struct page *page, unsigned long npages)
{
	struct folio *folio = page_folio(page);

	return min(npages, folio_pfn(folio) + folio_nr_pages(folio) -
			   page_to_pfn(page));
}

/*
 * Put one pin on the hugetlb folio at @vaddr. Hold mmap_lock both while the VMA is
 * checked and while the page is pinned: only if the VMA cannot change in between, the
 * rest of the folio is known to be mapped at the addresses after the page. Returns how
 * many of @npages pages are in the folio, 0 if the memory is not hugetlb, or a negative
 * errno.
 */
static long pin_hugetlb(struct mm_struct *mm, unsigned long vaddr,
			unsigned long npages, unsigned int flags,
			struct page **page)
{
	struct vm_area_struct *vma;
	long n = 0;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	vma = vma_lookup(mm, vaddr);
	if (vma && is_vm_hugetlb_page(vma))
		n = pin_user_pages_remote(mm, vaddr, 1, flags, page, NULL);
	mmap_read_unlock(mm);
	return n > 0 ? rest_of_folio(*page, npages) : n;
}

/*
 * Pin the pages at @vaddr, or only the first ones. pin_user_pages_fast() works on the
 * caller's own memory only. With FOLL_NOFAULT it pins only pages that are present. If
 * it faulted pages in, it would check the thread's protection keys, which do not apply
 * to DMA, and since 6.3 it would wait for a userfaultfd while container->lock is held.
 * So pages that are not present are pinned with pin_user_pages_remote(), as are the
 * pages of another process.
 */
static long pin_pages(struct mm_struct *mm, unsigned long vaddr,
		      unsigned long npages, unsigned int flags,
		      struct page **pages)
{
	long n;

	if (mm == current->mm) {
		n = pin_user_pages_fast(vaddr, npages, flags | FOLL_NOFAULT,
					pages);
		if (n > 0)
			return n;
	}

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	n = pin_user_pages_remote(mm, vaddr, npages, flags, pages, NULL);
	mmap_read_unlock(mm);
	return n;
}

/*
 * Pin the next pages of the segment, at most @npages. The first page decides whether
 * the segment is one of hugetlb. If the first call is for at most BATCH_FIRST pages,
 * finding out costs more than it saves, so the segment is an ordinary one.
 */
static long batch_pin(struct batch *b, struct pinned *p, unsigned long npages)
{
	const struct mapping *m = p->seg.mapping;
	unsigned long vaddr = segment_vaddr(&p->seg) + p->seg.size;
	unsigned int flags = FOLL_LONGTERM;
	long n;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (m->prot & IOMMU_WRITE)
		flags |= FOLL_WRITE;

	if (p->hugetlb || (!p->seg.size && npages > BATCH_FIRST)) {
		n = pin_hugetlb(m->mm, vaddr, npages, flags, b->pages);
		if (n > 0)
			p->hugetlb = true;
		if (p->hugetlb)
			return n > 0 ? n : -EFAULT;
	}
	n = pin_pages(m->mm, vaddr, min(npages, b->max), flags, b->pages);
	return n ?: -EFAULT;
}

static bool page_is_nth(const struct page *page, const struct page *nth,
			unsigned long n)
{
	/* the division in page_to_pfn() takes measurable time for a GiB of pages */
	if (IS_ENABLED(CONFIG_SPARSEMEM_VMEMMAP))
		return nth == page + n;
	return page_to_pfn(nth) == page_to_pfn(page) + n;
}

/*
 * How many pages, from the first one on, follow each other in memory within the first
 * one's folio. Only the first struct page is read; the others are only compared by
 * address. Each is compared, since a program may have mapped a folio's pages in another
 * order. Returns 1 if the folio is small, or if it has no mapping: then it is memory of
 * a driver, a part of which may be reserved, and run_length() reads each struct page.
 */
static unsigned long run_in_folio(struct page **pages, unsigned long npages)
{
	struct folio *folio = page_folio(pages[0]);
	unsigned long n = 1;

	if (!folio_test_large(folio) || !READ_ONCE(folio->mapping))
		return 1;
	npages = rest_of_folio(pages[0], npages);
	while (n < npages && page_is_nth(pages[0], pages[n], n))
		n++;
	return n;
}

/*
 * How many pages from the first one on follow each other in memory, so that they make
 * one run. The zero page is a run of its own, since it is never unpinned. Reserved and
 * other pages are never in one run, since reserved pages are not charged.
 */
static unsigned long run_length(struct page **pages, unsigned long npages)
{
	unsigned long pfn = page_to_pfn(pages[0]);
	bool reserved = PageReserved(pages[0]);
	unsigned long n;

	if (is_zero_pfn(pfn))
		return 1;
	n = run_in_folio(pages, npages);
	if (n > 1)
		return n;
	while (n < npages && page_is_nth(pages[0], pages[n], n) &&
	       !is_zero_pfn(pfn + n) && PageReserved(pages[n]) == reserved)
		n++;
	return n;
}

static void extent_unpin(const struct pinned *p, const struct extent *e)
{
	bool dirty = p->seg.mapping->prot & IOMMU_WRITE;
	unsigned long pfn = PHYS_PFN(e->phys);
	unsigned long npages = e->len >> PAGE_SHIFT;
	unsigned long n, pins;

	if (is_zero_pfn(pfn))
		return;
	for (; npages; npages -= n, pfn += n) {
		if (p->hugetlb) {
			n = rest_of_folio(pfn_to_page(pfn), npages);
			pins = 1;
		} else {
			n = min(npages, STEP_PAGES);
			pins = n;
		}
		unpin_user_page_range_dirty_lock(pfn_to_page(pfn), pins, dirty);
		cond_resched();
	}
}

static bool extent_extends_last(struct extents *ex, const struct extent *run)
{
	const struct extent *last = extents_last(ex);

	return last && extent_adjoins(last, run) &&
	       !is_zero_pfn(PHYS_PFN(last->phys)) &&
	       !is_zero_pfn(PHYS_PFN(run->phys));
}

static int extents_add_run(struct extents *ex, const struct extent *run)
{
	if (!extent_extends_last(ex, run))
		return extents_push(ex, run);
	extents_last(ex)->len += run->len;
	return 0;
}

/*
 * Charge the pages of the last @size bytes of the segment; @payable of them are not
 * reserved. Of these, the pages that emulated devices have pinned are charged already,
 * and are not charged again.
 */
static int charge_last(struct container *c, struct pinned *p, size_t size,
		       unsigned long payable)
{
	unsigned long paid = emulated_charged(c, p->seg.mapping,
					      p->seg.offset + p->seg.size - size,
					      size);

	return charge(c, p->seg.mapping, payable - min(payable, paid));
}

/*
 * Add a batch of pages to the segment, and charge them. The segment then owns their
 * pins. If a page cannot be added, drop its pin and the pins of the pages after it. If
 * charging fails, the pages stay in the segment, which the caller destroys.
 */
static int add_batch(struct container *c, struct pinned *p,
		     struct page **pages, unsigned long npages)
{
	unsigned long i, n, payable = 0;
	int ret = 0;

	for (i = 0; i < npages; i += n) {
		struct extent run = {
			.iova = segment_iova(&p->seg) + p->seg.size,
			.phys = page_to_phys(pages[i]),
		};

		n = run_length(pages + i, npages - i);
		run.len = n << PAGE_SHIFT;
		if (n == 1)
			compat_drop_zero_page_pin(pages[i]);
		if (!ret)
			ret = extents_add_run(&p->extents, &run);
		if (ret) {
			extent_unpin(p, &run);
			continue;
		}
		p->seg.size += run.len;
		if (!PageReserved(pages[i]))
			payable += n;
	}
	return ret ?: charge_last(c, p, npages << PAGE_SHIFT, payable);
}

/*
 * Add the pages of a hugetlb folio to the segment, and charge them. The segment then owns
 * the folio's pin. If the pages cannot be added, drop the pin. Also drop it if the last
 * extent ends within the same folio and these pages extend that extent: it has a pin on
 * the folio already. If charging fails, the pages stay in the segment, which the caller
 * destroys.
 */
static int add_hugetlb(struct container *c, struct pinned *p,
		       struct page *page, unsigned long npages)
{
	struct extent run = {
		.iova = segment_iova(&p->seg) + p->seg.size,
		.phys = page_to_phys(page),
		.len = npages << PAGE_SHIFT,
	};
	bool begins = page_to_pfn(page) == folio_pfn(page_folio(page));
	bool held = !begins && extent_extends_last(&p->extents, &run);
	int ret = extents_add_run(&p->extents, &run);

	if (ret) {
		extent_unpin(p, &run);
		return ret;
	}
	if (held)
		unpin_user_page(page);
	p->seg.size += run.len;
	return charge_last(c, p, run.len, npages);
}

/*
 * Map the extents that are not in the IOMMU yet. The last extent may still grow, so it
 * is left out unless @end says that no more pages will come.
 */
static int pinned_map_extents(struct container *c, struct pinned *p, bool end)
{
	dma_addr_t next = segment_iova(&p->seg) + p->mapped;
	unsigned int i, nr = p->extents.nr;
	int ret;

	/* the extents that are not mapped yet are the last ones of the array */
	for (i = nr; i && p->extents.v[i - 1].iova >= next; i--)
		;
	if (!end && nr)
		nr--;

	for (; i < nr; i++) {
		ret = domains_map(c, &p->extents.v[i], pinned_prot(p),
				  GFP_KERNEL_ACCOUNT);
		if (ret)
			return ret;
		p->mapped += p->extents.v[i].len;
	}
	return 0;
}

/*
 * Room for the frame numbers of a segment of at most @size bytes. If there is no memory
 * for it, or if the kernel allocates no array of that size, @frames stays NULL. So it
 * does for hugetlb memory, which is scattered only if each folio is mapped in parts, and
 * which is not unpinned by the page.
 */
static void frames_alloc(struct pinned *p, size_t size)
{
	if (REMEMBERS_FRAMES && !p->hugetlb)
		p->frames = kvmalloc_array(size >> PAGE_SHIFT, sizeof(*p->frames),
					   GFP_KERNEL_ACCOUNT | __GFP_NOWARN |
					   __GFP_RETRY_MAYFAIL);
}

/*
 * Note the frame numbers of an extent's pages. If a number has more than 32 bits (16 TiB
 * with pages of 4 KiB), forget all numbers: their pages are in the IOMMU's tables.
 */
static void frames_note(struct pinned *p, const struct extent *e)
{
	size_t page = (e->iova - segment_iova(&p->seg)) >> PAGE_SHIFT;
	unsigned long pfn = PHYS_PFN(e->phys);
	size_t n = e->len >> PAGE_SHIFT;

	if (!p->frames)
		return;
	if (pfn + n - 1 > U32_MAX) {
		kvfree(p->frames);
		p->frames = NULL;
		return;
	}
	while (n--)
		p->frames[page++] = pfn++;
}

/* Forget the extents of a scattered segment that are in the IOMMU; note their frames. */
static void forget_mapped(struct pinned *p)
{
	dma_addr_t next = segment_iova(&p->seg) + p->mapped;
	struct extents *ex = &p->extents;
	unsigned int i;

	for (i = 0; i < ex->nr && ex->v[i].iova < next; i++)
		frames_note(p, &ex->v[i]);
	memmove(ex->v, ex->v + i, (ex->nr - i) * sizeof(*ex->v));
	ex->nr -= i;
}

static int pinned_map_batches(struct container *c, struct pinned *p,
			      size_t size,
			      struct batch *b)
{
	const struct mapping *m = p->seg.mapping;
	bool ahead = m->mm == current->mm && m->prot & IOMMU_WRITE;
	unsigned int worth = extents_worth_it(p, size);
	size_t faulted = ahead ? 0 : size;
	long n;
	int ret;

	while (p->seg.size < size) {
		if (p->seg.size == faulted)
			faulted += faultin_ahead(segment_vaddr(&p->seg) + faulted,
						 size - faulted);
		n = batch_pin(b, p, (faulted - p->seg.size) >> PAGE_SHIFT);
		if (n == -EFAULT && p->seg.size)
			break; /* end the segment: memory of another kind begins here */
		if (n < 0)
			return n;

		if (p->hugetlb)
			ret = add_hugetlb(c, p, b->pages[0], n);
		else
			ret = add_batch(c, p, b->pages, n);
		if (!ret)
			ret = pinned_map_extents(c, p, false);
		if (ret)
			return ret;

		if (!p->scattered && p->extents.nr > worth) {
			p->scattered = true;
			frames_alloc(p, size);
		}
		if (p->scattered)
			forget_mapped(p);
		if (!p->hugetlb)
			batch_enlarge(b, (size - p->seg.size) >> PAGE_SHIFT);
		cond_resched();
	}

	ret = pinned_map_extents(c, p, true);
	if (!ret && p->scattered) {
		forget_mapped(p);
		extents_free(&p->extents);
	}
	return ret;
}

/*
 * Room for extents that are read back. If no memory can be allocated, the room on the
 * stack is used, which takes more steps.
 */
struct read_back {
	struct extents ex;
	struct extent few[READ_BACK_FEW];
};

static void read_back_init(struct read_back *rb)
{
	rb->ex.cap = READ_BACK_MAX;
	rb->ex.v = kvmalloc_array(rb->ex.cap, sizeof(*rb->ex.v),
				  GFP_KERNEL | __GFP_NOWARN);
	if (!rb->ex.v) {
		rb->ex.cap = READ_BACK_FEW;
		rb->ex.v = rb->few;
	}
}

static void read_back_free(struct read_back *rb)
{
	if (rb->ex.v != rb->few)
		kvfree(rb->ex.v);
}

/*
 * A step of unmap_scattered() is to unmap @ex, @done bytes from @iova. If an IOMMU page
 * table ends inside the step, shorten the step to the last such end. An IOMMU driver
 * frees a table if one call unmaps all of it; a table that is unmapped in several calls
 * stays behind, empty. If an extent reaches across that end and might contain a hugetlb
 * folio with one pin or an IOMMU page that must not be split, keep the extent whole: an
 * IOMMU page larger than a table maps can only be in an extent of at least twice that
 * size. Returns the length of the step (bytes).
 */
static size_t end_with_table(const struct pinned *p, dma_addr_t iova, size_t done,
			     struct extents *ex)
{
	dma_addr_t end = round_down(iova + done, READ_BACK_ALIGN);
	struct extent *e;

	if (end <= iova || end == iova + done)
		return done;
	for (e = extents_last(ex); e && e->iova >= end; e = extents_last(ex))
		ex->nr--;
	if (e && e->iova + e->len > end) {
		if (p->hugetlb || e->len >= 2 * READ_BACK_ALIGN)
			end = e->iova + e->len;
		else
			e->len = end - e->iova;
	}
	return end - iova;
}

/* The physical address of a scattered segment's page that is in the IOMMU. */
static phys_addr_t page_at(struct container *c, const struct pinned *p,
			   dma_addr_t iova)
{
	struct domain *d;

	if (p->frames)
		return PFN_PHYS(p->frames[(iova - segment_iova(&p->seg)) >> PAGE_SHIFT]);
	d = list_first_entry(&c->domains, struct domain, node);
	return iommu_iova_to_phys(d->iommu, iova);
}

/*
 * Get the extents of a scattered segment at @iova, as many as there is room for, from
 * @frames or from the first domain's tables. Each is whole: no IOMMU page reaches from
 * one extent into the next. Returns the sum of their lengths (bytes).
 */
static size_t read_back(struct container *c, const struct pinned *p,
			dma_addr_t iova, size_t len, struct read_back *rb)
{
	struct extents *ex = &rb->ex;
	size_t done;

	ex->nr = 0;
	for (done = 0; done < len; done += PAGE_SIZE) {
		struct extent e = {
			.iova = iova + done,
			.phys = page_at(c, p, iova + done),
			.len = PAGE_SIZE,
		};

		if (!(done & ((STEP_PAGES << PAGE_SHIFT) - 1)))
			cond_resched();
		if (WARN_ON_ONCE(!e.phys))
			continue;
		if (ex->nr == ex->cap && !extent_extends_last(ex, &e))
			break;
		extents_add_run(ex, &e);
	}
	return done;
}

/*
 * Unmap and unpin, in steps, a scattered segment that has no frame numbers. Its pages
 * are known only while they are in the IOMMU's tables, so each step reads its extents
 * before it unmaps them.
 */
static void unmap_scattered(struct container *c, struct pinned *p)
{
	dma_addr_t iova = segment_iova(&p->seg);
	struct read_back rb;
	bool unmapped;
	unsigned int i;
	size_t n;

	read_back_init(&rb);
	while (p->mapped) {
		n = read_back(c, p, iova, p->mapped, &rb);
		if (n < p->mapped)
			n = end_with_table(p, iova, n, &rb.ex);
		unmapped = domains_unmap(c, &rb.ex);
		for (i = 0; unmapped && i < rb.ex.nr; i++)
			extent_unpin(p, &rb.ex.v[i]);
		iova += n;
		p->mapped -= n;
	}
	read_back_free(&rb);
}

static bool unmap_remembered(struct container *c, const struct pinned *p)
{
	struct extent whole = {
		.iova = segment_iova(&p->seg),
		.len = p->mapped,
	};
	struct extents ex = { .v = &whole, .nr = 1 };

	return !p->mapped || domains_unmap(c, &ex);
}

/* Unpin the pages whose frame numbers are noted: those before the first extent. */
static void frames_unpin(const struct pinned *p)
{
	bool dirty = p->seg.mapping->prot & IOMMU_WRITE;
	size_t i, end = p->seg.size >> PAGE_SHIFT;
	struct page *pages[UNPIN_PAGES];
	unsigned int n = 0;

	if (!p->frames)
		return;
	if (p->extents.nr)
		end = (p->extents.v[0].iova - segment_iova(&p->seg)) >> PAGE_SHIFT;
	for (i = 0; i < end; i++) {
		if (!is_zero_pfn(p->frames[i]))
			pages[n++] = pfn_to_page(p->frames[i]);
		if (n == UNPIN_PAGES || i + 1 == end) {
			unpin_user_pages_dirty_lock(pages, n, dirty);
			n = 0;
			cond_resched();
		}
	}
}

static void pinned_unpin_all(const struct pinned *p)
{
	unsigned int i;

	frames_unpin(p);
	for (i = 0; i < p->extents.nr; i++)
		extent_unpin(p, &p->extents.v[i]);
}

static void pinned_destroy(struct container *c, struct pinned *p)
{
	bool unmapped = true;

	if (p->scattered)
		forget_mapped(p);
	if (p->scattered && !p->frames)
		unmap_scattered(c, p);
	else
		unmapped = unmap_remembered(c, p);
	/* if entries are left, leak the pages: a device can still write to them */
	if (unmapped)
		pinned_unpin_all(p);
	extents_free(&p->extents);
	pinned_free(p);
}

/**
 * pinned_map() - Pin and map RAM
 * @c: the container, its lock held
 * @m: the mapping; its mm is the caller's own, or the caller has called owner_use()
 * @offset: where in the mapping to start (bytes)
 * @size: the most bytes that the segment may have
 *
 * The segment ends before the first page that cannot be pinned, or after @size bytes.
 *
 * Return: a segment of at least one page, in no list, or an ERR_PTR: -EFAULT if the
 * first page cannot be pinned, -ENOMEM if memory cannot be allocated or RLIMIT_MEMLOCK
 * would be exceeded, -EINTR if the caller is being killed, or the IOMMU driver's errno.
 */
struct segment *pinned_map(struct container *c, struct mapping *m,
			   size_t offset, size_t size)
{
	struct pinned *p;
	struct batch batch;
	int ret;

	lockdep_assert_held(&c->lock);
	p = pinned_alloc(m, offset);
	if (!p)
		return ERR_PTR(-ENOMEM);
	extents_lend(&p->extents, &p->only);

	batch_init(&batch);
	ret = pinned_map_batches(c, p, size, &batch);
	batch_free(&batch);
	if (ret) {
		pinned_destroy(c, p);
		return ERR_PTR(ret);
	}
	return &p->seg;
}

/**
 * pinned_remembered() - Does a segment remember which pages it has pinned?
 * @c: the container, its lock held
 * @s: the segment
 *
 * Return: true if it does; false if only the IOMMU's tables tell.
 */
bool pinned_remembered(struct container *c, struct segment *s)
{
	lockdep_assert_held(&c->lock);
	return !to_pinned(s)->scattered || to_pinned(s)->frames;
}

/**
 * pinned_set_mapped() - Note whether a remembered segment has IOMMU entries
 * @c: the container, its lock held
 * @s: the segment
 * @mapped: false if the caller unmaps them together with those of adjacent mappings;
 *	    then the caller flushes, and after that calls pinned_unmap(). true if that
 *	    unmap failed, so that pinned_unmap() has to unmap them
 */
void pinned_set_mapped(struct container *c, struct segment *s, bool mapped)
{
	lockdep_assert_held(&c->lock);
	to_pinned(s)->mapped = mapped ? s->size : 0;
}

/**
 * pinned_unmap() - Unmap, unpin and free a segment
 * @c: the container, its lock held
 * @s: the segment, in no list
 */
void pinned_unmap(struct container *c, struct segment *s)
{
	lockdep_assert_held(&c->lock);
	pinned_destroy(c, to_pinned(s));
}

static int join_extents(struct pinned *p, const struct extents *ex,
			struct domain *d)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < ex->nr; i++)
		ret = domain_map(d, &ex->v[i], pinned_prot(p),
				 GFP_KERNEL_ACCOUNT);
	return ret;
}

static int join_scattered(struct container *c, struct pinned *p,
			  struct domain *d)
{
	struct read_back rb;
	size_t done = 0;
	int ret = 0;

	read_back_init(&rb);
	while (!ret && done < p->mapped) {
		done += read_back(c, p, segment_iova(&p->seg) + done,
				  p->mapped - done, &rb);
		ret = join_extents(p, &rb.ex, d);
	}
	read_back_free(&rb);
	return ret;
}

/**
 * pinned_join() - Map a segment in one more domain
 * @c: the container, its lock held
 * @s: the segment
 * @d: the domain, not in the container's list
 *
 * Return: 0, or a negative errno with an unknown part of it mapped in @d.
 */
int pinned_join(struct container *c, struct segment *s, struct domain *d)
{
	struct pinned *p = to_pinned(s);

	lockdep_assert_held(&c->lock);
	return p->scattered ? join_scattered(c, p, d) :
			      join_extents(p, &p->extents, d);
}
