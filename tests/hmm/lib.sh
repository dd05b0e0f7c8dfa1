# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests that run hmm-tests share.

# hmm-tests ends a test after 30 seconds (the benchmark after 120). That is too
# little for these on a debug kernel which KVM does not run.
left_out=()
if [[ ${DEBUG-} == 1 ]]; then
	# shellcheck disable=SC2034 # for who sources this
	left_out=(-T migrate_remap_fault -T benchmark_thp_migration)
fi
