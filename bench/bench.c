// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest's part of the benchmark: bench intree|tether|floor [--long] [CASE...] runs the
 * cases on the module that is loaded. floor (floor/main.c) is a module that does only
 * the work that no backend can avoid. bench prints lines that bench/run evaluates:
 *
 *	CASE METRIC VALUE	one sample: nanoseconds, or bytes
 *	CASE lacks		the machine cannot run the case
 *
 * It exits non-zero if a measurement could not be made.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "emu.h"
#include "memory.h"
#include "proc.h"
#include "side.h"

#define PAGE		4096UL
#define MIB		(1UL << 20)
#define GIB		(1UL << 30)
#define IOVA		(1UL << 38)	/* above all other IOVAs of a case */
#define SMALL_IOVA	(1UL << 33)

#define TARGET		"0000:01:00.0"	/* 1 GiB */
#define HUGE_TARGET	"0000:00:06.0"	/* 64 GiB */
#define BAR		2

#define RUNS		7
#define LONG_ENOUGH	4000000000LL	/* ns; if a case takes longer, it stops */
#define SMALL_OPS	500
#define SMALL_BUFFER	(4 * MIB)

#define TRACING		"/sys/kernel/tracing/"
#define RESTORE_MS	3000

struct bench_case {
	const char *name;
	void (*run)(const struct bench_case *c);
	size_t size;
	unsigned long arg;	/* the meaning is in the function's comment */
	bool vfio;		/* not run on the floor */
	bool tether;		/* run on tether alone */
	bool lengthy;		/* run only with --long */
};

static bool floored;
static const struct bench_case *current;

static void check(int ret, const char *what)
{
	if (!ret)
		return;
	fprintf(stderr, "bench: %s: %s: %s\n", current->name, what, strerror(-ret));
	exit(1);
}

static long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void sample(const char *metric, double value)
{
	printf("%s %s %.1f\n", current->name, metric, value);
	fflush(stdout);
}

static void lacks(void)
{
	printf("%s lacks\n", current->name);
	fflush(stdout);
}

/* If the machine has no memory of this kind, prints "CASE lacks" and returns false. */
static bool get(struct memory *m, enum memory_kind kind, size_t size)
{
	int ret = memory_get(m, kind, size);

	if (ret == -ENOTSUP) {
		memory_put(m);
		lacks();
		return false;
	}
	check(ret, "memory");
	return true;
}

static void open_side(struct side *s)
{
	check(side_open(s, floored), "open");
}

/* --- Memory of devices -------------------------------------------------- */

static void map_bar_once(struct side *s, const struct bar *b, bool tell)
{
	long long t0 = now(), t1, t2;

	check(side_map_bar(s, b, IOVA, b->size), "map");
	t1 = now();
	check(side_unmap(s, IOVA, b->size), "unmap");
	t2 = now();
	if (tell) {
		sample("map", t1 - t0);
		sample("unmap", t2 - t1);
	}
}

/*
 * The first run also fills the CPU's page tables and is not a sample; a lengthy case
 * may have no time for a second run, so there it is one. arg: the skew for bar_open().
 */
static void bar(const struct bench_case *c)
{
	const char *bdf = c->size > GIB ? HUGE_TARGET : TARGET;
	long long start = now();
	struct side s;
	struct bar b;
	int i;

	open_side(&s);
	check(bar_open(&b, &s, bdf, BAR, c->size, c->arg), "BAR");
	for (i = 0; i <= RUNS; i++) {
		map_bar_once(&s, &b, i || c->lengthy);
		if (now() - start > LONG_ENOUGH)
			break;
	}
	bar_close(&b);
	side_close(&s);
}

/* --- RAM ---------------------------------------------------------------- */

static void map_ram_once(struct side *s, const struct memory *m, bool tell)
{
	long long t0 = now(), t1, t2;

	check(side_map_ram(s, m->at, IOVA, m->size), "map");
	t1 = now();
	check(side_unmap(s, IOVA, m->size), "unmap");
	t2 = now();
	if (tell) {
		sample("map", t1 - t0);
		sample("unmap", t2 - t1);
	}
}

/* arg: the kind of memory. */
static void ram(const struct bench_case *c)
{
	struct memory m;
	struct side s;
	int i;

	if (!get(&m, c->arg, c->size))
		return;
	open_side(&s);
	for (i = 0; i <= RUNS; i++)
		map_ram_once(&s, &m, i);
	side_close(&s);
	memory_put(&m);
}

