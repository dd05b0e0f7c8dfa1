#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will write to the host's files from within the guest: there it works,
# here nothing changes, except below a folder that is shared writable.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

# Everything of the project but what is built, with sizes and times.
project_files() {
	find . -path ./build -prune -o -path ./.git -prune -o -printf '%p %s %T@\n' | sort
}

# planted: the names that the guest wrote to and the host has.
planted() {
	local name
	for name in "$project" /etc /usr "$HOME" "$project/build" /tmp /var/tmp; do
		ls -d "$name/planted.$$" 2> /dev/null
	done
}

project_files > "$scratch/before"
mkdir "$scratch/shared"
script plant << 'END'
for name in . /etc /usr "$HOME" build /tmp /var/tmp; do
	mkdir -p "$name"
	echo text > "$name/planted.$1" && cat "$name/planted.$1"
done
echo more >> README.md && tail -n 1 README.md
rm vm/run && ls vm/run
echo shared > "$2/file"
END
vm --no-rxe --rw "$scratch/shared" -- bash "$scratch/plant" "$$" "$scratch/shared"
is 'the guest writes and reads back' "$(cat "$scratch/out")" "$(printf 'text\n%.0s' 1 2 3 4 5 6 7)
more"
has 'and removes' "$scratch/err" "cannot access 'vm/run'"
is 'nothing of it arrives here' "$(planted)" ''
is '--rw' "$(cat "$scratch/shared/file")" shared
project_files > "$scratch/after"
check 'the project is as it was' diff "$scratch/before" "$scratch/after"

# The current folder may be one that is empty in the guest otherwise, as the project
# may.
elsewhere=$(mktemp -d -p /tmp)
trap 'rm -rf "$scratch" "$elsewhere"' EXIT
echo here > "$elsewhere/file"
cd "$elsewhere" || exit
"$project/vm/run" --quiet --no-rxe -- sh -c 'cat file; ls /tmp' \
	> "$scratch/out" 2> "$scratch/err"
is 'a folder below /tmp' "$(cat "$scratch/out")" "here
$(printf '%s\n' "$elsewhere/" "$project/" | sed -n 's|^/tmp/\([^/]*\)/.*|\1|p' | sort)"
is 'left as it was' "$(ls)" file
plan
