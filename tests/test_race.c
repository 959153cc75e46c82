// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything against everything, with one oracle: no DMA lands in memory that
 * the process cannot reach.
 *
 * One device writes all the time, in turns to each of the places below. The
 * test takes the process' access to its place away. Once the call that did
 * has returned, the test marks the memory by a path of its own, lets the
 * device write there a few times more, and looks: a write that lands now is a
 * hole, however the threads around it are timed. Those threads map and unmap,
 * turn the memory off and on, reset the device, attach and detach a group,
 * fork, and split other mappings, each on places of its own but in the same
 * container and on the same device.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proc.h"
#include "rig.h"

#define PLACE_LEN	(4 * MIB)
#define WRITES		3	/* to the place, between marking and looking */
#define MARK		64

enum place { OWN, MAPPER, STEADY, PLACES };

#define PLACE_ROOM	(256 * MIB)
#define PLACE_IOVA(p)	(IOVA + (p) * PLACE_ROOM)
#define PLACE_OFFSET(p)	((p) * PLACE_ROOM)

static struct {
	atomic_bool stop;
	atomic_bool pause;	/* asks the writer to stand still ... */
	atomic_bool paused;	/* ... which it does */
	atomic_ulong rounds;	/* each place written once */
	atomic_ulong churn;	/* what the other threads have done */
	atomic_int error;	/* the first, of any of them */
} storm;

static uint8_t *own, *mapper_map, *steady_map;
static size_t own_len = PLACE_LEN;

static void note_error(int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&storm.error, &none, error);
}

/*
 * Stock vfio-pci holds a process' mm while it takes the process' access to
 * the device away, and a process that ends just then has its memory until
 * that call is over. Who wants to look must let it end.
 */
static pthread_mutex_t *toggling;	/* forked processes wait for it, too */

static void init_toggling(void)
{
	pthread_mutexattr_t shared;

	toggling = mmap(NULL, sizeof(*toggling), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(toggling, MAP_FAILED);
	pthread_mutexattr_init(&shared);
	pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(toggling, &shared);
	pthread_mutexattr_destroy(&shared);
}

static void let_toggling_end(void)
{
	pthread_mutex_lock(toggling);
	pthread_mutex_unlock(toggling);
}

static bool going(void)
{
	return !storm.stop && !storm.error;
}

/*
 * The memory may be off at the moment. If it goes between being faulted in and
 * being looked up, the in-tree module says -EINVAL.
 */
static bool is_off(int ret)
{
	return ret == -EFAULT || (ret == -EINVAL && !on_tether());
}

static void *writer(void *arg)
{
	enum place p;

	while (going()) {
		if (storm.pause) {
			storm.paused = true;
			continue;
		}
		storm.paused = false;
		for (p = 0; p < PLACES; p++)
			note_error(nvme_identify(&rig.nvme, PLACE_IOVA(p)));
		storm.rounds++;
		/* Every write to what is not mapped is a fault to handle. */
		usleep(200);
	}
	storm.paused = true;
	return NULL;
}

static void *mapper(void *arg)
{
	while (going()) {
		int ret = vfio_dma_map(&rig.container, mapper_map,
				       PLACE_IOVA(MAPPER), PLACE_LEN,
				       VFIO_DMA_RW);

		if (!is_off(ret))
			note_error(ret);
		note_error(vfio_dma_unmap(&rig.container, PLACE_IOVA(MAPPER),
					  PLACE_LEN, NULL));
		storm.churn++;
	}
	return NULL;
}

/* Turns the device's memory off and on in every way there is. */
static void *toggler(void *arg)
{
	unsigned int i = 0;

	while (going()) {
		pthread_mutex_lock(toggling);
		switch (i++ % 8) {
		case 3:
			note_error(vfio_reset(&rig.device));
			break;
		case 6:
			note_error(vfio_low_power(&rig.device, true));
			note_error(vfio_low_power(&rig.device, false));
			break;
		default:
			note_error(vfio_decoding(&rig.device, false));
			usleep(i % 5 * 500);
			note_error(vfio_decoding(&rig.device, true));
		}
		pthread_mutex_unlock(toggling);
		usleep(i % 7 * 2000);
		storm.churn++;
	}
	return NULL;
}

static void *attacher(void *arg)
{
	int group = vfio_group_open(EDU_B);

	if (group < 0)
		note_error(group);
	while (group >= 0 && going()) {
		note_error(vfio_group_attach(group, &rig.container));
		note_error(vfio_group_detach(group, &rig.container));
		storm.churn++;
	}
	if (group >= 0)
		close(group);
	return NULL;
}

/* Processes that share everything with this one, and are gone at once. */
static void *forker(void *arg)
{
	while (going()) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			note_error(-errno);
		usleep(5000);
		storm.churn++;
	}
	return NULL;
}

#define THREADS	5

static pthread_t threads[THREADS];
static unsigned int started;

static void start(void *(*thread)(void *))
{
	assert_int_equal(pthread_create(&threads[started], NULL, thread, NULL),
			 0);
	started++;
}

