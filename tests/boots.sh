# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# The boots of tests/run: which programs run in one boot of the guest, on which backend,
# kernels and IOMMUs. tests/run stops if a tests/test_*.c is in no boot. Sourced, never run.

# The programs with most of the tests; those that test the promises of docs/uapi.md; those
# that test the tools.
main='test_uapi test_ram test_mirror test_restore test_strict test_exit test_race'
uapi='test_args test_dirty test_vaddr test_emulated test_faultin'
tools='test_trace test_scripts test_events test_tetherctl'

# boot NAME KERNELS IOMMU SECONDS 'BACKEND PROGRAM...'...: one boot, which may take SECONDS
# and runs one suite ('BACKEND PROGRAM...') after the other.
#
#   KERNELS  on which kernels: stock: all but debug kernels; asked: these, but only if
#            tests/run is called with --backend; watched: debug kernels, which look for
#            faults of their own (docs/testing.md); debug: those debug kernels that can make
#            allocations fail; all; series: those with the series for the kernel's tree,
#            which no other class has, module: those of them whose backend is a module. If the kernel reports a fault in a boot for watched or
#            debug, tests/run runs tether's programs again on the in-tree module.
#   IOMMU    on which IOMMU: vtd, amd, virtio, smmu; any
boots()
{
	boot intree           stock   any  900 "intree $main"
	boot tether           stock   any  900 "tether $main"
	boot uapi             stock   any  600 "intree $uapi" "tether $uapi" 'large-pages test_granule'
	boot tools            stock   any  400 "tether $tools" 'intree test_events test_tetherctl'
	boot tether           watched any  900 "tether $main"
	boot uapi             watched any  600 "tether $uapi"
	boot large-pages      watched any  240 'large-pages test_granule'
	boot tools            watched any  400 "tether $tools"
	boot failnth          debug   any  600 'tether test_failnth'
	boot failnth-separate debug   any  600 'separate-domains test_failnth'
	boot mremap           all     any  240 'intree test_mremap' 'tether test_mremap'
	boot interrupts       all     vtd  240 'intree test_interrupts' 'tether test_interrupts'
	boot beside           all     vtd  600 'intree test_beside' 'beside test_beside'
	boot beside-main      asked   any  900 "beside $main"
	boot beside-uapi      asked   any  600 "beside $uapi"
	boot beside-tools     asked   any  400 'beside test_tetherctl'
	boot lockdown         all     vtd  240 'tether test_lockdown'
	boot strict-only      all     vtd  240 'strict-only test_strict_only'
	boot separate-domains all     vtd  900 'separate-domains test_ram test_mirror test_race'
	boot limits           all     vtd  600 'tether test_limits'
	boot flush            all     vtd  300 'intree test_flush' 'tether test_flush'
	boot smmu             all     smmu 240 'intree test_smmu' 'tether test_smmu'
	boot tether           series  any  900 "tether ${main/ test_strict/}"
	boot uapi             series  any  600 "tether $uapi"
	boot tools            series  any  400 'tether test_events test_own'
	boot mremap           series  any  240 'tether test_mremap'
	boot strict           module  any  240 'tether test_strict'
}
