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

#define PAGE		4096ULL
#define ARENA		0x100000000000ULL	/* addresses that calls play with */
#define ARENA_LEN	(16ULL << 20)
#define DATA		72	/* bytes of an argument that a call brings along */
#define CALLS		128	/* of a thread in an episode */
#define THREADS		2

enum kind {
	CALL_IOCTL,	/* a: fd, b: request, c: where, data: the struct */
	CALL_IOCTL_BARE,/* a: fd, b: request, c: the argument itself */
	CALL_MMAP,	/* a: first page, b: pages, c: prot, d: of what */
	CALL_MUNMAP,	/* a: first page, b: pages */
	CALL_MPROTECT,	/* a: first page, b: pages, c: prot */
	CALL_MREMAP,	/* a: first page, b: pages, c: to which page */
	CALL_MADVISE,	/* a: first page, b: pages, c: advice */
	CALL_DECODING,	/* a: on */
	CALL_RESET,
	CALL_FORK,	/* a: how the child ends */
	CALL_REOPEN,	/* a: fd */
	CALL_KINDS
};

/* Which file an ioctl is for. */
enum { FD_CONTAINER, FD_GROUP, FD_DEVICE, FD_GROUP2, FDS };

/* Where an ioctl's struct lies. */
enum { AT_BUFFER, AT_PAGE_END, AT_NULL, AT_KERNEL, AT_READ_ONLY, PLACES };

struct call {
	uint8_t kind;
	uint64_t a, b, c, d;
	uint8_t data[DATA];
};

/* grammar.c: from random numbers to calls. */
void call_generate(struct call *call, struct random *r);
void call_mutate(struct call *call, struct random *r);
/* One line of text each, and back; false if it is none. */
void call_print(FILE *f, const struct call *call);
bool call_parse(const char *line, struct call *call);

/* execute.c: an episode's process. */
bool episode_begin(void);
void call_execute(const struct call *call, unsigned int thread);

/* kcov.c: feedback, if the kernel has it. */
bool kcov_open(void);
void kcov_start(void);
/* True if the call since kcov_start() reached what none had. */
bool kcov_stop(uint8_t *seen, uint64_t size, uint64_t *edges);

#endif
