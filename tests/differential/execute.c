// SPDX-License-Identifier: GPL-2.0-only
/*
 * Executes an episode's operations on the backend that is loaded, in a process of its
 * own. When the process ends, its memory and files are freed, and so is every mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/vfio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../emu/tether_emu.h"
#include "common.h"
#include "memory.h"
#include "nvme.h"
#include "op.h"
#include "proc.h"
#include "random.h"
#include "shadow.h"

#define NOBODY		65534
#define EPISODE_TIMEOUT	60	/* seconds */

/* Address of the structs and bitmaps: a few mapped pages, behind which nothing is mapped. */
#define STRUCT		0x300000000000ULL
#define BITMAP		0x200000000000ULL
#define GOOD_PAGES	2
#define ALIAS		(16 * PAGE)	/* the same pages, read-only */
#define FILLER		0xa5
#define STRUCT_ROOM	512

struct place {
	uint64_t user;		/* the address that is passed to the kernel */
	uint8_t *mine;		/* the same bytes, at a writable address */
	size_t room;		/* how many accessible bytes there are */
};

/* One episode's process. */
static struct {
	const struct episode *e;
	int container[CONTAINERS];
	int group[GROUPS];
	int device[GROUPS];
	int status;			/* /proc/self/status */
	struct nvme nvme;
	struct vfio_container nvme_container;
	bool probing;
} my;

static char group_dev[GROUPS][32];	/* /dev/vfio/... */
static const char *const pci[GROUPS] = {
	[GROUP_EDU_A] = EDU_A, [GROUP_EDU_B] = EDU_B,
	[GROUP_TARGET] = ROOT_TARGET, [GROUP_NVME] = NVME,
};

static const char *const emulated[GROUPS] = {
	[GROUP_EMU_0] = EMU_DEVICE_NAME ".0",
	[GROUP_EMU_1] = EMU_DEVICE_NAME ".1",
};

static long sys_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	return ret < 0 ? -errno : ret;
}

static int find_group(enum group_id group)
{
	char path[128], link[256];
	ssize_t len;

	if (emulated[group])
		snprintf(path, sizeof(path),
			 "/sys/devices/platform/%s/iommu_group", emulated[group]);
	else
		snprintf(path, sizeof(path),
			 "/sys/bus/pci/devices/%s/iommu_group", pci[group]);
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -errno;
	link[len] = 0;
	snprintf(group_dev[group], sizeof(group_dev[group]), "/dev/vfio%.20s",
		 strrchr(link, '/'));
	return 0;
}

int execute_setup(void)
{
	unsigned int group;
	int ret = 0;

	for (group = 0; !ret && group < GROUPS; group++) {
		if (pci[group])
			ret = vfio_device_bind(pci[group]);
		if (!ret)
			ret = find_group(group);
	}
	if (!ret)
		ret = proc_write_file("/proc/sys/vm/nr_hugepages", "16");
	return ret;
}

