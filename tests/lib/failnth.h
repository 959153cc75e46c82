/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes allocations fail, on a kernel with fault injection: the nth one of the
 * calling thread, or some of the kernel's workers.
 */
#ifndef TETHER_TESTS_FAILNTH_H
#define TETHER_TESTS_FAILNTH_H

#include <stdbool.h>

/*
 * Set fault injection up so that any allocation can fail, also one that may wait. -ENOENT
 * if the kernel has no fault injection.
 */
int failnth_open(void);
void failnth_close(void);

/* The nth allocation (1: the first) of this thread from now on fails. */
void failnth_arm(unsigned int nth);
/* End failnth_arm(). True if the thread has made its nth allocation, which has failed. */
bool failnth_disarm(void);

/* The nth page allocation of this thread from now on fails, and so do all after it. */
void fail_pages_arm(unsigned int nth);
/* End fail_pages_arm(). True if an allocation has failed. */
bool fail_pages_disarm(void);

/*
 * Of the allocations of the kernel workers that exist at this moment, every
 * second one fails, until so many have failed.
 */
int fail_workers(unsigned int times);
/* End fail_workers(). Returns how many allocations have failed, or -errno. */
int fail_workers_end(void);

#endif