static void ram_untouched(const struct bench_case *c)
{
	struct memory m;
	long long start;
	struct side s;
	int i;

	open_side(&s);
	for (i = 0; i < RUNS; i++) {
		if (!get(&m, c->arg, c->size))
			break;
		start = now();
		check(side_map_ram(&s, m.at, IOVA, m.size), "map");
		sample("map", now() - start);
		check(side_unmap(&s, IOVA, m.size), "unmap");
		memory_put(&m);
	}
	side_close(&s);
}

/* --- Many small mappings ------------------------------------------------ */

static void map_small(struct side *s, const struct memory *m, uint64_t iova,
		      unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		check(side_map_ram(s, m->at + i * PAGE % m->size, iova + i * PAGE, PAGE),
		      "map");
}

static void unmap_small(struct side *s, uint64_t iova, unsigned long n)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		check(side_unmap(s, iova + i * PAGE, PAGE), "unmap");
}

/* arg: how many other mappings there are. */
static void small(const struct bench_case *c)
{
	struct memory m;
	long long t0, t1;
	struct side s;
	int i;

	if (!get(&m, MEMORY_PAGES, SMALL_BUFFER))
		return;
	open_side(&s);
	map_small(&s, &m, SMALL_IOVA, c->arg);
	for (i = 0; i <= RUNS; i++) {
		t0 = now();
		map_small(&s, &m, IOVA, SMALL_OPS);
		t1 = now();
		unmap_small(&s, IOVA, SMALL_OPS);
		if (i) {
			sample("map", (double)(t1 - t0) / SMALL_OPS);
			sample("unmap", (double)(now() - t1) / SMALL_OPS);
		}
	}
	side_close(&s);
	memory_put(&m);
}

static void unmap_all(const struct bench_case *c)
{
	uint64_t unmapped;
	long long start;
	struct memory m;
	struct side s;
	int i;

	if (!get(&m, MEMORY_PAGES, SMALL_BUFFER))
		return;
	open_side(&s);
	for (i = 0; i < 3; i++) {
		map_small(&s, &m, SMALL_IOVA, c->arg);
		start = now();
		check(vfio_dma_unmap_all(&s.container, &unmapped), "unmap all");
		sample("unmap", now() - start);
		check(unmapped == c->arg * PAGE ? 0 : -EIO, "what was unmapped");
	}
	side_close(&s);
	memory_put(&m);
}

static void close_container(const struct bench_case *c)
{
	long long start;
	struct memory m;
	struct side s;
	int i;

	if (!get(&m, MEMORY_PAGES, SMALL_BUFFER))
		return;
	for (i = 0; i < 3; i++) {
		open_side(&s);
		map_small(&s, &m, SMALL_IOVA, c->arg);
		close(s.initiator.fd);
		s.initiator.fd = -1;
		start = now();
		side_close(&s);
		sample("close", now() - start);
	}
	memory_put(&m);
}

/* --- Costs that depend on the size of all mappings ----------------------- */

/*
 * Times the attaching of a group that gets a new domain, into which the backend has to
 * map all mappings. Both backends give a container a second domain only for a group
 * whose IOMMU is unlike the first one's, but the lab has one IOMMU. So this container
 * has only an emulated device, and the group gets the container's first domain. Then
 * the backend also has to pin the memory, which the time includes.
 */
static void attach(const struct bench_case *c)
{
	struct vfio_container container;
	struct memory m;
	struct emu emu;
	long long t0, t1;
	int i, group;

	if (!get(&m, MEMORY_ALIASED, c->size))
		return;
	check(emu_load(), "emulated device");
	check(vfio_container_open(&container, VFIO_TYPE1v2_IOMMU), "container");
	check(emu_open(&emu, &container, 0), "emulated device");
	check(vfio_dma_map(&container, m.at, IOVA, m.size, VFIO_DMA_RW), "map");
	check(vfio_device_bind("0000:00:03.0"), "bind");
	group = vfio_group_open("0000:00:03.0");
	check(group < 0 ? group : 0, "group");
	for (i = 0; i < 3; i++) {
		t0 = now();
		check(vfio_group_attach(group, &container), "attach");
		t1 = now();
		check(vfio_group_detach(group, &container), "detach");
		sample("detach", now() - t1);
		sample("attach", t1 - t0);
	}
	close(group);
	emu_close(&emu);
	vfio_container_close(&container);
	check(emu_unload(), "emulated device");
	memory_put(&m);
}

