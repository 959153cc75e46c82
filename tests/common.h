/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by all test programs: how a test is registered, how it fails or is
 * skipped, and the addresses of the lab's devices.
 *
 * A test's class is part of its name, where tests/run reads it:
 *   NAME            VFIO's own behaviour; passes on both backends
 *   security: NAME  passes on tether; on the in-tree module it has to fail by
 *                   calling hole(), not in another way
 *   tether: NAME    a feature that only tether has; not run on the in-tree module
 */
#ifndef TETHER_TESTS_COMMON_H
#define TETHER_TESTS_COMMON_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "stall.h"

/* The lab's devices (lab/README.md). */
#define EDU_A		"0000:00:03.0"
#define EDU_B		"0000:00:04.0"
#define ROOT_TARGET	"0000:00:05.0"	/* 64 MiB in BAR 2, no reset */
#define ROOT_TARGET_LEN	(64ULL << 20)
#define LARGE		"0000:00:06.0"	/* 64 GiB in BAR 2, nothing in it */
#define TARGET		"0000:01:00.0"	/* 1 GiB in BAR 2, bus reset */
#define TARGET_LEN	(1ULL << 30)
#define NVME		"0000:00:07.0"
#define TARGET2		"0000:02:00.0"	/* 16 MiB in BAR 2, bus reset */
#define TARGET2_LEN	(16ULL << 20)
#define TARGET_BAR	2

#define PAGE		4096ULL
#define MIB		(1ULL << 20)

/*
 * IOVAs that are not the address of any BAR. At the first three the edu devices and the
 * nvme controller have their own buffers; tests map memory at and behind the last one.
 */
#define IOVA_A		0x7000000000ULL
#define IOVA_B		0x7000100000ULL
#define IOVA_NVME	0x7000200000ULL
#define IOVA		0x2000000000ULL

/* How long an IOMMU's fault record may take on a busy emulated machine, in ms. */
#define FAULT_MS	(1000 * patience())

#define TEST(f, setup, teardown) \
	{ #f, f, setup, teardown, NULL }
#define SECURITY(f, setup, teardown) \
	{ "security: " #f, f, setup, teardown, NULL }
#define TETHER(f, setup, teardown) \
	{ "tether: " #f, f, setup, teardown, NULL }

/* Runs the tests that fit the loaded backend. Returns the exit status for main(). */
int test_main(int argc, char **argv, const struct CMUnitTest *tests,
	      size_t count, CMFixtureFunction setup,
	      CMFixtureFunction teardown);

#define TEST_MAIN(tests, setup, teardown) \
int main(int argc, char **argv) \
{ \
	return test_main(argc, argv, tests, sizeof(tests) / sizeof(*(tests)), \
			 setup, teardown); \
}

/* Group fixtures that load the emulated device's module, and unload it. */
int with_emu(void **state);
int without_emu(void **state);

bool on_tether(void);

struct vfio_container;
/*
 * The errno for a range that wraps. In-tree had EINVAL up to 6.17 and has EOVERFLOW in 7.3
 * and in stable kernels with the same change (6.18.15), so this asks the in-tree backend.
 */
int wrap_error(struct vfio_container *c);
/* Is the kernel older than this one? For behaviour of in-tree that changed there. */
bool kernel_before(unsigned int major, unsigned int minor);
bool on_arm(void);

/* Skips the running test, and prints what it needs and this machine does not have. */
void lacks(const char *what);

/*
 * Asks for transparent huge pages. Skips the test if the kernel has none (PREEMPT_RT).
 */
void want_huge_pages(void *memory, size_t size);

/* Fails the test because DMA reached, or could reach, memory that it must not reach. */
void hole_at(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
#define hole(...) hole_at(__FILE__, __LINE__, __VA_ARGS__)

/* Fails the running test for any other reason, and prints the reason. */
void broken_at(const char *file, int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
#define broken(...) broken_at(__FILE__, __LINE__, __VA_ARGS__)

/*
 * ok() and refused() evaluate an expression that gives 0 or -errno. ok() fails the test
 * unless it gives 0, refused() unless it gives -error.
 */
#define ok(expression) \
	do { \
		long ok_ret = (expression); \
		if (ok_ret) \
			broken("%s: %s", #expression, strerror(-ok_ret)); \
	} while (0)
#define refused(error, expression) \
	do { \
		long refused_ret = (expression); \
		if (refused_ret != -(error)) \
			broken("%s: %ld, not %d (%s)", #expression, \
			       refused_ret, -(error), strerror(error)); \
	} while (0)

void sleep_ms(unsigned int ms);

#endif
