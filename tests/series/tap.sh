# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests of the series share: they work on a scratch copy of the project,
# so that none touches the real one.

. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"

# refused NAME PATTERN COMMAND...: COMMAND must fail with one line on stderr that
# PATTERN (an extended regular expression) is found in; what it said it was doing
# before that does not count.
refused() {
	local name=$1 pattern=$2 status=0
	shift 2
	"$@" > "$scratch/stdout" 2> "$scratch/stderr" || status=$?
	sed -i -E '/^kernel-[a-z]*: (asks|fetches|lays out|waits for|the cached) /d' "$scratch/stderr"
	if [ "$status" -ne 0 ] && grep -qE "$pattern" "$scratch/stderr" &&
	   [ "$(wc -l < "$scratch/stderr")" -eq 1 ]; then
		result 0 "$name"
	else
		result 1 "$name" "status $status: $(cat "$scratch/stderr")"
	fi
}

# copy_project DIR: what the scripts work on, without anything built.
copy_project() {
	mkdir -p "$1/vm"
	cp -a "$project"/{scripts,patches,drivers,Kconfig} "$1"
	cp -a "$project/vm/config" "$1/vm"
}

# touched_files: every path of Linux or ours that the series changes.
touched_files() {
	local tree
	tree=$("$project/scripts/kernel-tree")
	# Also what a later patch puts back as it was.
	git -C "$tree" log --format= --name-only \
		base.."$(awk '$1 == "head" { print $2 }' "$tree/.git/rxe-uffd")" | sort -u
}