static int map_places(uint64_t at)
{
	int fd = memfd_create("structs", MFD_CLOEXEC);
	void *rw, *ro;

	if (fd < 0 || ftruncate(fd, GOOD_PAGES * PAGE))
		return -errno;
	rw = mmap((void *)at, GOOD_PAGES * PAGE, PROT_READ | PROT_WRITE,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
	ro = mmap((void *)(at + ALIAS), GOOD_PAGES * PAGE, PROT_READ,
		  MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, 0);
	close(fd);
	return rw == MAP_FAILED || ro == MAP_FAILED ? -errno : 0;
}

static struct place place(uint64_t at, unsigned int pointer, unsigned int straddle)
{
	struct place p = { at, (uint8_t *)at, GOOD_PAGES * PAGE };

	switch (pointer) {
	case PTR_READONLY:
		p.user = at + ALIAS;
		break;
	case PTR_STRADDLE:
		p.user = at + GOOD_PAGES * PAGE - straddle;
		p.mine = (uint8_t *)p.user;
		p.room = straddle;
		break;
	case PTR_NULL:
		p.user = 0;
		break;
	case PTR_HOLE:
		p.user = at + 4 * PAGE;
		break;
	case PTR_KERNEL:
		p.user = 0xffff888000000000;
		break;
	case PTR_NONCANONICAL:
		p.user = 1ULL << 63;
		break;
	}
	return p;
}

static void put(const struct place *p, const void *data, size_t len, size_t room)
{
	memset(p->mine, FILLER, room < p->room ? room : p->room);
	memcpy(p->mine, data, len < p->room ? len : p->room);
}

static uint64_t digest(uint64_t seed, const uint8_t *data, size_t len)
{
	uint64_t word = 0;
	size_t i;

	for (i = 0; i + 8 <= len; i += 8) {
		memcpy(&word, data + i, 8);
		seed = (seed ^ word) * 0x9e3779b97f4a7c15ULL;
		seed ^= seed >> 29;
	}
	word = 0;
	memcpy(&word, data + i, len - i);
	return (seed ^ word) * 0x9e3779b97f4a7c15ULL;
}

static void take(const struct place *p, struct result *r)
{
	size_t room = p->room < STRUCT_ROOM ? p->room : STRUCT_ROOM;
	size_t head = room < sizeof(r->out) ? room : sizeof(r->out);

	memcpy(r->out, p->mine, head);
	r->digest = digest(r->digest, p->mine + head, room - head);
}

static void do_map(const struct op *op, struct result *r)
{
	struct place p = place(STRUCT, op->pointer, op->straddle);
	struct vfio_iommu_type1_dma_map map = {
		.argsz = op->argsz,
		.flags = op->flags,
		.vaddr = op->vaddr,
		.iova = op->iova,
		.size = op->size,
	};

	put(&p, &map, sizeof(map), STRUCT_ROOM);
	r->ret = sys_ioctl(my.container[op->container], VFIO_IOMMU_MAP_DMA,
			   (void *)p.user);
	take(&p, r);
}

static struct vfio_bitmap bitmap_of(const struct op *op, struct place *p)
{
	*p = place(BITMAP, op->bitmap_pointer, op->straddle);
	memset(p->mine, op->filler, p->room);
	return (struct vfio_bitmap){
		.pgsize = op->bitmap_pgsize,
		.size = op->bitmap_size,
		.data = (void *)p->user,
	};
}

static void take_bitmap(const struct place *p, struct result *r)
{
	size_t head = p->room < sizeof(r->bitmap) ? p->room : sizeof(r->bitmap);

	memcpy(r->bitmap, p->mine, head);
	r->digest = digest(r->digest, p->mine + head, p->room - head);
}

static void do_unmap(const struct op *op, struct result *r)
{
	struct place bits, p = place(STRUCT, op->pointer, op->straddle);
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} arg = {
		.unmap = {
			.argsz = op->argsz,
			.flags = op->flags,
			.iova = op->iova,
			.size = op->size,
		},
		.bitmap = bitmap_of(op, &bits),
	};

	put(&p, &arg, sizeof(arg), STRUCT_ROOM);
	r->ret = sys_ioctl(my.container[op->container], VFIO_IOMMU_UNMAP_DMA,
			   (void *)p.user);
	take(&p, r);
	take_bitmap(&bits, r);
	/* Map nvme's own queues again, in case this has unmapped them. */
	if (my.probing && !op->container)
		vfio_dma_map(&my.nvme_container, my.nvme.mem, my.nvme.iova,
			     3 * PAGE, VFIO_DMA_RW);
}

static void do_dirty(const struct op *op, struct result *r)
{
	struct place bits, p = place(STRUCT, op->pointer, op->straddle);
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} arg = {
		.dirty = { .argsz = op->argsz, .flags = op->flags },
		.get = {
			.iova = op->iova,
			.size = op->size,
			.bitmap = bitmap_of(op, &bits),
		},
	};

	put(&p, &arg, sizeof(arg), STRUCT_ROOM);
	r->ret = sys_ioctl(my.container[op->container], VFIO_IOMMU_DIRTY_PAGES,
			   (void *)p.user);
	take(&p, r);
	take_bitmap(&bits, r);
}

static void do_info(const struct op *op, struct result *r)
{
	struct place p = place(STRUCT, op->pointer, op->straddle);

	put(&p, &op->argsz, sizeof(op->argsz), STRUCT_ROOM);
	r->ret = sys_ioctl(my.container[op->container], VFIO_IOMMU_GET_INFO,
			   (void *)p.user);
	take(&p, r);
}

/*
 * Binds nvme, attaches its group to container 0, opens nvme, and maps its queues there.
 */
static void open_nvme(const struct op *op, struct result *r)
{
	my.nvme_container.fd = my.container[0];
	my.nvme_container.type = op->number;
	r->ret = nvme_open(&my.nvme, &my.nvme_container, NVME, IOVA_NVME);
	my.probing = !r->ret;
}

