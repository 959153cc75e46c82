# SPDX-License-Identifier: GPL-2.0-only
# Each target first installs the packages that it needs (lab/deps); "make help" lists them.

# The kernel: a full version or a short name (6.12); KERNEL= is the same. If it is empty, it
# is the kernel on which the package linux-headers-amd64 depends.
KVER ?= $(KERNEL)
export KVER
# KVER's full version. lab/kernel-version may need packages that "deps" installs first, so
# make runs it when a recipe first uses $(kver), and only once.
kver = $(eval kver := $$(shell lab/kernel-version '$(KVER)' $(IOMMU)))$(kver)
# The same for the targets module, install and uninstall: if KVER is empty and the running
# kernel's headers are here, it is the running kernel.
module_kver = $(eval module_kver := $$(or $$(shell lab/kernel-version --module '$(KVER)' $(IOMMU)),\
	$$(error which kernel? make $@ KVER=...)))$(module_kver)
# The form of the module (module/Kbuild), which names the directory in which it is built.
form = $(subst $() ,-,$(strip $(if $(BESIDE),beside) $(if $(STRICT_ONLY),strict-only)))
backend = vfio_iommu_$(if $(BESIDE),tether,type1)
ko = build/module/$(module_kver)/$(addsuffix /,$(form))$(backend).ko
module_dir = $(INSTALL_MOD_PATH)/lib/modules/$(module_kver)
installed = $(module_dir)/updates/$(backend).ko
# The option by which depmod and modinfo work below INSTALL_MOD_PATH, not on this machine's
# modules.
in_tree = $(if $(INSTALL_MOD_PATH),-b $(INSTALL_MOD_PATH))
# In Debian depmod is not in the PATH of users.
export PATH := $(PATH):/usr/sbin:/sbin
step = @lab/run-step

MAKEFLAGS += --no-print-directory

help:
	@echo 'make demo       show the hole in the in-tree module, and tether closing it'
	@echo 'make test       run all tests on stock kernels under QEMU    [KVER=only that one]'
	@echo 'make check      look at the source with the linters, a minute; part of make test'
	@echo 'make matrix     the tests on every kernel with every IOMMU'
	@echo 'make probes     build it with headers that have newer and older forms, one at a time'
	@echo 'make reach      the main tests on many other kernels     [KVER=only that one]'
	@echo 'make beside     the tests with tether beside the in-tree module [KVER=only that one]'
	@echo "make series     tether as patches for the kernel's tree  [KTREE=linux-source-7.3 or a directory]"
	@echo 'make series-test  build that kernel after each patch, boot it, and run the tests'
	@echo 'make debug-test the tests on debug kernels, failing allocations, coverage'
	@echo 'make differential  the same random operations on both modules  [SEED=1] [OPS=20000]'
	@echo 'make stress     everything against everything, under DMA  [SECONDS=60] [SEED=]'
	@echo 'make fuzz       random calls on a container  [SECONDS=60] [SEED=]'
	@echo 'make bench      what mapping costs: in-tree, tether, the floor [ICOUNT=1] [LONG=1]'
	@echo "make clients    run Debian's own VFIO programs on both modules, and make selftests"
	@echo "make selftests  run Linux's own VFIO selftests on both modules  [KVER=only that one]"
	@echo 'make model      check the protocol, and mutants of it, with spin'
	@echo 'make module     build the module, for the running kernel  [KVER=version] [STRICT_ONLY=1] [BESIDE=1]'
	@echo 'make deb        build and try the packages tether-dkms and tether-tools [SUITE=bookworm]'
	@echo 'make test-install  install them in a booted Debian that uses VFIO [SUITE=trixie]'
	@echo 'make monitoring the metrics, alerting rules and dashboard, in a real Prometheus'
	@echo 'make tools      build tetherctl'
	@echo 'make tests      build the test programs'
	@echo 'make lab        fetch the kernel and build the guest'
	@echo 'make install    install the built module, ahead of the in-tree one  [KVER=version]'
	@echo 'make uninstall  go back to the in-tree one  [KVER=version]'
	@echo 'make deps       install the packages that all this takes'
	@echo 'make clean      remove build/, but for what was fetched'

deps:
	@lab/deps all

# The module and the tools are for real machines: these targets need no lab and no Debian.
# On Debian they install the packages that are missing; on other distributions they name
# them.
deps-module:
	@lab/deps module

deps-tools:
	@lab/deps tools

