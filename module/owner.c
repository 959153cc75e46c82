// SPDX-License-Identifier: GPL-2.0-only
/*
 * Access to the mm (the address space) of the process that made a mapping. Each mapping
 * holds struct mm_struct by mmgrab(), which keeps the struct but none of the process's
 * memory, and does not delay the process's end. This file has two ways to reach that
 * memory, a look and a use. With neither does tether wait for a process that is ending;
 * and such a process waits for tether only until a look that has begun is over.
 *
 * A look (by restore) holds no reference to mm_users. owner_look_begin() takes
 * mmap_lock for reading and then checks that mm_users is not 0. So no look begins once
 * mm_users is 0. owner_await_look() waits for a look that began earlier: the mirrors'
 * notifiers call it on RELEASE, an event that exit_mmap() sends before it removes the
 * first page-table entry. The kernel keeps khugepaged and ksm off the page tables of an
 * mm whose users they do not hold in the same way (__khugepaged_exit(), __ksm_exit()).
 * A look must keep mmap_lock until its end: if it dropped the lock, it could take it
 * again after owner_await_look() has returned, while the page tables are being freed.
 *
 * A use (pins of emulated devices, dma_rw, populating for the first domain) holds a
 * reference to mm_users. A look would not do, since an mm without a mirror has no
 * notifier that could wait for it on RELEASE. If the process ends during a use, tether
 * drops the last reference (makes the last put), and that runs all of __mmput(): it
 * closes the devices that the process has mapped, and waits in exit_aio() for the
 * slowest read of the process, for ever if the user serves the file system. So a
 * separate thread makes the last put, at most one for each container at a time. Until
 * that thread is done, the container does not use other processes' memory (-EBUSY); no
 * other container is affected.
 *
 * container->lock is held for the whole of a use, so a container has one at a time.
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

/* If the thread for a last put cannot be created, start_work() retries after this. */
#define START_RETRY	(HZ / 10)

/**
 * struct owner_put - The last put of an mm, made by a thread of its own
 * @refs: references: the container has one, and the thread that is putting an mm, if
 *	  any
 * @mm: the mm that the thread is to put, or NULL; set under container->lock, cleared by
 *	the thread without a lock
 * @start: the work item that starts the thread
 */
struct owner_put {
	refcount_t refs;
	struct mm_struct *mm;
	struct delayed_work start;
};

/* Runs start_work(), which waits only for the creation of a thread, not for mmput(). */
static struct workqueue_struct *start_wq;

/**
 * owner_is_ending() - Has an mm no users any more?
 * @mm: the mm, whose struct the caller holds
 *
 * An mm without users never gets users again: its memory is being freed, or is freed.
 *
 * Return: true if it has no users.
 */
bool owner_is_ending(const struct mm_struct *mm)
{
	return !atomic_read(&mm->mm_users);
}

/**
 * owner_look_begin() - Begin to look at the VMAs of an mm, and to fault them in
 * @mm: an mm with a mirror of the caller's container, whose struct is held
 * @patient: wait for mmap_lock; else this never waits
 *
 * The caller has set container->looking_at to @mm before, so that an exit of @mm waits
 * for the look (owner_await_look()). It must not drop mmap_lock before
 * owner_look_end().
 *
 * Return: 0 with mmap_lock held for reading; else -EFAULT if the mm has no users, or
 * -EINPROGRESS if it has, but the lock is taken.
 */
int owner_look_begin(struct mm_struct *mm, bool patient)
{
	if (patient)
		mmap_read_lock(mm);
	else if (!mmap_read_trylock(mm))
		return owner_is_ending(mm) ? -EFAULT : -EINPROGRESS;
	if (!owner_is_ending(mm))
		return 0;
	mmap_read_unlock(mm);
	return -EFAULT;
}

/** owner_look_end() - End a look: drop mmap_lock */
void owner_look_end(struct mm_struct *mm)
{
	mmap_read_unlock(mm);
}

/**
 * owner_await_look() - Wait for a look that began before the mm lost its users
 * @mm: the mm, for which exit_mmap() is running; takes its mmap_lock for writing, which
 *	the look holds for reading
 */
void owner_await_look(struct mm_struct *mm)
{
	mmap_write_lock(mm);
	mmap_write_unlock(mm);
}

/**
 * owner_use() - Take a reference to mm_users for a short time, so that the memory stays
 * @c: the container, its lock held until after owner_let_go()
 * @mm: the mm of one of its mappings
 *
 * Takes no reference if @mm is the caller's own.
 *
 * Return: 0; -ENODEV if the mm has no users any more; -EBUSY while the container's thread
 * has not finished the last put of an mm.
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

/**
 * owner_put_free() - Drop a reference to a struct owner_put
 * @put: the struct. The container drops its reference at its end, and a thread that is
 *	 still putting an mm keeps the struct until it is done
 */
void owner_put_free(struct owner_put *put)
{
	if (refcount_dec_and_test(&put->refs))
		kfree(put);
}

static int put_thread(void *data)
{
	struct owner_put *put = data;

	mmput(put->mm);
	WRITE_ONCE(put->mm, NULL);
	owner_put_free(put);
	module_put_and_kthread_exit(0);
}

/* Start the thread. If it cannot be created, try again later; the mm stays held. */
static void start_work(struct work_struct *work)
{
	struct owner_put *put = container_of(to_delayed_work(work),
					     struct owner_put, start);

	if (IS_ERR(kthread_run(put_thread, put, "tether-mmput")))
		queue_delayed_work(start_wq, &put->start, START_RETRY);
}

/**
 * owner_let_go() - Undo owner_use()
 * @c: the container, its lock held since owner_use()
 * @mm: the mm
 *
 * If this is the last put of the mm, a separate thread makes it, and owner_let_go()
 * does not wait for that thread.
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
 * owner_put_alloc() - Allocate a new container's struct owner_put
 *
 * Return: the struct, for container->put, or NULL if memory cannot be allocated.
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

/** owner_init() - On module load. Return: 0, or -ENOMEM */
int owner_init(void)
{
	start_wq = alloc_workqueue("tether_mmput", WQ_UNBOUND, 0);
	return start_wq ? 0 : -ENOMEM;
}

/**
 * owner_exit() - On module unload
 *
 * Every thread holds a reference to the module, so no thread is left. The work item that
 * started the last thread may not have returned yet; this waits for it.
 */
void owner_exit(void)
{
	destroy_workqueue(start_wq);
}
