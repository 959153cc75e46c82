/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Failing allocations, on a kernel with fault injection: of the calling thread
 * the one that is asked for, or of kernel workers some.
 */
#ifndef TETHER_TESTS_FAILNTH_H
#define TETHER_TESTS_FAILNTH_H

#include <stdbool.h>

/* Any allocation may be made to fail, also those that could wait. -ENOENT: no. */
int failnth_open(void);
void failnth_close(void);

/* The nth allocation (1: the first) of this thread from now on fails. */
void failnth_arm(unsigned int nth);
/* No more of that. True if it had come to the nth. */
bool failnth_disarm(void);

/* This thread gets no page from now on from the nth on. */
void fail_pages_arm(unsigned int nth);
/* No more of that. True if any was refused. */
bool fail_pages_disarm(void);

/*
 * Of the allocations of those kernel workers that are there now one in two
 * fails, until so many have.
 */
int fail_workers(unsigned int times);
/* No more of that. How many have failed, or -errno. */
int fail_workers_end(void);

#endif