static void calm(void)
{
	storm.stop = true;
	while (started)
		pthread_join(threads[--started], NULL);
}

static uint8_t *map_place(enum place p, size_t len)
{
	return vfio_region_mmap(&rig.device, TARGET_BAR, PLACE_OFFSET(p), len,
				PROT_READ | PROT_WRITE, NULL);
}

static int setup(void **state)
{
	ok(vfio_device_bind(EDU_B));
	init_toggling();
	memset(&storm, 0, sizeof(storm));
	own = map_place(OWN, own_len);
	mapper_map = map_place(MAPPER, PLACE_LEN);
	steady_map = map_place(STEADY, PLACE_LEN);
	assert_non_null(own);
	assert_non_null(mapper_map);
	assert_non_null(steady_map);
	ok(vfio_dma_map(&rig.container, steady_map, PLACE_IOVA(STEADY),
			PLACE_LEN, VFIO_DMA_RW));
	return rig_unmapped(state);
}

/* So much that filling the page tables takes long. */
static int setup_much(void **state)
{
	own_len = PLACE_ROOM;
	return setup(state);
}

static int teardown(void **state)
{
	calm();
	munmap(own, own_len);
	own_len = PLACE_LEN;
	munmap(mapper_map, PLACE_LEN);
	munmap(steady_map, PLACE_LEN);
	munmap(toggling, sizeof(*toggling));
	return rig_heal(state);
}

/* Until the device has written to every place a few times more. */
static void let_it_write(void)
{
	unsigned long until = storm.rounds + WRITES + 1;

	while (storm.rounds < until && !storm.error)
		usleep(100);
}

/* The memory may be off when the witness comes: it waits until it is not. */
static int mark(uint64_t offset)
{
	int ret;

	do {
		ret = target_fill(&rig.target, offset, 0x5a, MARK);
	} while (ret == -EIO && !storm.error);
	return ret;
}

/* Is the mark gone? */
static bool overwritten(uint64_t offset)
{
	uint8_t now_there[MARK], left[MARK];
	int ret;

	memset(left, 0x5a, MARK);
	do {
		ret = target_read(&rig.target, offset, now_there, MARK);
	} while (ret == -EIO && !storm.error);
	if (ret) {
		note_error(ret);
		return false;
	}
	return memcmp(now_there, left, MARK);
}

/* The oracle, for memory that is on but not the process' any more. */
static bool violated(void)
{
	note_error(mark(PLACE_OFFSET(OWN)));
	let_it_write();
	return overwritten(PLACE_OFFSET(OWN));
}

#define VAIN	20	/* tries to map it, after which its memory is left on */

/*
 * In-tree goes page by page: on a slow machine the memory may never be on for as
 * long as that takes.
 */
static int map_own(void)
{
	unsigned int tries = 0;
	int ret;

	do {
		bool hold = tries++ >= VAIN;

		if (hold)
			pthread_mutex_lock(toggling);
		ret = vfio_dma_map(&rig.container, own, PLACE_IOVA(OWN),
				   own_len, VFIO_DMA_RW);
		if (hold)
			pthread_mutex_unlock(toggling);
	} while (is_off(ret) && going());
	return ret;
}

static int unmap_own(void)
{
	return vfio_dma_unmap(&rig.container, PLACE_IOVA(OWN), own_len, NULL);
}

/* RACE_SECONDS in the environment: the matrix has many machines to race on. */
static double seconds(void)
{
	const char *text = getenv("RACE_SECONDS");

	return text ? atof(text) : 4;
}

#define ENOUGH		5	/* tries, fewer than which show nothing */
#define PATIENCE	30	/* seconds, on a slow machine */

/* A violation is enough: there is nothing to wait for after it. */
static bool going_on(double begin, unsigned int tries, unsigned int violations)
{
	double limit = tries < ENOUGH ? PATIENCE * patience() : seconds();

	return !violations && now() - begin < limit && !storm.error;
}

/* What the storm was, and that what was not touched is there after it. */
static void conclude(unsigned int tries, unsigned int violations)
{
	double start;

	calm();
	printf("# %u tries, %lu rounds of writes, %lu things beside\n", tries,
	       (unsigned long)storm.rounds, (unsigned long)storm.churn);
	ok(storm.error);
	if (violations)
		hole("%u of %u times DMA landed in memory that was taken away",
		     violations, tries);
	assert_true(tries >= ENOUGH);
	assert_true(storm.churn >= 20);
	start = now();
	expect_return(PLACE_IOVA(STEADY), PLACE_OFFSET(STEADY), start, 2.0);
}

/* A new mmap of the place, instead of whatever is there. */
static void mmap_own(void)
{
	if (!vfio_region_mmap(&rig.device, TARGET_BAR, PLACE_OFFSET(OWN), PLACE_LEN,
			      PROT_READ | PROT_WRITE, own))
		note_error(-errno);
}

/* Maps the place, has take() take its memory away, and looks; again and again. */
static void race(void (*take)(unsigned int tries))
{
	unsigned int tries = 0, violations = 0;
	double begin = now();

	start(writer);
	start(mapper);
	start(toggler);
	start(attacher);
	while (going_on(begin, tries, violations)) {
		note_error(map_own());
		usleep(tries % 4 * 1000);
		take(tries);
		violations += violated();
		tries++;
		note_error(unmap_own());
		mmap_own();
	}
	conclude(tries, violations);
}

