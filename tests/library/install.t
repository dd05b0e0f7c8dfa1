#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will install the library in a folder and build a program with what is
# there, as somebody else would: shared and static, by pkg-config.

. "$(dirname "$0")/../tap.sh"

root=$scratch/root
prefix=/opt/uffdmr
at=$root$prefix

mapfile -t public < <(sed -n 's/^\t\(uffdmr_[a-z_]*\);$/\1/p' \
	"$project/userspace/lib/libuffdmr.map" | sort)

installs() {
	make -s -C "$project/userspace" install O="$scratch/build" PREFIX="$prefix" DESTDIR="$root"
}

has() {
	local file
	for file; do
		[ -e "$at/$file" ] || { echo "no $file"; return 1; }
	done
}

cat > "$scratch/program.c" << 'END'
#include <stdio.h>
#include <uffdmr.h>

int main(void)
{
	struct uffdmr_attr attr = { .length = 1, .source = uffdmr_zero() };

	if (uffdmr_create(&attr))
		return 1;
	puts(uffdmr_error());
	return 0;
}
END

# builds OPTION_OF_PKG_CONFIG COMPILER_OPTION...
builds() {
	local flags
	flags=$(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$at/lib/pkgconfig \
		pkg-config "$1" --cflags --libs uffdmr) || return
	shift
	# The words are to be split: they are options.
	# shellcheck disable=SC2086
	gcc -std=c99 -pedantic -Wall -Wextra -Werror "$@" -o "$scratch/program" \
		"$scratch/program.c" $flags
}

# A program in C++ finds the names, too. Where there is no compiler for it there is
# nobody who would.
builds_cxx() {
	local flags
	command -v g++ > /dev/null || return 0
	flags=$(PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$at/lib/pkgconfig \
		pkg-config --cflags --libs uffdmr) || return
	echo '#include <uffdmr.h>
		int main() { return uffdmr_destroy(nullptr); }' > "$scratch/program.cc"
	# shellcheck disable=SC2086
	g++ -std=c++11 -pedantic -Wall -Wextra -Werror -o "$scratch/program" \
		"$scratch/program.cc" $flags
}

runs() {
	[ "$(LD_LIBRARY_PATH=$at/lib "$scratch/program")" = \
		'a region is of whole pages of 4096 bytes: Invalid argument' ]
}

# Whoever links a program with it has those names, and no others, taken.
names() {
	diff <(printf '%s\n' "${public[@]}") \
		<(nm "$@" --defined-only --extern-only | awk '$2 == "T" { print $3 }' |
			sed 's/@.*//' | sort)
}

documented() {
	local name
	for name in "${public[@]}"; do
		grep -q "$name(" "$at/include/uffdmr.h" || { echo "$name"; return 1; }
	done
}

# man NAME finds the page, whose synopsis has the function.
in_the_manual() {
	local name
	for name in "${public[@]}"; do
		[ -e "$at/share/man/man3/$name.3" ] || { echo "no page $name"; return 1; }
		grep -q "^\.BI\? \".*$name(" "$at/share/man/man3/uffdmr.3" ||
			{ echo "no synopsis of $name"; return 1; }
	done
}

check 'make install' installs
check 'all of it' has bin/uffdmr lib/libuffdmr.so lib/libuffdmr.so.0 lib/libuffdmr.a \
	include/uffdmr.h lib/pkgconfig/uffdmr.pc share/man/man1/uffdmr.1 share/man/man1/uffdmr-{demo,run,stat,bench,postcopy}.1 \
	lib/uffdmr/uffdmr-preload.so share/man/man3/uffdmr.3 share/bash-completion/completions/uffdmr
check 'a program with the shared library' builds --libs
check 'it runs' runs
check 'a program in C++' builds_cxx
mv "$at"/lib/*.so* "$scratch"
check 'a program with the static one' builds --static
check 'it runs, too' runs
check 'names of the shared library' names -D "$scratch/libuffdmr.so.0"
check 'names of the static one' names "$at/lib/libuffdmr.a"
check 'each is in the header' documented
check 'and in the manual' in_the_manual
plan
