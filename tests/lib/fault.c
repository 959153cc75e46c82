// SPDX-License-Identifier: GPL-2.0-only
/*
 * The IOMMU's fault records, for every kind of IOMMU: see fault.h.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fault.h"
#include "fault_source.h"

/*
 * The source of fault records by the beginning of the IOMMU's name in
 * /sys/class/iommu. A virtio-iommu is named by its PCI address. AMD-Vi has no source:
 * QEMU's AMD-Vi reports no faults to the kernel.
 */
static const struct {
	const char *name;
	const struct fault_source *source;
} sources[] = {
	{ "dmar", &fault_vtd },
	{ "smmu3.", &fault_smmu },
	{ "0000:", &fault_virtio },
};

static const struct fault_source *source_of(const char *iommu)
{
	size_t i;

	for (i = 0; i < sizeof(sources) / sizeof(*sources); i++)
		if (!strncmp(iommu, sources[i].name, strlen(sources[i].name)))
			return sources[i].source;
	return NULL;
}

static const struct fault_source *find_source(void)
{
	DIR *dir = opendir("/sys/class/iommu");
	const struct fault_source *source = NULL;
	struct dirent *entry;

	while (dir && !source && (entry = readdir(dir)))
		source = source_of(entry->d_name);
	if (dir)
		closedir(dir);
	return source;
}

bool faults_are_recorded(void)
{
	return find_source();
}

int fault_open(struct fault_log *f)
{
	int ret;

	*f = (struct fault_log){ .fd = -1, .source = find_source() };
	if (!f->source)
		return 0;
	ret = f->source->open(f);
	if (ret)
		fault_close(f);
	return ret;
}

void fault_close(struct fault_log *f)
{
	if (!f->source)
		return;
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	if (f->source->close)
		f->source->close(f);
	f->source = NULL;
}

/* Take one record out of the text read so far. */
static bool take(struct fault_log *f, struct fault *fault)
{
	char *end;

	while ((end = memchr(f->text, '\n', f->len))) {
		size_t used = end + 1 - f->text;
		bool found;

		*end = 0;
		found = f->source->take(f, f->text, fault);
		f->len -= used;
		memmove(f->text, end + 1, f->len);
		if (found)
			return true;
	}
	return false;
}

static bool refill(struct fault_log *f)
{
	ssize_t got;

	if (sizeof(f->text) - f->len < FAULT_LINE)
		f->len = 0;	/* no record's line is that long: drop it */
	do {
		/* EPIPE: records were overwritten before they were read. Read on. */
		got = read(f->fd, f->text + f->len, sizeof(f->text) - f->len);
	} while (got < 0 && errno == EPIPE);
	if (got <= 0)
		return false;
	f->len += got;
	return true;
}

void fault_settle(struct fault_log *f)
{
	if (f->source && f->source->settle)
		f->source->settle(f);
}

void fault_drain(struct fault_log *f)
{
	struct fault fault;

	if (!f->source)
		return;
	if (f->source->more)
		f->source->more(f);
	do {
		while (take(f, &fault))
			;
	} while (refill(f));
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int fault_next(struct fault_log *f, struct fault *fault, int timeout_ms)
{
	struct timespec tick = { .tv_nsec = 2000000 };
	long end = now_ms() + timeout_ms;

	if (!f->source)
		return -ETIMEDOUT;
	do {
		if (take(f, fault))
			return 0;
		/* poll() of trace_pipe wakes late, by a slow timer: read repeatedly. */
		if (!refill(f))
			nanosleep(&tick, NULL);
	} while (now_ms() <= end);
	return take(f, fault) ? 0 : -ETIMEDOUT;
}

static int source_id(const char *bdf)
{
	unsigned int domain, bus, slot, function;

	if (sscanf(bdf, "%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4)
		return -EINVAL;
	return bus << 8 | slot << 3 | function;
}

int fault_wait(struct fault_log *f, const char *bdf, uint64_t iova, bool write,
	       int timeout_ms)
{
	long end = now_ms() + timeout_ms;
	int source = source_id(bdf);
	struct fault fault;
	int ret;

	if (source < 0)
		return source;
	if (!f->source)
		return 0;
	do {
		long left = end - now_ms();

		ret = fault_next(f, &fault, left > 0 ? left : 0);
		if (!ret && fault.source == source &&
		    (fault.either_way || fault.write == write) &&
		    fault.addr == (iova & ~0xfffULL))
			break;
	} while (!ret);
	if (!ret && f->source->more)
		f->source->more(f);
	return ret;
}
