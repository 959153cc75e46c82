/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Makes allocations fail, on a kernel with fault injection: the nth allocation of the
 * calling thread, or some of the allocations that kernel workers make.
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
 * From now on each allocation of the unbound kernel workers that exist at this moment
 * fails with a probability of 50 %, until times allocations of slab memory and as many
 * of pages have failed.
 */
int fail_workers(unsigned int times);
/* End fail_workers(). Returns how many allocations have failed, or -errno. */
int fail_workers_end(void);

#endif
