# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# How this project runs the kernel's make. A kernel is built in a place of its own
# (build/kernel and its like): links to what is in its tree, and the folder obj.
# Kbuild then names all files relative to obj, the same for every kernel, and so
# what one has compiled can be handed to another, or found by ccache later.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# kbuild_place TREE PLACE: the links.
kbuild_place() {
	mkdir -p "$2/obj"
	find "$2" -mindepth 1 -maxdepth 1 -type l ! -name bzImage -delete
	find "$1" -mindepth 1 -maxdepth 1 ! -name '.*' ! -name obj -exec ln -s -t "$2" {} +
}

# kbuild PLACE ARGUMENT...
kbuild() {
	local place=$1
	shift
	# Nothing of who builds, when and where gets into the image.
	KBUILD_BUILD_TIMESTAMP='2026-01-01' KBUILD_BUILD_VERSION=1 \
	KBUILD_BUILD_USER=rxe-uffd KBUILD_BUILD_HOST=localhost \
	CCACHE_DIR=$cache/ccache CCACHE_MAXSIZE=3G CCACHE_NOHASHDIR=1 CCACHE_DEPEND=1 CCACHE_INODECACHE=1 \
	PATH=$project/scripts:$PATH \
		make -C "$place" O="$place/obj" -j"$(nproc)" CC=kernel-cc "$@"
}

# kbuild_note TREE PLACE: remembers, before a build of a patched TREE, which files
# its objects may stem from that are not Linux's own.
kbuild_note() {
	{
		if [ -f "$2/.touched" ]; then
			cat "$2/.touched"
		fi
		git -C "$1" diff --name-only base
		git -C "$1" ls-files --others --exclude-standard
	} | sort -u > "$2/.touched.new"
	mv "$2/.touched.new" "$2/.touched"
}

# kbuild_seed TREE PLACE: hands what build/kernel has compiled to PLACE, where
# nothing was built yet. TREE has just been laid out with the plain Linux of the
# same release. make goes by time stamps: all files of TREE get one from before
# those objects, then what differs gets a new one.
kbuild_seed() {
	local tree=$1 place=$2 from=$build/kernel file
	[ -e "$from/bzImage" ] && [ -f "$from/.touched" ] || return 0
	find "$tree" -path "$tree/.git" -prune -o -type f -print0 |
		xargs -0 touch -d 2001-01-01
	while read -r file; do
		if [ -e "$tree/$file" ]; then
			touch "$tree/$file"
		fi
	done < "$from/.touched"
	rm -rf "$place/obj"
	cp -a "$from/obj" "$place/obj"
	touch -r "$from/obj/tools/objtool/objtool" "$place/obj/.seeded"
}

# kbuild_settle PLACE ARGUMENT...: the first step after a seed. objtool is made
# anew, as it lies elsewhere now, and every object depends on it; but it is the
# same program and gets back the time that it had.
kbuild_settle() {
	local tools=$1/obj/tools mark=$1/obj/.seeded
	[ -e "$mark" ] || return 0
	kbuild "$@" prepare || return
	find "$tools" -type f -exec touch -r "$mark" {} +
	rm "$mark"
}

# kbuild_shown NAME PLACE SUFFIX TARGET: makes TARGET of a kernel whose version ends in
# SUFFIX, and shows how far it is. The whole output goes to build/NAME.log.
kbuild_shown() {
	local name=$1 place=$2 log=$build/$1.log order=$2/.order known=1000
	if ! { kbuild_settle "$place" LOCALVERSION="$3" &&
	       kbuild "$place" LOCALVERSION="$3" "$4"; } 2>&1 |
	     tee "$log" | "$project/scripts/build-progress" "$name" "$order"; then
		grep -E 'error:|undefined reference|^make.*\*\*\*|^(ERROR|FATAL)' "$log" | head -n 20 >&2
		die "the $name does not build: the whole output is in $log"
	fi
	# The longest build so far is the measure for the next ones.
	awk '/^  [A-Z][A-Z0-9_.]* +[^ ]/ { print $2 }' "$log" > "$order.new"
	if [ -f "$order" ]; then
		known=$(wc -l < "$order")
	fi
	if [ "$(wc -l < "$order.new")" -gt "$known" ]; then
		mv "$order.new" "$order"
	else
		rm "$order.new"
	fi
}
