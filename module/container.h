/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One open container: the memory that a user of /dev/vfio/vfio has mapped, and the
 * groups whose devices may reach it.
 *
 * Locks, outermost first:
 *
 *	container->device_lock	the list of emulated devices; their drivers are
 *				told of unmaps under it, and take locks of their own
 *	container->lock		every ioctl, attach, detach and restore
 *	  mm->mmap_lock		pinning, faulting, reading VMAs
 *	  container->mirror_lock
 *				the state and the IOMMU entries of all mirrors,
 *				and the list of domains in which they are mapped
 *
 * The mmu notifier of a mirror takes mirror_lock. Any thread of the system may run the
 * notifier, with mmap_lock held or from memory reclaim. So a thread that holds
 * mirror_lock must not fault a page in, take mmap_lock, or allocate memory in a way
 * that reclaims.
 *
 * A function that needs one of these locks asserts that it is held.
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

struct dentry;
struct eventfd_ctx;
struct iommu_group;
struct mm_struct;
struct owner_put;

/**
 * struct container - An open container with this backend
 * @id: its number, shown to people; no other container gets it while the module
 *	is loaded
 * @lock: serialises everything but revocation; guards each field below for which no
 *	  other lock is named
 * @device_lock: see above
 * @mirror_lock: see above
 * @domains: struct domain; changed under @lock and @mirror_lock, read under either
 * @emulated: struct group of each emulated device's group
 * @devices: struct vfio_device of each emulated device whose driver is told of unmaps;
 *	     under @device_lock
 * @usable: spans of the IOVAs that every attached group can use
 * @mappings: interval tree of struct mapping, by IOVA
 * @mappings_avail: mappings that may still be made (dma_entry_limit at open)
 * @mirrors_avail: mirrors that may still be made; as many as mappings
 * @pgsizes: bitmap of IOMMU page sizes common to all domains (bytes), none
 *	     smaller than PAGE_SIZE
 * @nr_stale: mappings whose user address is being updated
 * @dirty_log: the log of dirty pages is on: every mapping has a dirty bitmap
 * @v2: opened as VFIO_TYPE1v2_IOMMU, for which no unmap may split a mapping
 * @refused: 0, or the negative errno that every call on this container returns, since
 *	     it has no group (container_refuse()). Set only inside VFIO_SET_IOMMU, before
 *	     any other call can reach the container; read without a lock
 * @put: for the last put of an mm that this container used (owner.c)
 * @sources: struct source of each open device whose memory is mirrored; changed under
 *	     @lock and @mirror_lock, read under either
 * @off: sources with mirrors that wait until the memory is on, the one to be checked
 *	 next first; under @mirror_lock
 * @on: sources whose memory a check found on, and whose waiting mirrors restore is to
 *	try at once; under @mirror_lock
 * @revoked: mirrors that restore tries at times of their own, by the time of the next
 *	     attempt; under @mirror_lock
 * @nr_revoked: how many mirrors wait for restore, in @revoked or with their sources;
 *		under @mirror_lock
 * @restore_wq: the container's own workqueue, so that no other container's restore has
 *		to wait when this one's waits
 * @restore_work: restores revoked mirrors
 * @restore_rests_until: @restore_work does not run before this time; under
 *			 @mirror_lock
 * @restore_misses: how often @restore_work has found @lock taken since it last got it
 *		    at its first attempt; only @restore_work uses it
 * @restore_turn: @restore_work has missed @lock too often: it is to get the lock before
 *		  any thread that does not wait for it yet; only @restore_work sets it
 * @turn: woken when @restore_turn becomes false
 * @look_misses: how often in a row @restore_work could not look at an mm at once; only
 *		 @restore_work uses it
 * @looking_at: the mm that restore is looking at (owner.c), or NULL; under
 *		@mirror_lock
 * @watch: work that finds processes that are ending, on kernels whose vfio-pci does
 *	   not zap their VMAs
 * @eventfd: signalled when a mirror is revoked or restored, or NULL; under
 *	     @mirror_lock
 * @debugfs: the container's directory in debugfs
 * @regrouping: true while a group joins or leaves a domain in @domains; revocation
 *		waits for that, since IOMMU drivers do not expect both at once.
 *		Written under @mirror_lock; read without it by waiting threads
 * @regrouped: woken when @regrouping becomes false
 */
struct container {
	u32 id;
	struct mutex lock;		/* outermost but for device_lock */
	struct mutex device_lock;
	struct mutex mirror_lock;	/* innermost */
	struct list_head domains;
	struct list_head emulated;
	struct list_head devices;
	struct list_head usable;
	struct rb_root_cached mappings;
	unsigned int mappings_avail;
	unsigned int mirrors_avail;
	u64 pgsizes;
	unsigned int nr_stale;
	bool dirty_log;
	bool v2;
	int refused;
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
 * @c: the container; mutex_unlock(&c->lock) ends it
 *
 * Restore never waits for the lock, so threads that take it one after the other could
 * keep restore from it for ever. If restore has missed it too often, this waits until
 * restore has had it.
 */
static inline void container_lock(struct container *c)
{
	wait_event(c->turn, !READ_ONCE(c->restore_turn));
	mutex_lock(&c->lock);
}

struct container *container_open(unsigned long type);
int container_attach(struct container *c, struct iommu_group *group,
		     bool emulated);
void container_release(struct container *c);

#endif
