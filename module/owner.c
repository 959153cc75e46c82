// SPDX-License-Identifier: GPL-2.0-only
/*
 * The mm of the process that made a mapping. Every mapping holds the struct by
 * mmgrab(), which keeps no memory and delays nothing. This file has the two ways
 * to its memory, neither of which lets a process that is ending wait on tether,
 * or tether wait for it.
 *
 * Looking (restore). Nothing is held. owner_look_begin() takes mmap_lock to read
 * and then requires that the mm has users. From mm_users == 0 on no look begins.
 * One that began before is waited for by owner_await_look(), which the mirrors'
 * notifiers call on RELEASE: exit_mmap() sends that before it takes the first
 * page-table entry away. The same pairing keeps khugepaged and ksm off the page
 * tables of an mm that they do not hold (__khugepaged_exit(), __ksm_exit()).
 * A look must not drop mmap_lock before its end, or it could take the lock again
 * when owner_await_look() has gone by.
 *
 * Using (pins of emulated devices, dma_rw, populating for the first domain).
 * The mm may have no subscription of ours, so no RELEASE tells, and mm_users is
 * held. If the process ends meanwhile the last put is ours, and with it all of
 * __mmput(). That closes the process's devices and waits in exit_aio() for as
 * long as the slowest read of the process takes, for ever on a file system that
 * the user serves. So the last put is a thread's of its own, one for each
 * container at a time: while it waits the container uses no other process's
 * memory (-EBUSY), and nobody else notices.
 *
 * container->lock is held over a use, so there is one at a time.
 */
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/refcount.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "container.h"
#include "owner.h"

/* How long to wait with the thread when there is no memory for it. */
#define START_RETRY	(HZ / 10)

/**
 * struct owner_put - The last put of an mm, which may take as long as it likes
 * @refs: the container's, and the thread's
 * @mm: being put, or NULL; set under container->lock, cleared by the thread
 * @start: starts the thread
 */
struct owner_put {
	refcount_t refs;
	struct mm_struct *mm;
	struct delayed_work start;
};

/* Of work that starts a thread, and waits for nothing else. */
static struct workqueue_struct *start_wq;

/**
 * owner_is_ending() - Has an mm no users any more?
 * @mm: the mm, whose struct the caller holds
 *
 * It gets none again: its memory is going, or gone.
 *
 * Return: true if it has no users.
 */
bool owner_is_ending(const struct mm_struct *mm)
{
	return !atomic_read(&mm->mm_users);
}

/**
 * owner_look_begin() - Look at the VMAs of an mm, and fault them in
 * @mm: an mm with a mirror of the caller's container, whose struct is held
 *
 * Never waits. The caller may not drop mmap_lock before owner_look_end(), and has
 * published that it looks where the mirrors' RELEASE will see it.
 *
 * Return: true with mmap_lock held to read; false if the process is ending or
 * the lock is taken.
 */
bool owner_look_begin(struct mm_struct *mm)
{
	if (!mmap_read_trylock(mm))
		return false;
	if (!owner_is_ending(mm))
		return true;
	mmap_read_unlock(mm);
	return false;
}

/** owner_look_end() - The end of a look */
void owner_look_end(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

/**
 * owner_await_look() - Wait for the look that began before the mm lost its users
 * @mm: the mm, in exit_mmap()
 */
void owner_await_look(struct mm_struct *mm)
{
	mmap_write_lock(mm);
	mmap_write_unlock(mm);
}

/**
 * owner_use() - Hold the memory of an mm, for a short time
 * @c: the container, its lock held until after owner_let_go()
 * @mm: the mm of one of its mappings
 *
 * The caller's own mm needs no holding.
 *
 * Return: 0; -ENODEV if its process is ending or gone; -EBUSY while the last put
 * of another one has not come back.
 */
int owner_use(struct container *c, struct mm_struct *mm)
{
	lockdep_assert_held(&c->lock);
	if (mm == current->mm)
		return 0;
	if (READ_ONCE(c->put->mm))
		return -EBUSY;
	return mmget_not_zero(mm) ? 0 : -ENODEV;
}

/* The thread may free it at once. */
static void put_unref(struct owner_put *put)
{
	if (refcount_dec_and_test(&put->refs))
		kfree(put);
}

static int put_thread(void *data)
{
	struct owner_put *put = data;

	mmput(put->mm);
	WRITE_ONCE(put->mm, NULL);
	put_unref(put);
	module_put_and_kthread_exit(0);
}

/* A thread needs memory. Until there is some, the mm waits. */
static void start_work(struct work_struct *work)
{
	struct owner_put *put = container_of(to_delayed_work(work),
					     struct owner_put, start);

	if (IS_ERR(kthread_run(put_thread, put, "tether-mmput")))
		queue_delayed_work(start_wq, &put->start, START_RETRY);
}

/**
 * owner_let_go() - The end of owner_use()
 * @c: the container, its lock held since owner_use()
 * @mm: the mm
 */
void owner_let_go(struct container *c, struct mm_struct *mm)
{
	struct owner_put *put = c->put;

	lockdep_assert_held(&c->lock);
	if (mm == current->mm || atomic_add_unless(&mm->mm_users, -1, 1))
		return;

	refcount_inc(&put->refs);
	__module_get(THIS_MODULE);
	WRITE_ONCE(put->mm, mm);
	queue_delayed_work(start_wq, &put->start, 0);
}

/**
 * owner_put_alloc() - Prepare the last puts of a new container
 *
 * Return: what the container has in @put, or NULL for want of memory.
 */
struct owner_put *owner_put_alloc(void)
{
	struct owner_put *put = kzalloc(sizeof(*put), GFP_KERNEL_ACCOUNT);

	if (!put)
		return NULL;
	refcount_set(&put->refs, 1);
	INIT_DELAYED_WORK(&put->start, start_work);
	return put;
}

/**
 * owner_put_free() - The end of a container's last puts
 * @put: what owner_put_alloc() returned; a put that has not come back goes on
 */
void owner_put_free(struct owner_put *put)
{
	put_unref(put);
}

/** owner_init() - On module load. Return: 0, or -ENOMEM */
int owner_init(void)
{
	start_wq = alloc_workqueue("tether_mmput", WQ_UNBOUND, 0);
	return start_wq ? 0 : -ENOMEM;
}

/**
 * owner_exit() - On module unload
 *
 * Every thread holds the module, so all there is to wait for is the return of
 * the work that started the last one.
 */
void owner_exit(void)
{
	destroy_workqueue(start_wq);
}
