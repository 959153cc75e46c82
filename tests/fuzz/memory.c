// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of an episode's process: the arena is a range of addresses at which calls
 * mmap the device's memory, anonymous memory, hugetlb, a memfd, a file, or memory whose
 * faults a thread of this process serves by userfaultfd, some of them late.
 *
 * Both threads change the arena without a lock, so that their calls race. Only
 * has_device[] needs a lock: memory_move() reads it, on 6.1 only, where call_execute()
 * holds its mutex around every call that reads or writes it.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"

#define DEVICE_LEN	(1ULL << 30)
#define HUGE_PAGES	512ULL		/* small pages in a huge page */
#define SERVED		(64 * PAGE)	/* bytes that one answer to a fault fills */
#define LATE_US		20000

static struct vfio_device *device;
static int memfd, file, faults;
static bool has_hugetlb;
static uint8_t *content;	/* SERVED bytes that faults are served with */
static bool has_device[ARENA_LEN / PAGE];

/* Calls get only addresses in the arena, so none unmaps the process's stack or code. */
void *arena_first(uint64_t page)
{
	return (void *)(ARENA + page % (ARENA_LEN / PAGE) * PAGE);
}

size_t arena_len(uint64_t first, uint64_t pages)
{
	uint64_t room = ARENA_LEN / PAGE - first % (ARENA_LEN / PAGE);

	return (pages % 4096 < room ? pages % 4096 : room) * PAGE;
}

/* Answers a fault: fills a missing page, or makes a write-protected page writable. */
static void serve(uint64_t at, bool protected)
{
	struct uffdio_writeprotect writable = {
		.range = { .start = at, .len = PAGE },
	};
	struct uffdio_copy copy = {
		.dst = at, .src = (uintptr_t)content, .len = SERVED,
		/* Fails if the range was registered without write protection. */
		.mode = UFFDIO_COPY_MODE_WP,
	};
	struct uffdio_range range = { .start = at, .len = SERVED };

	if (protected) {
		tally(TALLY_SERVED, !ioctl(faults, UFFDIO_WRITEPROTECT, &writable));
	} else {
		ioctl(faults, UFFDIO_COPY, &copy);
		if (copy.copy <= 0) {
			copy.mode = 0;
			copy.len = PAGE;
			ioctl(faults, UFFDIO_COPY, &copy);
		}
		tally(TALLY_SERVED, copy.copy > 0);
	}
	ioctl(faults, UFFDIO_WAKE, &range);
}

static void *serve_faults(void *random)
{
	struct random r = { (uintptr_t)random };
	struct uffd_msg msg;

	while (read(faults, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (random_percent(&r, 20))
			usleep(random_below(&r, LATE_US));
		serve(msg.arg.pagefault.address & ~(PAGE - 1),
		      msg.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP);
	}
	return NULL;
}

/* If the kernel has no userfaultfd, map_served() leaves ordinary memory there. */
static void begin_serving(void)
{
	struct uffdio_api api = {
		.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP,
	};
	pthread_t thread;

	content = mmap(NULL, SERVED, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	faults = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (faults < 0)
		return;
	if (ioctl(faults, UFFDIO_API, &api)) {
		close(faults);
		faults = -1;
		return;
	}
	pthread_create(&thread, NULL, serve_faults, (void *)(uintptr_t)getpid());
}

static void *map_anonymous(void *at, size_t len, int prot, int flags)
{
	return mmap(at, len, prot, MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE | flags,
		    -1, 0);
}

static void *map_huge(const struct call *call, int flags)
{
	uint64_t first = call->a & ~(HUGE_PAGES - 1);
	uint64_t pages = (call->b % 4096 + HUGE_PAGES - 1) & ~(HUGE_PAGES - 1);

	/*
	 * No MAP_NORESERVE: mmap() reserves huge pages or fails, so no fault lacks one.
	 */
	return mmap(arena_first(first), arena_len(first, pages), call->c & 3,
		    MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | flags, -1, 0);
}

static void *map_served(void *at, size_t len, int prot, bool protect)
{
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)at, .len = len },
		.mode = UFFDIO_REGISTER_MODE_MISSING |
			(protect ? UFFDIO_REGISTER_MODE_WP : 0),
	};

	if (map_anonymous(at, len, prot, MAP_PRIVATE) != at ||
	    ioctl(faults, UFFDIO_REGISTER, &range))
		return MAP_FAILED;
	return at;
}

