// SPDX-License-Identifier: GPL-2.0-only
/*
 * Actors that change devices: one switches TARGET off and on, one gives TARGET2 to the
 * host and takes it back, one attaches and detaches a group.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stress.h"

#define RW		(PROT_READ | PROT_WRITE)

/* --- TARGET, off and on ------------------------------------------------- */

#define STEADY_BAR	(512 * MIB)
#define STEADY_LEN	(64 * MIB)

static pthread_mutex_t toggling = PTHREAD_MUTEX_INITIALIZER;

void target_hold(void)
{
	pthread_mutex_lock(&toggling);
}

void target_release(void)
{
	pthread_mutex_unlock(&toggling);
}

/*
 * Makes a mapping of memory that no actor unmaps: only the device's state revokes it.
 */
void toggler_begin(struct actor *a)
{
	a->own = vfio_region_mmap(&stress.device, TARGET_BAR, STEADY_BAR,
				  STEADY_LEN, RW, NULL);
	if (!a->own) {
		must(a, -errno, 0, "mmap");
		return;
	}
	must(a, vfio_dma_map(&stress.container, a->own, IOVA_SLOT(a->slot),
			     STEADY_LEN, VFIO_DMA_RW), 0, "MAP_DMA");
	slot_aim(a->slot, 0);
}

static bool marked(struct actor *a, uint64_t at)
{
	uint8_t text[MARK], there[MARK];
	int ret = target_read(&stress.target, at, there, MARK);

	memset(text, 0x5a, MARK);
	return must(a, ret, 0, "the witness") && !memcmp(text, there, MARK);
}

static bool mark(struct actor *a, uint64_t at)
{
	return must(a, target_fill(&stress.target, at, 0x5a, MARK), 0,
		    "the witness");
}

static void expect_return(struct actor *a, uint64_t at, const char *how)
{
	double start = now(), passed = 0;

	if (!mark(a, at))
		return;
	while (!stress.stop && marked(a, at) && passed < stress.deadline) {
		usleep(500);
		passed = now() - start - stalled(start, now());
	}
	if (passed >= stress.deadline)
		broken(a, "not reached %.1f s after: %s", passed, how);
	a->checks++;
}

/*
 * Checks that no write arrives while VFIO has the memory off. Memory that is off takes
 * no writes and cannot be read. So the actor switches it on without VFIO's knowledge
 * while the devices write, and reads it afterwards. The devices must not write in
 * between; edu cannot be stopped, so it does not write to this slot at all.
 */
static void look_while_off(struct actor *a, uint64_t at)
{
	hush();
	if (!mark(a, at) ||
	    !must(a, vfio_decoding(&stress.device, false), 0, "decoding off"))
		goto out;
	must(a, host_decoding(TARGET, true), 0, "decoding on, by the host");
	unhush();
	let_them_write(a->slot);
	hush();
	must(a, host_decoding(TARGET, false), 0, "decoding off, by the host");
	must(a, vfio_decoding(&stress.device, true), 0, "decoding on");
	if (!stress.stop && !marked(a, at))
		hole(a, "DMA landed in memory that was off");
	a->checks++;
out:
	unhush();
}

static const char *off_and_on(struct actor *a, uint64_t at)
{
	struct vfio_device *d = &stress.device;

	switch (random_below(&a->random, 8)) {
	case 0:
		must(a, vfio_reset(d), 0, "reset");
		return "reset";
	case 1:
		/* -EBUSY: another thread's page fault holds locks that this needs. */
		must(a, vfio_hot_reset(d), -EBUSY, "hot reset");
		return "hot reset";
	case 2:
		must(a, vfio_low_power(d, true), 0, "low power");
		usleep(random_below(&a->random, 3000));
		must(a, vfio_low_power(d, false), 0, "full power");
		return "low power";
	case 3:
	case 4:
		look_while_off(a, at);
		return "decoding off, looked at";
	default:
		must(a, vfio_decoding(d, false), 0, "decoding off");
		usleep(random_below(&a->random, 3000));
		must(a, vfio_decoding(d, true), 0, "decoding on");
		return "decoding off";
	}
}

void toggler_step(struct actor *a)
{
	uint64_t at = random_below(&a->random, STEADY_LEN / PAGE) * PAGE;
	const char *how;

	doing(a, "switching the device off and on");
	target_hold();
	slot_aim(a->slot, at);
	how = off_and_on(a, STEADY_BAR + at);
	if (doing(a, how) && random_percent(&a->random, 50))
		expect_return(a, STEADY_BAR + at, how);
	target_release();
	usleep(random_below(&a->random, 20000));
}

