// SPDX-License-Identifier: GPL-2.0-only
/*
 * Emulated devices: which pages they pin, read and write, how their user is charged
 * for pins, and how devices with an IOMMU join and leave the same container.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "edu.h"
#include "emu.h"
#include "fault.h"
#include "proc.h"
#include "target.h"

#define PAGES	16u
#define MEM_LEN	(PAGES * PAGE)
#define LEN	256u

static struct vfio_container container;
static struct emu emu, second;
static struct edu edu;
static struct vfio_device target;
static uint8_t *mem;		/* PAGES pages */
static uint8_t *alias;		/* a second mmap() of the same pages */
static uint8_t pattern[LEN], got[LEN];

static int setup_type(unsigned long type)
{
	int fd = memfd_create("emulated", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, MEM_LEN), 0);
	mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	alias = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(mem, MAP_FAILED);
	assert_ptr_not_equal(alias, MAP_FAILED);
	close(fd);
	target_pattern(mem, MEM_LEN);
	target_pattern(pattern, LEN);
	ok(vfio_container_open(&container, type));
	ok(emu_open(&emu, &container, 0));
	return 0;
}

static int setup_v1(void **state)
{
	return setup_type(VFIO_TYPE1_IOMMU);
}

static int setup(void **state)
{
	return setup_type(VFIO_TYPE1v2_IOMMU);
}

static int teardown(void **state)
{
	edu_close(&edu);
	vfio_device_close(&target);
	emu_close(&second);
	emu_close(&emu);
	vfio_container_close(&container);
	memset(&edu, 0, sizeof(edu));
	memset(&target, 0, sizeof(target));
	memset(&second, 0, sizeof(second));
	memset(&emu, 0, sizeof(emu));
	munmap(mem, MEM_LEN);
	munmap(alias, MEM_LEN);
	return 0;
}

static int map_pages(unsigned int first, unsigned int npages, uint32_t flags)
{
	return vfio_dma_map(&container, mem + first * PAGE,
			    IOVA + first * PAGE, npages * PAGE, flags);
}

static int map_all(void)
{
	return map_pages(0, PAGES, VFIO_DMA_RW);
}

static int unmap_all_pages(void)
{
	return vfio_dma_unmap(&container, IOVA, MEM_LEN, NULL);
}

static int pin(struct emu *e, unsigned int page, unsigned int npages)
{
	return emu_pin(e, IOVA + page * PAGE, npages,
		       EMU_PROT_READ | EMU_PROT_WRITE);
}

static int unpin(struct emu *e, unsigned int page, unsigned int npages)
{
	return emu_unpin(e, IOVA + page * PAGE, npages);
}

static long locked_pages(void)
{
	return proc_status_kb(0, "VmLck") * 1024 / (long)PAGE;
}

static void emulated_device_pins_the_right_page(void **state)
{
	long pinned = proc_pages_pinned();

	ok(map_pages(2, 8, VFIO_DMA_RW));
	assert_int_equal(pin(&emu, 4, 3), 3);
	assert_int_equal(emu.held, 3);
	assert_int_equal(proc_pages_pinned(), pinned + 3);
	ok(emu_peek(&emu, IOVA + 5 * PAGE + 100, got, LEN));
	assert_memory_equal(got, mem + 5 * PAGE + 100, LEN);
	ok(emu_poke(&emu, IOVA + 6 * PAGE, pattern, LEN));
	assert_memory_equal(mem + 6 * PAGE, pattern, LEN);

	/* A second pin of the same page is counted, but the kernel pins the page only once. */
	assert_int_equal(pin(&emu, 6, 1), 1);
	assert_int_equal(emu.held, 3);
	assert_int_equal(proc_pages_pinned(), pinned + 3);
	assert_int_equal(unpin(&emu, 4, 3), 3);
	assert_int_equal(emu.held, 1);
	assert_int_equal(proc_pages_pinned(), pinned + 1);

	/*
	 * The page is pinned, not its address: after munmap() of the address the device
	 * still writes to the page, which alias shows.
	 */
	munmap(mem + 6 * PAGE, PAGE);
	ok(emu_poke(&emu, IOVA + 6 * PAGE + LEN, pattern, LEN));
	assert_memory_equal(alias + 6 * PAGE + LEN, pattern, LEN);
	assert_int_equal(unpin(&emu, 6, 1), 1);
	assert_int_equal(emu.held, 0);
	assert_int_equal(proc_pages_pinned(), pinned);
}

