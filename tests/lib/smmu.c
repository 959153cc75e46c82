// SPDX-License-Identifier: GPL-2.0-only
/*
 * An SMMUv3's walk: see smmu.h. Names and layouts are the architecture's (Arm
 * IHI 0070, and the VMSAv8-64 translation tables): stream table, context
 * descriptor, stage 1 tables with a 4 KiB granule.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "smmu.h"

#define CLASS		"/sys/class/iommu"
#define NAME		"smmu3.0x%llx"
#define REGS		4096

#define STRTAB_BASE	0x80
#define STRTAB_BASE_CFG	0x88
/* These two registers are on the SMMU's page 1 (SMMU_PAGE_1). */
#define EVENTQ_PROD	0xa8
#define EVENTQ_CONS	0xac

#define STE_SIZE	64
#define STE_VALID	1
#define STE_STAGE_1	5
#define CD_MAIR		24	/* byte offset in the context descriptor */
#define CD_VALID	(1ULL << 31)

#define LEVELS		4
#define LEVEL_BITS	9
#define PAGE_BITS	12
#define AP_READ_ONLY	2

/* A stretch of RAM, and its offset in /proc/kcore. */
struct smmu_ram {
	uint64_t phys, len, offset;
};

static uint64_t bits(uint64_t word, unsigned int high, unsigned int low)
{
	return word >> low & (~0ULL >> (63 - high + low));
}

/* Address fields have the same bit positions in the word as in the address. */
static uint64_t address(uint64_t word, unsigned int high, unsigned int low)
{
	return bits(word, high, low) << low;
}

static bool find_smmu(unsigned long long *base)
{
	DIR *dir = opendir(CLASS);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir)))
		found = sscanf(entry->d_name, NAME, base) == 1;
	if (dir)
		closedir(dir);
	return found;
}

