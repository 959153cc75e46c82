// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz [--seed S] [--seconds N] [--from EPISODE] | --replay FILE
 *
 * Runs episodes of random calls, each in a process of its own with two threads. If the
 * kernel has kcov, calls that reached new code are kept and varied.
 *
 * If the kernel's taint changes, as by a warning, or an episode hangs, the fuzzer ends
 * and prints the calls of that episode, one on each line. --replay runs a file of such
 * lines; lines can be removed to find out which calls are needed. Exit status: 0 no
 * fault found, 1 a fault found, 2 the fuzzer cannot run.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fuzz.h"
#include "proc.h"
#include "stall.h"

#define PROGRESS_S	5
#define EPISODE_S	20	/* an episode is killed after this time */
#define HANGS_S		60	/* an episode that has not ended by then hangs */
#define CORPUS		1024
#define SEEN		(1u << 20)

/* Shared with the episodes' processes. */
static struct shared {
	struct call calls[THREADS][CALLS];	/* of the episode */
	atomic_uint begun[THREADS];
	atomic_ulong total;
	struct call corpus[CORPUS];
	atomic_uint kept;
	uint8_t seen[SEEN];
	uint64_t edges;
	atomic_bool feedback;
	unsigned int length[THREADS];		/* number of calls, for --replay */
	struct {
		atomic_ulong tried, done;
	} tally[TALLIES];
} *shared;

static struct {
	uint64_t seed, from;
	double seconds;
	const char *replay;
} options = { .seed = 1, .seconds = 60 };

static uint64_t episode;

static const char *const tally_names[TALLIES] = {
	[CALL_IOCTL] = "ioctl", [CALL_IOCTL_BARE] = "ioctl without a struct",
	[CALL_MMAP] = "mmap", [CALL_MUNMAP] = "munmap", [CALL_MPROTECT] = "mprotect",
	[CALL_MREMAP] = "mremap", [CALL_MADVISE] = "madvise",
	[CALL_DECODING] = "decoding", [CALL_RESET] = "reset",
	[CALL_HOT_RESET] = "hot reset", [CALL_LOW_POWER] = "low power", [CALL_FORK] = "fork",
	[CALL_REOPEN] = "reopen",
	[TALLY_MEMORY + MEMORY_DEVICE] = "mmap of the device",
	[TALLY_MEMORY + MEMORY_ANONYMOUS] = "mmap of anonymous memory",
	[TALLY_MEMORY + MEMORY_HUGETLB] = "mmap of hugetlb",
	[TALLY_MEMORY + MEMORY_MEMFD] = "mmap of a memfd",
	[TALLY_MEMORY + MEMORY_FILE] = "mmap of a file",
	[TALLY_MEMORY + MEMORY_SERVED] = "mmap with userfaultfd",
	[TALLY_SERVED] = "fault served by userfaultfd",
	[TALLY_CONTAINER2] = "ioctl on the second container",
	[TALLY_CHILD_MAPS] = "MAP_DMA by a child",
	[TALLY_CHILD_READS] = "read outstanding at a child's end",
};

void tally(unsigned int what, bool done)
{
	shared->tally[what].tried++;
	shared->tally[what].done += done;
}

static void print_tally(void)
{
	unsigned int i;

	for (i = 0; i < TALLIES; i++)
		printf("%8lu of %8lu  %s\n", (unsigned long)shared->tally[i].done,
		       (unsigned long)shared->tally[i].tried, tally_names[i]);
}

static void keep(const struct call *call)
{
	shared->corpus[shared->kept++ % CORPUS] = *call;
}

static void invent(struct call *call, struct random *r)
{
	unsigned int kept = shared->kept;

	if (!kept || random_percent(r, 50)) {
		call_generate(call, r);
		return;
	}
	*call = shared->corpus[random_below(r, kept < CORPUS ? kept : CORPUS)];
	if (random_percent(r, 80))
		call_mutate(call, r);
}

static void *run_thread(void *arg)
{
	unsigned int thread = (uintptr_t)arg, i, n = CALLS;
	struct random r = { random_mix(options.seed) ^
			    random_mix(episode * THREADS + thread) };

	if (options.replay)
		n = shared->length[thread];
	if (kcov_open())
		shared->feedback = true;
	for (i = 0; i < n; i++) {
		struct call *call = &shared->calls[thread][i];

		if (!options.replay)
			invent(call, &r);
		shared->begun[thread] = i + 1;
		kcov_start();
		call_execute(call, thread);
		if (kcov_stop(shared->seen, SEEN, &shared->edges))
			keep(call);
		shared->total++;
	}
	return NULL;
}

static void run_episode(void)
{
	pthread_t threads[THREADS];
	uintptr_t i;

	if (!episode_begin())
		_exit(2);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, run_thread, (void *)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	_exit(0);
}

static unsigned long taint(void)
{
	char text[32];

	return proc_read_file("/proc/sys/kernel/tainted", text, sizeof(text)) ?
	       0 : strtoul(text, NULL, 10);
}

