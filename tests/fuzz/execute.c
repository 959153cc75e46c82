// SPDX-License-Identifier: GPL-2.0-only
/*
 * An episode's process: a container with a device that has memory, a second container
 * with a group, one more group, and an arena of addresses. Calls may fail: their
 * results are only counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "fuzz.h"

#define DEVICE		"0000:01:00.0"	/* 1 GiB in BAR 2, bus reset */
#define GROUP2		"0000:00:04.0"
#define GROUP3		"0000:00:03.0"

static struct vfio_container container, container2;
static struct vfio_device device;
static int group2, group3;
static uint8_t *buffer;		/* each thread: writable, read-only, PROT_NONE page */

static bool cannot(const char *what, int ret)
{
	if (ret < 0)
		fprintf(stderr, "fuzz: %s: %s\n", what, strerror(-ret));
	return ret < 0;
}

static int open_group(const char *bdf)
{
	int ret = vfio_device_bind(bdf);

	return ret ? ret : vfio_group_open(bdf);
}

static bool open_vfio(void)
{
	return !cannot("container", vfio_container_open(&container, VFIO_TYPE1v2_IOMMU)) &&
	       !cannot("container", vfio_container_open(&container2, VFIO_TYPE1v2_IOMMU)) &&
	       !cannot(DEVICE, vfio_device_open_patiently(&device, &container, DEVICE,
							  NULL)) &&
	       !cannot(GROUP2, group2 = open_group(GROUP2)) &&
	       !cannot(GROUP3, group3 = open_group(GROUP3)) &&
	       !cannot(GROUP3, vfio_group_attach(group3, &container2));
}

static bool old_kernel(void)
{
	static int old = -1;
	struct utsname name;

	if (old < 0)
		old = !uname(&name) && !strncmp(name.release, "6.1.", 4);
	return old;
}

bool episode_begin(void)
{
	if (!open_vfio())
		return false;
	buffer = mmap(NULL, THREADS * 3 * PAGE, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		mprotect(buffer + i * 3 * PAGE, PAGE, PROT_READ | PROT_WRITE);
		mprotect(buffer + (i * 3 + 1) * PAGE, PAGE, PROT_READ);
	}
	return memory_begin(&device, old_kernel());
}

static int fd_of(uint64_t n)
{
	const int fds[FDS] = {
		container.fd, device.group, device.fd, group2, container2.fd, group3
	};

	return fds[n % FDS];
}

static void *place_of(const struct call *call, unsigned int thread)
{
	uint8_t *page = buffer + thread * 3 * PAGE;

	switch (call->c) {
	case AT_NULL: return NULL;
	case AT_KERNEL: return (void *)0xffff888000001000;
	case AT_READ_ONLY: return page + PAGE;
	case AT_PAGE_END:
		page += PAGE - DATA / 2;
		break;
	}
	memcpy(page, call->data, call->c == AT_PAGE_END ? DATA / 2 : DATA);
	return page;
}

/*
 * A group can be open only once, so this closes the group's file before it opens a new
 * one. Meanwhile the fd, which the other thread may use, is that of /dev/null. If the
 * group was the last one of its container, the container loses its backend and all
 * mappings.
 */
static bool do_reopen(const struct call *call)
{
	bool third = call->a % 2;
	int group = third ? group3 : group2;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	dup2(fd, group);
	close(fd);
	fd = vfio_group_open(third ? GROUP3 : GROUP2);
	if (fd < 0)
		return false;
	dup2(fd, group);
	close(fd);
	if (call->d) {
		ioctl(group, VFIO_GROUP_SET_CONTAINER,
		      third ? &container2.fd : &container.fd);
		/* This fails, as it should, if container2 still has a backend. */
		ioctl(container2.fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	}
	return true;
}

/* Ioctls whose argument is no struct: a number, or a pointer to a container's fd. */
static int do_bare(const struct call *call)
{
	if (call->b == VFIO_GROUP_SET_CONTAINER && call->c < 12)
		return ioctl(fd_of(call->a), call->b,
			     call->c % 2 ? &container2.fd : &container.fd);
	return ioctl(fd_of(call->a), call->b, call->c);
}

/*
 * Up to 6.9 stock vfio-pci may zap a VMA while munmap() frees its page tables (see
 * give_back() in tests/stress/place.c). So that the fuzzer does not find this known
 * bug, on 6.1 munmap() and calls that zap exclude each other. mmap() and mremap()
 * exclude them and each other, too: memory_move() has to know where the arena has the
 * device's memory.
 */
static bool one_at_a_time(const struct call *call)
{
	if (!old_kernel())
		return false;
	switch (call->kind) {
	case CALL_MMAP:
	case CALL_MUNMAP:
	case CALL_MREMAP:
	case CALL_DECODING:
	case CALL_RESET:
	case CALL_HOT_RESET:
	case CALL_LOW_POWER:
		return true;
	case CALL_IOCTL:
	case CALL_IOCTL_BARE:
		/* Such an ioctl may reset the device, which zaps its memory. */
		return call->a % FDS == FD_DEVICE;
	}
	return false;
}

/* Makes the call. Returns whether the call had its intended effect. */
static bool execute(const struct call *call, unsigned int thread)
{
	void *first = arena_first(call->a);
	size_t len = arena_len(call->a, call->b);

	switch (call->kind) {
	case CALL_IOCTL:
		return ioctl(fd_of(call->a), call->b, place_of(call, thread)) >= 0;
	case CALL_IOCTL_BARE:
		return do_bare(call) >= 0;
	case CALL_MMAP:
		return memory_map(call);
	case CALL_MUNMAP:
		return !munmap(first, len);
	case CALL_MPROTECT:
		return !mprotect(first, len, call->c & 3);
	case CALL_MREMAP:
		return memory_move(call, old_kernel());
	case CALL_MADVISE:
		/* Not MADV_HWPOISON and the like, which take pages from the machine. */
		return call->c < 26 && !madvise(first, len, call->c);
	case CALL_DECODING:
		return !vfio_decoding(&device, call->d % 3);
	case CALL_RESET:
		return !vfio_reset(&device);
	case CALL_HOT_RESET:
		return !vfio_hot_reset(&device);
	case CALL_LOW_POWER:
		return !vfio_low_power(&device, call->a % 2);
	case CALL_FORK:
		return child_run(call, fd_of(call->c));
	case CALL_REOPEN:
		return do_reopen(call);
	}
	return false;
}

void call_execute(const struct call *call, unsigned int thread)
{
	static pthread_mutex_t zapping = PTHREAD_MUTEX_INITIALIZER;
	bool alone = one_at_a_time(call), done;

	if (alone)
		pthread_mutex_lock(&zapping);
	done = execute(call, thread);
	if (alone)
		pthread_mutex_unlock(&zapping);
	tally(call->kind, done);
	if (call->kind == CALL_IOCTL && call->a % FDS == FD_CONTAINER2)
		tally(TALLY_CONTAINER2, done);
}
