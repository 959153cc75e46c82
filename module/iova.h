/* SPDX-License-Identifier: GPL-2.0-only */
/* Which IOVAs a container may use, and the window of IOVAs for MSI doorbells. */
#ifndef TETHER_IOVA_H
#define TETHER_IOVA_H

#include <linux/list.h>

struct container;
struct iommu_domain;
struct iommu_group;

int iova_usable(struct container *c, struct iommu_domain *extra,
		struct iommu_group *extra_group, struct list_head *usable);
int iova_reserve_msi(struct iommu_domain *domain, struct iommu_group *group);

#endif
