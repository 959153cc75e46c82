// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells which code of the kernel a call has reached (Documentation/dev-tools/kcov.rst).
 * If the kernel does not have kcov, or the module was not built for it, the fuzzer has
 * no such feedback.
 */
#include <fcntl.h>
#include <linux/kcov.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define WORDS	(64 << 10)

static __thread unsigned long *cover;

/* Called once by each thread. */
bool kcov_open(void)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (ioctl(fd, KCOV_INIT_TRACE, WORDS))
		goto fail;
	cover = mmap(NULL, WORDS * sizeof(*cover), PROT_READ | PROT_WRITE,
		     MAP_SHARED, fd, 0);
	if (cover == MAP_FAILED || ioctl(fd, KCOV_ENABLE, KCOV_TRACE_PC)) {
		cover = NULL;
		goto fail;
	}
	return true;
fail:
	close(fd);
	return false;
}

void kcov_start(void)
{
	if (cover)
		__atomic_store_n(cover, 0, __ATOMIC_RELAXED);
}

bool kcov_stop(uint8_t *seen, uint64_t size, uint64_t *edges)
{
	unsigned long i, n, last = 0;
	bool new = false;

	if (!cover)
		return false;
	n = __atomic_load_n(cover, __ATOMIC_RELAXED);
	for (i = 1; i <= n && i < WORDS; i++) {
		uint64_t at = random_mix(cover[i] ^ (last << 1)) % size;

		last = cover[i];
		if (!__atomic_exchange_n(&seen[at], 1, __ATOMIC_RELAXED)) {
			__atomic_add_fetch(edges, 1, __ATOMIC_RELAXED);
			new = true;
		}
	}
	return new;
}
