// SPDX-License-Identifier: GPL-2.0-only
/*
 * Every allocation that the kernel makes for a call fails once. A test repeats its call
 * with the first, second, third ... allocation failing, until the call makes no further
 * allocation; and then with all page allocations failing from the first, second, third
 * on. A call that returns an error must have changed nothing, and has to succeed when
 * it is made again. A call that succeeds although an allocation failed has to have done
 * all of its work.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "emu.h"
#include "failnth.h"
#include "proc.h"
#include "rig.h"

#define SMALL		(16 * PAGE)
#define LARGE_LEN	(16 * MIB)
#define SCATTERED	(4 * MIB)
#define INFO_MAX	1024
#define STRIDE		(33 * PAGE)	/* between two DMA writes into a failed mapping */
#define CALLS_MAX	20000u

/**
 * struct call - One call, and how to check its effect
 * @make: makes the call: 0 or -errno
 * @undo: undoes a call that succeeded: 0 or -errno
 * @check: fails the test unless devices reach exactly what they should; its argument
 *	   tells whether the call has succeeded. May be NULL
 */
struct call {
	int (*make)(void);
	int (*undo)(void);
	void (*check)(bool done);
};

/* The state that a program can read, before a call and after it. */
struct state {
	int error;			/* of GET_INFO */
	uint8_t info[INFO_MAX];
	long locked;			/* VmLck, KiB */
	long charged;			/* VmPin, KiB */
	long pins;			/* pages pinned on the whole machine */
};

static struct vfio_container *asked;	/* look() asks this container for GET_INFO */
static uint8_t *ram;			/* the RAM that the calls map */
static size_t len;
static uint64_t bar_iova;		/* IOVA at which the calls map device memory */

/* --- The loop ------------------------------------------------------------ */

static void look(struct state *s)
{
	struct vfio_iommu_type1_info *info;

	memset(s, 0, sizeof(*s));
	s->error = vfio_iommu_info(asked, &info);
	if (!s->error) {
		assert_true(info->argsz <= INFO_MAX);
		memcpy(s->info, info, info->argsz);
		free(info);
	}
	s->locked = proc_status_kb(0, "VmLck");
	s->charged = proc_status_kb(0, "VmPin");
	s->pins = proc_pages_pinned();
	assert_true(s->locked >= 0 && s->charged >= 0 && s->pins >= 0);
}

static void expect_same(const struct state *before, const char *when,
			unsigned int nth)
{
	struct state s;

	look(&s);
	if (s.error != before->error ||
	    memcmp(s.info, before->info, INFO_MAX))
		broken("%s (allocation %u): GET_INFO says something else", when,
		       nth);
	if (s.locked != before->locked || s.charged != before->charged)
		broken("%s (allocation %u): VmLck %ld, VmPin %ld KiB, before %ld, %ld",
		       when, nth, s.locked, s.charged, before->locked,
		       before->charged);
	if (s.pins != before->pins)
		broken("%s (allocation %u): %ld pages pinned, before %ld", when,
		       nth, s.pins, before->pins);
}

/* Which allocations fail: only the nth, or the nth page allocation and all after it. */
struct mode {
	const char *name;
	void (*arm)(unsigned int nth);
	bool (*disarm)(void);
};

enum { ALONE, FROM_THERE_ON };

static const struct mode modes[] = {
	[ALONE] = { "one", failnth_arm, failnth_disarm },
	[FROM_THERE_ON] = { "all from one on", fail_pages_arm, fail_pages_disarm },
};

/*
 * Make the call with this failure armed, and check its effect. Returns true if the call
 * made so many allocations that one has failed.
 */
static bool with_nth_failing(const struct call *c, const struct mode *mode,
			     unsigned int nth, unsigned int *errors)
{
	struct state before;
	bool failed;
	int ret;

	look(&before);
	mode->arm(nth);
	ret = c->make();
	failed = mode->disarm();
	if (ret && !failed)
		broken("without any failure: %s", strerror(-ret));
	if (ret) {
		++*errors;
		expect_same(&before, "after the error", nth);
		if (c->check)
			c->check(false);
		ok(c->make());
	}
	if (c->check)
		c->check(true);
	ok(c->undo());
	expect_same(&before, "after it was undone", nth);
	return failed;
}

