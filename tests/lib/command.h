/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Runs other programs, to their end or at the same time as the test, and keeps
 * their output (stdout and stderr) as text. Functions return 0 or -errno.
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
/*
 * Wait until the program has written text. -ETIMEDOUT if it has not after so many seconds,
 * -EPIPE if it has ended before.
 */
int command_await(struct command *c, const char *text, unsigned int seconds);
/*
 * Send the program a signal if signal is not 0, read its output until it ends, and
 * return its exit status.
 */
int command_finish(struct command *c, int signal);
/* Start the program and wait until it has ended: command_start(), command_finish(c, 0). */
int command_run(struct command *c, const char *const *argv);

#endif
