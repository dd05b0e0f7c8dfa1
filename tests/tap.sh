# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# TAP for the shell tests, and a scratch folder that goes when the test ends.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
mkdir -p "$project/build/tests"
# In a guest the project can only be read.
scratch=$(mktemp -d "$project/build/tests/${0##*/}-XXXXXX" 2> /dev/null || mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0

# result STATUS NAME [TEXT]: one TAP line; TEXT tells what was seen if it is bad, on
# stderr, which prove shows.
result() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		printf 'ok %d - %s\n' "$count" "$2"
	else
		printf 'not ok %d - %s\n' "$count" "$2"
		printf '%s\n' "$2" ${3+"$3"} | sed 's/^/# /' >&2
	fi
}

# check NAME COMMAND...: COMMAND must succeed.
check() {
	local name=$1 output result=0
	shift
	output=$("$@" 2>&1) || result=$?
	result "$result" "$name" "$output"
}

plan() {
	printf '1..%d\n' "$count"
}