/* Every other time only the half that is looked at. */
static void take_by_munmap(unsigned int tries)
{
	munmap(own, tries % 2 ? PLACE_LEN : PLACE_LEN / 2);
}

static void munmap_races(void **state)
{
	start(forker);
	race(take_by_munmap);
}

/* A new mmap takes the place at once, while the old one may be coming back. */
static void take_by_mmap(unsigned int tries)
{
	mmap_own();
}

static void replacement_races(void **state)
{
	race(take_by_mmap);
}

static void mprotect_races(void **state)
{
	unsigned int tries = 0, violations = 0;
	double begin;

	ok(map_own());
	begin = now();
	start(writer);
	start(mapper);
	start(toggler);
	start(attacher);
	start(forker);
	while (going_on(begin, tries, violations)) {
		if (mprotect(own, PLACE_LEN, tries % 2 ? PROT_READ : PROT_NONE))
			note_error(-errno);
		violations += violated();
		tries++;
		if (mprotect(own, PLACE_LEN, PROT_READ | PROT_WRITE))
			note_error(-errno);
		usleep(tries % 4 * 3000);
	}
	note_error(unmap_own());
	conclude(tries, violations);
}

static void stand_still(void)
{
	storm.pause = true;
	while (!storm.paused && !storm.error)
		usleep(100);
}

static void go_on(void)
{
	storm.pause = false;
	while (storm.paused && !storm.error)
		usleep(100);
}

/*
 * Memory that is off cannot be marked or looked at through VFIO, so the mark
 * is made before and looked for after, and the device writes in between only.
 * The host turns decoding on behind VFIO's back meanwhile, or bytes could not
 * land whatever the IOMMU does.
 */
static void decoding_races(void **state)
{
	unsigned int tries = 0, violations = 0;
	double begin = now();

	start(writer);
	start(mapper);
	start(attacher);
	start(forker);
	note_error(map_own());
	while (going_on(begin, tries, violations)) {
		stand_still();
		note_error(mark(PLACE_OFFSET(OWN)));
		note_error(mark(PLACE_OFFSET(STEADY)));
		note_error(vfio_decoding(&rig.device, false));
		note_error(host_decoding(TARGET, true));
		go_on();
		let_it_write();
		stand_still();
		note_error(host_decoding(TARGET, false));
		note_error(vfio_decoding(&rig.device, true));
		violations += overwritten(PLACE_OFFSET(OWN)) ||
			      overwritten(PLACE_OFFSET(STEADY));
		go_on();
		tries++;
		usleep(tries % 4 * 3000);
	}
	go_on();
	note_error(unmap_own());
	conclude(tries, violations);
}

/* What a process of its own does, in the shared container, until it is killed. */
static bool map_own_once(void *unused)
{
	return !map_own();
}

static void exit_races(void **state)
{
	unsigned int tries = 0, violations = 0;
	double begin = now();

	start(writer);
	start(mapper);
	start(toggler);
	start(attacher);
	while (going_on(begin, tries, violations)) {
		pid_t pid = proc_spawn(map_own_once, NULL);

		if (pid < 0) {
			note_error(pid);
			break;
		}
		usleep(tries % 4 * 1000);
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			note_error(-errno);
		let_toggling_end();
		violations += violated();
		tries++;
		note_error(unmap_own());
	}
	conclude(tries, violations);
}

/*
 * A process is killed just when its memory comes back, which takes a while
 * with much of it. Nobody but the backend could be holding on to it then, and
 * whatever it had begun, no write lands after the process' end.
 */
static void exit_races_with_coming_back(void **state)
{
	unsigned int tries = 0, violations = 0;
	double begin = now();

	start(writer);
	start(mapper);
	start(attacher);
	while (going_on(begin + seconds(), tries, violations)) {
		pid_t pid = proc_spawn(map_own_once, NULL);
		double end;

		if (pid < 0) {
			note_error(pid);
			break;
		}
		note_error(vfio_decoding(&rig.device, false));
		note_error(vfio_decoding(&rig.device, true));
		usleep(tries % 32 * 1000);
		kill(pid, SIGKILL);
		if (waitpid(pid, NULL, 0) != pid)
			note_error(-errno);
		note_error(mark(PLACE_OFFSET(OWN)));
		for (end = now() + 0.05; now() < end;)
			let_it_write();
		violations += overwritten(PLACE_OFFSET(OWN));
		tries++;
		note_error(unmap_own());
	}
	conclude(tries, violations);
}

#define RACE(f)	SECURITY(f, setup, teardown)

static const struct CMUnitTest tests[] = {
	RACE(munmap_races),
	RACE(replacement_races),
	RACE(mprotect_races),
	RACE(decoding_races),
	RACE(exit_races),
	SECURITY(exit_races_with_coming_back, setup_much, teardown),
};

TEST_MAIN(tests, rig_open, rig_close)
