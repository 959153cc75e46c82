// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "slow_fs.h"

#define FILE_NODE	2
#define BUFFER		(256 << 10)

static void reply(struct slow_fs *fs, uint64_t unique, int error,
		  const void *body, size_t len)
{
	struct fuse_out_header out = {
		.len = sizeof(out) + len,
		.error = error,
		.unique = unique,
	};
	struct iovec v[2] = {
		{ .iov_base = &out, .iov_len = sizeof(out) },
		{ .iov_base = (void *)body, .iov_len = len },
	};

	/* ENOENT: the request was interrupted and does not exist any more. */
	if (writev(fs->fd, v, 2) < 0 && errno != ENOENT && errno != ENODEV)
		fprintf(stderr, "slow_fs: reply: %s\n", strerror(errno));
}

static void reply_zeros(struct slow_fs *fs, uint64_t unique, uint32_t size)
{
	static const char zeros[SLOW_FS_LEN];

	reply(fs, unique, 0, zeros, size < sizeof(zeros) ? size : sizeof(zeros));
}

static struct fuse_attr attr_of(uint64_t node)
{
	bool file = node == FILE_NODE;

	return (struct fuse_attr){
		.ino = node,
		.size = file ? SLOW_FS_LEN : 0,
		.blocks = file ? SLOW_FS_LEN / 512 : 0,
		.mode = file ? S_IFREG | 0666 : S_IFDIR | 0777,
		.nlink = 1,
		.blksize = 4096,
	};
}

static void init(struct slow_fs *fs, uint64_t unique,
		 const struct fuse_init_in *in)
{
	const struct fuse_init_out out = {
		.major = FUSE_KERNEL_VERSION,
		.minor = in->minor > FUSE_KERNEL_MINOR_VERSION ?
			 FUSE_KERNEL_MINOR_VERSION : in->minor,
		.max_readahead = 4096,
		.flags = in->flags & (FUSE_ASYNC_READ | FUSE_ASYNC_DIO),
		.max_background = SLOW_FS_HELD,
		.congestion_threshold = SLOW_FS_HELD,
		.max_write = 4096,
	};

	reply(fs, unique, 0, &out, sizeof(out));
}

static void lookup(struct slow_fs *fs, uint64_t unique)
{
	const struct fuse_entry_out out = {
		.nodeid = FILE_NODE,
		.entry_valid = 3600,
		.attr_valid = 3600,
		.attr = attr_of(FILE_NODE),
	};

	reply(fs, unique, 0, &out, sizeof(out));
}

static void getattr(struct slow_fs *fs, uint64_t unique, uint64_t node)
{
	const struct fuse_attr_out out = {
		.attr_valid = 3600,
		.attr = attr_of(node),
	};

	reply(fs, unique, 0, &out, sizeof(out));
}

static void hold_read(struct slow_fs *fs, uint64_t unique,
		      const struct fuse_read_in *in)
{
	bool held = false;

	pthread_mutex_lock(&fs->lock);
	if (!fs->answering && fs->held < SLOW_FS_HELD) {
		fs->read[fs->held].unique = unique;
		fs->read[fs->held].size = in->size;
		fs->held++;
		held = true;
	}
	pthread_mutex_unlock(&fs->lock);
	if (!held)
		reply_zeros(fs, unique, in->size);
}

static void serve_one(struct slow_fs *fs, const struct fuse_in_header *in)
{
	/*
	 * Without FOPEN_KEEP_CACHE another open() would drop the file's cached pages,
	 * and so wait for those that are still being read.
	 */
	const struct fuse_open_out opened = { .open_flags = FOPEN_KEEP_CACHE };

	switch (in->opcode) {
	case FUSE_INIT:
		init(fs, in->unique, (const void *)(in + 1));
		break;
	case FUSE_LOOKUP:
		lookup(fs, in->unique);
		break;
	case FUSE_GETATTR:
		getattr(fs, in->unique, in->nodeid);
		break;
	case FUSE_OPEN:
		reply(fs, in->unique, 0, &opened, sizeof(opened));
		break;
	case FUSE_READ:
		hold_read(fs, in->unique, (const void *)(in + 1));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;	/* these have no reply */
	case FUSE_RELEASE:
		reply(fs, in->unique, 0, NULL, 0);
		break;
	default:
		reply(fs, in->unique, -ENOSYS, NULL, 0);
	}
}

