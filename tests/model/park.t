#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will have spin look at every order of events that a parked operation and
# its page fault can meet: no deadlock, no wake-up that is lost, no use of what was
# freed. And mistakes that are planted must be found.

. "$(dirname "$0")/../tap.sh"

# verify OPTION...: both the assertions and the promise hold in all states.
verify() {
	local work
	work=$(mktemp -d "$scratch/XXXXXX") && cd "$work" || return
	spin -a "$@" "$project/tests/model/park.pml" &&
		gcc -O2 -DSAFETY -DNOCLAIM -o safe pan.c &&
		gcc -O2 -DNFAIR=3 -o live pan.c &&
		./safe -m100000 > safe.log && ./live -a -f -m100000 -N ends > live.log || return
	cat safe.log live.log
	[ "$(grep -c 'errors: 0$' safe.log)$(grep -c 'errors: 0$' live.log)" = 11 ] &&
		! grep -q 'max search depth too small' safe.log live.log
}

# finds MISTAKE WORDS OPTION...: spin says WORDS of it.
finds() {
	local mistake=$1 words=$2
	shift 2
	verify "-D$mistake" "$@" > "$scratch/found" 2>&1
	[ $? -eq 1 ] && grep -q "$words" "$scratch/found"
}

check 'the access comes to its end when the page was supplied' verify
check 'the QP can be destroyed at any time' verify -DCANCEL
check 'the memory region can be deregistered at any time' verify -DDEREG
check 'a wake-up that is lost would be found' finds LOST_WAKE 'acceptance cycle'
check 'a page fault that is freed early would be found' finds EARLY_FREE 'assertion violated'
check 'a deregistration that tells nobody would be found' \
	finds NO_KICK 'acceptance cycle' -DDEREG
plan
