/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fuzzer makes random calls on a container, its groups, a device and the mapped
 * memory, in episodes. Each episode is a process.
 *
 * A struct call has all arguments of a call, so that an episode can be printed,
 * shortened and run again.
 */
#ifndef TETHER_FUZZ_H
#define TETHER_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "random.h"
#include "vfio.h"

#define PAGE		4096ULL
#define ARENA		0x100000000000ULL	/* addresses that calls map and unmap */
#define ARENA_LEN	(16ULL << 20)
#define DATA		72	/* bytes of a struct that a call has with it */
#define CALLS		128	/* of a thread in an episode */
#define THREADS		2
#define DEVICE_BAR	2

enum kind {
	CALL_IOCTL,	/* a: fd, b: request, c: where, data: the struct */
	CALL_IOCTL_BARE,/* a: fd, b: request, c: the argument itself */
	CALL_MMAP,	/* a: first page, b: pages, c: prot, 4: shared, d: of what */
	CALL_MUNMAP,	/* a: first page, b: pages */
	CALL_MPROTECT,	/* a: first page, b: pages, c: prot */
	CALL_MREMAP,	/* a: first page, b: pages, c: to which page, d: then pages,
			 * data: how
			 */
	CALL_MADVISE,	/* a: first page, b: pages, c: advice */
	CALL_DECODING,	/* a: on */
	CALL_RESET,
	CALL_HOT_RESET,
	CALL_LOW_POWER,	/* a: enter */
	CALL_FORK,	/* a: how the child ends, b: maps, c: fd, d: the parent does not wait,
			 * data: the struct
			 */
	CALL_REOPEN,	/* a: which, d: attach it */
	CALL_KINDS
};

/* The file that an ioctl is made on. */
enum {
	FD_CONTAINER, FD_GROUP, FD_DEVICE, FD_GROUP2, FD_CONTAINER2, FD_GROUP3, FDS
};

/* The memory that an mmap maps. */
enum {
	MEMORY_DEVICE, MEMORY_ANONYMOUS, MEMORY_HUGETLB, MEMORY_MEMFD, MEMORY_FILE,
	MEMORY_SERVED, MEMORIES
};

/*
 * Flags of an mremap: of fresh memory, not of the arena; to an address that the kernel
 * chooses, or to a page of the arena; with the old mapping left in place, empty.
 */
enum { MOVE_FRESH = 1, MOVE_ANYWHERE = 2, MOVE_HERE = 4, MOVE_LEAVE = 8 };

/* How a child ends; CHILD_READS: while a read is outstanding. */
enum { CHILD_EXEC, CHILD_KILLED, CHILD_EXITS, CHILD_READS, CHILD_ENDS };

/* The address of an ioctl's struct. */
enum { AT_BUFFER, AT_PAGE_END, AT_NULL, AT_KERNEL, AT_READ_ONLY, PLACES };

struct call {
	uint8_t kind;
	uint64_t a, b, c, d;
	uint8_t data[DATA];
};

/* Counts that are printed at the end, to show which kinds of calls all fail. */
enum {
	TALLY_MEMORY = CALL_KINDS,		/* mmaps, by kind of memory */
	TALLY_SERVED = TALLY_MEMORY + MEMORIES,	/* faults */
	TALLY_CONTAINER2,			/* ioctls */
	TALLY_CHILD_MAPS,
	TALLY_CHILD_READS,
	TALLIES
};

/* main.c: counts a call, and whether it was effective. For any process of an episode. */
void tally(unsigned int what, bool done);

/* grammar.c: makes calls from random numbers. */
void call_generate(struct call *call, struct random *r);
void call_mutate(struct call *call, struct random *r);
/* Print a call as a line of text, and parse one; false if the line is not a call. */
void call_print(FILE *f, const struct call *call);
bool call_parse(const char *line, struct call *call);

/* memory.c: the arena of an episode's process. */
bool memory_begin(struct vfio_device *of, bool old_kernel);
void *arena_first(uint64_t page);
size_t arena_len(uint64_t first, uint64_t pages);
bool memory_map(const struct call *call);
bool memory_move(const struct call *call, bool old_kernel);

/* child.c: called before any episode; false if there is no slow disk for children. */
bool children_begin(void);
bool child_run(const struct call *call, int fd);

/* execute.c: an episode's process. */
bool episode_begin(void);
void call_execute(const struct call *call, unsigned int thread);

/* kcov.c: tells which code a call reaches, if the kernel has kcov. */
bool kcov_open(void);
void kcov_start(void);
/* True if the call since kcov_start() reached code that no call had reached. */
bool kcov_stop(uint8_t *seen, uint64_t size, uint64_t *edges);

#endif