static int dirty_log(struct side *s, uint32_t flags, size_t size, void *bitmap)
{
	struct {
		struct vfio_iommu_type1_dirty_bitmap call;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} d = {
		.call = { .argsz = sizeof(d), .flags = flags },
		.get = {
			.iova = IOVA,
			.size = size,
			.bitmap = {
				.pgsize = PAGE,
				.size = size / PAGE / 8,
				.data = bitmap,
			},
		},
	};

	return ioctl(s->container.fd, VFIO_IOMMU_DIRTY_PAGES, &d) ? -errno : 0;
}

static void dirty(const struct bench_case *c)
{
	void *bitmap = calloc(1, c->size / PAGE / 8);
	long long start;
	struct memory m;
	struct side s;
	int i;

	if (!get(&m, MEMORY_ALIASED, c->size))
		return;
	open_side(&s);
	check(bitmap ? 0 : -ENOMEM, "bitmap");
	check(side_map_ram(&s, m.at, IOVA, m.size), "map");
	check(dirty_log(&s, VFIO_IOMMU_DIRTY_PAGES_FLAG_START, 0, NULL), "log");
	for (i = 0; i <= RUNS; i++) {
		start = now();
		check(dirty_log(&s, VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP, c->size, bitmap),
		      "bitmap");
		if (i)
			sample("get", now() - start);
	}
	side_close(&s);
	memory_put(&m);
	free(bitmap);
}

/* --- Revocation ---------------------------------------------------------- */

/* Returns how many map events the trace has. *last: the time of the last one, in ns. */
static unsigned long traced_maps(long long *last)
{
	char *line = NULL, *at;
	unsigned long n = 0;
	size_t size = 0;
	FILE *f = fopen(TRACING "trace", "r");

	check(f ? 0 : -errno, "trace");
	while (getline(&line, &size, f) > 0) {
		at = strstr(line, ": map: ");
		if (!at)
			continue;
		while (at > line && at[-1] != ' ')
			at--;
		*last = strtod(at, NULL) * 1e9;
		n++;
	}
	free(line);
	fclose(f);
	return n;
}

static void trace_maps(const char *on)
{
	check(proc_write_file(TRACING "trace_clock", "mono"), "trace");
	check(proc_write_file(TRACING "trace", ""), "trace");
	check(proc_write_file(TRACING "events/iommu/map/enable", on), "trace");
}

/*
 * Turns the memory on, and measures the time until the last of n mappings is restored.
 */
static void time_restore(struct bar *b, unsigned long n)
{
	long long start, last = 0;
	int ms;

	trace_maps("1");
	check(vfio_decoding(&b->dev, true), "memory on");
	start = now();
	for (ms = 0; ms < RESTORE_MS && traced_maps(&last) < n; ms += 50)
		usleep(50000);
	check(ms < RESTORE_MS ? 0 : -ETIMEDOUT, "restore");
	proc_write_file(TRACING "events/iommu/map/enable", "0");
	sample("restore", last > start ? last - start : 0);
}

/*
 * Times turning off memory that is mapped, which revokes the mappings. arg: how many.
 */
static void memory_off(const struct bench_case *c)
{
	struct bar b, part;
	long long start;
	struct side s;
	unsigned long j;
	int i;

	open_side(&s);
	check(bar_open(&b, &s, TARGET, BAR, GIB, 0), "BAR");
	for (j = 0; j < c->arg; j++) {
		part = b;
		part.at += j * MIB;
		check(side_map_bar(&s, &part, IOVA + j * MIB, MIB), "map");
	}
	for (i = 0; i < RUNS; i++) {
		start = now();
		check(vfio_decoding(&b.dev, false), "memory off");
		sample("off", now() - start);
		if (c->tether)
			time_restore(&b, c->arg);
		else
			check(vfio_decoding(&b.dev, true), "memory on");
		*(volatile char *)b.at;
		usleep(100000);
	}
	bar_close(&b);
	side_close(&s);
}

/* --- Memory --------------------------------------------------------------- */

/*
 * Bytes of those kinds of kernel memory in which backends keep data; no IOMMU tables.
 */
static double kernel_bytes(void)
{
	return 1024.0 * (proc_meminfo_kb("Slab") + proc_meminfo_kb("VmallocUsed"));
}

