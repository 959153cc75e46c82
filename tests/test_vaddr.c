// SPDX-License-Identifier: GPL-2.0-only
/*
 * VFIO_UPDATE_VADDR: a mapping stays in the IOMMU while its memory moves to another
 * user address, or into another process, to which the memory is then charged. UNMAP_DMA
 * with VFIO_DMA_UNMAP_FLAG_VADDR makes the mapping's address stale, until MAP_DMA with
 * VFIO_DMA_MAP_FLAG_VADDR gives the mapping a new address.
 *
 * Tests run "test_vaddr --adopt ..." as that other process: see adopt().
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "emu.h"
#include "proc.h"
#include "rig.h"

#define RAM_LEN		(4 * MIB)
#define RAM_KB		(RAM_LEN / 1024)
#define LEN		512
#define ADOPT		"--adopt"

static uint8_t *ram;		/* RAM_LEN of shared memory */
static int memory;		/* the file of that memory */
static pid_t child;
static int tell = -1, hear = -1;	/* pipes to and from the child */

static void *map_memory(int fd)
{
	return mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

static int setup(void **state)
{
	memory = memfd_create("vaddr", MFD_CLOEXEC);
	assert_int_equal(ftruncate(memory, RAM_LEN), 0);
	ram = map_memory(memory);
	assert_ptr_not_equal(ram, MAP_FAILED);
	return rig_unmapped(state);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Closes the pipes, at which the child ends. Returns the child's exit status or -errno.
 */
static int child_ends(void)
{
	int status;

	close_fd(&tell);
	close_fd(&hear);
	if (waitpid(child, &status, 0) != child)
		return -errno;
	child = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

static int teardown(void **state)
{
	if (child) {
		kill(child, SIGKILL);
		child_ends();
	}
	munmap(ram, RAM_LEN);
	close(memory);
	return rig_heal(state);
}

static int make_stale(uint64_t iova, uint64_t size, uint64_t *changed)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = VFIO_DMA_UNMAP_FLAG_VADDR,
		.iova = iova,
		.size = size,
	};

	if (ioctl(rig.container.fd, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	if (changed)
		*changed = unmap.size;
	return 0;
}

static int new_address(const void *vaddr, uint64_t iova, uint64_t size)
{
	return vfio_dma_map(&rig.container, vaddr, iova, size,
			    VFIO_DMA_MAP_FLAG_VADDR);
}

static int map_ram(uint64_t offset, uint64_t size)
{
	return vfio_dma_map(&rig.container, ram + offset, IOVA + offset, size,
			    VFIO_DMA_RW);
}

/* DMA to the first and to the last page at IOVA has to arrive in the file. */
static void expect_dma(void)
{
	static const uint64_t at[] = { 0, RAM_LEN - PAGE };
	uint8_t got[PAGE], zero[PAGE] = { 0 };
	size_t i;

	for (i = 0; i < sizeof(at) / sizeof(*at); i++) {
		assert_int_equal(pwrite(memory, zero, PAGE, at[i]), PAGE);
		ok(nvme_identify(&rig.nvme, IOVA + at[i]));
		assert_int_equal(pread(memory, got, PAGE, at[i]), PAGE);
		assert_memory_equal(got, rig.nvme.identity, PAGE);
	}
}

static void update_vaddr_is_not_offered_with_emulated_devices(void **state)
{
	struct vfio_container empty;
	uint64_t changed = 0;
	struct emu emu;

	ok(vfio_container_open(&empty, VFIO_TYPE1v2_IOMMU));
	assert_int_equal(ioctl(empty.fd, VFIO_CHECK_EXTENSION,
			       VFIO_UPDATE_VADDR), 0);
	vfio_container_close(&empty);
	assert_int_equal(ioctl(rig.container.fd, VFIO_CHECK_EXTENSION,
			       VFIO_UPDATE_VADDR), 1);
	ok(map_ram(0, RAM_LEN));
	ok(emu_open(&emu, &rig.container, 0));
	assert_int_equal(ioctl(rig.container.fd, VFIO_CHECK_EXTENSION,
			       VFIO_UPDATE_VADDR), 0);
	refused(EBUSY, make_stale(IOVA, RAM_LEN, NULL));
	emu_close(&emu);
	assert_int_equal(ioctl(rig.container.fd, VFIO_CHECK_EXTENSION,
			       VFIO_UPDATE_VADDR), 1);
	/* The refused call has made no mapping stale. */
	refused(EINVAL, new_address(ram, IOVA, RAM_LEN));
	ok(make_stale(IOVA, RAM_LEN, &changed));
	assert_int_equal(changed, RAM_LEN);
	ok(new_address(ram, IOVA, RAM_LEN));
}

static void no_group_may_come_while_an_address_is_stale(void **state)
{
	struct vfio_device late;
	struct emu emu;

	ok(map_ram(0, MIB));
	ok(map_ram(MIB, MIB));
	ok(make_stale(IOVA, MIB, NULL));
	refused(EBUSY, vfio_device_open(&late, &rig.container, EDU_B));
	refused(EBUSY, emu_open(&emu, &rig.container, 0));
	ok(new_address(ram, IOVA, MIB));
	ok(vfio_device_open(&late, &rig.container, EDU_B));
	vfio_device_close(&late);
	ok(emu_open(&emu, &rig.container, 0));
	emu_close(&emu);

	/* A stale mapping that is unmapped is not counted as stale any more. */
	ok(make_stale(IOVA + MIB, MIB, NULL));
	ok(vfio_dma_unmap(&rig.container, IOVA + MIB, MIB, NULL));
	ok(vfio_device_open(&late, &rig.container, EDU_B));
	vfio_device_close(&late);
}

static void new_address_must_be_for_a_stale_mapping(void **state)
{
	refused(ENOENT, new_address(ram, IOVA, MIB));
	ok(map_ram(0, MIB));
	ok(map_ram(MIB, MIB));
	refused(EINVAL, new_address(ram, IOVA, MIB));
	ok(make_stale(IOVA, MIB, NULL));
	refused(ENOENT, new_address(ram, IOVA - MIB, MIB));
	refused(EINVAL, new_address(ram, IOVA, MIB - PAGE));
	refused(EINVAL, new_address(ram, IOVA + PAGE, MIB - PAGE));
	refused(EINVAL, new_address(ram, IOVA - PAGE, MIB + PAGE));
	refused(EINVAL, new_address(ram, IOVA, 2 * MIB));
	refused(EINVAL, new_address(ram + 1, IOVA, MIB));
	refused(EINVAL, vfio_dma_map(&rig.container, ram, IOVA, MIB,
				     VFIO_DMA_RW | VFIO_DMA_MAP_FLAG_VADDR));
	/* A stale mapping still occupies its IOVAs. */
	refused(EEXIST, map_ram(0, MIB));
	refused(EINVAL, new_address(ram + MIB, IOVA + MIB, MIB));
	ok(new_address(ram, IOVA, MIB));
	refused(EINVAL, new_address(ram, IOVA, MIB));
}

static void stale_twice_is_refused_whole(void **state)
{
	uint64_t changed = 0;

	ok(map_ram(0, MIB));
	ok(map_ram(MIB, MIB));
	ok(map_ram(2 * MIB, MIB));
	refused(EINVAL, make_stale(IOVA, MIB / 2, NULL));
	ok(make_stale(IOVA + MIB, MIB, &changed));
	assert_int_equal(changed, MIB);
	refused(EINVAL, make_stale(IOVA + MIB, MIB, NULL));
	refused(EINVAL, make_stale(IOVA, 3 * MIB, NULL));
	refused(EINVAL, new_address(ram, IOVA, MIB));
	refused(EINVAL, new_address(ram + 2 * MIB, IOVA + 2 * MIB, MIB));
	ok(new_address(ram + MIB, IOVA + MIB, MIB));
	ok(make_stale(IOVA, 3 * MIB, &changed));
	assert_int_equal(changed, 3 * MIB);
}

/* No transfer may be lost, also not one that is under way during the update. */
static void dma_goes_on_while_an_address_is_updated(void **state)
{
	uint8_t pattern[LEN], *again;
	int i;

	ok(map_ram(0, RAM_LEN));
	for (i = 0; i < 3; i++) {
		target_pattern(pattern, LEN);
		ok(edu_load(&rig.edu, pattern, LEN));
		ok(edu_start_store(&rig.edu, IOVA + MIB, LEN));
		ok(make_stale(IOVA, RAM_LEN, NULL));
		expect_dma();
		again = map_memory(memory);
		assert_ptr_not_equal(again, MAP_FAILED);
		munmap(ram, RAM_LEN);
		ram = again;
		expect_dma();
		ok(new_address(ram, IOVA, RAM_LEN));
		expect_dma();
		ok(edu_wait(&rig.edu));
		assert_memory_equal(ram + MIB, pattern, LEN);
	}
}

/*
 * The other process: "--adopt CONTAINER MEMORY TELL HEAR [LIMIT]". The first four are
 * files that it inherits from its parent. It mmaps MEMORY, tells the container that the
 * mapping at IOVA has that address now, writes the result to TELL, and stays until its
 * parent closes HEAR. With LIMIT it is unprivileged and has this RLIMIT_MEMLOCK.
 */
static int adopt(int argc, char **argv)
{
	struct rlimit limit;
	void *own;
	char byte;
	int ret;

	rig.container.fd = atoi(argv[2]);
	own = map_memory(atoi(argv[3]));
	if (own == MAP_FAILED)
		return 2;
	if (argc > 6) {
		limit.rlim_cur = strtoul(argv[6], NULL, 10);
		limit.rlim_max = limit.rlim_cur;
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(65534) ||
		    setuid(65534) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
			return 3;
	}
	ret = new_address(own, IOVA, RAM_LEN);
	if (write(atoi(argv[4]), &ret, sizeof(ret)) != sizeof(ret))
		return 4;
	return read(atoi(argv[5]), &byte, 1) ? 5 : 0;
}

static char *number(int fd)
{
	static char text[8][16];
	static unsigned int next;
	char *s = text[next++ % 8];

	if (fcntl(fd, F_SETFD, 0))
		_exit(120);
	snprintf(s, sizeof(*text), "%d", fd);
	return s;
}

static void exec_adopt(int to_parent, int from_parent, char *limit)
{
	char *argv[] = {
		"test_vaddr", ADOPT, number(rig.container.fd), number(memory),
		number(to_parent), number(from_parent), limit, NULL,
	};

	execv("/proc/self/exe", argv);
	_exit(121);
}

/*
 * Have a new process run adopt(). Returns adopt()'s result, 0 or -errno. If first is
 * true, the process itself makes the mapping before, in an address space that exec then
 * ends.
 */
static int adopted(bool first, char *limit)
{
	int up[2], down[2], ret;

	assert_int_equal(pipe2(up, O_CLOEXEC), 0);
	assert_int_equal(pipe2(down, O_CLOEXEC), 0);
	fflush(NULL);
	child = fork();
	assert_true(child >= 0);
	if (!child) {
		if (first && (map_ram(0, RAM_LEN) ||
			      make_stale(IOVA, RAM_LEN, NULL)))
			_exit(122);
		exec_adopt(up[1], down[0], limit);
	}
	close(up[1]);
	close(down[0]);
	hear = up[0];
	tell = down[1];
	if (read(hear, &ret, sizeof(ret)) != sizeof(ret))
		broken("the other process ended with %d", child_ends());
	return ret;
}

static void address_moves_to_a_new_process(void **state)
{
	long before = proc_status_kb(0, "VmLck");
	uint8_t pattern[LEN];

	ok(map_ram(0, RAM_LEN));
	target_pattern(pattern, LEN);
	ok(edu_load(&rig.edu, pattern, LEN));
	ok(make_stale(IOVA, RAM_LEN, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + RAM_KB);
	/*
	 * This transfer is under way while the mapping is given to the other process.
	 */
	ok(edu_start_store(&rig.edu, IOVA + MIB, LEN));
	ok(adopted(false, NULL));
	ok(edu_wait(&rig.edu));
	assert_memory_equal(ram + MIB, pattern, LEN);
	assert_int_equal(proc_status_kb(0, "VmLck"), before);
	assert_int_equal(proc_status_kb(child, "VmLck"), RAM_KB);
	expect_dma();
	/* Parent and child may unmap their memory: the pages stay pinned. */
	munmap(ram, RAM_LEN);
	expect_dma();
	assert_int_equal(child_ends(), 0);
	expect_dma();

	/* The mapping is charged to no process until another one adopts it. */
	ram = map_memory(memory);
	assert_ptr_not_equal(ram, MAP_FAILED);
	ok(make_stale(IOVA, RAM_LEN, NULL));
	ok(new_address(ram, IOVA, RAM_LEN));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + RAM_KB);
	ok(vfio_dma_unmap(&rig.container, IOVA, RAM_LEN, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), before);
}

/* The process is the same, but exec has given it another address space. */
static void address_moves_across_exec(void **state)
{
	long before = proc_status_kb(0, "VmLck"), pinned = proc_pages_pinned();

	ok(adopted(true, NULL));
	assert_int_equal(proc_status_kb(child, "VmLck"), RAM_KB);
	assert_int_equal(proc_status_kb(0, "VmLck"), before);
	expect_dma();
	ok(vfio_dma_unmap(&rig.container, IOVA, RAM_LEN, NULL));
	assert_int_equal(proc_status_kb(child, "VmLck"), 0);
	assert_int_equal(proc_pages_pinned(), pinned);
	assert_int_equal(child_ends(), 0);
}

static void a_process_that_may_not_pay_is_refused(void **state)
{
	long before = proc_status_kb(0, "VmLck");

	ok(map_ram(0, RAM_LEN));
	ok(make_stale(IOVA, RAM_LEN, NULL));
	refused(ENOMEM, adopted(false, "1048576"));
	assert_int_equal(proc_status_kb(0, "VmLck"), before + RAM_KB);
	assert_int_equal(proc_status_kb(child, "VmLck"), 0);
	assert_int_equal(child_ends(), 0);
	/* The mapping is still stale, and still charged to the parent. */
	expect_dma();
	ok(new_address(ram, IOVA, RAM_LEN));
	ok(vfio_dma_unmap(&rig.container, IOVA, RAM_LEN, NULL));
	assert_int_equal(proc_status_kb(0, "VmLck"), before);
}

static uint8_t *map_bar(void)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_LEN,
					PROT_READ | PROT_WRITE, NULL);

	assert_non_null(map);
	return map;
}

/*
 * At the first update the old mmap is unmapped afterwards, at the second one before it.
 */
static void device_memory_is_tethered_to_its_new_address(void **state)
{
	uint8_t *moved = map_bar();

	ok(make_stale(IOVA, RIG_LEN, NULL));
	expect_landing(IOVA, 0);
	ok(new_address(moved, IOVA, RIG_LEN));
	expect_landing(IOVA, 0);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
	munmap(rig.map, RIG_LEN);
	rig.map = moved;
	expect_landing(IOVA, 0);

	ok(make_stale(IOVA, RIG_LEN, NULL));
	munmap(rig.map, RIG_LEN);
	rig.map = map_bar();
	ok(new_address(rig.map, IOVA, RIG_LEN));
	expect_landing(IOVA, 0);
	munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	expect_blocked(IOVA, 0);
	expect_blocked(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

/* While a mapping's address is stale, the mirror still follows the old address. */
static void stale_device_memory_goes_with_its_old_address(void **state)
{
	ok(make_stale(IOVA, RIG_LEN, NULL));
	munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	expect_blocked(IOVA, 0);
}

static void a_new_address_without_the_device_memory_is_refused(void **state)
{
	uint8_t *nothing = vfio_reserve(RIG_LEN, PAGE, 0), *half;

	assert_non_null(nothing);
	ok(make_stale(IOVA, RIG_LEN, NULL));
	refused(EFAULT, new_address(nothing, IOVA, RIG_LEN));
	/* Only half of the memory is at the new address. */
	half = vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_HALF,
				PROT_READ | PROT_WRITE, nothing);
	assert_non_null(half);
	refused(EFAULT, new_address(nothing, IOVA, RIG_LEN));
	expect_landing(IOVA, 0);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);

	/*
	 * The refused calls have changed nothing: the mapping still waits for a new
	 * address, and its mirror still follows the old one, rig.map.
	 */
	refused(EINVAL, make_stale(IOVA, RIG_LEN, NULL));
	munmap(nothing, RIG_LEN);
	expect_landing(IOVA, 0);
	ok(new_address(rig.map, IOVA, RIG_LEN));
	expect_landing(IOVA, 0);
	munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	expect_blocked(IOVA, 0);
}

/* A VMM's live update cannot wait until the guest turns its device's memory on. */
static void a_new_address_is_taken_while_the_memory_is_off(void **state)
{
	struct vfio_tether_query q;
	uint8_t *moved;

	ok(make_stale(IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, false));
	moved = map_bar();
	ok(new_address(moved, IOVA, RIG_LEN));
	munmap(rig.map, RIG_LEN);
	rig.map = moved;
	refused(EINVAL, new_address(moved, IOVA, RIG_LEN));
	if (on_tether()) {
		ok(rig_query(IOVA, RIG_LEN, &q));
		assert_int_equal(q.revoked, RIG_LEN);
	}
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), 2.0);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
}

