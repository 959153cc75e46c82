// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of dirty pages: which bits are set, and when pages become clean again.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "emu.h"
#include "vfio.h"

#define START	VFIO_IOMMU_DIRTY_PAGES_FLAG_START
#define STOP	VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP
#define GET	VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP

#define PAGES		256u
#define MEM_LEN		(PAGES * PAGE)
#define WORDS		(PAGES / 64)
#define BITMAP_MAX	(256 * MIB)

static struct vfio_container container;
static struct vfio_device device;	/* with an IOMMU */
static struct emu emu;
static uint8_t *mem;			/* PAGES pages */
static uint64_t bits[WORDS + 1];	/* the kernel must not write the last word */

struct get {
	struct vfio_iommu_type1_dirty_bitmap dirty;
	struct vfio_iommu_type1_dirty_bitmap_get range;
};

struct unmap {
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
};

static int open_all(void **state)
{
	ok(emu_load());
	mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mem == MAP_FAILED ? -1 : 0;
}

static int close_all(void **state)
{
	munmap(mem, MEM_LEN);
	return emu_unload();
}

static int setup_v1(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1_IOMMU));
	ok(vfio_device_open(&device, &container, EDU_B));
	return 0;
}

static int setup_iommu(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &container, EDU_B));
	return 0;
}

static int setup_emulated(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(emu_open(&emu, &container, 0));
	return 0;
}

static int teardown(void **state)
{
	if (emu.dev.container)
		emu_close(&emu);
	vfio_device_close(&device);
	vfio_container_close(&container);
	memset(&emu, 0, sizeof(emu));
	memset(&device, 0, sizeof(device));
	return 0;
}

static int sys_ioctl(unsigned long request, void *arg)
{
	return ioctl(container.fd, request, arg) ? -errno : 0;
}

static int dirty_log(uint32_t flags)
{
	return vfio_dirty_log(&container, flags);
}

/* A correct request for the dirty bits of @npages pages from IOVA on. */
static struct get request(unsigned int npages)
{
	return (struct get){
		.dirty = { .argsz = sizeof(struct get), .flags = GET },
		.range = {
			.iova = IOVA,
			.size = npages * PAGE,
			.bitmap = {
				.pgsize = PAGE,
				.size = (npages + 63) / 64 * 8,
				.data = (void *)bits,
			},
		},
	};
}

static int send(struct get *get)
{
	memset(bits, 0, sizeof(bits));
	return sys_ioctl(VFIO_IOMMU_DIRTY_PAGES, get);
}

static int get_bits(unsigned int npages)
{
	struct get get = request(npages);

	return send(&get);
}

static struct unmap unmap_request(unsigned int npages)
{
	struct get get = request(npages);

	return (struct unmap){
		.unmap = {
			.argsz = sizeof(struct unmap),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = IOVA,
			.size = npages * PAGE,
		},
		.bitmap = get.range.bitmap,
	};
}

static int send_unmap(struct unmap *unmap)
{
	memset(bits, 0, sizeof(bits));
	return sys_ioctl(VFIO_IOMMU_UNMAP_DMA, unmap);
}

static int map_pages(unsigned int first, unsigned int npages)
{
	return vfio_dma_map(&container, mem + first * PAGE,
			    IOVA + first * PAGE, npages * PAGE, VFIO_DMA_RW);
}

static int unmap_pages(unsigned int first, unsigned int npages)
{
	return vfio_dma_unmap(&container, IOVA + first * PAGE, npages * PAGE,
			      NULL);
}

static void pin(unsigned int first, unsigned int npages)
{
	assert_int_equal(emu_pin(&emu, IOVA + first * PAGE, npages,
				 EMU_PROT_WRITE), npages);
}

static void unpin(unsigned int page)
{
	assert_int_equal(emu_unpin(&emu, IOVA + page * PAGE, 1), 1);
}

static bool is_dirty(unsigned int page)
{
	return bits[page / 64] >> page % 64 & 1;
}

/* In bits[], exactly the bits of @pages (in ascending order) have to be set. */
static void expect_dirty(const unsigned int *pages, unsigned int count)
{
	unsigned int page, i = 0;

	for (page = 0; page < 64 * (WORDS + 1); page++) {
		bool wanted = i < count && pages[i] == page;

		if (wanted)
			i++;
		if (is_dirty(page) != wanted)
			broken("page %u is %s", page,
			       wanted ? "clean" : "dirty");
	}
}

