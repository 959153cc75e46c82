// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which arguments the ioctls accept and refuse, and what they report. The two backends
 * behave the same unless a test says that they differ.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "common.h"
#include "edu.h"
#include "fault.h"
#include "proc.h"

#define LEN		256

static struct vfio_container container;
static struct vfio_device device;
static uint8_t *mem;		/* 16 pages */
#define MEM_LEN		(16 * PAGE)

static int open_memory(void **state)
{
	mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return mem == MAP_FAILED ? -1 : 0;
}

static int close_memory(void **state)
{
	return munmap(mem, MEM_LEN);
}

static int open_type(unsigned long type)
{
	ok(vfio_container_open(&container, type));
	ok(vfio_device_open(&device, &container, EDU_B));
	return 0;
}

static int setup_v1(void **state)
{
	return open_type(VFIO_TYPE1_IOMMU);
}

static int setup(void **state)
{
	return open_type(VFIO_TYPE1v2_IOMMU);
}

static int teardown(void **state)
{
	vfio_device_close(&device);
	vfio_container_close(&container);
	return 0;
}

static int map_at(uint64_t iova, uint64_t size)
{
	return vfio_dma_map(&container, mem, iova, size, VFIO_DMA_RW);
}

static int unmap_at(uint64_t iova, uint64_t size)
{
	return vfio_dma_unmap(&container, iova, size, NULL);
}

static unsigned int dma_avail(void)
{
	const struct vfio_iommu_type1_info_dma_avail *cap;
	struct vfio_iommu_type1_info *info;
	unsigned int avail;

	ok(vfio_iommu_info(&container, &info));
	cap = vfio_iommu_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL);
	assert_non_null(cap);
	avail = cap->avail;
	free(info);
	return avail;
}

static void check_extensions(int fd)
{
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1_IOMMU), 1);
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU),
			 1);
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_UNMAP_ALL), 1);
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION,
			       VFIO_SPAPR_TCE_IOMMU), 0);
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION, 12345), 0);
}

static void extensions_are_told_with_and_without_a_backend(void **state)
{
	/* AMD-Vi always enforces coherency; the lab's other IOMMUs cannot. */
	const int coherent = !access("/sys/class/iommu/ivhd0", F_OK);
	struct vfio_container empty;

	ok(vfio_container_open(&empty, VFIO_TYPE1v2_IOMMU));
	assert_int_equal(ioctl(empty.fd, VFIO_GET_API_VERSION), 0);
	check_extensions(empty.fd);
	assert_int_equal(ioctl(empty.fd, VFIO_CHECK_EXTENSION,
			       VFIO_DMA_CC_IOMMU), 0);
	vfio_container_close(&empty);
	check_extensions(container.fd);
	assert_int_equal(ioctl(container.fd, VFIO_CHECK_EXTENSION,
			       VFIO_DMA_CC_IOMMU), coherent);
}

static void set_iommu_needs_a_group_and_a_known_type(void **state)
{
	struct vfio_container empty;

	ok(vfio_container_open(&empty, VFIO_TYPE1v2_IOMMU));
	assert_int_equal(ioctl(empty.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU),
			 -1);
	vfio_container_close(&empty);
	ok(vfio_container_open(&empty, 12345));
	vfio_device_close(&device);
	assert_true(vfio_device_open(&device, &empty, EDU_B) < 0);
	vfio_container_close(&empty);
	device.fd = -1;
	device.group = -1;
}

static void set_iommu_is_once_for_a_container(void **state)
{
	assert_int_equal(ioctl(container.fd, VFIO_SET_IOMMU,
			       VFIO_TYPE1_IOMMU), -1);
	assert_int_equal(errno, EINVAL);
}

static void unknown_ioctl_is_enotty(void **state)
{
	assert_int_equal(ioctl(container.fd, _IO(VFIO_TYPE, VFIO_BASE + 99)),
			 -1);
	assert_int_equal(errno, ENOTTY);
}

static void info_tells_page_sizes_and_capabilities(void **state)
{
	struct vfio_iommu_type1_info *info;

	ok(vfio_iommu_info(&container, &info));
	assert_true(info->flags & VFIO_IOMMU_INFO_PGSIZES);
	assert_true(info->flags & VFIO_IOMMU_INFO_CAPS);
	assert_true(info->iova_pgsizes & PAGE);
	assert_int_equal(info->iova_pgsizes & (PAGE - 1), 0);
	assert_non_null(vfio_iommu_cap(info,
				       VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE));
	assert_non_null(vfio_iommu_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL));
	assert_null(vfio_iommu_cap(info, 999));
	free(info);
}