static void do_open(const struct op *op, struct result *r)
{
	const char *name = emulated[op->group] ? emulated[op->group] : pci[op->group];
	long fd;

	if (op->group == GROUP_NVME) {
		open_nvme(op, r);
		return;
	}
	fd = sys_ioctl(my.group[op->group], VFIO_GROUP_GET_DEVICE_FD, (void *)name);
	r->ret = fd < 0 ? fd : 0;
	if (fd < 0)
		return;
	if (my.device[op->group] >= 0)
		close(my.device[op->group]);
	my.device[op->group] = fd;
}

static void do_close(const struct op *op, struct result *r)
{
	r->ret = close(my.device[op->group]) ? -errno : 0;
	my.device[op->group] = -1;
}

static void do_reopen(const struct op *op, struct result *r)
{
	int *fd = &my.container[op->container];

	close(*fd);
	*fd = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	r->ret = *fd < 0 ? -errno : 0;
}

static void do_emu(const struct op *op, struct result *r)
{
	static struct emu_command command;
	int fd = my.device[op->group];
	size_t i;

	command = (struct emu_command){
		.op = op->number,
		.iova = op->iova,
		.npages = op->flags,
		.prot = op->prot,
		.len = op->size,
	};
	/*
	 * For a write: bytes that depend on the IOVA, so that other bytes are noticed.
	 */
	for (i = 0; i < 64; i++)
		command.data[i] = random_mix(op->iova + i);
	if (pwrite(fd, &command, sizeof(command), 0) < 0 ||
	    pread(fd, &command, sizeof(command), 0) < 0) {
		r->ret = -errno;
		return;
	}
	r->ret = command.result;
	r->out[0] = command.held;
	r->out[1] = command.notices;
	r->out[2] = command.notice_iova;
	r->out[3] = command.notice_len;
	/* The buffer of a read that failed is not compared. */
	if (!command.result)
		r->digest = digest(0, command.data, sizeof(command.data));
}

static void do_mmap(const struct op *op, struct result *r)
{
	struct vfio_device d = { .fd = my.device[GROUP_TARGET] };

	if (op->vaddr != DEVICE) {
		r->ret = memory_map(op->vaddr, op->size, op->number);
		return;
	}
	r->ret = vfio_region_mmap(&d, TARGET_BAR, 0, op->size,
				  PROT_READ | PROT_WRITE, (void *)DEVICE) ?
		0 : -errno;
}

static void do_memlock(const struct op *op, struct result *r)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = op->size < limit.rlim_max ? op->size : limit.rlim_max;
	r->ret = setrlimit(RLIMIT_MEMLOCK, &limit) ? -errno : 0;
}

static void do_fork(struct result *r)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(0);
	r->ret = pid < 0 || waitpid(pid, &status, 0) < 0 ? -errno : 0;
}

static void do_probe(const struct op *op, struct result *r)
{
	if (!my.probing) {
		r->ret = -ENODEV;
		return;
	}
	/* A write to the pages of nvme's own queues would break them. */
	if (op->iova - IOVA_NVME < 3 * PAGE)
		return;
	r->ret = nvme_identify(&my.nvme, op->iova);
	if (r->ret)
		my.probing = false;
	r->digest = memory_find_mark(my.nvme.identity, &r->out[0]);
}

static void dispatch(const struct op *op, struct result *r)
{
	int *container = &my.container[op->container];
	void *range = (void *)op->vaddr;

	switch (op->kind) {
	case OP_MAP:
		return do_map(op, r);
	case OP_UNMAP:
		return do_unmap(op, r);
	case OP_DIRTY:
		return do_dirty(op, r);
	case OP_INFO:
		return do_info(op, r);
	case OP_EXTENSION:
		r->ret = sys_ioctl(*container, VFIO_CHECK_EXTENSION,
				   (void *)op->number);
		break;
	case OP_UNKNOWN:
		r->ret = sys_ioctl(*container, _IO(VFIO_TYPE, op->number), NULL);
		break;
	case OP_SET_IOMMU:
		r->ret = sys_ioctl(*container, VFIO_SET_IOMMU, (void *)op->number);
		break;
	case OP_ATTACH:
		r->ret = sys_ioctl(my.group[op->group], VFIO_GROUP_SET_CONTAINER,
				   container);
		break;
	case OP_DETACH:
		r->ret = sys_ioctl(my.group[op->group], VFIO_GROUP_UNSET_CONTAINER,
				   NULL);
		break;
	case OP_OPEN:
		return do_open(op, r);
	case OP_CLOSE:
		return do_close(op, r);
	case OP_REOPEN:
		return do_reopen(op, r);
	case OP_EMU:
		return do_emu(op, r);
	case OP_MMAP:
		return do_mmap(op, r);
	case OP_MUNMAP:
		r->ret = munmap(range, op->size) ? -errno : 0;
		break;
	case OP_MPROTECT:
		r->ret = mprotect(range, op->size, op->prot) ? -errno : 0;
		break;
	case OP_DISCARD:
		r->ret = madvise(range, op->size, MADV_DONTNEED) ? -errno : 0;
		break;
	case OP_TOUCH:
		r->ret = memory_touch(op->vaddr, op->number);
		break;
	case OP_FORK:
		return do_fork(r);
	case OP_MEMLOCK:
		return do_memlock(op, r);
	case OP_PROBE:
		return do_probe(op, r);
	}
}