#define expect_pages(...) \
	do { \
		static const unsigned int list[] = { __VA_ARGS__ }; \
		expect_dirty(list, sizeof(list) / sizeof(*list)); \
	} while (0)

static void expect_clean(void)
{
	expect_dirty(NULL, 0);
}

static void expect_range(unsigned int first, unsigned int npages)
{
	unsigned int list[PAGES], i;

	for (i = 0; i < npages; i++)
		list[i] = first + i;
	expect_dirty(list, npages);
}

static void migration_capability_tells_the_limits(void **state)
{
	const struct vfio_iommu_type1_info_cap_migration *cap;
	struct vfio_iommu_type1_info *info;

	ok(vfio_iommu_info(&container, &info));
	cap = vfio_iommu_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION);
	assert_non_null(cap);
	assert_int_equal(cap->header.version, 1);
	assert_int_equal(cap->pgsize_bitmap, PAGE);
	assert_int_equal(cap->max_dirty_bitmap_size, BITMAP_MAX);
	free(info);
}

static void version_1_has_no_dirty_log(void **state)
{
	ok(map_pages(0, 64));
	refused(EACCES, dirty_log(START));
	refused(EACCES, dirty_log(STOP));
	refused(EACCES, get_bits(64));
	/* The ioctl fails before it reads its argument, so NULL is not EFAULT here. */
	refused(EACCES, sys_ioctl(VFIO_IOMMU_DIRTY_PAGES, NULL));
}

static void dirty_log_starts_and_stops(void **state)
{
	ok(dirty_log(STOP));
	ok(map_pages(0, 64));
	refused(EINVAL, get_bits(64));
	ok(dirty_log(START));
	ok(get_bits(64));
	ok(dirty_log(START));
	ok(map_pages(64, 64));
	ok(get_bits(128));
	ok(dirty_log(STOP));
	refused(EINVAL, get_bits(128));
	ok(dirty_log(STOP));
	ok(unmap_pages(64, 64));
	ok(dirty_log(START));
	ok(get_bits(64));
	expect_range(0, 64);
}

static void check_flags(void)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty) - 1,
		.flags = START,
	};

	refused(EINVAL, sys_ioctl(VFIO_IOMMU_DIRTY_PAGES, &dirty));
	refused(EINVAL, dirty_log(0));
	refused(EINVAL, dirty_log(1u << 31));
	refused(EINVAL, dirty_log(START | 1u << 31));
	refused(EINVAL, dirty_log(START | STOP));
	refused(EINVAL, dirty_log(STOP | GET));
	refused(EINVAL, dirty_log(START | STOP | GET));
	/*
	 * dirty_log() passes an argsz that does not include the struct
	 * vfio_iommu_type1_dirty_bitmap_get, which GET needs.
	 */
	refused(EINVAL, dirty_log(GET));
}

/* A request that is correct except for @field has to fail with @error. */
#define refused_get(error, field, value) \
	do { \
		struct get bad = request(64); \
		bad.field = (value); \
		refused(error, send(&bad)); \
	} while (0)

static void check_range(void)
{
	const int overflow = wrap_error(&container);

	refused_get(EINVAL, dirty.argsz, sizeof(struct get) - 1);
	refused_get(EINVAL, range.size, 0);
	refused_get(EINVAL, range.size, 64 * PAGE - 1);
	refused_get(EINVAL, range.iova, IOVA + 1);
	refused_get(overflow, range.size, 0 - PAGE);
	refused_get(overflow, range.iova, 0 - PAGE);
	/*
	 * Ranges that contain only a part of the mapping: all but its last page; all
	 * but its first; and all but its last, with a page before the mapping.
	 */
	refused_get(EINVAL, range.size, 63 * PAGE);
	refused_get(EINVAL, range.iova, IOVA + PAGE);
	refused_get(EINVAL, range.iova, IOVA - PAGE);
}

static void check_bitmap(void)
{
	refused_get(EINVAL, range.bitmap.pgsize, 2 * PAGE);
	refused_get(EINVAL, range.bitmap.pgsize, PAGE / 2);
	refused_get(EINVAL, range.bitmap.pgsize, PAGE | 2 * PAGE);
	refused_get(EINVAL, range.bitmap.size, 7);
	refused_get(EINVAL, range.bitmap.size, 0);
	refused_get(EINVAL, range.bitmap.size, BITMAP_MAX + 8);
	/* An address that no process can have is EINVAL, not EFAULT. */
	refused_get(EINVAL, range.bitmap.data, (void *)0xffff888000000000);
	if (on_tether())
		refused_get(EINVAL, range.bitmap.pgsize, 0);
}

