/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One open container: what the user of /dev/vfio/vfio maps, and for whom.
 *
 * Locks, outermost first:
 *
 *	container->device_lock	the list of emulated devices; their drivers, which
 *				have locks, are told of unmaps under it
 *	container->lock		every ioctl, attach, detach and restore
 *	  mm->mmap_lock		pinning, faulting, looking at VMAs
 *	  container->mirror_lock
 *				the state and the IOMMU entries of all mirrors,
 *				and the list of domains they are in
 *
 * mirror_lock is taken by the mmu notifier of a mirror, which any thread of
 * the system may enter, with mmap_lock held or from memory reclaim. So under
 * it there is no page fault, no mmap_lock, and no allocation that reclaims.
 *
 * A function that needs a lock of these asserts that it is held.
 */
#ifndef TETHER_CONTAINER_H
#define TETHER_CONTAINER_H

#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rbtree.h>
#include <linux/timerqueue.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct dentry;
struct eventfd_ctx;
struct mm_struct;
struct owner_put;

/**
 * struct container - An open container with this backend
 * @id: its number, for people; no other container gets it while the module
 *	is loaded
 * @lock: serialises everything but revocation; guards all below unless said
 * @mirror_lock: see above
 * @device_lock: see above
 * @domains: struct domain; changed under @lock and @mirror_lock, read under either
 * @emulated: struct group, of emulated devices
 * @devices: struct vfio_device, emulated ones that are told of unmaps; under
 *	     @device_lock
 * @usable: spans of IOVA that every attached group can use
 * @mappings: interval tree of struct mapping, by IOVA
 * @mappings_avail: mappings that may still be made (dma_entry_limit at open)
 * @mirrors_avail: mirrors that may still be made; as many as mappings
 * @pgsizes: bitmap of IOMMU page sizes common to all domains (bytes), none
 *	     smaller than PAGE_SIZE
 * @nr_stale: mappings whose user address is being updated
 * @dirty_log: every mapping has a dirty bitmap
 * @v2: opened as VFIO_TYPE1v2_IOMMU, whose unmap may not cut a mapping
 * @put: for the last put of an mm that this container used
 * @sources: struct source, whose memory its mirrors are; changed under @lock and
 *	     @mirror_lock, read under either
 * @off: those of them with mirrors that wait until the memory is on; under
 *	 @mirror_lock
 * @on: those whose memory was seen to be on, with mirrors to be tried at once;
 *	under @mirror_lock
 * @next_look: when to look at @off again; under @mirror_lock
 * @revoked: mirrors waiting to be restored by a clock of their own, by the time
 *	     of their next try; under @mirror_lock
 * @nr_revoked: how many wait, in whatever way; under @mirror_lock
 * @restore_wq: its own: whatever restore waits for, no other container's waits
 * @restore_work: brings revoked mirrors back
 * @restore_rests_until: it does not run before; under @mirror_lock
 * @looking_at: the mm that restore looks at, or NULL; under @mirror_lock
 * @watch: looks for processes that are ending, on kernels where vfio-pci does not
 *	   tell them that their memory goes
 * @eventfd: told of revocations and restores, or NULL; under @mirror_lock
 * @debugfs: its directory there
 * @regrouping: a group is joining or leaving a domain that revocation uses,
 *		which IOMMU drivers do not expect together; written under
 *		@mirror_lock, and read without it by who waits until it is over
 * @regrouped: woken when that is over
 */
struct container {
	u32 id;
	struct mutex lock;		/* outermost */
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
	struct owner_put *put;
	struct list_head sources;
	struct list_head off;
	struct list_head on;
	ktime_t next_look;
	struct timerqueue_head revoked;
	unsigned int nr_revoked;
	struct workqueue_struct *restore_wq;
	struct delayed_work restore_work;
	ktime_t restore_rests_until;
	struct mm_struct *looking_at;
	struct delayed_work watch;
	struct eventfd_ctx *eventfd;
	struct dentry *debugfs;
	bool regrouping;
	wait_queue_head_t regrouped;
};

/**
 * container_assert_domains() - Assert that the list of domains cannot change
 * @c: the container: its lock or mirror_lock is held, either will do
 */
static inline void container_assert_domains(const struct container *c)
{
	lockdep_assert(lockdep_is_held(&c->lock) ||
		       lockdep_is_held(&c->mirror_lock));
}

/**
 * container_granule() - Smallest page that all its IOMMUs can map
 * @c: the container, its lock held
 *
 * Return: its size (bytes).
 */
static inline u64 container_granule(const struct container *c)
{
	lockdep_assert_held(&c->lock);
	return c->pgsizes & -c->pgsizes;
}

struct container *container_open(unsigned long type);
void container_release(struct container *c);

#endif