/*
 * The device pins private memory for reading before the process has touched it. That
 * must pin the page to which the process writes later, not the zero page: a write to
 * memory that has the zero page gives the process another page.
 */
static void emulated_device_reads_what_is_written_later(void **state)
{
	uint8_t *own = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(own, MAP_FAILED);
	ok(vfio_dma_map(&container, own, IOVA, PAGE, VFIO_DMA_RO));
	assert_int_equal(emu_pin(&emu, IOVA, 1, EMU_PROT_READ), 1);
	memcpy(own, pattern, LEN);
	ok(emu_peek(&emu, IOVA, got, LEN));
	/* 6.1's in-tree module has pinned the zero page, so its device reads zeros. */
	if (on_tether() || !kernel_before(6, 2))
		assert_memory_equal(got, pattern, LEN);
	else
		assert_memory_not_equal(got, pattern, LEN);
	assert_int_equal(unpin(&emu, 0, 1), 1);
	munmap(own, PAGE);
}

static void emulated_pins_need_version_2(void **state)
{
	ok(map_all());
	assert_int_equal(pin(&emu, 0, 1), -EACCES);
	assert_int_equal(emu.held, 0);
	/* emu_write() charges nothing, and works in a version 1 container, too. */
	ok(emu_write(&emu, IOVA, pattern, LEN));
	assert_memory_equal(mem, pattern, LEN);
}

static void emulated_pin_checks_the_mapping(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();

	assert_int_equal(pin(&emu, 0, 1), -EINVAL);
	ok(map_pages(1, 2, VFIO_DMA_RW));
	ok(map_pages(3, 2, VFIO_DMA_RO));
	ok(map_pages(5, 2, VFIO_DMA_WO));
	assert_int_equal(pin(&emu, 0, 1), -EINVAL);
	assert_int_equal(pin(&emu, 0, 3), -EINVAL);
	assert_int_equal(pin(&emu, 7, 1), -EINVAL);
	if (wrap_error(&container) == EOVERFLOW)
		assert_int_equal(emu_pin(&emu, -PAGE, 2, EMU_PROT_READ),
				 -EOVERFLOW);
	/*
	 * If only the last page of a range is not mapped, or may not be written, no
	 * page of the range is pinned.
	 */
	assert_int_equal(emu_pin(&emu, IOVA + 6 * PAGE, 2, EMU_PROT_WRITE),
			 -EINVAL);
	assert_int_equal(pin(&emu, 2, 2), -EPERM);
	assert_int_equal(emu_pin(&emu, IOVA + 3 * PAGE, 1, EMU_PROT_WRITE),
			 -EPERM);
	assert_int_equal(emu_pin(&emu, IOVA + 5 * PAGE, 1, EMU_PROT_READ),
			 -EPERM);
	assert_int_equal(emu.held, 0);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);

	assert_int_equal(emu_pin(&emu, IOVA + 2 * PAGE, 3, EMU_PROT_READ), 3);
	assert_int_equal(emu_pin(&emu, IOVA + 5 * PAGE, 2, EMU_PROT_WRITE), 2);
	assert_int_equal(emu.held, 5);

	/* The IOVA is mapped for DMA, but the process has unmapped its memory. */
	munmap(mem + PAGE, PAGE);
	assert_int_equal(pin(&emu, 1, 1), -EFAULT);
}

