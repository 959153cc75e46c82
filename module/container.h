/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One open container: the memory that a user of /dev/vfio/vfio has mapped, and the
 * groups whose devices may reach that memory.
 *
 * Locks, outermost first:
 *
 *	container->device_lock	guards the list of emulated devices; held while their
 *				drivers are told of an unmap and take their own locks
 *	container->lock		held by ioctls, attaching, detaching and restore
 *	  mm->mmap_lock		held to pin or fault in pages and to read VMAs
 *	  container->mirror_lock
 *				guards the state and the IOMMU entries of all mirrors
 *				and the list of domains in which they are mapped
 *
 * The mmu notifier of a mirror takes mirror_lock. Any thread of the system may run the
 * notifier, with mmap_lock held or from memory reclaim. So a thread that holds
 * mirror_lock must not fault a page in, take mmap_lock, or allocate memory in a way
 * that reclaims: it could then wait for a thread that waits for mirror_lock, or need
 * mirror_lock itself.
 *
 * A function whose caller has to hold one of these locks asserts that the lock is held.
 */
#ifndef TETHER_CONTAINER_H
#define TETHER_CONTAINER_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/sched.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

/* Size of container->reason; a longer reason is cut off. */
#define REASON_LEN	160

struct dentry;
struct eventfd_ctx;
struct mm_struct;
struct owner_put;

/**
 * struct container - An open container with this backend
 * @id: its number, shown to people; no other container gets it while the module
 *	is loaded
 * @lock: serialises everything but revocation; guards each field below for which no
 *	  other lock is named
 * @device_lock: see the top of this file
 * @mirror_lock: see the top of this file
 * @domains: list of struct domain; changed with both @lock and @mirror_lock held, read
 *	     with either
 * @emulated: list of struct group, for the groups of emulated devices
 * @devices: list of struct vfio_device, for emulated devices whose drivers are told of
 *	     unmaps; under @device_lock
 * @usable: spans of the IOVAs that every attached group can use
 * @mappings: interval tree of struct mapping, by IOVA
 * @mappings_max: how many mappings and how many mirrors the container may have, which is
 *		  what dma_entry_limit was when it was opened
 * @mappings_avail: how many mappings may still be made; begins as @mappings_max
 * @mirrors_avail: how many mirrors may still be made; begins as @mappings_max
 * @pgsizes: bitmap of IOMMU page sizes common to all domains (bytes), none
 *	     smaller than PAGE_SIZE
 * @nr_stale: how many mappings are stale: an unmap with VFIO_DMA_UNMAP_FLAG_VADDR took
 *	      their user address away, and no map has given them a new one yet
 * @dirty_log: the log of dirty pages is on: every mapping has a dirty bitmap
 * @v2: opened as VFIO_TYPE1v2_IOMMU, for which no unmap may split a mapping
 * @refused: 0, or the negative errno that every call on this container returns, since
 *	     the container was refused and has no group (beside.c). Set only inside
 *	     VFIO_SET_IOMMU, before any other call can reach the container; so it is read
 *	     without a lock
 * @reason: why the last MAP_DMA failed, in words, or empty
 * @reason_loud: the log is to have @reason, too
 * @put: state of the thread that drops the last reference to mm_users of an mm in this
 *	 container's stead (owner.c)
 * @sources: list of struct source, for the open devices whose memory is mirrored;
 *	     changed with both @lock and @mirror_lock held, read with either
 * @off: list of the sources that have mirrors waiting until the device memory is on;
 *	 restore checks the first one next; under @mirror_lock
 * @on: list of the sources whose memory a check found on; restore is to try their
 *	waiting mirrors at once; under @mirror_lock
 * @revoked: queue of the mirrors that restore tries at a time of their own, ordered by
 *	     the time of the next attempt; under @mirror_lock
 * @nr_revoked: how many mirrors wait for restore, in @revoked or with their sources;
 *		under @mirror_lock
 * @restore_wq: workqueue of this container only, so that other containers' restore goes
 *		on while this container's restore waits
 * @restore_work: restores revoked mirrors
 * @restore_rests_until: @restore_work does not run before this time; under
 *			 @mirror_lock
 * @restore_misses: how often @restore_work has found @lock taken; set to 0 when it gets
 *		    @lock, or has nothing due, while @restore_turn is false. Only
 *		    @restore_work uses it
 * @restore_turn: @restore_work has found @lock taken too often, so container_lock()
 *		  makes threads wait that do not wait for @lock yet, until @restore_work
 *		  has had it; only @restore_work writes it
 * @turn: where container_lock() waits until @restore_turn is false
 * @look_misses: how often in a row restore has found the mmap_lock of an mm taken, or
 *		 had to wait for an invalidation; only @restore_work uses it
 * @looking_at: the mm in which restore is reading VMAs without a reference to mm_users
 *		(a look, owner.c), or NULL; under @mirror_lock
 * @watch: work that revokes the mirrors of processes that are ending; used on kernels
 *	   whose vfio-pci does not zap the VMAs of such processes
 * @eventfd: signalled when a mirror is revoked or restored, or NULL; under
 *	     @mirror_lock
 * @debugfs: the container's directory in debugfs
 * @regrouping: true while a group joins or leaves a domain in @domains. Revocation
 *		waits until it is false, since IOMMU drivers do not expect a flush at
 *		the same time. Written under @mirror_lock; waiting threads read it
 *		without
 * @regrouped: woken when @regrouping becomes false
 */
