#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will hang COMMAND, in user space and in the kernel, until the time
# is up.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

crash=/sys/kernel/debug/provoke-crash/DIRECT

vm --no-rxe --timeout 15 -- sh -c 'echo begun; sleep 1000'
is 'the time is up' "$status" 254
is 'what came before is there' "$(cat "$scratch/out")" begun
has 'says so' "$scratch/err" '^vm/run: the time is up \(15 s\); the end of the console:$'

vm --no-rxe --timeout 15 -- sh -c "echo HUNG_TASK > $crash"
is 'the time is up in the kernel' "$status" 254
has 'the console tells where' "$scratch/err" 'lkdtm_HUNG_TASK'
plan