static void print_episode(const char *what)
{
	unsigned int t, i;

	printf("FOUND: %s; seed %lu, episode %lu. For --replay:\n", what,
	       options.seed, episode);
	for (t = 0; t < THREADS; t++) {
		printf("thread %u\n", t);
		for (i = 0; i < shared->begun[t]; i++)
			call_print(stdout, &shared->calls[t][i]);
	}
	fflush(stdout);
}

/* Prints the kernel stacks of a process's threads. */
static void print_stacks(pid_t pid)
{
	char path[300], text[4096];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stack", pid,
			 entry->d_name);
		if (entry->d_name[0] != '.' &&
		    !proc_read_file(path, text, sizeof(text)))
			printf("thread %s:\n%s", entry->d_name, text);
	}
	if (tasks)
		closedir(tasks);
	fflush(stdout);
}

/*
 * Waits until an episode's process ends; kills it after EPISODE_S. Returns its status,
 * or -1 if it does not end even then.
 */
static int await(pid_t pid)
{
	double end = now() + EPISODE_S * patience();
	bool killed = false;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (!killed && now() > end) {
			printf("episode %lu takes long:\n", episode);
			print_stacks(pid);
			killed = !kill(pid, SIGKILL);
		}
		if (now() > end + HANGS_S * patience()) {
			print_stacks(pid);
			return -1;
		}
		usleep(200);
	}
	return status;
}

/*
 * Kills and awaits the children that an episode's process has left, since they have its
 * VFIO group open, and the next episode cannot open it a second time.
 */
static void await_children(pid_t group)
{
	kill(-group, SIGKILL);
	while (waitpid(-group, NULL, 0) > 0)
		;
}

static int one_episode(unsigned long clean)
{
	int status;
	pid_t pid;

	memset((void *)shared->begun, 0, sizeof(shared->begun));
	fflush(NULL);
	pid = fork();
	setpgid(pid, 0);
	if (!pid)
		run_episode();
	status = await(pid);
	if (status == -1) {
		print_episode("the process hangs and cannot be killed");
		return 1;
	}
	await_children(pid);
	if (taint() != clean) {
		print_episode("the kernel complains");
		return 1;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		return 2;
	return 0;
}

static bool read_replay(void)
{
	FILE *f = fopen(options.replay, "r");
	unsigned int thread = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "thread %u", &thread) == 1)
			thread %= THREADS;
		else if (shared->length[thread] < CALLS &&
			 call_parse(line, &shared->calls[thread]
						  [shared->length[thread]]))
			shared->length[thread]++;
	}
	if (f)
		fclose(f);
	return shared->length[0] || shared->length[1];
}

static void progress(double begun, double end)
{
	printf("%4.0f s to go: episode %lu, %lu calls, %.0f a second", end - now(),
	       episode, (unsigned long)shared->total,
	       shared->total / (now() - begun));
	if (shared->feedback)
		printf(", %lu edges, %u calls kept", shared->edges,
		       (unsigned int)shared->kept);
	printf("\n");
	fflush(stdout);
}

static int run(void)
{
	double begun = now(), end = begun + options.seconds;
	double next = begun + PROGRESS_S;
	unsigned long clean = taint();
	int ret = 0;

	printf("fuzz: seed %lu, %.0f s\n", options.seed, options.seconds);
	for (episode = options.from; !ret && now() < end; episode++) {
		ret = one_episode(clean);
		if (now() > next) {
			progress(begun, end);
			next = now() + PROGRESS_S;
		}
	}
	print_tally();
	printf("fuzz: seed %lu: %lu calls in %lu episodes, %.0f a second, %s: %s\n",
	       options.seed, (unsigned long)shared->total,
	       episode - options.from, shared->total / (now() - begun),
	       shared->feedback ? "with feedback" : "blind",
	       ret ? "not clean" : "nothing found");
	if (!ret && !shared->total)
		return 2;
	return ret;
}

int main(int argc, char **argv)
{
	static const struct option known[] = {
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "from", required_argument, NULL, 'f' },
		{ "replay", required_argument, NULL, 'r' },
		{ }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 's':
			options.seed = strtoull(optarg, NULL, 0);
			break;
		case 't':
			options.seconds = atof(optarg);
			break;
		case 'f':
			options.from = strtoull(optarg, NULL, 0);
			break;
		case 'r':
			options.replay = optarg;
			break;
		default:
			return 2;
		}
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || prctl(PR_SET_CHILD_SUBREAPER, 1))
		return 2;
	/* Huge pages for the episodes: 8 for the arena, and 8 for children's copies. */
	proc_write_file("/proc/sys/vm/nr_hugepages", "16");
	if (!children_begin())
		printf("fuzz: no slow disk, so no process ends with a read outstanding\n");
	if (!options.replay)
		return run();
	if (!read_replay()) {
		fprintf(stderr, "fuzz: %s: no calls in it\n", options.replay);
		return 2;
	}
	return one_episode(taint());
}
