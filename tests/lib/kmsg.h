/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the kernel's log from a moment on that the test chooses.
 */
#ifndef TETHER_TESTS_KMSG_H
#define TETHER_TESTS_KMSG_H

#include <stdbool.h>

/* A nonblocking fd from which lines logged after this call can be read, or -errno. */
int kmsg_open(void);
/* Read all lines that fd has. True if the backend has logged one that contains text. */
bool kmsg_says(int fd, const char *text);

#endif
