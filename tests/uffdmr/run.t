#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have a program register memory of each kind, all of it lazy, and use
# it in each way, and compare every byte.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --hugepages 16 --timeout 900 -- build/userspace/uffdmr run --latency 500us \
	--jitter 300us -- build/tests/uffdmr/lazy
