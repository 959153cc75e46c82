// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints operations and results in readable form.
 */
#include <stdio.h>
#include <string.h>

#include "../emu/tether_emu.h"
#include "op.h"

static const char *const groups[GROUPS] = {
	[GROUP_EDU_A] = "edu-a", [GROUP_EDU_B] = "edu-b", [GROUP_TARGET] = "target",
	[GROUP_EMU_0] = "emu-0", [GROUP_EMU_1] = "emu-1", [GROUP_NVME] = "nvme",
};

static const char *const pointers[POINTERS] = {
	[PTR_GOOD] = "good", [PTR_READONLY] = "read-only", [PTR_STRADDLE] = "straddling",
	[PTR_NULL] = "NULL", [PTR_HOLE] = "unmapped", [PTR_KERNEL] = "kernel",
	[PTR_NONCANONICAL] = "non-canonical",
};

static const char *const memories[MEMORIES] = {
	[MEM_ANON] = "anonymous",
	[MEM_ANON_UNTOUCHED] = "anonymous untouched",
	[MEM_ANON_READONLY] = "anonymous read-only",
	[MEM_ANON_UNTOUCHED_READONLY] = "anonymous untouched read-only",
	[MEM_SHARED_ANON] = "shared anonymous",
	[MEM_SHARED_FILE] = "shared file",
	[MEM_SHARED_FILE_READONLY] = "shared file read-only",
	[MEM_PRIVATE_FILE] = "private file",
	[MEM_PRIVATE_FILE_READONLY] = "private file read-only",
	[MEM_PAST_END_OF_FILE] = "past the end of the file",
	[MEM_NONE] = "PROT_NONE",
	[MEM_HOLE] = "hole",
};

static const char *const emu_ops[] = {
	[EMU_PIN] = "pin", [EMU_UNPIN] = "unpin", [EMU_READ] = "read",
	[EMU_WRITE] = "write", [EMU_PEEK] = "peek", [EMU_POKE] = "poke",
	[EMU_NOTICES] = "notices",
};

static const char *const kinds[OP_KINDS] = {
	[OP_NOTHING] = "nothing", [OP_MAP] = "map", [OP_UNMAP] = "unmap",
	[OP_DIRTY] = "dirty", [OP_INFO] = "info", [OP_EXTENSION] = "extension",
	[OP_UNKNOWN] = "unknown", [OP_SET_IOMMU] = "set iommu",
	[OP_ATTACH] = "attach", [OP_DETACH] = "detach", [OP_OPEN] = "open",
	[OP_CLOSE] = "close", [OP_REOPEN] = "reopen", [OP_EMU] = "emulated",
	[OP_MMAP] = "mmap", [OP_MUNMAP] = "munmap", [OP_MPROTECT] = "mprotect",
	[OP_DISCARD] = "discard", [OP_TOUCH] = "touch", [OP_FORK] = "fork",
	[OP_MEMLOCK] = "memlock", [OP_PROBE] = "probe",
};

const char *kind_name(unsigned int kind)
{
	return kinds[kind];
}

static void print_address(uint64_t at)
{
	if (at >= ARENA && at < THP)
		printf("arena+%#lx", at - ARENA);
	else if (at >= THP && at < HUGETLB)
		printf("thp+%#lx", at - THP);
	else if (at >= HUGETLB && at < DEVICE)
		printf("hugetlb+%#lx", at - HUGETLB);
	else if (at >= DEVICE && at < DEVICE + DEVICE_PAGES * PAGE)
		printf("device+%#lx", at - DEVICE);
	else
		printf("%#lx", at);
}

static void print_argument(const struct op *op)
{
	printf(" argsz %u", op->argsz);
	if (op->pointer == PTR_STRADDLE)
		printf(" struct ends after %u bytes", op->straddle);
	else if (op->pointer)
		printf(" %s struct", pointers[op->pointer]);
}

static void print_bitmap(const struct op *op)
{
	printf(" bitmap %#lx bytes for pages of %#lx",
	       op->bitmap_size, op->bitmap_pgsize);
	if (op->bitmap_pointer == PTR_STRADDLE)
		printf(" that ends after %u", op->straddle);
	else if (op->bitmap_pointer)
		printf(" %s", pointers[op->bitmap_pointer]);
	if (op->filler)
		printf(", filled with %02x", op->filler);
}

static void print_range(const struct op *op)
{
	printf(" iova %#lx size %#lx", op->iova, op->size);
}

static void print_memory(const struct op *op, const char *what)
{
	printf("%s ", what);
	print_address(op->vaddr);
	printf(" size %#lx", op->size);
}

static void print_container_ioctl(const struct op *op, const char *name)
{
	printf("c%u %s", op->container, name);
	if (op->kind != OP_INFO) {
		print_range(op);
		printf(" flags %#x", op->flags);
	}
	if (op->kind == OP_MAP) {
		printf(" vaddr ");
		print_address(op->vaddr);
	}
	print_argument(op);
	if (op->kind == OP_DIRTY || (op->kind == OP_UNMAP && op->flags & 1))
		print_bitmap(op);
}

