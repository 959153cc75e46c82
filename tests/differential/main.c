// SPDX-License-Identifier: GPL-2.0-only
/*
 * differential [--seed S] [--ops N] [--backends A,B] [--from EPISODE | --episode EPISODE]
 *	[--inject] [--stats]
 *
 * Runs the same random operations on two backends in one guest, and prints where the
 * backends differ. From an episode that shows a difference it removes operations until
 * no more can be removed without losing the difference.
 *
 * Exit status: 0 no unlisted difference, 1 there is one, 2 cannot run.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "intended.h"
#include "op.h"
#include "proc.h"

#define CHUNK		200	/* episodes between two changes of the backend */
#define SHOWN		12	/* at most so many differences are printed */
#define SIDES		2

static struct {
	uint64_t seed, ops;
	uint64_t first;		/* episode */
	int64_t only;		/* this episode alone, or -1 */
	char *backends[SIDES];
	bool inject, stats;
} options = { .seed = 1, .ops = 20000, .only = -1 };

/* In memory shared with the child of each episode, so that fork() copies none of it. */
static struct episode *episodes;			/* [CHUNK] */
static struct result (*results)[CHUNK][EPISODE_OPS];	/* [SIDES] */

/* Two differences with equal signatures count as the same, and only one is printed. */
struct signature {
	uint8_t kind;
	int64_t ret[SIDES];
	bool out, digest, accounting;
};

/* For --stats: how often each kind of operation had each answer. */
#define ANSWERS		134	/* all errnos, and one more for success */
static unsigned long answers[OP_KINDS][ANSWERS];

static struct signature shown[SHOWN];
static unsigned int n_shown;
static unsigned long operations, differences, not_compared;

static void die(const char *what, int error)
{
	fprintf(stderr, "differential: %s: %s\n", what, strerror(error));
	exit(2);
}

static void use_backend(const char *name)
{
	char command[64];

	snprintf(command, sizeof(command), "use-backend '%s'", name);
	if (system(command))
		die(name, EINVAL);
}

/*
 * For the self-test: changes the results to those of a backend that reports a wrong
 * size for an unmap once three mappings were made. The shortest sequence that shows
 * this has six operations.
 */
static void inject(const struct episode *e, struct result *r)
{
	unsigned int i, mapped = 0;

	for (i = 0; i < e->count; i++) {
		if (e->ops[i].kind == OP_MAP && r[i].ret == 0)
			mapped++;
		if (e->ops[i].kind == OP_UNMAP && r[i].ret == 0 && r[i].out[2] &&
		    mapped >= 3)
			r[i].out[2] += PAGE;
	}
}

static void run_episodes(unsigned int n)
{
	unsigned int side, i;
	int ret;

	for (side = 0; side < SIDES; side++) {
		use_backend(options.backends[side]);
		for (i = 0; i < n; i++) {
			ret = execute_episode(&episodes[i], results[side][i]);
			if (ret)
				die("episode", -ret);
			if (side && options.inject)
				inject(&episodes[i], results[side][i]);
		}
	}
}

static void count_answers(unsigned int slot)
{
	const struct episode *e = &episodes[slot];
	unsigned int i;

	for (i = 0; i < e->count; i++) {
		int64_t ret = results[0][slot][i].ret;

		if (ret > -(ANSWERS - 1))
			answers[e->ops[i].kind][ret < 0 ? -ret : 0]++;
	}
}

static void print_answers(void)
{
	unsigned int kind, i;

	for (kind = 0; kind < OP_KINDS; kind++) {
		printf("# %-12s", kind_name(kind));
		for (i = 0; i < ANSWERS; i++)
			if (answers[kind][i])
				printf(" %s %lu", i ? strerrorname_np(i) : "ok",
				       answers[kind][i]);
		printf("\n");
	}
}

