// SPDX-License-Identifier: GPL-2.0-only
/*
 * An episode's process: a container with a device that has memory, a second
 * group, and an arena of addresses. What calls return matters to nobody.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "vfio.h"

#define DEVICE		"0000:00:05.0"	/* 64 MiB in BAR 2, no reset */
#define GROUP2		"0000:00:04.0"
#define BAR		2
#define DEVICE_LEN	(64ULL << 20)

static struct vfio_container container;
static struct vfio_device device;
static int group2;
static uint8_t *buffer;		/* THREADS of: writable, read-only, nothing */

bool episode_begin(void)
{
	int ret = vfio_container_open(&container, VFIO_TYPE1v2_IOMMU);

	if (!ret)
		ret = vfio_device_open_patiently(&device, &container, DEVICE,
						 NULL);
	if (!ret)
		ret = vfio_device_bind(GROUP2);
	if (ret) {
		fprintf(stderr, "fuzz: %s: %s\n", DEVICE, strerror(-ret));
		return false;
	}
	group2 = vfio_group_open(GROUP2);
	buffer = mmap(NULL, THREADS * 3 * PAGE, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		mprotect(buffer + i * 3 * PAGE, PAGE, PROT_READ | PROT_WRITE);
		mprotect(buffer + (i * 3 + 1) * PAGE, PAGE, PROT_READ);
	}
	mmap((void *)ARENA, ARENA_LEN / 2, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	vfio_region_mmap(&device, BAR, 0, ARENA_LEN / 2, PROT_READ | PROT_WRITE,
			 (void *)(ARENA + ARENA_LEN / 2));
	return true;
}

static int fd_of(uint64_t n)
{
	const int fds[FDS] = { container.fd, device.group, device.fd, group2 };

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

/* Never beyond the arena: the process has to live. */
static void *first_of(uint64_t page)
{
	return (void *)(ARENA + page % (ARENA_LEN / PAGE) * PAGE);
}

static size_t len_of(uint64_t first, uint64_t pages)
{
	uint64_t room = ARENA_LEN / PAGE - first % (ARENA_LEN / PAGE);

	return (pages % 4096 < room ? pages % 4096 : room) * PAGE;
}

static void do_mmap(const struct call *call)
{
	uint64_t room = DEVICE_LEN / PAGE - call->b % 4096;
	size_t len = len_of(call->a, call->b);

	if (!len)
		return;
	if (call->d % 4 < 2)
		vfio_region_mmap(&device, BAR, call->a % room * PAGE, len,
				 call->c & 3, first_of(call->a));
	else
		mmap(first_of(call->a), len, call->c & 3,
		     MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE |
		     (call->d % 4 == 2 ? MAP_PRIVATE : MAP_SHARED), -1, 0);
}

/* Stock 6.1 warns of it for device memory: RAM alone. */
static void do_mremap(const struct call *call)
{
	uint64_t half = ARENA_LEN / PAGE / 2;
	size_t len = len_of(call->a, call->b % 512 + 1);
	void *from = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (from != MAP_FAILED)
		mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
		       first_of(call->c % half));
}

static void do_fork(const struct call *call)
{
	pid_t pid = fork();

	if (!pid) {
		if (call->a % 3 == 0)
			execl("/bin/busybox", "true", NULL);
		if (call->a % 3 == 1)
			kill(getpid(), SIGKILL);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* Another thread may be using the old one: dup2() is all at once. */
static void do_reopen(const struct call *call)
{
	int fd;

	if (call->a % 4)
		return;
	fd = vfio_group_open(GROUP2);
	if (fd < 0)
		return;
	dup2(fd, group2);
	close(fd);
}

/* The container's fd is behind a pointer, and its number is no secret. */
static void do_bare(const struct call *call)
{
	if (call->b == VFIO_GROUP_SET_CONTAINER && call->c < 12)
		ioctl(fd_of(call->a), call->b, &container.fd);
	else
		ioctl(fd_of(call->a), call->b, call->c);
}

/*
 * Stock vfio-pci, up to 6.10, zaps VMAs whose page tables a munmap() frees at the
 * same time (tests/stress/place.c). That is not for this fuzzer to find.
 */
static bool one_at_a_time(const struct call *call)
{
	static int old = -1;
	struct utsname name;

	if (old < 0)
		old = !uname(&name) && !strncmp(name.release, "6.1.", 4);
	return old && (call->kind == CALL_MUNMAP ||
		       call->kind == CALL_DECODING || call->kind == CALL_RESET);
}

static void execute(const struct call *call, unsigned int thread)
{
	size_t len = len_of(call->a, call->b);

	switch (call->kind) {
	case CALL_IOCTL:
		ioctl(fd_of(call->a), call->b, place_of(call, thread));
		break;
	case CALL_IOCTL_BARE:
		do_bare(call);
		break;
	case CALL_MMAP:
		do_mmap(call);
		break;
	case CALL_MUNMAP:
		munmap(first_of(call->a), len);
		break;
	case CALL_MPROTECT:
		mprotect(first_of(call->a), len, call->c & 3);
		break;
	case CALL_MREMAP:
		do_mremap(call);
		break;
	case CALL_MADVISE:
		/* poisoning pages is the machine's, not the process', loss */
		if (call->c < 26)
			madvise(first_of(call->a), len, call->c);
		break;
	case CALL_DECODING:
		vfio_decoding(&device, call->d % 3);
		break;
	case CALL_RESET:
		vfio_reset(&device);
		break;
	case CALL_FORK:
		do_fork(call);
		break;
	case CALL_REOPEN:
		do_reopen(call);
		break;
	}
}

void call_execute(const struct call *call, unsigned int thread)
{
	static pthread_mutex_t zapping = PTHREAD_MUTEX_INITIALIZER;
	bool alone = one_at_a_time(call);

	if (alone)
		pthread_mutex_lock(&zapping);
	execute(call, thread);
	if (alone)
		pthread_mutex_unlock(&zapping);
}
