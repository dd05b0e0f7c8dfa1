#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will count the kernel's objects before and after programs that make
# and destroy everything rxe has, in good and in bad ways.

. "$(dirname "$0")/../tap.sh"
cd "$project" || exit

leaks() {
	vm/run --quiet --nodes 2 --timeout 600 -- tests/stress/with-swap tests/stress/leaks "$@"
}

planted() {
	# Message queues stay when the process that made them ends.
	leaks perl -e 'msgget 0, 0600 for 1 .. 200' > "$scratch/out" 2>&1
	[ $? -eq 1 ] && grep -q '^kmalloc-' "$scratch/out"
}

check 'objects that are left behind are seen' planted
# All in one guest: to count takes longer than what is counted.
check 'none is left by the race, by what the verbs refuse, and by keys that give no access' \
	leaks sh -ec 'cd build/tests/stress; ./race 4 1; ./fuzz_verbs 4 1; ./keys'
plan