static void pin_device_memory(struct vfio_container *with)
{
	uint8_t *bar;

	ok(vfio_device_open(&target, with, ROOT_TARGET));
	bar = vfio_region_mmap(&target, TARGET_BAR, 0, 2 * PAGE,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(bar);
	ok(vfio_dma_map(&container, bar, IOVA, 2 * PAGE, VFIO_DMA_RW));
	assert_int_equal(pin(&emu, 0, 1), -EINVAL);
	assert_int_equal(pin(&emu, 0, 2), -EINVAL);
	assert_int_equal(emu.held, 0);
	ok(vfio_dma_unmap(&container, IOVA, 2 * PAGE, NULL));
	munmap(bar, 2 * PAGE);
	vfio_device_close(&target);
}

/*
 * The memory is that of a device in the emulated device's container, and then that of a
 * device in another container.
 */
static void emulated_device_cannot_pin_device_memory(void **state)
{
	struct vfio_container other;
	long locked = locked_pages();

	pin_device_memory(&container);
	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	pin_device_memory(&other);
	vfio_container_close(&other);
	assert_int_equal(locked_pages(), locked);
}

static void pages_are_charged_once(void **state)
{
	long locked = locked_pages();

	ok(emu_open(&second, &container, 1));
	ok(map_all());
	assert_int_equal(locked_pages(), locked);
	assert_int_equal(pin(&emu, 0, 4), 4);
	assert_int_equal(locked_pages(), locked + 4);
	assert_int_equal(pin(&emu, 0, 1), 1);
	assert_int_equal(pin(&second, 2, 4), 4);
	assert_int_equal(locked_pages(), locked + 6);
	/*
	 * Page 0 had two pins, and the second device has pinned pages 2 and 3, too. So
	 * of the four pages only page 1 has no pin any more.
	 */
	assert_int_equal(unpin(&emu, 0, 4), 4);
	assert_int_equal(locked_pages(), locked + 5);

	/*
	 * Once a device with an IOMMU comes, all mapped pages are charged, and the page
	 * that edu_open() maps. Pages charged for pins are not charged again.
	 */
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	assert_int_equal(locked_pages(), locked + PAGES + 1);
	assert_int_equal(pin(&emu, 8, 4), 4);
	assert_int_equal(unpin(&second, 5, 1), 1);
	assert_int_equal(locked_pages(), locked + PAGES + 1);

	/*
	 * When that device has left, only the pages that emulated devices have pinned
	 * are charged: 0, 2 to 4, 8 to 11.
	 */
	edu_close(&edu);
	assert_int_equal(locked_pages(), locked + 8);
	assert_int_equal(unpin(&emu, 0, PAGES), 5);
	assert_int_equal(unpin(&second, 0, PAGES), 3);
	assert_int_equal(locked_pages(), locked);
}

/*
 * Runs in a child that may lock two pages. The container has no device with an IOMMU,
 * so pins are charged. Returns 0, or the number of the check that failed.
 */
static int pins_over_the_limit(void *arg)
{
	long before = proc_status_kb(0, "VmLck");

	if (map_all())
		return 1;
	if (pin(&emu, 0, 2) != 2)
		return 2;
	if (pin(&emu, 2, 1) != -ENOMEM)
		return 3;
	if (proc_status_kb(0, "VmLck") != before + 2 * (long)PAGE / 1024)
		return 4;
	if (unpin(&emu, 0, 1) != 1 || pin(&emu, 2, 1) != 1)
		return 5;
	if (unmap_all_pages())
		return 6;
	return proc_status_kb(0, "VmLck") == before ? 0 : 7;
}

static void memlock_limit_holds_for_pins(void **state)
{
	long pinned = proc_pages_pinned();

	assert_int_equal(proc_run_unprivileged(2 * PAGE, pins_over_the_limit,
					       NULL), 0);
	assert_int_equal(proc_pages_pinned(), pinned);
}

static void mappings_stay_with_an_emulated_device(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();

	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	ok(map_all());
	ok(edu_write(&edu, IOVA, pattern, LEN));
	assert_memory_equal(mem, pattern, LEN);

	edu_close(&edu);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);
	assert_int_equal(map_all(), -EEXIST);
	target_pattern(pattern, LEN);
	ok(emu_write(&emu, IOVA + PAGE, pattern, LEN));
	assert_memory_equal(mem + PAGE, pattern, LEN);

	/* The next device with an IOMMU reaches the same mappings. */
	ok(edu_open(&edu, &container, EDU_B, IOVA_B));
	ok(edu_write(&edu, IOVA + 2 * PAGE, pattern, LEN));
	assert_memory_equal(mem + 2 * PAGE, pattern, LEN);
	edu_close(&edu);

	/* When the last device leaves, here the emulated one, no mapping stays. */
	emu_close(&emu);
	ok(emu_open(&emu, &container, 0));
	ok(map_all());
}

static void expect_notice(struct emu *e, unsigned int first, unsigned int pages)
{
	uint64_t iova = 0, len = 0;

	assert_int_equal(emu_notices(e, &iova, &len), 1);
	assert_int_equal(iova, IOVA + first * PAGE);
	assert_int_equal(len, pages * PAGE);
	assert_int_equal(e->held, 0);
}

