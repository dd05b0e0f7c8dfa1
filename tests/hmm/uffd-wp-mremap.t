#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own test of userfaultfd write protection across mremap().

set -euo pipefail

cd "$(dirname "$0")/../.."
vm/run --quiet --smp 1 --timeout 1800 --mem 4G --hugepages 64 -- \
	sh -c 'exec tests/hmm/with-swap build/kselftest/mm/uffd-wp-mremap 2>&1' |
	tests/hmm/check-skips uffd-wp-mremap tests/hmm/expected-skips
