// SPDX-License-Identifier: GPL-2.0-only
/*
 * The init of the inner guest, which QEMU runs inside the lab's guest
 * (clients/guest/qemu). It starts DMA of one device, an edu, into the memory of
 * another, an ivshmem (the target), and checks whether the bytes arrive: at first,
 * after the ivshmem's memory was off and on again, after a reset of the ivshmem, and
 * after a reset of the whole machine. It prints the results as lines "cell KEY VALUE"
 * on the console.
 *
 * The inner guest has no IOMMU, so devices use physical addresses of this guest.
 *
 * With the argument "control" QEMU has not mapped the target for DMA, so no bytes can
 * arrive; init checks this once and powers off.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "edu_regs.h"

#define PAGE		4096
#define LEN		1024
#define MEMORY		2		/* ivshmem's BAR that is memory */
#define RETURN_MS	2000		/* how long it may take until a mapping is restored */

/*
 * Where in the target DMA writes: near its end, so that the test fails if QEMU has
 * mapped only a part of the BAR. NOTE at its start says that the machine was reset.
 */
#define PLACE(size)	((size) - 3 * PAGE)
#define NOTE		0x7465746865720001ULL

struct device {
	char dir[300];		/* in sysfs */
	uint64_t bus;		/* PCI bus address of its BAR that init uses */
	uint64_t size;
};

static struct device edu, target;
static volatile uint8_t *regs;
static uint8_t *bounce;
static uint64_t bounce_bus;

static void cell(const char *key, const char *value)
{
	printf("cell %s %s\n", key, value);
}

static void end(int how)
{
	fflush(stdout);
	sync();
	reboot(how);
	for (;;)
		pause();
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	printf("inner: %s: %s\n", what, strerror(errno));
	end(RB_POWER_OFF);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int open_in(const struct device *d, const char *leaf, int flags)
{
	char path[400];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", d->dir, leaf);
	fd = open(path, flags | O_CLOEXEC);
	check(fd >= 0, path);
	return fd;
}

static void read_text(const struct device *d, const char *leaf, char *text,
		      size_t size)
{
	int fd = open_in(d, leaf, O_RDONLY);
	ssize_t got = read(fd, text, size - 1);

	check(got >= 0, leaf);
	text[got] = 0;
	close(fd);
}

static bool is(const struct device *d, unsigned int vendor, unsigned int id)
{
	char text[16];

	read_text(d, "vendor", text, sizeof(text));
	if (strtoul(text, NULL, 16) != vendor)
		return false;
	read_text(d, "device", text, sizeof(text));
	return strtoul(text, NULL, 16) == id;
}

/* Reads the sysfs file that has a line "start end flags" for each BAR. */
static void find_bar(struct device *d, unsigned int bar)
{
	char text[4096], *line = text;
	uint64_t start, last;

	read_text(d, "resource", text, sizeof(text));
	while (bar--)
		line = strchr(line, '\n') + 1;
	check(sscanf(line, "%" SCNx64 " %" SCNx64, &start, &last) == 2,
	      "resource");
	d->bus = start;
	d->size = last - start + 1;
}

static void find(struct device *d, unsigned int vendor, unsigned int id,
		 unsigned int bar)
{
	static const char *all = "/sys/bus/pci/devices";
	struct dirent *entry;
	DIR *dir = opendir(all);

	check(dir, all);
	while ((entry = readdir(dir))) {
		snprintf(d->dir, sizeof(d->dir), "%s/%s", all, entry->d_name);
		if (entry->d_name[0] != '.' && is(d, vendor, id))
			break;
	}
	errno = ENODEV;
	check(entry, "a device");
	closedir(dir);
	find_bar(d, bar);
}

static void *map_bar(const struct device *d, unsigned int bar, uint64_t offset,
		     size_t len)
{
	char leaf[16];
	void *map;
	int fd;

	snprintf(leaf, sizeof(leaf), "resource%u", bar);
	fd = open_in(d, leaf, O_RDWR);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	check(map != MAP_FAILED, leaf);
	close(fd);
	return map;
}

/* Sets and clears bits of PCI_COMMAND; returns how long the write took. */
static double command(const struct device *d, uint16_t set, uint16_t clear)
{
	int fd = open_in(d, "config", O_RDWR);
	uint16_t value;
	double t;

	check(pread(fd, &value, 2, PCI_COMMAND) == 2, "config");
	value = (value & ~clear) | set;
	t = now();
	check(pwrite(fd, &value, 2, PCI_COMMAND) == 2, "config");
	t = now() - t;
	close(fd);
	return t;
}

/* Allocates a page and finds its physical address, which devices use. */
static void make_bounce(void)
{
	uint64_t entry;
	int fd;

	bounce = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE,
		      -1, 0);
	check(bounce != MAP_FAILED, "mmap");
	bounce[0] = 1;
	fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	check(fd >= 0, "pagemap");
	check(pread(fd, &entry, 8, (uintptr_t)bounce / PAGE * 8) == 8,
	      "pagemap");
	close(fd);
	bounce_bus = (entry & ((1ULL << 55) - 1)) * PAGE;
	check(bounce_bus, "pagemap");
}

