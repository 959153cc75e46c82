/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the kernel's accounting of processes, and runs functions in a child
 * process, which may have fewer privileges.
 */
#ifndef TETHER_TESTS_PROC_H
#define TETHER_TESTS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROC_KEEP	((uint64_t)-1)

/* A "Vm...:" line of /proc/PID/status in KiB, or -errno; pid 0 is the caller. */
long proc_status_kb(pid_t pid, const char *field);
/* A line of /proc/meminfo in KiB, or -errno. */
long proc_meminfo_kb(const char *field);
/* How many pages the kernel has pinned now (pinned since boot, less unpinned), or -errno. */
long proc_pages_pinned(void);

/* CPU time that the kernel's workers have used so far, in microseconds, or -errno. */
long proc_kworkers_usec(void);

/*
 * Run fn(arg) in a forked child as an unprivileged user without capabilities
 * and with this RLIMIT_MEMLOCK (PROC_KEEP: the caller's). Returns fn's result
 * (0..120), or -errno; -EINTR if a signal has killed the child.
 */
int proc_run_unprivileged(uint64_t memlock, int (*fn)(void *arg), void *arg);
/* The same with all privileges kept. */
int proc_run(int (*fn)(void *arg), void *arg);

/*
 * Fork a child that runs fn(arg), and then waits to be killed. Returns its pid once fn()
 * has returned true; -ECHILD if it returned false, and the child is gone; or -errno.
 */
pid_t proc_spawn(bool (*fn)(void *arg), void *arg);

/* Read or write a whole small file (sysfs, procfs). 0 or -errno. */
int proc_read_file(const char *path, char *buf, size_t size);
int proc_write_file(const char *path, const char *text);
/* Like proc_write_file(), with further flags for open(). */
int proc_write_file_flags(const char *path, int flags, const char *text);

#endif
