/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Times at which the machine stood still: an emulated CPU that its host does
 * not run keeps no deadline, and that is not the module's fault.
 */
#ifndef TETHER_TESTS_STALL_H
#define TETHER_TESTS_STALL_H

int stall_watch(void);

/* Seconds between two times of CLOCK_MONOTONIC in which some CPU stood still. */
double stalled(double start, double end);

#endif
