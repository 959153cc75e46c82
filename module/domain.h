/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOMMU domains and the groups in them. One domain serves all groups whose IOMMUs are
 * alike; every domain of a container maps the same. group.c makes them.
 */
#ifndef TETHER_DOMAIN_H
#define TETHER_DOMAIN_H

#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/types.h>

#include "segment.h"

struct container;
struct extent;
struct extents;

/**
 * struct unflushed - What was unmapped and not flushed yet
 * @gather: where it was, for the flush
 * @any: there is something
 */
struct unflushed {
	struct iommu_iotlb_gather gather;
	bool any;
};

/**
 * struct domain - One set of IOMMU page tables
 * @node: in container->domains; changed under lock and mirror_lock, read
 *	  under either
 * @iommu: the kernel's domain, owned
 * @groups: struct group, under container->lock
 * @coherent: its IOMMUs make all DMA snoop the CPU's caches
 * @unflushed: of pinned segments, under container->lock, and of mirrors,
 *	       under mirror_lock
 */
struct domain {
	struct list_head node;
	struct iommu_domain *iommu;
	struct list_head groups;
	bool coherent;
	struct unflushed unflushed[SEGMENT_KINDS];
};

/**
 * struct group - An attached group
 * @node: in domain->groups, or in container->emulated if its devices are emulated
 * @iommu: the kernel's group; the vfio core holds it while it is attached
 */
struct group {
	struct list_head node;
	struct iommu_group *iommu;
};

bool domains_coherent(const struct container *c);

int domain_map(struct domain *d, const struct extent *e, int prot, gfp_t gfp);
int domains_map(struct container *c, const struct extent *e, int prot,
		gfp_t gfp);
bool domain_unmap(struct domain *d, const struct extent *v, unsigned int nr);
bool domains_unmap(struct container *c, const struct extents *ex);
bool domains_unmap_unflushed(struct container *c, const struct extents *ex,
			     enum segment_kind kind);
void domain_flush(struct domain *d, enum segment_kind kind);
void domains_flush(struct container *c, enum segment_kind kind);

#endif
