// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other programs: see command.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "stall.h"

bool command_exists(const char *name)
{
	char path[256], paths[1024], *dir, *rest = paths;

	snprintf(paths, sizeof(paths), "%s", getenv("PATH") ?: "");
	while ((dir = strsep(&rest, ":"))) {
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

int command_start(struct command *c, const char *const *argv)
{
	int pipes[2];

	*c = (struct command){ .out = -1 };
	if (pipe2(pipes, O_CLOEXEC))
		return -errno;
	c->pid = fork();
	if (!c->pid) {
		dup2(pipes[1], STDOUT_FILENO);
		dup2(pipes[1], STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(pipes[1]);
	c->out = pipes[0];
	return c->pid < 0 ? -errno : 0;
}

/* Output beyond the size of c->text is dropped; no test reads that much. */
static int read_some(struct command *c, int timeout_ms)
{
	struct pollfd poll_out = { .fd = c->out, .events = POLLIN };
	char lost[256], *to = c->text + c->len;
	size_t room = sizeof(c->text) - 1 - c->len;
	ssize_t n;

	if (poll(&poll_out, 1, timeout_ms) <= 0)
		return -ETIMEDOUT;
	n = room ? read(c->out, to, room) : read(c->out, lost, sizeof(lost));
	if (n < 0)
		return -errno;
	if (n && room)
		c->len += n;
	c->text[c->len] = 0;
	return n ? 0 : -EPIPE;
}

int command_await(struct command *c, const char *text, unsigned int seconds)
{
	time_t end = time(NULL) + seconds;
	int ret = 0;

	while (!strstr(c->text, text)) {
		if (ret == -EPIPE)
			return ret;
		if (time(NULL) > end)
			return -ETIMEDOUT;
		ret = read_some(c, 100);
	}
	return 0;
}

int command_finish(struct command *c, int signal)
{
	int status, ret = -ETIMEDOUT;

	/*
	 * Send the signal repeatedly: bpftrace misses one that comes just before it
	 * begins to wait. Leave at least a second in between: a second signal kills a
	 * bpftrace that still prints its counts after the first.
	 */
	while (ret != -EPIPE) {
		if (signal && ret == -ETIMEDOUT)
			kill(c->pid, signal);
		ret = read_some(c, signal ? 1000 * (int)patience() : -1);
	}
	close(c->out);
	c->out = -1;
	if (waitpid(c->pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int command_run(struct command *c, const char *const *argv)
{
	int ret = command_start(c, argv);

	return ret ? ret : command_finish(c, 0);
}
