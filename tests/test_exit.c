// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that end slowly. Before an ending process frees its memory, it waits in
 * exit_aio() for its asynchronous reads. Here these are reads of a FUSE file system
 * (slow_fs.h) that answers as late as a test wants. Meanwhile the process's mm has no
 * users, but still has all VMAs. If such a process has mapped memory for DMA, no other
 * process may have to wait for its end, and no device may reach device memory that is
 * switched off.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend.h"
#include "emu.h"
#include "proc.h"
#include "rig.h"
#include "slow_fs.h"

/*
 * Work that must not wait for the slow file system has to be done within this time,
 * which is enough on a busy machine. Work that does wait is never done in time.
 */
#define SOON_S		(20 * patience())
/*
 * Within this time the module has made its periodic checks, both every 10 ms: for mms
 * without users, and for device memory that is on again.
 */
#define LOOK_MS		(100 * patience())
#define CHILD_LEN	(2 * MIB)

static struct slow_fs fs;
static pid_t child = -1;

static int setup(void **state)
{
	ok(slow_fs_start(&fs));
	return rig_unmapped(state);
}

static void reap(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int teardown(void **state)
{
	slow_fs_answer(&fs, true);
	reap(child);
	child = -1;
	slow_fs_stop(&fs);
	return rig_heal(state);
}

static bool soon(bool (*done)(void *arg), void *arg)
{
	const double start = now();

	while (!done(arg)) {
		if (now() - start > SOON_S)
			return false;
		sleep_ms(5);
	}
	return true;
}

/* Is @function in the kernel stack of this process's main thread, or kernel thread? */
static bool stack_has(pid_t pid, const char *function)
{
	char path[64], text[4096] = "";

	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	proc_read_file(path, text, sizeof(text));
	return strstr(text, function);
}

/*
 * True if the process waits in exit_aio(). This reads only its kernel stack: a read of
 * another file in /proc might take a reference to its mm, and then this test would drop
 * the last reference and run exit_aio() itself.
 */
static bool is_ending(void *pid)
{
	return stack_has(*(pid_t *)pid, "exit_aio");
}

static bool reads_wait(void *count)
{
	return slow_fs_waiting(&fs) >= *(unsigned int *)count;
}

static int tell_child;

/*
 * Fork a child, and return when it has called map(arg) and started an asynchronous
 * read. The file system may have answered that read by then. The child exits when
 * tell_child is closed, or when it is killed.
 */
static pid_t spawn_answered(int (*map)(void *arg), void *arg)
{
	int to_child[2], from_child[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(to_child), 0);
	assert_int_equal(pipe(from_child), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(to_child[1]);
		if (!map(arg) && !slow_fs_read_ahead_of_exit(&fs) &&
		    write(from_child[1], "m", 1) == 1 && read(to_child[0], &byte, 1) >= 0)
			_exit(0);
		_exit(1);
	}
	close(to_child[0]);
	close(from_child[1]);
	if (read(from_child[0], &byte, 1) != 1)
		broken("the child could not map");
	close(from_child[0]);
	tell_child = to_child[1];
	return pid;
}

/*
 * Like spawn_answered(), but returns only when the file system has the child's read and
 * keeps it unanswered, so that the child's end will wait for it in exit_aio().
 */
static pid_t spawn(int (*map)(void *arg), void *arg)
{
	unsigned int reads = slow_fs_waiting(&fs) + 1;
	pid_t pid = spawn_answered(map, arg);

	assert_true(soon(reads_wait, &reads));
	return pid;
}

static void let_child_exit(void)
{
	close(tell_child);
	assert_true(soon(is_ending, &child));
}

/*
 * Maps CHILD_LEN bytes of the target's BAR for DMA, but mmap()s the whole BAR: up to
 * 6.9 one fault fills the page tables of the whole VMA. So when tether restores the
 * mapping, its fault takes so long that a test can kill the process meanwhile.
 */
static int map_target(void *iova)
{
	uint8_t *map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, TARGET_LEN,
					PROT_READ | PROT_WRITE, NULL);

	return map ? vfio_dma_map(&rig.container, map, (uintptr_t)iova, CHILD_LEN,
				  VFIO_DMA_RW) : -errno;
}

/*
 * Up to 6.9 vfio-pci does not zap the VMAs of an mm without users when the device's
 * memory is switched off, so no notifier tells the backend. During the DMA the memory
 * is off for VFIO, but host_decoding() has it on, so that the bytes show whether the
 * DMA passed.
 */
