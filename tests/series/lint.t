#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will hold the sources of the project against the tools that know its
# style: shellcheck for shell, the kernel's checkpatch.pl for C.
set -euo pipefail
. "$(dirname "$0")/tap.sh"
. "$project/scripts/lib.sh"
. "$project/scripts/checkpatch.sh"

tree=$("$project/scripts/kernel-tree")
cd "$project"

# sources: every file of the project itself.
sources() {
	find . \( -path ./build -o -path ./.git \) -prune -o -type f -printf '%P\n' | sort
}

is_shell() {
	case $1 in
	*.sh | *.bash) return 0 ;;
	esac
	head -n 1 "$1" | grep -qaE '^#!.*[/ ](ba|da)?sh( |$)'
}

mapfile -t shell < <(sources | while read -r file; do
	if is_shell "$file"; then
		printf '%s\n' "$file"
	fi
done)
check "shellcheck of ${#shell[@]} files" shellcheck -x -P SCRIPTDIR "${shell[@]}"

mapfile -t c < <(sources | grep '\.[ch]$')
# A folder at a time, as what is said of each is kept.
no_findings() {
	local folder file files
	for folder in $(printf '%s\n' "${c[@]%/*}" | sort -u); do
		files=()
		for file in "${c[@]}"; do
			[ "${file%/*}" != "$folder" ] || files+=("$file")
		done
		checkpatch_findings "$tree" "$project" --no-tree --max-line-length=100 -f -- "${files[@]}"
	done | checkpatch_judge tests/series/checkpatch-allowed
}
check "checkpatch of ${#c[@]} files" no_findings
plan
