// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's tracepoints: see trace.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proc.h"
#include "trace.h"

#define INSTANCE	"/sys/kernel/tracing/instances/tether_test"
#define TEXTS_MAX	16

static char line[1024];

int trace_open(void)
{
	rmdir(INSTANCE);	/* left behind by a program that was killed */
	if (mkdir(INSTANCE, 0700))
		return -errno;
	return proc_write_file(INSTANCE "/events/vfio_type1/enable", "1");
}

void trace_close(void)
{
	proc_write_file(INSTANCE "/events/vfio_type1/enable", "0");
	rmdir(INSTANCE);
}

int trace_clear(void)
{
	int fd = open(INSTANCE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* "comm-pid [cpu] flags time: event: fields", or NULL for a comment. */
static const char *record_of(const char *event)
{
	char name[64];
	const char *at;

	snprintf(name, sizeof(name), ": %s: ", event);
	if (line[0] == '#')
		return NULL;
	line[strcspn(line, "\n")] = 0;
	at = strstr(line, name);
	return at ? at + 2 : NULL;
}

static bool has_all(const char *record, const char **texts)
{
	for (; *texts; texts++)
		if (!strstr(record, *texts))
			return false;
	return true;
}

const char *trace_find(const char *event, ...)
{
	FILE *file = fopen(INSTANCE "/trace", "re");
	const char *texts[TEXTS_MAX + 1], *record = NULL;
	unsigned int n = 0;
	va_list args;

	va_start(args, event);
	do {
		texts[n] = va_arg(args, const char *);
	} while (texts[n] && ++n < TEXTS_MAX);
	va_end(args);
	texts[n] = NULL;

	if (!file)
		return NULL;
	while (fgets(line, sizeof(line), file)) {
		record = record_of(event);
		if (record && has_all(record, texts))
			break;
		record = NULL;
	}
	fclose(file);
	return record;
}

int trace_count(const char *event)
{
	FILE *file = fopen(INSTANCE "/trace", "re");
	int n = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (record_of(event))
			n++;
	fclose(file);
	return n;
}

const char *trace_field(const char *record, const char *field)
{
	const char *at = strstr(record, field);

	return at ? at + strlen(field) : NULL;
}
