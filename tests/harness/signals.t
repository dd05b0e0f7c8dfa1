#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will end vm/run with signals, SIGKILL among them, and see that QEMU
# always ends with it.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

begun_or_over() {
	grep -q begun "$scratch/out" || ! alive "$run"
}

gone() {
	! alive "$1"
}

# ended_by SIGNAL STATUS
ended_by() {
	local run qemu
	: > "$scratch/out"
	vm/run --quiet --no-rxe -- sh -c 'echo begun; sleep 1000' \
		> "$scratch/out" 2> "$scratch/err" &
	run=$!
	wait_until begun_or_over
	is "$1: COMMAND runs" "$(cat "$scratch/out")" begun
	qemu=$(pgrep -P "$run")
	check "$1: so does QEMU" alive "$qemu"
	kill -s "$1" "$run"
	status=0
	wait "$run" 2> "$scratch/ended" || status=$?
	is "$1: status" "$status" "$2"
	check "$1: QEMU is gone" wait_until gone "$qemu"
}

ended_by INT 130
ended_by TERM 143
ended_by HUP 129
ended_by KILL 137

# Nobody reads the output any more.
vm/run --quiet --no-rxe -- yes 2> "$scratch/err" | head -n 1 > "$scratch/out"
is 'a closed pipe' "${PIPESTATUS[0]}" 141
plan
