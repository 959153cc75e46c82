/* SPDX-License-Identifier: GPL-2.0-only */
/* What lies behind user addresses that cannot be pinned. */
#ifndef TETHER_BACKING_H
#define TETHER_BACKING_H

#include <linux/types.h>

struct extents;
struct file;
struct mm_struct;

/**
 * struct backing - Device memory behind a stretch of user addresses
 * @last: the last address of the stretch, which ends with the file's VMAs
 * @file: the file behind those VMAs, for comparison only: no reference is
 *	  held, and the VMAs hold one as long as they are there
 * @vfio: it belongs to a VFIO device
 * @no_wait: fail where a fault would fail or have to wait
 */
struct backing {
	unsigned long last;
	const struct file *file;
	bool vfio;
	bool no_wait;
};

int backing_init(void);
void backing_exit(void);
int backing_find(struct mm_struct *mm, unsigned long first, unsigned long last,
		 int prot, struct backing *b);
int backing_resolve(struct mm_struct *mm, unsigned long first,
		    unsigned long last, int prot, const struct backing *b,
		    dma_addr_t iova, struct extents *ex);

#endif
