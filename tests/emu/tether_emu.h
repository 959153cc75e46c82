/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a user program and the emulated device tell each other: one struct
 * emu_command, written at offset 0 of the device's file and read back from there
 * with its result. A file system's pread() and pwrite() are all it takes.
 */
#ifndef TETHER_EMU_H
#define TETHER_EMU_H

#include <linux/types.h>

#define EMU_DEVICE_NAME	"tether-emu"	/* .0, .1, ... under /sys/devices/platform */
#define EMU_DATA	4096		/* bytes one command can carry */

enum emu_op {
	EMU_PIN = 1,	/* iova, npages, prot: result is what vfio_pin_pages() said */
	EMU_UNPIN,	/* iova, npages: one pin of each page held; result: how many */
	EMU_READ,	/* iova, len: data is what vfio_dma_rw() read */
	EMU_WRITE,	/* iova, len, data */
	EMU_PEEK,	/* iova: data is the pinned page's first len bytes, len <= 4096 */
	EMU_POKE,	/* iova, len, data: into the page, if pinned for writing */
	EMU_WORKER_READ, /* as EMU_READ and EMU_WRITE, from a kernel thread */
	EMU_WORKER_WRITE,
	EMU_NOTICES,	/* what dma_unmap() told so far; then forget it */
	EMU_DELAY,	/* npages: dma_unmap() takes so many ms from now on */
	EMU_KEEP,	/* npages: if not 0, dma_unmap() gives nothing back from now on */
};

/* As include/linux/iommu.h has it, the device's view. */
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
	__u32 notices;		/* out, EMU_NOTICES: how many */
	__u64 notice_iova;	/* out, EMU_NOTICES: the last one's */
	__u64 notice_len;
	__u8 data[EMU_DATA];	/* may be left out of a write(2) or read(2) */
};

#define EMU_HEADER	((size_t)&((struct emu_command *)0)->data)

#endif
