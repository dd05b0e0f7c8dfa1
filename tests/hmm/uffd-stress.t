#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own uffd-stress on each kind of memory.

set -euo pipefail

cd "$(dirname "$0")/../.."
exec vm/run --quiet ${DEBUG:+--smp 1} --timeout 1200 --mem 2G --hugepages 64 -- tests/hmm/each-of uffd-stress \
	'anon 10 4' 'shmem 10 4' 'shmem-private 10 4' 'hugetlb 32 4' 'hugetlb-private 32 4'
