// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of dirty pages. Tether does not ask IOMMUs which pages are dirty. While the
 * container has a domain, the devices behind the IOMMU may have written to every mapped
 * page, so every page is reported as dirty. If the container has emulated devices only,
 * a page is dirty if it is pinned for one of them now, or if it was pinned or written
 * (emulated_rw()) for one since the last report.
 *
 * While the log is on, each mapping has a bitmap with one bit for each PAGE_SIZE. The
 * user's bitmap has one bit for each granule (container_granule()), which changes as
 * groups come and go and may be larger than PAGE_SIZE. Bits need not be converted:
 * while the granule is larger, the container has a domain, and then all bits that are
 * reported are set, and no mapping's bitmap is read.
 *
 * container->lock guards the log and the bitmaps.
 */
#include <linux/bitmap.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/xarray.h>

#include "container.h"
#include "dirty.h"
#include "tree.h"

#define CHUNK_WORDS	64U

/* Set bits, which are copied to the user's bitmap where all pages are dirty. */
static const u64 all_ones[512] = { [0 ... 511] = ~0ULL };

static unsigned int granule_shift(const struct container *c)
{
	return __ffs64(c->pgsizes);
}

static u64 mapping_pages(const struct mapping *m)
{
	return mapping_size(m) >> PAGE_SHIFT;
}

/* Mark the pinned pages dirty, since emulated devices can write to them at any time. */
static void mark_pins(struct mapping *m)
{
	unsigned long index;
	void *pin;

	xa_for_each(&m->pins, index, pin)
		set_bit(index, m->dirty);
}

/**
 * dirty_track() - Begin to log the pages of a mapping, if the container's log is on
 * @c: the container, its lock held
 * @m: the mapping
 *
 * Return: 0, also if the log is off; -EINVAL if the mapping has more pages than a bitmap
 * of the uAPI can have; -ENOMEM.
 */
int dirty_track(struct container *c, struct mapping *m)
{
	u64 pages = mapping_pages(m);

	lockdep_assert_held(&c->lock);
	if (!c->dirty_log)
		return 0;
	if (pages > DIRTY_PAGES_MAX)
		return -EINVAL;
	m->dirty = kvzalloc(DIRTY_BYTES(pages), GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!m->dirty)
		return -ENOMEM;
	mark_pins(m);
	return 0;
}

/**
 * dirty_start() - Turn the log of a container on
 * @c: the container, its lock held
 *
 * Return: 0, also if the log is on already; or, with the log off, the errno of
 * dirty_track().
 */
int dirty_start(struct container *c)
{
	struct mapping *m;
	int ret;

	lockdep_assert_held(&c->lock);
	if (c->dirty_log)
		return 0;

	c->dirty_log = true;
	for_each_mapping(m, c) {
		ret = dirty_track(c, m);
		if (ret) {
			dirty_stop(c);
			return ret;
		}
	}
	return 0;
}

/**
 * dirty_stop() - Turn the log of a container off
 * @c: the container, its lock held
 */
void dirty_stop(struct container *c)
{
	struct mapping *m;

	lockdep_assert_held(&c->lock);
	c->dirty_log = false;
	for_each_mapping(m, c) {
		kvfree(m->dirty);
		m->dirty = NULL;
	}
}

/**
 * dirty_log_has() - Is the log on, and does the user's bitmap fit it?
 * @c: the container, its lock held
 * @bitmap: the user's bitmap
 *
 * Return: true if the log is on and a bit of @bitmap stands for one granule.
 */
bool dirty_log_has(const struct container *c, const struct vfio_bitmap *bitmap)
{
	lockdep_assert_held(&c->lock);
	return c->dirty_log && bitmap->pgsize == container_granule(c);
}

/**
 * dirty_mark() - Note that a part of a mapping was written to, if the log is on
 * @c: the container, its lock held
 * @m: the mapping
 * @offset: where in @m the part begins (bytes)
 * @size: length of the part (bytes), not 0
 */
void dirty_mark(struct container *c, struct mapping *m, u64 offset, u64 size)
{
	u64 first = offset >> PAGE_SHIFT;
	u64 last = (offset + size - 1) >> PAGE_SHIFT;

	lockdep_assert_held(&c->lock);
	if (c->dirty_log)
		bitmap_set(m->dirty, first, last - first + 1);
}

/**
 * dirty_mark_all() - Mark all pages dirty: a device that may write to them is leaving
 * @c: the container, its lock held
 */
