// SPDX-License-Identifier: GPL-2.0-only
/*
 * Groups: which groups are attached, and in which domain; and what happens to a
 * container's mappings when its first group is attached or its last one is detached.
 * The group of an emulated device has no IOMMU, so it is in container->emulated and in
 * no domain.
 *
 * container->lock guards the groups; the caller of every function here holds it. The
 * list of domains is changed with container->mirror_lock held, too, since revocation
 * walks the list under that lock alone. mirror_join() maps the LIVE mirrors in a new
 * domain and adds the domain to the list in one critical section of mirror_lock, so no
 * revocation comes in between and leaves entries in the new domain.
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

/* A build for tests defines this, and acts as if every IOMMU's smallest page were 64K. */
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
 * Make revocation wait (@regrouping true) while a group joins or leaves a domain that
 * is in the container's list, or let revocation go on (false). When the last device on
 * an IOMMU leaves a domain, an IOMMU driver frees structures that a flush of that
 * domain may be using.
 *
 * A lock that notifiers take cannot keep revocation away: attaching allocates memory
 * and waits for group->mutex, and reclaim may run a notifier, which would wait for that
 * lock. So revocation waits for a flag instead. It does not wait for ever, since the
 * thread that has set the flag waits for no notifier before it clears the flag: it
 * needs only the IOMMU core and driver, for a group that no other thread uses, and
 * memory; and reclaim of memory revokes no mirror, since it does not touch the VMAs of
 * devices.
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
	return 1; /* stop: a domain for one device suits its whole group */
}

/* Allocate a domain and attach the group to it. The domain is in no list yet. */
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
 * Move a group from its own domain @own to a domain in the container's list that has the
 * same IOMMU driver and the same cache coherency, if there is one that accepts the group.
 *
 * Return: the domain that the group is attached to now, which is @own if no other domain
 * accepted it; or an ERR_PTR, with the group attached to nothing, if after an attempt
 * @own did not accept the group again.
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

	/* sizes below PAGE_SIZE become PAGE_SIZE: memory is pinned in that unit */
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

/*
 * Map in the new domain @d all memory that the container maps, and add @d to the
 * container's list. If @d is the container's first domain, the mappings have no
 * segments yet, so make these. On failure @d is in no list.
 */
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

	/* this adds the domain to the list, too */
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

/* Attach a group with an IOMMU. On failure it is attached to nothing. */
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
 * Called when the last group has left the container's last domain (@domain_goes: that
 * domain is destroyed next), or when an emulated group has left a container without
 * domains. A container without groups must not have mappings: if no emulated group is
 * left, unmap all. If one is left, its devices still use the mappings. But once the
 * last domain goes, no IOMMU uses them, so depopulate them, which unpins their memory.
 */
static void group_drop_mappings(struct container *c, bool domain_goes)
{
	if (list_empty(&c->emulated))
		mapping_unmap_all(c);
	else if (domain_goes)
		mapping_depopulate_all(c);
}

/*
 * Detach a group with an IOMMU, and destroy its domain if no group is left in it. The
 * group has to leave the domain before the domain leaves the container's list: a domain
 * that is not in the list is not revoked, so no device may reach memory through it.
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

/*
 * Compute the usable IOVAs again after a group has left. If there is no memory for that,
 * the IOVAs that were reserved for the group stay unusable.
 */
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
 * @iommu: the group; the vfio core owns its DMA (iommu_group_claim_dma_owner()) unless
 *	   @emulated
 * @emulated: the group is one that the vfio core made for an emulated device, which has
 *	      no IOMMU
 *
 * Return: 0, or a negative errno with the group attached to nothing: -EBUSY while a
 * mapping is stale, since attaching may have to pin memory at its user address; -EINVAL
 * if the group is attached already, or if a mapping has IOVAs that the group's IOMMU
 * cannot map or that are reserved; -EPERM if the group's interrupts are not isolated;
 * -ENOMEM; or the errno of the IOMMU driver or of mapping_populate_all().
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
 * If this was the last group, all mappings are unmapped. IOVAs that were reserved for
 * this group alone become usable, unless memory for the new list cannot be allocated.
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
 * group_detach_all() - Unmap everything and detach every group, when a container ends
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
