/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * For deadlines that may be missed although the module is not at fault. An emulated
 * CPU stands still while the host does not run it: stalled() tells for how long. A
 * debug kernel is slow: patience() tells by how much deadlines have to be longer.
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
