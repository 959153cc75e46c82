/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Other programs: run to their end, or beside the test. What they write, to
 * stdout and stderr, is kept as text. Functions return 0 or -errno.
 */
#ifndef TETHER_TESTS_COMMAND_H
#define TETHER_TESTS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct command {
	pid_t pid;
	int out;
	char text[64 << 10];
	size_t len;
};

bool command_exists(const char *name);
int command_start(struct command *c, const char *const *argv);
/* Until it has written this, or -ETIMEDOUT; -EPIPE if it ended before. */
int command_await(struct command *c, const char *text, unsigned int seconds);
/* Send it a signal if that is not 0, read to the end; its exit status. */
int command_finish(struct command *c, int signal);
/* All of it at once. */
int command_run(struct command *c, const char *const *argv);

#endif
