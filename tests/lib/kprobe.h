/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records which functions of the kernel the calling thread calls, and with which
 * arguments, by kprobe events in a tracefs instance of their own. Only one program
 * may use this at a time.
 */
#ifndef TETHER_TESTS_KPROBE_H
#define TETHER_TESTS_KPROBE_H

#include <stddef.h>
#include <stdint.h>

#define KPROBE_ARGS	4
#define KPROBE_NAME	16

struct kprobe_hit {
	char name[KPROBE_NAME];
	uint64_t arg[KPROBE_ARGS];
};

/* 0 or -errno; the caller calls kprobe_close() in either case. */
int kprobe_open(void);
void kprobe_close(void);

/*
 * Record an event of that name when symbol is called. args: up to KPROBE_ARGS of the
 * kernel's fetch arguments, each with its type, separated by spaces ("$arg2:x64").
 * -ENOENT if the kernel has no such function, or none that can be probed.
 */
int kprobe_add(const char *name, const char *symbol, const char *args);

/* Forget what was recorded, and record what this thread does from now on. */
int kprobe_start(void);
int kprobe_stop(void);

/*
 * Get the recorded events, in order. Returns how many, or -errno: -EOVERFLOW if there
 * are more than max, or if the kernel has lost some.
 */
int kprobe_read(struct kprobe_hit *hits, size_t max);

#endif
