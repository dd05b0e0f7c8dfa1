#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will wait for pages where that meets something else: the next element of a
# list, the end of a queue, the share of a timeout that a wait may take, a process that is
# stopped, a transport that nobody answers, CPUs that are taken away.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 1800 -- tests/in-turn \
	fault/{edges,park_time,stopped,unreliable,rnr_stall}
