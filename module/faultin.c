// SPDX-License-Identifier: GPL-2.0-only
/*
 * RAM that nobody has touched yet is allocated and zeroed while it is pinned,
 * and for a VM's start that is nearly all of the time. Each window of such
 * memory is faulted in by all CPUs that the caller may use, just before the
 * caller pins it.
 *
 * That is all it is: nothing is pinned, charged or reported here, and what
 * fails is left for pinning to find in its own order. So a window is what a
 * mapping that fails, at RLIMIT_MEMLOCK for one, has at most touched in vain.
 *
 * The caller has its mm, and waits for its helpers before it goes on, so
 * that a struct window can be on its stack. Helpers take the steps of the
 * window one by one, each under mmap_lock, look at the VMA again for each, and
 * stop at the next when the caller is being killed. Memory whose faults
 * somebody else serves, userfaultfd or a filesystem, is not for them:
 * a helper cannot be killed while it waits.
 *
 * The memory shall be where the caller would have got it, and charged as if
 * it had: helpers are on CPUs of the caller's node, allocate for its memory
 * cgroup, and do not help one that has a memory policy or a cpuset's nodes, nor
 * with hugetlb one that a cgroup charges for it.
 *
 * The time, too: helpers are workers of the kernel's, in the root CPU group and
 * of the usual class, and nobody can account to another task what they use. So
 * they help only a caller that nothing limits which does not limit them.
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

#define STEP		(2UL << 20)	/* of pages not larger than that */
#define WINDOW_STEPS	32
#define HELPERS_MAX	15

/**
 * struct window - What is being faulted in
 * @caller: who waits for it; @caller->mm is what it is part of
 * @first: user address of its first byte
 * @last: of its last
 * @step: bytes that are one step: a power of two
 * @hugetlb: is it of hugetlb?
 * @taken: steps that somebody has taken
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

/* As pinning for DMA would, from memory that may be held for long. */
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

/* The caller is a helper, too; those that come too late are not waited for. */
static void window_share_out(struct window *w)
{
	unsigned long others = (w->last - round_down(w->first, w->step)) / w->step;
	const struct cpumask *near = cpumask_of_node(numa_node_id());
	int cpu, here = raw_smp_processor_id();
	struct helper *helpers;
	unsigned int i, nr = 0, most = min_t(unsigned long, others, HELPERS_MAX);

	helpers = kcalloc(most, sizeof(*helpers), GFP_KERNEL | __GFP_NOWARN);
	if (!helpers)
		return; /* slower, not less */
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

/* In any but the root, of whichever hierarchy has the controller. */
static bool __maybe_unused is_in_cgroup(int controller)
{
	bool child;

	rcu_read_lock();
	child = task_css(current, controller)->parent;
	rcu_read_unlock();
	return child;
}

/* Is its time limited, or shared out, by what a helper's is not? */
static bool time_is_limited(void)
{
#ifdef CONFIG_CGROUP_SCHED
	if (is_in_cgroup(cpu_cgrp_id))
		return true;
#endif
	return current->policy != SCHED_NORMAL || task_nice(current) > 0 ||
	       rlimit(RLIMIT_CPU) != RLIM_INFINITY;
}

/* A helper has no policy, and may allocate on every node. */
static bool may_be_helped(void)
{
	return !time_is_limited() && !has_mempolicy() &&
	       nodes_subset(node_states[N_MEMORY], cpuset_current_mems_allowed);
}

/* Has nobody touched it? Where there is a page, pinning will be as fast. */
static bool is_untouched(unsigned long vaddr)
{
	struct page *page;

	if (get_user_pages_fast_only(vaddr, 1, FOLL_WRITE, &page) != 1)
		return true;
	put_page(page);
	return false;
}

/* The first page may be there with the huge page that memory before it is in. */
static bool window_begins_untouched(const struct window *w)
{
	return is_untouched(w->first) ||
	       is_untouched(round_up(w->first + 1, w->step));
}

/* It ends with a step, so that no huge page of it reaches into the next. */
static void window_set_last(struct window *w, unsigned long size)
{
	unsigned long most = WINDOW_STEPS * w->step - (w->first & (w->step - 1));

	w->last = w->first + min(size, most) - 1;
}

/*
 * Pages of hugetlb are charged to the cgroup of whoever faults them in, and no
 * other can be made to pay. Helpers are in the root, which nothing limits.
 */
static bool hugetlb_is_charged(void)
{
	bool charged = compat_hugetlb_is_charged_as_memory();

#ifdef CONFIG_CGROUP_HUGETLB
	charged = charged || is_in_cgroup(hugetlb_cgrp_id);
#endif
	return charged;
}

/* Only the part of it that is in one VMA, if that is one for helpers. */
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
 * faultin_ahead() - Have RAM faulted in that is pinned for writing next
 * @vaddr: user address of the caller's own (page aligned)
 * @size: how much is going to be pinned (bytes), not 0
 *
 * Takes mmap_lock; sleeps.
 *
 * Return: how much need not be asked for again (bytes). Pin no more than that
 * before asking: it would touch the next huge page, and then that looks done.
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
