/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * IOMMU groups, and the groups that the vfio core makes for emulated devices: attaching
 * and detaching them, and mapping or unmapping the container's memory if a group that
 * comes or goes requires that.
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
