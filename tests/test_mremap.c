// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device memory whose mmap the process moves with mremap(). If a DMA mapping was made
 * for the old address, tether has to revoke it.
 *
 * Stock 6.1 warns when an mmap of vfio-pci's memory is moved (WARN_ON_ONCE in
 * untrack_pfn(), with either backend). So these tests are a program of their own, with
 * a boot of its own, in whose kernel log this warning is permitted.
 */
#include <sys/mman.h>

#include "rig.h"

/*
 * How long a test waits before it checks that a mirror stays revoked. Restore tries a
 * revoked mirror about once a second or more often, so it will not come back later.
 */
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
 * Here the DMA mapping is made after the move, for the new address. mremap() moves
 * page-table entries without telling 6.1's vfio-pci, which then does not zap them at
 * the new address when the memory is turned off. Tether has to revoke the mapping even
 * so.
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
