// SPDX-License-Identifier: GPL-2.0-only
/*
 * Restore is tether's work that maps device memory again after an outage. While it
 * waits for that memory, it must make no operation of the program fail or wait.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rig.h"

/* mmaps TARGET_LEN of the target's BAR at a misaligned address. */
static uint8_t *map_whole_target(void)
{
	uint8_t *map = vfio_reserve(TARGET_LEN, 2 * MIB, PAGE);

	assert_ptr_equal(vfio_region_mmap(&rig.device, TARGET_BAR, 0, TARGET_LEN,
					  PROT_READ | PROT_WRITE, map), map);
	return map;
}

/*
 * vfio-pci fails a hot reset with -EBUSY while another thread holds the locks that a
 * page fault takes. Before a reset a VMM switches the memory off. Restore has to see
 * that the memory is off without a page fault, so that it does not make the reset fail.
 * On 6.1 a page fault in this large BAR would take long, so the test would notice it.
 */
static void resets_with_the_memory_off_are_not_disturbed(void **state)
{
	uint8_t *map = map_whole_target();
	int i, j;

	ok(vfio_dma_map(&rig.container, map, IOVA, TARGET_LEN, VFIO_DMA_RW));
	for (i = 0; i < 10; i++) {
		ok(vfio_decoding(&rig.device, false));
		for (j = 0; j < 5; j++) {
			ok(vfio_hot_reset(&rig.device));
			usleep(j * 3000);
		}
		ok(vfio_decoding(&rig.device, true));
		expect_return(IOVA, 0, now(), 2.0);
	}
	ok(vfio_dma_unmap(&rig.container, IOVA, TARGET_LEN, NULL));
	munmap(map, TARGET_LEN);
}

static atomic_bool resetting;

static void *reset(void *result)
{
	*(int *)result = vfio_reset(&rig.nvme.dev);
	atomic_store(&resetting, false);
	return NULL;
}

/* Does one each of mmap, map, unmap and munmap, none of which may wait for restore. */
static void map_and_unmap_everything(void)
{
	void *mem = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(mem, MAP_FAILED);
	ok(vfio_dma_map(&rig.container, mem, IOVA + RIG_LEN, PAGE, VFIO_DMA_RW));
	ok(vfio_dma_unmap(&rig.container, IOVA + RIG_LEN, PAGE, NULL));
	munmap(mem, PAGE);
}

/*
 * Maps and unmaps until a reset of nvme, in another thread, ends. Returns how many
 * seconds after start the reset was last seen to be under way when an unmap returned.
 */
static double map_while_resetting(double start)
{
	double late = 0;
	pthread_t thread;
	int result;

	atomic_store(&resetting, true);
	assert_int_equal(pthread_create(&thread, NULL, reset, &result), 0);
	while (atomic_load(&resetting)) {
		map_and_unmap_everything();
		if (atomic_load(&resetting))
			late = now() - start;
		usleep(1000);
	}
	pthread_join(thread, NULL);
	ok(result);
	return late;
}

/*
 * nvme's reset takes 110 ms, and restore makes its first attempt during it. That
 * attempt must not wait for the reset's end in a page fault, since a page fault holds
 * locks of the process that mmap() and MAP_DMA need: then no map_and_unmap_everything()
 * would return between that attempt and the reset's end. If the machine stood still
 * meanwhile, the test cannot tell, and repeats the reset.
 */
