/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Puts the calling process into a cgroup of its own, a child of the root of a
 * cgroup2 file system that cgroup_enter() mounts.
 */
#ifndef TETHER_TESTS_CGROUP_H
#define TETHER_TESTS_CGROUP_H

/*
 * Move the calling process into a cgroup in which the controller, for example "memory",
 * is enabled. 0; -ENODEV if the kernel lacks cgroups or this controller; or -errno.
 */
int cgroup_enter(const char *controller);
/* Move the process back to the root cgroup; no error if it is there already. */
void cgroup_leave(void);
/* Read a file of the group that has one number in it ("memory.current"), or -errno. */
long cgroup_number(const char *file);
/* Read a file with a word and a number on each line ("cpu.stat"): the number behind word. */
long cgroup_field(const char *file, const char *word);
/* Write text to a file of the group. 0 or -errno. */
int cgroup_write(const char *file, const char *text);

#endif