static void unmap_tells_emulated_devices(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();
	uint64_t unmapped = 0, iova, len;

	ok(emu_open(&second, &container, 1));
	ok(map_pages(0, 4, VFIO_DMA_RW));
	ok(map_pages(4, 4, VFIO_DMA_RW));
	ok(map_pages(8, 4, VFIO_DMA_RW));
	assert_int_equal(pin(&emu, 5, 1), 1);
	assert_int_equal(pin(&emu, 7, 1), 1);
	assert_int_equal(pin(&second, 6, 1), 1);

	/* No page of the first mapping is pinned, so no driver is told of its unmap. */
	ok(vfio_dma_unmap(&container, IOVA, 4 * PAGE, NULL));
	assert_int_equal(emu_notices(&emu, &iova, &len), 0);

	/*
	 * The driver of each device is told of the whole mapping that has pins: not
	 * only of its own pins, and not of the range of the ioctl.
	 */
	ok(vfio_dma_unmap(&container, IOVA, 12 * PAGE, &unmapped));
	assert_int_equal(unmapped, 8 * PAGE);
	expect_notice(&emu, 4, 4);
	expect_notice(&second, 4, 4);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);
	assert_int_equal(pin(&emu, 5, 1), -EINVAL);

	/* If an unmap is refused, since it would split a mapping, no driver is told. */
	ok(map_all());
	assert_int_equal(pin(&emu, 0, 1), 1);
	refused(EINVAL, vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	assert_int_equal(emu_notices(&emu, &iova, &len), 0);
	assert_int_equal(emu.held, 1);
	ok(vfio_dma_unmap_all(&container, &unmapped));
	assert_int_equal(unmapped, MEM_LEN);
	expect_notice(&emu, 0, PAGES);
}

/*
 * One unmap removes many mappings with pins: the driver is told once of each, and gives
 * all pins back.
 */
static void unmap_has_pins_of_many_mappings_given_back(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();
	uint64_t unmapped = 0, iova, len;
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		ok(map_pages(i, 1, VFIO_DMA_RW));
		assert_int_equal(pin(&emu, i, 1), 1);
	}
	assert_int_equal(proc_pages_pinned(), pinned + PAGES);
	ok(vfio_dma_unmap_all(&container, &unmapped));
	assert_int_equal(unmapped, MEM_LEN);
	assert_int_equal(emu_notices(&emu, &iova, &len), PAGES);
	assert_int_equal(emu.held, 0);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);
}

/*
 * If a driver does not give its pins back, in-tree crashes the kernel (BUG_ON), or
 * leaks the pages.
 */
static void unmap_is_refused_while_a_driver_keeps_its_pins(void **state)
{
	long pinned = proc_pages_pinned();

	ok(map_pages(0, 4, VFIO_DMA_RW));
	ok(map_pages(4, 4, VFIO_DMA_RW));
	assert_int_equal(pin(&emu, 5, 1), 1);
	ok(emu_keep(&emu, true));
	refused(EBUSY, unmap_all_pages());

	/* The refused unmap has changed nothing. */
	assert_int_equal(proc_pages_pinned(), pinned + 1);
	ok(emu_poke(&emu, IOVA + 5 * PAGE, pattern, LEN));
	assert_memory_equal(mem + 5 * PAGE, pattern, LEN);
	refused(EEXIST, map_pages(0, 1, VFIO_DMA_RW));
	refused(EEXIST, map_pages(7, 1, VFIO_DMA_RW));

	ok(emu_keep(&emu, false));
	ok(unmap_all_pages());
	assert_int_equal(proc_pages_pinned(), pinned);
}

