#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run perftest, the pingpongs and rping of rdma-core, qperf and UCX
# unchanged, with lazy memory.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/uffdmr/programs