static void dirty_pages_checks_its_arguments(void **state)
{
	ok(map_pages(0, 64));
	check_flags();
	/* None of these calls has turned the log on. */
	refused(EINVAL, get_bits(64));
	ok(dirty_log(START));
	check_range();
	check_bitmap();
	/* None of these calls has cleared a bit, or turned the log off. */
	ok(get_bits(64));
	expect_range(0, 64);
	/* The range may be larger than the mapping: the other pages' bits are 0. */
	ok(get_bits(PAGES));
	expect_range(0, 64);
}

/*
 * The backend does not ask the IOMMU which pages a device has written to, so each
 * report has all mapped pages as dirty.
 */
static void with_an_iommu_every_page_is_dirty(void **state)
{
	ok(map_pages(0, 70));
	ok(dirty_log(START));
	/* A mapping made while the log is on; pages 70 to 129 are not mapped. */
	ok(map_pages(130, 3));
	ok(get_bits(128));
	expect_range(0, 70);
	ok(get_bits(128));
	expect_range(0, 70);
	ok(unmap_pages(0, 70));
	ok(get_bits(PAGES));
	expect_pages(130, 131, 132);
}

/*
 * Make four mappings, some of which have bits in the same 64-bit word of the user's
 * bitmap, and pin pages of each: one report has to have the bits of all of them.
 */
static void share_words(void)
{
	ok(map_pages(0, 3));
	ok(map_pages(5, 1));
	ok(map_pages(7, 60));
	ok(map_pages(100, 40));
	ok(dirty_log(START));
	pin(2, 1);
	pin(5, 1);
	pin(63, 3);
	pin(100, 1);
	pin(139, 1);
	ok(get_bits(PAGES));
	expect_pages(2, 5, 63, 64, 65, 100, 139);
}

static void mappings_share_a_word_of_the_bitmap(void **state)
{
	share_words();
}

/*
 * In-tree shifts a mapping's own bitmap to align it with the user's words. It keeps
 * shifted bits, and the next call shifts them once more, so it reports wrong pages.
 */
static void a_shared_word_is_the_same_again(void **state)
{
	share_words();
	ok(get_bits(PAGES));
	expect_pages(2, 5, 63, 64, 65, 100, 139);
}

static void expect_write(unsigned int page, size_t offset, size_t len)
{
	uint8_t data[2 * PAGE];

	memset(data, page, len);
	ok(emu_write(&emu, IOVA + page * PAGE + offset, data, len));
	assert_memory_equal(mem + page * PAGE + offset, data, len);
}

static void emulated_devices_dirty_what_they_pin_and_write(void **state)
{
	uint8_t data[64];

	ok(map_pages(0, PAGES));
	/*
	 * Page 1 is pinned when the log starts, and so it is dirty. Page 2 is unpinned
	 * again by then, and the other pages were never pinned.
	 */
	pin(1, 1);
	pin(2, 1);
	unpin(2);
	ok(dirty_log(START));
	ok(get_bits(PAGES));
	expect_pages(1);

	pin(127, 2);
	expect_write(70, 0, 1);
	expect_write(80, PAGE - 1, 2);
	expect_write(255, PAGE - 64, 64);
	ok(emu_read(&emu, IOVA + 90 * PAGE, data, sizeof(data)));
	ok(get_bits(PAGES));
	expect_pages(1, 70, 80, 81, 127, 128, 255);

	/* Since that report the device can have written only to pages still pinned. */
	ok(get_bits(PAGES));
	expect_pages(1, 127, 128);
	/*
	 * Page 127 was pinned for a part of the time since the last report, so it is in
	 * this report, but not in the next.
	 */
	unpin(127);
	ok(get_bits(PAGES));
	expect_pages(1, 127, 128);
	ok(get_bits(PAGES));
	expect_pages(1, 128);
}

