/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * The commands by which a user program controls the emulated device. The program
 * writes a struct emu_command at offset 0 of the device's file with pwrite(), and
 * reads it back with the result with pread().
 */
#ifndef TETHER_EMU_H
#define TETHER_EMU_H

#include <linux/types.h>

#define EMU_DEVICE_NAME	"tether-emu"	/* .0, .1, ... under /sys/devices/platform */
#define EMU_MEMORY_NAME	"emu-memory"	/* in /dev: physical memory, as a driver maps it */
#define EMU_DATA	4096		/* bytes one command can carry */

enum emu_op {
	EMU_PIN = 1,	/* iova, npages, prot: result is that of vfio_pin_pages() */
	EMU_UNPIN,	/* iova, npages: one pin of each page held; result: how many */
	EMU_READ,	/* iova, len: data has the bytes that vfio_dma_rw() read */
	EMU_WRITE,	/* iova, len, data */
	EMU_PEEK,	/* iova: data is the pinned page's first len bytes, len <= 4096 */
	EMU_POKE,	/* iova, len, data: into the page, if pinned for writing */
	EMU_WORKER_READ, /* as EMU_READ and EMU_WRITE, from a work item */
	EMU_WORKER_WRITE,
	EMU_NOTICES,	/* calls of dma_unmap() since the last EMU_NOTICES */
	EMU_DELAY,	/* npages: dma_unmap() takes so many ms from now on */
	EMU_KEEP,	/* npages: if not 0, dma_unmap() unpins nothing from now on */
};

/* The values of IOMMU_READ and IOMMU_WRITE: what the device may do. */
#define EMU_PROT_READ	1
#define EMU_PROT_WRITE	2

struct emu_command {
	__u32 op;
	__s32 result;		/* out: 0, a count, or -errno */
	__u64 iova;
	__u32 npages;
	__u32 prot;
	__u64 len;
	__u64 pfn;		/* out, EMU_PEEK */
	__u32 held;		/* out: pages now pinned, each counted once */
	__u32 notices;		/* out, EMU_NOTICES: how many calls */
	__u64 notice_iova;	/* out, EMU_NOTICES: the range of the last call */
	__u64 notice_len;
	__u8 data[EMU_DATA];	/* may be left out of a write(2) or read(2) */
};

#define EMU_HEADER	((size_t)&((struct emu_command *)0)->data)

#endif
