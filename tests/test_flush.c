// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d's driver must not free a page table while the IOMMU still caches an entry that
 * points to the table. A flush with the invalidation hint (IH) leaves such entries in
 * the cache, and the driver sets the hint if it believes that no table is freed. No DMA
 * can show a table that was freed too early: QEMU's IOMMU does not cache such entries,
 * and hardware would read a page that has another owner by then. So the evidence is the
 * sequence of the driver's calls. A gather (struct iommu_iotlb_gather) collects the
 * range to flush and a list of tables to free:
 *
 *	unmap	removes a range's entries; adds empty tables to the gather's list
 *	sync	flushes the gathered range, and then frees the tables in that list
 *	flush	flushes a range, with the hint or without
 *	domain	flushes all entries of a domain
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "kprobe.h"
#include "proc.h"
#include "vfio.h"

#define LEN		(16 * MIB)
#define TABLE		(2 * MIB)	/* what one page table maps */
#define HITS_MAX	8192
#define RANGES_MAX	64

/*
 * IOVAs to map at. For LEN bytes at ODD the driver is called three times, each time
 * with another size: one page, seven times what a page table maps, and what a page
 * table maps less a page. At EVEN, a multiple of 2 MiB, one call is enough.
 */
#define ODD		0xfffff000ULL
#define EVEN		0x200000000ULL

/* The last argument of qi_flush_iotlb() if it flushes a range and not a domain. */
#define FLUSH_PAGES	(3ULL << 60)

struct range {
	uint64_t first, last;
};

/* The state after the calls recorded so far, and the counts of calls. */
struct account {
	struct range unflushed[RANGES_MAX];
	unsigned int nr;
	bool freeing;		/* tables will be freed after the current flush */
	bool unreachable;	/* no device is attached to the domain any more */
	unsigned int unmaps, flushes, frees;
	unsigned int whole;	/* tables all of whose range one call has unmapped */
};

static struct vfio_container container, owner;
static struct vfio_device initiator, device;
static uint8_t *bar, *ram;
static struct kprobe_hit hits[HITS_MAX];
static bool probed;		/* this test has probes */

/* --- What the driver does ------------------------------------------------ */

/*
 * Up to 6.18 VT-d's driver has page-table code of its own; later it uses code shared
 * with other drivers, with another function to probe.
 */
static int probe_unmap(void)
{
	int ret = kprobe_add("unmap", "intel_iommu_unmap_pages",
			     "$arg2:x64 $arg3:x64 $arg4:x64");

	if (ret == -ENOENT)
		ret = kprobe_add("unmap", "vtdss_unmap_range",
				 "$arg2:x64 $arg3:x64 \\1:x64");
	return ret;
}

/*
 * Since 6.11 cache_tag_flush_range() flushes ranges, and qi_flush_iotlb() only domains.
 * In older kernels qi_flush_iotlb() flushes both, and there is nothing else to probe.
 */
static int probe_flush(void)
{
	int ret = kprobe_add("flush", "cache_tag_flush_range",
			     "$arg2:x64 $arg3:x64 $arg4:s32");

	return ret == -ENOENT ? 0 : ret;
}

static bool can_probe(void)
{
	int ret = probe_unmap();

	/* struct iommu_iotlb_gather: start, end, pgsize, and at offset 24 freelist */
	if (!ret)
		ret = kprobe_add("sync", "intel_iommu_tlb_sync",
				 "$arg2:x64 +24($arg2):x64");
	if (!ret)
		ret = kprobe_add("qi", "qi_flush_iotlb",
				 "$arg3:x64 $arg4:u32 $arg5:x64");
	if (!ret)
		ret = probe_flush();
	if (ret && ret != -ENOENT)
		ok(ret);
	return !ret;
}

/* Record the driver's calls from here on. */
static void watch(void)
{
	if (access("/sys/class/iommu/dmar0", F_OK))
		lacks("a VT-d");
	if (!probed && !can_probe())
		lacks("the functions of VT-d's driver, to be probed");
	probed = true;
	ok(kprobe_start());
}

static uint64_t page_of(uint64_t addr)
{
	return addr & ~(PAGE - 1);
}

