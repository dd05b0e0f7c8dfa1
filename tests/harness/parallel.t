#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run two guests at the same time, each with its own rxe0.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

for name in one two; do
	vm/run --quiet -- sh -c "echo $name; ls /sys/class/infiniband; sleep 3; echo $name" \
		> "$scratch/$name" 2> "$scratch/$name.err" &
	pids+=("$!")
done
wait "${pids[0]}"
is 'one ends well' "$?" 0
wait "${pids[1]}"
is 'two ends well' "$?" 0
is 'the output of one' "$(cat "$scratch/one")" $'one\nrxe0\none'
is 'the output of two' "$(cat "$scratch/two")" $'two\nrxe0\ntwo'
is 'nothing on stderr' "$(cat "$scratch"/*.err)" ''
plan
