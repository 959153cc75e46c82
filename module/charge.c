// SPDX-License-Identifier: GPL-2.0-only
/*
 * Charges the pages of a mapping against the RLIMIT_MEMLOCK of the process that owns
 * it, in mm->locked_vm. Within a mapping each page is charged once, however often it is
 * pinned. Reserved pages are not charged, as in the in-tree module.
 *
 * To take a charge back, a thread needs mmap_lock of the mm that is charged. That mm
 * may be another process's, whose threads may hold the lock for long. Three kinds of
 * thread do not wait for it: a thread that is being killed, a thread that is exiting,
 * and a kernel thread, since a kernel thread that works for the whole machine may be
 * the one that drops the last reference to a container. They note a struct debt
 * instead, and the work item debts_work takes the charge back once it finds the lock
 * free.
 *
 * container->lock guards mapping->charged, mmap_lock guards mm->locked_vm, and
 * debts_lock guards the list of debts.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "charge.h"
#include "container.h"
#include "owner.h"
#include "reason.h"
#include "tree.h"

/* After how long debts_work tries again an mmap_lock that it found taken (jiffies). */
#define DEBT_RETRY	(HZ / 50)

/**
 * struct debt - A charge that is still to be taken back
 * @node: in the list debts, the latest first
 * @mm: the mm that is charged, held by mmgrab()
 * @task: the mapping's task, held, since __account_locked_vm() needs it
 * @npages: how many pages
 */
struct debt {
	struct list_head node;
	struct mm_struct *mm;
	struct task_struct *task;
	unsigned long npages;
};

static void debts_pay(struct work_struct *work);

static LIST_HEAD(debts);
static DEFINE_MUTEX(debts_lock);
static DECLARE_DELAYED_WORK(debts_work, debts_pay);

static int charge_mm(struct container *c, struct mm_struct *mm,
		     struct task_struct *task, bool lock_cap,
		     unsigned long npages)
{
	unsigned long locked, limit;
	int ret;

	if (!npages)
		return 0;
	if (mmap_write_lock_killable(mm))
		return -EINTR;
	locked = mm->locked_vm << PAGE_SHIFT;
	ret = __account_locked_vm(mm, npages, true, task, lock_cap);
	mmap_write_unlock(mm);
	if (!ret)
		return 0;
	limit = task_rlimit(task, RLIMIT_MEMLOCK);
	pr_warn_ratelimited("%s[%d]: RLIMIT_MEMLOCK (%lu bytes) exceeded: %lu bytes are locked, %lu more were asked for\n",
			    task->comm, task_pid_nr(task), limit, locked,
			    npages << PAGE_SHIFT);
	reason_set(c, "RLIMIT_MEMLOCK of %s[%d], %lu bytes, exceeded: %lu bytes are locked",
		   task->comm, task_pid_nr(task), limit, locked);
	return ret;
}

/*
 * Try to take mmap_lock for writing, to change mm->locked_vm. Some kernels have no
 * trylock of mmap_lock that a module can call, so this calls the trylock of the
 * semaphore inside. That skips what newer kernels' mmap_write_lock() does to announce
 * changes of VMAs; it is not needed, since this file changes no VMA.
 */
static bool sum_trylock(struct mm_struct *mm)
{
	return down_write_trylock(&mm->mmap_lock);
}

/* Subtract a charge from mm->locked_vm, then drop mmap_lock, held for writing. */
static void charge_take_back(struct mm_struct *mm, struct task_struct *task,
			     unsigned long npages)
{
	lockdep_assert_held_write(&mm->mmap_lock);
	__account_locked_vm(mm, npages, false, task, true);
	up_write(&mm->mmap_lock);
}

static struct debt *debt_alloc(struct mm_struct *mm, struct task_struct *task,
			       unsigned long npages)
{
	struct debt *d = kmalloc(sizeof(*d), GFP_KERNEL);

	if (!d)
		return NULL;
	mmgrab(mm);
	d->mm = mm;
	d->task = get_task_struct(task);
	d->npages = npages;
	return d;
}

static void debt_free(struct debt *d)
{
	put_task_struct(d->task);
	mmdrop(d->mm);
	kfree(d);
}

/*
 * Note a debt, which debts_work will pay. If the latest debt in the list is of the same
 * mm, add the pages to that one, since many mappings of one mm are often unmapped
 * together. Returns false if memory for a debt cannot be allocated.
 */
static bool debt_add(struct mm_struct *mm, struct task_struct *task,
		     unsigned long npages)
{
	struct debt *last, *fresh = debt_alloc(mm, task, npages);

	if (!fresh)
		return false;
	mutex_lock(&debts_lock);
	last = list_first_entry_or_null(&debts, struct debt, node);
	if (last && last->mm == mm) {
		last->npages += npages;
	} else {
		list_add(&fresh->node, &debts);
		fresh = NULL;
	}
	mutex_unlock(&debts_lock);
	if (fresh)
		debt_free(fresh);
	schedule_delayed_work(&debts_work, 0);
	return true;
}