static void memory_of_an_ending_process_that_goes_off_is_revoked(void **state)
{
	child = spawn(map_target, (void *)IOVA);
	expect_landing(IOVA, 0);
	let_child_exit();
	sleep_ms(LOOK_MS);
	ok(target_fill(&rig.target, 0, 0, PAGE));
	ok(vfio_decoding(&rig.device, false));
	ok(host_decoding(TARGET, true));
	blind_dma(IOVA);
	ok(host_decoding(TARGET, false));
	ok(vfio_decoding(&rig.device, true));
	expect_blind_dma_blocked(IOVA, 0);
}

/* Tether restores no mapping of device memory for an mm without users. */
static void memory_of_an_ending_process_does_not_come_back(void **state)
{
	child = spawn(map_target, (void *)IOVA);
	ok(vfio_decoding(&rig.device, false));
	let_child_exit();
	ok(vfio_decoding(&rig.device, true));
	sleep_ms(300);
	expect_blocked(IOVA, 0);
}

/* How many kernel workers have @function in their stack (/proc/PID/stack). */
static unsigned int kernel_threads_in(const char *function)
{
	char path[300], text[64];
	unsigned int count = 0;
	struct dirent *d;
	DIR *proc = opendir("/proc");

	assert_non_null(proc);
	while ((d = readdir(proc))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", d->d_name);
		if (d->d_name[0] < '1' || d->d_name[0] > '9' ||
		    proc_read_file(path, text, sizeof(text)) ||
		    strncmp(text, "kworker", 7))
			continue;
		if (stack_has(atoi(d->d_name), function))
			count++;
	}
	closedir(proc);
	return count;
}

/*
 * Processes are killed while restore, in a kernel worker, reads their memory. If
 * restore held their mm, the worker would drop the last reference and wait in
 * exit_aio(); the process's own thread has to do that.
 */
static void an_end_amid_restore_is_the_process_s_own(void **state)
{
	enum { ENDS = 24 };
	unsigned int i, parked;
	pid_t pids[ENDS];

	for (i = 0; i < ENDS; i++) {
		pids[i] = spawn(map_target, (void *)(IOVA + i * CHILD_LEN));
		ok(vfio_decoding(&rig.device, false));
		ok(vfio_decoding(&rig.device, true));
		sleep_ms(10 + i % 8 * 3);
		kill(pids[i], SIGKILL);
		close(tell_child);
	}
	sleep_ms(500);
	parked = kernel_threads_in("exit_aio");
	slow_fs_answer(&fs, true);
	for (i = 0; i < ENDS; i++)
		reap(pids[i]);
	if (parked)
		broken("%u workers of the kernel wait for what processes read", parked);
}

/* --- Uses of another process's memory ------------------------------------- */

/* A container with an emulated device, and a process whose memory that device pins. */
struct use {
	struct vfio_container container;
	struct emu emu;
	pthread_t thread;
	pid_t child;
	unsigned int number;
};

static struct use use, other_use;

static void open_use(struct use *u, unsigned int number)
{
	memset(u, 0, sizeof(*u));
	u->number = number;
	ok(vfio_container_open(&u->container, VFIO_TYPE1v2_IOMMU));
	ok(emu_open(&u->emu, &u->container, number));
}

/*
 * The caller has made the file system answer all reads, so neither the thread that pins
 * nor the child's end waits any more.
 */
static void close_use(struct use *u)
{
	if (u->thread)
		pthread_join(u->thread, NULL);
	reap(u->child);
	emu_close(&u->emu);
	vfio_container_close(&u->container);
}

static int setup_use(void **state)
{
	ok(slow_fs_start(&fs));
	ok(emu_load());
	open_use(&use, 0);
	return 0;
}

static int teardown_use(void **state)
{
	slow_fs_answer(&fs, true);
	close_use(&use);
	slow_fs_stop(&fs);
	return emu_unload();
}

static int setup_two_uses(void **state)
{
	setup_use(state);
	open_use(&other_use, 1);
	return 0;
}

static int teardown_two_uses(void **state)
{
	slow_fs_answer(&fs, true);
	close_use(&other_use);
	return teardown_use(state);
}

/* Maps for DMA a page whose first access waits for the test's file system. */
static int map_slow_page(void *arg)
{
	struct use *u = arg;
	void *page = slow_fs_page(&fs, u->number);

	return page ? vfio_dma_map(&u->container, page, IOVA, PAGE, VFIO_DMA_RO) :
		      -errno;
}

static void *pin_slow_page(void *arg)
{
	struct use *u = arg;

	emu_pin(&u->emu, IOVA, 1, EMU_PROT_READ);
	return NULL;
}

static int map_slow_page_and_another(void *arg)
{
	struct use *u = arg;
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret = vfio_dma_map(&u->container, page, IOVA + 2 * PAGE, PAGE, VFIO_DMA_RW);

	return ret ?: map_slow_page(arg);
}

