#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will write the series as mails, which checkpatch.pl --strict has to
# find nothing in that is not allowed with a reason, and see that the list of what
# is allowed can neither be too short nor too long.
set -euo pipefail
. "$(dirname "$0")/tap.sh"

tree=$("$project/scripts/kernel-tree")
p=$scratch/project
copy_project "$p"
mkdir "$p/build"
ln -s "$tree" "$p/build/"
allowed=$p/patches/7.2/checkpatch-allowed
out=$scratch/mails

series() {
	"$p/scripts/kernel-series" "$out"
}

check 'checkpatch finds nothing that is not allowed' series
cover=$(head -n 1 "$p/patches/7.2/cover")
check 'the cover letter has its subject' grep -qF "$cover" "$out/0000-cover-letter.patch"
check 'and nothing left to fill in' [ "$(grep -c '\*\*\*' "$out/0000-cover-letter.patch")" -eq 0 ]
check 'there is a mail for each patch' [ "$(find "$out" -name '*.patch' | wc -l)" -eq \
	"$(($(sed '/^#/d' "$p/patches/7.2/series" | wc -l) + 1))" ]
check 'our own files are in the mails' grep -q '^+++ b/drivers/infiniband/sw/rxe/rxe_odp\.c' \
	"$out"/0*.patch
before=$(cat "$out"/*.patch | sha256sum)
check 'writing them again' "$p/scripts/kernel-series" --no-check "$out"
check 'gives the same mails' [ "$(cat "$out"/*.patch | sha256sum)" = "$before" ]

# A list that is wrong in three ways.
{
	grep -v '^MISSING_SIGN_OFF' "$allowed"
	printf 'LONG_LINE_COMMENT no/such/file.c  the test wants it\n'
	printf 'LONG_LINE\n'
} > "$scratch/allowed"
mv "$scratch/allowed" "$allowed"
status=0
output=$(series 2>&1) || status=$?

# said NAME TEXT: the output has TEXT.
said() {
	result "$(grep -qF -- "$2" <<< "$output"; echo $?)" "$1" "$output"
}

result "$([ "$status" -ne 0 ]; echo $?)" 'a list of exceptions that is wrong' "$output"
said 'a finding that is not allowed' 'MISSING_SIGN_OFF '
said 'an entry that allows nothing' '"LONG_LINE_COMMENT no/such/file.c" would allow'
said 'an entry without a reason' 'not "TYPE[ FILE-PATTERN]  reason": LONG_LINE'
plan
