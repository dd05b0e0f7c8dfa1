#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own hmm-tests, with those that the series
# adds, on the patched kernel.

set -euo pipefail

cd "$(dirname "$0")/../.."
. tests/hmm/lib.sh
# A debug kernel dumps the stack where a page fault meets userfaultfd and may
# not wait. Here hmm_range_fault() is made to do so (locked_call_fails).
vm/run --quiet --timeout 900 --mem 4G --hugepages 64 \
	--allow-report 'FAULT_FLAG_ALLOW_RETRY missing' -- \
	sh -c 'exec build/kselftest/mm/hmm-tests "$@" 2>&1' sh "${left_out[@]}" |
	tests/hmm/check-skips hmm-tests tests/hmm/expected-skips
