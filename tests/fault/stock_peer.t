#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will let Linux without this project's series access pages of a second
# machine that come 5 to 30 s late, and see that each verb completes with the right
# data.

. "$(dirname "$0")/../harness/tap.sh"

vm --hosts 2 --peer-kernel build/kernel-stock/bzImage -- build/tests/fault/stock_peer
is 'both sides are content' "$status" 0
for verb in READ WRITE SEND CMP_SWAP FETCH_ADD; do
	has "$verb at the requester" "$scratch/out" "^host2: $verb: success, right data$"
	has "$verb at the responder" "$scratch/out" "^host1: $verb: right data$"
done
sed 's/^/# /' "$scratch/out"
plan
