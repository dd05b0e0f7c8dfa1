#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will make the kernel warn, oops and panic while COMMAND succeeds, and
# leave a process behind that cannot be killed: vm/run must see each.
. "$(dirname "$0")/tap.sh"

crash=/sys/kernel/debug/provoke-crash/DIRECT

# What the debug kernel alone reports; the rest is the same on each.
if [ "${DEBUG-}" = 1 ]; then
	vm --no-rxe -- sh -c "echo WRITE_AFTER_FREE > $crash"
	is 'a use after free' "$status" 253
	has 'KASAN reports it' "$scratch/err" 'BUG: KASAN: slab-use-after-free in lkdtm'
	plan
	exit
fi

vm --no-rxe -- sh -c "echo WARNING > $crash; echo went on"
is 'a warning' "$status" 253
is 'COMMAND went on' "$(cat "$scratch/out")" 'went on'
has 'the report is printed' "$scratch/err" 'WARNING: .*lkdtm'
has 'with its stack' "$scratch/err" 'lkdtm_WARNING'
has 'and the status of COMMAND' "$scratch/err" '^vm/run: status 253: .*\(COMMAND: status 0\)$'

vm --no-rxe --allow-report lkdtm_WARNING -- sh -c "echo WARNING > $crash; exit 5"
is 'a report that is allowed' "$status" 5

vm --no-rxe --allow-report nothing-like-it -- sh -c "echo WARNING > $crash"
is 'another one is not' "$status" 253

vm --no-rxe -- sh -c "echo BUG > $crash; sleep 60"
is 'an oops' "$status" 253
has 'the report is printed' "$scratch/err" 'kernel BUG at'

vm --no-rxe -- sh -c 'echo c > /proc/sysrq-trigger; sleep 60'
is 'a panic' "$status" 253
has 'the report is printed' "$scratch/err" 'Kernel panic - not syncing: sysrq'

vm --no-rxe -- sh -c "echo HUNG_TASK > $crash & sleep 1"
is 'a process that cannot be killed' "$status" 253
has 'is named' "$scratch/err" 'BUG: cannot kill the process [0-9]+ \(sh\), state D'
has 'with its stack' "$scratch/err" 'lkdtm_HUNG_TASK'
plan