/* Make the call with nth = 1, 2, 3 ... until none fails; return how many failed. */
static unsigned int fail_each_in(const struct call *c, const struct mode *mode)
{
	unsigned int nth = 1, errors = 0;

	while (with_nth_failing(c, mode, nth, &errors)) {
		if (++nth > CALLS_MAX)
			broken("no end of allocations");
	}
	printf("# INJECTED: calls %u, failing %u, errors %u (%s)\n", nth,
	       nth - 1, errors, mode->name);
	return nth - 1;
}

static unsigned int fail_each_of(const struct call *c)
{
	unsigned int total = 0;
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(*modes); i++)
		total += fail_each_in(c, &modes[i]);
	return total;
}

static void expect_some(unsigned int failed)
{
	if (!failed)
		broken("there was no allocation to fail");
}

static void fail_each(const struct call *c)
{
	expect_some(fail_each_of(c));
}

/*
 * For calls that the kernel cannot undo, after one allocation has failed, without a
 * further allocation. So only one may fail at a time.
 */
static void fail_each_alone(const struct call *c)
{
	expect_some(fail_each_in(c, &modes[ALONE]));
}

/* --- Fixtures ------------------------------------------------------------ */

static int open_all(void **state)
{
	failnth_open();
	return rig_open(state);
}

static int close_all(void **state)
{
	failnth_close();
	return rig_close(state);
}

static int setup(void **state)
{
	int fd = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		lacks("fault injection, which a debug kernel has");
	close(fd);
	asked = &rig.container;
	bar_iova = IOVA;
	len = 0;
	return rig_unmapped(state);
}

static int teardown(void **state)
{
	int ret = rig_heal(state);

	if (len)
		munmap(ram, len);
	len = 0;
	return ret;
}

static void get_ram(size_t size, bool touch)
{
	ram = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(ram, MAP_FAILED);
	len = size;
	if (touch)
		memset(ram, 1, size);
}

/* --- Mapping RAM --------------------------------------------------------- */

static int map(void)
{
	return vfio_dma_map(&rig.container, ram, IOVA, len, VFIO_DMA_RW);
}

static int unmap(void)
{
	return vfio_dma_unmap(&rig.container, IOVA, len, NULL);
}

static bool arrives(size_t offset)
{
	memset(ram + offset, 0, PAGE);
	ok(nvme_identify(&rig.nvme, IOVA + offset));
	return !memcmp(ram + offset, rig.nvme.identity, PAGE);
}

static void expect_ram(size_t offset, bool mapped)
{
	fault_drain(&rig.faults);
	if (mapped != arrives(offset))
		broken("DMA to %#zx %s", offset,
		       mapped ? "does not arrive" : "arrives");
	if (!mapped)
		ok(fault_wait(&rig.faults, NVME, IOVA + offset, true, FAULT_MS));
}

static void check_ram(bool mapped)
{
	expect_ram(0, mapped);
	expect_ram(len / 2 / PAGE * PAGE, mapped);
	expect_ram(len - PAGE, mapped);
}

/*
 * If the IOMMU driver runs out of memory while it maps, it may leave entries behind.
 * They are in the middle of the range that it was asked to map, not at its ends. So try
 * DMA in steps of STRIDE.
 */
static void expect_nothing_lands(void)
{
	size_t i;

	memset(ram, 0, len);
	for (i = 0; i < len; i += STRIDE)
		ok(nvme_identify(&rig.nvme, IOVA + i));
	for (i = 0; i < len; i += STRIDE)
		if (!memcmp(ram + i, rig.nvme.identity, PAGE))
			hole("DMA arrives at %#zx of what could not be mapped", i);
}

static void a_failed_mapping_leaves_nothing(void **state)
{
	unsigned int nth;
	int ret;

	get_ram(LARGE_LEN, true);
	for (nth = 1;; nth++) {
		failnth_arm(nth);
		ret = map();
		if (!failnth_disarm())
			break;
		if (ret)
			expect_nothing_lands();
		else
			ok(unmap());
	}
	ok(ret);
}

