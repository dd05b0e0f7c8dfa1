# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The series as the project holds it (patches, the list of them, our own files)
# and as a kernel tree holds it (commits on the tag "base"). A laid-out tree has
# $tree/.git/rxe-uffd, written by write_stamp.

. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# The tree that is worked on and its release; set by what sources this.
tree=''
version=''

# series_lines: "PATCH [OWN FILE...]" a line, in order.
series_lines() {
	[ -r "$patches/series" ] || die "there is no $patches/series"
	sed -E '/^[[:space:]]*(#|$)/d' "$patches/series"
}

# own_files: every file of ours that some patch lays in.
own_files() {
	series_lines | awk '{ for (i = 2; i <= NF; i++) print $i }'
}

# check_series: all that it names is there, and nothing is left out.
check_series() {
	local patch own file twice
	while read -r patch own; do
		[ -r "$patches/$patch" ] || die "series names $patch, which is not there"
		for file in $own; do
			[ -r "$project/$file" ] || die "series names $file, which is not there"
		done
	done < <(series_lines)
	twice=$(own_files | sort | uniq -d | head -n 1)
	[ -z "$twice" ] || die "series names $twice twice"
	while read -r file; do
		own_files | grep -qxF "$file" ||
			die "$file belongs to no patch: add it to a line of $patches/series"
	done < <(cd "$project" && find drivers -type f 2> /dev/null)
}

# series_sum: changes when anything does that a tree is laid out from.
series_sum() {
	{
		series_lines
		(cd "$patches" && series_lines | awk '{ print $1 }' | xargs -r sha256sum)
		(cd "$project" && own_files | xargs -r sha256sum)
	} | sha256sum | awk '{ print $1 }'
}

in_tree() {
	git -C "$tree" "$@"
}

# laid_trees: the trees that are there, oldest version first.
laid_trees() {
	local stamp
	for stamp in "$build"/linux-*/.git/rxe-uffd; do
		if [ -f "$stamp" ]; then
			printf '%s\n' "${stamp%/.git/rxe-uffd}"
		fi
	done | sort -V
}

# newest_tree [DIR]: DIR, or the newest of the trees, which must be there.
newest_tree() {
	local place
	place=${1:-$(laid_trees | tail -n 1)}
	if [ ! -f "$place/.git/rxe-uffd" ]; then
		die "there is no laid-out tree${place:+ in $place}: 'make tree' makes one"
	fi
	realpath "$place"
}

# stamp_value KEY: one value of the tree's stamp.
stamp_value() {
	awk -v key="$1" '$1 == key { print $2 }' "$tree/.git/rxe-uffd"
}

# write_stamp VERSION SOURCE: remembers what lay_series made.
write_stamp() {
	{
		printf 'version %s\nsource %s\nsum %s\nhead %s\n' \
			"$1" "$2" "$laid_sum" "$laid_head"
		cat "$laid_patches"
	} > "$tree/.git/rxe-uffd.new"
	mv "$tree/.git/rxe-uffd.new" "$tree/.git/rxe-uffd"
	in_tree update-ref refs/rxe-uffd/laid "$laid_head"
}

# mail_field NAME: a header that git mailinfo has found.
mail_field() {
	sed -n "s/^$1: //p" "$lay/info"
}

# lay_patch PATCH PARENT [OWN FILE...]: one commit out of a patch and the files
# that come with it, made in an index of its own: files of the working tree
# that stay the same are not touched.
lay_patch() {
	local patch=$1 parent=$2 file blob
	shift 2
	in_tree mailinfo -b "$lay/body" "$lay/diff" < "$patches/$patch" > "$lay/info" ||
		die "$patch is no mail that git understands"
	if [ -z "$(mail_field Author)" ] || [ -z "$(mail_field Subject)" ]; then
		die "$patch has no author or no subject"
	fi
	if grep -q '^diff --git ' "$lay/diff" &&
	   ! in_tree apply --cached --whitespace=nowarn "$lay/diff" 2> "$lay/log"; then
		die "$patch does not apply to Linux $version: $(head -n 1 "$lay/log")"
	fi
	for file; do
		blob=$(in_tree hash-object -w --no-filters "$project/$file")
		in_tree update-index --add --cacheinfo "100644,$blob,$(own_path "$file")"
	done
	{
		mail_field Subject
		printf '\n'
		cat "$lay/body"
	} | in_tree stripspace > "$lay/message"
	GIT_AUTHOR_NAME=$(mail_field Author) GIT_AUTHOR_EMAIL=$(mail_field Email)
	GIT_AUTHOR_DATE=$(mail_field Date)
	export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_AUTHOR_DATE
	# The same input gives the same commit: who lays it out, and when, is no
	# part of it.
	GIT_COMMITTER_NAME=$GIT_AUTHOR_NAME GIT_COMMITTER_EMAIL=$GIT_AUTHOR_EMAIL \
	GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE \
		in_tree commit-tree -p "$parent" -F "$lay/message" "$(in_tree write-tree)"
}

# lay_series FOLDER: makes all commits, in $tree's repository alone. FOLDER is for
# scratch files. Sets laid_head, laid_sum and laid_patches.
lay_series() {
	local patch own commit
	lay=$1
	laid_patches=$lay/patches
	: > "$laid_patches"
	check_series
	laid_sum=$(series_sum)
	laid_head=$(in_tree rev-parse 'base^{commit}')
	export GIT_INDEX_FILE=$lay/index
	in_tree read-tree base
	# Each step writes an index: only what differs from this one, not all of Linux.
	in_tree update-index --split-index
	while read -r patch own; do
		# shellcheck disable=SC2086  # a list of names without blanks
		commit=$(lay_patch "$patch" "$laid_head" $own) || exit 1
		laid_head=$commit
		printf 'patch %s %s\n' "$patch" "$commit" >> "$laid_patches"
	done < <(series_lines)
	rm -f "$(in_tree rev-parse --path-format=absolute --shared-index-path)"
	unset GIT_INDEX_FILE
}
