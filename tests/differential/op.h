/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Episodes, operations and results. An episode is a list of operations that runs in a
 * new process without mappings, once on each backend. Every operation has one result on
 * each backend, and the two are compared.
 *
 * An operation has all its arguments (container, address, bad pointer) in it, and never
 * refers to the result of another. So any operation can be left out, to shorten an
 * episode that shows a difference.
 */
#ifndef TETHER_DIFFERENTIAL_OP_H
#define TETHER_DIFFERENTIAL_OP_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE		4096ULL
#define EPISODE_OPS	300	/* at most */
#define CONTAINERS	2

/* The process's memory: see memory.c. */
#define ARENA		0x100000000000UL
#define ARENA_SEGMENTS	16
#define SEGMENT_PAGES	16
#define ARENA_PAGES	((uint64_t)ARENA_SEGMENTS * SEGMENT_PAGES)
#define THP		(ARENA + 0x400000)
#define HUGETLB		(THP + 0x200000)
#define HUGE_LEN	0x200000UL
#define DEVICE		(HUGETLB + HUGE_LEN)
#define DEVICE_PAGES	64UL

enum kind {
	OP_NOTHING,
	OP_MAP,
	OP_UNMAP,
	OP_DIRTY,
	OP_INFO,
	OP_EXTENSION,
	OP_UNKNOWN,
	OP_SET_IOMMU,
	OP_ATTACH,
	OP_DETACH,
	OP_OPEN,
	OP_CLOSE,
	OP_REOPEN,
	OP_EMU,
	OP_MMAP,
	OP_MUNMAP,
	OP_MPROTECT,
	OP_DISCARD,
	OP_TOUCH,
	OP_FORK,
	OP_MEMLOCK,
	OP_PROBE,
	OP_KINDS
};

enum group_id {
	GROUP_EDU_A,
	GROUP_EDU_B,
	GROUP_TARGET,
	GROUP_EMU_0,
	GROUP_EMU_1,
	GROUP_NVME,
	GROUPS
};

/* The address of a struct, or of the bitmap that it points to. */
enum pointer {
	PTR_GOOD,
	PTR_READONLY,
	PTR_STRADDLE,	/* the first few bytes are mapped, the rest is not */
	PTR_NULL,
	PTR_HOLE,
	PTR_KERNEL,
	PTR_NONCANONICAL,
	POINTERS
};

/* Kinds of memory of a segment. */
enum memory {
	MEM_ANON,
	MEM_ANON_UNTOUCHED,
	MEM_ANON_READONLY,
	MEM_ANON_UNTOUCHED_READONLY,
	MEM_SHARED_ANON,
	MEM_SHARED_FILE,
	MEM_SHARED_FILE_READONLY,
	MEM_PRIVATE_FILE,
	MEM_PRIVATE_FILE_READONLY,
	MEM_PAST_END_OF_FILE,
	MEM_NONE,	/* PROT_NONE */
	MEM_HOLE,
	MEMORIES
};

struct op {
	uint8_t kind;
	uint8_t container;
	uint8_t group;
	uint8_t pointer;
	uint8_t bitmap_pointer;
	uint8_t straddle;	/* mapped bytes, for PTR_STRADDLE */
	uint8_t filler;		/* value of every byte of the bitmap before the call */
	bool in_child;		/* executed by a forked child, which then exits */
	bool sample;		/* read VmLck and VmPin afterwards */
	uint32_t argsz;
	uint32_t flags;
	uint32_t prot;
	uint64_t iova, vaddr, size;
	uint64_t bitmap_size, bitmap_pgsize;
	uint64_t number;	/* extension, ioctl, type, command, kind of memory */
};

/* Most mappings are made in this window; a bitmap has one bit for each of its pages. */
#define WINDOW		0x2000000000UL
#define WINDOW_PAGES	256
#define BITMAP_WORDS	5		/* words of a bitmap that struct result has */

#define NOT_RUN		INT64_MIN
#define NOT_SAMPLED	UINT32_MAX

struct result {
	int64_t ret;		/* or -errno */
	uint64_t out[4];	/* the struct's first 32 bytes, or as print.c explains */
	uint64_t digest;	/* of all other bytes that could have been written */
	uint64_t bitmap[BITMAP_WORDS];	/* the dirty bits that the kernel wrote */
	uint64_t mapped[BITMAP_WORDS];	/* which bits of bitmap are of mapped pages */
	uint64_t shifted;		/* may in-tree have shifted bits: intended.c */
	uint64_t orphans;		/* are there mappings whose process has exited? */
	uint64_t readable;		/* at most so many pages are mapped read-only */
	uint32_t locked, pinned;	/* VmLck, VmPin, KiB */
};

struct episode {
	uint64_t seed;
	unsigned int count;
	bool v1, emulated, nvme, unprivileged, huge, device, edge;
	uint64_t memlock;	/* bytes, if unprivileged */
	uint8_t arena[ARENA_SEGMENTS];	/* enum memory */
	struct op ops[EPISODE_OPS];
};

void episode_generate(struct episode *e, uint64_t seed, uint64_t number);

/* execute_setup() binds the devices, once. execute_episode() runs an episode in a child. */
int execute_setup(void);
int execute_episode(const struct episode *e, struct result *results);

const char *kind_name(unsigned int kind);
void print_op(const struct op *op);
void print_result(const struct op *op, const struct result *r);
void print_episode(const struct episode *e);

#endif
