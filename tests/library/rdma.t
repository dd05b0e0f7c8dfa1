#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let peers reach memory that is not there yet, and fetch memory from peers.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --hugepages 16 --timeout 900 -- tests/library/each rdma
