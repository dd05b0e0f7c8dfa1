#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own uffd-unit-tests on the patched kernel. On one
# CPU: they spin, and with two emulated ones for each of which the machine has not
# always a processor they take ten times as long.

set -euo pipefail

cd "$(dirname "$0")/../.."
vm/run --quiet --smp 1 --timeout 900 --mem 4G --hugepages 64 -- \
	sh -c 'exec build/kselftest/mm/uffd-unit-tests 2>&1' |
	tests/hmm/check-skips uffd-unit-tests tests/hmm/expected-skips
