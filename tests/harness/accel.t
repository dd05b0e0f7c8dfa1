#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will put a QEMU in front of the real one that hangs under KVM, or
# boots, and see what vm/run chooses, says and remembers.
. "$(dirname "$0")/tap.sh"

export XDG_CACHE_HOME=$scratch/cache
# The trial has 10 s, and it is emulated here: not for a slow debug kernel.
use_stock_kernel

# run ARG...: as vm, but with what it says on the accelerator.
run() {
	status=0
	vm/run --no-rxe --smp 1 --timeout 120 "$@" > "$scratch/out" 2> "$scratch/err" || status=$?
}

remembered() {
	head -qn 1 "$scratch"/cache/rxe-uffd/kvm-* 2> /dev/null | sort
}

# fake NAME HOW: a QEMU at $scratch/NAME; with -accel kvm it does as HOW says.
fake() {
	local real
	real=$(command -v qemu-system-x86_64)
	mkdir "$scratch/$1"
	cat > "$scratch/$1/qemu-system-x86_64" <<- END
		#!/bin/bash
		arguments=("\$@")
		for i in "\${!arguments[@]}"; do
			if [ "\${arguments[i]}" = kvm ]; then
				echo kvm >> "$scratch/tried"
				$2
			fi
		done
		exec "$real" "\${arguments[@]}"
	END
	chmod +x "$scratch/$1/qemu-system-x86_64"
}

run --accel tcg -- true
is 'TCG that was asked for' "$status" 0
is 'is named' "$(cat "$scratch/err")" 'vm/run: accel tcg (asked for)'
is 'and nothing is remembered' "$(remembered)" ''

# Counting to 100,000 takes a shell as many instructions each time, whatever else runs.
script count << 'END'
for run in 1 2 3 4; do
	start=${EPOCHREALTIME/./}
	for ((i = 0; i < 100000; i++)); do :; done
	echo $((${EPOCHREALTIME/./} - start))
done
END
run --accel icount -- bash "$scratch/count"
is 'a clock that counts instructions' "$status" 0
has 'is named' "$scratch/err" '^vm/run: accel icount \(asked for\)$'
mapfile -t took < "$scratch/out"
echo "# us of the guest: ${took[*]}"
# The first one has pages to fault in.
least=$(printf '%s\n' "${took[@]:1}" | sort -n | head -n 1)
most=$(printf '%s\n' "${took[@]:1}" | sort -n | tail -n 1)
check 'the same work takes the same time, to 3 %' test $((most * 100)) -lt $((least * 103))

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	path=$PATH
	fake hangs 'exec sleep 1000'
	PATH=$scratch/hangs:$path
	run -- echo ran
	is 'KVM hangs: COMMAND runs all the same' "$(cat "$scratch/out") $status" 'ran 0'
	has 'the trial is announced' "$scratch/err" '^vm/run: trying .* under KVM \(up to 10 s'
	has 'the result is named' "$scratch/err" '^vm/run: accel tcg \(KVM boots no guest here\)$'
	is 'and remembered' "$(remembered)" no
	is 'KVM was tried' "$(cat "$scratch/tried")" kvm
	run -- echo ran
	is 'again, without a trial' "$(cat "$scratch/out" "$scratch/err")" \
		$'ran\nvm/run: accel tcg (KVM boots no guest here)'
	is 'KVM was tried once' "$(cat "$scratch/tried")" kvm

	rm -r "$scratch/cache" "$scratch/tried"
	fake boots 'arguments[i]=tcg'
	PATH=$scratch/boots:$path
	run -- echo ran
	is 'KVM boots: COMMAND runs' "$(cat "$scratch/out") $status" 'ran 0'
	has 'the result is named' "$scratch/err" '^vm/run: accel kvm \(a guest boots with it\)$'
	is 'and remembered' "$(remembered)" yes
	is 'KVM was tried, then used' "$(cat "$scratch/tried")" $'kvm\nkvm'
	run -- echo ran
	is 'again, without a trial' "$(cat "$scratch/out" "$scratch/err")" \
		$'ran\nvm/run: accel kvm (a guest boots with it)'
	fake fails 'exit 1'
	PATH=$scratch/fails:$path
	run -- echo ran
	is 'another QEMU has its own answer' "$(remembered)" $'no\nyes'
else
	run -- echo ran
	has 'without KVM there is no trial' "$scratch/err" \
		'^vm/run: accel tcg \((there is no|you have no right to) /dev/kvm\)$'
	is 'COMMAND runs' "$(cat "$scratch/out") $status" 'ran 0'
	is 'nothing is remembered' "$(remembered)" ''
	run --accel kvm -- true
	is 'KVM that was asked for is refused' "$status" 252
fi
plan
