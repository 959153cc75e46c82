/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Random numbers that depend on struct random alone (splitmix64), so that the
 * same seed gives the same operations on every machine.
 */
#ifndef TETHER_TESTS_RANDOM_H
#define TETHER_TESTS_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
	uint64_t state;
};

static inline uint64_t random_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static inline uint64_t random_next(struct random *r)
{
	r->state += 0x9e3779b97f4a7c15ULL;
	return random_mix(r->state);
}

/* 0 .. n - 1 */
static inline uint64_t random_below(struct random *r, uint64_t n)
{
	return random_next(r) % n;
}

static inline bool random_percent(struct random *r, unsigned int percent)
{
	return random_below(r, 100) < percent;
}

#define random_pick(r, table) \
	((table)[random_below(r, sizeof(table) / sizeof((table)[0]))])

#endif
