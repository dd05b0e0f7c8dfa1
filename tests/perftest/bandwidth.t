#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run ib_write_bw, ib_read_bw and ib_send_bw of perftest over
# rxe0, with pinned memory and with on-demand paging.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --timeout 1200 -- tests/perftest/bandwidth
