# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What checkpatch.pl may say, and what it may not. A list of exceptions has a line
# each of
#     TYPE[ FILE-PATTERN]  reason
# with one blank before the pattern and two or more before the reason.

# checkpatch_findings TREE FOLDER OPTION... -- FILE...: "TYPE FILE:LINE: MESSAGE" of each
# thing that TREE's checkpatch.pl says of FILEs in FOLDER. What it has said of the same
# files before is in the cache.
checkpatch_findings() {
	# shellcheck disable=SC2154  # lib.sh has it
	local tree=$1 folder=$2 options=() kept=$cache/checkpatch said status=0
	shift 2
	while [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	mkdir -p "$kept"
	kept+=/$({
		cat "$tree"/scripts/{checkpatch.pl,spelling.txt,const_structs.checkpatch}
		printf '%s\n' "${options[@]}"
		cd "$folder" && sha256sum -- "$@"
	} | sha256sum | cut -d ' ' -f 1)
	if [ ! -e "$kept" ]; then
		# It leaves a file of its own where it runs, so that is TREE.
		said=$(env -C "$tree" scripts/checkpatch.pl --root="$tree" --strict --show-types \
			--terse --no-summary --color=never "${options[@]}" "${@/#/$folder/}" 2>&1) ||
			status=$?
		if [ "$status" -gt 1 ]; then
			printf 'FAILED checkpatch.pl:0: %s\n' "${said%%$'\n'*}"
			return
		fi
		sed -nE "s,^$folder/,,; s/^(.*): (ERROR|WARNING|CHECK):([A-Z0-9_]+): (.*)\$/\3 \1: \4/p" \
			<<< "$said" > "$kept.$$"
		mv "$kept.$$" "$kept"
		find "${kept%/*}" -type f -mtime +30 -delete
	fi
	touch "$kept"
	cat "$kept"
}

# checkpatch_judge LIST < findings: prints each that LIST does not allow, and each
# entry of LIST that allows nothing any more; fails if there are any.
checkpatch_judge() {
	awk -v list="$1" '
		# A shell pattern as a regular expression.
		function pattern(glob) {
			gsub(/[.+^$(){}|\\]/, "\\\\&", glob)
			gsub(/\*/, ".*", glob)
			gsub(/\?/, ".", glob)
			return "^" glob "$"
		}
		BEGIN {
			while ((getline line < list) > 0) {
				if (line ~ /^[ \t]*(#|$)/)
					continue
				if (line !~ /^[A-Z0-9_]+( [^ \t]+)?[ \t][ \t]+[^ \t]/) {
					print "not \"TYPE[ FILE-PATTERN]  reason\": " line
					bad = 1
					continue
				}
				sub(/[ \t][ \t].*/, "", line)
				split(line, word, " ")
				entry[++entries] = line
				type[entries] = word[1]
				file[entries] = pattern(word[2] == "" ? "*" : word[2])
			}
		}
		{
			ok = 0
			path = $2
			sub(/:.*/, "", path)
			for (i = 1; i <= entries; i++)
				if ($1 == type[i] && path ~ file[i])
					ok = used[i] = 1
			if (!ok) {
				print
				bad = 1
			}
		}
		END {
			for (i = 1; i <= entries; i++)
				if (!used[i]) {
					print "nothing is left that \"" entry[i] "\" would allow: take it out"
					bad = 1
				}
			exit bad
		}
	'
}
