// SPDX-License-Identifier: GPL-2.0-only
/*
 * stress [--seed S] [--seconds N] [--deadline SECONDS]: runs all actors (stress.h) at
 * the same time, for as long as asked, and prints a line of progress every few seconds.
 * --deadline is the time in which tether has to restore memory: by default 2 s, more on
 * a debug kernel.
 *
 * With the same seed every actor draws the same random numbers, but the timing between
 * actors depends on the machine. Exit status: 0 no fault found, 1 a hole (a write
 * arrived where it must not), 2 another check failed or an actor hangs.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "proc.h"
#include "stress.h"

#define PROGRESS_S	5
#define HANGS_S		60	/* an actor whose step takes longer hangs */
#define SETTLE_S	10	/* time for unpinning the pages of killed processes */

struct stress stress;

#define PLACE(n)	{ .name = "place-" #n, .slot = n, .begin = place_begin, \
			  .step = place_step, .end = place_end }
#define RAM(n)		{ .name = "ram-" #n, .slot = n, .begin = ram_begin, \
			  .step = ram_step, .end = ram_end }

static struct actor actors[] = {
	{ .name = "toggler", .slot = 0, .begin = toggler_begin,
	  .step = toggler_step, .end = toggler_end },
	{ .name = "rebinder", .slot = 1, .step = rebinder_step },
	PLACE(2), PLACE(3), PLACE(4),
	RAM(5), RAM(6),
	{ .name = "attacher", .begin = attacher_begin, .step = attacher_step,
	  .end = attacher_end },
	{ .name = "logger", .step = logger_step },
	{ .name = "forker", .step = forker_step },
	{ .name = "victim", .step = victim_step },
};

#define ACTORS		(sizeof(actors) / sizeof(actors[0]))

static pthread_t threads[ACTORS];
static int verdict;
static double begun;

static void fail(int status, const char *kind, struct actor *a,
		 const char *format, va_list args)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (!verdict) {
		verdict = status;
		printf("%s after %.1f s: %s, step %lu: ", kind, now() - begun,
		       a->name, (unsigned long)a->steps);
		vprintf(format, args);
		printf("\n");
		fflush(stdout);
	}
	stress.stop = true;
	pthread_mutex_unlock(&lock);
}

void hole(struct actor *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(1, "HOLE", a, format, args);
	va_end(args);
}

void broken(struct actor *a, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(2, "BROKEN", a, format, args);
	va_end(args);
}

bool doing(struct actor *a, const char *what)
{
	a->doing = what;
	return !stress.stop;
}

bool must(struct actor *a, int ret, int allowed, const char *what)
{
	if (!ret || (allowed && ret == allowed))
		return true;
	broken(a, "%s: %s (while: %s)", what, strerror(-ret),
	       a->doing ? a->doing : "beginning");
	return false;
}

static void *act(void *arg)
{
	struct actor *a = arg;

	if (a->begin)
		a->begin(a);
	while (!stress.stop) {
		a->step(a);
		a->steps++;
	}
	doing(a, "the end");
	if (a->end)
		a->end(a);
	return NULL;
}

/* --- Progress and hangs --------------------------------------------------- */

static void print_stacks(void)
{
	char path[300], text[4096];
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");

	while (tasks && (entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/stack",
			 entry->d_name);
		if (entry->d_name[0] != '.' &&
		    !proc_read_file(path, text, sizeof(text)))
			printf("thread %s:\n%s", entry->d_name, text);
	}
}

/*
 * If an actor has made no step for too long, report it, and exit: a thread that hangs
 * cannot be joined.
 */
static void look_for_hangs(void)
{
	static unsigned long steps[ACTORS];
	static double since[ACTORS];
	size_t i;

	for (i = 0; i < ACTORS; i++) {
		if (!since[i] || actors[i].steps != steps[i]) {
			steps[i] = actors[i].steps;
			since[i] = now();
		}
		if (now() - since[i] - stalled(since[i], now()) < HANGS_S * patience())
			continue;
		broken(&actors[i], "hangs; it was: %s", actors[i].doing);
		print_stacks();
		fflush(stdout);
		_exit(verdict);
	}
}

