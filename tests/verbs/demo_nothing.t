#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run uffdmr demo where there is no RDMA device.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 --no-rxe -- tests/verbs/demo nothing
