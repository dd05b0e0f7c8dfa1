#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will use vm/run wrongly in many ways: each gives status 252 and one
# line that says what is wrong.
. "$(dirname "$0")/tap.sh"
use_stock_kernel

# refused PATTERN ARG...
refused() {
	local pattern=$1
	shift
	vm "$@" < /dev/null
	if [ "$status" -eq 252 ] && [ ! -s "$scratch/out" ] &&
	   [ "$(wc -l < "$scratch/err")" -eq 1 ] && grep -qE "^vm/run: .*$pattern" "$scratch/err"; then
		result 0 "$pattern"
	else
		result 1 "$pattern" "status $status: $(cat "$scratch/err")"
	fi
}

head -c 100000 /dev/urandom > "$scratch/noise"
refused 'unknown option --dance' --dance -- true
refused 'write -- before COMMAND' true
refused 'no COMMAND after --' --
refused "shell needs a terminal"
refused 'number from 1 to 64' --smp 0 -- true
refused 'number from 1 to 64' --smp two -- true
refused 'size like 512M' --mem 2T -- true
refused "number from 0 to" --timeout -1 -- true
refused "number from 0 to" --hugepages 1.5 -- true
refused 'expected one argument' --timeout
refused "invalid choice: 'xen'" --accel xen -- true
refused 'number from 1 to 2' --hosts 3 -- true
refused 'leave --hosts away' --hosts 2
refused 'not the name of a variable' --env 1x -- true
refused 'unterminated character set' --allow-report '[' -- true
refused 'there is no kernel /no/such/image' --kernel /no/such/image -- true
refused 'not a kernel image' --kernel "$scratch/noise" -- true
refused 'not a kernel image' --kernel /etc/passwd -- true
refused 'cannot read the kernel' --kernel / -- true
refused 'give --hosts 2' --peer-kernel /etc/passwd -- true
refused 'there is no kernel /no/such/peer.* --peer-kernel' --hosts 2 --peer-kernel /no/such/peer -- true
refused '--rw .*: not a folder' --rw /no/such/folder -- true
refused 'command line is too long' --append "$(printf '%3000s' x)" -- true
refused '--log .*: No such file' --log /no/such/folder/log -- true

refused 'QEMU ended: ' --accel tcg --mem 99999999999M -- true

mkdir "$scratch/bin"
status=0
PATH=$scratch/bin vm/run -- true 2> "$scratch/err" || status=$?
is 'no QEMU' "$status" 252
is 'says what to install' "$(cat "$scratch/err")" \
	'vm/run: qemu-system-x86_64 is not installed: install the package qemu-system-x86'
plan
