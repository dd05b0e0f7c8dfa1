#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will send output, arguments, folder and variables through vm/run and
# compare every byte.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

script bytes << 'END'
import os, sys
every = bytes(range(256))
os.write(1, every + b"\r\n\n\r no end of line")
os.write(2, every[::-1])
END
script arguments << 'END'
import os, sys
sys.stdout.buffer.write(b"".join(os.fsencode(a) + b"\0" for a in sys.argv[1:]))
END

vm --no-rxe -- /usr/bin/python3 "$scratch/bytes"
/usr/bin/python3 "$scratch/bytes" > "$scratch/out.here" 2> "$scratch/err.here"
check 'stdout, every byte' cmp "$scratch/out" "$scratch/out.here"
check 'stderr, every byte' cmp "$scratch/err" "$scratch/err.here"

arguments=('' ' ' 'two words' "'" '"' \$HOME \`id\` \\ $'line\nline' $'\x01\xff' 'ä€' '*' '-n' '--')
vm --no-rxe -- /usr/bin/python3 "$scratch/arguments" "${arguments[@]}"
printf '%s\0' "${arguments[@]}" > "$scratch/arguments.here"
check 'arguments, every byte' cmp "$scratch/out" "$scratch/arguments.here"

numbers='seq 1 3000000'
vm --no-rxe -- sh -c "$numbers; $numbers >&2"
check 'many megabytes on stdout' cmp "$scratch/out" <($numbers)
check 'many megabytes on stderr' cmp "$scratch/err" <($numbers)

vm --no-rxe -- bash -c 'echo again > /dev/stdout; cat; (sleep 60 &)'
is 'stdout can be opened by name, stdin is empty' "$(cat "$scratch/out")" again
is 'a process left behind does not keep the machine' "$status" 0

script look << 'END'
pwd
echo "$TEST_NAMED,$TEST_OTHER,$TEST_GIVEN,$HOME"
id -u
END
mkdir "$scratch/a folder"
cd "$scratch/a folder" || exit
export TEST_NAMED='some
thing' TEST_OTHER=1
HOME=/nowhere "$project/vm/run" --quiet --no-rxe --env TEST_NAMED --env TEST_GIVEN=2 \
	-- bash "$scratch/look" \
	> "$scratch/out" 2> "$scratch/err"
is 'folder, variables, user' "$(cat "$scratch/out")" "$scratch/a folder
some
thing,,2,/nowhere
0"
cd "$project" || exit

# What comes late must not hold up what came first.
mkfifo "$scratch/late"
vm/run --quiet --no-rxe -- sh -c 'echo first; sleep 3; echo second' > "$scratch/late" &
{
	read -r line
	begin=${EPOCHREALTIME/./}
	is 'the first line' "$line" first
	read -r line
	is 'the second line' "$line" second
	check 'came later' test $((${EPOCHREALTIME/./} - begin)) -ge 2000000
} < "$scratch/late"
wait "$!"
is 'and success' "$?" 0
plan
