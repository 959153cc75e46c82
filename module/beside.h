/* SPDX-License-Identifier: GPL-2.0-only */
/* What the module does so that it can work beside the in-tree backend. */
#ifndef TETHER_BESIDE_H
#define TETHER_BESIDE_H

struct vfio_iommu_driver_ops;

const struct vfio_iommu_driver_ops *
beside_ops(const struct vfio_iommu_driver_ops *ops);

#endif