bool memory_map(const struct call *call)
{
	void *at = arena_first(call->a), *map = NULL;
	size_t len = arena_len(call->a, call->b);
	int prot = call->c & 3, shared = call->c & 4 ? MAP_SHARED : MAP_PRIVATE;
	uint64_t room = DEVICE_LEN / PAGE - call->b % 4096;
	off_t offset = call->a * 7 % (ARENA_LEN / PAGE) * PAGE;

	if (!len)
		return false;
	switch (call->d % MEMORIES) {
	case MEMORY_DEVICE:
		memset(&has_device[((uintptr_t)at - ARENA) / PAGE], true, len / PAGE);
		map = vfio_region_mmap(device, DEVICE_BAR, call->a % room * PAGE, len,
				       prot, at);
		break;
	case MEMORY_ANONYMOUS:
		map = map_anonymous(at, len, prot, shared);
		break;
	case MEMORY_HUGETLB:
		if (has_hugetlb)
			map = map_huge(call, shared);
		break;
	case MEMORY_MEMFD:
		map = mmap(at, len, prot, MAP_FIXED | shared, memfd, offset);
		break;
	case MEMORY_FILE:
		map = mmap(at, len, prot, MAP_FIXED | shared, file, offset);
		break;
	case MEMORY_SERVED:
		map = map_served(at, len, prot, shared == MAP_SHARED);
		break;
	}
	tally(TALLY_MEMORY + call->d % MEMORIES, map && map != MAP_FAILED);
	return map && map != MAP_FAILED;
}

/*
 * Stock 6.1 warns when an mmap of the device's memory is moved (tests/test_mremap.c).
 * So if a range has any, this replaces the whole range by anonymous memory before the
 * move. The caller holds call_execute()'s mutex.
 */
static void no_device(void *at, size_t len)
{
	bool *has = &has_device[((uintptr_t)at - ARENA) / PAGE];

	if (len && memchr(has, true, len / PAGE) &&
	    map_anonymous(at, len, PROT_READ | PROT_WRITE, MAP_PRIVATE) == at)
		memset(has, false, len / PAGE);
}

bool memory_move(const struct call *call, bool old_kernel)
{
	size_t len = arena_len(call->a, call->b), new_len = arena_len(call->c, call->d);
	void *from = arena_first(call->a), *to = arena_first(call->c);
	int flags = 0;

	if (call->data[0] & MOVE_FRESH)
		from = mmap(NULL, len + !len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	else if (old_kernel)
		no_device(from, len + PAGE * !len);
	if (call->data[0] & MOVE_ANYWHERE)
		flags |= MREMAP_MAYMOVE;
	if (call->data[0] & MOVE_HERE)
		flags |= MREMAP_MAYMOVE | MREMAP_FIXED;
	if (call->data[0] & MOVE_LEAVE) {
		flags |= MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
		new_len = len;
	}
	return from != MAP_FAILED && mremap(from, len, new_len, flags, to) != MAP_FAILED;
}

/*
 * Fills the first half of the arena with RAM, the second with the device's memory.
 * Stock 6.1 with lockdep warns whenever a hugetlb VMA is split: hugetlb_split() asserts
 * a lock that __vma_adjust() takes only later. So on that kernel no call maps hugetlb
 * memory.
 */
bool memory_begin(struct vfio_device *of, bool old_kernel)
{
	struct call bar = { .a = ARENA_LEN / PAGE / 2, .b = ARENA_LEN / PAGE / 2,
			    .c = PROT_READ | PROT_WRITE, .d = MEMORY_DEVICE };

	device = of;
	has_hugetlb = !old_kernel || access("/proc/lockdep", F_OK);
	memfd = memfd_create("fuzz", MFD_CLOEXEC);
	file = open("/root", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (ftruncate(memfd, ARENA_LEN * 2) || ftruncate(file, ARENA_LEN * 2))
		return false;
	begin_serving();
	map_anonymous((void *)ARENA, ARENA_LEN / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	return memory_map(&bar);
}
