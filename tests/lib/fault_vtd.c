// SPDX-License-Identifier: GPL-2.0-only
/*
 * VT-d's fault records: a kprobe at the entry of dmar_fault(), which handles
 * VT-d's fault interrupt, copies the hardware's fault recording register into a
 * trace buffer of our own, before dmar_fault() clears the register. The emulated
 * VT-d has one such register: if further faults come before the interrupt is
 * handled, only the first is recorded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault_source.h"
#include "proc.h"

#define TRACING	"/sys/kernel/tracing"

/*
 * dmar_fault(irq, iommu): the first member of *iommu points to the registers.
 * 0x220 is where the emulated VT-d has its fault recording register (FRO of
 * its capability register); 16 bytes, read as two halves.
 */
#define PROBE	"p:tether/dmar_fault dmar_fault " \
		"lo=+0x220(+0(%si)):x64 hi=+0x228(+0(%si)):x64\n"
/*
 * Only after dmar_fault() has returned can the register record the next fault. So
 * vtd_take() hands a record out only after the return.
 */
#define DONE	"r:tether/dmar_fault_done dmar_fault\n"

#define FRCD_FAULT(hi)	((hi) >> 63)
#define FRCD_READ(hi)	((hi) >> 62 & 1)
#define FRCD_REASON(hi)	((hi) >> 32 & 0xff)
#define FRCD_SOURCE(hi)	((hi) & 0xffff)

static int define_probe(const char *event, const char *definition)
{
	char path[160];
	int fd, ret = 0;

	snprintf(path, sizeof(path), TRACING "/events/tether/%s", event);
	if (!access(path, F_OK))
		return 0;
	fd = open(TRACING "/kprobe_events", O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, definition, strlen(definition)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int enable_probes(struct fault_log *f, const char *on)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/events/tether/enable", f->instance);
	return proc_write_file(path, on);
}

static int vtd_open(struct fault_log *f)
{
	char path[160];
	int ret = define_probe("dmar_fault", PROBE);

	if (!ret)
		ret = define_probe("dmar_fault_done", DONE);
	if (ret)
		return ret;
	snprintf(f->instance, sizeof(f->instance),
		 TRACING "/instances/fault-%d-%p", getpid(), (void *)f);
	if (mkdir(f->instance, 0700) && errno != EEXIST)
		return -errno;
	ret = enable_probes(f, "1");
	if (!ret) {
		snprintf(path, sizeof(path), "%s/trace_pipe", f->instance);
		f->fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (f->fd < 0)
			ret = -errno;
	}
	return ret;
}

static void vtd_close(struct fault_log *f)
{
	if (!f->instance[0])
		return;
	enable_probes(f, "0");
	rmdir(f->instance);
	f->instance[0] = 0;
}

static bool parse(char *line, struct fault *fault)
{
	char *lo = strstr(line, " lo="), *hi = strstr(line, " hi=");
	uint64_t low, high;

	if (!lo || !hi)
		return false;
	low = strtoull(lo + 4, NULL, 16);
	high = strtoull(hi + 4, NULL, 16);
	if (!FRCD_FAULT(high))
		return false;
	*fault = (struct fault){
		.source = FRCD_SOURCE(high),
		.addr = low & ~0xfffULL,
		.write = !FRCD_READ(high),
		.reason = FRCD_REASON(high),
	};
	return true;
}

static bool vtd_take(struct fault_log *f, char *line, struct fault *fault)
{
	if (parse(line, &f->last))
		f->pending = true;
	if (!f->pending || !strstr(line, "dmar_fault_done"))
		return false;
	f->pending = false;
	*fault = f->last;
	return true;
}

const struct fault_source fault_vtd = {
	.open = vtd_open,
	.close = vtd_close,
	.take = vtd_take,
};
