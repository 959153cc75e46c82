// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actors that own no slot. One turns the log of dirty pages on and off, one forks
 * processes that end soon in different ways, and one runs a victim, a program with a
 * container of its own, and kills it at a random moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "stress.h"

#define RW		(PROT_READ | PROT_WRITE)

/* -EINVAL if the range cuts a mapping, or the log is off. */
static int dirty_get(uint64_t iova, uint64_t size, uint64_t *bits)
{
	struct vfio_bitmap bitmap = {
		.pgsize = PAGE,
		.size = size / PAGE / 8,
		.data = (void *)bits,
	};

	return vfio_dirty_get(&stress.container, iova, size, bitmap);
}

void logger_step(struct actor *a)
{
	static uint64_t bits[128 * MIB / PAGE / 64];
	unsigned int i, reads = random_below(&a->random, 5);

	doing(a, "the dirty log");
	must(a, vfio_dirty_log(&stress.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_START), 0, "START");
	for (i = 0; i < reads; i++) {
		uint64_t iova = IOVA_SLOT(random_below(&a->random, SLOTS));

		must(a, dirty_get(iova, sizeof(bits) * 8 * PAGE, bits), -EINVAL,
		     "GET_BITMAP");
		usleep(random_below(&a->random, 2000));
	}
	must(a, vfio_dirty_log(&stress.container, VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP), 0, "STOP");
	usleep(random_below(&a->random, 10000));
}

/* Forks a process, which has a copy of all mmaps, and ends in one of four ways. */
void forker_step(struct actor *a)
{
	unsigned int way = random_below(&a->random, 4);
	pid_t pid;

	doing(a, "forking");
	pid = fork();
	if (!pid) {
		if (way == 0)
			execl("/bin/busybox", "true", NULL);
		if (way == 1)
			raise(SIGKILL);
		if (way == 2)
			usleep(2000);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		must(a, -errno, 0, "fork");
	/*
	 * Later kernels may loop in a page fault after clear_refs, even without tether.
	 */
	if (stress.old_kernel && way == 3)
		must(a, proc_write_file("/proc/self/clear_refs", "4"), 0,
		     "clear_refs");
	usleep(random_below(&a->random, 20000));
}

/* --- The victim ----------------------------------------------------------- */

#define VICTIM_LEN	(4 * MIB)

struct victim {
	struct vfio_container container;
	struct vfio_device device;
	struct random random;
	uint8_t *device_map, *ram;
};

static int victim_open(struct victim *v, const char *seed)
{
	int ret;

	v->random.state = strtoull(seed, NULL, 0);
	ret = vfio_container_open(&v->container, VFIO_TYPE1v2_IOMMU);
	if (ret)
		return ret;
	ret = vfio_device_open_patiently(&v->device, &v->container, ROOT_TARGET,
					 &stress.stop);
	if (ret)
		return ret;
	v->device_map = vfio_region_mmap(&v->device, TARGET_BAR, 0, VICTIM_LEN,
					 RW, NULL);
	v->ram = mmap(NULL, VICTIM_LEN, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return v->device_map && v->ram != MAP_FAILED ? 0 : -errno;
}

/*
 * The calls may fail. Their purpose is that victim_step() kills the process during one.
 */
static void victim_act(struct victim *v)
{
	uint64_t n = random_below(&v->random, 8), iova = IOVA_SLOT(n);

	switch (random_below(&v->random, 7)) {
	case 0:
	case 1:
		vfio_dma_map(&v->container, n % 2 ? v->ram : v->device_map,
			     iova, VICTIM_LEN, VFIO_DMA_RW);
		break;
	case 2:
		vfio_dma_unmap(&v->container, iova, VICTIM_LEN, NULL);
		break;
	case 3:
		vfio_decoding(&v->device, n % 2);
		break;
	case 4:
		mprotect(v->device_map, VICTIM_LEN, n % 2 ? RW : PROT_NONE);
		break;
	case 5:
		vfio_region_mmap(&v->device, TARGET_BAR, n * VICTIM_LEN,
				 VICTIM_LEN, RW, v->device_map);
		break;
	case 6:
		/*
		 * Also fork a child, which may outlive the victim with its files open.
		 */
		if (n == 0 && !fork()) {
			usleep(random_below(&v->random, 20000));
			_exit(0);
		}
		break;
	}
}

int victim_main(const char *seed)
{
	struct victim v;
	int ret = victim_open(&v, seed);

	if (write(STDOUT_FILENO, ret ? "-" : "+", 1) != 1 || ret)
		return 1;
	signal(SIGCHLD, SIG_IGN);
	for (;;)
		victim_act(&v);
}

static pid_t spawn_victim(struct actor *a, int *out)
{
	char seed[32];
	int pipes[2];
	pid_t pid;

	snprintf(seed, sizeof(seed), "%#lx", random_next(&a->random));
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		dup2(pipes[1], STDOUT_FILENO);
		execl("/proc/self/exe", "stress", "--victim", seed, NULL);
		_exit(127);
	}
	close(pipes[1]);
	*out = pipes[0];
	return pid < 0 ? -errno : pid;
}

void victim_step(struct actor *a)
{
	char byte = 0;
	pid_t pid;
	int out = -1;

	doing(a, "starting the victim");
	pid = spawn_victim(a, &out);
	if (!must(a, pid < 0 ? pid : 0, 0, "fork"))
		return;
	if (read(out, &byte, 1) != 1 || byte != '+')
		broken(a, "the victim cannot open what the last one had");
	close(out);
	doing(a, "the victim runs");
	usleep(random_below(&a->random, 200000));
	kill(pid, SIGKILL);
	if (waitpid(pid, NULL, 0) != pid)
		must(a, -errno, 0, "waitpid");
	a->checks++;
}
