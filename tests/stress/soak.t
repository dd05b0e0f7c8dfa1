#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will soak the kernel for a short time, with a new seed: `make soak` is
# the same for as long as one likes.

. "$(dirname "$0")/../tap.sh"
cd "$project" || exit

soak() {
	tests/soak/boot 20 > "$scratch/out" 2>&1
}

minutes_refused() {
	local status=0

	MIN=$1 tests/soak/minutes > "$scratch/stdout" 2> "$scratch/stderr" || status=$?
	[ "$status" -eq 2 ] && [ ! -s "$scratch/stdout" ] &&
		[ "$(wc -l < "$scratch/stderr")" -eq 1 ]
}

for bad in 0 ten 1.5 -1 '' 123456; do
	check "MIN='$bad' is refused in one line" minutes_refused "$bad"
done
status=0
soak || status=$?
# A failure is to be seen without --verbose, too.
if [ "$status" -eq 0 ]; then
	cat "$scratch/out"
else
	sed 's/^#* */# /' "$scratch/out" >&2
fi
result "$status" 'nothing is lost, and nothing left behind'
plan