/*
 * In a thread, start to pin the child's slow page, and return when the file system has
 * two unanswered reads: that of the pin, and the one for which the child's end waits.
 */
static void start_use(struct use *u, int (*map)(void *arg))
{
	unsigned int reads = slow_fs_waiting(&fs) + 2;

	u->child = spawn(map, u);
	assert_int_equal(pthread_create(&u->thread, NULL, pin_slow_page, u), 0);
	assert_true(soon(reads_wait, &reads));
}

static int map_own_page(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return vfio_dma_map(&use.container, page, IOVA + PAGE, PAGE, VFIO_DMA_RW);
}

static void *map_and_tell(void *done)
{
	if (!map_own_page())
		atomic_store((atomic_bool *)done, true);
	return NULL;
}

static bool is_set(void *flag)
{
	return atomic_load((atomic_bool *)flag);
}

/*
 * The child ends while its page is being pinned, so the pin holds the last reference to
 * its mm, and the put of that reference waits in exit_aio(). Neither the thread that
 * pins nor other calls on the container may wait for that put.
 */
static void the_last_put_of_a_process_holds_up_nobody(void **state)
{
	static atomic_bool done;
	pthread_t thread;
	bool in_time;

	atomic_store(&done, false);
	start_use(&use, map_slow_page_and_another);
	close(tell_child);
	reap(use.child);
	use.child = -1;
	/* Answer the page's read, not the one for which the child's end waits. */
	slow_fs_answer_last(&fs);

	assert_int_equal(pthread_create(&thread, NULL, map_and_tell, &done), 0);
	in_time = soon(is_set, &done);
	if (in_time) {
		/*
		 * Until the last put is done, the container refuses to use the memory
		 * of processes other than the caller.
		 */
		refused(EBUSY, emu_pin(&use.emu, IOVA + 2 * PAGE, 1, EMU_PROT_READ));
		assert_int_equal(emu_pin(&use.emu, IOVA + PAGE, 1, EMU_PROT_READ), 1);
		assert_int_equal(emu_unpin(&use.emu, IOVA + PAGE, 1), 1);
	}
	slow_fs_answer(&fs, true);
	pthread_join(thread, NULL);
	assert_true(in_time);
}

/* Resets the device again and again, so that restore is at work when the kill comes. */
static void *reset_for_ever(void *arg)
{
	for (;;)
		vfio_reset(arg);
	return NULL;
}

static int own_device_and_reset(void *arg)
{
	static struct vfio_container container;
	static struct vfio_device nvme;
	pthread_t thread;
	void *map;
	int ret;

	ret = vfio_container_open(&container, VFIO_TYPE1v2_IOMMU);
	if (!ret)
		ret = vfio_device_open(&nvme, &container, NVME);
	if (ret)
		return ret;
	map = vfio_region_mmap(&nvme, 2, 0, MIB, PROT_READ | PROT_WRITE, NULL);
	if (!map)
		return -errno;
	ret = vfio_dma_map(&container, map, IOVA, MIB, VFIO_DMA_RW);
	return ret ?: -pthread_create(&thread, NULL, reset_for_ever, &nvme);
}

static int setup_closed(void **state)
{
	ok(slow_fs_start(&fs));
	slow_fs_answer(&fs, true);
	return rig_close(state);
}

static int teardown_closed(void **state)
{
	slow_fs_stop(&fs);
	return rig_open(state);
}

static void devices_are_free_once_a_killed_process_is_gone(void **state)
{
	struct vfio_container container;
	struct vfio_device nvme;
	unsigned int i;
	int ret;

	for (i = 0; i < 12; i++) {
		child = spawn_answered(own_device_and_reset, NULL);
		sleep_ms(5 + i * 17);
		reap(child);
		child = -1;
		close(tell_child);
		ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
		ret = vfio_device_open(&nvme, &container, NVME);
		if (ret)
			broken("kill %u: the device is not free: %s", i, strerror(-ret));
		vfio_device_close(&nvme);
		vfio_container_close(&container);
	}
}