static void progress(double end)
{
	unsigned long checks = 0, steps = 0;
	size_t i;

	for (i = 0; i < ACTORS; i++) {
		checks += actors[i].checks;
		steps += actors[i].steps;
	}
	printf("%4.0f s to go: %lu steps, %lu checks, %lu rounds of nvme, %lu writes of edu\n",
	       end > now() ? end - now() : 0, steps, checks,
	       (unsigned long)stress.rounds, (unsigned long)stress.stores);
	fflush(stdout);
}

static void watch(double seconds)
{
	double end = now() + seconds, next = now() + PROGRESS_S;

	while (now() < end && !stress.stop) {
		usleep(100000);
		look_for_hangs();
		if (now() < next)
			continue;
		progress(end);
		next = now() + PROGRESS_S;
	}
	stress.stop = true;
	progress(now());
}

/* --- The run -------------------------------------------------------------- */

static bool rig_open(void)
{
	struct utsname name;
	int ret;

	uname(&name);
	stress.old_kernel = !strncmp(name.release, "6.1.", 4);
	ret = vfio_container_open(&stress.container, VFIO_TYPE1v2_IOMMU);
	if (ret || !bus_open())
		return false;
	ret = vfio_device_open(&stress.device, &stress.container, TARGET);
	if (!ret)
		ret = stall_watch();
	if (ret)
		fprintf(stderr, "stress: %s: %s\n", TARGET, strerror(-ret));
	stress.target = (struct target){ &stress.device, TARGET_BAR };
	return !ret;
}

static void rig_close(void)
{
	vfio_device_close(&stress.device);
	bus_close();
	vfio_container_close(&stress.container);
}

static void start_actors(void)
{
	size_t i;

	for (i = 0; i < SLOTS; i++)
		slot_aim(i, UINT64_MAX);
	bus_start();
	for (i = 0; i < ACTORS; i++) {
		actors[i].random.state = random_mix(stress.seed + i);
		pthread_create(&threads[i], NULL, act, &actors[i]);
	}
}

static void stop_actors(void)
{
	size_t i;

	alarm(2 * HANGS_S * patience());
	for (i = 0; i < ACTORS; i++)
		pthread_join(threads[i], NULL);
	bus_stop();
	alarm(0);
}

/* Fail if an actor or edu has done nothing, since such a run proves nothing. */
static void expect_deeds(void)
{
	size_t i;

	for (i = 0; i < ACTORS; i++) {
		printf("%-10s %6lu steps %6lu checks\n", actors[i].name,
		       (unsigned long)actors[i].steps,
		       (unsigned long)actors[i].checks);
		if (!actors[i].steps)
			broken(&actors[i], "has not done anything");
	}
	if (!stress.stores)
		broken(&actors[0], "edu has not written");
}

static void expect_accounts(long pinned, long locked)
{
	static struct actor end = { .name = "the end" };
	double until = now() + SETTLE_S;

	while (proc_pages_pinned() != pinned && now() < until)
		usleep(10000);
	if (proc_pages_pinned() != pinned)
		broken(&end, "%ld pages are pinned that were not before",
		       proc_pages_pinned() - pinned);
	if (proc_status_kb(0, "VmLck") != locked ||
	    proc_status_kb(0, "VmPin") != 0)
		broken(&end, "VmLck %ld KiB, not %ld, VmPin %ld KiB",
		       proc_status_kb(0, "VmLck"), locked,
		       proc_status_kb(0, "VmPin"));
}

static int run(double seconds)
{
	long pinned = proc_pages_pinned(), locked = proc_status_kb(0, "VmLck");

	if (!rig_open())
		return 2;
	begun = now();
	printf("stress: seed %#lx, %.0f s\n", stress.seed, seconds);
	start_actors();
	watch(seconds);
	stop_actors();
	if (!verdict)
		expect_deeds();
	rig_close();
	expect_accounts(pinned, locked);
	printf("stress: seed %#lx: %s after %.1f s\n", stress.seed,
	       verdict == 0 ? "nothing found" :
	       verdict == 1 ? "a hole" : "not as it should be",
	       now() - begun);
	return verdict;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "deadline", required_argument, NULL, 'd' },
		{ "victim", required_argument, NULL, 'v' },
		{ }
	};
	double seconds = 60;
	int option;

	stress.seed = 1;
	stress.deadline = 2 * patience();
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			stress.seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			seconds = atof(optarg);
			break;
		case 'd':
			stress.deadline = atof(optarg);
			break;
		case 'v':
			return victim_main(optarg);
		default:
			return 2;
		}
	}
	return run(seconds);
}
