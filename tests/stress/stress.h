/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress: actors, each a thread with a random stream of its own, do to one
 * container and its devices whatever a hostile program can, while two devices
 * write all the time to every slot, an IOVA that some actor owns.
 *
 * The oracle is the owner's: it takes the memory behind its slot away, marks
 * it once the call that did has returned, lets the devices write, and looks.
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
#define MARK		64	/* bytes looked at of what is written */

struct actor {
	const char *name;
	void (*step)(struct actor *a);
	void (*begin)(struct actor *a);	/* may be NULL, like end */
	void (*end)(struct actor *a);
	unsigned int slot;		/* if it owns one */
	struct random random;
	atomic_ulong steps;
	atomic_ulong checks;		/* times that the oracle looked */
	_Atomic(const char *) doing;	/* for who asks why it hangs */
	void *own;
};

struct stress {
	struct vfio_container container;
	struct vfio_device device;	/* TARGET */
	struct target target;
	bool old_kernel;		/* 6.1: mremap warns, clear_refs is safe */
	uint64_t seed;
	double deadline;		/* of coming back (s), under this load */
	atomic_bool stop;
	atomic_ulong rounds;		/* of writes to the slots */
	atomic_ulong stores;		/* edu's */
};

extern struct stress stress;

/*
 * The first failure counts, and stops everything. A hole is what the oracle
 * found; all else means that something does not work.
 */
void hole(struct actor *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void broken(struct actor *a, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Says what the actor does next; false if it should not, but come to an end. */
bool doing(struct actor *a, const char *what);
/* ret is 0 or -errno; allowed is one -errno that is fine too, or 0. */
bool must(struct actor *a, int ret, int allowed, const char *what);

/* bus.c: the writers. */
bool bus_open(void);
void bus_start(void);
void bus_stop(void);
void bus_close(void);
/* Where in its slot (page aligned) the devices write; SIZE_MAX: nowhere. */
void slot_aim(unsigned int slot, uint64_t offset);
/* Until nvme has written to the slot a few times more. */
void let_them_write(unsigned int slot);
/* Nobody writes between the two. */
void hush(void);
void unhush(void);

/* Takes it while nobody may switch TARGET off or on. */
void target_hold(void);
void target_release(void);

/* The actors, one file a kind. */
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
