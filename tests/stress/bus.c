// SPDX-License-Identifier: GPL-2.0-only
/*
 * The devices that write. nvme writes to all slots in turn, and needs microseconds for
 * each. edu writes to a random slot, and does so 100 ms after edu_start_store(), by
 * when the slot may have another mapping. Both write whether or not the slot is mapped.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "edu.h"
#include "nvme.h"
#include "stress.h"

#define WRITES		4	/* to a slot, between marking and reading */
#define SELDOM		4	/* nvme writes to all slots in each SELDOM-th round */
#define EDU_LEN		MARK

static struct nvme nvme;
static struct edu edu;
static pthread_t nvme_thread, edu_thread;
static pthread_mutex_t quiet = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stopped;
static atomic_ullong aims[SLOTS];	/* the IOVA to write to in each slot; 0: no writes */
static atomic_ulong written[SLOTS];	/* number of writes to each slot since the start */
static atomic_bool wanted[SLOTS];	/* the slot's owner waits for writes */
static struct actor nvme_actor = { .name = "nvme" }, edu_actor = { .name = "edu" };

void slot_aim(unsigned int slot, uint64_t offset)
{
	aims[slot] = offset == UINT64_MAX ? 0 : IOVA_SLOT(slot) + offset;
}

/*
 * Writes to the slots whose owners wait for writes, and every SELDOM rounds to all. It
 * does not do so every round, since each write to an unmapped slot is a fault for the
 * kernel.
 */
static bool nvme_round(void)
{
	bool all = stress.rounds % SELDOM == 0;
	unsigned int i;
	int ret = 0;

	pthread_mutex_lock(&quiet);
	for (i = 0; i < SLOTS && !ret; i++) {
		uint64_t iova = aims[i];

		if (!iova || !(all || wanted[i]))
			continue;
		ret = nvme_identify(&nvme, iova);
		written[i]++;
	}
	pthread_mutex_unlock(&quiet);
	if (ret)
		broken(&nvme_actor, "the device: %s", strerror(-ret));
	return !ret;
}

static void *nvme_main(void *unused)
{
	while (!stopped && nvme_round()) {
		stress.rounds++;
		usleep(200);
	}
	return NULL;
}

static void *edu_main(void *unused)
{
	struct random r = { stress.seed ^ 0xed };
	int ret = 0;

	while (!stopped && !ret) {
		/*
		 * Not slot 0: its owner needs pauses, and a begun store cannot pause.
		 */
		uint64_t iova = aims[1 + random_below(&r, SLOTS - 1)];

		if (iova)
			ret = edu_start_store(&edu, iova, EDU_LEN);
		usleep(random_below(&r, 20000));
		if (!ret && iova && edu_wait(&edu) == 0)
			stress.stores++;
	}
	if (ret)
		broken(&edu_actor, "the device: %s", strerror(-ret));
	return NULL;
}

static bool opened(int ret, const char *bdf)
{
	if (ret)
		fprintf(stderr, "stress: %s: %s\n", bdf, strerror(-ret));
	return !ret;
}

bool bus_open(void)
{
	uint8_t pattern[EDU_LEN];

	memset(pattern, 0xed, sizeof(pattern));
	return opened(edu_open(&edu, &stress.container, EDU_A, IOVA_A), EDU_A) &&
	       opened(edu_load(&edu, pattern, sizeof(pattern)), EDU_A) &&
	       opened(nvme_open(&nvme, &stress.container, NVME, IOVA_NVME), NVME);
}

void bus_start(void)
{
	pthread_create(&nvme_thread, NULL, nvme_main, NULL);
	pthread_create(&edu_thread, NULL, edu_main, NULL);
}

/* Called after the actors have ended, since actors wait for writes. */
void bus_stop(void)
{
	stopped = true;
	pthread_join(nvme_thread, NULL);
	pthread_join(edu_thread, NULL);
}

void bus_close(void)
{
	nvme_close(&nvme);
	edu_close(&edu);
}

/* WRITES is one more than needed: the first may have begun before this call. */
void let_them_write(unsigned int slot)
{
	unsigned long until = written[slot] + WRITES;

	wanted[slot] = true;
	while (written[slot] < until && !stress.stop)
		usleep(100);
	wanted[slot] = false;
}

/*
 * Makes nvme's thread pause. A mutex is not fair, but that thread sleeps without it
 * after each round, so this gets the mutex soon.
 */
void hush(void)
{
	pthread_mutex_lock(&quiet);
}

void unhush(void)
{
	pthread_mutex_unlock(&quiet);
}
