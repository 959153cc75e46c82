// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's part of the demonstration, on the backend that is loaded. It takes a
 * target device through its life (its memory is off, is on again, is in a reset, is
 * given back), and each time has another device, the initiator, write into the target's
 * memory by DMA. It prints a line "KEY RESULT" for each, which demo/run evaluates. It
 * exits non-zero only if it could not find out a result.
 *
 * A DMA write has one of three results:
 *
 *   reaches  the written bytes, random for every write, are in the target's
 *            memory; demo reads it without using the DMA mapping
 *   stopped  the bytes are not there, and the IOMMU has recorded the fault
 *   let-out  the bytes are not there, and there is no fault: the IOMMU let the
 *            write pass to the bus address where the target's memory was. While
 *            that memory is off, no device takes the write, so no more can be
 *            seen; a device that is given this address next would get the write.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "edu.h"
#include "fault.h"
#include "target.h"
#include "vfio.h"

#define INITIATOR	"0000:00:03.0"
#define TARGET		"0000:01:00.0"
#define BAR		2
#define SIZE		(1UL << 30)
#define MISALIGN	4096UL	/* so that no large page can map the user address */

#define BOUNCE_IOVA	0x10000UL
#define NOWHERE_IOVA	0x20000UL
#define IOVA		0x100000000UL

#define LEN		64
#define RUNS		7
#define MARGIN		0.0015	/* s, least distance of the DMA from a reset's ends */
#define FAULT_MS	1000	/* a fault record takes a few ms */
#define RETURN_MS	2000	/* tether has to restore a mapping within this time */

/* Offsets in the target to which the initiator writes, one in each half */
#define LOW		0x1000UL
#define HIGH		(SIZE / 2 + 0x1000UL)

