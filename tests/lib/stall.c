// SPDX-License-Identifier: GPL-2.0-only
/*
 * On each CPU one thread, whose priority no other thread in the guest exceeds,
 * sleeps and reads the clock. If it wakes late, the host has not run this CPU.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "stall.h"

#define NAP_NS		2000000
#define LATE		0.003	/* s, beyond the sleep: more than a wakeup takes */
#define CPUS		16
#define KEPT		256	/* how many of a CPU's stalls are remembered: the latest */

struct watch {
	pthread_t thread;
	pthread_mutex_t lock;
	double from[KEPT], to[KEPT];
	unsigned int count;
};

static struct watch watches[CPUS];
static long cpus;

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void *watch(void *arg)
{
	const struct timespec nap = { .tv_nsec = NAP_NS };
	struct watch *w = arg;
	double before, after;

	for (;;) {
		before = now() + NAP_NS * 1e-9;
		nanosleep(&nap, NULL);
		after = now();
		if (after - before < LATE)
			continue;
		pthread_mutex_lock(&w->lock);
		w->from[w->count % KEPT] = before;
		w->to[w->count % KEPT] = after;
		w->count++;
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

/* Returns 0 or -errno; the threads live as long as the process. */
int stall_watch(void)
{
	const struct sched_param first = { .sched_priority = 99 };
	pthread_attr_t attr;
	cpu_set_t cpu;
	int ret;

	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (cpus > CPUS)
		return -E2BIG;
	for (long i = 0; i < cpus; i++) {
		CPU_ZERO(&cpu);
		CPU_SET(i, &cpu);
		pthread_mutex_init(&watches[i].lock, NULL);
		pthread_attr_init(&attr);
		pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
		pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
		pthread_attr_setschedparam(&attr, &first);
		pthread_attr_setaffinity_np(&attr, sizeof(cpu), &cpu);
		ret = pthread_create(&watches[i].thread, &attr, watch, &watches[i]);
		pthread_attr_destroy(&attr);
		if (ret)
			return -ret;
	}
	return 0;
}

struct span {
	double from, to;
};

/*
 * Copy the stalls of one CPU to s, each cut to the time from start to end. Returns how
 * many there are in that time.
 */
static size_t copy_stalls(struct watch *w, double start, double end, struct span *s)
{
	unsigned int kept;
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	kept = w->count < KEPT ? w->count : KEPT;
	for (unsigned int j = 0; j < kept; j++) {
		s[n].from = w->from[j] > start ? w->from[j] : start;
		s[n].to = w->to[j] < end ? w->to[j] : end;
		if (s[n].to > s[n].from)
			n++;
	}
	pthread_mutex_unlock(&w->lock);
	return n;
}

static int by_start(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return (x->from > y->from) - (x->from < y->from);
}

/* Time in which several CPUs stand still counts once. */
double stalled(double start, double end)
{
	static __thread struct span s[CPUS * KEPT];
	double sum = 0, seen = start;
	size_t n = 0;

	for (long i = 0; i < cpus; i++)
		n += copy_stalls(&watches[i], start, end, s + n);
	qsort(s, n, sizeof(*s), by_start);
	for (size_t i = 0; i < n; i++) {
		if (s[i].to <= seen)
			continue;
		sum += s[i].to - (s[i].from > seen ? s[i].from : seen);
		seen = s[i].to;
	}
	return sum;
}

unsigned int patience(void)
{
	struct utsname name;

	if (uname(&name))
		return 1;
	return strstr(name.release, "-debug") ||
	       strstr(name.release, "-rtdebug") ||
	       strstr(name.release, "-seriesdebug") ||
	       strstr(name.release, "-kcsan") ? 8 : 1;
}
