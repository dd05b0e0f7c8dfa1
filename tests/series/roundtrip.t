#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will take the series to a tree and back in a scratch copy of the
# project: without a change nothing may change, an edit must come back in the file
# that it belongs to, and work that is not saved must survive.
set -euo pipefail
. "$(dirname "$0")/tap.sh"

real=$("$project/scripts/kernel-tree")
p=$scratch/project
tree=$p/build/${real##*/}
rxe=drivers/infiniband/sw/rxe
copy_project "$p"

# A tree that shares the real one's objects and has only what the series touches
# checked out: laying out all of Linux once more would take a minute.
git clone -q --shared --no-checkout "$real" "$tree"
cp "$real/.git/rxe-uffd" "$tree/.git/rxe-uffd"
{
	printf '%s\n' /Makefile "/$rxe/"
	touched_files | sed 's,^,/,'
} | git -C "$tree" sparse-checkout set --no-cone --stdin
git -C "$tree" checkout -q rxe-uffd
git -C "$tree" config user.name Tester
git -C "$tree" config user.email tester@localhost

lay() {
	"$p/scripts/kernel-tree"
}

save() {
	"$p/scripts/kernel-save"
}

# snapshot: what of the project a save may change, as one sum.
snapshot() {
	(cd "$p" && find patches drivers Kconfig -type f -exec sha256sum {} + | sort -k 2) |
		sha256sum
}

changed() {
	diff -rq "$project/patches" "$p/patches"
	diff -rq "$project/drivers" "$p/drivers"
}

same_as_project() {
	changed && cmp "$project/Kconfig" "$p/Kconfig"
}

commit() {
	git -C "$tree" commit -q "$@"
}

autosquash() {
	GIT_SEQUENCE_EDITOR=: git -C "$tree" rebase -q -i --autosquash base
}

check 'the tree is laid out' lay
check 'saving it' save
check 'changes nothing' same_as_project
head=$(git -C "$tree" rev-parse HEAD)
check 'laying it out again' lay
check 'makes the same commits' [ "$(git -C "$tree" rev-parse HEAD)" = "$head" ]

# An edit of a file that Linux owns, put into the patch that it belongs to.
read -r first _ < <(sed '/^#/d' "$p/patches/7.2/series")
file=$(sed -n 's,^+++ b/,,p' "$p/patches/7.2/$first" | head -n 1)
printf '/* from the test */\n' >> "$tree/$file"
refused 'an edit that is not committed is not saved' 'not committed' save
commit -a --fixup="$(git -C "$tree" rev-list --reverse base..HEAD | head -n 1)"
autosquash
check 'a patch is edited' save
check 'the edit is in its file' grep -q '^+/\* from the test \*/$' "$p/patches/7.2/$first"
check 'and in no other' [ "$(grep -rl 'from the test' "$p/patches" "$p/drivers" | wc -l)" -eq 1 ]

# An edit of a file that is ours.
before=$(cd "$p/patches" && find . -type f -exec sha256sum {} + | sort | sha256sum)
printf '/* ours, from the test */\n' >> "$tree/$rxe/rxe_odp.c"
commit -a -m 'rxe: something'
check 'a file of ours is edited' save
check 'the edit is in the file' grep -q 'ours, from the test' "$p/$rxe/rxe_odp.c"
check 'no patch changed' [ "$before" = \
	"$(cd "$p/patches" && find . -type f -exec sha256sum {} + | sort | sha256sum)" ]

# A new patch, with a new file of ours.
printf '/* new */\n' > "$tree/$rxe/rxe_odp_new.h"
printf '# new\n' >> "$tree/$rxe/Makefile"
git -C "$tree" add "$rxe/rxe_odp_new.h"
commit -a -m 'RDMA/rxe: a new file'
check 'a patch is added' save
check 'it has the next number' grep -qE "^[0-9]{4}-RDMA-rxe-a-new-file\.patch $rxe/rxe_odp_new\.h\$" \
	"$p/patches/7.2/series"
check 'the new file is among ours' [ "$(cat "$p/$rxe/rxe_odp_new.h")" = '/* new */' ]
check 'and not in the patch' [ "$(grep -rl '/\* new \*/' "$p/patches" | wc -l)" -eq 0 ]
sum=$(snapshot)
check 'saving once more' save
check 'changes nothing more' [ "$(snapshot)" = "$sum" ]

# The project changes: the tree follows, and touches only what differs.
touch -d '2001-01-01' "$tree/$rxe/rxe_odp_table.c"
printf '/* in the project */\n' >> "$p/$rxe/rxe_odp.c"
check 'the tree follows a file of ours' lay
check 'with its new content' cmp "$p/$rxe/rxe_odp.c" "$tree/$rxe/rxe_odp.c"
check 'and leaves the others alone' [ "$(date -r "$tree/$rxe/rxe_odp_table.c" +%Y)" -eq 2001 ]

# Work in the tree meets a change in the project.
printf '/* mine */\n' >> "$tree/$rxe/rxe_odp.c"
check 'an edited tree is used as it is' lay
printf '/* theirs */\n' >> "$p/$rxe/rxe_odp.c"
refused 'it does not follow the project then' 'edits that are not saved' lay
check 'and keeps its edit' grep -q mine "$tree/$rxe/rxe_odp.c"
commit -a -m 'rxe: mine'
refused 'nor with commits' 'commits that are not saved' lay
refused 'saving over a change is refused, too' "series changed since" save
check 'until they are dropped' "$p/scripts/kernel-tree" --discard
check 'then the tree follows' cmp "$p/$rxe/rxe_odp.c" "$tree/$rxe/rxe_odp.c"

printf 'int lost;\n' > "$p/$rxe/rxe_odp_lost.c"
refused 'a file that no patch lays in' 'rxe_odp_lost.c belongs to no patch' lay
rm "$p/$rxe/rxe_odp_lost.c"
sed -i 's/^ /  /' "$p/patches/7.2/$first"
refused 'a patch that does not apply' "$first does not apply to Linux 7\.2" lay
plan