static void unmapped(struct account *a, uint64_t iova, uint64_t size)
{
	uint64_t first = (iova + TABLE - 1) & ~(TABLE - 1);

	a->unmaps++;
	if (first + TABLE <= iova + size)
		a->whole += (iova + size - first) / TABLE;
	if (a->unreachable)
		return;
	if (a->nr == RANGES_MAX)
		broken("more than %u ranges are unflushed", a->nr);
	a->unflushed[a->nr++] = (struct range){ iova, iova + size - 1 };
}

static void flushed(struct account *a, struct range range, bool hint)
{
	unsigned int i, n = 0;

	a->flushes++;
	if (hint && a->freeing)
		hole("tables are freed behind a flush of %#lx to %#lx with IH",
		     range.first, range.last);
	for (i = 0; i < a->nr; i++)
		if (a->unflushed[i].first < range.first ||
		    a->unflushed[i].last > range.last)
			a->unflushed[n++] = a->unflushed[i];
	a->nr = n;
}

static bool has_table(const struct range *range)
{
	uint64_t first = (range->first + TABLE - 1) & ~(TABLE - 1);

	return first + TABLE - 1 <= range->last;
}

/*
 * Called for a call of the driver that proves that the last sync is over, and so has
 * freed its tables. By then each range that has a table to itself has to be flushed.
 */
static void freed(struct account *a)
{
	unsigned int i;

	if (!a->freeing)
		return;
	a->freeing = false;
	for (i = 0; i < a->nr; i++)
		if (has_table(&a->unflushed[i]))
			hole("tables were freed before %#lx to %#lx was flushed",
			     a->unflushed[i].first, a->unflushed[i].last);
}

/* A call of qi_flush_iotlb(): arg[0] is the address, with the hint IH as its bit 6. */
static void queued(struct account *a, const struct kprobe_hit *hit, bool leaving)
{
	uint64_t size = PAGE << (hit->arg[1] & 63);
	uint64_t first = page_of(hit->arg[0]) & ~(size - 1);

	if (hit->arg[2] == FLUSH_PAGES) {
		flushed(a, (struct range){ first, first + size - 1 },
			hit->arg[0] >> 6 & 1);
		return;
	}
	a->nr = 0;
	a->unreachable |= leaving;
}

static void take(struct account *a, const struct kprobe_hit *hit, bool leaving)
{
	/*
	 * A sync flushes first, and then frees its tables. So a call that is no flush
	 * comes after the tables of the last sync were freed.
	 */
	if (strcmp(hit->name, "flush") && strcmp(hit->name, "qi"))
		freed(a);
	if (!strcmp(hit->name, "unmap")) {
		unmapped(a, hit->arg[0], hit->arg[1] * hit->arg[2]);
	} else if (!strcmp(hit->name, "sync")) {
		/* The gather's list of tables is empty if its head points to itself. */
		a->freeing = hit->arg[1] != hit->arg[0] + 24;
		a->frees += a->freeing;
	} else if (!strcmp(hit->name, "flush")) {
		flushed(a, (struct range){ page_of(hit->arg[0]),
					   hit->arg[1] | (PAGE - 1) },
			hit->arg[2]);
	} else {
		queued(a, hit, leaving);
	}
}

/*
 * Evaluate the driver's calls that this thread has caused since watch(). leaving: the
 * thread has taken the last device out of the domain. That flushes the whole domain,
 * and after this flush the IOMMU does not use the domain's tables any more.
 */
static struct account account(bool leaving)
{
	struct account a = {};
	int i, n;

	ok(kprobe_stop());
	n = kprobe_read(hits, HITS_MAX);
	if (n < 0)
		broken("what was recorded: %s", strerror(-n));
	for (i = 0; i < n; i++)
		take(&a, &hits[i], leaving);
	freed(&a);
	if (!a.unmaps)
		broken("nothing was unmapped");
	if (a.nr)
		hole("%#lx to %#lx was not flushed", a.unflushed[0].first,
		     a.unflushed[0].last);
	return a;
}

/*
 * Expect that at least one table was freed, and none before its flush. For a test that
 * unmaps memory mapped by small pages, which has a page table to itself.
 */
static void expect_tables_freed_late(void)
{
	struct account a = account(false);

	if (!a.frees)
		broken("no table was freed in %u flushes", a.flushes);
}

