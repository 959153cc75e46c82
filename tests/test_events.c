// SPDX-License-Identifier: GPL-2.0-only
/*
 * <linux/vfio_tether.h>: how a program detects tether, asks how much of the memory that
 * it has mapped can be reached by devices, and is notified when that changes.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "proc.h"
#include "rig.h"

#define RAM_LEN		(4 * PAGE)
#define IOVA_RAM	(IOVA - RAM_LEN)	/* ends where the device memory begins */

static int events = -1;

static int sys_ioctl(unsigned long request, void *arg)
{
	int ret = ioctl(rig.container.fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static int set_eventfd(int fd)
{
	struct vfio_tether_eventfd set = { .argsz = sizeof(set), .fd = fd };

	return sys_ioctl(VFIO_TETHER_SET_EVENTFD, &set);
}

/* Reads the eventfd's counter, which resets it; 0 if it stays 0 for timeout_ms. */
static uint64_t told(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t count = 0;

	if (poll(&p, 1, timeout_ms) == 1)
		assert_int_equal(read(fd, &count, sizeof(count)),
				 sizeof(count));
	return count;
}

static int mapped(void **state)
{
	events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(events >= 0);
	return rig_mapped(state);
}

static int heal(void **state)
{
	set_eventfd(-1);
	close(events);
	return rig_heal(state);
}

static void only_tether_has_the_extension(void **state)
{
	int fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, VFIO_CHECK_EXTENSION, VFIO_TETHER_EXTENSION),
			 on_tether());
	close(fd);
	assert_int_equal(sys_ioctl(VFIO_CHECK_EXTENSION,
				   (void *)VFIO_TETHER_EXTENSION),
			 on_tether());
}

static void without_tether_its_ioctls_are_unknown(void **state)
{
	struct vfio_tether_query q;

	if (on_tether())
		ok(rig_query(0, 0, &q));
	else
		refused(ENOTTY, rig_query(0, 0, &q));
}

static void query_counts_what_is_in_the_range(void **state)
{
	void *ram = mmap(NULL, RAM_LEN, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct vfio_tether_query q;

	ok(vfio_dma_map(&rig.container, ram, IOVA_RAM, RAM_LEN, VFIO_DMA_RW));
	ok(rig_query(IOVA_RAM, RAM_LEN + RIG_LEN, &q));
	assert_int_equal(q.mappings, 2);
	assert_int_equal(q.mirrors, 1);
	assert_int_equal(q.pinned, RAM_LEN);
	assert_int_equal(q.live, RIG_LEN);
	assert_int_equal(q.revoked, 0);
	assert_int_equal(q.gone, 0);

	/*
	 * A range may begin and end anywhere. This one has the last page of the RAM,
	 * and all but the last byte of the device memory.
	 */
	ok(rig_query(IOVA - PAGE, PAGE + RIG_LEN - 1, &q));
	assert_int_equal(q.mappings, 2);
	assert_int_equal(q.pinned, PAGE);
	assert_int_equal(q.live, RIG_LEN - 1);

	ok(rig_query(IOVA + RIG_LEN, PAGE, &q));
	assert_int_equal(q.mappings, 0);
	assert_int_equal(q.mirrors, 0);
	assert_int_equal(q.pinned + q.live + q.revoked + q.gone, 0);

	/* Size 0 asks for the whole container, with the initiators' own buffers. */
	ok(rig_query(0, 0, &q));
	assert_true(q.mappings > 2);
	assert_true(q.pinned > RAM_LEN);
	assert_int_equal(q.live, RIG_LEN);
	ok(vfio_dma_unmap(&rig.container, IOVA_RAM, RAM_LEN, NULL));
	munmap(ram, RAM_LEN);
}

static void query_tells_revoked_from_gone(void **state)
{
	struct vfio_tether_query q;

	ok(vfio_decoding(&rig.device, false));
	ok(rig_query(IOVA, RIG_LEN, &q));
	assert_int_equal(q.live, 0);
	assert_int_equal(q.revoked, RIG_LEN);
	assert_int_equal(q.gone, 0);
	assert_int_equal(q.revocations, 1);

	munmap(rig.map + RIG_HALF, RIG_HALF);
	ok(rig_query(IOVA, RIG_LEN, &q));
	assert_int_equal(q.revoked, RIG_HALF);
	assert_int_equal(q.gone, RIG_HALF);
	ok(rig_query(IOVA + RIG_HALF - PAGE, 3 * PAGE, &q));
	assert_int_equal(q.revoked, PAGE);
	assert_int_equal(q.gone, 2 * PAGE);

	ok(vfio_decoding(&rig.device, true));
	expect_return(IOVA, 0, now(), 0.05);
	ok(rig_query(IOVA, RIG_LEN, &q));
	assert_int_equal(q.live, RIG_HALF);
	assert_int_equal(q.revoked, 0);
	assert_int_equal(q.gone, RIG_HALF);
	assert_int_equal(q.revocations, 1);
}

static void query_checks_its_arguments(void **state)
{
	struct vfio_tether_query q = { .argsz = sizeof(q), .size = PAGE };

	refused(EFAULT, sys_ioctl(VFIO_TETHER_QUERY, NULL));
	q.argsz--;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_QUERY, &q));
	q.argsz++;
	q.flags = 2;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_QUERY, &q));
	q.flags = VFIO_TETHER_QUERY_FLAG_ALL;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_QUERY, &q));
	q.flags = 0;
	q.size = 0;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_QUERY, &q));
	q.iova = -PAGE;
	q.size = PAGE + 1;
	refused(EOVERFLOW, sys_ioctl(VFIO_TETHER_QUERY, &q));
	q.size = PAGE;
	ok(sys_ioctl(VFIO_TETHER_QUERY, &q));
}