static int map_ram_and_slow_page(void *arg)
{
	struct use *u = arg;
	void *ram = mmap(NULL, MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int ret = vfio_dma_map(&rig.container, ram, IOVA + u->number * MIB, MIB,
			       VFIO_DMA_RW);

	return ret ?: map_slow_page(arg);
}

static bool is_in_the_module(void *pid)
{
	return stack_has(*(pid_t *)pid, backend_mark());
}

static bool is_gone(void *pid)
{
	return waitpid(*(pid_t *)pid, NULL, WNOHANG) == *(pid_t *)pid;
}

/* Nothing is charged to the process, except for the slow page, which stays pinned. */
static bool owes_nothing(void *pid)
{
	return proc_status_kb(*(pid_t *)pid, "VmLck") <= (long)PAGE / 1024;
}

/*
 * Fork a process that unmaps @size bytes from IOVA on, which waits for the mmap_lock of
 * the child that pays for them, and kill it. It has to end before the lock is free.
 */
static void kill_amid_unmap(uint64_t size)
{
	bool in_time;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(-vfio_dma_unmap(&rig.container, IOVA, size, NULL));
	assert_true(soon(is_in_the_module, &pid));
	sleep_ms(LOOK_MS);
	assert_true(is_in_the_module(&pid));
	kill(pid, SIGKILL);
	in_time = soon(is_gone, &pid);
	slow_fs_answer(&fs, true);
	if (!in_time)
		waitpid(pid, NULL, 0);
	assert_true(in_time);
}

/*
 * The memory is charged to use.child. A thread that pins the child's slow page holds
 * the child's mmap_lock until the file system answers. A process that unmaps the memory
 * waits for this lock, to take the charge back. It can be killed while it waits, and
 * the charge is taken back nevertheless.
 */
static void who_waits_to_take_a_charge_back_can_be_killed(void **state)
{
	start_use(&use, map_ram_and_slow_page);
	kill_amid_unmap(MIB);
	assert_true(soon(owes_nothing, &use.child));
}

/* The same with the memory of two processes: the charge of each is taken back later. */
static void two_processes_charges_are_taken_back(void **state)
{
	start_use(&use, map_ram_and_slow_page);
	start_use(&other_use, map_ram_and_slow_page);
	kill_amid_unmap(2 * MIB);
	assert_true(soon(owes_nothing, &use.child));
	assert_true(soon(owes_nothing, &other_use.child));
}

/*
 * Further devices in use.container: edu gives it an IOMMU, and target2 has the device
 * memory that is mmap()ed at map2, for a test to map for DMA.
 */
static struct edu edu;
static struct vfio_device target2;
static uint8_t *map2;

static int setup_use_with_mirror(void **state)
{
	setup_use(state);
	ok(edu_open(&edu, &use.container, EDU_B, IOVA_B));
	ok(vfio_device_open(&target2, &use.container, TARGET2));
	map2 = vfio_region_mmap(&target2, TARGET_BAR, 0, MIB, PROT_READ | PROT_WRITE,
				NULL);
	assert_non_null(map2);
	return 0;
}

static int teardown_use_with_mirror(void **state)
{
	slow_fs_answer(&fs, true);
	reap(child);
	child = -1;
	vfio_dma_unmap_all(&use.container, NULL);
	munmap(map2, MIB);
	vfio_device_close(&target2);
	edu_close(&edu);
	return teardown_use(state);
}

static bool no_worker_is_in_the_module(void *arg)
{
	return !kernel_threads_in(backend_mark());
}

/*
 * A child that maps a slow page holds container->lock until the file system answers.
 * Meanwhile target2's memory goes off and on, so that restore has work to do. Its
 * worker must not wait for the lock, but has to end, and try again later.
 */
static void restore_does_not_wait_for_the_container(void **state)
{
	unsigned int reads = 1;
	bool in_time;

	ok(vfio_dma_map(&use.container, map2, IOVA + MIB, MIB, VFIO_DMA_RW));
	child = fork();
	assert_true(child >= 0);
	if (!child)
		_exit(-map_slow_page(&use));
	assert_true(soon(reads_wait, &reads));
	ok(vfio_decoding(&target2, false));
	ok(vfio_decoding(&target2, true));
	sleep_ms(LOOK_MS);
	in_time = soon(no_worker_is_in_the_module, NULL);
	slow_fs_answer(&fs, true);
	assert_true(in_time);
}

static const struct CMUnitTest tests[] = {
	SECURITY(memory_of_an_ending_process_that_goes_off_is_revoked, setup, teardown),
	SECURITY(memory_of_an_ending_process_does_not_come_back, setup, teardown),
	TETHER(an_end_amid_restore_is_the_process_s_own, setup, teardown),
	TETHER(the_last_put_of_a_process_holds_up_nobody, setup_use, teardown_use),
	TETHER(who_waits_to_take_a_charge_back_can_be_killed, setup_use, teardown_use),
	TETHER(two_processes_charges_are_taken_back, setup_two_uses,
	       teardown_two_uses),
	TETHER(restore_does_not_wait_for_the_container, setup_use_with_mirror,
	       teardown_use_with_mirror),
	TEST(devices_are_free_once_a_killed_process_is_gone, setup_closed,
	     teardown_closed),
};

TEST_MAIN(tests, rig_open, rig_close)
