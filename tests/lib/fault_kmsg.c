// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault records of the IOMMUs whose drivers log each event: virtio-iommu and
 * SMMUv3. The kernel limits such log lines to a few in some seconds. The module
 * tests/faults lifts the limit for a budget of records, which this file fills up
 * whenever a test is about to read records. The budget is small, since QEMU's
 * virtio-iommu reports a write of one page as a thousand faults.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault_source.h"
#include "kmsg.h"
#include "proc.h"
#include "smmu.h"

#define MODULE	"/modules/faults.ko"
#define BUDGET	"/sys/module/faults/parameters/budget"
#define RECORDS	"32"
#define SMMU_SETTLE_US	1000

static int log_open(struct fault_log *f)
{
	if (access(BUDGET, F_OK) && system("insmod " MODULE))
		return -ENODEV;
	f->fd = kmsg_open();
	if (f->fd < 0)
		return f->fd;
	return proc_write_file(BUDGET, RECORDS);
}

/*
 * QEMU raises an interrupt when it reports a fault, and the interrupt's handler takes
 * all queued faults. So move this thread to each CPU in turn: before the thread runs
 * there, the CPU handles its pending interrupts, however long it had stood still.
 */
static void virtio_settle(struct fault_log *f)
{
	long cpu, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t before, one;

	if (sched_getaffinity(0, sizeof(before), &before))
		return;
	for (cpu = 0; cpu < cpus; cpu++) {
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one);
	}
	sched_setaffinity(0, sizeof(before), &before);
}

static void virtio_more(struct fault_log *f)
{
	virtio_settle(f);
	proc_write_file(BUDGET, RECORDS);
}

/* "page fault from EP 56 at 0x2000000000 [W]". QEMU does not tell reads from writes. */
static bool virtio_take(struct fault_log *f, char *line, struct fault *fault)
{
	char *at = strstr(line, "fault from EP ");
	unsigned int endpoint;
	unsigned long long addr;
	char flags[8];

	if (!at || sscanf(at, "fault from EP %u at %llx [%7[^]]",
			  &endpoint, &addr, flags) < 2)
		return false;
	*fault = (struct fault){
		.source = endpoint,
		.addr = addr & ~0xfffULL,
		.either_way = true,
	};
	return true;
}

const struct fault_source fault_virtio = {
	.open = log_open,
	.take = virtio_take,
	.more = virtio_more,
	.settle = virtio_settle,
};

/*
 * Wait until the SMMU's registers show that the driver has taken all events, up to a
 * second. Events that the driver logs take long, five lines each on a slow serial
 * console; a thousand that it need not log do not.
 */
static void smmu_settle(struct fault_log *f)
{
	int i;

	for (i = 0; i < 1000 && smmu_events_pending(f->registers); i++)
		usleep(SMMU_SETTLE_US);
}

static void smmu_more(struct fault_log *f)
{
	if (proc_write_file(BUDGET, "0"))
		return;
	smmu_settle(f);
	proc_write_file(BUDGET, RECORDS);
}

static int smmu_open_log(struct fault_log *f)
{
	f->registers = smmu_map(SMMU_PAGE_1);
	return f->registers ? log_open(f) : -errno;
}

static void smmu_close_log(struct fault_log *f)
{
	smmu_unmap(f->registers);
	f->registers = NULL;
}

#define EVENT_WORDS	4
#define EVENT_SOURCE(word)	((word)[0] >> 32)
#define EVENT_READ(word)	((word)[1] >> 35 & 1)
#define EVENT_ADDRESS(word)	((word)[2])

/* "event 0x10 received:", then a line for each of the event's words. */
static bool smmu_take(struct fault_log *f, char *line, struct fault *fault)
{
	char *at = strchr(line, ';'), *word;

	if (strstr(line, "event 0x") && strstr(line, "received:")) {
		f->words = 0;
		return false;
	}
	word = at ? strstr(at, "0x") : NULL;
	if (f->words >= EVENT_WORDS || !word || !strstr(line, "smmu"))
		return false;
	f->word[f->words++] = strtoull(word, NULL, 16);
	if (f->words < EVENT_WORDS)
		return false;
	*fault = (struct fault){
		.source = EVENT_SOURCE(f->word),
		.addr = EVENT_ADDRESS(f->word) & ~0xfffULL,
		.write = !EVENT_READ(f->word),
		.reason = f->word[0] & 0xff,
	};
	return true;
}

const struct fault_source fault_smmu = {
	.open = smmu_open_log,
	.close = smmu_close_log,
	.take = smmu_take,
	.more = smmu_more,
	.settle = smmu_settle,
};