module: deps-module
	@lab/trixie $(module_kver)
	$(step) module$(addprefix -,$(form)).log \
		'module for $(module_kver)$(if $(form), ($(form)))' lab/build-module $(module_kver) $(form)
	@module/compat/check-abi $(module_kver) $(ko) || [ $$? = 3 -a -z '$(PROVED)' ]
	@echo '  $(ko)'

# All forms of the module that the tests load. PROVED=1: fail if check-abi cannot compare
# the layouts of private structs with the kernel's.
modules: deps fetch
	$(step) check-abi.log 'the check of private structs checks' \
		module/compat/check-abi --self-test
	@$(MAKE) module KVER=$(kver) STRICT_ONLY= BESIDE= TETHER_ABI_UNCHECKED= PROVED=1
	@$(MAKE) module KVER=$(kver) STRICT_ONLY=1 BESIDE= TETHER_ABI_UNCHECKED= PROVED=1
	@$(MAKE) module KVER=$(kver) STRICT_ONLY= BESIDE=1 TETHER_ABI_UNCHECKED= PROVED=1
	$(step) module-separate.log 'module for $(kver) (a domain for each group)' \
		lab/build-module $(kver) separate-domains
	$(step) module-large.log 'module for $(kver) (as if IOMMU pages were of 64 KiB)' \
		lab/build-module $(kver) large-pages
	$(step) module-no-revoke.log 'module for $(kver) (with the hole, for the stress test to find)' \
		lab/build-module $(kver) no-revoke
	@$(MAKE) test-modules

# The modules that the tests load beside tether.
test-modules: deps-module
	$(step) module-emu.log 'emulated device for $(kver)' lab/build-module $(kver) emu
	$(step) module-faults.log 'fault reporter for $(kver)' lab/build-module $(kver) faults

tests: deps
	@lab/arm64 $(kver)
	$(step) tests.log 'test programs' $(MAKE) -C tests $(if $(filter %-arm64,$(kver)),ARCH=arm64)

fetch: deps
	@lab/fetch $(kver)
	@lab/qemu $(if $(filter %-arm64,$(kver)),aarch64,x86_64)

lab: deps fetch
	$(step) check-log.log 'the check of kernel logs checks' lab/check-log --self-test
	$(step) initramfs.log 'guest for $(kver)' lab/initramfs $(kver)

# Make these one after the other, even with -j: lab packs what the other two build into the
# guest.
guest: deps
	@$(MAKE) modules
	@$(MAKE) tests
	@$(MAKE) lab

demo: guest
	@demo/run $(kver)

# Without KVER: all tests on this machine's kernel, and on the kernels of trixie and of its
# backports those that depend on the kernel. With KVER: all tests on that kernel alone.
test: deps
	@echo 'make test: some $(if $(KVER),10 to 20,25 to 40) minutes on two cores' \
		'($(if $(KVER),one kernel,three kernels); more if others use them)'
	@tests/matrix $(kver)/vtd/full $(if $(KVER),,trixie/vtd backports/vtd)

# The linters, which do not run the code. They print one line for each part that they check.
check:
	@tests/check-source

# Vendors' kernels have some functions of newer kernels: checks that module/compat/probe
# finds each form of them.
probes: deps
	@tests/check-probes

# Checks tools/monitoring with promtool and a Prometheus that collects a guest's metrics.
monitoring: guest
	@tests/check-monitoring --kernel $(kver)

# The tests on debug kernels, which the lab builds from Debian's source. Takes hours.
debug-test: deps
	@lab/deps coverage
	@tests/debug-test

# bookworm's kernel for x86 has no virtio-iommu driver, so the first line leaves virtio out.
# The SMMU is Arm's, so 6.1/smmu boots an arm64 kernel.
matrix: deps
	@tests/matrix $(foreach i,vtd amd,$(kver)/$i) \
		$(foreach k,trixie backports,$(foreach i,vtd amd virtio,$k/$i)) \
		6.1/smmu $(foreach k,7.2 bookworm-backports 6.1-rt,$k/vtd/reach)

# The main tests on kernels that make test does not use: those of other suites and flavours
# of Debian, and some that the lab builds from source. Takes hours if all of these have to
# be built.
reach = 7.2 bookworm-backports testing experimental 6.1-rt 6.12-rt 7.3-rt 6.1-cloud 6.12-cloud \
	6.17.8 6.18.15 6.19.11 7.1.13 7.3-rtdebug