struct container {
	u32 id;
	struct mutex lock;		/* taken before all but device_lock */
	struct mutex device_lock;
	struct mutex mirror_lock;	/* taken after all others */
	struct list_head domains;
	struct list_head emulated;
	struct list_head devices;
	struct list_head usable;
	struct rb_root_cached mappings;
	unsigned int mappings_max;
	unsigned int mappings_avail;
	unsigned int mirrors_avail;
	u64 pgsizes;
	unsigned int nr_stale;
	bool dirty_log;
	bool v2;
	int refused;
	char reason[REASON_LEN];
	bool reason_loud;
	struct owner_put *put;
	struct list_head sources;
	struct list_head off;
	struct list_head on;
	struct timerqueue_head revoked;
	unsigned int nr_revoked;
	struct workqueue_struct *restore_wq;
	struct delayed_work restore_work;
	ktime_t restore_rests_until;
	unsigned int restore_misses;
	bool restore_turn;
	wait_queue_head_t turn;
	unsigned int look_misses;
	struct mm_struct *looking_at;
	struct delayed_work watch;
	struct eventfd_ctx *eventfd;
	struct dentry *debugfs;
	bool regrouping;
	wait_queue_head_t regrouped;
};

/**
 * container_assert_domains() - Assert that the list of domains cannot change
 * @c: the container, its lock or its mirror_lock held
 */
static inline void container_assert_domains(const struct container *c)
{
	lockdep_assert(lockdep_is_held(&c->lock) ||
		       lockdep_is_held(&c->mirror_lock));
}

/**
 * container_granule() - The smallest page that all IOMMUs of a container can map
 * @c: the container, its lock held
 *
 * Return: the size of that page (bytes).
 */
static inline u64 container_granule(const struct container *c)
{
	lockdep_assert_held(&c->lock);
	return c->pgsizes & -c->pgsizes;
}

/**
 * container_lock() - Take a container's lock
 * @c: the container; to release the lock, call mutex_unlock(&c->lock)
 *
 * Restore only tries this lock and never waits for it, so threads that take the lock
 * one after the other could keep restore from it for ever. If restore has found the
 * lock taken too often, this waits until restore has had the lock.
 */
static inline void container_lock(struct container *c)
{
	wait_event(c->turn, !READ_ONCE(c->restore_turn));
	mutex_lock(&c->lock);
}

struct container *container_open(unsigned long type);
void container_release(struct container *c);

#endif
