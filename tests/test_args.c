// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls each type1 ioctl with bad pointers, so that each byte that the kernel reads or
 * writes is once inaccessible. Such a call has to fail, and must have changed nothing;
 * except that UNMAP_DMA has unmapped if only its result cannot be written back.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "vfio.h"

#define PAGES	100u		/* their dirty bits take two 64-bit words */
#define MEM_LEN	(PAGES * PAGE)
#define WORDS	2

static struct vfio_container container;
static struct vfio_device device;
static uint8_t *mem;

/*
 * edge: a writable page with nothing mapped behind it. read_only: the same page of the
 * same file, mapped for reading only.
 */
static uint8_t *edge, *read_only;

static struct unmap {
	struct vfio_iommu_type1_dma_unmap unmap;
	struct vfio_bitmap bitmap;
} unmap_with_bitmap;

static struct get {
	struct vfio_iommu_type1_dirty_bitmap dirty;
	struct vfio_iommu_type1_dirty_bitmap_get range;
} get_bitmap;

static int open_memory(void **state)
{
	int fd = memfd_create("edge", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, PAGE), 0);
	edge = vfio_reserve(2 * PAGE, PAGE, 0);
	assert_non_null(edge);
	assert_ptr_equal(mmap(edge, PAGE, PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_FIXED, fd, 0), edge);
	munmap(edge + PAGE, PAGE);
	read_only = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(read_only, MAP_FAILED);
	close(fd);
	mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	return 0;
}

static int close_memory(void **state)
{
	munmap(mem, MEM_LEN);
	munmap(edge, PAGE);
	munmap(read_only, PAGE);
	return 0;
}

static int setup(void **state)
{
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &container, EDU_B));
	return 0;
}

static int teardown(void **state)
{
	vfio_device_close(&device);
	vfio_container_close(&container);
	return 0;
}

static int call(unsigned long request, const void *arg)
{
	return ioctl(container.fd, request, arg) ? -errno : 0;
}

static int map_memory(void)
{
	return vfio_dma_map(&container, mem, IOVA, MEM_LEN, VFIO_DMA_RW);
}

/*
 * Make the ioctl with @arg's struct at addresses that cannot be accessed, and at the
 * end of edge, where only its first i bytes can be: each call has to fail with EFAULT.
 */
static void refuse_places(unsigned long request, const void *arg, size_t len)
{
	static const uint64_t nowhere[] = {
		0, 1, 1ULL << 63, 0xffff888000000000, (uint64_t)-1,
	};
	size_t i;

	for (i = 0; i < sizeof(nowhere) / sizeof(*nowhere); i++)
		refused(EFAULT, call(request, (void *)nowhere[i]));
	refused(EFAULT, call(request, edge + PAGE));
	for (i = 0; i < len; i++) {
		uint8_t *at = edge + PAGE - i;

		memcpy(at, arg, i);
		if (call(request, at) != -EFAULT)
			broken("%zu of %zu bytes are enough for %#lx", i, len,
			       request);
	}
}

static void check_info(void)
{
	struct vfio_iommu_type1_info *info, *at;
	uint32_t len;

	ok(vfio_iommu_info(&container, &info));
	len = info->argsz;
	refuse_places(VFIO_IOMMU_GET_INFO, info, len);
	/*
	 * GET_INFO writes the struct back, so it fails on a read-only page. It succeeds
	 * if the struct ends exactly at the last byte of the writable page.
	 */
	memcpy(edge, info, len);
	refused(EFAULT, call(VFIO_IOMMU_GET_INFO, read_only));
	at = (void *)(edge + PAGE - len);
	memcpy(at, info, len);
	at->flags = 0;
	ok(call(VFIO_IOMMU_GET_INFO, at));
	assert_memory_equal(at, info, len);
	free(info);
}

static void check_map(void)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_RW,
		.vaddr = (uintptr_t)mem,
		.iova = IOVA,
		.size = MEM_LEN,
	};

	refuse_places(VFIO_IOMMU_MAP_DMA, &map, sizeof(map));
	/*
	 * The refused calls have mapped nothing, so this one succeeds. MAP_DMA only
	 * reads its struct, which may therefore be in a read-only page.
	 */
	memcpy(edge, &map, sizeof(map));
	ok(call(VFIO_IOMMU_MAP_DMA, read_only));
	refused(EEXIST, call(VFIO_IOMMU_MAP_DMA, read_only));
}

