/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fuzzer: random calls on a container, its groups, a device and the memory
 * that is mapped, in episodes of a process each.
 *
 * A call says all about itself, so that an episode can be written down, cut
 * short and run again.
 */
#ifndef TETHER_FUZZ_H
#define TETHER_FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "random.h"
#include "vfio.h"

#define PAGE		4096ULL
#define ARENA		0x100000000000ULL	/* addresses that calls play with */
#define ARENA_LEN	(16ULL << 20)
#define DATA		72	/* bytes of an argument that a call brings along */
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
	CALL_FORK,	/* a: how the child ends, b: maps, c: fd, d: nobody waits,
			 * data: the struct
			 */
	CALL_REOPEN,	/* a: which, d: attach it */
	CALL_KINDS
};

/* Which file an ioctl is for. */
enum {
	FD_CONTAINER, FD_GROUP, FD_DEVICE, FD_GROUP2, FD_CONTAINER2, FD_GROUP3, FDS
};

/* What memory an mmap is of. */
enum {
	MEMORY_DEVICE, MEMORY_ANONYMOUS, MEMORY_HUGETLB, MEMORY_MEMFD, MEMORY_FILE,
	MEMORY_SERVED, MEMORIES
};

/*
 * Flags of an mremap: of fresh memory, not the arena's; to where the kernel likes, or to a
 * page of the arena; with the old mapping left in place, empty.
 */
enum { MOVE_FRESH = 1, MOVE_ANYWHERE = 2, MOVE_HERE = 4, MOVE_LEAVE = 8 };

/* How a child ends; the last with a read outstanding. */
enum { CHILD_EXEC, CHILD_KILLED, CHILD_EXITS, CHILD_READS, CHILD_ENDS };

/* Where an ioctl's struct lies. */
enum { AT_BUFFER, AT_PAGE_END, AT_NULL, AT_KERNEL, AT_READ_ONLY, PLACES };

struct call {
	uint8_t kind;
	uint64_t a, b, c, d;
	uint8_t data[DATA];
};

/* What is counted at the end, so that nobody believes in calls that all fail. */
enum {
	TALLY_MEMORY = CALL_KINDS,		/* by what it is */
	TALLY_SERVED = TALLY_MEMORY + MEMORIES,	/* faults */
	TALLY_CONTAINER2,			/* ioctls */
	TALLY_CHILD_MAPS,
	TALLY_CHILD_READS,
	TALLIES
};

/* main.c: one more was tried, and did what it is for. Any process of an episode. */
void tally(unsigned int what, bool done);

/* grammar.c: from random numbers to calls. */
void call_generate(struct call *call, struct random *r);
void call_mutate(struct call *call, struct random *r);
/* One line of text each, and back; false if it is none. */
void call_print(FILE *f, const struct call *call);
bool call_parse(const char *line, struct call *call);

/* memory.c: the arena of an episode's process. */
bool memory_begin(struct vfio_device *of, bool old_kernel);
void *arena_first(uint64_t page);
size_t arena_len(uint64_t first, uint64_t pages);
bool memory_map(const struct call *call);
bool memory_move(const struct call *call, bool old_kernel);

/* child.c: before any episode; false if no child can have a read outstanding. */
bool children_begin(void);
bool child_run(const struct call *call, int fd);

/* execute.c: an episode's process. */
bool episode_begin(void);
void call_execute(const struct call *call, unsigned int thread);

/* kcov.c: feedback, if the kernel has it. */
bool kcov_open(void);
void kcov_start(void);
/* True if the call since kcov_start() reached what none had. */
bool kcov_stop(uint8_t *seen, uint64_t size, uint64_t *edges);

#endif
