// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups: which are attached, in which domain, and what happens to everything that the
 * container maps when the first one comes or the last one goes. The group of an emulated
 * device has no IOMMU, so it is in no domain but in container->emulated.
 *
 * container->lock guards the groups; the caller of every function here holds it. The list
 * of domains is changed with container->mirror_lock held too, since revocation goes
 * through it; a new domain gets the live mirrors in the critical section in which it
 * joins the list (mirror_join()), so no revocation can miss it.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/err.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/lockdep.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/wait.h>

#include "compat/compat.h"
#include "container.h"
#include "dirty.h"
#include "domain.h"
#include "group.h"
#include "iova.h"
#include "mapping.h"
#include "mirror.h"
#include "params.h"
#include "span.h"

#ifdef TETHER_SEPARATE_DOMAINS
#define SHARE_DOMAINS	false
#else
#define SHARE_DOMAINS	true
#endif

/* For tests alone: as if this were the smallest page of every IOMMU. */
#ifdef TETHER_LARGE_PAGES
#define SMALLEST_PAGE	SZ_64K
#else
#define SMALLEST_PAGE	1UL
#endif

static struct group *group_find(struct container *c, struct iommu_group *iommu,
				struct domain **in)
{
	struct domain *d;
	struct group *g;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node) {
		list_for_each_entry(g, &d->groups, node) {
			if (g->iommu == iommu) {
				*in = d;
				return g;
			}
		}
	}
	return NULL;
}

static struct group *group_find_emulated(struct container *c,
					 struct iommu_group *iommu)
{
	struct group *g;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(g, &c->emulated, node)
		if (g->iommu == iommu)
			return g;
	return NULL;
}

static bool group_is_attached(struct container *c, struct iommu_group *iommu)
{
	struct domain *d;

	return group_find(c, iommu, &d) || group_find_emulated(c, iommu);
}

static struct group *group_alloc(struct iommu_group *iommu)
{
	struct group *g = kzalloc(sizeof(*g), GFP_KERNEL_ACCOUNT);

	if (g)
		g->iommu = iommu;
	return g;
}

static void group_free(struct group *g)
{
	list_del(&g->node);
	kfree(g);
}

/*
 * A group joins or leaves a domain in the container's list: not while mirrors
 * are being revoked from it. A driver's flush may follow what belongs to the
 * last device on an IOMMU, and detaching frees that.
 *
 * No lock may be held for it that a notifier takes, since attaching allocates
 * and waits for group->mutex. So revocation waits for a flag, and nothing that
 * clears it ever waits for a notifier: all it needs is the IOMMU core and
 * driver, for a group that is ours alone, and memory, whose reclaim has no
 * business in the VMAs of devices.
 */
static void set_regrouping(struct container *c, bool regrouping)
{
	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	WRITE_ONCE(c->regrouping, regrouping);
	mutex_unlock(&c->mirror_lock);
	if (!regrouping)
		wake_up_all(&c->regrouped);
}

static int group_join(struct container *c, struct domain *d,
		      struct iommu_group *group)
{
	int ret;

	set_regrouping(c, true);
	ret = iommu_attach_group(d->iommu, group);
	set_regrouping(c, false);
	return ret;
}

static void group_leave(struct container *c, struct domain *d,
			struct iommu_group *group)
{
	set_regrouping(c, true);
	iommu_detach_group(d->iommu, group);
	set_regrouping(c, false);
}

static int domain_alloc_for_device(struct device *dev, void *data)
{
	struct iommu_domain **iommu = data;

	*iommu = iommu_paging_domain_alloc(dev);
	return 1; /* one device speaks for its group */
}

/* A domain with the group attached, in no list yet. */
static struct domain *domain_create(struct iommu_group *group)
{
	struct domain *d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	int ret;

	if (!d)
		return ERR_PTR(-ENOMEM);

	INIT_LIST_HEAD(&d->node);
	INIT_LIST_HEAD(&d->groups);
	iommu_iotlb_gather_init(&d->unflushed[SEGMENT_PINNED].gather);
	iommu_iotlb_gather_init(&d->unflushed[SEGMENT_MIRROR].gather);
	d->iommu = ERR_PTR(-ENODEV);
	iommu_group_for_each_dev(group, &d->iommu, domain_alloc_for_device);
	if (IS_ERR(d->iommu)) {
		ret = PTR_ERR(d->iommu);
		goto err_free;
	}

	ret = iommu_attach_group(d->iommu, group);
	if (ret)
		goto err_domain;

