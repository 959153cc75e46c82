/* SPDX-License-Identifier: GPL-2.0-only */
/* What tether does because it is built outside of the kernel's tree. */
#ifndef TETHER_PACKAGE_H
#define TETHER_PACKAGE_H

struct vfio_iommu_driver_ops;

int package_register(const struct vfio_iommu_driver_ops *ops);
void package_unregister(const struct vfio_iommu_driver_ops *ops);

#endif