struct demo {
	struct vfio_container container;
	struct edu initiator;
	struct vfio_device target;
	struct target witness;
	struct fault_log faults;
	char *map;
};

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "demo: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_until(double when)
{
	struct timespec t = {
		.tv_sec = (time_t)when,
		.tv_nsec = (when - (time_t)when) * 1e9,
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void result(const char *key, const char *value)
{
	printf("%s %s\n", key, value);
	fflush(stdout);
}

static bool recorded(struct demo *d, uint64_t iova)
{
	int ret = fault_wait(&d->faults, INITIATOR, iova, true, FAULT_MS);

	if (ret && ret != -ETIMEDOUT)
		check(ret, "fault record");
	return !ret;
}

static const char *verdict(bool landed, bool fault)
{
	if (landed)
		return fault ? "contradictory" : "reaches";
	return fault ? "stopped" : "let-out";
}

static const char *write_and_look(struct demo *d, uint64_t offset)
{
	uint8_t data[LEN];
	bool landed;

	target_pattern(data, LEN);
	check(target_fill(&d->witness, offset, 0, LEN), "clear target");
	fault_drain(&d->faults);
	check(edu_write(&d->initiator, IOVA + offset, data, LEN), "DMA");
	landed = target_has(&d->witness, offset, data, LEN);
	/* Also wait if the bytes arrived: with a fault that would be contradictory. */
	return verdict(landed, recorded(d, IOVA + offset));
}

/* tether restores a revoked mapping by itself, after some ms: so repeat the write. */
static const char *write_until_it_reaches(struct demo *d, uint64_t offset)
{
	double end = now() + RETURN_MS / 1e3;
	const char *seen;

	do {
		seen = write_and_look(d, offset);
	} while (strcmp(seen, "reaches") && now() < end);
	return seen;
}

/*
 * Writes to an IOVA that is not mapped, and checks that the IOMMU's fault is recorded.
 * If it were not, a write that the IOMMU stops would count as let-out.
 */
static void prove_faults_are_seen(struct demo *d)
{
	uint8_t data[LEN];

	target_pattern(data, LEN);
	fault_drain(&d->faults);
	check(edu_write(&d->initiator, NOWHERE_IOVA, data, LEN), "DMA");
	if (!recorded(d, NOWHERE_IOVA)) {
		fprintf(stderr, "demo: no fault record of a write to nowhere\n");
		exit(1);
	}
}

static void map_bar(struct demo *d)
{
	char *at = vfio_reserve(SIZE, SIZE, MISALIGN);

	if (at)
		at = vfio_region_mmap(&d->target, BAR, 0, SIZE,
				      PROT_READ | PROT_WRITE, at);
	check(at ? 0 : -errno, "mmap of the target");
	d->map = at;
}

static void unmap_bar(struct demo *d)
{
	munmap(d->map, SIZE);
	d->map = NULL;
}

static void step_off(struct demo *d)
{
	uint8_t data[LEN];
	bool landed, fault;

	target_pattern(data, LEN);
	check(target_fill(&d->witness, LOW, 0, LEN), "clear target");
	/*
	 * edu_load() is a DMA read of the bounce page, and may fault, too. So it comes
	 * before fault_drain(), which discards such faults.
	 */
	check(edu_load(&d->initiator, data, LEN), "DMA");
	check(vfio_decoding(&d->target, false), "memory off");
	fault_drain(&d->faults);
	check(edu_store(&d->initiator, IOVA + LOW, LEN), "DMA");
	fault = recorded(d, IOVA + LOW);
	check(vfio_decoding(&d->target, true), "memory on");
	landed = target_has(&d->witness, LOW, data, LEN);
	result("off", verdict(landed, fault));
	result("on", write_until_it_reaches(d, LOW));
}

/*
 * Starts a DMA of edu, which edu carries out 100 ms later, and begins a reset of the
 * target's bus, which takes some 10 ms, 4 ms before that moment. Returns true if the
 * DMA came at least MARGIN after the reset's start and before its end.
 */
static bool write_during_reset(struct demo *d)
{
	double soonest, latest, start, end;

	soonest = now() + 0.1;
	check(edu_start_store(&d->initiator, IOVA + LOW, LEN), "DMA");
	latest = now() + 0.1;
	sleep_until(soonest - 0.004);
	start = now();
	check(vfio_reset(&d->target), "reset");
	end = now();
	check(edu_wait(&d->initiator), "DMA");
	/* If edu_wait() had to wait (now() is late), the DMA came after the reset. */
	return start + MARGIN < soonest && latest < end - MARGIN &&
	       now() < end + MARGIN / 3;
}

static void step_reset(struct demo *d)
{
	uint8_t data[LEN];
	bool landed;
	int tries;

	for (tries = 0; tries < 50; tries++) {
		target_pattern(data, LEN);
		check(target_fill(&d->witness, LOW, 0, LEN), "clear target");
		check(edu_load(&d->initiator, data, LEN), "DMA");
		fault_drain(&d->faults);
		if (!write_during_reset(d))
			continue;
		landed = target_has(&d->witness, LOW, data, LEN);
		result("reset", verdict(landed, recorded(d, IOVA + LOW)));
		result("after-reset", write_until_it_reaches(d, LOW));
		return;
	}
	fprintf(stderr, "demo: no write came in the middle of a reset\n");
	exit(1);
}

static void step_half(struct demo *d)
{
	munmap(d->map + SIZE / 2, SIZE / 2);
	result("half-gone", write_and_look(d, HIGH));
	result("half-left", write_until_it_reaches(d, LOW));
}

/* Closes the device and unbinds it from VFIO; then the host uses its memory. */
static void step_released(struct demo *d)
{
	struct host_bar host;
	uint8_t data[LEN];
	bool landed;

	unmap_bar(d);
	vfio_device_close(&d->target);
	check(vfio_device_unbind(TARGET), "unbind");
	check(host_bar_open(&host, TARGET, BAR, SIZE), "the host's mapping");
	memset(host.mem + LOW, 0, LEN);

	target_pattern(data, LEN);
	fault_drain(&d->faults);
	check(edu_write(&d->initiator, IOVA + LOW, data, LEN), "DMA");
	landed = !memcmp(host.mem + LOW, data, LEN);
	result("released", verdict(landed, recorded(d, IOVA + LOW)));
	host_bar_close(&host);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void median(const char *key, double *t)
{
	qsort(t, RUNS, sizeof(*t), by_value);
	printf("%s %.1f\n", key, t[RUNS / 2] * 1e6);
	fflush(stdout);
}

static void time_once(struct demo *d, double *map, double *unmap)
{
	double t0 = now(), t1;

	check(vfio_dma_map(&d->container, d->map, IOVA, SIZE, VFIO_DMA_RW),
	      "map");
	t1 = now();
	check(vfio_dma_unmap(&d->container, IOVA, SIZE, NULL), "unmap");
	*map = t1 - t0;
	*unmap = now() - t1;
}

static void times(struct demo *d)
{
	double map[RUNS], unmap[RUNS];
	int i;

	/* mmap the BAR anew for each run: so each map has to fault its pages in. */
	for (i = 0; i < RUNS; i++) {
		map_bar(d);
		time_once(d, &map[i], &unmap[i]);
		unmap_bar(d);
	}
	median("us-map-first", map);
	median("us-unmap-first", unmap);

	map_bar(d);
	time_once(d, &map[0], &unmap[0]);
	for (i = 0; i < RUNS; i++)
		time_once(d, &map[i], &unmap[i]);
	median("us-map-again", map);
	median("us-unmap-again", unmap);
	unmap_bar(d);
}

int main(void)
{
	struct demo d = { .witness = { .dev = &d.target, .region = BAR } };

	check(fault_open(&d.faults), "fault records");
	check(vfio_container_open(&d.container, VFIO_TYPE1v2_IOMMU),
	      "container");
	check(edu_open(&d.initiator, &d.container, INITIATOR, BOUNCE_IOVA),
	      INITIATOR);
	check(vfio_device_open(&d.target, &d.container, TARGET), TARGET);
	check(vfio_decoding(&d.target, true), "memory on");
	prove_faults_are_seen(&d);

	times(&d);

	map_bar(&d);
	check(vfio_dma_map(&d.container, d.map, IOVA, SIZE, VFIO_DMA_RW),
	      "map");
	result("mapped", write_and_look(&d, LOW));
	step_off(&d);
	step_reset(&d);
	step_half(&d);
	step_released(&d);

	edu_close(&d.initiator);
	vfio_container_close(&d.container);
	fault_close(&d.faults);
	result("done", "yes");
	return 0;
}
