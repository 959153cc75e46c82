// SPDX-License-Identifier: GPL-2.0-only
/*
 * IOMMU drivers log devices' faults, but only a few in some seconds. A test has to
 * see all faults that it causes. So this module lifts the limit for as many faults as
 * the test has written to its parameter "budget". It changes no other log message.
 */
#include <linux/atomic.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/string.h>

static unsigned int budget;
module_param(budget, uint, 0644);
MODULE_PARM_DESC(budget, "how many faults to log whatever the limit says");

/* The limit is lifted for these callers of ___ratelimit(), which gets their names. */
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
	/*
	 * budget needs no lock: only one kernel thread reports faults, and a test
	 * writes to budget only when that thread has reported all.
	 */
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
