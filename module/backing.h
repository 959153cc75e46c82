/* SPDX-License-Identifier: GPL-2.0-only */
/* What lies behind user addresses that cannot be pinned. */
#ifndef TETHER_BACKING_H
#define TETHER_BACKING_H

#include <linux/types.h>

struct extents;
struct file;
struct mm_struct;

/* Room for a PCI address, whatever its domain, or the start of a file's name. */
#define BACKING_NAME	20

/**
 * struct backing - Device memory behind a stretch of user addresses
 * @last: the last address of the stretch, which ends with the file's VMAs
 * @file: the file behind those VMAs, for comparison only: no reference is
 *	  held, and the VMAs hold one as long as they are there
 * @vfio: it belongs to a VFIO device
 * @no_wait: only look at the mm, as owner.c has it, and fail where a fault would
 *	     fail or have to wait
 * @name: the device, or the file if it is not VFIO's; for people
 * @region: the device's region that the stretch begins in, or negative: not
 *	    resolved yet, or a device that has no BARs; for people
 * @offset: where in the region (bytes)
 */
struct backing {
	unsigned long last;
	const struct file *file;
	bool vfio;
	bool no_wait;
	char name[BACKING_NAME];
	int region;
	u64 offset;
};

int backing_init(void);
void backing_exit(void);
int backing_find(struct mm_struct *mm, unsigned long first, unsigned long last,
		 int prot, struct backing *b);
int backing_memory_is_on(struct mm_struct *mm, unsigned long addr, int prot,
			 const struct backing *b);
int backing_resolve(struct mm_struct *mm, unsigned long first,
		    unsigned long last, int prot, struct backing *b,
		    dma_addr_t iova, struct extents *ex);

#endif