static uint32_t field_kb(const char *text, const char *field)
{
	const char *line = strstr(text, field);

	return line ? strtoul(line + strlen(field), NULL, 10) : 0;
}

static void sample(int status, struct result *r)
{
	char text[2048];
	ssize_t len = pread(status, text, sizeof(text) - 1, 0);

	text[len < 0 ? 0 : len] = 0;
	r->locked = field_kb(text, "VmLck:");
	r->pinned = field_kb(text, "VmPin:");
}

/* The child maps its own memory, and the mapping outlives it. r is in shared memory. */
static void run_in_child(const struct op *op, struct result *r)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		dispatch(op, r);
		if (op->sample)
			sample(open("/proc/self/status", O_RDONLY), r);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		r->ret = -errno;
}

static void run(const struct op *op, struct result *r)
{
	*r = (struct result){ .locked = NOT_SAMPLED, .pinned = NOT_SAMPLED };
	shadow_before(op, r);
	if (op->in_child)
		run_in_child(op, r);
	else
		dispatch(op, r);
	if (op->sample && !op->in_child)
		sample(my.status, r);
	shadow_after(op, r);
}

static int drop_privileges(uint64_t memlock)
{
	struct rlimit limit = { memlock, memlock };

	if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgroups(0, NULL) ||
	    setgid(NOBODY) || setuid(NOBODY))
		return -errno;
	/* After setuid() a process cannot read its own files in /proc without this. */
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) ? -errno : 0;
}

static int open_files(void)
{
	unsigned int i;

	for (i = 0; i < CONTAINERS; i++) {
		my.container[i] = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
		if (my.container[i] < 0)
			return -errno;
	}
	for (i = 0; i < GROUPS; i++) {
		my.device[i] = -1;
		my.group[i] = -1;
		if (i == GROUP_NVME)	/* nvme_open() binds it */
			continue;
		my.group[i] = open(group_dev[i], O_RDWR | O_CLOEXEC);
		if (my.group[i] < 0)
			return -errno;
	}
	return 0;
}

static int begin(const struct episode *e)
{
	int ret;

	my.e = e;
	ret = map_places(STRUCT);
	if (!ret)
		ret = map_places(BITMAP);
	if (!ret)
		ret = memory_setup(e);
	if (!ret)
		ret = open_files();
	/*
	 * An episode with nvme stays privileged, since only root may open nvme's files.
	 */
	if (!ret && e->unprivileged && !e->nvme)
		ret = drop_privileges(e->memlock);
	my.status = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	return ret ? ret : my.status < 0 ? -errno : 0;
}

static void live(const struct episode *e, struct result *results)
{
	unsigned int i;
	int ret;

	alarm(EPISODE_TIMEOUT);
	ret = begin(e);
	if (ret) {
		fprintf(stderr, "differential: an episode cannot begin: %s\n",
			strerror(-ret));
		_exit(1);
	}
	for (i = 0; i < e->count; i++)
		if (e->ops[i].kind != OP_NOTHING)
			run(&e->ops[i], &results[i]);
	_exit(0);
}

/**
 * execute_episode() - Run an episode on the backend that is loaded
 * @e: the episode
 * @results: one for each operation, in memory shared with children
 *
 * Return: 0, or -errno if the episode did not run to its end.
 */
int execute_episode(const struct episode *e, struct result *results)
{
	unsigned int i;
	pid_t pid;
	int status;

	for (i = 0; i < e->count; i++)
		results[i] = (struct result){ .ret = NOT_RUN };
	pid = fork();
	if (!pid)
		live(e, results);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	if (WIFEXITED(status))
		return WEXITSTATUS(status) ? -EIO : 0;
	fprintf(stderr, "differential: an episode died from signal %d\n",
		WTERMSIG(status));
	return -EINTR;
}
