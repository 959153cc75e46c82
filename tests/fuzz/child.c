// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that an episode's process forks. They have its containers and a copy of its
 * memory, may map some of that memory for DMA, and end in one of several ways.
 * slow_disk is written once, before the first episode begins, so it needs no lock.
 */
#include <fcntl.h>
#include <glob.h>
#include <linux/aio_abi.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "fuzz.h"
#include "proc.h"
#include "stall.h"

/* The disk that tests/fuzz/run gives to the machine; each read of it takes 100 ms. */
#define SLOW_PCI	"/sys/bus/pci/devices/0000:00:0b.0"
#define SLOW_SERIAL	"slow"
#define FOUND_S		10	/* how long the driver may take to find the disk */

static char slow_disk[300];

static bool find_slow_disk(void)
{
	char serial[32];
	glob_t found;
	size_t i;

	if (glob("/sys/block/nvme*/device/serial", 0, NULL, &found))
		return false;
	for (i = 0; i < found.gl_pathc && !slow_disk[0]; i++) {
		char *path = found.gl_pathv[i];

		if (proc_read_file(path, serial, sizeof(serial)) ||
		    strncmp(serial, SLOW_SERIAL, strlen(SLOW_SERIAL)) ||
		    sscanf(path, "/sys/block/%31[^/]", serial) != 1)
			continue;
		snprintf(slow_disk, sizeof(slow_disk), "/dev/%s", serial);
		if (access(slow_disk, R_OK))
			slow_disk[0] = 0;
	}
	globfree(&found);
	return slow_disk[0];
}

bool children_begin(void)
{
	static struct command command;
	const char *const argv[] = { "modprobe", "nvme", NULL };
	double end = now() + FOUND_S * patience();

	if (access(SLOW_PCI, F_OK) || command_run(&command, argv))
		return false;
	while (!find_slow_disk() && now() < end)
		usleep(10000);
	return slow_disk[0];
}

/*
 * Starts a read and does not wait for it. So when the process ends, the kernel waits
 * for the read, in exit_aio(), before it frees the process's memory.
 */
static void read_slowly(void)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = open(slow_disk, O_RDONLY | O_DIRECT | O_CLOEXEC),
		.aio_buf = (uintptr_t)page,
		.aio_nbytes = PAGE,
	};
	struct iocb *iocbs[] = { &iocb };
	aio_context_t context = 0;

	tally(TALLY_CHILD_READS, !syscall(SYS_io_setup, 1, &context) &&
	      syscall(SYS_io_submit, context, 1, iocbs) == 1);
}

static void child(const struct call *call, int fd)
{
	struct vfio_iommu_type1_dma_map map;

	if (call->b & 1) {
		memcpy(&map, call->data, sizeof(map));
		tally(TALLY_CHILD_MAPS, !ioctl(fd, VFIO_IOMMU_MAP_DMA, &map));
	}
	switch (call->a % CHILD_ENDS) {
	case CHILD_EXEC:
		execl("/bin/busybox", "true", NULL);
		break;
	case CHILD_KILLED:
		kill(getpid(), SIGKILL);
		break;
	case CHILD_READS:
		read_slowly();
		break;
	}
	_exit(0);
}

/* If this does not wait for the child, await_children() does after the episode. */
bool child_run(const struct call *call, int fd)
{
	pid_t pid = fork();

	if (!pid)
		child(call, fd);
	if (pid > 0 && !(call->d & 1))
		waitpid(pid, NULL, 0);
	return pid > 0;
}
