/* SPDX-License-Identifier: GPL-2.0-only */
/* Finds the device memory behind user addresses that cannot be pinned. */
#ifndef TETHER_BACKING_H
#define TETHER_BACKING_H

#include <linux/types.h>

struct container;
struct extents;
struct file;
struct mm_struct;

/*
 * Size of backing->name: holds a PCI address with any domain number and "/resource0"; a
 * longer name is cut off.
 */
#define BACKING_NAME	32

/**
 * struct backing - Device memory behind a range of user addresses
 * @last: last user address of the range: the one asked for, or the end of the adjacent
 *	  VMAs that map @file, if that comes first
 * @file: the file that those VMAs map. No reference is held here (each VMA holds one),
 *	  so the pointer may only be compared, never followed
 * @vfio: the memory belongs to a VFIO device
 * @no_wait: the caller (restore) holds no reference to mm_users, so it may only "look"
 *	     at the mm (owner.c): mmap_lock is not dropped in between, and
 *	     backing_resolve() fails where a fault would fail or wait for a device
 * @is_refused: the parameters forbid the memory, and backing_find() only wants to know
 *		which other error mapping it would have
 * @patient: with @no_wait: wait for mmap_lock nevertheless, since restore has found it
 *	     taken too often in a row
 * @name: name of the VFIO device, or of @file and its directory if no VFIO device is
 *	  behind it; shown to people
 * @region: number of the device's region in which the range begins; negative if it is
 *	    not known yet or the device has no BARs; shown to people
 * @offset: where in the region the range begins (bytes)
 */
struct backing {
	unsigned long last;
	const struct file *file;
	bool vfio;
	bool no_wait;
	bool patient;
	bool is_refused;
	char name[BACKING_NAME];
	int region;
	u64 offset;
};

int backing_init(void);
void backing_exit(void);
int backing_find(struct container *c, struct mm_struct *mm,
		 unsigned long first, unsigned long last, int prot,
		 struct backing *b);
int backing_memory_is_on(struct mm_struct *mm, unsigned long addr, int prot,
			 const struct backing *b);
int backing_resolve(struct mm_struct *mm, unsigned long first,
		    unsigned long last, int prot, struct backing *b,
		    dma_addr_t iova, struct extents *ex);

#endif
