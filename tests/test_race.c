// SPDX-License-Identifier: GPL-2.0-only
/*
 * Many operations at the same time, and one check: no DMA may arrive in memory that the
 * process cannot reach.
 *
 * A place is a range of the target's memory with an mmap and a mapping of its own. One
 * device, nvme, writes all the time, in turn to each place. The main thread takes away
 * the process's access to the place OWN. When the call that does so has returned, the
 * main thread writes a mark into that memory through VFIO's file, lets nvme write there
 * a few times more, and reads the memory: if the mark is overwritten, that is a hole,
 * whatever the other threads did meanwhile. Those map and unmap the place MAPPER, turn
 * the memory off and on, reset the device, attach and detach a group, and fork. They
 * use the same container and device, but never change OWN or STEADY.
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
#define WRITES		3	/* of nvme to a place, between marking and reading it */
#define MARK		64

enum place { OWN, MAPPER, STEADY, PLACES };

#define PLACE_ROOM	(256 * MIB)
#define PLACE_IOVA(p)	(IOVA + (p) * PLACE_ROOM)
#define PLACE_OFFSET(p)	((p) * PLACE_ROOM)

static struct {
	atomic_bool stop;
	atomic_bool pause;	/* asks the writer to pause */
	atomic_bool paused;	/* set by the writer while it pauses */
	atomic_ulong rounds;	/* how often the writer has written to all places */
	atomic_ulong churn;	/* number of operations of the other threads */
	atomic_int error;	/* the first errno of any thread */
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
 * Stock vfio-pci holds a reference to a process's mm while it zaps the process's mmap
 * of the device. If the process ends just then, its memory stays mapped until
 * vfio-pci's call is over. So toggler() holds this mutex while it makes such calls, and
 * a test that has killed a process locks the mutex once before it expects that no write
 * arrives.
 */
static pthread_mutex_t *toggling;	/* shared: forked processes lock it, too */

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
 * True if MAP_DMA may have failed with ret because the memory was off. In-tree gives
 * -EINVAL if the memory goes off between its page fault and its look-up of the page.
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
		/*
		 * The kernel has to handle a fault for each write to an unmapped IOVA.
		 */
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

/* Turns the device's memory off and on, in turn in every way that vfio-pci has. */
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

/* Forks processes that have copies of all mmaps and end at once. */
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

/* Like setup(), with a place OWN so large that filling its page tables takes long. */
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

/* Waits until the device has written to every place a few times more. */
static void let_it_write(void)
{
	unsigned long until = storm.rounds + WRITES + 1;

	while (storm.rounds < until && !storm.error)
		usleep(100);
}

/* Writes a mark into the target's memory. While that memory is off, waits. */
static int mark(uint64_t offset)
{
	int ret;

	do {
		ret = target_fill(&rig.target, offset, 0x5a, MARK);
	} while (ret == -EIO && !storm.error);
	return ret;
}

/* Has a write of the device replaced the mark? While the memory is off, waits. */
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

/*
 * Does a write still arrive in OWN? Called when the process cannot reach it any more.
 */
static bool violated(void)
{
	note_error(mark(PLACE_OFFSET(OWN)));
	let_it_write();
	return overwritten(PLACE_OFFSET(OWN));
}

#define VAIN	20	/* failed attempts, after which map_own() keeps the memory on */

/*
 * In-tree maps page by page. On a slow machine this may take longer than toggler() ever
 * leaves the memory on, and then every attempt fails. So after VAIN failed attempts
 * map_own() holds the mutex, without which toggler() cannot turn the memory off.
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

/*
 * How long each race lasts. tests/matrix, which has many machines, sets RACE_SECONDS.
 */
static double seconds(void)
{
	const char *text = getenv("RACE_SECONDS");

	return text ? atof(text) : 4;
}

#define ENOUGH		5	/* fewer tries than these prove nothing */
#define PATIENCE	30	/* seconds that ENOUGH tries may take */

/* Should the race go on? Not after a violation, since one is enough. */
static bool going_on(double begin, unsigned int tries, unsigned int violations)
{
	double limit = tries < ENOUGH ? PATIENCE * patience() : seconds();

	return !violations && now() - begin < limit && !storm.error;
}

/*
 * Reports the counts, and checks that DMA still reaches STEADY, which nobody changed.
 */
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

/* mmaps the memory of the place OWN anew, replacing the mmap that is there. */
static void mmap_own(void)
{
	if (!vfio_region_mmap(&rig.device, TARGET_BAR, PLACE_OFFSET(OWN), PLACE_LEN,
			      PROT_READ | PROT_WRITE, own))
		note_error(-errno);
}

/* Repeatedly maps OWN for DMA, calls take() to take it away, and checks for writes. */
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

/* Every other time unmaps only the first half of OWN, in which the mark is. */
static void take_by_munmap(unsigned int tries)
{
	munmap(own, tries % 2 ? PLACE_LEN : PLACE_LEN / 2);
}

static void munmap_races(void **state)
{
	start(forker);
	race(take_by_munmap);
}

/* One call replaces OWN's mmap by a new one, while restore may work on the old one. */
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
 * While VFIO has switched the memory off, the test can neither mark nor read it. So it
 * marks the memory before, reads it afterwards, and lets the device write only in
 * between. For these writes it turns decoding on without VFIO's knowledge: otherwise no
 * byte could arrive in the memory, even if the IOMMU let the writes through.
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

/* For proc_spawn(): the child maps in the shared container and stays until killed. */
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
 * A process is killed while restore maps its memory again, which takes a while because
 * there is much of it. toggler() does not run here, so no call of vfio-pci holds the
 * process's mm. So once waitpid() has returned, no write may arrive, whatever restore
 * had begun.
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