/*
 * After the update munmap() at the new address revokes the mirror, even while the
 * memory is off, and it is not restored there.
 */
static void memory_that_was_off_goes_with_its_new_address(void **state)
{
	uint8_t *moved;

	ok(make_stale(IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, false));
	moved = map_bar();
	ok(new_address(moved, IOVA, RIG_LEN));
	munmap(moved, RIG_HALF);
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA + RIG_HALF, RIG_HALF, now(), 2.0);
	expect_blocked(IOVA, 0);
	munmap(moved + RIG_HALF, RIG_HALF);
	expect_blocked(IOVA + RIG_HALF, RIG_HALF);
}

/*
 * A new address that would be refused with the memory on is refused with it off, too.
 */
static void off_or_not_a_new_address_needs_the_device_memory(void **state)
{
	uint8_t *nothing = vfio_reserve(RIG_LEN, PAGE, 0), *half, *rest;

	assert_non_null(nothing);
	ok(make_stale(IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, false));
	refused(EFAULT, new_address(nothing, IOVA, RIG_LEN));
	half = vfio_region_mmap(&rig.device, TARGET_BAR, 0, RIG_HALF,
				PROT_READ | PROT_WRITE, nothing);
	assert_non_null(half);
	refused(EFAULT, new_address(nothing, IOVA, RIG_LEN));
	/* The second half is at the new address, but read-only. */
	rest = vfio_region_mmap(&rig.device, TARGET_BAR, RIG_HALF, RIG_HALF,
				PROT_READ, nothing + RIG_HALF);
	assert_non_null(rest);
	refused(EFAULT, new_address(nothing, IOVA, RIG_LEN));
	munmap(nothing, RIG_LEN);

	/* The mapping is still stale, and is restored at the old address. */
	refused(EINVAL, make_stale(IOVA, RIG_LEN, NULL));
	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), 2.0);
	expect_landing(IOVA + RIG_LEN - PAGE, RIG_LEN - PAGE);
	munmap(rig.map, RIG_LEN);
	rig.map = NULL;
	expect_blocked(IOVA, 0);
}