static void a_reset_does_not_stall_the_process(void **state)
{
	const double restore_tries = 0.060;	/* restore has made an attempt by then */
	const unsigned int cmb = 2;
	int resets = 0;
	double start, late;
	uint8_t *map;

	map = vfio_region_mmap(&rig.nvme.dev, cmb, 0, MIB,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(map);
	ok(vfio_dma_map(&rig.container, map, IOVA, MIB, VFIO_DMA_RW));

	do {
		start = now();
		late = map_while_resetting(start);
	} while (late <= restore_tries && stalled(start, now()) > 0.020 &&
		 ++resets < 10);

	ok(vfio_dma_unmap(&rig.container, IOVA, MIB, NULL));
	munmap(map, MIB);
	ok(nvme_enable(&rig.nvme));

	/* Otherwise the reset ended before restore tried, and nothing is proved. */
	assert_true(late > restore_tries);
}

/* Loads vfio-pci anew while the backend stays loaded, so the backend is older. */
static void load_vfio_pci_anew(void **state)
{
	if (access("/sys/module/vfio_pci/initstate", F_OK))
		lacks("vfio-pci as a module");
	rig_close(state);
	assert_int_equal(system("rmmod vfio_pci vfio_pci_core"), 0);
	assert_int_equal(system("modprobe vfio-pci"), 0);
	rig_open(state);
	rig_unmapped(state);
}

static void vfio_pci_can_be_loaded_anew(void **state)
{
	load_vfio_pci_anew(state);
	a_reset_does_not_stall_the_process(state);
}

/*
 * The process unmaps a page of a mirror, then maps and unmaps other memory in its
 * place, more often than a mirror may lose a part. DMA to the rest of the mirror must
 * go on.
 */
static void what_fills_a_hole_does_not_disturb_the_rest(void **state)
{
	uint8_t *hole = rig.map + RIG_HALF;
	int i;

	assert_int_equal(munmap(hole, PAGE), 0);
	expect_return(IOVA, 0, now(), 2.0);
	for (i = 0; i < 1100; i++) {
		assert_ptr_equal(mmap(hole, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				      -1, 0), hole);
		*hole = 1;
		munmap(hole, PAGE);
		if (!dma_lands(IOVA, 0))
			broken("DMA to the rest was lost after %d mmaps", i + 1);
	}
}

/*
 * Up to 6.9, if vfio-pci takes a VMA for filled but its page tables are empty, a CPU
 * access faults for ever. If restore caused such a state, the read of *map would hang,
 * and SIGALRM would end the program.
 */
static void memory_that_comes_back_can_be_read_at_once(void **state)
{
	const int mappings = 500, rounds = 40;
	uint8_t *map = map_whole_target();
	int i;

	for (i = 0; i < mappings; i++)
		ok(vfio_dma_map(&rig.container, map + i * MIB, IOVA + i * MIB,
				MIB, VFIO_DMA_RW));
	alarm(60 * patience());
	for (i = 0; i < rounds; i++) {
		ok(vfio_decoding(&rig.device, false));
		ok(vfio_decoding(&rig.device, true));
		*(volatile uint8_t *)map;
		usleep(i * 1000);
	}
	alarm(0);
	expect_return(IOVA, 0, now(), 2.0);
	ok(vfio_dma_unmap(&rig.container, IOVA, mappings * MIB, NULL));
	munmap(map, TARGET_LEN);
}

static uint64_t revoked(uint64_t iova, uint64_t size)
{
	struct vfio_tether_query q;

	ok(rig_query(iova, size, &q));
	return q.revoked;
}

/*
 * Wait until no mirror of the range is revoked, or for limit seconds. A query of many
 * mirrors holds the container's lock, which restore needs, for long. So query only the
 * mirror at @last until that one is back, and then the whole range.
 */
static void wait_until_restored(uint64_t first, uint64_t size, uint64_t last,
				double limit)
{
	double start = now();

	while ((revoked(last, first + size - last) || revoked(first, size)) &&
	       now() - start < limit)
		sleep_ms(2);
}

/*
 * Restore checks for all mirrors of a device together whether the device is on, so they
 * have to come back together. If it tried each mirror at a time of its own, they would
 * come back within a second, not within the limit at the end.
 *
 * Restore does for each mirror what MAP_DMA did. On a debug kernel a thousand take seconds,
 * so there the limit follows the time that MAP_DMA took.
 */
static void many_mirrors_come_back_at_once_after_a_long_outage(void **state)
{
	enum { MIRRORS = 1000, ROUNDS = 3 };
	const uint64_t len = 16 * PAGE;
	double start, took, limit = 0.5, quickest = 1000;
	uint8_t *map;
	int i;

	map = vfio_region_mmap(&rig.device, TARGET_BAR, 0, MIRRORS * len,
			       PROT_READ | PROT_WRITE, NULL);
	assert_non_null(map);
	start = now();
	for (i = 0; i < MIRRORS; i++)
		ok(vfio_dma_map(&rig.container, map + i * len, IOVA + i * len, len,
				VFIO_DMA_RW));
	if (patience() > 1)
		limit += 8 * (now() - start);
	for (i = 0; i < ROUNDS; i++) {
		ok(vfio_decoding(&rig.device, false));
		sleep_ms(2500);
		assert_int_equal(revoked(IOVA, 0), MIRRORS * len);
		ok(vfio_decoding(&rig.device, true));
		start = now();
		wait_until_restored(IOVA, MIRRORS * len,
				    IOVA + (MIRRORS - 1) * len,
				    20 * patience());
		took = now() - start;
		printf("# %d mirrors back after %.0f ms\n", MIRRORS, 1e3 * took);
		if (took < quickest)
			quickest = took;
	}
	ok(vfio_dma_unmap(&rig.container, IOVA, MIRRORS * len, NULL));
	munmap(map, MIRRORS * len);
	if (quickest > limit)
		broken("back after %.3f s at best, not %.3f", quickest, limit);
}

static atomic_bool mapping;

static void *map_and_unmap_for_ever(void *arg)
{
	uint64_t iova = IOVA + TARGET_LEN + (uintptr_t)arg * 16 * MIB;
	void *mem = mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	while (atomic_load(&mapping)) {
		if (vfio_dma_map(&rig.container, mem, iova, 4 * MIB, VFIO_DMA_RW) ||
		    vfio_dma_unmap(&rig.container, iova, 4 * MIB, NULL))
			return (void *)1;
	}
	munmap(mem, 4 * MIB);
	return NULL;
}

/*
 * Restore takes container->lock only with trylock. These threads hold the lock nearly
 * all the time, but restore has to get it soon enough nevertheless.
 */
static void memory_comes_back_while_others_map(void **state)
{
	enum { THREADS = 4 };
	pthread_t threads[THREADS];
	void *failed = NULL;
	uintptr_t i;

	atomic_store(&mapping, true);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, map_and_unmap_for_ever,
						(void *)i), 0);
	for (i = 0; i < 5; i++) {
		ok(vfio_decoding(&rig.device, false));
		sleep_ms(50);
		ok(vfio_decoding(&rig.device, true));
		printf("# back after %.0f ms\n",
		       1e3 * expect_return(IOVA, 0, now(), 2.0));
	}
	atomic_store(&mapping, false);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
}

static const struct CMUnitTest tests[] = {
	TEST(resets_with_the_memory_off_are_not_disturbed, rig_unmapped, rig_heal),
	TEST(a_reset_does_not_stall_the_process, rig_unmapped, rig_heal),
	TEST(vfio_pci_can_be_loaded_anew, NULL, rig_heal),
	TEST(memory_that_comes_back_can_be_read_at_once, rig_unmapped, rig_heal),
	TEST(what_fills_a_hole_does_not_disturb_the_rest, rig_mapped, rig_heal),
	TEST(memory_comes_back_while_others_map, rig_mapped, rig_heal),
	TETHER(many_mirrors_come_back_at_once_after_a_long_outage, rig_unmapped,
	       rig_heal),
};

TEST_MAIN(tests, rig_open, rig_close)