static void mapping_ram(void)
{
	static const struct call c = { map, unmap, check_ram };

	fail_each(&c);
}

static void mapping_a_page(void **state)
{
	get_ram(PAGE, true);
	mapping_ram();
}

static void mapping_much(void **state)
{
	get_ram(LARGE_LEN, true);
	mapping_ram();
}

static int unmap_and_forget(void)
{
	int ret = unmap();

	return ret ? ret : madvise(ram, len, MADV_DONTNEED) ? -errno : 0;
}

/* The kernel allocates this memory only when it is pinned. */
static void mapping_untouched(void **state)
{
	static const struct call c = { map, unmap_and_forget, NULL };

	get_ram(SMALL, false);
	fail_each(&c);
}

/*
 * mmap() a file's pages one by one, the last one first, so that no two pages with
 * adjacent user addresses are physically adjacent.
 */
static void get_scattered(void)
{
	int fd = memfd_create("scattered", MFD_CLOEXEC);
	size_t i;

	assert_int_equal(ftruncate(fd, SCATTERED), 0);
	get_ram(SCATTERED, false);
	for (i = 0; i < SCATTERED; i += PAGE)
		assert_ptr_equal(mmap(ram + i, PAGE, PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
				      SCATTERED - PAGE - i), ram + i);
	close(fd);
}

/*
 * A mapping of 4 MiB of hugetlb memory and 2 MiB of other memory, which tether pins in
 * different ways: hugetlb memory by the folio, other memory by the page. The hugetlb
 * memory is the same page of a file twice, which must not become one extent.
 */
static void mapping_hugetlb(void **state)
{
	size_t huge = 2 << 20;
	unsigned int i;
	int fd;

	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "1"));
	fd = memfd_create("hugetlb", MFD_CLOEXEC | MFD_HUGETLB);
	assert_int_equal(ftruncate(fd, huge), 0);
	ram = vfio_reserve(3 * huge, huge, 0);
	assert_non_null(ram);
	len = 3 * huge;
	assert_int_equal(mprotect(ram, len, PROT_READ | PROT_WRITE), 0);
	for (i = 0; i < 2; i++)
		assert_ptr_equal(mmap(ram + i * huge, huge,
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd, 0),
				 ram + i * huge);
	close(fd);
	memset(ram, 1, len);
	mapping_ram();
	munmap(ram, len);
	len = 0;
	ok(proc_write_file("/proc/sys/vm/nr_hugepages", "0"));
}

static void mapping_scattered(void **state)
{
	get_scattered();
	mapping_ram();
}

/*
 * An unmap allocates memory only where that is unavoidable, and never fails because an
 * allocation has failed.
 */
static void check_unmapped(bool unmapped)
{
	check_ram(!unmapped);
}

static void unmapping_ram(void)
{
	static const struct call c = { unmap, map, check_unmapped };

	ok(map());
	fail_each_of(&c);
}

static void unmapping_scattered(void **state)
{
	get_scattered();
	unmapping_ram();
}

static void unmapping_much(void **state)
{
	get_ram(LARGE_LEN, true);
	unmapping_ram();
}

/* --- Device memory ------------------------------------------------------- */

/* mmap() device memory and do not touch it: the process's page tables have no entry. */
static void *get_device(void *at, size_t size)
{
	void *bar = vfio_region_mmap(&rig.device, TARGET_BAR, 0, size,
				     PROT_READ | PROT_WRITE, at);

	assert_non_null(bar);
	return bar;
}

static int map_device(void)
{
	return vfio_dma_map(&rig.container, rig.map, bar_iova, RIG_LEN,
			    VFIO_DMA_RW);
}

static int unmap_device(void)
{
	int ret = vfio_dma_unmap(&rig.container, bar_iova, RIG_LEN, NULL);

	get_device(rig.map, RIG_LEN);
	return ret;
}

