#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will move a workload from one guest to another by post-copy, as the README's
# command does, and see both reports.
. "$(dirname "$0")/../tap.sh"
cd "$project" || exit

moves() {
	vm/run --quiet --hosts 2 --timeout 600 -- tests/postcopy/migrate --size 16M \
		> "$scratch/out"
}

check 'a move between two guests' moves
check 'clients find all that was acknowledged' grep -q '^host1: verdict  *PASS' "$scratch/out"
check 'the destination finds all whole' grep -q '^host2: verdict  *PASS' "$scratch/out"
check 'pages came on demand' grep -qE '^host2: fault latency  *[1-9]' "$scratch/out"
plan
