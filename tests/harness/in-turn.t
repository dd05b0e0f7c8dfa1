#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run programs through in-turn that pass, fail, skip, stop half way and
# do not exist, and see that it makes one TAP of them and that none of it is lost.

. "$(dirname "$0")/../tap.sh"
cp "$project/tests/in-turn" "$scratch"
mkdir -p "$scratch/build/tests"
cd "$scratch" || exit

# program NAME STATUS LINE...: one that prints this and ends so.
program() {
	local name=build/tests/$1 status=$2

	shift 2
	{
		printf '#!/bin/sh\ncat << END\n'
		printf '%s\n' "$@" 'END' "exit $status"
	} > "$name"
	chmod +x "$name"
}

program good 0 'TAP version 13' 1..2 '# one' 'ok 1 - one' 'ok 2 - two # SKIP no'
program bad 1 'TAP version 13' 1..2 'ok 1 - three' 'not ok 2 - four'
program skipped 0 'TAP version 13' '1..0 # SKIP nothing here'
program short 0 1..2 'ok 1 - five'
program status 3 1..1 'ok 1 - six'

# gives NAME STATUS TEXT PROGRAM...: it must print TEXT and end with STATUS.
gives() {
	local name=$1 wanted=$2 text=$3 status=0 output

	shift 3
	output=$(KMSG=$scratch/kmsg ./in-turn "$@" 2> stderr) || status=$?
	result "$([ "$status" -eq "$wanted" ] && [ "$output" = "$text" ]; echo $?)" "$name" \
		"status $status: $output $(cat stderr)"
}

gives 'two that pass' 0 '# one
ok 1 - one
ok 2 - two # SKIP no
# one
ok 3 - one
ok 4 - two # SKIP no
1..4' good good
gives 'one that fails, and goes on' 1 'ok 1 - three
not ok 2 - four
# one
ok 3 - one
ok 4 - two # SKIP no
1..4' bad good
gives 'one that skips everything' 0 'ok 1 - skipped # SKIP nothing here
1..1' skipped
gives 'one that stops half way' 0 'ok 1 - five
not ok 2 - short: 1 results of 2
1..2' short
gives 'one that says nothing of what is wrong' 1 'ok 1 - six
1..1' status
gives 'one that is not there' 1 'not ok 1 - none: 0 results of an unknown number
1..1' none
result "$([ "$(< "$scratch/kmsg")" = 'in-turn: none' ]; echo $?)" 'the console names it'
plan