/* --- The machine --------------------------------------------------------- */

static int open_all(void **state)
{
	ok(vfio_container_open(&owner, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &owner, TARGET));
	return 0;
}

static int close_all(void **state)
{
	vfio_device_close(&device);
	vfio_container_close(&owner);
	return 0;
}

/*
 * The device with the BAR is in the container "owner", so that its memory stays when a
 * test closes "container".
 */
static int setup(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&initiator, &container, EDU_A));
	bar = vfio_region_mmap(&device, TARGET_BAR, 0, LEN,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(bar);
	ram = vfio_reserve(2 * LEN, 2 * MIB, 0);
	assert_non_null(ram);
	probed = false;
	return kprobe_open();
}

static int teardown(void **state)
{
	kprobe_close();
	vfio_decoding(&device, true);
	munmap(bar, LEN);
	munmap(ram, 2 * LEN);
	vfio_device_close(&initiator);
	vfio_container_close(&container);
	return 0;
}

static void need_early_tables(void)
{
	if (!on_tether() && !kernel_before(6, 19))
		lacks("a driver that frees tables early: it does so up to 6.18");
}

static void map_bar(uint64_t offset, uint64_t iova, uint64_t len)
{
	ok(vfio_dma_map(&container, bar + offset, iova, len, VFIO_DMA_RW));
}

static void unmap(uint64_t iova, uint64_t len)
{
	ok(vfio_dma_unmap(&container, iova, len, NULL));
}

/*
 * Anonymous memory at a multiple of 2 MiB: no large IOMMU page can map it at an IOVA
 * that is not a multiple of 2 MiB.
 */
