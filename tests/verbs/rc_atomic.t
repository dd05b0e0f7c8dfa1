#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run RDMA atomics on absent pages, with absent pages for their
# results as well.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/rc_atomic
