// SPDX-License-Identifier: GPL-2.0-only
/*
 * The log of dirty pages of a container that has an emulated device, when a device
 * joins or leaves the container whose IOMMU has larger pages than the kernel. The lab
 * has no such IOMMU, so these tests run only with the module "large-pages", which
 * treats 64 KiB as the smallest page of every IOMMU.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "emu.h"
#include "vfio.h"

#define LARGE_PAGE	(64 * 1024ULL)
#define LEN		(16 * MIB)
#define PAGES		(LEN / PAGE)
#define LARGE_PAGES	(LEN / LARGE_PAGE)
#define WORDS		(PAGES / 64)

static struct vfio_container container;
static struct vfio_device device;	/* with an IOMMU */
static struct emu emu;
static uint8_t *mem;			/* LEN bytes */
static uint64_t bits[WORDS + 1];	/* the last word must not be written */

static int setup(void **state)
{
	mem = vfio_reserve(LEN, LARGE_PAGE, 0);
	assert_ptr_equal(mmap(mem, LEN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), mem);
	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(emu_open(&emu, &container, 0));
	return 0;
}

static int teardown(void **state)
{
	vfio_device_close(&device);
	memset(&device, 0, sizeof(device));
	emu_close(&emu);
	vfio_container_close(&container);
	munmap(mem, LEN);
	return 0;
}

static struct vfio_bitmap bitmap_for(uint64_t pgsize)
{
	memset(bits, 0, sizeof(bits));
	return (struct vfio_bitmap){
		.pgsize = pgsize,
		.size = (LEN / pgsize + 63) / 64 * 8,
		.data = (void *)bits,
	};
}

static int get_bits(uint64_t pgsize)
{
	return vfio_dirty_get(&container, IOVA, LEN, bitmap_for(pgsize));
}

static int unmap_with_bits(uint64_t pgsize)
{
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} unmap = {
		.unmap = {
			.argsz = sizeof(unmap),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = IOVA,
			.size = LEN,
		},
		.bitmap = bitmap_for(pgsize),
	};

	return ioctl(container.fd, VFIO_IOMMU_UNMAP_DMA, &unmap) ? -errno : 0;
}

static int map_part(uint64_t offset, uint64_t len)
{
	return vfio_dma_map(&container, mem + offset, IOVA + offset, len,
			    VFIO_DMA_RW);
}

/* The first count bits of the bitmap have to be set, and no bit behind them. */
static void expect_all(unsigned int count)
{
	unsigned int i;

	for (i = 0; i < 64 * (WORDS + 1); i++)
		if ((bits[i / 64] >> i % 64 & 1) != (i < count))
			broken("bit %u of %u is %s", i, count,
			       i < count ? "clean" : "dirty");
}

static void expect_one(unsigned int page)
{
	unsigned int i;

	for (i = 0; i < 64 * (WORDS + 1); i++)
		if ((bits[i / 64] >> i % 64 & 1) != (i == page))
			broken("bit %u is %s", i, i == page ? "clean" : "dirty");
}

static void write_page(unsigned int page)
{
	uint8_t data[64];

	memset(data, page, sizeof(data));
	ok(emu_write(&emu, IOVA + page * PAGE, data, sizeof(data)));
	assert_memory_equal(mem + page * PAGE, data, sizeof(data));
}

static uint64_t smallest_page(void)
{
	struct vfio_iommu_type1_info *info;
	uint64_t sizes;

	ok(vfio_iommu_info(&container, &info));
	sizes = info->iova_pgsizes;
	free(info);
	return sizes & -sizes;
}

/* Attach a device, whose IOMMU has large pages, to the emulated device's container. */
static void attach(void)
{
	assert_int_equal(smallest_page(), PAGE);
	ok(vfio_device_open(&device, &container, EDU_B));
	if (smallest_page() != LARGE_PAGE)
		broken("the smallest page is %#lx: this is another module's test",
		       smallest_page());
}

static void detach(void)
{
	vfio_device_close(&device);
	memset(&device, 0, sizeof(device));
	assert_int_equal(smallest_page(), PAGE);
}

/*
 * After detach() each test reads the log before it lets the emulated device write. If
 * the module's bitmap had only one bit for each 64 KiB, logging a write could set a bit
 * behind the bitmap's end and corrupt kernel memory; the read then fails the test
 * before that.
 */
static void the_log_has_every_page_when_large_ones_go(void **state)
{
	attach();
	ok(map_part(0, LEN));
	ok(vfio_dirty_log(&container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	detach();
	ok(unmap_with_bits(PAGE));
	expect_all(PAGES);
}

static void the_log_goes_on_when_large_pages_go(void **state)
{
	attach();
	ok(map_part(0, LEN));
	ok(vfio_dirty_log(&container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	ok(get_bits(LARGE_PAGE));
	expect_all(LARGE_PAGES);
	refused(EINVAL, get_bits(PAGE));

	detach();
	refused(EINVAL, get_bits(LARGE_PAGE));
	ok(get_bits(PAGE));
	expect_all(PAGES);
	write_page(PAGES - 1);
	ok(get_bits(PAGE));
	expect_one(PAGES - 1);
	assert_int_equal(emu_pin(&emu, IOVA + 17 * PAGE, 1, EMU_PROT_WRITE), 1);
	ok(get_bits(PAGE));
	expect_one(17);
	ok(unmap_with_bits(PAGE));
	expect_one(17);
}

static void the_log_goes_on_when_large_pages_come(void **state)
{
	ok(map_part(0, LEN));
	ok(vfio_dirty_log(&container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START));
	write_page(PAGES - 1);
	ok(get_bits(PAGE));
	expect_one(PAGES - 1);
	write_page(18);

	attach();
	refused(EINVAL, get_bits(PAGE));
	ok(get_bits(LARGE_PAGE));
	expect_all(LARGE_PAGES);
	ok(unmap_with_bits(LARGE_PAGE));
	expect_all(LARGE_PAGES);
	refused(EINVAL, map_part(0, PAGE));

	/* The same for a mapping that is made with the log on and the IOMMU there. */
	ok(map_part(0, LEN));
	detach();
	ok(get_bits(PAGE));
	expect_all(PAGES);
	ok(get_bits(PAGE));
	write_page(18);
	ok(get_bits(PAGE));
	expect_one(18);
}

#define ON_TETHER(f)	TETHER(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	ON_TETHER(the_log_has_every_page_when_large_ones_go),
	ON_TETHER(the_log_goes_on_when_large_pages_go),
	ON_TETHER(the_log_goes_on_when_large_pages_come),
};

TEST_MAIN(tests, with_emu, without_emu)