const volatile uint8_t *smmu_map(unsigned int offset)
{
	unsigned long long base;
	void *regs;
	int fd;

	if (!find_smmu(&base)) {
		errno = ENODEV;
		return NULL;
	}
	fd = open("/dev/mem", O_RDONLY | O_SYNC | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	regs = mmap(NULL, REGS, PROT_READ, MAP_SHARED, fd, base + offset);
	close(fd);
	return regs == MAP_FAILED ? NULL : regs;
}

void smmu_unmap(const volatile uint8_t *registers)
{
	if (registers)
		munmap((void *)registers, REGS);
}

static uint32_t read32(const volatile uint8_t *at)
{
	return *(const volatile uint32_t *)at;
}

bool smmu_events_pending(const volatile uint8_t *registers)
{
	return read32(registers + EVENTQ_PROD) != read32(registers + EVENTQ_CONS);
}

/* Find the stretches of RAM in the ELF headers of /proc/kcore. */
static int find_ram(struct smmu *s)
{
	Elf64_Ehdr elf;
	Elf64_Phdr part;
	int i;

	if (pread(s->kcore, &elf, sizeof(elf), 0) != sizeof(elf))
		return -EIO;
	s->ram = calloc(elf.e_phnum, sizeof(*s->ram));
	if (!s->ram)
		return -ENOMEM;
	for (i = 0; i < elf.e_phnum; i++) {
		if (pread(s->kcore, &part, sizeof(part),
			  elf.e_phoff + i * sizeof(part)) != sizeof(part))
			return -EIO;
		if (part.p_type != PT_LOAD || part.p_paddr == (uint64_t)-1)
			continue;
		s->ram[s->pieces++] = (struct smmu_ram){
			part.p_paddr, part.p_filesz, part.p_offset
		};
	}
	return s->pieces ? 0 : -ENOENT;
}

int smmu_open(struct smmu *s)
{
	int ret;

	*s = (struct smmu){ .kcore = -1 };
	s->regs = smmu_map(SMMU_PAGE_0);
	if (!s->regs)
		return -errno;
	s->kcore = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	ret = s->kcore < 0 ? -errno : find_ram(s);
	if (ret)
		smmu_close(s);
	return ret;
}

void smmu_close(struct smmu *s)
{
	smmu_unmap(s->regs);
	if (s->kcore >= 0)
		close(s->kcore);
	free(s->ram);
	*s = (struct smmu){ .kcore = -1 };
}

static int read_word(struct smmu *s, uint64_t phys, uint64_t *word)
{
	size_t i;

	for (i = 0; i < s->pieces; i++) {
		uint64_t at = phys - s->ram[i].phys;

		if (phys < s->ram[i].phys || at >= s->ram[i].len)
			continue;
		return pread(s->kcore, word, sizeof(*word),
			     s->ram[i].offset + at) == sizeof(*word) ? 0 : -EIO;
	}
	return -EFAULT;
}

/* Find the address of a stream's entry, in a stream table of one level or two. */
static int find_stream(struct smmu *s, uint32_t stream, uint64_t *phys)
{
	uint64_t base = read32(s->regs + STRTAB_BASE) |
			(uint64_t)read32(s->regs + STRTAB_BASE + 4) << 32;
	uint32_t config = read32(s->regs + STRTAB_BASE_CFG);
	unsigned int split = bits(config, 10, 6), span;
	uint64_t table = address(base, 51, 6), first;
	int ret;

	if (stream >> bits(config, 5, 0))
		return -ENOENT;
	if (!bits(config, 17, 16)) {
		*phys = table + (uint64_t)stream * STE_SIZE;
		return 0;
	}
	ret = read_word(s, table + 8ULL * (stream >> split), &first);
	if (ret)
		return ret;
	span = bits(first, 4, 0);
	stream &= (1U << split) - 1;
	if (!span || stream >> (span - 1))
		return -ENOENT;
	*phys = address(first, 51, 6) + (uint64_t)stream * STE_SIZE;
	return 0;
}

/* Find the context descriptor of a stream that has only stage 1 and one context. */
static int find_context(struct smmu *s, uint32_t stream, uint64_t *phys)
{
	uint64_t at, word;
	int ret = find_stream(s, stream, &at);

	if (!ret)
		ret = read_word(s, at, &word);
	if (ret)
		return ret;
	if (!(word & STE_VALID))
		return -ENOENT;
	if (bits(word, 3, 1) != STE_STAGE_1 || bits(word, 63, 59))
		return -EOPNOTSUPP;
	*phys = address(word, 51, 6);
	return 0;
}

static int walk(struct smmu *s, uint64_t table, unsigned int bits,
		uint64_t iova, uint64_t *entry, unsigned int *shift)
{
	unsigned int levels = (bits - PAGE_BITS + LEVEL_BITS - 1) / LEVEL_BITS;
	unsigned int level;
	int ret;

	if (iova >> bits)
		return -ENOENT;
	for (level = LEVELS - levels; level < LEVELS; level++) {
		uint64_t index;

		*shift = PAGE_BITS + (LEVELS - 1 - level) * LEVEL_BITS;
		index = iova >> *shift;
		if (level > LEVELS - levels)
			index &= (1 << LEVEL_BITS) - 1;
		ret = read_word(s, table + index * sizeof(*entry), entry);
		if (ret)
			return ret;
		if (!(*entry & 1))
			return -ENOENT;
		/* A block, or at the last level a page. */
		if (!(*entry & 2) || level == LEVELS - 1)
			return 0;
		table = address(*entry, 47, PAGE_BITS);
	}
	return -EIO;
}

int smmu_lookup(struct smmu *s, const char *bdf, uint64_t iova,
		struct smmu_entry *entry)
{
	unsigned int bus, slot, function, shift;
	uint64_t context, config, table, mair, found;
	int ret;

	/* On this board the stream number of a PCI function is its requester ID. */
	if (sscanf(bdf, "%*x:%x:%x.%x", &bus, &slot, &function) != 3)
		return -EINVAL;
	ret = find_context(s, bus << 8 | slot << 3 | function, &context);
	if (!ret)
		ret = read_word(s, context, &config);
	if (!ret)
		ret = read_word(s, context + 8, &table);
	if (!ret)
		ret = read_word(s, context + CD_MAIR, &mair);
	if (ret)
		return ret;
	/* Valid, and the granule is 4 KiB. */
	if (!(config & CD_VALID) || bits(config, 7, 6))
		return -EOPNOTSUPP;
	ret = walk(s, address(table, 51, 4), 64 - bits(config, 5, 0), iova,
		   &found, &shift);
	if (ret)
		return ret;
	*entry = (struct smmu_entry){
		.phys = address(found, 47, shift) | (iova & ~(~0ULL << shift)),
		.size = 1ULL << shift,
		.memory = mair >> 8 * bits(found, 4, 2),
		.writable = !(bits(found, 7, 6) & AP_READ_ONLY),
	};
	return 0;
}
