#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will wait for pages where that meets something else: the next element of
# a list, the cut of a READ, the end of a queue, the drain of the send queue.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 300 -- build/tests/fault/edges