static void map_page(uint8_t *at, uint64_t offset)
{
	assert_ptr_equal(vfio_region_mmap(&rig.device, TARGET_BAR, offset, PAGE,
					  PROT_READ | PROT_WRITE, at), at);
}

/*
 * The mapping has a page of device memory, one of RAM, and one of device memory. At
 * first the last page is not at the new address: the update fails, and must change
 * nothing.
 */
static void half_of_a_new_address_changes_nothing(void **state)
{
	const size_t len = 3 * PAGE, last = 2 * PAGE;
	uint8_t *old = vfio_reserve(len, PAGE, 0);
	uint8_t *moved = vfio_reserve(len, PAGE, 0);

	assert_non_null(old);
	assert_non_null(moved);
	assert_int_equal(mprotect(old, len, PROT_READ | PROT_WRITE), 0);
	map_page(old, 0);
	map_page(old + last, last);
	ok(vfio_dma_map(&rig.container, old, IOVA, len, VFIO_DMA_RW));
	ok(make_stale(IOVA, len, NULL));

	map_page(moved, 0);
	refused(EFAULT, new_address(moved, IOVA, len));
	expect_return(IOVA, 0, now(), 2.0);
	expect_return(IOVA + last, last, now(), 2.0);

	map_page(moved + last, last);
	ok(new_address(moved, IOVA, len));
	munmap(old, len);
	expect_landing(IOVA, 0);
	expect_landing(IOVA + last, last);
	munmap(moved, len);
	expect_blocked(IOVA, 0);
	expect_blocked(IOVA + last, last);
}

