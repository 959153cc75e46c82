// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault RAM in just ahead of pinning, on several CPUs. If no thread has touched a page
 * of RAM yet, the kernel allocates and zeroes it when the page is pinned. That takes
 * nearly all of the time in which a VM starts. So the caller faults such memory in
 * window by window, just before it pins the window, and shares the work with helpers:
 * work items on up to HELPERS_MAX other CPUs of the caller's NUMA node on which the
 * caller may run.
 *
 * This file only faults pages in. It pins and charges no page and reports no error:
 * pinning finds the errors afterwards, in its own order. So if a mapping fails, for
 * example at RLIMIT_MEMLOCK, at most one window was faulted in needlessly.
 *
 * This file has no lock of its own. The caller waits for its helpers before it returns,
 * so its mm stays valid and struct window can be on its stack. The caller and the
 * helpers take the window's steps one by one. For each step a helper takes mmap_lock
 * and looks the VMA up again; it takes no more steps if the caller is being killed.
 * Helpers do not touch memory whose faults a userfaultfd or a filesystem serves, since
 * such a fault may wait and a helper cannot be killed while it waits.
 *
 * The memory has to come from the NUMA nodes from which the caller would have got it,
 * and be charged as if the caller had touched it. So helpers run on CPUs of the
 * caller's node and charge the caller's memory cgroup. They do not help a caller that
 * has a memory policy, or whose cpuset does not allow all memory nodes; nor do they
 * fault in hugetlb memory if a cgroup is charged for it.
 *
 * The CPU time of helpers cannot be charged to the caller: they are kernel workers, in
 * the root CPU cgroup and of class SCHED_NORMAL. So they help a caller only if no limit
 * or weight applies to its CPU time that does not apply to theirs.
 */
#include <linux/atomic.h>
#include <linux/cgroup.h>
#include <linux/cpumask.h>
#include <linux/cpuset.h>
#include <linux/fs.h>
#include <linux/hugetlb.h>
#include <linux/magic.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/rcupdate.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/userfaultfd_k.h>
#include <linux/workqueue.h>

#include "compat/compat.h"
#include "faultin.h"

#define STEP		(2UL << 20)	/* bytes; a larger hugetlb page is one step */
#define WINDOW_STEPS	32
#define HELPERS_MAX	15

/**
 * struct window - A range of user addresses that is being faulted in
 * @caller: the thread that waits for the window; the addresses are those of @caller->mm
 * @first: user address of the window's first byte
 * @last: user address of its last byte
 * @step: the length of a step (bytes), a power of two
 * @hugetlb: the memory is hugetlb memory
 * @taken: how many steps the caller and its helpers have begun; each step is taken once
 */
struct window {
	struct task_struct *caller;
	unsigned long first;
	unsigned long last;
	unsigned long step;
	bool hugetlb;
	atomic_t taken;
};

struct helper {
	struct work_struct work;
	struct window *window;
};

static struct workqueue_struct *faultin_wq;

static bool serves_itself(struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) || is_vm_hugetlb_page(vma) ||
	       (vma->vm_file &&
		file_inode(vma->vm_file)->i_sb->s_magic == TMPFS_MAGIC);
}

static bool is_for_helpers(struct vm_area_struct *vma)
{
	return (vma->vm_flags & VM_WRITE) &&
	       !(vma->vm_flags & (VM_IO | VM_PFNMAP)) &&
	       !userfaultfd_armed(vma) &&
	       serves_itself(vma);
}

/*
 * Fault in the pages of one step. memalloc_pin_save() makes the kernel allocate them
 * where pages may stay pinned for long, which excludes movable memory; otherwise
 * pinning would have to move them.
 */
static void window_fault_in(const struct window *w, unsigned long first,
			    unsigned long last)
{
	struct mm_struct *mm = w->caller->mm;
	unsigned int flags = memalloc_pin_save();
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, first);
	if (vma && is_for_helpers(vma) && is_vm_hugetlb_page(vma) == w->hugetlb)
		get_user_pages_remote(mm, first,
				      (min(last, vma->vm_end - 1) - first) / PAGE_SIZE + 1,
				      FOLL_WRITE, NULL, NULL);
	mmap_read_unlock(mm);
	memalloc_pin_restore(flags);
}

static void window_take_steps(struct window *w)
{
	unsigned long first, start = round_down(w->first, w->step);

	while (!fatal_signal_pending(w->caller)) {
		first = start + (atomic_inc_return(&w->taken) - 1) * w->step;
		if (first > w->last)
			break;
		window_fault_in(w, max(first, w->first),
				min(first + w->step - 1, w->last));
		cond_resched();
	}
}

static void helper_work(struct work_struct *work)
{
	struct window *w = container_of(work, struct helper, work)->window;
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(w->caller->mm);
	struct mem_cgroup *old = set_active_memcg(memcg);

	window_take_steps(w);
	set_active_memcg(old);
	mem_cgroup_put(memcg);
}

/*
 * Fault the window in on several CPUs, of which the caller's is one. When all steps are
 * taken, the caller cancels the helpers that have not begun, and waits for the others.
 */
static void window_share_out(struct window *w)
{
	unsigned long others = (w->last - round_down(w->first, w->step)) / w->step;
	const struct cpumask *near = cpumask_of_node(numa_node_id());
	int cpu, here = raw_smp_processor_id();
	struct helper *helpers;
	unsigned int i, nr = 0, most = min_t(unsigned long, others, HELPERS_MAX);

	helpers = kcalloc(most, sizeof(*helpers), GFP_KERNEL | __GFP_NOWARN);
	if (!helpers)
		return; /* the caller then faults the window in alone, while pinning */
	for_each_cpu_and(cpu, near, current->cpus_ptr) {
		if (nr == most)
			break;
		if (cpu == here)
			continue;
		helpers[nr].window = w;
		INIT_WORK(&helpers[nr].work, helper_work);
		queue_work_on(cpu, faultin_wq, &helpers[nr].work);
		nr++;
	}
	if (nr)
		window_take_steps(w);
	for (i = 0; i < nr; i++)
		cancel_work_sync(&helpers[i].work);
	kfree(helpers);
}

