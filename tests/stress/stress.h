/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress. Actors are threads, each with random numbers of its own. They do to one
 * container and its devices whatever a hostile program can do. A slot is a range of
 * IOVAs that one actor owns, that is, in which only this actor maps and unmaps memory.
 * Two devices, nvme and edu, write to the slots all the time.
 *
 * The owner of a slot checks it: it takes the memory behind the slot away. When the
 * call that does so has returned, it writes a mark into that memory, lets the devices
 * write to the slot, and reads the memory. If the mark has changed, that is a hole.
 */
#ifndef TETHER_STRESS_H
#define TETHER_STRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "random.h"
#include "stall.h"
#include "target.h"
#include "vfio.h"

#define EDU_A		"0000:00:03.0"
#define EDU_B		"0000:00:04.0"
#define ROOT_TARGET	"0000:00:05.0"	/* 64 MiB in BAR 2, no reset */
#define NVME		"0000:00:07.0"
#define TARGET		"0000:01:00.0"	/* 1 GiB in BAR 2, bus reset */
#define TARGET2		"0000:02:00.0"	/* 16 MiB in BAR 2, bus reset */
#define TARGET_BAR	2

#define PAGE		4096ULL
#define MIB		(1ULL << 20)
#define IOVA_A		0x7000000000ULL
#define IOVA_NVME	0x7000200000ULL
#define IOVA_SLOT(n)	(0x2000000000ULL + (n) * 256 * MIB)
#define SLOTS		16
#define MARK		64	/* length of a mark, in bytes */

struct actor {
	const char *name;
	void (*step)(struct actor *a);
	void (*begin)(struct actor *a);	/* may be NULL, like end */
	void (*end)(struct actor *a);
	unsigned int slot;		/* the slot that it owns, if any */
	struct random random;
	atomic_ulong steps;
	atomic_ulong checks;		/* how often it has checked for writes */
	_Atomic(const char *) doing;	/* its current step, printed if it hangs */
	void *own;
};

struct stress {
	struct vfio_container container;
	struct vfio_device device;	/* TARGET */
	struct target target;
	bool old_kernel;		/* 6.1: warns of mremap(), clear_refs is safe */
	uint64_t seed;
	double deadline;		/* seconds in which memory has to be restored */
	atomic_bool stop;
	atomic_ulong rounds;		/* how often nvme has gone through the slots */
	atomic_ulong stores;		/* number of edu's writes */
};

extern struct stress stress;

/*
 * Report a failure and stop all actors; only the first failure is printed. hole(): a
 * write has arrived where it must not. broken(): anything else does not work.
 */
void hole(struct actor *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void broken(struct actor *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Records what the actor does next. Returns false if the actor should end instead. */
bool doing(struct actor *a, const char *what);
/*
 * Calls broken() unless ret is 0 or allowed. allowed: the one acceptable -errno, or 0.
 */
bool must(struct actor *a, int ret, int allowed, const char *what);

/* bus.c: the writers. */
bool bus_open(void);
void bus_start(void);
void bus_stop(void);
void bus_close(void);
/*
 * Have the devices write at this page-aligned offset of the slot; UINT64_MAX: nowhere.
 */
void slot_aim(unsigned int slot, uint64_t offset);
/* Waits until nvme has written to the slot a few times more. */
void let_them_write(unsigned int slot);
/* Between these calls nvme does not write. */
void hush(void);
void unhush(void);

/* Between these calls no actor switches TARGET off or on. */
void target_hold(void);
void target_release(void);

/* The actors. */
void place_begin(struct actor *a);
void place_step(struct actor *a);
void place_end(struct actor *a);
void ram_begin(struct actor *a);
void ram_step(struct actor *a);
void ram_end(struct actor *a);
void toggler_begin(struct actor *a);
void toggler_step(struct actor *a);
void toggler_end(struct actor *a);
void rebinder_step(struct actor *a);
void attacher_begin(struct actor *a);
void attacher_step(struct actor *a);
void attacher_end(struct actor *a);
void logger_step(struct actor *a);
void forker_step(struct actor *a);
void victim_step(struct actor *a);
int victim_main(const char *seed);

#endif