static void *serve(void *arg)
{
	struct slow_fs *fs = arg;
	char *buffer = malloc(BUFFER);
	ssize_t n;

	while (buffer) {
		n = read(fs->fd, buffer, BUFFER);
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			break;
		serve_one(fs, (const void *)buffer);
	}
	free(buffer);
	return NULL;
}

int slow_fs_start(struct slow_fs *fs)
{
	char options[64];
	int ret;

	memset(fs, 0, sizeof(*fs));
	strcpy(fs->dir, "/tmp/slow_fs.XXXXXX");
	if (!mkdtemp(fs->dir))
		return -errno;
	snprintf(fs->path, sizeof(fs->path), "%s/file", fs->dir);
	if (access("/dev/fuse", F_OK) && system("modprobe fuse"))
		fprintf(stderr, "slow_fs: no fuse.ko\n");
	fs->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fs->fd < 0) {
		ret = -errno;
		goto err_dir;
	}
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fs->fd);
	if (mount("slow_fs", fs->dir, "fuse", MS_NOSUID | MS_NODEV, options)) {
		ret = -errno;
		goto err_fd;
	}
	pthread_mutex_init(&fs->lock, NULL);
	ret = -pthread_create(&fs->server, NULL, serve, fs);
	if (ret)
		goto err_mount;
	return 0;

err_mount:
	umount2(fs->dir, MNT_DETACH);
err_fd:
	close(fs->fd);
err_dir:
	rmdir(fs->dir);
	return ret;
}

unsigned int slow_fs_waiting(struct slow_fs *fs)
{
	unsigned int n;

	pthread_mutex_lock(&fs->lock);
	n = fs->held;
	pthread_mutex_unlock(&fs->lock);
	return n;
}

static void answer_one(struct slow_fs *fs)
{
	fs->held--;
	reply_zeros(fs, fs->read[fs->held].unique, fs->read[fs->held].size);
}

void slow_fs_answer(struct slow_fs *fs, bool on)
{
	pthread_mutex_lock(&fs->lock);
	fs->answering = on;
	while (fs->held)
		answer_one(fs);
	pthread_mutex_unlock(&fs->lock);
}

void slow_fs_answer_last(struct slow_fs *fs)
{
	pthread_mutex_lock(&fs->lock);
	if (fs->held)
		answer_one(fs);
	pthread_mutex_unlock(&fs->lock);
}

/* After this, accesses to the file's mappings and open descriptors fail. */
void slow_fs_stop(struct slow_fs *fs)
{
	slow_fs_answer(fs, true);
	umount2(fs->dir, MNT_FORCE | MNT_DETACH);
	/* MNT_FORCE has ended the connection, and with it the server's read(). */
	pthread_join(fs->server, NULL);
	close(fs->fd);
	rmdir(fs->dir);
}

int slow_fs_read_ahead_of_exit(const struct slow_fs *fs)
{
	aio_context_t context = 0;
	static void *buffer;
	struct iocb read = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_nbytes = 4096 };
	struct iocb *reads[] = { &read };

	if (posix_memalign(&buffer, 4096, 4096))
		return -ENOMEM;
	read.aio_fildes = open(fs->path, O_RDONLY | O_DIRECT);
	if ((int)read.aio_fildes < 0)
		return -errno;
	read.aio_buf = (uintptr_t)buffer;
	if (syscall(SYS_io_setup, 8, &context))
		return -errno;
	return syscall(SYS_io_submit, context, 1, reads) == 1 ? 0 : -errno;
}

void *slow_fs_page(const struct slow_fs *fs, unsigned int number)
{
	int fd = open(fs->path, O_RDONLY);
	void *page;

	if (fd < 0)
		return NULL;
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd,
		    number * 4096L);
	close(fd);
	return page == MAP_FAILED ? NULL : page;
}