static void a_leaving_group_leaves_everything_dirty(void **state)
{
	ok(map_pages(0, 100));
	ok(dirty_log(START));
	ok(get_bits(128));
	expect_clean();
	ok(vfio_device_open(&device, &container, EDU_B));
	ok(get_bits(128));
	expect_range(0, 100);
	vfio_device_close(&device);
	ok(get_bits(128));
	expect_range(0, 100);
	ok(get_bits(128));
	expect_clean();
}

/* Returns two pages for a bitmap: the first can be written to, the second only read. */
static uint8_t *half_a_bitmap(void)
{
	uint8_t *at = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	assert_int_equal(mprotect(at + PAGE, PAGE, PROT_READ), 0);
	return at;
}

/*
 * In-tree marks a mapping's pages clean as soon as it has written their bits. So if it
 * cannot write the bits of a later mapping, the earlier ones' dirty pages are lost.
 */
static void a_bad_bitmap_forgets_nothing(void **state)
{
	uint8_t *at = half_a_bitmap();
	struct get get = request(PAGES);

	ok(map_pages(0, 64));
	ok(map_pages(70, 100));
	ok(dirty_log(START));
	expect_write(3, 0, 1);
	expect_write(75, 0, 1);
	expect_write(169, 0, 1);
	/* The bitmap's words for the second mapping begin behind the writable page. */
	get.range.bitmap.data = (void *)(at + PAGE - 8);
	refused(EFAULT, send(&get));
	/* Of the two words for the second mapping, only the first is writable. */
	get.range.bitmap.data = (void *)(at + PAGE - 16);
	refused(EFAULT, send(&get));
	ok(get_bits(PAGES));
	expect_pages(3, 75, 169);
	ok(get_bits(PAGES));
	expect_clean();
	munmap(at, 2 * PAGE);
}

/*
 * In-tree up to 6.12 refuses a range that ends at the last byte of the IOVAs: it takes
 * iova + size, which is 0 then, for a range that wraps.
 */
static void bits_of_the_last_byte_can_be_had(void **state)
{
	const uint64_t top = 0 - 64 * PAGE;
	struct get get = request(64);

	ok(dirty_log(START));
	get.range.iova = top;
	ok(send(&get));
	expect_clean();
	/*
	 * No IOMMU limits the IOVAs of a container that has only emulated devices, so
	 * the last page of all IOVAs can be mapped.
	 */
	ok(vfio_dma_map(&container, mem, 0 - PAGE, PAGE, VFIO_DMA_RW));
	ok(emu_write(&emu, 0 - PAGE, "x", 1));
	ok(send(&get));
	expect_pages(63);
}

#define refused_unmap(error, field, value) \
	do { \
		struct unmap bad = unmap_request(64); \
		bad.field = (value); \
		refused(error, send_unmap(&bad)); \
	} while (0)

static void unmap_with_bitmap_checks_its_arguments(void **state)
{
	const uint32_t flag = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP;
	struct unmap good = unmap_request(64);

	ok(map_pages(0, 64));
	refused(EINVAL, send_unmap(&good));	/* the log is off */
	ok(dirty_log(START));
	refused_unmap(EINVAL, unmap.argsz, sizeof(struct unmap) - 1);
	refused_unmap(EINVAL, unmap.flags, flag | VFIO_DMA_UNMAP_FLAG_ALL);
	refused_unmap(EINVAL, unmap.flags, flag | VFIO_DMA_UNMAP_FLAG_VADDR);
	refused_unmap(EINVAL, bitmap.pgsize, 2 * PAGE);
	refused_unmap(EINVAL, bitmap.pgsize, PAGE / 2);
	refused_unmap(EINVAL, bitmap.size, 7);
	refused_unmap(EINVAL, bitmap.size, 0);
	refused_unmap(EINVAL, bitmap.size, BITMAP_MAX + 8);
	refused_unmap(EINVAL, bitmap.data, (void *)0xffff888000000000);
	if (on_tether())
		refused_unmap(EINVAL, bitmap.pgsize, 0);
	/* A range that cuts a mapping is refused, as without a bitmap. */
	refused_unmap(EINVAL, unmap.size, 63 * PAGE);
	refused_unmap(EINVAL, unmap.iova, IOVA + PAGE);
	/* All these refused calls have left the range mapped. */
	ok(send_unmap(&good));
	assert_int_equal(good.unmap.size, 64 * PAGE);
	expect_range(0, 64);
}

/*
 * In-tree unmaps the first mapping, and then fails because it cannot write the bits of
 * the second. Nothing tells the program that the first mapping is gone.
 */