static bool has_mempolicy(void)
{
#ifdef CONFIG_NUMA
	return current->mempolicy;
#else
	return false;
#endif
}

/* Is the caller in a cgroup other than the root of this controller's hierarchy? */
static bool __maybe_unused is_in_cgroup(int controller)
{
	bool child;

	rcu_read_lock();
	child = task_css(current, controller)->parent;
	rcu_read_unlock();
	return child;
}

/* Is the caller's CPU time limited or weighted by a setting that helpers do not have? */
static bool time_is_limited(void)
{
#ifdef CONFIG_CGROUP_SCHED
	if (is_in_cgroup(cpu_cgrp_id))
		return true;
#endif
	return current->policy != SCHED_NORMAL || task_nice(current) > 0 ||
	       rlimit(RLIMIT_CPU) != RLIM_INFINITY;
}

/*
 * May helpers help the caller? A helper's CPU time is not limited, and a helper has no
 * memory policy and may allocate on every node: the same must be true of the caller.
 */
static bool may_be_helped(void)
{
	return !time_is_limited() && !has_mempolicy() &&
	       nodes_subset(node_states[N_MEMORY], cpuset_current_mems_allowed);
}

/*
 * Is there no writable page at the address yet? Where there is one, pinning is fast
 * without helpers.
 */
static bool is_untouched(unsigned long vaddr)
{
	struct page *page;

	if (get_user_pages_fast_only(vaddr, 1, FOLL_WRITE, &page) != 1)
		return true;
	put_page(page);
	return false;
}

/*
 * Is the beginning of the window untouched? The window's first page may be present only
 * because a huge page that begins before the window reaches into it, so the first page
 * of the next step is checked, too.
 */
static bool window_begins_untouched(const struct window *w)
{
	return is_untouched(w->first) ||
	       is_untouched(round_up(w->first + 1, w->step));
}

/*
 * Set the window's end: after WINDOW_STEPS steps, or after @size bytes if that is less.
 * If it is not cut short by @size, it ends where a step ends, at a multiple of
 * @w->step, so that no huge page reaches from one window into the next.
 */
static void window_set_last(struct window *w, unsigned long size)
{
	unsigned long most = WINDOW_STEPS * w->step - (w->first & (w->step - 1));

	w->last = w->first + min(size, most) - 1;
}

/*
 * Would hugetlb pages be charged to a cgroup of the caller's? The kernel charges them
 * to the cgroup of the thread that faults them in, and offers no way to charge another
 * one. Helpers are in the root cgroup, so the limit of the caller's cgroup would not
 * apply to pages that they fault in.
 */
static bool hugetlb_is_charged(void)
{
	bool charged = compat_hugetlb_is_charged_as_memory();

#ifdef CONFIG_CGROUP_HUGETLB
	charged = charged || is_in_cgroup(hugetlb_cgrp_id);
#endif
	return charged;
}

/*
 * Look at the VMA at the beginning of the window. If helpers may fault its memory in,
 * set the step, let the window end where the VMA ends at the latest, and return true.
 */
static bool window_probe(struct window *w, unsigned long size)
{
	struct mm_struct *mm = w->caller->mm;
	struct vm_area_struct *vma;
	bool found;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, w->first);
	w->hugetlb = vma && is_vm_hugetlb_page(vma);
	found = vma && is_for_helpers(vma) &&
		!(w->hugetlb && hugetlb_is_charged());
	if (found) {
		if (w->hugetlb)
			w->step = max(STEP, huge_page_size(hstate_vma(vma)));
		window_set_last(w, size);
		w->last = min(w->last, vma->vm_end - 1);
	}
	mmap_read_unlock(mm);
	return found;
}

/**
 * faultin_ahead() - Fault in RAM that the caller is about to pin for writing
 * @vaddr: first user address in the caller's mm (page aligned)
 * @size: how much is going to be pinned (bytes), not 0
 *
 * Takes mmap_lock; may sleep. It is not certain that any page is present on return.
 *
 * Return: for how many bytes from @vaddr on this has done what it can. The caller pins
 * no more than these before it calls again. If it pinned more, that would fault in the
 * next huge page, and the next call would then find the memory there touched and leave
 * it to the caller alone.
 */
unsigned long faultin_ahead(unsigned long vaddr, unsigned long size)
{
	struct window w = {
		.caller = current,
		.first = vaddr,
		.step = STEP,
	};

	if (size <= STEP || !may_be_helped())
		return size;
	window_set_last(&w, size);
	if (window_begins_untouched(&w) && window_probe(&w, size) &&
	    w.last - w.first >= w.step)
		window_share_out(&w);
	return w.last - w.first + 1;
}

/** faultin_init() - On module load. Return: 0 or -ENOMEM. */
int faultin_init(void)
{
	faultin_wq = alloc_workqueue("vfio_type1_faultin",
				     WQ_CPU_INTENSIVE | WQ_PERCPU, 0);
	return faultin_wq ? 0 : -ENOMEM;
}

/** faultin_exit() - On module unload, when no container is left */
void faultin_exit(void)
{
	destroy_workqueue(faultin_wq);
}