static void emulated_device_reads_and_writes(void **state)
{
	long pinned = proc_pages_pinned();

	ok(map_pages(0, 4, VFIO_DMA_RW));
	ok(map_pages(4, 4, VFIO_DMA_RW));
	ok(map_pages(8, 1, VFIO_DMA_RO));
	ok(map_pages(9, 1, VFIO_DMA_WO));

	ok(emu_read(&emu, IOVA + 3 * PAGE + 11, got, LEN));
	assert_memory_equal(got, mem + 3 * PAGE + 11, LEN);
	/* The transfer crosses a page boundary, and the boundary of two mappings. */
	ok(emu_write(&emu, IOVA + 4 * PAGE - 100, pattern, LEN));
	assert_memory_equal(mem + 4 * PAGE - 100, pattern, LEN);
	ok(emu_read(&emu, IOVA + 8 * PAGE - 100, got, LEN));
	assert_memory_equal(got, mem + 8 * PAGE - 100, LEN);
	assert_int_equal(proc_pages_pinned(), pinned);

	memcpy(got, mem + 8 * PAGE, LEN);
	refused(EPERM, emu_write(&emu, IOVA + 8 * PAGE, pattern, LEN));
	assert_memory_equal(mem + 8 * PAGE, got, LEN);
	/* In a mapping without READ, dma_rw refuses reads and also writes. */
	memcpy(got, mem + 9 * PAGE, LEN);
	refused(EPERM, emu_write(&emu, IOVA + 9 * PAGE, pattern, LEN));
	assert_memory_equal(mem + 9 * PAGE, got, LEN);
	refused(EPERM, emu_read(&emu, IOVA + 9 * PAGE, got, LEN));

	refused(EINVAL, emu_read(&emu, IOVA + 10 * PAGE, got, LEN));
	refused(EINVAL, emu_write(&emu, IOVA - 1, pattern, 1));
	munmap(mem + 6 * PAGE, PAGE);
	refused(EFAULT, emu_read(&emu, IOVA + 6 * PAGE, got, LEN));
	refused(EFAULT, emu_write(&emu, IOVA + 6 * PAGE, pattern, LEN));
}

static void emulated_device_reads_and_writes_from_a_kernel_thread(void **state)
{
	ok(map_pages(0, 4, VFIO_DMA_RW));
	ok(map_pages(4, 1, VFIO_DMA_RO));
	ok(emu_worker_read(&emu, IOVA + 3 * PAGE + 11, got, LEN));
	assert_memory_equal(got, mem + 3 * PAGE + 11, LEN);
	ok(emu_worker_write(&emu, IOVA + PAGE - 100, pattern, LEN));
	assert_memory_equal(mem + PAGE - 100, pattern, LEN);
	refused(EPERM, emu_worker_write(&emu, IOVA + 4 * PAGE, pattern, LEN));
	refused(EINVAL, emu_worker_read(&emu, IOVA + 5 * PAGE, got, LEN));
	munmap(mem + 2 * PAGE, PAGE);
	refused(EFAULT, emu_worker_read(&emu, IOVA + 2 * PAGE, got, LEN));
}

/*
 * Runs in the child: attaches the group of EDU_A to the parent's container, and has
 * EDU_A write to memory that the parent has mapped for DMA.
 */
static int as_another_process(void)
{
	int ret = edu_open(&edu, &container, EDU_A, IOVA_A);

	if (!ret)
		ret = edu_write(&edu, IOVA + 3 * PAGE, pattern, LEN);
	edu_close(&edu);
	return ret;
}

/*
 * When the child attaches the container's first group with an IOMMU, the backend has to
 * pin the memory of the parent, which made the mapping, and not the child's.
 */
static void another_process_can_bring_the_first_iommu(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();
	int status;
	pid_t pid;

	ok(map_all());
	fflush(stdout);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(-as_another_process());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		broken("the other process: status %#x", status);
	assert_memory_equal(mem + 3 * PAGE, pattern, LEN);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);
}

static void emulated_and_real_devices_share_a_container(void **state)
{
	ok(map_all());
	assert_int_equal(pin(&emu, 3, 1), 1);
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));

	/*
	 * Both devices reach a mapping that was made before the real device was
	 * attached, and then a mapping that was made after that.
	 */
	ok(edu_write(&edu, IOVA + 3 * PAGE, pattern, LEN));
	ok(emu_peek(&emu, IOVA + 3 * PAGE, got, LEN));
	assert_memory_equal(got, pattern, LEN);
	assert_memory_equal(mem + 3 * PAGE, pattern, LEN);
	target_pattern(pattern, LEN);
	ok(emu_poke(&emu, IOVA + 3 * PAGE, pattern, LEN));
	ok(edu_read(&edu, IOVA + 3 * PAGE, got, LEN));
	assert_memory_equal(got, pattern, LEN);

	ok(unmap_all_pages());
	ok(map_all());
	target_pattern(pattern, LEN);
	ok(emu_write(&emu, IOVA + 7 * PAGE, pattern, LEN));
	ok(edu_read(&edu, IOVA + 7 * PAGE, got, LEN));
	assert_memory_equal(got, pattern, LEN);
	assert_int_equal(pin(&emu, 7, 1), 1);
	ok(emu_peek(&emu, IOVA + 7 * PAGE, got, LEN));
	assert_memory_equal(got, pattern, LEN);
}