void toggler_end(struct actor *a)
{
	slot_aim(a->slot, UINT64_MAX);
	vfio_dma_unmap(&stress.container, IOVA_SLOT(a->slot), STEADY_LEN, NULL);
	if (a->own)
		munmap(a->own, STEADY_LEN);
}

/* --- TARGET2, back to the host ------------------------------------------- */

#define LEN2		(16 * MIB)

/* VFIO has given the device back to the host, so no write may arrive in its memory. */
static void expect_nothing_at_the_host(struct actor *a, uint64_t at)
{
	struct host_bar bar;
	size_t i;

	doing(a, "the host has the device");
	if (!must(a, host_bar_open(&bar, TARGET2, TARGET_BAR, LEN2), 0,
		  "the host's BAR"))
		return;
	memset(bar.mem + at, 0x5a, MARK);
	let_them_write(a->slot);
	for (i = 0; i < MARK && !stress.stop; i++) {
		if (((volatile uint8_t *)bar.mem)[at + i] != 0x5a) {
			hole(a, "DMA landed in a device that the host has back");
			break;
		}
	}
	host_bar_close(&bar);
	a->checks++;
}

/*
 * A copy that says the container has a group, so that attaching does not set its type.
 */
static struct vfio_container shared_container(void)
{
	struct vfio_container c = stress.container;

	c.groups = 1;
	return c;
}

void rebinder_step(struct actor *a)
{
	uint64_t at = random_below(&a->random, LEN2 / PAGE) * PAGE;
	struct vfio_container c = shared_container();
	struct vfio_device d;
	void *map;
	int ret;

	doing(a, "opening the device");
	ret = vfio_device_open_patiently(&d, &c, TARGET2, &stress.stop);
	if (!must(a, ret, stress.stop ? ret : 0, "opening TARGET2") || ret)
		return;
	map = vfio_region_mmap(&d, TARGET_BAR, 0, LEN2, RW, NULL);
	if (!map) {
		must(a, -errno, 0, "mmap");
		goto close;
	}
	slot_aim(a->slot, at);
	must(a, vfio_dma_map(&c, map, IOVA_SLOT(a->slot), LEN2, VFIO_DMA_RW), 0,
	     "MAP_DMA");
	usleep(random_below(&a->random, 5000));
	doing(a, "giving the device back");
	if (random_percent(&a->random, 50)) {
		munmap(map, LEN2);
		vfio_device_close(&d);
	} else {
		vfio_device_close(&d);
		munmap(map, LEN2);
	}
	must(a, vfio_device_unbind(TARGET2), 0, "unbinding");
	expect_nothing_at_the_host(a, at);
	must(a, vfio_dma_unmap(&c, IOVA_SLOT(a->slot), LEN2, NULL), 0,
	     "UNMAP_DMA");
	slot_aim(a->slot, UINT64_MAX);
close:
	vfio_device_close(&d);
}

/* --- EDU_B, whose group comes and goes ----------------------------------- */

void attacher_begin(struct actor *a)
{
	a->own = malloc(sizeof(int));
	*(int *)a->own = -1;
	must(a, vfio_device_bind(EDU_B), 0, "binding");
}

static void close_group(int *group)
{
	if (*group >= 0)
		close(*group);
	*group = -1;
}

void attacher_step(struct actor *a)
{
	struct vfio_container c = shared_container();
	int *group = a->own, ret;

	if (random_percent(&a->random, 10)) {
		doing(a, "unbinding and binding");
		close_group(group);
		must(a, vfio_device_unbind(EDU_B), 0, "unbinding");
		must(a, vfio_device_bind(EDU_B), 0, "binding");
	}
	if (*group < 0)
		*group = vfio_group_open(EDU_B);
	/* -EBUSY: a forked process has the group's file open until it execs or ends. */
	if (!must(a, *group < 0 ? *group : 0, -EBUSY, "opening the group") ||
	    *group < 0)
		return;
	doing(a, "attaching and detaching");
	/*
	 * -EBUSY: move_vaddr() has made an address stale, and not set the new one yet.
	 */
	ret = vfio_group_attach(*group, &c);
	if (!must(a, ret, -EBUSY, "attaching") || ret)
		return;
	if (random_percent(&a->random, 30))
		usleep(random_below(&a->random, 3000));
	if (random_percent(&a->random, 10))
		close_group(group);
	else
		must(a, vfio_group_detach(*group, &c), 0, "detaching");
}

void attacher_end(struct actor *a)
{
	close_group(a->own);
	free(a->own);
}
