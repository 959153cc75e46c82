/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A FUSE file system that the test serves. It has one file, and answers no read of it
 * until the test says so. So a thread that reads the file, or touches a mapping of it,
 * waits for as long as the test wants. Functions return 0 or -errno.
 */
#ifndef TETHER_TESTS_SLOW_FS_H
#define TETHER_TESTS_SLOW_FS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SLOW_FS_LEN	(1UL << 20)	/* the file's length; it is all zeros */
#define SLOW_FS_HELD	256		/* reads that can wait; more are answered */

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
/* How many reads wait now. */
unsigned int slow_fs_waiting(struct slow_fs *fs);
/* Answer the reads that wait; if on, answer all later reads at once, too. */
void slow_fs_answer(struct slow_fs *fs, bool on);
/* Of the reads that wait, answer the one that came last. */
void slow_fs_answer_last(struct slow_fs *fs);
void slow_fs_stop(struct slow_fs *fs);

/*
 * Start an asynchronous read of the file in the calling process. Only the end of the
 * process waits for this read, in exit_aio().
 */
int slow_fs_read_ahead_of_exit(const struct slow_fs *fs);
/* mmap() a page of the file privately, without touching it; NULL with errno set. */
void *slow_fs_page(const struct slow_fs *fs, unsigned int number);

#endif