static void check_device(bool mapped)
{
	if (mapped) {
		expect_landing(bar_iova, 0);
		expect_landing(bar_iova + RIG_LEN - PAGE, RIG_LEN - PAGE);
	} else {
		expect_blocked(bar_iova, 0);
		expect_blocked(bar_iova + RIG_LEN - PAGE, RIG_LEN - PAGE);
	}
}

/*
 * If munmap() runs out of memory while it splits a VMA, 6.1's vfio-pci removes the
 * page-table entries of a part of the VMA, but believes that all are present, and never
 * fills the missing ones again. Restore has to find one entry in each GiB that the
 * mapped memory reaches into. So the reserved range lies in a single GiB: then restore
 * needs only the range's first entry, which such a munmap() does not remove.
 */
static void reserve_device(void)
{
	rig.map = vfio_reserve(RIG_LEN, 2 * RIG_LEN, PAGE);
	assert_non_null(rig.map);
	get_device(rig.map, RIG_LEN);
}

static void mapping_device_memory(void **state)
{
	static const struct call c = { map_device, unmap_device, check_device };

	reserve_device();
	fail_each(&c);
}

static void check_device_unmapped(bool unmapped)
{
	check_device(!unmapped);
}

static int unmap_device_alone(void)
{
	return vfio_dma_unmap(&rig.container, bar_iova, RIG_LEN, NULL);
}

static void unmapping_device_memory(void **state)
{
	static const struct call c = {
		unmap_device_alone, map_device, check_device_unmapped
	};

	reserve_device();
	ok(map_device());
	fail_each_of(&c);
}

/* RAM, device memory, and RAM, in one mapping. */
#define MIXED_AT	(4 * PAGE)
#define MIXED_LEN	(8 * PAGE)

static void check_mixed(bool mapped)
{
	check_ram(mapped);
	if (mapped)
		expect_landing(IOVA + MIXED_AT, 0);
	else
		expect_blocked(IOVA + MIXED_AT, 0);
}

static void mapping_a_mixture(void **state)
{
	static const struct call c = { map, unmap, check_mixed };

	get_ram(SMALL, true);
	get_device(ram + MIXED_AT, MIXED_LEN);
	fail_each(&c);
}

/* Map ram as several mappings of four pages, some of RAM, some of device memory. */
static int map_several(void)
{
	size_t i;
	int ret = 0;

	for (i = 0; !ret && i < len; i += 4 * PAGE)
		ret = vfio_dma_map(&rig.container, ram + i, IOVA + i, 4 * PAGE,
				   VFIO_DMA_RW);
	return ret;
}

static void check_several_unmapped(bool unmapped)
{
	check_mixed(!unmapped);
}

static void unmapping_several(void **state)
{
	static const struct call c = {
		unmap, map_several, check_several_unmapped
	};

	get_ram(SMALL, true);
	get_device(ram + MIXED_AT, MIXED_LEN);
	ok(map_several());
	fail_each_of(&c);
}

/* --- What a hole in a mirror costs ---------------------------------------- */

#define HOLE	(RIG_LEN / 2)

static int cut(void)
{
	return munmap(rig.map + HOLE, PAGE) ? -errno : 0;
}

static int mend(void)
{
	int ret = vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL);

	get_device(rig.map, RIG_LEN);
	return ret ? ret : map_device();
}

/*
 * After munmap() of the page at HOLE devices must not reach it. The rest is not
 * checked: if there is no memory to record the pieces that remain, the module gives
 * them up, too, and devices reach less than the CPU does, but never more.
 */
static void check_cut(bool done)
{
	if (done)
		expect_blocked(IOVA + HOLE, HOLE);
	else
		expect_return(IOVA + HOLE, HOLE, now(), 2.0);
}

static void cutting_a_mirror(void **state)
{
	static const struct call c = { cut, mend, check_cut };

	reserve_device();
	ok(map_device());
	fail_each(&c);
}

/* --- Restore: kernel workers do it ---------------------------------------- */

#define RESTORES	20
#define TIMES		4

