#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will RDMA-WRITE with immediate data from and into absent pages.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/rc_write_imm
