/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what happens to the memory that containers map. Each "map" event of a
 * segment is followed by an "unmap" later. A "restore" comes after a "revoke", or after
 * a "map" at a new user address where the memory was off. docs/observe.md explains the
 * fields. The tracepoints take no lock: the caller holds the lock that guards the
 * segment. The argument @b is the device memory that the segment mirrors, or NULL for
 * RAM.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfio_type1

#if !defined(TETHER_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define TETHER_TRACE_H

#include <linux/iommu.h>
#include <linux/mmu_notifier.h>
#include <linux/sched.h>
#include <linux/tracepoint.h>

#include "backing.h"
#include "container.h"
#include "segment.h"
#include "tree.h"

TRACE_DEFINE_ENUM(SEGMENT_PINNED);
TRACE_DEFINE_ENUM(SEGMENT_MIRROR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_UNMAP);
TRACE_DEFINE_ENUM(MMU_NOTIFY_CLEAR);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_VMA);
TRACE_DEFINE_ENUM(MMU_NOTIFY_PROTECTION_PAGE);
TRACE_DEFINE_ENUM(MMU_NOTIFY_RELEASE);

#define show_kind(kind)							\
	__print_symbolic(kind,						\
			 { SEGMENT_PINNED, "pinned" },			\
			 { SEGMENT_MIRROR, "mirror" })

/* Why the process lost the memory: the causes that docs/observe.md explains. */
#define show_cause(event)						\
	__print_symbolic(event,						\
			 { MMU_NOTIFY_UNMAP, "unmapped" },		\
			 { MMU_NOTIFY_CLEAR, "off" },			\
			 { MMU_NOTIFY_PROTECTION_VMA, "mprotect" },	\
			 { MMU_NOTIFY_PROTECTION_PAGE, "mprotect" },	\
			 { MMU_NOTIFY_RELEASE, "exit" })

#define show_prot(prot)							\
	__print_flags(prot, "", { IOMMU_READ, "r" }, { IOMMU_WRITE, "w" })

DECLARE_EVENT_CLASS(segment,

	TP_PROTO(const struct container *c, const struct segment *s,
		 const struct backing *b),

	TP_ARGS(c, s, b),

	TP_STRUCT__entry(
		__field(u32, container)
		__field(pid_t, owner)
		__field(u64, iova)
		__field(u64, size)
		__field(u64, vaddr)
		__field(u64, offset)
		__field(int, region)
		__field(int, kind)
		__field(int, prot)
		__array(char, device, BACKING_NAME)
	),

	TP_fast_assign(
		__entry->container = c->id;
		__entry->owner = s->mapping->task->tgid;
		__entry->iova = segment_iova(s);
		__entry->size = s->size;
		__entry->vaddr = segment_vaddr(s);
		__entry->offset = b ? b->offset : 0;
		__entry->region = b ? b->region : -1;
		__entry->kind = s->kind;
		__entry->prot = s->mapping->prot;
		strscpy_pad(__entry->device, b ? b->name : "-", BACKING_NAME);
	),

	TP_printk("container=%u owner=%d iova=0x%llx size=0x%llx vaddr=0x%llx kind=%s prot=%s device=%s region=%d offset=0x%llx",
		  __entry->container, __entry->owner, __entry->iova,
		  __entry->size, __entry->vaddr, show_kind(__entry->kind),
		  show_prot(__entry->prot), __entry->device, __entry->region,
		  __entry->offset)
);

DEFINE_EVENT(segment, map,
	TP_PROTO(const struct container *c, const struct segment *s,
		 const struct backing *b),
	TP_ARGS(c, s, b)
);

DEFINE_EVENT(segment, unmap,
	TP_PROTO(const struct container *c, const struct segment *s,
		 const struct backing *b),
	TP_ARGS(c, s, b)
);

TRACE_EVENT(revoke,

	TP_PROTO(const struct container *c, const struct segment *s,
		 const struct backing *b, int cause, u64 gone),

	TP_ARGS(c, s, b, cause, gone),

	TP_STRUCT__entry(
		__field(u32, container)
		__field(pid_t, owner)
		__field(u64, iova)
		__field(u64, size)
		__field(u64, gone)
		__field(int, region)
		__field(int, cause)
		__array(char, device, BACKING_NAME)
	),

	TP_fast_assign(
		__entry->container = c->id;
		__entry->owner = s->mapping->task->tgid;
		__entry->iova = segment_iova(s);
		__entry->size = s->size;
		__entry->gone = gone;
		__entry->region = READ_ONCE(b->region);
		__entry->cause = cause;
		strscpy_pad(__entry->device, b->name, BACKING_NAME);
	),

	TP_printk("container=%u owner=%d iova=0x%llx size=0x%llx device=%s region=%d cause=%s gone=0x%llx",
		  __entry->container, __entry->owner, __entry->iova,
		  __entry->size, __entry->device, __entry->region,
		  show_cause(__entry->cause), __entry->gone)
);

TRACE_EVENT(restore,

	TP_PROTO(const struct container *c, const struct segment *s,
		 const struct backing *b, u64 away_ns),

	TP_ARGS(c, s, b, away_ns),

	TP_STRUCT__entry(
		__field(u32, container)
		__field(pid_t, owner)
		__field(u64, iova)
		__field(u64, size)
		__field(u64, away_ns)
		__field(int, region)
		__array(char, device, BACKING_NAME)
	),

	TP_fast_assign(
		__entry->container = c->id;
		__entry->owner = s->mapping->task->tgid;
		__entry->iova = segment_iova(s);
		__entry->size = s->size;
		__entry->away_ns = away_ns;
		__entry->region = b->region;
		strscpy_pad(__entry->device, b->name, BACKING_NAME);
	),

	TP_printk("container=%u owner=%d iova=0x%llx size=0x%llx device=%s region=%d away_ns=%llu",
		  __entry->container, __entry->owner, __entry->iova,
		  __entry->size, __entry->device, __entry->region,
		  __entry->away_ns)
);

TRACE_EVENT(refuse,

	/* the caller holds container->lock, which guards the reason */
	TP_PROTO(const struct container *c, u64 iova, u64 vaddr, u64 size,
		 int error),

	TP_ARGS(c, iova, vaddr, size, error),

	TP_STRUCT__entry(
		__field(u32, container)
		__field(u64, iova)
		__field(u64, vaddr)
		__field(u64, size)
		__field(int, error)
		__field(pid_t, owner)
		__array(char, comm, TASK_COMM_LEN)
		__array(char, reason, REASON_LEN)
	),

	TP_fast_assign(
		__entry->container = c->id;
		__entry->iova = iova;
		__entry->vaddr = vaddr;
		__entry->size = size;
		__entry->error = error;
		__entry->owner = task_tgid_nr(current);
		strscpy_pad(__entry->comm, current->comm, TASK_COMM_LEN);
		strscpy_pad(__entry->reason, c->reason, REASON_LEN);
	),

	TP_printk("container=%u owner=%d iova=0x%llx size=0x%llx vaddr=0x%llx error=%d comm=%s reason=%s",
		  __entry->container, __entry->owner, __entry->iova,
		  __entry->size, __entry->vaddr, __entry->error, __entry->comm,
		  __entry->reason)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