static void restoring(void **state)
{
	unsigned int i, failed = 0;
	int n;

	reserve_device();
	ok(map_device());
	for (i = 0; i < RESTORES; i++) {
		ok(vfio_decoding(&rig.device, false));
		ok(fail_workers(TIMES));
		ok(vfio_decoding(&rig.device, true));
		expect_return(IOVA, 0, now(), 4.0);
		n = fail_workers_end();
		if (n < 0)
			broken("fault injection: %s", strerror(-n));
		failed += n;
		expect_return(IOVA, 0, now(), 4.0);
	}
	printf("# INJECTED: calls %u, failing %u, errors 0\n", i, failed);
	expect_some(failed);
}

/* --- Asking, the dirty log, new addresses --------------------------------- */

static int nothing(void)
{
	return 0;
}

static int get_info(void)
{
	uint8_t room[INFO_MAX] = { 0 };
	struct vfio_iommu_type1_info *info = (void *)room;

	info->argsz = sizeof(room);
	return ioctl(asked->fd, VFIO_IOMMU_GET_INFO, info) ? -errno : 0;
}

static void asking_for_info(void **state)
{
	static const struct call c = { get_info, nothing, NULL };

	fail_each(&c);
}

static int start_log(void)
{
	return vfio_dirty_log(asked, VFIO_IOMMU_DIRTY_PAGES_FLAG_START);
}

static int stop_log(void)
{
	return vfio_dirty_log(asked, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP);
}

static int get_bits(void)
{
	uint64_t bits = 0;
	struct vfio_bitmap bitmap = { PAGE, sizeof(bits), (void *)&bits };
	int ret = vfio_dirty_get(asked, IOVA, SMALL, bitmap);

	if (ret)
		return ret;
	return bits == (1ULL << SMALL / PAGE) - 1 ? 0 : -EILSEQ;
}

/* Reading the log fails if the log is off. */
static void check_log(bool on)
{
	if (on)
		ok(get_bits());
	else
		refused(EINVAL, get_bits());
}

static void starting_the_dirty_log(void **state)
{
	static const struct call c = { start_log, stop_log, check_log };

	get_ram(SMALL, true);
	ok(map_several());
	fail_each(&c);
}

static void mapping_with_the_dirty_log_on(void **state)
{
	static const struct call c = { map, unmap, check_ram };

	get_ram(SMALL, true);
	ok(start_log());
	fail_each(&c);
	ok(stop_log());
}

static uint8_t *old_map, *new_map;

static int make_stale(void)
{
	struct vfio_iommu_type1_dma_unmap request = {
		.argsz = sizeof(request),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = bar_iova,
		.size = RIG_LEN,
	};

	return ioctl(asked->fd, VFIO_IOMMU_UNMAP_DMA, &request) ? -errno : 0;
}

static int move_to(uint8_t *map)
{
	return vfio_dma_map(&rig.container, map, bar_iova, RIG_LEN,
			    VFIO_DMA_MAP_FLAG_VADDR);
}

static int move_there(void)
{
	return move_to(new_map);
}

/*
 * Set the old address again, and leave no page-table entries at the new address. At the
 * end a new address has to be set, as before the call.
 */
static int move_back(void)
{
	int ret = make_stale();

	if (!ret)
		ret = move_to(old_map);
	get_device(new_map, RIG_LEN);
	return ret ? ret : make_stale();
}

/* Devices reach the memory, whether setting the new address succeeded or failed. */
static void check_moved(bool moved)
{
	expect_return(bar_iova, 0, now(), 2.0);
	expect_return(bar_iova + RIG_LEN - PAGE, RIG_LEN - PAGE, now(), 2.0);
}

static void move_device(void)
{
	static const struct call c = { move_there, move_back, check_moved };

	reserve_device();
	old_map = rig.map;
	new_map = vfio_reserve(RIG_LEN, 2 * MIB, PAGE);
	assert_non_null(new_map);
	get_device(new_map, RIG_LEN);
	ok(map_device());
	ok(make_stale());
	fail_each(&c);
	ok(move_there());
	munmap(new_map, RIG_LEN);
}

static void moving_device_memory(void **state)
{
	move_device();
}

/* The IOVA is misaligned to the memory, so the IOMMU needs a page table for each 2 MiB. */
static void moving_device_memory_in_small_pages(void **state)
{
	bar_iova = IOVA + PAGE;
	move_device();
}

