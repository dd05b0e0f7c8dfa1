#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end commands in every way there is and compare the status of
# vm/run.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

vm --no-rxe -- true
is 'success' "$status" 0
is 'success has nothing on stderr' "$(cat "$scratch/err")" ''

vm --no-rxe -- sh -c 'exit 3'
is 'the status of COMMAND' "$status" 3

vm --no-rxe -- no-such-command
is 'no such command' "$status" 127
has 'says which' "$scratch/err" 'cannot run no-such-command: No such file'

vm --no-rxe -- /etc/passwd
is 'not a program' "$status" 126

vm --no-rxe -- /usr/bin/python3 -c 'import os; os.kill(os.getpid(), 11)'
is 'ended by signal 11' "$status" 139

vm --no-rxe -- sh -c 'exit 253'
is 'a status that also is one of vm/run' "$status" 253
has 'is told from it' "$scratch/err" '^vm/run: COMMAND itself ended with status 253$'

vm --no-rxe -- sh -c 'echo b > /proc/sysrq-trigger; sleep 60'
is 'the machine ended early' "$status" 255
has 'says so' "$scratch/err" '^vm/run: the machine ended before COMMAND did'
plan
