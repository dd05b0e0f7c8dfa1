# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests that run hmm-tests share.

# The benchmark takes 50 seconds of a CPU and has 120: tests/hmm/benchmark.t. Others have
# 30, which is too little for one on a debug kernel that KVM does not run.
left_out=(-T benchmark_thp_migration)
if [[ ${DEBUG-} == 1 ]]; then
	left_out+=(-T migrate_remap_fault)
fi
