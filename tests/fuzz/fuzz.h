/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The fuzzer makes random system calls on containers, their groups, a device and the
 * memory that is mapped. It runs episodes; each is a process whose threads make the
 * calls.
 *
 * A struct call has all arguments of one call and refers to no other call. So an
 * episode can be printed, and run again with some of its calls left out.
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
#define DATA		72	/* size of the buffer for an ioctl's struct */
#define CALLS		128	/* that each thread makes in an episode */
#define THREADS		2
#define DEVICE_BAR	2

enum kind {
	CALL_IOCTL,	/* a: fd, b: request, c: AT_*, data: the struct */
	CALL_IOCTL_BARE,/* a: fd, b: request, c: the argument itself */
	CALL_MMAP,	/* a: first page, b: pages, c: prot, 4 if shared, d: MEMORY_* */
	CALL_MUNMAP,	/* a: first page, b: pages */
	CALL_MPROTECT,	/* a: first page, b: pages, c: prot */
	CALL_MREMAP,	/* a: first page, b: pages, c: to which page, d: new pages,
			 * data: MOVE_*
			 */
	CALL_MADVISE,	/* a: first page, b: pages, c: advice */
	CALL_DECODING,	/* d: off if a multiple of 3, else on */
	CALL_RESET,
	CALL_HOT_RESET,
	CALL_LOW_POWER,	/* a: enter */
	/*
	 * a: CHILD_*, b: does the child map, c: fd, d: the parent does not wait if odd,
	 * data: the struct for MAP_DMA
	 */
	CALL_FORK,
	CALL_REOPEN,	/* a: group 3 if odd, else group 2, d: attach it */
	CALL_KINDS
};

/* The files on which ioctls are made. */
enum {
	FD_CONTAINER, FD_GROUP, FD_DEVICE, FD_GROUP2, FD_CONTAINER2, FD_GROUP3, FDS
};

/* The memory that an mmap maps. */
enum {
	MEMORY_DEVICE, MEMORY_ANONYMOUS, MEMORY_HUGETLB, MEMORY_MEMFD, MEMORY_FILE,
	MEMORY_SERVED, MEMORIES
};

/*
 * How an mremap moves. FRESH: new memory instead of a part of the arena. ANYWHERE: to
 * an address that the kernel chooses. HERE: to a page of the arena. LEAVE: the old VMA
 * stays in place, without its pages.
 */
enum { MOVE_FRESH = 1, MOVE_ANYWHERE = 2, MOVE_HERE = 4, MOVE_LEAVE = 8 };

/*
 * How a child ends. CHILD_READS: it exits while its read of a slow disk is outstanding.
 */
enum { CHILD_EXEC, CHILD_KILLED, CHILD_EXITS, CHILD_READS, CHILD_ENDS };

/* The address of an ioctl's struct. */
enum { AT_BUFFER, AT_PAGE_END, AT_NULL, AT_KERNEL, AT_READ_ONLY, PLACES };

struct call {
	uint8_t kind;
	uint64_t a, b, c, d;
	uint8_t data[DATA];
};

/* Counts that are printed at the end, to show if all calls of some kind have failed. */
enum {
	TALLY_MEMORY = CALL_KINDS,		/* mmaps, by kind of memory */
	TALLY_SERVED = TALLY_MEMORY + MEMORIES,	/* faults */
	TALLY_CONTAINER2,			/* ioctls */
	TALLY_CHILD_MAPS,
	TALLY_CHILD_READS,
	TALLIES
};

/*
 * main.c: counts a call, and whether the call had its effect (done). Every process of
 * an episode may use it.
 */
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

/* child.c: to be called before all episodes. False if the machine has no slow disk. */
bool children_begin(void);
bool child_run(const struct call *call, int fd);

/* execute.c: an episode's process. */
bool episode_begin(void);
void call_execute(const struct call *call, unsigned int thread);

/* kcov.c: tells which code a call reaches, if the kernel has kcov. */
bool kcov_open(void);
void kcov_start(void);
/* True if the call since kcov_start() has reached code that no earlier call reached. */
bool kcov_stop(uint8_t *seen, uint64_t size, uint64_t *edges);

#endif