static void check_unmap(void)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA,
		.size = MEM_LEN,
	};

	refuse_places(VFIO_IOMMU_UNMAP_DMA, &unmap, sizeof(unmap));
	refused(EEXIST, map_memory());
	/*
	 * UNMAP_DMA unmaps, and then fails because it cannot write the size back to the
	 * read-only page. So the memory can be mapped again.
	 */
	memcpy(edge, &unmap, sizeof(unmap));
	refused(EFAULT, call(VFIO_IOMMU_UNMAP_DMA, read_only));
	ok(map_memory());
}

static void check_dirty_pages(void)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};

	refuse_places(VFIO_IOMMU_DIRTY_PAGES, &dirty, sizeof(dirty));
	refused(EINVAL, call(VFIO_IOMMU_DIRTY_PAGES, &get_bitmap));
	memcpy(edge, &dirty, sizeof(dirty));
	ok(call(VFIO_IOMMU_DIRTY_PAGES, read_only));
	refuse_places(VFIO_IOMMU_DIRTY_PAGES, &get_bitmap, sizeof(get_bitmap));
	memcpy(edge, &get_bitmap, sizeof(get_bitmap));
	ok(call(VFIO_IOMMU_DIRTY_PAGES, read_only));
	refuse_places(VFIO_IOMMU_UNMAP_DMA, &unmap_with_bitmap,
		      sizeof(unmap_with_bitmap));
	refused(EEXIST, map_memory());
}

static int get_at(void *bitmap)
{
	struct get get = get_bitmap;

	get.range.bitmap.data = bitmap;
	return call(VFIO_IOMMU_DIRTY_PAGES, &get);
}

static int unmap_at(void *bitmap)
{
	struct unmap unmap = unmap_with_bitmap;

	unmap.bitmap.data = bitmap;
	return call(VFIO_IOMMU_UNMAP_DMA, &unmap);
}

/*
 * Call @at with bitmaps that the kernel cannot write to: -EFAULT. An address that no
 * process can have is refused by access_ok() before: -EINVAL.
 */
static void check_bitmaps(int (*at)(void *bitmap))
{
	size_t i;

	refused(EFAULT, at(NULL));
	refused(EFAULT, at(edge + PAGE));
	refused(EFAULT, at(read_only));
	refused(EFAULT, at(read_only + PAGE - 8));
	refused(EINVAL, at((void *)0xffff888000000000));
	refused(EINVAL, at((void *)(uintptr_t)-8));
	for (i = 0; i < WORDS * 8; i++)
		if (at(edge + PAGE - i) != -EFAULT)
			broken("a bitmap of %zu bytes is enough", i);
	refused(EEXIST, map_memory());
}

static void bad_pointers_are_efault_everywhere(void **state)
{
	static uint64_t bits[WORDS];

	get_bitmap = (struct get){
		.dirty = {
			.argsz = sizeof(get_bitmap),
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		},
		.range = {
			.iova = IOVA,
			.size = MEM_LEN,
			.bitmap = {
				.pgsize = PAGE,
				.size = sizeof(bits),
				.data = (void *)bits,
			},
		},
	};
	unmap_with_bitmap = (struct unmap){
		.unmap = {
			.argsz = sizeof(unmap_with_bitmap),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = IOVA,
			.size = MEM_LEN,
		},
		.bitmap = get_bitmap.range.bitmap,
	};

	check_info();
	check_map();
	check_unmap();
	check_dirty_pages();
	check_bitmaps(get_at);
	check_bitmaps(unmap_at);
	/* A bitmap that ends at the last byte of the writable page is accepted. */
	ok(get_at(edge + PAGE - sizeof(bits)));
	ok(unmap_at(edge + PAGE - sizeof(bits)));
	ok(map_memory());
}

static const struct CMUnitTest tests[] = {
	TEST(bad_pointers_are_efault_everywhere, setup, teardown),
};

TEST_MAIN(tests, open_memory, close_memory)
