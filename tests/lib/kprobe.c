// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kprobe events: see kprobe.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kprobe.h"
#include "proc.h"

#define TRACING		"/sys/kernel/tracing/"
#define INSTANCE	TRACING "instances/tether_kprobe"
#define GROUP		"tether_test"
#define EVENTS_MAX	8

static char events[EVENTS_MAX][KPROBE_NAME];
static unsigned int nr_events;

static int in_instance(const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	return proc_write_file_flags(path, O_TRUNC, text);
}

int kprobe_open(void)
{
	int ret;

	nr_events = 0;
	rmdir(INSTANCE);	/* left behind by a program that was killed */
	if (mkdir(INSTANCE, 0700))
		return -errno;
	in_instance("tracing_on", "0");
	/*
	 * Use one clock for all CPUs: the CPUs' own clocks may differ by more than the
	 * time between two events, and then the events would be in the wrong order.
	 */
	ret = in_instance("trace_clock", "counter");
	return ret;
}

void kprobe_close(void)
{
	char text[64];

	in_instance("events/" GROUP "/enable", "0");
	rmdir(INSTANCE);
	while (nr_events) {
		snprintf(text, sizeof(text), "-:" GROUP "/%s",
			 events[--nr_events]);
		proc_write_file_flags(TRACING "kprobe_events", O_APPEND, text);
	}
}

/*
 * Does the kernel have this function? The errno of a failed probe does not tell, since
 * newer kernels return -EINVAL for a function that does not exist.
 */
static bool has_symbol(const char *symbol)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512], name[256];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%*s %*s %255s", name) == 1 &&
			!strcmp(name, symbol);
	if (file)
		fclose(file);
	return found;
}

int kprobe_add(const char *name, const char *symbol, const char *args)
{
	char text[512];
	int ret;

	if (nr_events == EVENTS_MAX)
		return -E2BIG;
	snprintf(text, sizeof(text), "p:" GROUP "/%s %s %s", name, symbol, args);
	ret = proc_write_file_flags(TRACING "kprobe_events", O_APPEND, text);
	if (ret)
		return has_symbol(symbol) ? ret : -ENOENT;
	snprintf(events[nr_events++], KPROBE_NAME, "%s", name);
	return 0;
}

int kprobe_start(void)
{
	char pid[16];
	int ret;

	snprintf(pid, sizeof(pid), "%d", gettid());
	ret = in_instance("set_event_pid", pid);
	if (!ret)
		ret = in_instance("events/" GROUP "/enable", "1");
	if (!ret)
		ret = in_instance("trace", "");
	return ret ? ret : in_instance("tracing_on", "1");
}

int kprobe_stop(void)
{
	return in_instance("tracing_on", "0");
}

/* "comm-pid [cpu] flags time: name: (symbol+0x0/0x10) arg1=0x1 arg2=0x2" */
static int parse(const char *line, struct kprobe_hit *hit)
{
	const char *at = strstr(line, ": (");
	unsigned int i;
	size_t len = 0;

	if (!at)
		return -EINVAL;
	while (at - len > line && at[-(ptrdiff_t)len - 1] != ' ')
		len++;
	if (!len || len >= sizeof(hit->name))
		return -EINVAL;
	*hit = (struct kprobe_hit){};
	memcpy(hit->name, at - len, len);
	for (i = 0; i < KPROBE_ARGS; i++) {
		at = strchr(at + 1, '=');
		if (!at)
			break;
		hit->arg[i] = strtoull(at + 1, NULL, 0);
	}
	return 0;
}

/* "# entries-in-buffer/entries-written: 12/12   #P:2" */
static bool all_kept(const char *line)
{
	const char *at = strchr(line, ':');
	unsigned long kept, written;

	return !strstr(line, "entries-written") || !at ||
	       sscanf(at + 1, "%lu/%lu", &kept, &written) != 2 ||
	       kept == written;
}

int kprobe_read(struct kprobe_hit *hits, size_t max)
{
	FILE *file = fopen(INSTANCE "/trace", "re");
	char line[1024];
	size_t n = 0;
	int ret = 0;

	if (!file)
		return -errno;
	while (!ret && fgets(line, sizeof(line), file)) {
		if (line[0] == '#')
			ret = all_kept(line) ? 0 : -EOVERFLOW;
		else if (n == max || strstr(line, "[LOST "))
			ret = -EOVERFLOW;
		else
			ret = parse(line, &hits[n++]);
	}
	fclose(file);
	return ret ? ret : (int)n;
}
