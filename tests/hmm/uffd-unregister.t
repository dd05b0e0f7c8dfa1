#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let faults meet UFFDIO_UNREGISTER on two CPUs (one of the kernel's
# own uffd-unit-tests), and see that none sleeps on.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 300 --mem 4G --hugepages 64 -- \
	build/kselftest/mm/uffd-unit-tests -f unregister-wakes