/* Old programs have a shorter struct, of argsz bytes: GET_INFO writes no more bytes. */
static void info_honours_argsz(void **state)
{
	struct {
		struct vfio_iommu_type1_info info;
		uint8_t behind[4096];
	} s;
	const uint32_t least = offsetof(struct vfio_iommu_type1_info,
					cap_offset);
	uint32_t wanted;
	size_t i;

	memset(&s, 0xaa, sizeof(s));
	s.info.argsz = least - 1;
	assert_int_equal(ioctl(container.fd, VFIO_IOMMU_GET_INFO, &s), -1);
	assert_int_equal(errno, EINVAL);

	s.info.argsz = least;
	assert_int_equal(ioctl(container.fd, VFIO_IOMMU_GET_INFO, &s), 0);
	assert_int_equal(s.info.cap_offset, 0xaaaaaaaa);
	assert_true(s.info.iova_pgsizes & PAGE);
	wanted = s.info.argsz;
	assert_true(wanted > sizeof(s.info));

	/* With one byte too few, GET_INFO tells the size, and copies no capability. */
	s.info.argsz = wanted - 1;
	assert_int_equal(ioctl(container.fd, VFIO_IOMMU_GET_INFO, &s), 0);
	assert_int_equal(s.info.argsz, wanted);
	assert_int_equal(s.info.cap_offset, 0);
	for (i = 0; i < sizeof(s.behind); i++)
		assert_int_equal(s.behind[i], 0xaa);

	s.info.argsz = wanted;
	assert_int_equal(ioctl(container.fd, VFIO_IOMMU_GET_INFO, &s), 0);
	assert_int_equal(s.info.cap_offset, sizeof(s.info));
	assert_int_equal(s.behind[wanted - sizeof(s.info)], 0xaa);
	assert_non_null(vfio_iommu_cap(&s.info,
				       VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL));
}

static void iova_ranges_leave_out_the_msi_window(void **state)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	struct vfio_iommu_type1_info *info;
	uint64_t first, last, end = 0;
	uint32_t i;

	ok(vfio_msi_window(EDU_B, &first, &last));
	ok(vfio_iommu_info(&container, &info));
	cap = vfio_iommu_cap(info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
	assert_non_null(cap);
	assert_true(cap->nr_iovas >= 2);
	for (i = 0; i < cap->nr_iovas; i++) {
		uint64_t start = cap->iova_ranges[i].start;

		assert_true(!i || start > end);
		end = cap->iova_ranges[i].end;
		assert_true(start < end);
		assert_true(end < first || start > last);
	}
	/*
	 * Refused in the MSI window and across its ends, but not next to it or at end.
	 */
	refused(EINVAL, map_at(first, PAGE));
	refused(EINVAL, map_at(first - PAGE, 2 * PAGE));
	refused(EINVAL, map_at(last + 1 - PAGE, 2 * PAGE));
	ok(map_at(first - PAGE, PAGE));
	ok(map_at(last + 1, PAGE));
	ok(map_at(end - PAGE + 1, PAGE));
	ok(unmap_at(end - PAGE + 1, PAGE));
	if (end == UINT64_MAX) {
		refused(wrap_error(&container), map_at(end - PAGE + 1, 2 * PAGE));
	} else {
		refused(EINVAL, map_at(end - PAGE + 1, 2 * PAGE));
		refused(EINVAL, map_at(end + 1, PAGE));
	}
	free(info);
}