#define RAM(f)	TEST(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	RAM(update_vaddr_is_not_offered_with_emulated_devices),
	RAM(no_group_may_come_while_an_address_is_stale),
	RAM(new_address_must_be_for_a_stale_mapping),
	RAM(stale_twice_is_refused_whole),
	RAM(dma_goes_on_while_an_address_is_updated),
	RAM(address_moves_to_a_new_process),
	RAM(address_moves_across_exec),
	RAM(a_process_that_may_not_pay_is_refused),
	SECURITY(device_memory_is_tethered_to_its_new_address, rig_mapped,
		 rig_heal),
	SECURITY(stale_device_memory_goes_with_its_old_address, rig_mapped,
		 rig_heal),
	TETHER(a_new_address_without_the_device_memory_is_refused, rig_mapped,
	       rig_heal),
	TEST(a_new_address_is_taken_while_the_memory_is_off, rig_mapped,
	     rig_heal),
	SECURITY(memory_that_was_off_goes_with_its_new_address, rig_mapped,
		 rig_heal),
	TETHER(off_or_not_a_new_address_needs_the_device_memory, rig_mapped,
	       rig_heal),
	TETHER(half_of_a_new_address_changes_nothing, rig_unmapped, rig_heal),
};

static int open_all(void **state)
{
	ok(emu_load());
	return rig_open(state);
}

static int close_all(void **state)
{
	rig_close(state);
	return emu_unload();
}

int main(int argc, char **argv)
{
	if (argc >= 6 && !strcmp(argv[1], ADOPT))
		return adopt(argc, argv);
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(*tests),
			 open_all, close_all);
}
