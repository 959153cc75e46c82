// SPDX-License-Identifier: GPL-2.0-only
/*
 * Process accounting and children: see proc.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"

#define NOBODY	65534

int proc_read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		got = read(fd, buf + len, size - 1 - len);
		if (got < 0) {
			int ret = -errno;

			close(fd);
			return ret;
		}
		if (!got)
			break;
		len += got;
	}
	close(fd);
	buf[len] = 0;
	return 0;
}

int proc_write_file(const char *path, const char *text)
{
	return proc_write_file_flags(path, 0, text);
}

int proc_write_file_flags(const char *path, int flags, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	ssize_t len = strlen(text);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

static long field_kb(const char *path, const char *field)
{
	char text[8192];
	size_t len = strlen(field);
	int ret = proc_read_file(path, text, sizeof(text));
	char *line;

	if (ret)
		return ret;
	for (line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (!strncmp(line, field, len) && line[len] == ':')
			return strtol(line + len + 1, NULL, 10);
	}
	return -ENOENT;
}

long proc_status_kb(pid_t pid, const char *field)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/status", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/status");
	return field_kb(path, field);
}

long proc_meminfo_kb(const char *field)
{
	return field_kb("/proc/meminfo", field);
}

long proc_pages_pinned(void)
{
	static char text[32768];
	const char *up, *down;
	int ret;

	/* The kernel keeps these counters per CPU; this write adds them up. */
	ret = proc_write_file("/proc/sys/vm/stat_refresh", "1");
	if (!ret)
		ret = proc_read_file("/proc/vmstat", text, sizeof(text));
	if (ret)
		return ret;
	up = strstr(text, "nr_foll_pin_acquired ");
	down = strstr(text, "nr_foll_pin_released ");
	if (!up || !down)
		return -ENOENT;
	return strtol(up + 21, NULL, 10) - strtol(down + 21, NULL, 10);
}

/* Returns 0 also if the process is no kernel worker, or has ended. */
static long kworker_ticks(const char *pid)
{
	unsigned long user, system;
	char path[300], text[1024];
	const char *rest;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if (proc_read_file(path, text, sizeof(text)))
		return 0;
	rest = strrchr(text, ')');
	if (!rest || !strstr(text, "(kworker/"))
		return 0;
	/* The first field behind the name is number 3; utime and stime are 14 and 15. */
	if (sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
		   &user, &system) != 2)
		return 0;
	return user + system;
}

long proc_kworkers_usec(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;
	long ticks = 0;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir)))
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			ticks += kworker_ticks(entry->d_name);
	closedir(dir);
	return ticks * (1000000 / sysconf(_SC_CLK_TCK));
}

static int drop_privileges(uint64_t memlock)
{
	struct rlimit limit = { memlock, memlock };

	if (memlock != PROC_KEEP && setrlimit(RLIMIT_MEMLOCK, &limit))
		return -errno;
	/* Changing from uid 0 to another drops all capabilities of the child. */
	if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
		return -errno;
	/* The new uid made the child undumpable: it could not read its /proc files. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		return -errno;
	return 0;
}

static int reap(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status))
		return -EINTR;
	if (WEXITSTATUS(status) == 125)
		return -EPERM;
	return WEXITSTATUS(status);
}

int proc_run_unprivileged(uint64_t memlock, int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid) {
		if (drop_privileges(memlock))
			_exit(125);
		_exit(fn(arg));
	}
	return reap(pid);
}

int proc_run(int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(fn(arg));
	return reap(pid);
}

pid_t proc_spawn(bool (*fn)(void *arg), void *arg)
{
	int pipes[2], error;
	char byte = 0;
	pid_t pid;

	if (pipe(pipes))
		return -errno;
	fflush(NULL);
	pid = fork();
	error = pid < 0 ? -errno : 0;
	if (!pid) {
		if (!fn(arg) || write(pipes[1], "+", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (!error && read(pipes[0], &byte, 1) != 1) {
		reap(pid);
		error = -ECHILD;
	}
	close(pipes[0]);
	return error ? error : pid;
}