static void get_ram(int advice)
{
	assert_ptr_equal(mmap(ram, LEN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ram);
	madvise(ram, LEN, advice);
}

static void map_ram(uint64_t iova)
{
	ok(vfio_dma_map(&container, ram, iova, LEN, VFIO_DMA_RW));
}

/* --- Each way that something is unmapped ---------------------------------- */

static void tables_of_device_memory_are_freed_after_their_flush(void **state)
{
	need_early_tables();
	map_bar(0, ODD, LEN);
	watch();
	unmap(ODD, LEN);
	expect_tables_freed_late();
}

/* The second mapping begins where the first ends. */
static void tables_of_adjacent_mappings_are_freed_after_their_flush(void **state)
{
	need_early_tables();
	map_bar(0, ODD, LEN / 2);
	map_bar(LEN / 2, ODD + LEN / 2, LEN / 2);
	watch();
	unmap(ODD, LEN);
	expect_tables_freed_late();
}

static void tables_are_freed_after_their_flush_when_all_is_unmapped(void **state)
{
	need_early_tables();
	map_bar(0, ODD, LEN);
	get_ram(MADV_HUGEPAGE);
	map_ram(EVEN - PAGE);
	watch();
	ok(vfio_dma_unmap_all(&container, NULL));
	expect_tables_freed_late();
}

static void tables_of_revoked_memory_are_freed_after_their_flush(void **state)
{
	map_bar(0, ODD, LEN / 2);
	map_bar(LEN / 2, ODD + LEN / 2, LEN / 2);
	watch();
	ok(vfio_decoding(&device, false));
	expect_tables_freed_late();
}

/*
 * munmap() of a page revokes the whole mapping of device memory (mirror), and leaves
 * two pieces of it, which tether restores as two extents within 300 ms.
 */
static void tables_of_a_mirror_in_pieces_are_freed_after_their_flush(void **state)
{
	map_bar(0, ODD, LEN);
	watch();
	munmap(bar + 5 * MIB, PAGE);
	expect_tables_freed_late();
	sleep_ms(300);
	watch();
	unmap(ODD, LEN);
	expect_tables_freed_late();
}

static void tables_of_ram_are_freed_after_their_flush(void **state)
{
	static const int advice[] = { MADV_HUGEPAGE, MADV_NOHUGEPAGE };
	unsigned int i;

	for (i = 0; i < 2; i++) {
		get_ram(advice[i]);
		map_ram(ODD);
		watch();
		unmap(ODD, LEN);
		expect_tables_freed_late();
	}
}

/*
 * mmap() a file in pieces of @piece bytes, in mixed order. These are more extents than
 * tether remembers.
 */
static void get_scattered(size_t len, size_t piece)
{
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	size_t i;

	/* Allocate the pages in the file's order, before they are mapped in another order. */
	assert_int_equal(fallocate(fd, 0, 0, len), 0);
	for (i = 0; i < len / piece; i++)
		assert_ptr_equal(mmap(ram + i * piece, piece,
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd,
				      i * 37 % (len / piece) * piece),
				 ram + i * piece);
	close(fd);
}

/*
 * VT-d's driver frees a page table if one call unmaps all that it can map. So an unmap has
 * to unmap the range of each of the three tables that the memory fills with one call, also
 * with extents of two pages, some of which begin in one table and end in the next.
 */
static void scattered_memory_leaves_no_table_behind(void **state)
{
	const size_t len = 4 * TABLE;
	long pinned = proc_pages_pinned();
	struct account a;
	unsigned int n;

	for (n = 1; n <= 2; n++) {
		get_scattered(len, n * PAGE);
		ok(vfio_dma_map(&container, ram, ODD, len, VFIO_DMA_RW));
		watch();
		unmap(ODD, len);
		a = account(false);
		if (a.whole != 3 || !a.frees)
			broken("pieces of %u: %u of 3 tables were unmapped whole, %u syncs freed some",
			       n, a.whole, a.frees);
		assert_int_equal(proc_pages_pinned(), pinned);
	}
}

static void tables_are_freed_after_the_last_group_has_left(void **state)
{
	map_bar(0, ODD, LEN);
	get_ram(MADV_HUGEPAGE);
	map_ram(EVEN - PAGE);
	watch();
	vfio_device_close(&initiator);
	account(true);
}

/*
 * The container's own file is closed first, but the container is freed only when the
 * files of its group and device are closed, too.
 */
static void tables_are_freed_late_when_everything_is_closed(void **state)
{
	map_bar(0, ODD, LEN);
	get_ram(MADV_HUGEPAGE);
	map_ram(EVEN - PAGE);
	watch();
	vfio_container_close(&container);
	close(initiator.group);
	close(initiator.fd);
	initiator.group = -1;
	initiator.fd = -1;
	account(true);
}

/*
 * Each range here is unmapped by one call of the driver, and so has to be flushed once:
 * one is mapped by large pages, the others by small ones.
 */
static void what_has_one_size_is_flushed_once(void **state)
{
	struct account a;

	map_bar(0, EVEN, LEN);
	watch();
	unmap(EVEN, LEN);
	a = account(false);
	assert_int_equal(a.flushes, 1);

	map_bar(PAGE, EVEN, LEN - TABLE);
	watch();
	unmap(EVEN, LEN - TABLE);
	a = account(false);
	assert_int_equal(a.flushes, 1);
	assert_int_equal(a.frees, 1);

	/* The memory has few extents, but no large IOMMU page can map any of them. */
	get_ram(MADV_HUGEPAGE);
	memset(ram, 1, LEN);
	ok(vfio_dma_map(&container, ram + PAGE, EVEN, LEN - TABLE, VFIO_DMA_RW));
	watch();
	unmap(EVEN, LEN - TABLE);
	a = account(false);
	assert_int_equal(a.flushes, 1);
	assert_int_equal(a.frees, 1);
}

#define SECURE(f)	SECURITY(f, setup, teardown)
#define ON_TETHER(f)	TETHER(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	SECURE(tables_of_device_memory_are_freed_after_their_flush),
	SECURE(tables_of_adjacent_mappings_are_freed_after_their_flush),
	SECURE(tables_are_freed_after_their_flush_when_all_is_unmapped),
	ON_TETHER(tables_of_revoked_memory_are_freed_after_their_flush),
	ON_TETHER(tables_of_a_mirror_in_pieces_are_freed_after_their_flush),
	ON_TETHER(tables_of_ram_are_freed_after_their_flush),
	ON_TETHER(scattered_memory_leaves_no_table_behind),
	TEST(tables_are_freed_after_the_last_group_has_left, setup, teardown),
	TEST(tables_are_freed_late_when_everything_is_closed, setup, teardown),
	ON_TETHER(what_has_one_size_is_flushed_once),
};

TEST_MAIN(tests, open_all, close_all)
