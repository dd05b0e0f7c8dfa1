# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# How uffdmr fails: with its status, one line on stderr, and no report.

. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
uffdmr=$project/build/userspace/uffdmr

# fails STATUS PATTERN ARG...: and the line begins with uffdmr and has PATTERN in it.
# What argp itself refuses has another line that names --help. $path is the PATH.
fails() {
	local status=$1 pattern=$2 have=0 why=
	shift 2
	timeout 60 env PATH="${path-$PATH}" "$uffdmr" "$@" \
		> "$scratch/out" 2> "$scratch/err" || have=$?
	if [[ $have -ne $status ]]; then
		why="status $have and not $status"
	elif [[ -s $scratch/out ]]; then
		why="there is a report"
	elif [[ $(grep -vc '^Try .*--help' "$scratch/err") -ne 1 ]]; then
		why="not one line"
	elif ! [[ $(head -n 1 "$scratch/err") =~ ^uffdmr.*$pattern ]]; then
		why="nothing says '$pattern'"
	fi
	result "$([[ -z $why ]]; echo $?)" "uffdmr $*" "$why: $(cat "$scratch/out" "$scratch/err")"
}

# refused PATTERN ARG...: these are bad arguments.
refused() {
	fails 2 "$@"
}
