/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which functions of the kernel the calling thread went through, and with what:
 * kprobe events in a tracefs instance of their own. One user at a time.
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

/* 0 or -errno; kprobe_close() is right after either. */
int kprobe_open(void);
void kprobe_close(void);

/*
 * An event of that name wherever symbol is entered. args: up to KPROBE_ARGS of the
 * kernel's fetch arguments, each with its type, separated by spaces ("$arg2:x64").
 * -ENOENT if the kernel has no such function, or none that can be probed.
 */
int kprobe_add(const char *name, const char *symbol, const char *args);

/* Forget what was recorded, and record what this thread does from now on. */
int kprobe_start(void);
int kprobe_stop(void);

/*
 * What was recorded, in order. Returns how many, or -errno: -EOVERFLOW if there is
 * more, or some of it was lost.
 */
int kprobe_read(struct kprobe_hit *hits, size_t max);

#endif
