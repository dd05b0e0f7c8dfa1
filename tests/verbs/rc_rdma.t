#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will RDMA-READ and RDMA-WRITE absent pages on either side, page by
# page and many at once, at all kinds of offsets, and compare every byte.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- build/tests/verbs/rc_rdma
