#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own test of copy-on-write with pages that are pinned.

set -euo pipefail

cd "$(dirname "$0")/../.."
vm/run --quiet --smp 1 --timeout 1800 --mem 4G --hugepages 64 -- \
	sh -c 'exec tests/hmm/with-swap build/kselftest/mm/cow 2>&1' |
	tests/hmm/check-skips cow tests/hmm/expected-skips