/*
 * A container with only emulated devices does not know which IOVAs are reserved for
 * interrupts, so it may have a mapping there. Then a group for which @iova is reserved
 * has to be refused, with @error, or with any errno if @error is 0.
 */
static void expect_late_group_refused(uint64_t iova, int error)
{
	struct vfio_device late;
	int ret;

	ok(vfio_dma_map(&container, mem, iova, PAGE, VFIO_DMA_RW));
	ret = vfio_device_open(&late, &container, EDU_B);
	if (!ret || (error && ret != -error))
		broken("a group comes to a mapping at %#lx: %d", iova, ret);
	/* The emulated device, which was there before, works as before. */
	ok(emu_write(&emu, iova, pattern, LEN));
	assert_memory_equal(mem, pattern, LEN);
	assert_int_equal(pin(&emu, 0, 1), -EINVAL);
	ok(vfio_dma_unmap(&container, iova, PAGE, NULL));
	/* Without that mapping the same group can be attached. */
	ok(vfio_device_open(&late, &container, EDU_B));
	ok(vfio_dma_map(&container, mem, IOVA, PAGE, VFIO_DMA_RW));
	refused(EINVAL, vfio_dma_map(&container, mem, iova, PAGE, VFIO_DMA_RW));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, NULL));
	vfio_device_close(&late);
}

/* The last usable IOVA of a container that has the group of EDU_B, the late group. */
static uint64_t last_iova(void)
{
	struct vfio_container other;
	struct vfio_device late;
	uint64_t last;

	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&late, &other, EDU_B));
	last = vfio_last_iova(&other);
	vfio_device_close(&late);
	vfio_container_close(&other);
	return last;
}

static void late_group_is_refused_where_its_reserved_range_is_mapped(void **state)
{
	long pinned = proc_pages_pinned(), locked = locked_pages();
	uint64_t first, last;

	ok(vfio_device_bind(EDU_B));
	ok(vfio_msi_window(EDU_B, &first, &last));
	expect_late_group_refused(first, EINVAL);
	expect_late_group_refused(last + 1 - PAGE, EINVAL);
	/*
	 * A mapping above the IOVAs that the late group's IOMMU can address. If the
	 * container had no IOMMU before, in-tree leaves this check to the IOMMU driver,
	 * whose errno may be any. This is not tried on in-tree on Arm: that IOMMU
	 * driver also prints a warning, and a warning in the kernel log counts as a
	 * failed test.
	 */
	if (last_iova() < 1ULL << 60 && (on_tether() || !on_arm()))
		expect_late_group_refused(1ULL << 60,
					  on_tether() ? EINVAL : 0);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(locked_pages(), locked);
}

#define V2(f)	TEST(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	V2(emulated_device_pins_the_right_page),
	V2(emulated_device_reads_what_is_written_later),
	TEST(emulated_pins_need_version_2, setup_v1, teardown),
	V2(emulated_pin_checks_the_mapping),
	V2(emulated_device_cannot_pin_device_memory),
	V2(pages_are_charged_once),
	V2(memlock_limit_holds_for_pins),
	V2(mappings_stay_with_an_emulated_device),
	V2(unmap_tells_emulated_devices),
	V2(unmap_has_pins_of_many_mappings_given_back),
	TETHER(unmap_is_refused_while_a_driver_keeps_its_pins, setup, teardown),
	V2(emulated_device_reads_and_writes),
	V2(emulated_device_reads_and_writes_from_a_kernel_thread),
	V2(another_process_can_bring_the_first_iommu),
	V2(emulated_and_real_devices_share_a_container),
	V2(late_group_is_refused_where_its_reserved_range_is_mapped),
};

TEST_MAIN(tests, with_emu, without_emu)