void dirty_mark_all(struct container *c)
{
	struct mapping *m;

	lockdep_assert_held(&c->lock);
	for_each_mapping(m, c)
		dirty_mark(c, m, 0, mapping_size(m));
}

static bool all_dirty(const struct container *c)
{
	lockdep_assert_held(&c->lock);
	return !list_empty(&c->domains);
}

/*
 * Returns one word of 64 bits for the user's bitmap: bit 0 of the word is the mapping's
 * bit @pos. @pos may be negative. The mapping has the bits 0 to @nbits - 1, all of them
 * set if @all, else as in its bitmap. Bits of the word outside of these are 0.
 */
static u64 bits_at(const struct mapping *m, bool all, s64 pos, s64 nbits)
{
	u64 word = ~0ULL;
	s64 i = pos >> 6;
	unsigned int shift = pos & 63;

	if (!all) {
		word = i >= 0 && pos < nbits ? m->dirty[i] >> shift : 0;
		if (shift && (i + 1) * 64 < nbits)
			word |= (u64)m->dirty[i + 1] << (64 - shift);
	}
	if (pos < 0)
		word &= ~0ULL << -pos;
	if (pos + 64 > nbits)
		word &= ~0ULL >> (pos + 64 - nbits);
	return word;
}

/*
 * Write a mapping's bits to the user's bitmap, in whole words. The first word may also
 * have bits for IOVAs below the mapping, which other mappings have set: these are read
 * from the user and written back unchanged.
 */
static int report_one(struct container *c, struct mapping *m, u64 base,
		      u64 __user *bitmap)
{
	u64 buf[CHUNK_WORDS], below = 0;
	u64 skip = (m->node.start - base) >> granule_shift(c);
	s64 nbits = mapping_size(m) >> granule_shift(c);
	s64 pos = -(s64)(skip & 63);
	bool all = all_dirty(c);
	const u64 *from;
	unsigned int n;

	bitmap += skip >> 6;
	if (pos && get_user(below, bitmap))
		return -EFAULT;
	below &= ~(~0ULL << -pos);

	while (pos < nbits) {
		if (all && pos >= 0 && nbits - pos >= 64) {
			from = all_ones;
			n = min_t(s64, ARRAY_SIZE(all_ones), (nbits - pos) / 64);
			pos += 64 * n;
		} else {
			from = buf;
			for (n = 0; n < CHUNK_WORDS && pos < nbits; n++, pos += 64)
				buf[n] = bits_at(m, all, pos, nbits);
			buf[0] |= below;
			below = 0;
		}
		if (copy_to_user(bitmap, from, n * sizeof(*from)))
			return -EFAULT;
		bitmap += n;
	}
	return 0;
}

/**
 * dirty_report() - Write the bits of a range of mappings to the user
 * @c: the container, its lock held, its log on
 * @first: first IOVA
 * @last: last IOVA; no mapping may have IOVAs both inside and outside of the range
 * @base: IOVA of the bitmap's first bit
 * @bitmap: the user's bitmap; words without a bit of a mapping stay as they are
 *
 * Return: 0, or -EFAULT with a part of the bitmap written. Either way the dirty pages
 * stay in the log.
 */
int dirty_report(struct container *c, u64 first, u64 last, u64 base,
		 u64 __user *bitmap)
{
	struct mapping *m;
	int ret;

	lockdep_assert_held(&c->lock);
	for_each_mapping_in(m, c, first, last) {
		ret = report_one(c, m, base, bitmap);
		if (ret)
			return ret;
	}
	return 0;
}

/**
 * dirty_take() - Call dirty_report(), then clear the bits that it has reported
 * @c: as for dirty_report()
 * @first: as for dirty_report(); also the IOVA of the bitmap's first bit
 * @last: as for dirty_report()
 * @bitmap: as for dirty_report()
 *
 * Return: 0, or -EFAULT as dirty_report(), with no bit cleared.
 */
int dirty_take(struct container *c, u64 first, u64 last, u64 __user *bitmap)
{
	struct mapping *m;
	int ret;

	lockdep_assert_held(&c->lock);
	ret = dirty_report(c, first, last, first, bitmap);
	if (ret)
		return ret;
	/* clear nothing: while there is a domain, all pages are dirty at all times */
	if (all_dirty(c))
		return 0;
	for_each_mapping_in(m, c, first, last) {
		bitmap_zero(m->dirty, mapping_pages(m));
		mark_pins(m);
	}
	return 0;
}