static void unmap_with_a_bad_bitmap_unmaps_nothing(void **state)
{
	uint8_t *at = half_a_bitmap();
	struct unmap unmap = unmap_request(PAGES);

	ok(map_pages(0, 64));
	ok(map_pages(64, 64));
	ok(dirty_log(START));
	unmap.bitmap.data = (void *)(at + PAGE - 8);
	refused(EFAULT, send_unmap(&unmap));
	refused(EEXIST, map_pages(0, 1));
	refused(EEXIST, map_pages(64, 1));
	unmap = unmap_request(PAGES);
	ok(send_unmap(&unmap));
	assert_int_equal(unmap.unmap.size, 128 * PAGE);
	expect_range(0, 128);
	munmap(at, 2 * PAGE);
}

static void unmap_reports_the_dirty_pages(void **state)
{
	struct unmap unmap = unmap_request(PAGES);

	ok(map_pages(1, 65));
	ok(map_pages(70, 100));
	ok(dirty_log(START));
	expect_write(1, 0, 1);
	expect_write(65, 0, 1);
	expect_write(70, PAGE - 1, 2);
	/*
	 * UNMAP_DMA first tells the driver of the unmap, which then unpins the page.
	 * The page has to be reported as dirty nevertheless.
	 */
	pin(169, 1);
	ok(send_unmap(&unmap));
	assert_int_equal(unmap.unmap.size, 165 * PAGE);
	expect_pages(1, 65, 70, 71, 169);
	assert_int_equal(emu_unpin(&emu, IOVA + 169 * PAGE, 1), 0);

	/* The bits were freed with the mappings: a new mapping there is clean. */
	ok(map_pages(0, PAGES));
	ok(get_bits(PAGES));
	expect_clean();
	/* An unmap of memory that was not written reports no dirty page. */
	unmap = unmap_request(PAGES);
	ok(send_unmap(&unmap));
	assert_int_equal(unmap.unmap.size, PAGES * PAGE);
	expect_clean();
}

/*
 * Turns the log off while UNMAP_DMA tells the driver of the unmap, which emu_delay()
 * makes last 1 s. The backend holds no container->lock meanwhile, so STOP succeeds.
 */
static void *stop_meanwhile(void *arg)
{
	sleep_ms(200);
	return (void *)(intptr_t)dirty_log(STOP);
}

static void a_log_that_stops_during_unmap_is_not_read(void **state)
{
	struct unmap unmap = unmap_request(4);
	pthread_t thread;
	void *ret;

	ok(map_pages(0, 4));
	ok(dirty_log(START));
	pin(1, 1);
	ok(emu_delay(&emu, 1000));
	assert_int_equal(pthread_create(&thread, NULL, stop_meanwhile, NULL), 0);
	refused(EINVAL, send_unmap(&unmap));
	pthread_join(thread, &ret);
	ok((intptr_t)ret);
	expect_clean();
	refused(EEXIST, map_pages(0, 4));
	ok(unmap_pages(0, 4));
}

#define IOMMU(f)	TEST(f, setup_iommu, teardown)
#define EMULATED(f)	TEST(f, setup_emulated, teardown)

static const struct CMUnitTest tests[] = {
	IOMMU(migration_capability_tells_the_limits),
	TEST(version_1_has_no_dirty_log, setup_v1, teardown),
	IOMMU(dirty_log_starts_and_stops),
	IOMMU(dirty_pages_checks_its_arguments),
	IOMMU(with_an_iommu_every_page_is_dirty),
	EMULATED(mappings_share_a_word_of_the_bitmap),
	TETHER(a_shared_word_is_the_same_again, setup_emulated, teardown),
	EMULATED(emulated_devices_dirty_what_they_pin_and_write),
	EMULATED(a_leaving_group_leaves_everything_dirty),
	TETHER(a_bad_bitmap_forgets_nothing, setup_emulated, teardown),
	TETHER(bits_of_the_last_byte_can_be_had, setup_emulated, teardown),
	IOMMU(unmap_with_bitmap_checks_its_arguments),
	TETHER(unmap_with_a_bad_bitmap_unmaps_nothing, setup_iommu, teardown),
	EMULATED(unmap_reports_the_dirty_pages),
	TETHER(a_log_that_stops_during_unmap_is_not_read, setup_emulated, teardown),
};

TEST_MAIN(tests, open_all, close_all)
