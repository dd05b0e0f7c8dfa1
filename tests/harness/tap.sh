# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests of vm/run share.

. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
cd "$project" || exit

# use_stock_kernel: for what depends on vm/run alone; a debug kernel would only
# take its time there.
use_stock_kernel() {
	export RXE_UFFD_KERNEL=$project/build/kernel-stock/bzImage DEBUG=
}

# vm ARG...: vm/run without the word on the accelerator; leaves $status,
# $scratch/out and $scratch/err.
# shellcheck disable=SC2034 # it is for the tests to read
vm() {
	status=0
	vm/run --quiet --smp 1 --timeout 300 "$@" > "$scratch/out" 2> "$scratch/err" || status=$?
}

# script NAME: a bash script $scratch/NAME for the guest, from stdin.
script() {
	cat > "$scratch/$1"
}

# is NAME GOT WANTED
is() {
	if [ "$2" = "$3" ]; then
		result 0 "$1"
	else
		result 1 "$1" "got '$2', wanted '$3'; stderr: $(tail -n 20 "$scratch/err")"
	fi
}

# has NAME FILE PATTERN: a line of FILE matches PATTERN.
has() {
	if grep -qE -- "$3" "$2"; then
		result 0 "$1"
	else
		result 1 "$1" "nothing matches '$3' in: $(tail -n 20 "$2")"
	fi
}

# alive PID: it runs (one that has ended but was not waited for does not).
alive() {
	grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2> /dev/null
}

# wait_until COMMAND...: COMMAND succeeds within two minutes.
wait_until() {
	local tries
	for ((tries = 0; tries < 1200; tries++)); do
		"$@" && return
		sleep 0.1
	done
	return 1
}
