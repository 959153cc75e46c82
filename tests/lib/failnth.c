// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failing allocations: see failnth.h. The kernel documents the files used here in
 * Documentation/fault-injection/fault-injection.rst.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failnth.h"
#include "proc.h"

#define DEBUG_FS	"/sys/kernel/debug/"

static int fail_nth = -1;	/* /proc/self/fail-nth */
static int make_it_fail = -1;	/* /proc/self/make-it-fail */
static unsigned int workers_times;

/* Settings: no allocation is exempt from failing, and failures are not logged. */
static const struct {
	const char *path;
	const char *value;
} settings[] = {
	{ DEBUG_FS "failslab/ignore-gfp-wait", "N" },
	{ DEBUG_FS "failslab/cache-filter", "N" },
	{ DEBUG_FS "failslab/verbose", "0" },
	{ DEBUG_FS "fail_page_alloc/ignore-gfp-wait", "N" },
	{ DEBUG_FS "fail_page_alloc/ignore-gfp-highmem", "N" },
	{ DEBUG_FS "fail_page_alloc/min-order", "0" },
	{ DEBUG_FS "fail_page_alloc/verbose", "0" },
};

int failnth_open(void)
{
	size_t i;
	int ret;

	for (i = 0; i < sizeof(settings) / sizeof(*settings); i++) {
		ret = proc_write_file(settings[i].path, settings[i].value);
		if (ret)
			return ret;
	}
	fail_nth = open("/proc/self/fail-nth", O_RDWR | O_CLOEXEC);
	make_it_fail = open("/proc/self/make-it-fail", O_RDWR | O_CLOEXEC);
	return fail_nth < 0 || make_it_fail < 0 ? -errno : 0;
}

void failnth_close(void)
{
	if (fail_nth >= 0)
		close(fail_nth);
	if (make_it_fail >= 0)
		close(make_it_fail);
	fail_nth = -1;
	make_it_fail = -1;
}

void failnth_arm(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (pwrite(fail_nth, text, len, 0) != len)
		abort();
}

bool failnth_disarm(void)
{
	char text[16] = "";

	if (pread(fail_nth, text, sizeof(text) - 1, 0) <= 0)
		abort();
	failnth_arm(0);
	return !atoi(text);
}

static int set(const char *what, const char *attribute, unsigned int value)
{
	char path[128], text[16];

	snprintf(path, sizeof(path), DEBUG_FS "%s/%s", what, attribute);
	snprintf(text, sizeof(text), "%u", value);
	return proc_write_file(path, text);
}

static int set_both(const char *attribute, unsigned int value)
{
	int ret = set("failslab", attribute, value);

	return ret ? ret : set("fail_page_alloc", attribute, value);
}

static int left(const char *what)
{
	char path[128], text[16];
	int ret;

	snprintf(path, sizeof(path), DEBUG_FS "%s/times", what);
	ret = proc_read_file(path, text, sizeof(text));
	return ret ? ret : atoi(text);
}

#define PAGES_TIMES	1000000000u

/*
 * Write to make-it-fail last: it marks this thread, and from then on the thread's
 * allocations count. Those for the writes before must not.
 */
void fail_pages_arm(unsigned int nth)
{
	if (set("fail_page_alloc", "task-filter", 1) ||
	    set("fail_page_alloc", "times", PAGES_TIMES) ||
	    set("fail_page_alloc", "space", nth) ||
	    set("fail_page_alloc", "probability", 100) ||
	    pwrite(make_it_fail, "1", 1, 0) != 1)
		abort();
}

bool fail_pages_disarm(void)
{
	if (pwrite(make_it_fail, "0", 1, 0) != 1 ||
	    set("fail_page_alloc", "probability", 0) ||
	    set("fail_page_alloc", "space", 0) ||
	    set("fail_page_alloc", "task-filter", 0))
		abort();
	return left("fail_page_alloc") < (int)PAGES_TIMES;
}

static void mark_worker(const char *pid, const char *mark)
{
	char path[300], comm[32] = "";

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (proc_read_file(path, comm, sizeof(comm)) ||
	    strncmp(comm, "kworker/u", strlen("kworker/u")))
		return;
	snprintf(path, sizeof(path), "/proc/%s/make-it-fail", pid);
	proc_write_file(path, mark);
}

static void mark_workers(const char *mark)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		mark_worker(entry->d_name, mark);
	if (dir)
		closedir(dir);
}

int fail_workers(unsigned int times)
{
	int ret;

	mark_workers("1");
	workers_times = times;
	ret = set_both("task-filter", 1);
	if (!ret)
		ret = set_both("times", times);
	if (!ret)
		ret = set_both("probability", 50);
	return ret;
}

int fail_workers_end(void)
{
	int ret = set_both("probability", 0), slab, pages;

	if (!ret)
		ret = set_both("task-filter", 0);
	mark_workers("0");
	if (ret)
		return ret;
	slab = left("failslab");
	pages = left("fail_page_alloc");
	if (slab < 0 || pages < 0)
		return slab < 0 ? slab : pages;
	return 2 * workers_times - slab - pages;
}
