#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will call uffdmr postcopy with arguments that it has to refuse, and
# tests/postcopy/migrate where ping is not installed. Neither takes a guest.
. "$(dirname "$0")/../tap.sh"
cd "$project" || exit
uffdmr=build/userspace/uffdmr

# refused PATTERN ARG...: status 2, and a first line that says PATTERN.
refused() {
	local pattern=$1 status=0 message bad=1
	shift
	message=$("$uffdmr" postcopy "$@" 2>&1 > /dev/null) || status=$?
	if [[ $status -eq 2 && $message =~ ^uffdmr\ postcopy.*$pattern ]]; then
		bad=0
	fi
	result "$bad" "uffdmr postcopy $*" "status $status: $message"
}

refused 'which role'
refused "no role 'walk'" walk
refused 'unrecognized option' --walk
refused 'unrecognized option' source --walk
refused 'unrecognized option' source 10.0.0.1 --mode stop
refused 'the address of which RDMA device' source
refused "no argument 'b'" source a b
refused 'the address of which source' destination
refused 'the addresses of which servers' client
refused "whole pages of 4096 bytes, not '1048577'" source a --size 1048577
refused "not '4K'" source a --size 4K
refused "not '1T'" source a --size 1T
refused '--resume wants --memory' source a --resume
refused "stop, precopy, postcopy or hybrid, not 'fast'" destination a --mode fast
refused "number from 1 to 1000, not '0'" destination a --rounds 0
refused "not '-1'" destination a --rate=-1
refused "not '5'" destination a --delay 5
refused "number from 1 to 65535, not '65536'" destination a --port 65536
refused "number from 1 to 64, not '65'" client a --clients 65
refused "number from 1 to 1000000000, not '0'" client a --ops 0
refused "not '5min'" client a --time 5min

only=$(mktemp -d)
ln -s "$(command -v dirname)" "$only"
status=0
message=$(HOSTS=2 HOST=2 PATH=$only "$BASH" tests/postcopy/migrate 2>&1) || status=$?
[[ $status -eq 2 && $message == 'migrate: two hosts want ping: '* ]]
result $? 'migrate without ping' "status $status: $message"
rm -r "$only"
plan
