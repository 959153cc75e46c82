// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters of what has happened since the module was loaded, to all containers together.
 * They outlive the mappings and the containers that they count. Each CPU has counters of
 * its own, which no lock guards; stats_show() sums them up. A reader may see some
 * counters before, and others after, an event that happens meanwhile.
 */
#include <linux/cpumask.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/mmu_notifier.h>
#include <linux/seq_file.h>
#include <linux/time64.h>

#include "stats.h"

DEFINE_PER_CPU(struct stats, tether_stats);

static const char *const names[STAT_NAMED] = {
	[STAT_MAPPED_PINNED] = "mapped_pinned_bytes",
	[STAT_MAPPED_MIRROR] = "mapped_mirror_bytes",
	[STAT_UNMAPPED_PINNED] = "unmapped_pinned_bytes",
	[STAT_UNMAPPED_MIRROR] = "unmapped_mirror_bytes",
	[STAT_REVOKED_OFF] = "revocations_off",
	[STAT_REVOKED_UNMAPPED] = "revocations_unmapped",
	[STAT_REVOKED_MPROTECT] = "revocations_mprotect",
	[STAT_REVOKED_EXIT] = "revocations_exit",
	[STAT_RESTORED] = "restores",
	[STAT_AWAY_NS] = "away_ns",
	[STAT_REFUSED_CONTAINERS] = "refused_containers",
};

/* The upper bounds of the buckets of the histogram of outages (microseconds). */
static const u32 outages_us[STAT_OUTAGES] = {
	2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000,
	1000000, 2000000, 5000000, 10000000, 60000000, 600000000,
};

/* The errors of MAP_DMA that have counters of their own. */
static const int refusals[STAT_REFUSALS] = {
	EPERM, ENOENT, EINTR, ENOMEM, EFAULT, EBUSY, EEXIST, EINVAL, ENOSPC,
	EOVERFLOW,
};

static enum counter counter_of_cause(int cause)
{
	switch (cause) {
	case MMU_NOTIFY_UNMAP:
		return STAT_REVOKED_UNMAPPED;
	case MMU_NOTIFY_RELEASE:
		return STAT_REVOKED_EXIT;
	case MMU_NOTIFY_CLEAR:
		return STAT_REVOKED_OFF;
	default:
		return STAT_REVOKED_MPROTECT;
	}
}

/**
 * stats_revoked() - Count a revocation
 * @cause: the event (enum mmu_notifier_event) that took the memory away
 */
void stats_revoked(int cause)
{
	stats_add(counter_of_cause(cause), 1);
}

/**
 * stats_restored() - Count a restore
 * @away_ns: for how long the memory was out of the IOMMU (nanoseconds)
 */
void stats_restored(u64 away_ns)
{
	u64 us = div_u64(away_ns, NSEC_PER_USEC);
	unsigned int i = 0;

	while (i < STAT_OUTAGES && us > outages_us[i])
		i++;
	stats_add(STAT_OUTAGE + i, 1);
	stats_add(STAT_RESTORED, 1);
	stats_add(STAT_AWAY_NS, away_ns);
}

/**
 * stats_refused() - Count a MAP_DMA that failed
 * @error: its negative errno
 */
void stats_refused(int error)
{
	unsigned int i = 0;

	while (i < STAT_REFUSALS && error != -refusals[i])
		i++;
	stats_add(STAT_REFUSED + i, 1);
}

static u64 stat_sum(unsigned int stat)
{
	unsigned int cpu;
	u64 sum = 0;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(tether_stats.v[stat], cpu));
	return sum;
}

/**
 * stats_show() - Write a line for each counter, its name and its value
 * @file: the file to write to
 */
void stats_show(struct seq_file *file)
{
	unsigned int i;

	for (i = 0; i < STAT_NAMED; i++)
		seq_printf(file, "%s %llu\n", names[i], stat_sum(i));
	for (i = 0; i < STAT_OUTAGES; i++)
		seq_printf(file, "outages_le_%uus %llu\n", outages_us[i],
			   stat_sum(STAT_OUTAGE + i));
	seq_printf(file, "outages_le_inf %llu\n", stat_sum(STAT_OUTAGE + i));
	for (i = 0; i < STAT_REFUSALS; i++)
		seq_printf(file, "refusals_%d %llu\n", refusals[i],
			   stat_sum(STAT_REFUSED + i));
	seq_printf(file, "refusals_other %llu\n", stat_sum(STAT_REFUSED + i));
}