/*
 * Take back the charge of a debt, and free the debt. Returns false, with nothing done,
 * if mmap_lock is taken. If the mm has no users any more, nothing reads its locked_vm,
 * so the debt is freed without changing locked_vm.
 */
static bool debt_pay(struct debt *d)
{
	lockdep_assert_held(&debts_lock);
	if (!owner_is_ending(d->mm)) {
		if (!sum_trylock(d->mm))
			return false;
		charge_take_back(d->mm, d->task, d->npages);
	}
	list_del(&d->node);
	debt_free(d);
	return true;
}

static void debts_pay(struct work_struct *work)
{
	struct debt *d, *tmp;
	bool left = false;

	mutex_lock(&debts_lock);
	list_for_each_entry_safe(d, tmp, &debts, node)
		if (!debt_pay(d))
			left = true;
	mutex_unlock(&debts_lock);
	if (left)
		schedule_delayed_work(&debts_work, DEBT_RETRY);
}

/*
 * Take mmap_lock for writing, to take a charge back. A user can keep mmap_lock taken
 * for any length of time. So a kernel thread or an exiting thread only tries it once,
 * and any other thread waits at most until it is killed. Returns false if the lock was
 * not taken.
 */
static bool lock_to_take_back(struct mm_struct *mm)
{
	if (sum_trylock(mm))
		return true;
	if (current->flags & (PF_KTHREAD | PF_EXITING))
		return false;
	return !down_write_killable(&mm->mmap_lock);
}

static void uncharge_mm(struct mm_struct *mm, struct task_struct *task,
			unsigned long npages)
{
	if (!npages || owner_is_ending(mm))
		return;
	if (!lock_to_take_back(mm)) {
		if (debt_add(mm, task, npages))
			return;
		/* no memory for a debt: wait for mmap_lock, so no charge is lost */
		down_write(&mm->mmap_lock);
	}
	charge_take_back(mm, task, npages);
}

/**
 * charge() - Charge pages to the owner of a mapping
 * @c: the container, its lock held
 * @m: the mapping
 * @npages: how many pages
 *
 * Return: 0; -ENOMEM, with a line in the log, if the charge would exceed
 * RLIMIT_MEMLOCK; -EINTR if the caller is being killed.
 */
int charge(struct container *c, struct mapping *m, unsigned long npages)
{
	int ret;

	lockdep_assert_held(&c->lock);
	ret = charge_mm(c, m->mm, m->task, m->lock_cap, npages);
	if (!ret)
		m->charged += npages;
	return ret;
}

/**
 * uncharge() - Take back a charge that charge() made
 * @c: the container, its lock held
 * @m: the mapping
 * @npages: how many pages; at most @m->charged pages are taken back
 */
void uncharge(struct container *c, struct mapping *m, unsigned long npages)
{
	lockdep_assert_held(&c->lock);
	npages = min(npages, m->charged);
	uncharge_mm(m->mm, m->task, npages);
	m->charged -= npages;
}

/**
 * charge_move_to_current() - Move a mapping and its charge to the calling process
 * @c: the container, its lock held
 * @m: the mapping
 *
 * Return: 0, with @m->mm and @m->task set to the caller's; or with nothing changed,
 * -ENOMEM and a line in the log if the charge would exceed the caller's RLIMIT_MEMLOCK,
 * or -EINTR if the caller is being killed.
 */
int charge_move_to_current(struct container *c, struct mapping *m)
{
	struct task_struct *task = current->group_leader;
	struct mm_struct *mm = current->mm;
	bool lock_cap;
	int ret;

	lockdep_assert_held(&c->lock);
	if (mm == m->mm)
		return 0;

	lock_cap = capable(CAP_IPC_LOCK);
	ret = charge_mm(c, mm, task, lock_cap, m->charged);
	if (ret)
		return ret;
	uncharge_mm(m->mm, m->task, m->charged);

	mmgrab(mm);
	mmdrop(m->mm);
	m->mm = mm;
	get_task_struct(task);
	put_task_struct(m->task);
	m->task = task;
	m->lock_cap = lock_cap;
	return 0;
}

/**
 * charge_exit() - On module unload: take back the charges of all debts
 *
 * No container is left, so no new debts come. Waits for the mmap_lock of each mm that
 * has a debt.
 */
void charge_exit(void)
{
	struct debt *d, *tmp;

	cancel_delayed_work_sync(&debts_work);
	list_for_each_entry_safe(d, tmp, &debts, node) {
		down_write(&d->mm->mmap_lock);
		charge_take_back(d->mm, d->task, d->npages);
		list_del(&d->node);
		debt_free(d);
	}
}