/* --- Containers and groups ------------------------------------------------ */

static struct vfio_container other = { .fd = -1 };
static int group = -1;

static int setup_other(void **state)
{
	int ret = setup(state);

	if (ret)
		return ret;
	ok(vfio_device_bind(EDU_B));
	group = vfio_group_open(EDU_B);
	assert_true(group >= 0);
	ok(vfio_container_open(&other, VFIO_TYPE1v2_IOMMU));
	return 0;
}

static int teardown_other(void **state)
{
	if (group >= 0)
		close(group);
	group = -1;
	vfio_container_close(&other);
	return teardown(state);
}

static int fd;

static int open_container(void)
{
	fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static int close_container(void)
{
	return close(fd) ? -errno : 0;
}

static void opening_a_container(void **state)
{
	static const struct call c = { open_container, close_container, NULL };

	fail_each(&c);
}

static int put_group(void)
{
	return ioctl(group, VFIO_GROUP_SET_CONTAINER, &asked->fd) ? -errno : 0;
}

/*
 * No test lets an allocation fail in this call: if detaching a group fails, the IOMMU
 * core of older kernels cannot return the error. It warns, and the group is unusable
 * afterwards, with any backend. A put_group() that fails ends with the same detaching,
 * so tests let only one allocation at a time fail in it (fail_each_alone()).
 */
static int take_group(void)
{
	return ioctl(group, VFIO_GROUP_UNSET_CONTAINER) ? -errno : 0;
}

static int set_iommu(void)
{
	return ioctl(other.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) ? -errno : 0;
}

/*
 * Undo set_iommu(): a container loses its backend when its last group leaves. So take
 * the group out, and put it in again.
 */
static int reset_container(void)
{
	int ret = take_group();

	return ret ? ret : put_group();
}

static void setting_the_iommu(void **state)
{
	static const struct call c = { set_iommu, reset_container, NULL };

	asked = &other;
	ok(put_group());
	fail_each(&c);
	ok(take_group());
}

/* The devices attached before reach the same memory, whether or not the call succeeded. */
static void check_others(bool attached)
{
	check_mixed(true);
}

static void check_all_there(bool attached)
{
	check_ram(true);
}

static void map_for_groups(void)
{
	get_ram(SMALL, true);
	get_device(ram + MIXED_AT, MIXED_LEN);
	ok(map());
}

static void attaching_a_second_group(void **state)
{
	static const struct call c = { put_group, take_group, check_others };

	map_for_groups();
	fail_each_alone(&c);
}

/*
 * The memory is so scattered that tether remembers no extents of it, and reads them
 * from the IOMMU's page tables when the second group comes.
 */
static void attaching_a_second_group_to_scattered_memory(void **state)
{
	static const struct call c = { put_group, take_group, check_all_there };

	get_scattered();
	ok(map());
	fail_each_alone(&c);
}

static int map_other(void)
{
	return vfio_dma_map(&other, ram, IOVA, len, VFIO_DMA_RW);
}

static int unmap_all(void)
{
	return vfio_dma_unmap_all(&other, NULL);
}

static void unmapping_all(void **state)
{
	static const struct call c = { unmap_all, map_other, NULL };

	asked = &other;
	ok(put_group());
	ok(set_iommu());
	get_ram(SMALL, true);
	get_device(ram + MIXED_AT, MIXED_LEN);
	ok(map_other());
	fail_each_of(&c);
	ok(take_group());
}

/* --- Emulated devices ----------------------------------------------------- */

static struct emu emu;
static uint8_t bytes[256];

static int setup_emu(void **state)
{
	int ret = setup_other(state);

	if (ret)
		return ret;
	asked = &other;
	ok(emu_load());
	ok(emu_open(&emu, &other, 0));
	get_ram(SMALL, true);
	ok(map_other());
	return 0;
}

static int teardown_emu(void **state)
{
	emu_close(&emu);
	teardown_other(state);
	return emu_unload();
}

/*
 * If the emulated device's own driver cannot allocate the record of a pin, it returns
 * an error, but keeps the pins that it has recorded before: unpin these.
 */
static int pin(void)
{
	int ret = emu_pin(&emu, IOVA, 4, EMU_PROT_READ | EMU_PROT_WRITE);

	if (ret < 0 && emu.held)
		emu_unpin(&emu, IOVA, 4);
	return ret == 4 ? 0 : ret < 0 ? ret : -EILSEQ;
}

static int unpin(void)
{
	int ret = emu_unpin(&emu, IOVA, 4);

	return ret == 4 ? 0 : ret < 0 ? ret : -EILSEQ;
}

static void check_pinned(bool pinned)
{
	if (!pinned)
		return;
	target_pattern(ram + PAGE, sizeof(bytes));
	ok(emu_peek(&emu, IOVA + PAGE, bytes, sizeof(bytes)));
	assert_memory_equal(ram + PAGE, bytes, sizeof(bytes));
}

static void emulated_devices_pin(void **state)
{
	static const struct call c = { pin, unpin, check_pinned };

	fail_each(&c);
}

/* Write to memory that the process has not touched yet. */
static int write_anew(void)
{
	return emu_write(&emu, IOVA, bytes, sizeof(bytes));
}

static int forget(void)
{
	return madvise(ram, len, MADV_DONTNEED) ? -errno : 0;
}

static void emulated_devices_write(void **state)
{
	static const struct call c = { write_anew, forget, NULL };

	ok(forget());
	fail_each(&c);
}

/* When the first group with an IOMMU is attached, all mapped memory is pinned. */
static void attaching_the_first_group(void **state)
{
	static const struct call c = { put_group, take_group, check_pinned };

	ok(vfio_dma_unmap(&other, IOVA, len, NULL));
	get_device(ram + MIXED_AT, MIXED_LEN);
	ok(map_other());
	ok(emu_pin(&emu, IOVA, 2, EMU_PROT_READ) == 2 ? 0 : -EILSEQ);
	/*
	 * GET_INFO has usable IOVAs only after the container has had its first group,
	 * and must say the same before and after the calls below.
	 */
	ok(put_group());
	ok(take_group());
	fail_each_alone(&c);
	ok(emu_unpin(&emu, IOVA, 2) == 2 ? 0 : -EILSEQ);
}

static const struct CMUnitTest tests[] = {
	TETHER(opening_a_container, setup, teardown),
	TETHER(setting_the_iommu, setup_other, teardown_other),
	TETHER(asking_for_info, setup, teardown),
	TETHER(mapping_a_page, setup, teardown),
	TETHER(mapping_much, setup, teardown),
	SECURITY(a_failed_mapping_leaves_nothing, setup, teardown),
	TETHER(mapping_untouched, setup, teardown),
	TETHER(mapping_hugetlb, setup, teardown),
	TETHER(mapping_scattered, setup, teardown),
	TEST(mapping_device_memory, setup, teardown),
	TETHER(mapping_a_mixture, setup, teardown),
	TETHER(unmapping_much, setup, teardown),
	TETHER(unmapping_scattered, setup, teardown),
	TETHER(unmapping_device_memory, setup, teardown),
	TETHER(unmapping_several, setup, teardown),
	TETHER(unmapping_all, setup_other, teardown_other),
	TETHER(cutting_a_mirror, setup, teardown),
	TETHER(restoring, setup, teardown),
	TETHER(starting_the_dirty_log, setup, teardown),
	TETHER(mapping_with_the_dirty_log_on, setup, teardown),
	TETHER(moving_device_memory, setup, teardown),
	TETHER(moving_device_memory_in_small_pages, setup, teardown),
	TEST(attaching_a_second_group, setup_other, teardown_other),
	TETHER(attaching_a_second_group_to_scattered_memory, setup_other,
	       teardown_other),
	TETHER(attaching_the_first_group, setup_emu, teardown_emu),
	TETHER(emulated_devices_pin, setup_emu, teardown_emu),
	TETHER(emulated_devices_write, setup_emu, teardown_emu),
};

TEST_MAIN(tests, open_all, close_all)
