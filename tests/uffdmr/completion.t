#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have bash complete uffdmr: each command, each option of each, values,
# and a command line after "--"; in a bash that has nothing else, and at a prompt.

. "$(dirname "$0")/../tap.sh"
cd "$project" || exit
uffdmr=build/userspace/uffdmr

# complete WORD...: what the last word becomes, in one line.
complete() {
	env -i PATH="$PATH" bash --norc --noprofile tests/uffdmr/complete "$@" | paste -sd ' '
}

# becomes WANTED WORD...
becomes() {
	local wanted=$1 have
	shift
	have=$(complete "$@")
	[ "$have" = "$wanted" ] || { echo "uffdmr $* becomes '$have', not '$wanted'"; return 1; }
}

# options [COMMAND]: by --usage, which is another text than the completion reads.
options() {
	"$uffdmr" "$@" --usage | grep -oE -- '\[--[a-z-]+' | tr -d '[' | sort
}

all_options() {
	diff <(options "$@") \
		<(complete "$@" -- | tr ' ' '\n' | sed 's/=$//' | sort)
}

each_option() {
	local option
	for option in $(options "$1"); do
		[[ " $(complete "$1" "${option%?}") " == *" $option"[\ =]* ]] ||
			{ echo "$1 ${option%?}"; return 1; }
	done
}

# Whatever takes an argument has a "=" behind it, in --usage as well.
arguments() {
	diff <("$uffdmr" "$1" --usage | grep -oE -- '\[--[a-z-]+=' | tr -d '[' | sort) \
		<(complete "$1" -- | tr ' ' '\n' | grep '=$' | sort)
}

mapfile -t commands < <("$uffdmr" --help | sed -n '/^Commands:/,/^$/s/^  \([^ ]*\) .*/\1/p')

at_prompt() {
	timeout 60 /usr/bin/python3 tests/uffdmr/at_prompt.py "$@"
}

check 'there are commands' test ${#commands[@]} -ge 2
check 'each command' becomes "${commands[*]}" ''
check 'the begin of one' becomes bench be
check 'no such command' becomes '' nothing
check 'options of uffdmr' all_options
for command in "${commands[@]}"; do
	check "options of $command" all_options "$command"
	check "each option of $command" each_option "$command"
	check "arguments of $command" arguments "$command"
done
check 'an option after others' becomes --json bench --qps 1 -d rxe0 --js
check 'what an option may be' becomes 'read write both' bench --op ''
check 'the same after =' becomes read bench --op = r
check 'the same where = is no word' becomes --op=write bench --op=w
check 'no value for what has none' becomes '' bench --runs ''
check 'files' becomes 'README.md' bench --plot README
check 'files after =' becomes 'README.md' bench --plot = README
check 'devices' becomes "$(find /sys/class/infiniband/ -mindepth 1 -printf '%f\n' 2> /dev/null |
	sort | paste -sd ' ')" bench --device ''
check 'a command after --' becomes "$(compgen -c -- shellchec | sort -u | paste -sd ' ')" \
	run -- shellchec
check 'and its files' becomes README.md run -- cat README
check 'no command after -- elsewhere' becomes '' bench -- shellchec
# Where there is a device.
check 'devices of a guest' test "$(vm/run --quiet -- bash -c \
	'tests/uffdmr/complete demo --device ""; tests/uffdmr/complete bench -d rx' | paste -sd ' ')" = 'rxe0 rxe0'
check 'at a prompt' at_prompt
plan
