#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run tests of what this project mends on Linux as it is, where
# each of them has to fail: one that does not proves nothing elsewhere.

. "$(dirname "$0")/../tap.sh"
cd "$project" || exit

# What is wrong there: the test that shows it. A kernel report counts, and so
# does a test that does not come to its end.
list='
copy at an offset in a page: verbs/rc_rdma -r rc.resident.write_unaligned
iova that is not the address: verbs/odp_iova
atomic at an iova that is not the address: verbs/odp_iova -r iova.resident.atomic
stale entries after a fault that failed half way: stress/torn_publication -t error_half_way
advice on pinned memory: verbs/odp_advise -r odp.resident.pinned_region
write through a window, past its end: verbs/mw -r mw.pinned_type_1.write_after
write through a zero-based window, before it: verbs/mw -r mw.pinned_type_2_zero_based.write_before
window on memory of another protection domain: verbs/mw -r mw.pinned_type_1.bind_to_other_pd
pages that the network wrote are clean: invalidate/dirty -r area.remote.madv_free
region of 3 GiB: verbs/large -r large.of_3_gib.read_and_write
an iova near the end: verbs/large -r large.of_8_gib_high.read_and_write
FLUSH of all of 4 GiB: verbs/large -r large.of_4_gib.flush_all_with_a_hole
IBV_ACCESS_HUGETLB: invalidate/hugetlb_access -r area.hugetlb_remote.whole
memory that the OOM reaper passes over: invalidate/oom_reaper
a write to a page that is write-protected: invalidate/write_fault -r area.anon_remote.uffd_wp_after_read
ATOMIC_WRITE that is repeated: loss -r loss.pinned.atomic_write
FLUSH that is repeated: loss -r loss.pinned.flush
all of the address space: verbs/implicit -r implicit.read_and_write
rereg out of and into on-demand paging: verbs/rereg -r odp.resident.out_and_into
reset after half a READ: verbs/qp_reset
a READ that completes without its data: responses -r responses.pinned.middle_without_first
a READ whose last response is short: responses -r responses.pinned.read_too_short
an ACK while the WRITE is sent: responses -r responses.pinned.ack_while_sent
a READ with the fence that is repeated: responses -r responses.pinned.fenced_read
a fenced WRITE that is repeated with a READ: responses -r responses.pinned.read_after_fenced_write
queue indexes out of range: stress/rings
a QP that is freed while a packet is delivered: destroy
a packet that the queue of the device drops: full_queue -r loss.pinned.long_ones
'

while IFS=: read -r what command; do
	[[ -n $what ]] || continue
	command=build/tests/${command# }
	cpus=1
	if [[ $command == */loss* ]]; then
		command="tests/stress/on-two-sides ${command/loss/stress/loss}"
	elif [[ $command == */responses* ]]; then
		command="tests/stress/on-two-sides --good-line ${command/responses/stress/responses}"
	elif [[ $command == */full_queue* ]]; then
		command="tests/stress/on-two-sides --short-queue ${command/full_queue/stress/loss}"
	elif [[ $command == */torn_publication* ]]; then
		# On one CPU the pages are thrown away during a fault every other time at best.
		cpus=2
	elif [[ $command == */destroy ]]; then
		cpus=3
		command="tests/stress/slow-down rxe_sched_task ${command/destroy/stress/destroy}"
	fi
	status=0
	# The words are to be split: it is a command line.
	# shellcheck disable=SC2086
	vm/run --quiet --smp $cpus --timeout 120 --kernel build/kernel-stock/bzImage --hugepages 16 \
		--allow-report "invoked oom-killer" -- $command > "$scratch/out" 2>&1 || status=$?
	# A kernel report, a time that is up, or a test that says so itself.
	case $status in
	253 | 254) said=true ;;
	*) said=$(grep -c '^not ok' "$scratch/out") ;;
	esac
	if [[ $status -ne 0 && $said != 0 ]]; then
		result 0 "$what: $command"
	else
		result 1 "$what: $command" "status $status: $(tail -n 5 "$scratch/out")"
	fi
done <<< "$list"
plan
