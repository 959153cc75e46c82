/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Records the module's tracepoints in a tracefs instance that only this program
 * uses. Functions return 0 or -errno.
 */
#ifndef TETHER_TESTS_TRACE_H
#define TETHER_TESTS_TRACE_H

#include <stddef.h>

int trace_open(void);
void trace_close(void);
/* Forget what was recorded. */
int trace_clear(void);

/*
 * Find the first record since trace_clear() that contains all of these texts;
 * the last argument is NULL. Returns the record's line from the event's name on,
 * or NULL if there is no such record.
 */
const char *trace_find(const char *event, ...) __attribute__((sentinel));
/* Returns how many records of that event there are, or -errno. */
int trace_count(const char *event);
/* Returns the text behind a field's name ("owner=") in a record, or NULL. */
const char *trace_field(const char *record, const char *field);

#endif
