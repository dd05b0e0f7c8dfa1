#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send more packets at once than the queue of the network device takes: what
# it drops is lost like a packet on the line, and sent again.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- tests/stress/on-two-sides --short-queue \
	build/tests/stress/loss -r loss.pinned.write_and_read -r loss.uffd.write_and_read \
	-r loss.pinned.atomics
