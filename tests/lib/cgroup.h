/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A control group of this process's own, below the root of a cgroup2 file
 * system that is mounted for it.
 */
#ifndef TETHER_TESTS_CGROUP_H
#define TETHER_TESTS_CGROUP_H

/*
 * With this controller ("memory"). -ENODEV if the kernel has no control groups, -EINVAL
 * if it has no such controller.
 */
int cgroup_enter(const char *controller);
/* Back to the root; no error if it never left. */
void cgroup_leave(void);
/* A file of the group with one number in it ("memory.current"), or -errno. */
long cgroup_number(const char *file);
/* Of one with a word and a number in each line ("cpu.stat"), the number of that word. */
long cgroup_field(const char *file, const char *word);
/* Write one of its files. 0 or -errno. */
int cgroup_write(const char *file, const char *text);

#endif