	if (d->iommu->ops->enforce_cache_coherency)
		d->coherent = d->iommu->ops->enforce_cache_coherency(d->iommu);
	return d;

err_domain:
	iommu_domain_free(d->iommu);
err_free:
	kfree(d);
	return ERR_PTR(ret);
}

static void domain_destroy(struct domain *d)
{
	iommu_domain_free(d->iommu);
	kfree(d);
}

/*
 * Move a group from its own domain to one that the container has and whose
 * IOMMU is alike, if any accepts it.
 *
 * Return: the domain it is attached to now, @own if none accepted it, or an
 * ERR_PTR, with the group attached to nothing, if @own did not take it back.
 */
static struct domain *domain_share(struct container *c, struct domain *own,
				   struct iommu_group *group)
{
	struct domain *d;
	int ret;

	lockdep_assert_held(&c->lock);
	list_for_each_entry(d, &c->domains, node) {
		if (!SHARE_DOMAINS || d->iommu->ops != own->iommu->ops ||
		    d->coherent != own->coherent)
			continue;

		iommu_detach_group(own->iommu, group);
		if (!group_join(c, d, group))
			return d;
		ret = iommu_attach_group(own->iommu, group);
		if (ret)
			return ERR_PTR(ret);
	}
	return own;
}

static unsigned long domain_pgsizes(const struct domain *d)
{
	unsigned long sizes = d->iommu->pgsize_bitmap;

	if (sizes & (SMALLEST_PAGE - 1))
		sizes = (sizes & ~(SMALLEST_PAGE - 1)) | SMALLEST_PAGE;
	return sizes;
}

static void container_update_pgsizes(struct container *c)
{
	const struct domain *d;

	lockdep_assert_held(&c->lock);
	c->pgsizes = ULONG_MAX;
	list_for_each_entry(d, &c->domains, node)
		c->pgsizes &= domain_pgsizes(d);

	/* memory is pinned by PAGE_SIZE, which smaller IOMMU pages can make up */
	if (c->pgsizes & ~PAGE_MASK)
		c->pgsizes = (c->pgsizes & PAGE_MASK) | PAGE_SIZE;
}

static void domain_unlist(struct container *c, struct domain *d)
{
	lockdep_assert_held(&c->lock);
	mutex_lock(&c->mirror_lock);
	domain_flush(d, SEGMENT_MIRROR);
	list_del(&d->node);
	mutex_unlock(&c->mirror_lock);
}

/* Everything the container maps, into a domain that is not in its list. */
static int domain_join(struct container *c, struct domain *d,
		       struct iommu_group *group)
{
	int ret;

	lockdep_assert_held(&c->lock);
	ret = iova_reserve_msi(d->iommu, group);
	if (ret)
		return ret;

	if (!list_empty(&c->domains)) {
		ret = mapping_join(c, d);
		if (ret)
			return ret;
	}

	/* puts it in the list */
	ret = mirror_join(c, d);
	if (ret)
		return ret;

	if (list_is_singular(&c->domains)) {
		ret = mapping_populate_all(c);
		if (ret) {
			domain_unlist(c, d);
			return ret;
		}
	}
	container_update_pgsizes(c);
	return 0;
}

static bool group_interrupts_isolated(struct iommu_group *group)
{
	if (READ_ONCE(allow_unsafe_interrupts) ||
	    iommu_group_has_isolated_msi(group))
		return true;

	pr_warn_ratelimited("interrupts of IOMMU group %d are not isolated: refused; allow_unsafe_interrupts=1 would allow it\n",
			    iommu_group_id(group));
	return false;
}

/* Let a group's devices reach what the container maps. */
static int group_attach_real(struct container *c, struct iommu_group *iommu)
{
	struct domain *own, *d;
	LIST_HEAD(usable);
	struct group *g;
	int ret;

	lockdep_assert_held(&c->lock);
	g = group_alloc(iommu);
	if (!g)
		return -ENOMEM;

	own = domain_create(iommu);
	if (IS_ERR(own)) {
		ret = PTR_ERR(own);
		goto err_group;
	}

	ret = iova_usable(c, own->iommu, iommu, &usable);
	if (ret)
		goto err_detach;

	ret = -EINVAL;
	if (!mapping_all_within(c, &usable))
		goto err_detach;

	ret = -EPERM;
	if (!group_interrupts_isolated(iommu))
		goto err_detach;

	d = domain_share(c, own, iommu);
	if (IS_ERR(d)) {
		ret = PTR_ERR(d);
		goto err_domain;
	}
	if (d != own) {
		domain_destroy(own);
	} else {
		ret = domain_join(c, own, iommu);
		if (ret)
			goto err_detach;
	}

	list_add(&g->node, &d->groups);
	spans_free(&c->usable);
	list_splice(&usable, &c->usable);
	return 0;

err_detach:
	iommu_detach_group(own->iommu, iommu);
err_domain:
	spans_free(&usable);
	domain_destroy(own);
err_group:
	kfree(g);
	return ret;
}

