/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of what has happened since the module was loaded. */
#ifndef TETHER_STATS_H
#define TETHER_STATS_H

#include <linux/percpu.h>
#include <linux/types.h>

struct seq_file;

/* How many buckets with an upper bound the histogram of outages has; one more has none. */
#define STAT_OUTAGES	14
/* How many errors of MAP_DMA have a counter of their own; one more counts all others. */
#define STAT_REFUSALS	10

enum counter {
	STAT_MAPPED_PINNED,	/* bytes */
	STAT_MAPPED_MIRROR,
	STAT_UNMAPPED_PINNED,
	STAT_UNMAPPED_MIRROR,
	STAT_REVOKED_OFF,	/* the causes of the tracepoint "revoke" */
	STAT_REVOKED_UNMAPPED,
	STAT_REVOKED_MPROTECT,
	STAT_REVOKED_EXIT,
	STAT_RESTORED,
	STAT_AWAY_NS,
	STAT_REFUSED_CONTAINERS,
	STAT_NAMED,		/* those above are shown by a name */
	STAT_OUTAGE = STAT_NAMED,
	STAT_REFUSED = STAT_OUTAGE + STAT_OUTAGES + 1,
	STATS = STAT_REFUSED + STAT_REFUSALS + 1,
};

struct stats {
	u64 v[STATS];
};

DECLARE_PER_CPU(struct stats, tether_stats);

/**
 * stats_add() - Add to a counter
 * @counter: which one
 * @n: how much
 *
 * Takes no lock: each CPU has counters of its own.
 */
static inline void stats_add(enum counter counter, u64 n)
{
	this_cpu_add(tether_stats.v[counter], n);
}

void stats_revoked(int cause);
void stats_restored(u64 away_ns);
void stats_refused(int error);
void stats_show(struct seq_file *file);

#endif
