/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a deadline may be missed with the module not at fault: an emulated CPU
 * that its host does not run stands still, and a kernel that watches itself is
 * slow.
 */
#ifndef TETHER_TESTS_STALL_H
#define TETHER_TESTS_STALL_H

double now(void);		/* seconds, CLOCK_MONOTONIC */

int stall_watch(void);

/* Seconds between two times of now() in which some CPU stood still. */
double stalled(double start, double end);

/* How much longer everything may take on this kernel. */
unsigned int patience(void);

#endif