/*
 * Owning a group is what allows to map: with the last one of all every mapping goes.
 * Mappings stay for emulated devices if only the last domain goes, but its memory need
 * not be in an IOMMU any more.
 */
static void group_drop_mappings(struct container *c, bool domain_goes)
{
	if (list_empty(&c->emulated))
		mapping_unmap_all(c);
	else if (domain_goes)
		mapping_depopulate_all(c);
}

/*
 * The group's devices reach nothing from the first line on; only then may
 * the domain leave the list by which revocation finds it.
 */
static void group_detach_real(struct container *c, struct domain *d,
			      struct group *g)
{
	lockdep_assert_held(&c->lock);
	group_leave(c, d, g->iommu);
	group_free(g);
	dirty_mark_all(c);
	if (!list_empty(&d->groups))
		return;

	if (list_is_singular(&c->domains))
		group_drop_mappings(c, true);

	domain_unlist(c, d);
	domain_destroy(d);
	container_update_pgsizes(c);
}

/* What was reserved for a group that has gone, if there is memory to write that down. */
static void container_update_usable(struct container *c)
{
	LIST_HEAD(usable);

	if (iova_usable(c, NULL, NULL, &usable))
		return;
	spans_free(&c->usable);
	list_splice(&usable, &c->usable);
}

static int group_attach_emulated(struct container *c, struct iommu_group *iommu)
{
	struct group *g = group_alloc(iommu);

	if (!g)
		return -ENOMEM;
	list_add(&g->node, &c->emulated);
	return 0;
}

static void group_detach_emulated(struct container *c, struct group *g)
{
	group_free(g);
	if (list_empty(&c->domains))
		group_drop_mappings(c, false);
}

/**
 * group_attach() - Let a group's devices reach what the container maps
 * @c: the container, its lock held
 * @iommu: the group; the caller owns its DMA
 * @emulated: the vfio core made it up for an emulated device, which has no IOMMU
 *
 * Return: 0, or a negative errno with the group attached to nothing: -EBUSY while user
 * addresses are being updated, since attaching may have to pin; -EINVAL if it is attached
 * already, or if a mapping lies where its IOMMU cannot map or something is reserved;
 * -EPERM if its interrupts are not isolated; -ENOMEM; or what the IOMMU driver or
 * mapping_populate_all() said.
 */
int group_attach(struct container *c, struct iommu_group *iommu, bool emulated)
{
	lockdep_assert_held(&c->lock);
	if (c->nr_stale)
		return -EBUSY;
	if (group_is_attached(c, iommu))
		return -EINVAL;
	return emulated ? group_attach_emulated(c, iommu) :
			  group_attach_real(c, iommu);
}

/**
 * group_detach() - Undo group_attach()
 * @c: the container, its lock held
 * @iommu: the group; nothing happens if it is not attached
 *
 * With the last group all mappings go. Otherwise what was reserved for this
 * one alone becomes usable, if there is memory to write that down.
 */
void group_detach(struct container *c, struct iommu_group *iommu)
{
	struct domain *d;
	struct group *g;

	lockdep_assert_held(&c->lock);
	g = group_find_emulated(c, iommu);
	if (g) {
		group_detach_emulated(c, g);
		return;
	}
	g = group_find(c, iommu, &d);
	if (g) {
		group_detach_real(c, d, g);
		container_update_usable(c);
	}
}

/**
 * group_detach_all() - Unmap everything and detach every group, at a container's end
 * @c: the container, its lock held
 */
void group_detach_all(struct container *c)
{
	struct domain *d, *next_d;
	struct group *g, *next_g;

	lockdep_assert_held(&c->lock);
	list_for_each_entry_safe(g, next_g, &c->emulated, node)
		group_free(g);
	mapping_unmap_all(c);
	list_for_each_entry_safe(d, next_d, &c->domains, node)
		list_for_each_entry_safe(g, next_g, &d->groups, node)
			group_detach_real(c, d, g);
}

/**
 * group_domain() - The kernel's domain that a group is attached to
 * @c: the container, its lock held
 * @iommu: the group
 *
 * Return: the domain, or ERR_PTR(-ENODEV).
 */
struct iommu_domain *group_domain(struct container *c,
				  struct iommu_group *iommu)
{
	struct domain *d;

	lockdep_assert_held(&c->lock);
	return group_find(c, iommu, &d) ? d->iommu : ERR_PTR(-ENODEV);
}