static void map_checks_its_arguments(void **state)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map) - 1,
		.flags = VFIO_DMA_RW,
		.vaddr = (uintptr_t)mem,
		.iova = IOVA,
		.size = PAGE,
	};
	int fd = container.fd;

	assert_int_equal(ioctl(fd, VFIO_IOMMU_MAP_DMA, &map), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(fd, VFIO_IOMMU_MAP_DMA, NULL), -1);
	assert_int_equal(errno, EFAULT);
	refused(EINVAL, vfio_dma_map(&container, mem, IOVA, PAGE, 0));
	refused(EINVAL, vfio_dma_map(&container, mem, IOVA, PAGE,
				     VFIO_DMA_RW | 1u << 31));
	refused(EINVAL, map_at(IOVA, 0));
	refused(EINVAL, map_at(IOVA, PAGE / 2));
	refused(EINVAL, map_at(IOVA + 1, PAGE));
	refused(EINVAL, vfio_dma_map(&container, mem + 1, IOVA, PAGE,
				     VFIO_DMA_RW));
	refused(EFAULT, vfio_dma_map(&container, NULL, IOVA, PAGE,
				     VFIO_DMA_RW));
	/* None of these refused calls has left a mapping behind. */
	ok(map_at(IOVA, PAGE));
	map.argsz = sizeof(map);
	map.iova += PAGE;
	assert_int_equal(ioctl(fd, VFIO_IOMMU_MAP_DMA, &map), 0);
}

static void unmap_checks_its_arguments(void **state)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap) - 1,
		.iova = IOVA,
		.size = PAGE,
	};
	int fd = container.fd;

	ok(map_at(IOVA, PAGE));
	assert_int_equal(ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(ioctl(fd, VFIO_IOMMU_UNMAP_DMA, NULL), -1);
	assert_int_equal(errno, EFAULT);
	unmap.argsz = sizeof(unmap);
	unmap.flags = 1u << 31;
	assert_int_equal(ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap), -1);
	assert_int_equal(errno, EINVAL);
	/* With UNMAP_ALL, iova and size have to be 0. */
	unmap.flags = VFIO_DMA_UNMAP_FLAG_ALL;
	assert_int_equal(ioctl(fd, VFIO_IOMMU_UNMAP_DMA, &unmap), -1);
	assert_int_equal(errno, EINVAL);
	refused(EINVAL, unmap_at(IOVA, 0));
	refused(EINVAL, unmap_at(IOVA + 1, PAGE));
	refused(EINVAL, unmap_at(IOVA, PAGE + 1));
	refused(EEXIST, map_at(IOVA, PAGE));
}

static void overlapping_mappings_are_refused(void **state)
{
	ok(map_at(IOVA + PAGE, 2 * PAGE));
	refused(EEXIST, map_at(IOVA + PAGE, 2 * PAGE));
	refused(EEXIST, map_at(IOVA, 2 * PAGE));
	refused(EEXIST, map_at(IOVA + 2 * PAGE, 2 * PAGE));
	refused(EEXIST, map_at(IOVA, 4 * PAGE));
	ok(map_at(IOVA, PAGE));
	ok(map_at(IOVA + 3 * PAGE, PAGE));
}

static void unmap_takes_whole_mappings_only(void **state)
{
	uint64_t unmapped = 0;

	ok(map_at(IOVA, 4 * PAGE));
	ok(map_at(IOVA + 8 * PAGE, 4 * PAGE));
	refused(EINVAL, unmap_at(IOVA, PAGE));
	refused(EINVAL, unmap_at(IOVA + PAGE, PAGE));
	refused(EINVAL, unmap_at(IOVA + 3 * PAGE, PAGE));
	refused(EINVAL, unmap_at(IOVA + 2 * PAGE, 10 * PAGE));
	refused(EINVAL, unmap_at(IOVA, 9 * PAGE));
	/* The range may have holes; unmapped does not count them. */
	ok(vfio_dma_unmap(&container, IOVA - PAGE, 14 * PAGE, &unmapped));
	assert_int_equal(unmapped, 8 * PAGE);
	ok(vfio_dma_unmap(&container, IOVA, 4 * PAGE, &unmapped));
	assert_int_equal(unmapped, 0);
}

/* Version 1 of type1 unmaps a mapping that starts in the range, even beyond its end. */
static void version_1_unmaps_beyond_the_range(void **state)
{
	uint64_t unmapped = 1;

	ok(map_at(IOVA, 4 * PAGE));
	ok(vfio_dma_unmap(&container, IOVA + PAGE, PAGE, &unmapped));
	assert_int_equal(unmapped, 0);
	refused(EEXIST, map_at(IOVA, PAGE));
	ok(vfio_dma_unmap(&container, IOVA, PAGE, &unmapped));
	assert_int_equal(unmapped, 4 * PAGE);
	ok(map_at(IOVA, PAGE));
}