reach: deps
	@tests/matrix $(foreach k,$(or $(KVER),$(reach)),$k/vtd/reach)

# The tests with tether loaded beside the in-tree driver, not in its place; the last kernel has
# that driver built in.
beside: deps
	@tests/matrix $(foreach k,$(or $(KVER),6.1 6.12 7.3 6.1-builtin),$k/vtd/beside)

# The series for the kernel's own tree (docs/kernel-tree.md), in build/series/patches. KTREE is
# linux-source-X.Y of Debian or the directory of a kernel's source.
series:
	@lab/deps series
	@series/run $(KTREE)

# Compiles after each patch and in other configurations, and runs the tests on the kernels that
# the lab builds from the series: with the backend built in, and with the checkers of the debug
# kernels.
series-test: deps
	@lab/deps series
	@series/run --build
	@series/selftest
	@tests/matrix 7.3-series/vtd 7.3-seriesdebug/vtd

# SEED, OPS and SECONDS may be given on make's command line or in the environment.
differential: guest
	@tests/differential/run --seed $(or $(SEED),1) --ops $(or $(OPS),20000)

stress: guest
	@tests/stress/run --kernel $(kver) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

fuzz: guest
	@tests/fuzz/run --kernel $(kver) --seconds $(or $(SECONDS),60) $(if $(SEED),--seed $(SEED))

bench-guest: deps
	@lab/deps bench
	$(step) module-floor.log 'the floor for $(kver)' lab/build-module $(kver) floor
	@$(MAKE) guest

# Measures times. It fails only if a measurement could not be made, not because a time is
# long.
bench: bench-guest
	@bench/run $(if $(ICOUNT),--icount) $(if $(LONG),--long) --kernel $(kver)

# Runs Debian's own VFIO programs from a root file system, which clients/root makes once, and
# then Linux's own VFIO selftests on the same kernel.
clients: deps
	@clients/root
	@$(MAKE) guest
	@clients/run --kernel $(kver)
	@tests/selftests $(kver)

# Linux's own VFIO selftests, built from Debian's linux-source-7.3.
selftests: deps
	@tests/selftests $(or $(KVER),6.1 6.12 7.3)

# Has spin search all states of a model of the mirror protocol, and of mutants of the model
# that each lack one rule.
model: deps
	@model/run

tools: deps-tools
	$(step) tools.log 'tetherctl' $(MAKE) -C tools

# Builds the Debian packages, and installs and removes them in chroots of bookworm and
# trixie, or with SUITE=bookworm in one of them (packaging/test-deb).
deb: packages
	@packaging/test-deb $(SUITE)
	@ls build/deb/*.deb

packages:
	@lab/deps deb
	$(step) deb.log 'tether-dkms, tether-tools' packaging/build-deb

# Boots a Debian system that a program uses VFIO in, installs the packages there, and boots
# it again (packaging/test-install).
test-install: deps packages
	@packaging/test-install $(or $(SUITE),bookworm)

# If the kernel has the backend built in, modprobe loads no module of that name, although
# modinfo shows its file. So install refuses then.
install:
	@lab/tools-for install
	@test -e $(ko) || { echo 'not built: make module KVER=$(module_kver)'; exit 1; }
	@! grep -qs '/$(backend)[.]ko' $(module_dir)/modules.builtin || \
		{ echo 'not installed: $(module_kver) has $(backend) built in; make install BESIDE=1 loads beside it'; \
		  exit 1; }
	@module/compat/check-abi $(module_kver) $(ko) || { echo 'not installed'; exit 1; }
	install -D -m 644 $(ko) $(installed)
	depmod $(in_tree) $(module_kver)
	@modinfo $(in_tree) -k $(module_kver) -n $(backend)
	@[ "$$(realpath "$$(modinfo $(in_tree) -k $(module_kver) -n $(backend))")" = \
		"$$(realpath $(installed))" ] || \
		{ echo 'modprobe would load this, not $(installed)'; exit 1; }

uninstall:
	rm -f $(installed)
	depmod $(in_tree) $(module_kver)

clean:
	rm -rf build/module build/tests build/tools build/obj build/deb build/lab build/log build/clients \
		build/selftests

.PHONY: help deps deps-module deps-tools module modules test-modules tests tools deb packages test-install fetch lab guest demo \
	test check probes monitoring debug-test matrix reach beside differential stress fuzz bench bench-guest \
	clients selftests model series series-test install uninstall clean
