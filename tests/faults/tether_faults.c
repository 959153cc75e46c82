// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU drivers log the faults of devices, but only some in every few seconds.
 * A test has to see its own: this lifts the limit for the next "budget" of
 * them, which the test writes. Nothing else of the kernel is changed.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/string.h>

static unsigned int budget;
module_param(budget, uint, 0644);
MODULE_PARM_DESC(budget, "how many faults to log whatever the limit says");

/* Who asks for leave to log: it is what ___ratelimit() is told. */
static const char * const reporters[] = {
	"amd_iommu_report_page_fault",
	"viommu_fault_handler",
	"arm_smmu_evtq_thread",
	"arm_smmu_dump_event",
};

static int before_ratelimit(struct kprobe *p, struct pt_regs *regs)
{
	struct ratelimit_state *rs = (void *)regs_get_kernel_argument(regs, 0);
	const char *reporter = (void *)regs_get_kernel_argument(regs, 1);
	unsigned int left = READ_ONCE(budget);

	if (match_string(reporters, ARRAY_SIZE(reporters), reporter) < 0)
		return 0;
	/* One thread reports faults, and a test that adds to it waits for it. */
	if (left)
		WRITE_ONCE(budget, left - 1);
	WRITE_ONCE(rs->interval, left ? 0 : DEFAULT_RATELIMIT_INTERVAL);
	return 0;
}

static struct kprobe probe = {
	.symbol_name = "___ratelimit",
	.pre_handler = before_ratelimit,
};

static int __init faults_init(void)
{
	return register_kprobe(&probe);
}

static void __exit faults_exit(void)
{
	unregister_kprobe(&probe);
}

module_init(faults_init);
module_exit(faults_exit);

MODULE_DESCRIPTION("Shows every IOMMU fault to tether's tests");
MODULE_LICENSE("GPL");