static void run(uint64_t src, uint64_t dst, uint64_t direction)
{
	struct timespec tick = { .tv_nsec = 5000000 };

	/* Have stores in memory before the DMA starts, and loads come after its end. */
	__sync_synchronize();
	*(volatile uint64_t *)(regs + EDU_SRC) = src;
	*(volatile uint64_t *)(regs + EDU_DST) = dst;
	*(volatile uint64_t *)(regs + EDU_COUNT) = LEN;
	*(volatile uint64_t *)(regs + EDU_COMMAND) = EDU_RUN | direction;
	while (*(volatile uint64_t *)(regs + EDU_COMMAND) & EDU_RUN)
		nanosleep(&tick, NULL);
	__sync_synchronize();
}

static void copy(uint64_t from, uint64_t to)
{
	run(from, EDU_BUFFER, 0);
	run(EDU_BUFFER, to, EDU_FROM_EDU);
}

/* Fills data with a random pattern, which differs for every call. */
static void pattern(uint8_t *data)
{
	static uint64_t x;
	size_t i;

	if (!x)
		x = (uint64_t)(now() * 1e9) | 1;
	for (i = 0; i < LEN; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = x >> 24;
	}
}

/* Does a DMA write arrive in the target, and does a DMA read return the same bytes? */
static bool written(uint8_t *memory)
{
	uint64_t bus = target.bus + PLACE(target.size);
	uint8_t data[LEN];

	pattern(data);
	memset(memory, 0, LEN);
	memcpy(bounce, data, LEN);
	copy(bounce_bus, bus);
	if (memcmp(memory, data, LEN))
		return false;
	memset(bounce, 0, LEN);
	copy(bus, bounce_bus);
	return !memcmp(bounce, data, LEN);
}

static void look(const char *key)
{
	uint8_t *memory = map_bar(&target, MEMORY, PLACE(target.size), PAGE);
	double end = now() + RETURN_MS / 1e3;
	unsigned int tries = 0;
	bool ok;

	do {
		ok = written(memory);
		tries++;
	} while (!ok && now() < end);
	munmap(memory, PAGE);
	if (ok && tries > 1)
		printf("inner: %s: arrives at try %u\n", key, tries);
	cell(key, ok ? "arrives" : "lost");
}

static void off_and_on(void)
{
	char text[32];
	double least = 1e9, t;
	int i;

	for (i = 0; i < 5; i++) {
		command(&target, 0, PCI_COMMAND_MEMORY);
		t = command(&target, PCI_COMMAND_MEMORY, 0);
		if (t < least)
			least = t;
	}
	snprintf(text, sizeof(text), "%.1f", least * 1e3);
	cell("on-ms", text);
	look("p2p-on");
}

static void reset(void)
{
	int fd = open_in(&target, "reset", O_WRONLY);
	double t = now();
	char text[32];

	check(write(fd, "1", 1) == 1, "reset");
	snprintf(text, sizeof(text), "%.0f", (now() - t) * 1e3);
	close(fd);
	cell("reset-ms", text);
	look("p2p-reset");
}

int main(int argc, char **argv)
{
	volatile uint64_t *note;

	setvbuf(stdout, NULL, _IOLBF, 0);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);

	find(&edu, 0x1234, 0x11e8, 0);
	find(&target, 0x1af4, 0x1110, MEMORY);
	printf("inner: target at %#" PRIx64 ", %" PRIu64 " MiB, up after %.1f s\n",
	       target.bus, target.size >> 20, now());
	command(&edu, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 0);
	command(&target, PCI_COMMAND_MEMORY, 0);
	regs = map_bar(&edu, 0, 0, EDU_REGS);
	make_bounce();

	/* ivshmem keeps the note over a reset: with it, this is the boot after one. */
	note = map_bar(&target, MEMORY, 0, PAGE);
	if (*note == NOTE) {
		*note = 0;
		look("p2p-reboot");
		cell("inner", "done");
		end(RB_POWER_OFF);
	}
	if (!strcmp(argv[argc - 1], "control")) {
		look("p2p-control");
		end(RB_POWER_OFF);
	}
	look("p2p");
	off_and_on();
	reset();
	*note = NOTE;
	end(RB_AUTOBOOT);
}
