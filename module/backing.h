/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the device memory behind user addresses that cannot be pinned. */
#ifndef TETHER_BACKING_H
#define TETHER_BACKING_H

#include <linux/types.h>

struct extents;
struct file;
struct mm_struct;

/* Room for a PCI address with any domain number, or the beginning of a file's name. */
#define BACKING_NAME	20

/**
 * struct backing - Device memory behind a range of user addresses
 * @last: the last address of the range; it ends at the latest with the file's VMAs
 * @file: the file behind those VMAs, for comparison only: struct backing holds no
 *	  reference to it; each of the VMAs does
 * @vfio: the memory belongs to a VFIO device
 * @no_wait: the caller does not hold the mm's users: only look at the mm (owner.c), and
 *	     fail where a fault would fail or have to wait
 * @patient: wait for mmap_lock all the same: attempts have found it taken too often
 * @name: the name of the device, or of the file if that is not VFIO's; shown to people
 * @region: the device's region in which the range begins; negative if it is not known
 *	    yet or the device has no BARs; shown to people
 * @offset: where in the region the range begins (bytes)
 */
struct backing {
	unsigned long last;
	const struct file *file;
	bool vfio;
	bool no_wait;
	bool patient;
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
