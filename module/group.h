/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOMMU groups, and those that the vfio core makes up for emulated devices: which are
 * attached, and what happens to what the container maps when one comes or goes.
 */
#ifndef TETHER_GROUP_H
#define TETHER_GROUP_H

#include <linux/types.h>

struct container;
struct iommu_domain;
struct iommu_group;

int group_attach(struct container *c, struct iommu_group *iommu, bool emulated);
void group_detach(struct container *c, struct iommu_group *iommu);
void group_detach_all(struct container *c);
struct iommu_domain *group_domain(struct container *c,
				  struct iommu_group *iommu);

#endif
