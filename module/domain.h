/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOMMU domains and the groups in them. Groups whose IOMMUs have the same driver and
 * the same cache coherency share one domain if the driver allows it. All domains of a
 * container map the same memory. group.c makes and destroys domains and groups.
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
 * struct unflushed - IOVAs that were unmapped, but that the IOTLB may still translate
 * @gather: the range of these IOVAs, which iommu_iotlb_sync() flushes
 * @any: there may be such IOVAs, so a flush is needed
 */
struct unflushed {
	struct iommu_iotlb_gather gather;
	bool any;
};

/**
 * struct domain - One set of IOMMU page tables
 * @node: in container->domains; changed with both container->lock and mirror_lock held,
 *	  read with either
 * @iommu: the kernel's domain, which this struct owns
 * @groups: list of the struct group in this domain; under container->lock
 * @coherent: its IOMMUs make all DMA snoop the CPU's caches
 * @unflushed: one for each kind of segment: that for pinned segments is under
 *	       container->lock, that for mirrors is under mirror_lock
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
 * @iommu: the kernel's group; the vfio core holds it while the group is attached
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