static void unmap_all_takes_everything(void **state)
{
	uint64_t unmapped = 1;
	unsigned int i;

	ok(vfio_dma_unmap_all(&container, &unmapped));
	assert_int_equal(unmapped, 0);
	for (i = 0; i < 100; i++)
		ok(map_at(IOVA + i * 64 * MIB, (1 + i % 16) * PAGE));
	ok(map_at(0, PAGE));
	ok(vfio_dma_unmap_all(&container, &unmapped));
	/*
	 * 96 mappings: 6 times 1 + ... + 16 pages; then 1 + ... + 4; and 1 at IOVA 0.
	 */
	assert_int_equal(unmapped, (6 * 136 + 10 + 1) * PAGE);
	ok(map_at(IOVA, PAGE));
}

static void wrapping_ranges_are_refused(void **state)
{
	const int error = wrap_error(&container);
	uint64_t top = 0 - PAGE;

	refused(error, map_at(top, 2 * PAGE));
	refused(error, vfio_dma_map(&container, (void *)top, IOVA, 2 * PAGE,
				    VFIO_DMA_RW));
	refused(error, unmap_at(top, 2 * PAGE));
	refused(error, unmap_at(IOVA, 0 - PAGE));
}

/* A range that ends at the last 64-bit address does not wrap around. */
static void ranges_may_end_at_the_last_byte(void **state)
{
	uint64_t top = 0 - PAGE, unmapped = 1;

	ok(vfio_dma_unmap(&container, top, PAGE, &unmapped));
	assert_int_equal(unmapped, 0);
	/*
	 * Neither range wraps. MAP_DMA fails because most IOMMUs have no such IOVA, and
	 * no process has such an address.
	 */
	if (vfio_last_iova(&container) == UINT64_MAX) {
		ok(map_at(top, PAGE));
		/* Older in-tree backends do not find this mapping by its IOVA. */
		ok(vfio_dma_unmap_all(&container, NULL));
	} else {
		refused(EINVAL, map_at(top, PAGE));
	}
	refused(EFAULT, vfio_dma_map(&container, (void *)top, IOVA, PAGE,
				     VFIO_DMA_RW));
}

/* In-tree 6.1 accepts an unmap of this range, but does not find the mapping in it. */
static void unmap_to_the_last_byte_finds_what_is_there(void **state)
{
	uint64_t unmapped = 0;

	ok(map_at(IOVA, PAGE));
	ok(vfio_dma_unmap(&container, IOVA, 0 - IOVA, &unmapped));
	assert_int_equal(unmapped, PAGE);
}

static void available_entries_are_counted(void **state)
{
	unsigned int before = dma_avail();

	assert_int_equal(before, 65535);
	ok(map_at(IOVA, PAGE));
	ok(map_at(IOVA + 2 * PAGE, 4 * PAGE));
	assert_int_equal(dma_avail(), before - 2);
	refused(EEXIST, map_at(IOVA, PAGE));
	refused(EFAULT, vfio_dma_map(&container, NULL, IOVA + 64 * MIB, PAGE,
				     VFIO_DMA_RW));
	assert_int_equal(dma_avail(), before - 2);
	ok(vfio_dma_unmap_all(&container, NULL));
	assert_int_equal(dma_avail(), before);
}

static int reopen(void)
{
	teardown(NULL);
	return setup(NULL);
}

static void entry_limit_is_honoured(void **state)
{
	unsigned int i;

	ok(proc_write_file(backend_parameter("dma_entry_limit"), "5"));
	/* A container keeps the limit that there was when it got its backend. */
	for (i = 0; i < 6; i++)
		ok(map_at(IOVA + i * PAGE, PAGE));
	reopen();
	ok(proc_write_file(backend_parameter("dma_entry_limit"), "65535"));
	for (i = 0; i < 5; i++)
		ok(map_at(IOVA + i * PAGE, PAGE));
	refused(ENOSPC, map_at(IOVA + 5 * PAGE, PAGE));
	assert_int_equal(dma_avail(), 0);
	ok(unmap_at(IOVA, PAGE));
	ok(map_at(IOVA + 5 * PAGE, PAGE));
}

static void as_many_mappings_as_promised(void **state)
{
	unsigned int i;
	uint64_t unmapped;

	for (i = 0; i < 65535; i++)
		ok(map_at(IOVA + i * PAGE, PAGE));
	refused(ENOSPC, map_at(IOVA + i * PAGE, PAGE));
	ok(vfio_dma_unmap_all(&container, &unmapped));
	assert_int_equal(unmapped, 65535 * PAGE);
}

