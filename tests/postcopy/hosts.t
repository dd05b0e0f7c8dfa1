#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will move a workload from one guest to another by post-copy, as the README's
# command does, and see both reports; then once more, with a source that is killed meanwhile.
. "$(dirname "$0")/../tap.sh"
cd "$project" || exit

# shellcheck disable=SC2016 # it is for the guests' shells
moves() {
	vm/run --quiet --smp 1 --hosts 2 --timeout 600 -- bash -c 'tests/postcopy/migrate --size 8M &&
		tests/postcopy/migrate --size 8M --kill-source --rate 2M' > "$scratch/out"
}

# passes HOST: how often
passes() {
	grep -c "^host$1: verdict  *PASS" "$scratch/out"
}

check 'two moves between two guests' moves
check 'clients find all that was acknowledged' test "$(passes 1)" -eq 2
check 'the destination finds all whole' test "$(passes 2)" -eq 2
check 'it did without the source for a while' grep -qE '^host2: pauses  *[1-9]' "$scratch/out"
check 'pages came on demand' grep -qE '^host2: fault latency  *[1-9]' "$scratch/out"
for row in '2: move +postcopy, 8 MiB from' '2: bare READ +median [0-9.]+ ms' '2: downtime +[0-9.]+ ms here' \
	'2: total time +[0-9.]+ ms' '2: at the start +[1-9][0-9]* bytes' '2: demand +[1-9][0-9]* bytes' \
	'2: background +[1-9][0-9]* bytes' '2: duplicates +[0-9]+ pages were there already, [0-9]+ bytes' '2:   \[ +[0-9.]+ us - +[0-9.]+ us \]: +[1-9]' \
	'2: clients +4, [1-9]' '2: CPU +[1-9][0-9]* steps' '1: clients +4, for' '1: operations +[1-9]' \
	'1: READ, WRITE +[1-9][0-9]*, [1-9]' '1: atomics +[1-9][0-9]* FETCH_ADD, [1-9][0-9]* CMP_SWAP' \
	'1: downtime +[0-9.]+ ms' '1: records +[1-9]' '1: wrong records +0 broken, 0 stale, 0 too new'; do
	check "a row of a report: $row" grep -qE "^host$row" "$scratch/out"
done

# refused STATUS PATTERN ARG...: both hosts end, by far before the time is up.
refused() {
	local wanted=$1 pattern=$2 status=0
	shift 2
	vm/run --quiet --smp 1 --hosts 2 --timeout 100 -- tests/postcopy/migrate --size 8M "$@" \
		> "$scratch/out" 2> "$scratch/err" || status=$?
	[ "$status" -eq "$wanted" ] && grep -q "$pattern" "$scratch/err"
}

check 'what the destination refuses ends both hosts' refused 2 "^host2: .*--mode is .*not 'fast'" --mode fast
check 'what the clients refuse, too' refused 2 "^host1: .*from 1 to 64, not '65'" --clients 65
plan
