#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run those of hmm-tests that use a file on a file system which
# wants to know of each first write to a page (page_mkwrite); tmpfs does not.

set -euo pipefail

cd "$(dirname "$0")/../.."
tests=(
	-r hmm.hmm_device_private.file_read
	-r hmm.hmm_device_private.file_write
	-r hmm.hmm_device_private.migrate_file_private
	-r hmm.hmm_device_private.unlockable_shared_write
)
vm/run --quiet --smp 1 -- tests/hmm/on-ext4 \
	sh -c 'exec build/kselftest/mm/hmm-tests "$@" 2>&1' sh "${tests[@]}" |
	tests/hmm/check-skips hmm-tests-on-ext4 tests/hmm/expected-skips
