// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory whose mmap is moved: the DMA mapping was made for the old address.
 *
 * This is a program of its own because stock 6.1 warns when an mmap of vfio-pci's
 * memory is moved (WARN_ON_ONCE in untrack_pfn(), with either backend). So the program
 * has a boot of its own, in whose log this warning is permitted.
 */
#include <sys/mman.h>

#include "rig.h"

/* How long to wait for a mirror that must not be restored: past restore's last attempt. */
#define NEVER_MS	2200

static uint8_t *to;

static int setup(void **state)
{
	to = vfio_reserve(RIG_LEN, PAGE, 0);
	assert_non_null(to);
	return rig_mapped(state);
}

static int teardown(void **state)
{
	munmap(to, RIG_LEN);
	return rig_heal(state);
}

static void mremap_revokes(void **state)
{
	assert_ptr_equal(mremap(rig.map, RIG_LEN, RIG_LEN,
				MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	expect_blocked(IOVA, 0);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

static void moved_away_and_back_is_for_good(void **state)
{
	assert_ptr_equal(mremap(rig.map, RIG_LEN, RIG_LEN,
				MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	assert_ptr_equal(mremap(to, RIG_LEN, RIG_LEN,
				MREMAP_MAYMOVE | MREMAP_FIXED, rig.map),
			 rig.map);
	sleep_ms(NEVER_MS);
	expect_blocked(IOVA, 0);
}

/*
 * mremap() moves page-table entries without telling 6.1's vfio-pci, which then does not
 * zap them at the new address. The DMA mapping is made after the move.
 */
static void moved_before_it_is_mapped_is_revoked_all_the_same(void **state)
{
	ok(vfio_dma_unmap(&rig.container, IOVA, RIG_LEN, NULL));
	((volatile uint8_t *)rig.map)[0] = 1;
	assert_ptr_equal(mremap(rig.map, RIG_LEN, RIG_LEN,
				MREMAP_MAYMOVE | MREMAP_FIXED, to), to);
	ok(vfio_dma_map(&rig.container, to, IOVA, RIG_LEN, VFIO_DMA_RW));
	expect_blocked_while_off(IOVA, 0);
}

static const struct CMUnitTest tests[] = {
	SECURITY(mremap_revokes, setup, teardown),
	SECURITY(moved_away_and_back_is_for_good, setup, teardown),
	SECURITY(moved_before_it_is_mapped_is_revoked_all_the_same, setup, teardown),
};

TEST_MAIN(tests, rig_open, rig_close)
