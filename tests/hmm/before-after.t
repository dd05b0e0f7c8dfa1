#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run hmm-tests as Linux has it, first on Linux as it is, then on
# the patched kernel, and see that the same tests pass, by name and by number.

set -euo pipefail

cd "$(dirname "$0")/../.."
. tests/hmm/lib.sh
mkdir -p build/tests
folder=$(mktemp -d build/tests/before-after.XXXXXX)
trap 'rm -rf "$folder"' EXIT

# run NAME [OPTION...]: the results of one kernel, a line a test without its
# number, in $folder/NAME; how many there are of each, in $folder/NAME.counts
run() {
	local name=$1 status=0

	shift
	vm/run --quiet --smp 1 --timeout 900 --mem 4G --hugepages 64 "$@" -- \
		sh -c 'exec build/kselftest-stock/mm/hmm-tests "$@" 2>&1' sh \
		"${left_out[@]}" > "$folder/log" || status=$?
	# 1: a test failed, which shows below
	if ((status > 1)); then
		cat "$folder/log" >&2
		exit "$status"
	fi
	sed -nE 's/^(ok|not ok) [0-9]+ /\1 /p' "$folder/log" > "$folder/$name"
	awk '
		/^not ok/ { failed++; next }
		/# SKIP/ { skipped++; next }
		{ passed++ }
		END { printf "%d passed, %d skipped, %d failed", passed, skipped, failed }
	' "$folder/$name" > "$folder/$name.counts"
}

echo 1..2
run before --kernel build/kernel-stock/bzImage
run after

ok='ok'
grep -q '^ok [^#]*$' "$folder/before" || ok='not ok'
echo "$ok 1 - some tests pass without the series: $(< "$folder/before.counts")"

ok='ok'
difference=$(diff "$folder/before" "$folder/after") || ok='not ok'
echo "$ok 2 - each test ends the same way with it: $(< "$folder/after.counts")"
if [[ $difference ]]; then
	printf '%s\n' "$difference" | sed 's/^/# /'
fi