static void groups_come_and_go(void **state)
{
	uint8_t *pattern = mem + PAGE;
	struct edu second;
	int i;

	for (i = 0; i < 3; i++) {
		ok(edu_open(&second, &container, EDU_A, IOVA_A));
		ok(map_at(IOVA, PAGE));
		memset(mem, 0, PAGE);
		memset(pattern, 0x50 + i, LEN);
		ok(edu_write(&second, IOVA, pattern, LEN));
		assert_memory_equal(mem, pattern, LEN);
		edu_close(&second);
		/* The first group is still attached, and its mapping is still there. */
		refused(EEXIST, map_at(IOVA, PAGE));
		ok(unmap_at(IOVA, PAGE));
	}
}

static void mappings_go_with_the_last_group(void **state)
{
	long locked = proc_status_kb(0, "VmLck");

	ok(map_at(IOVA, 4 * PAGE));
	vfio_device_close(&device);
	assert_int_equal(proc_status_kb(0, "VmLck"), locked);
	/* The container has no backend any more, so ioctls fail. */
	refused(EINVAL, map_at(IOVA, PAGE));
	ok(vfio_device_open(&device, &container, EDU_B));
	ok(map_at(IOVA, 4 * PAGE));
}

static void a_group_in_use_cannot_leave(void **state)
{
	assert_int_equal(ioctl(device.group, VFIO_GROUP_UNSET_CONTAINER), -1);
	assert_int_equal(errno, EBUSY);
	ok(map_at(IOVA, PAGE));
}

/* The same IOVA reaches different memory in different containers. */
static void containers_are_apart(void **state)
{
	struct vfio_container other;
	struct fault_log faults;
	struct edu edu;

	ok(fault_open(&faults));
	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	ok(edu_open(&edu, &other, EDU_A, IOVA_A));
	memset(mem, 0, MEM_LEN);
	memset(mem + 8 * PAGE, 0x77, LEN);
	ok(map_at(IOVA, PAGE));
	ok(map_at(IOVA + PAGE, PAGE));
	ok(vfio_dma_map(&other, mem + 4 * PAGE, IOVA, PAGE, VFIO_DMA_RW));
	ok(edu_write(&edu, IOVA, mem + 8 * PAGE, LEN));
	assert_memory_equal(mem + 4 * PAGE, mem + 8 * PAGE, LEN);
	assert_int_equal(mem[0], 0);
	/* edu is in the other container, which maps nothing at this IOVA. */
	ok(edu_store(&edu, IOVA + PAGE, LEN));
	ok(fault_wait(&faults, EDU_A, IOVA + PAGE, true, FAULT_MS));
	assert_int_equal(mem[0], 0);
	edu_close(&edu);
	vfio_container_close(&other);
	fault_close(&faults);
}

static void many_containers_at_once(void **state)
{
	static const char * const bdfs[] = { EDU_A, ROOT_TARGET, LARGE };
	struct vfio_container with[3], without[100];
	struct vfio_device devices[3];
	size_t i;

	for (i = 0; i < 100; i++)
		ok(vfio_container_open(&without[i], VFIO_TYPE1v2_IOMMU));
	for (i = 0; i < 3; i++) {
		ok(vfio_container_open(&with[i], VFIO_TYPE1v2_IOMMU));
		ok(vfio_device_open(&devices[i], &with[i], bdfs[i]));
		ok(vfio_dma_map(&with[i], mem, IOVA, MEM_LEN, VFIO_DMA_RW));
	}
	ok(map_at(IOVA, MEM_LEN));
	for (i = 0; i < 3; i++) {
		ok(vfio_dma_unmap(&with[i], IOVA, MEM_LEN, NULL));
		vfio_device_close(&devices[i]);
		vfio_container_close(&with[i]);
	}
	for (i = 0; i < 100; i++)
		vfio_container_close(&without[i]);
	ok(unmap_at(IOVA, MEM_LEN));
}

static void parameters_have_their_names(void **state)
{
	char text[16];

	/* allow_unsafe_interrupts is Y on those of the lab's machines that need it. */
	ok(proc_read_file(backend_parameter("allow_unsafe_interrupts"), text,
			  sizeof(text)));
	if (strcmp(text, "Y\n"))
		assert_string_equal(text, "N\n");
	ok(proc_read_file(backend_parameter("disable_hugepages"), text, sizeof(text)));
	assert_string_equal(text, "N\n");
	ok(proc_read_file(backend_parameter("dma_entry_limit"), text, sizeof(text)));
	assert_string_equal(text, "65535\n");
}

