// SPDX-License-Identifier: GPL-2.0-only
/*
 * The charge of a mapping against its owner's RLIMIT_MEMLOCK: one for each
 * page that is pinned, however often. Reserved pages are charged to nobody,
 * as ever.
 *
 * container->lock guards mapping->charged, mmap_lock the sum of an mm.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/capability.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "charge.h"
#include "mapping.h"

static int charge_mm(struct mm_struct *mm, struct task_struct *task,
		     bool lock_cap, unsigned long npages)
{
	int ret;

	if (!npages)
		return 0;
	if (mmap_write_lock_killable(mm))
		return -EINTR;
	ret = __account_locked_vm(mm, npages, true, task, lock_cap);
	mmap_write_unlock(mm);
	if (ret)
		pr_warn_ratelimited("%s[%d]: RLIMIT_MEMLOCK (%lu bytes) exceeded\n",
				    task->comm, task_pid_nr(task),
				    task_rlimit(task, RLIMIT_MEMLOCK));
	return ret;
}

/* The struct outlives its memory, and nobody asks a dead one for its sum. */
static void uncharge_mm(struct mm_struct *mm, struct task_struct *task,
			unsigned long npages)
{
	if (!npages)
		return;
	mmap_write_lock(mm);
	__account_locked_vm(mm, npages, false, task, true);
	mmap_write_unlock(mm);
}

/**
 * charge() - Charge pages to the owner of a mapping
 * @m: the mapping, its container's lock held
 * @npages: how many pages
 *
 * Return: 0; -ENOMEM, with a line in the log, beyond RLIMIT_MEMLOCK; -EINTR.
 */
int charge(struct mapping *m, unsigned long npages)
{
	int ret = charge_mm(m->mm, m->task, m->lock_cap, npages);

	if (!ret)
		m->charged += npages;
	return ret;
}

/**
 * uncharge() - Take a charge back
 * @m: the mapping, its container's lock held
 * @npages: how many pages; no more are than had been charged to it
 */
void uncharge(struct mapping *m, unsigned long npages)
{
	npages = min(npages, m->charged);
	uncharge_mm(m->mm, m->task, npages);
	m->charged -= npages;
}

/**
 * charge_current_instead() - Make the calling process the one that pays
 * @m: the mapping, its container's lock held
 *
 * Return: 0, with the caller's mm and task the mapping's; else an errno as
 * charge() has it, and nothing changed.
 */
int charge_current_instead(struct mapping *m)
{
	struct task_struct *task = current->group_leader;
	struct mm_struct *mm = current->mm;
	bool lock_cap;
	int ret;

	if (mm == m->mm)
		return 0;

	lock_cap = capable(CAP_IPC_LOCK);
	ret = charge_mm(mm, task, lock_cap, m->charged);
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