static void bytes_per_mapping(const struct bench_case *c)
{
	struct memory m;
	struct side s;
	double before;

	if (!get(&m, MEMORY_PAGES, SMALL_BUFFER))
		return;
	open_side(&s);
	map_small(&s, &m, IOVA, SMALL_OPS);
	before = kernel_bytes();
	map_small(&s, &m, SMALL_IOVA, c->arg);
	sample("bytes", (kernel_bytes() - before) / c->arg);
	side_close(&s);
	memory_put(&m);
}

static void bytes_per_gib(const struct bench_case *c)
{
	struct memory m;
	struct side s;
	double before;

	if (!get(&m, c->arg, c->size))
		return;
	open_side(&s);
	map_ram_once(&s, &m, false);
	before = kernel_bytes();
	check(side_map_ram(&s, m.at, IOVA, m.size), "map");
	sample("bytes", (kernel_bytes() - before) * GIB / c->size);
	side_close(&s);
	memory_put(&m);
}

static const struct bench_case cases[] = {
	{ "bar-1M", bar, .size = MIB },
	{ "bar-1M-misaligned", bar, .size = MIB, .arg = PAGE },
	{ "bar-32M", bar, .size = 32 * MIB },
	{ "bar-32M-misaligned", bar, .size = 32 * MIB, .arg = PAGE },
	{ "bar-1G", bar, .size = GIB },
	{ "bar-1G-misaligned", bar, .size = GIB, .arg = PAGE },
	{ "bar-64G", bar, .size = 64 * GIB, .lengthy = true },
	{ "ram-4K", ram, .size = 256 * MIB, .arg = MEMORY_PAGES },
	{ "ram-scattered", ram, .size = 256 * MIB, .arg = MEMORY_SCATTERED },
	{ "ram-thp", ram, .size = 256 * MIB, .arg = MEMORY_THP },
	{ "ram-hugetlb-2M", ram, .size = 256 * MIB, .arg = MEMORY_HUGETLB_2M },
	{ "ram-hugetlb-1G", ram, .size = GIB, .arg = MEMORY_HUGETLB_1G },
	{ "ram-untouched", ram_untouched, .size = 256 * MIB, .arg = MEMORY_UNTOUCHED },
	{ "ram-untouched-thp", ram_untouched, .size = 256 * MIB, .arg = MEMORY_UNTOUCHED_THP },
	{ "ram-1G-4K", ram, .size = GIB, .arg = MEMORY_PAGES, .lengthy = true },
	{ "small", small, .arg = 0 },
	{ "small-60000", small, .arg = 60000 },
	{ "small-1000000", small, .arg = 1000000, .lengthy = true },
	{ "unmap-all-60000", unmap_all, .arg = 60000, .vfio = true },
	{ "close-60000", close_container, .arg = 60000, .vfio = true },
	{ "attach-4G", attach, .size = 4 * GIB, .vfio = true },
	{ "dirty-4G", dirty, .size = 4 * GIB, .vfio = true },
	{ "off-1", memory_off, .arg = 1, .vfio = true },
	{ "off-1000", memory_off, .arg = 1000, .vfio = true },
	{ "restore-1", memory_off, .arg = 1, .tether = true },
	{ "restore-1000", memory_off, .arg = 1000, .tether = true },
	{ "memory-per-mapping", bytes_per_mapping, .arg = 60000, .vfio = true },
	{ "memory-per-GiB-4K", bytes_per_gib, .size = 256 * MIB, .arg = MEMORY_PAGES,
	  .vfio = true },
	{ "memory-per-GiB-scattered", bytes_per_gib, .size = 256 * MIB, .arg = MEMORY_SCATTERED,
	  .vfio = true },
};

static bool chosen(const struct bench_case *c, char **names)
{
	if (!*names)
		return true;
	for (; *names; names++)
		if (!strcmp(*names, c->name))
			return true;
	return false;
}

int main(int argc, char **argv)
{
	const char *side = argc > 1 ? argv[1] : "";
	bool lengthy = argc > 2 && !strcmp(argv[2], "--long");
	char **names = argv + 2 + lengthy;
	const struct bench_case *c;

	floored = !strcmp(side, "floor");
	if (!floored && strcmp(side, "intree") && strcmp(side, "tether")) {
		fprintf(stderr, "usage: bench intree|tether|floor [--long] [CASE...]\n");
		return 2;
	}
	for (c = cases; c < cases + sizeof(cases) / sizeof(*cases); c++) {
		if ((c->vfio && floored) || (c->tether && strcmp(side, "tether")) ||
		    (c->lengthy && !lengthy) || !chosen(c, names))
			continue;
		current = c;
		c->run(c);
	}
	return 0;
}
