#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will lay the series on the oldest and the newest Linux 7.2.y that can
# be had, and apply the mails made from that with "git am", which knows no fuzz.
# Only the files that the series touches are unpacked.
set -euo pipefail
shopt -s extglob
. "$(dirname "$0")/tap.sh"

copy_project "$scratch/project"
touched_files > "$scratch/touched"

# small_tree VERSION TARBALL: enough of Linux to lay the series on.
small_tree() {
	mkdir -p "$scratch/$1"
	{
		printf '%s\n' Makefile
		cat "$scratch/touched"
	} | sed 's,^,*/,' > "$scratch/wanted"
	# What the series adds is not in there, which tar counts as an error: its
	# status is no use, laying the series out tells if something is missing.
	xz -dcT0 "$2" | tar -xf - -C "$scratch/$1" --strip-components=1 \
		--wildcards --no-wildcards-match-slash --anchored \
		-T "$scratch/wanted" 2> /dev/null || :
}

apply_mails() {
	local version=$1 tree=$2
	"$scratch/project/scripts/kernel-series" --no-check "$scratch/mails-$version" &&
		git clone -q "$tree" "$scratch/am-$version" &&
		git -C "$scratch/am-$version" checkout -q base &&
		git -C "$scratch/am-$version" -c user.name=t -c user.email=t@localhost \
			am -q "$scratch/mails-$version"/!(0000-*).patch &&
		git -C "$scratch/am-$version" diff --exit-code "$(git -C "$tree" rev-parse HEAD)"
}

for which in --oldest --newest; do
	read -r version tarball < <("$project/scripts/kernel-source" "$which") || version=''
	if [ -z "$version" ]; then
		result 1 "there is a Linux for $which"
		continue
	fi
	printf '# %s: Linux %s\n' "${which#--}" "$version"
	small_tree "$version" "$tarball"
	export LINUX=$scratch/$version
	rm -rf "$scratch/project/build"
	check "the series can be laid on Linux $version" "$scratch/project/scripts/kernel-tree"
	check "its mails apply to Linux $version with git am" \
		apply_mails "$version" "$scratch/project/build/linux-$version"
	unset LINUX
done
plan