static void disable_hugepages_maps_the_same(void **state)
{
	uint8_t *huge = vfio_reserve(4 * MIB, 2 * MIB, 0);
	uint8_t pattern[LEN];
	struct edu edu;

	assert_non_null(huge);
	ok(mprotect(huge, 4 * MIB, PROT_READ | PROT_WRITE));
	want_huge_pages(huge, 4 * MIB);
	memset(huge, 0, 4 * MIB);
	memset(pattern, 0x66, LEN);
	ok(proc_write_file(backend_parameter("disable_hugepages"), "1"));
	ok(edu_open(&edu, &container, EDU_A, IOVA_A));
	ok(vfio_dma_map(&container, huge, IOVA, 4 * MIB, VFIO_DMA_RW));
	ok(proc_write_file(backend_parameter("disable_hugepages"), "0"));
	ok(edu_write(&edu, IOVA + 3 * MIB, pattern, LEN));
	assert_memory_equal(huge + 3 * MIB, pattern, LEN);
	ok(unmap_at(IOVA, 4 * MIB));
	edu_close(&edu);
	munmap(huge, 4 * MIB);
}

static long users_of_the_module(void)
{
	char text[16], path[64];

	snprintf(path, sizeof(path), "/sys/module/%s/refcnt", backend_module());
	ok(proc_read_file(path, text, sizeof(text)));
	return atol(text);
}

static void module_unloads_only_when_unused(void **state)
{
	char command[64];

	if (!backend_is_beside() && in_tree_is_built_in())
		lacks("a module");
	ok(map_at(IOVA, PAGE));
	assert_true(users_of_the_module() > 0);
	snprintf(command, sizeof(command), "rmmod %s 2>/dev/null",
		 backend_module());
	assert_int_not_equal(system(command), 0);
	ok(unmap_at(IOVA, PAGE));
}

static void module_unloads_and_loads_again(void **state)
{
	const char *backend = backend_is_beside() ? "beside" :
			      on_tether() ? "tether" : "intree";
	char command[64], parameter[128];

	if (!backend_is_beside() && in_tree_is_built_in())
		lacks("a module");
	assert_int_equal(users_of_the_module(), 0);
	snprintf(command, sizeof(command), "use-backend %s", backend);
	snprintf(parameter, sizeof(parameter), "%s",
		 backend_parameter("dma_entry_limit"));
	assert_int_equal(system("use-backend none"), 0);
	assert_int_not_equal(access(parameter, F_OK), 0);
	assert_int_equal(system(command), 0);
	ok(setup(state));
	ok(map_at(IOVA, PAGE));
	teardown(state);
}

#define V2(f)	TEST(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	V2(extensions_are_told_with_and_without_a_backend),
	V2(set_iommu_needs_a_group_and_a_known_type),
	V2(set_iommu_is_once_for_a_container),
	V2(unknown_ioctl_is_enotty),
	V2(info_tells_page_sizes_and_capabilities),
	V2(info_honours_argsz),
	V2(iova_ranges_leave_out_the_msi_window),
	V2(map_checks_its_arguments),
	V2(unmap_checks_its_arguments),
	V2(overlapping_mappings_are_refused),
	V2(unmap_takes_whole_mappings_only),
	TEST(version_1_unmaps_beyond_the_range, setup_v1, teardown),
	V2(unmap_all_takes_everything),
	V2(wrapping_ranges_are_refused),
	V2(ranges_may_end_at_the_last_byte),
	TETHER(unmap_to_the_last_byte_finds_what_is_there, setup, teardown),
	V2(available_entries_are_counted),
	V2(entry_limit_is_honoured),
	V2(as_many_mappings_as_promised),
	V2(groups_come_and_go),
	V2(mappings_go_with_the_last_group),
	V2(a_group_in_use_cannot_leave),
	V2(containers_are_apart),
	V2(many_containers_at_once),
	V2(parameters_have_their_names),
	V2(disable_hugepages_maps_the_same),
	V2(module_unloads_only_when_unused),
	TEST(module_unloads_and_loads_again, NULL, NULL),
};

TEST_MAIN(tests, open_memory, close_memory)
