/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's tracepoints, in a tracefs instance of this program's own.
 * Functions return 0 or -errno.
 */
#ifndef TETHER_TESTS_TRACE_H
#define TETHER_TESTS_TRACE_H

#include <stddef.h>

int trace_open(void);
void trace_close(void);
/* Forget what was recorded. */
int trace_clear(void);

/*
 * The first record since trace_clear() that has all of these texts, a NULL at
 * the end: its line, from the event's name on. NULL if there is none.
 */
const char *trace_find(const char *event, ...) __attribute__((sentinel));
/* How many records of that event there are. -errno. */
int trace_count(const char *event);
/* A field of a record, as "owner=". Returns what follows, or NULL. */
const char *trace_field(const char *record, const char *field);

#endif
