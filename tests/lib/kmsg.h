/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's log, from a moment on.
 */
#ifndef TETHER_TESTS_KMSG_H
#define TETHER_TESTS_KMSG_H

#include <stdbool.h>

/* What is logged from here on; reading does not wait for it. A fd, or -errno. */
int kmsg_open(void);
/* Has the backend logged a line with this in it? Reads what there is. */
bool kmsg_says(int fd, const char *text);

#endif