void print_op(const struct op *op)
{
	if (op->in_child)
		printf("in a child: ");
	switch (op->kind) {
	case OP_MAP:
		print_container_ioctl(op, "map");
		break;
	case OP_UNMAP:
		print_container_ioctl(op, "unmap");
		break;
	case OP_DIRTY:
		print_container_ioctl(op, "dirty");
		break;
	case OP_INFO:
		print_container_ioctl(op, "info");
		break;
	case OP_EXTENSION:
		printf("c%u check extension %lu", op->container, op->number);
		break;
	case OP_UNKNOWN:
		printf("c%u ioctl %lu", op->container, op->number);
		break;
	case OP_SET_IOMMU:
		printf("c%u set iommu %lu", op->container, op->number);
		break;
	case OP_ATTACH:
		printf("c%u attach %s", op->container, groups[op->group]);
		break;
	case OP_DETACH:
		printf("detach %s", groups[op->group]);
		break;
	case OP_OPEN:
		printf("open %s", groups[op->group]);
		if (op->group == GROUP_NVME)
			printf(", attach it to c0, set iommu %lu", op->number);
		break;
	case OP_CLOSE:
		printf("close %s", groups[op->group]);
		break;
	case OP_REOPEN:
		printf("c%u close and open anew", op->container);
		break;
	case OP_EMU:
		printf("%s %s", groups[op->group], emu_ops[op->number]);
		print_range(op);
		printf(" pages %u prot %u", op->flags, op->prot);
		break;
	case OP_MMAP:
		print_memory(op, "mmap");
		if (op->vaddr != DEVICE)
			printf(" %s", memories[op->number]);
		break;
	case OP_MUNMAP:
		print_memory(op, "munmap");
		break;
	case OP_MPROTECT:
		print_memory(op, "mprotect");
		printf(" prot %u", op->prot);
		break;
	case OP_DISCARD:
		print_memory(op, "madvise MADV_DONTNEED");
		break;
	case OP_TOUCH:
		print_memory(op, "store to");
		break;
	case OP_FORK:
		printf("fork");
		break;
	case OP_MEMLOCK:
		printf("RLIMIT_MEMLOCK %lu KiB", op->size / 1024);
		break;
	case OP_PROBE:
		printf("nvme writes to iova %#lx", op->iova);
		break;
	}
}

static void print_out(const struct result *r)
{
	const uint8_t *byte = (const uint8_t *)r->out;
	unsigned int i;

	printf("  out");
	for (i = 0; i < sizeof(r->out); i++)
		printf("%s%02x", i % 4 ? "" : " ", byte[i]);
	printf(" rest %016lx", r->digest);
}

static void print_bits(const struct result *r)
{
	unsigned int i;

	printf("\n              bits");
	for (i = 0; i < BITMAP_WORDS; i++)
		printf(" %016lx", r->bitmap[i]);
	printf("\n            mapped");
	for (i = 0; i < BITMAP_WORDS; i++)
		printf(" %016lx", r->mapped[i]);
}

void print_result(const struct op *op, const struct result *r)
{
	if (r->ret == NOT_RUN) {
		printf("not run");
		return;
	}
	printf("%ld", r->ret);
	if (r->ret < 0)
		printf(" (%s)", strerror(-r->ret));
	switch (op->kind) {
	case OP_MAP:
	case OP_UNMAP:
	case OP_DIRTY:
	case OP_INFO:
	case OP_EMU:
		print_out(r);
		break;
	}
	if (op->kind == OP_DIRTY || (op->kind == OP_UNMAP && op->flags & 1))
		print_bits(r);
	switch (op->kind) {
	case OP_PROBE:
		printf("  found in %lu pages (%016lx)", r->out[0],
		       r->digest);
		break;
	}
	if (r->locked != NOT_SAMPLED)
		printf("  VmLck %u VmPin %u", r->locked, r->pinned);
}

static bool is_used(const struct episode *e, unsigned int segment)
{
	uint64_t from = ARENA + segment * SEGMENT_PAGES * PAGE;
	uint64_t to = from + SEGMENT_PAGES * PAGE;
	unsigned int i;

	for (i = 0; i < e->count; i++)
		if (e->ops[i].vaddr < to && e->ops[i].vaddr + e->ops[i].size > from)
			return true;
	return false;
}

void print_episode(const struct episode *e)
{
	unsigned int i;

	if (e->unprivileged && !e->nvme)
		printf("  an unprivileged process, RLIMIT_MEMLOCK %lu KiB\n",
		       e->memlock / 1024);
	for (i = 0; i < ARENA_SEGMENTS; i++)
		if (e->arena[i] != MEM_ANON && is_used(e, i))
			printf("  arena+%#lx to %#lx: %s\n",
			       (uint64_t)(i * SEGMENT_PAGES * PAGE),
			       (uint64_t)((i + 1) * SEGMENT_PAGES * PAGE),
			       memories[e->arena[i]]);
}
