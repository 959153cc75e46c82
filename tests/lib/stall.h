/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tells when a deadline was missed although the module is not at fault: if the
 * host does not run an emulated CPU, that CPU stands still, and a debug kernel
 * is slow.
 */
#ifndef TETHER_TESTS_STALL_H
#define TETHER_TESTS_STALL_H

double now(void);		/* seconds, CLOCK_MONOTONIC */

int stall_watch(void);

/* For how many seconds between start and end, both of now(), a CPU stood still. */
double stalled(double start, double end);

/* The factor by which deadlines are longer on this kernel; more than 1 on debug kernels. */
unsigned int patience(void);

#endif
