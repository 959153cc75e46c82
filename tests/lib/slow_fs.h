/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A file system of the test's own (FUSE) with one file, none of whose reads is
 * answered until the test says so: whoever reads the file, or touches it where it is
 * mapped, waits as long as the test likes. Functions return 0 or -errno.
 */
#ifndef TETHER_TESTS_SLOW_FS_H
#define TETHER_TESTS_SLOW_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOW_FS_LEN	(1UL << 20)	/* of the file, all zeros */
#define SLOW_FS_HELD	256		/* reads held at most; more are answered */

struct slow_fs {
	char dir[32];
	char path[48];			/* of the file */
	int fd;				/* /dev/fuse */
	pthread_t server;
	pthread_mutex_t lock;
	bool answering;
	unsigned int held;		/* reads not answered yet */
	struct {
		uint64_t unique;
		uint32_t size;
	} read[SLOW_FS_HELD];
};

int slow_fs_start(struct slow_fs *fs);
/* Reads that wait now. */
unsigned int slow_fs_waiting(struct slow_fs *fs);
/* Answer those that wait; on: and all that come from now on. */
void slow_fs_answer(struct slow_fs *fs, bool on);
/* Answer the one that came last. */
void slow_fs_answer_last(struct slow_fs *fs);
void slow_fs_stop(struct slow_fs *fs);

/*
 * For the calling process: an asynchronous read of the file, which nobody waits for
 * but the process's end (exit_aio()).
 */
int slow_fs_read_ahead_of_exit(const struct slow_fs *fs);
/* A private mapping of its first page, not touched yet; NULL with errno set. */
void *slow_fs_page(const struct slow_fs *fs);

#endif