static bool same(const struct result *a, const struct result *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static struct signature sign(const struct op *op, const struct result *a,
			     const struct result *b)
{
	struct signature s;

	memset(&s, 0, sizeof(s));
	s.kind = op->kind;
	s.ret[0] = a->ret;
	s.ret[1] = b->ret;
	s.out = memcmp(a->out, b->out, sizeof(a->out));
	s.digest = a->digest != b->digest;
	s.accounting = a->locked != b->locked || a->pinned != b->pinned;
	return s;
}

/*
 * Returns the index of an episode's first operation with a difference that is not
 * intended, or -1. If counting, adds to the counts of rows and operations.
 */
static int compare(unsigned int slot, bool counting)
{
	const struct episode *e = &episodes[slot];
	struct intended *row;
	unsigned int i;
	int found = -1;

	for (i = 0; i < e->count && found < 0; i++) {
		const struct result *a = &results[0][slot][i];
		const struct result *b = &results[1][slot][i];

		row = intended_find(&e->ops[i], a, b);
		if (!row && same(a, b))
			continue;
		if (!row)
			found = i;
		if (row && counting)
			row->count++;
		if (row && row->ends)
			break;
	}
	if (counting)
		not_compared += e->count - i;
	return found;
}

/* Does the shortened episode still show the same difference? */
static bool shows(unsigned int slot, const struct signature *wanted)
{
	struct signature s;
	int at = compare(slot, false);

	if (at < 0)
		return false;
	s = sign(&episodes[slot].ops[at], &results[0][slot][at],
		 &results[1][slot][at]);
	return !memcmp(&s, wanted, sizeof(s));
}

static unsigned int pack(struct episode *e)
{
	unsigned int i, n = 0;

	for (i = 0; i < e->count; i++)
		if (e->ops[i].kind != OP_NOTHING)
			e->ops[n++] = e->ops[i];
	e->count = n;
	return n;
}

/*
 * Divides e into n parts and tries to leave out one, each attempt as an episode of its
 * own. Returns false if the difference needs every part.
 */
static bool drop_a_part(struct episode *e, unsigned int n,
			const struct signature *wanted)
{
	unsigned int tried, part, in_chunk, i;

	for (tried = 0; tried < n; tried += in_chunk) {
		in_chunk = n - tried < CHUNK ? n - tried : CHUNK;
		for (part = 0; part < in_chunk; part++) {
			unsigned int from = (uint64_t)e->count * (tried + part) / n;
			unsigned int to = (uint64_t)e->count * (tried + part + 1) / n;

			episodes[part] = *e;
			for (i = from; i < to; i++)
				episodes[part].ops[i].kind = OP_NOTHING;
		}
		run_episodes(in_chunk);
		/* Prefer to leave out a late part: fewer operations depend on it. */
		for (part = in_chunk; part--;) {
			if (!shows(part, wanted))
				continue;
			*e = episodes[part];
			return true;
		}
	}
	return false;
}

/* Delta debugging: remove parts as large as possible, until no operation can be removed. */
static void shrink(struct episode *e, const struct signature *wanted)
{
	unsigned int parts = 2;

	while (e->count > 1) {
		if (drop_a_part(e, parts, wanted)) {
			pack(e);
			parts = parts > 2 ? parts - 1 : 2;
		} else if (parts < e->count) {
			parts = parts * 2;
		} else {
			break;
		}
		if (parts > e->count)
			parts = e->count;
	}
}

static void show_results(const struct op *op, const struct result *a,
			 const struct result *b)
{
	const struct result *r[SIDES] = { a, b };
	unsigned int side;

	for (side = 0; side < SIDES; side++) {
		printf("     %-8s ", options.backends[side]);
		print_result(op, r[side]);
		printf("\n");
	}
}

static void show(const struct episode *e)
{
	unsigned int i;

	print_episode(e);
	for (i = 0; i < e->count; i++) {
		const struct result *a = &results[0][0][i];
		const struct result *b = &results[1][0][i];

		printf("  %u. ", i + 1);
		print_op(&e->ops[i]);
		if (same(a, b)) {
			printf(": %ld\n", a->ret);
			continue;
		}
		printf("\n");
		show_results(&e->ops[i], a, b);
	}
	fflush(stdout);
}

static bool is_new(const struct signature *s)
{
	unsigned int i;

	for (i = 0; i < n_shown; i++)
		if (!memcmp(&shown[i], s, sizeof(*s)))
			return false;
	return true;
}

/* A copy of a difference, since later runs overwrite its results. */
struct finding {
	struct episode e;
	struct signature s;
	struct result results[SIDES];
	uint64_t number;
	int at;
};

static void explain(const struct finding *f)
{
	static struct episode e;
	bool again;

	e = f->e;
	e.count = f->at + 1;
	printf("a difference in episode %lu, operation %d\n", f->number, f->at + 1);
	shrink(&e, &f->s);
	episodes[0] = e;
	run_episodes(1);
	again = shows(0, &f->s);
	printf("shortest sequence: %u operations\n", e.count);
	show(&e);
	if (again)
		return;
	printf("  which does not show it every time; it was seen as\n");
	show_results(&f->e.ops[f->at], &f->results[0], &f->results[1]);
}

/* Compares all episodes before it shortens one, since shortening overwrites results. */
static void judge_chunk(uint64_t first, unsigned int n)
{
	static struct finding found[SHOWN];
	unsigned int i, side, old = n_shown;

	for (i = 0; i < n; i++) {
		int at = compare(i, true);
		struct finding *f = &found[n_shown];
		struct signature s;

		operations += episodes[i].count;
		count_answers(i);
		if (at < 0)
			continue;
		differences++;
		s = sign(&episodes[i].ops[at], &results[0][i][at],
			 &results[1][i][at]);
		if (n_shown == SHOWN || !is_new(&s))
			continue;
		shown[n_shown++] = s;
		*f = (struct finding){ .e = episodes[i], .s = s,
				       .number = first + i, .at = at };
		for (side = 0; side < SIDES; side++)
			f->results[side] = results[side][i][at];
	}
	for (i = old; i < n_shown; i++)
		explain(&found[i]);
}

static unsigned int fill_chunk(uint64_t first, uint64_t left)
{
	unsigned int n;
	uint64_t planned = 0;

	if (options.only >= 0) {
		episode_generate(&episodes[0], options.seed, options.only);
		return 1;
	}
	for (n = 0; n < CHUNK && planned < left; n++) {
		episode_generate(&episodes[n], options.seed, first + n);
		planned += episodes[n].count;
	}
	return n;
}

/* WARN_ON, BUG and bad pages taint the kernel, even if their log lines are lost. */
static bool kernel_is_sound(void)
{
	char text[32] = "";
	unsigned long taint;

	proc_read_file("/proc/sys/kernel/tainted", text, sizeof(text));
	taint = strtoul(text, NULL, 10);
	if (!(taint & (1 << 9 | 1 << 7 | 1 << 5)))
		return true;
	printf("the kernel has complained (taint %lu):\n", taint);
	fflush(stdout);
	return system("dmesg | grep -A 40 -m 1 'cut here\\|BUG'") && false;
}

static void report(void)
{
	unsigned long total = 0;
	unsigned int i;

	for (i = 0; i < intended_rows; i++) {
		total += intended[i].count;
		if (intended[i].count)
			printf("intended, %lu times: %s\n", intended[i].count,
			       intended[i].reason);
	}
	if (not_compared)
		printf("%lu operations not compared: they follow such a difference\n",
		       not_compared);
	printf("%lu operations, %lu differences, %lu intended\n", operations,
	       differences, total);
}

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "ops", required_argument, NULL, 'n' },
		{ "backends", required_argument, NULL, 'b' },
		{ "episode", required_argument, NULL, 'e' },
		{ "from", required_argument, NULL, 'f' },
		{ "stats", no_argument, NULL, 'S' },
		{ "inject", no_argument, NULL, 'i' },
		{ }
	};
	static char backends[] = "intree,tether";
	char *list = backends;
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) >= 0) {
		switch (c) {
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			options.ops = strtoull(optarg, NULL, 0);
			break;
		case 'b':
			list = optarg;
			break;
		case 'e':
			options.only = strtoll(optarg, NULL, 0);
			break;
		case 'i':
			options.inject = true;
			break;
		case 'f':
			options.first = strtoull(optarg, NULL, 0);
			break;
		case 'S':
			options.stats = true;
			break;
		default:
			exit(2);
		}
	}
	options.backends[0] = strtok(list, ",");
	options.backends[1] = strtok(NULL, ",");
	if (!options.backends[1])
		die("--backends", EINVAL);
}

