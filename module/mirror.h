/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments of device memory: in the IOMMU only while the process has it mapped. */
#ifndef TETHER_MIRROR_H
#define TETHER_MIRROR_H

#include <linux/types.h>

struct backing;
struct container;
struct domain;
struct mapping;
struct segment;

/**
 * struct mirror_stat - The state of a mirror in a range of its IOVAs
 * @live: bytes that are in the IOMMU
 * @revoked: bytes that are not in the IOMMU until restore maps them again
 * @gone: bytes that the mirror has given up for good
 * @revocations: how often the whole mirror was taken out of the IOMMU
 * @away_ns: for how long the mirror has not been in the IOMMU; 0 if it is LIVE
 */
struct mirror_stat {
	u64 live;
	u64 revoked;
	u64 gone;
	unsigned int revocations;
	u64 away_ns;
};

struct segment *mirror_map(struct container *c, struct mapping *m,
			   size_t offset, size_t size,
			   struct segment *replaced);
void mirror_await(struct segment *s);
void mirror_stat(const struct segment *s, u64 first, u64 last,
		 struct mirror_stat *stat);
const struct backing *segment_backing(const struct segment *s);
void mirror_unmap(struct container *c, struct segment *s);
int mirror_join(struct container *c, struct domain *d);
int mirror_restore_init(struct container *c);
void mirror_restore_exit(struct container *c);
int mirror_init(void);
void mirror_exit(void);

#endif
