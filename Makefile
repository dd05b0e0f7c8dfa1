# SPDX-License-Identifier: GPL-2.0
#
# The one entry: each target sees to what it needs itself.

SHELL := /bin/bash
.DEFAULT_GOAL := help
# The steps lock what they share; it is the kernel's make that runs in parallel.
.NOTPARALLEL:

build := $(CURDIR)/build
tree = $(shell scripts/kernel-tree)
# Files that take long first, or one of them would be the only one to run at the end.
groups := series model hmm perftest pyverbs rdma postcopy fault matrix verbs invalidate stress library uffdmr harness
# The group deb builds a kernel of its own, with modules, and takes long, and hmm/benchmark
# wants the machine for itself: by name only.
# The groups series and model boot no kernel, some tests the stock one only, and those of
# the harness look at how one is booted, so another kernel tells nothing new: but report.t
# at what the debug kernel reports. There the kernel's own tests of what the series does
# not change take long (uffd-unregister is the one of uffd-unit-tests that it does, and runs
# there alone), and objects cannot be counted: it keeps the last trackers of each device's
# references after they were freed. Ratios of times are those of the product kernel, and of
# what runs in user space the library does most with it.
slow := $(DEBUG)$(KCSAN)
wanted := $(or $(T),$(if $(KCSAN),fault,$(if $(DEBUG)$(KERNEL),$(filter-out series model,$(groups)),$(groups))))
left_out := tests/hmm/benchmark.t $(if $(slow)$(KERNEL),$(filter-out tests/harness/report.t,$(wildcard tests/harness/*.t)) \
		tests/verbs/demo_stock.t tests/verbs/fails_on_stock.t tests/uffdmr/stock.t) \
	$(if $(slow),$(wildcard tests/verbs/demo*.t) \
		$(addprefix tests/hmm/,before-after.t cow.t gup_longterm.t gup_test.t uffd-unit-tests.t \
			uffd-wp-mremap.t) \
		tests/stress/leaks.t tests/fault/ahead.t tests/fault/isolation.t \
		$(wildcard tests/uffdmr/*.t tests/postcopy/*.t), tests/hmm/uffd-unregister.t)
tests = $(foreach test,$(wanted),$(sort $(or $(wildcard tests/$(test:.t=).t),\
	$(filter-out $(left_out),$(wildcard tests/$(test)/*.t)))))

# Of the tests at a time: many wait, for a timer or for a page. Packages are made by one.
jobs := $(if $(filter tests/deb/%,$(tests)),1,$(shell echo $$((($(shell nproc) * 3 + 1) / 2))))

ifdef LINUX
export LINUX
endif
version := $(if $(VERSION),--version $(VERSION))
patched := $(if $(KCSAN),--kcsan,$(if $(DEBUG),--debug))
flavour := $(if $(STOCK),--stock,$(patched))
# Races in what this project adds fail a test; those elsewhere are Linux's own.
kcsan = DEBUG=1 RXE_UFFD_KERNEL=$(build)/kernel-kcsan/bzImage \
	RXE_UFFD_ALLOW_REPORT='KCSAN: (?![\s\S]*(rxe_odp|userfault|hmm_))'

help:
	@echo 'make run      build everything, boot, show RDMA faulting in userfaultfd memory'
	@echo 'make check    run the tests: T=group[/test]  DEBUG=1  KCSAN=1  KERNEL=image  V=1'
	@echo 'make soak     all of it at random for MIN=10 minutes: SEED=number to repeat one, KERNEL=image'
	@echo 'make bench    measure resident on-demand paging against pinned memory: KERNEL=image'
	@echo 'make kernel   build the patched kernel: DEBUG=1 (all checks on)  STOCK=1 (unpatched)'
	@echo '              KCSAN=1 (finds data races)'
	@echo '              LINUX=tree or tarball  VERSION=7.2.N'
	@echo 'make tree     lay the patched kernel out in build/linux-<version>, a commit a patch'
	@echo 'make save     bring the commits of that tree back to patches/, drivers/ and Kconfig'
	@echo 'make series   write the series as mails to build/series/ and run checkpatch on them'
	@echo 'make deb      make Debian packages in build/deb/: kernel, library, command; CONFIG=file'
	@echo '              builds the kernel with a configuration of yours'
	@echo 'make userspace  build libuffdmr and the uffdmr command'
	@echo 'make clean    remove build/; the downloads in the cache stay'

run: packages kernel userspace
	@vm/run $(if $(KERNEL),--kernel $(KERNEL)) -- build/userspace/uffdmr demo

check: packages-check
	@$(if $(tests),,echo "no tests in '$(wanted)'; groups: $(groups)" >&2; exit 1)
	@$(if $(KERNEL),,scripts/kernel-build $(version) $(patched))
	@scripts/kernel-build $(version) --stock
	@scripts/kselftest-build
	@scripts/kselftest-build --stock
	@$(if $(filter tests/deb/%,$(tests)),scripts/packages deb && scripts/deb-kernel $(version))
	@$(MAKE) -s userspace test-programs
	@$(if $(KCSAN),$(kcsan),$(if $(KERNEL),RXE_UFFD_KERNEL=$(abspath $(KERNEL))) $(if $(DEBUG),DEBUG=1)) \
		tests/run --timer -j $(jobs) $(if $(V),--verbose) $(tests)

# The debug kernel has fault injection and finds leaks.
soak: packages-check
	@tests/soak/minutes > /dev/null
	@$(if $(KERNEL),,scripts/kernel-build $(version) --debug)
	@$(MAKE) -s test-programs
	@$(if $(KERNEL),RXE_UFFD_KERNEL=$(abspath $(KERNEL)) $(if $(DEBUG),DEBUG=1),DEBUG=1) \
		tests/soak/boot $$(tests/soak/minutes) $(SEED)

bench: packages-check
	@$(if $(KERNEL),,scripts/kernel-build $(version))
	@vm/run $(if $(KERNEL),--kernel $(KERNEL)) --accel icount --smp 1 --timeout 5400 -- tests/bench/resident

kernel: packages
	@scripts/kernel-build $(version) $(flavour)

headers: packages
	@scripts/kernel-headers

tree: packages
	@scripts/kernel-tree $(version)

save: packages
	@scripts/kernel-save

series: packages-check
	@scripts/kernel-series

deb: packages packages-deb
	@scripts/deb $(version) $(if $(CONFIG),--config '$(CONFIG)')

userspace: packages
	@$(MAKE) -s -C userspace O=$(build)/userspace

# They use what the kernel offers, which may be more than the system's headers have.
test-programs: headers
	@$(MAKE) -s -C tests O=$(build)/tests KSELFTEST=$(tree)/tools/testing/selftests \
		HEADERS=$(build)/headers/include

packages:
	@scripts/packages build vm run

packages-deb:
	@scripts/packages deb

packages-check:
	@scripts/packages

clean:
	rm -rf build

.PHONY: help run check soak bench kernel headers tree save series deb userspace test-programs \
	packages packages-deb packages-check clean