static void eventfd_tells_of_revocation_and_restore(void **state)
{
	ok(set_eventfd(events));
	assert_int_equal(told(events, 0), 0);
	ok(vfio_decoding(&rig.device, false));
	/* The eventfd is signalled before the memory goes off, so there is no need to wait. */
	assert_int_equal(told(events, 0), 1);
	assert_int_equal(told(events, 200), 0);
	ok(vfio_decoding(&rig.device, true));
	assert_int_equal(told(events, 1000), 1);
	assert_int_equal(told(events, 200), 0);
	/* An unmap by the program itself does not signal. */
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	assert_int_equal(told(events, 0), 0);
}

static void eventfd_can_be_replaced_and_cleared(void **state)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	ok(set_eventfd(events));
	ok(set_eventfd(other));
	munmap(rig.map, PAGE);
	assert_int_equal(told(events, 0), 0);
	assert_true(told(other, 0) >= 1);
	/* Restoring the rest of the device memory signals, too: read that away. */
	while (told(other, 300))
		;
	ok(set_eventfd(-1));
	munmap(rig.map + PAGE, PAGE);
	assert_int_equal(told(other, 200), 0);
	ok(set_eventfd(-1));
	close(other);
}

static void eventfd_checks_its_arguments(void **state)
{
	struct vfio_tether_eventfd set = { .argsz = sizeof(set), .fd = events };
	int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	ok(set_eventfd(events));
	refused(EFAULT, sys_ioctl(VFIO_TETHER_SET_EVENTFD, NULL));
	set.argsz--;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_SET_EVENTFD, &set));
	set.argsz++;
	set.flags = 1;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_SET_EVENTFD, &set));
	set.flags = 0;
	set.reserved = 1;
	refused(EINVAL, sys_ioctl(VFIO_TETHER_SET_EVENTFD, &set));
	refused(EINVAL, set_eventfd(-2));
	refused(EINVAL, set_eventfd(file));
	refused(EBADF, set_eventfd(1000));
	/* None of these refused calls has removed the eventfd. */
	munmap(rig.map, PAGE);
	assert_true(told(events, 0) >= 1);
	close(file);
}

/*
 * The kernel's ID of an eventfd. A new eventfd gets the lowest ID that is free, so the
 * ID of an eventfd that the container still holds is not given again.
 */
static int eventfd_id(int fd)
{
	char path[64], text[512];
	const char *at;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	ok(proc_read_file(path, text, sizeof(text)));
	at = strstr(text, "eventfd-id:");
	assert_non_null(at);
	return atoi(at + strlen("eventfd-id:"));
}

static int new_eventfd_id(void)
{
	int fd = eventfd(0, EFD_CLOEXEC), id = eventfd_id(fd);

	close(fd);
	return id;
}

static void eventfd_is_let_go_with_the_container(void **state)
{
	struct vfio_tether_eventfd set = { .argsz = sizeof(set) };
	struct vfio_container container;
	struct vfio_device device;
	int id;

	ok(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU));
	ok(vfio_device_open(&device, &container, EDU_B));
	set.fd = eventfd(0, EFD_CLOEXEC);
	id = eventfd_id(set.fd);
	ok(ioctl(container.fd, VFIO_TETHER_SET_EVENTFD, &set));
	close(set.fd);
	assert_int_not_equal(new_eventfd_id(), id);
	vfio_device_close(&device);
	vfio_container_close(&container);
	assert_int_equal(new_eventfd_id(), id);
}

/* Runs tools/example.c as a program. */
static void the_example_program_shows_it(void **state)
{
	static struct command c;
	int status;

	status = command_run(&c, (const char *const []){ "tether-example",
							 TARGET2, NULL });
	printf("# %s\n", c.text);
	assert_int_equal(status, 0);
	assert_non_null(strstr(c.text, "revoked: 16777216"));
	assert_non_null(strstr(c.text, "live: 16777216"));
}

static int bound(void **state)
{
	return vfio_device_bind(TARGET2);
}

static const struct CMUnitTest tests[] = {
	TEST(only_tether_has_the_extension, NULL, NULL),
	TEST(without_tether_its_ioctls_are_unknown, NULL, NULL),
	TETHER(query_counts_what_is_in_the_range, mapped, heal),
	TETHER(query_tells_revoked_from_gone, mapped, heal),
	TETHER(query_checks_its_arguments, NULL, NULL),
	TETHER(eventfd_tells_of_revocation_and_restore, mapped, heal),
	TETHER(eventfd_can_be_replaced_and_cleared, mapped, heal),
	TETHER(eventfd_checks_its_arguments, mapped, heal),
	TETHER(eventfd_is_let_go_with_the_container, NULL, NULL),
	TETHER(the_example_program_shows_it, bound, NULL),
};

TEST_MAIN(tests, rig_open, rig_close)