static void *shared(size_t size)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map == MAP_FAILED)
		die("memory", errno);
	return map;
}

/* Staying on one CPU halves the time, since no wake-up has to go to another CPU. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(sysconf(_SC_NPROCESSORS_ONLN) - 1, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die("affinity", errno);
}

static void progress(const struct timespec *start)
{
	struct timespec now;
	double seconds;

	clock_gettime(CLOCK_MONOTONIC, &now);
	seconds = now.tv_sec - start->tv_sec +
		  (now.tv_nsec - start->tv_nsec) / 1e9;
	printf("# %lu operations on each, %.0f a second on both\n", operations,
	       2 * operations / seconds);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct timespec start;
	uint64_t first;
	unsigned int n;
	int ret;

	parse(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	stay_on_one_cpu();
	results = shared(SIDES * sizeof(*results));
	episodes = shared(CHUNK * sizeof(*episodes));
	ret = execute_setup();
	if (ret)
		die("setup", -ret);

	clock_gettime(CLOCK_MONOTONIC, &start);
	first = options.only < 0 ? options.first : (uint64_t)options.only;
	do {
		n = fill_chunk(first, options.ops - operations);
		run_episodes(n);
		judge_chunk(first, n);
		first += n;
		progress(&start);
	} while (operations < options.ops && options.only < 0);
	if (options.stats)
		print_answers();
	report();
	return kernel_is_sound() && !differences ? 0 : 1;
}
