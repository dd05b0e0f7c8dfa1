# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034 # what is not used is for who sources this
# A source with its clients at one end of a line and a destination at the other: two
# hosts (vm/run --hosts 2), or two network namespaces of one (tests/stress/on-two-sides).

uffdmr=$PWD/build/userspace/uffdmr
if [ "${HOSTS-1}" -gt 1 ]; then
	source_address=10.0.0.1 destination_address=10.0.0.2
	far=()
else
	source_address=10.9.0.1 destination_address=10.9.0.2
	far=(ip netns exec right)
fi
logs=$(mktemp -d)
# Nothing outlives a test that went wrong.
end_all() {
	local pid
	for pid in "$source_pid" "$destination_pid" "$client_pid"; do
		[ -n "$pid" ] || continue
		kill -KILL "$pid" 2> /dev/null
		wait "$pid"
	done
	source_pid='' destination_pid='' client_pid=''
}
source_pid='' destination_pid='' client_pid=''
memory=/dev/shm/table

# Each leaves its output in $logs/ROLE.out and .err, and its process in ROLE_pid. What one
# of before has said is in $logs/before.
keep() {
	[ ! -e "$logs/$1.err" ] || cat "$logs/$1.err" >> "$logs/before"
	: > "$logs/$1.err"
}

# start_source OPTION...
start_source() {
	keep source
	"$uffdmr" postcopy source "$source_address" --memory "$memory" "$@" \
		> "$logs/source.out" 2>> "$logs/source.err" &
	source_pid=$!
}

# start_destination OPTION...
start_destination() {
	keep destination
	"${far[@]}" "$uffdmr" postcopy destination "$source_address" "$@" \
		> "$logs/destination.out" 2>> "$logs/destination.err" &
	destination_pid=$!
}

# start_client OPTION...
start_client() {
	keep client
	"$uffdmr" postcopy client "$source_address" "$destination_address" "$@" \
		> "$logs/client.out" 2>> "$logs/client.err" &
	client_pid=$!
}

# A tenth of a second without a program: to start one takes an emulated CPU a third of
# that, and with two CPUs for all, who is measured is without it.
exec {never}<> <(:)
pause() {
	read -rt 0.1 -u "$never" || :
}

# said ROLE PATTERN: it says that within a minute or two; fails if not, or if it ended.
said() {
	local tries pid=${1}_pid
	for ((tries = 0; tries < 1000; tries++)); do
		! grep -qE -- "$2" "$logs/$1.err" || return 0
		kill -0 "${!pid}" 2> /dev/null || return 1
		pause
	done
	return 1
}

# ended ROLE: waits for it; $status is what it ended with. One that does not end in two
# minutes is killed, and tells where it was.
ended() {
	local pid=${1}_pid tries
	status=0
	for ((tries = 0; tries < ${patience-1200}; tries++)); do
		kill -0 "${!pid}" 2> /dev/null || break
		pause
	done
	if kill -0 "${!pid}" 2> /dev/null; then
		head "/proc/${!pid}"/task/*/stack >> "$logs/$1.err"
		kill -KILL "${!pid}"
	fi
	wait "${!pid}" || status=$?
	printf -v "$pid" ''
}

show_logs() {
	local log
	for log in "$logs"/before "$logs"/*.err "$logs"/*.out; do
		[ -e "$log" ] || continue
		printf '== %s\n' "${log##*/}"
		cat "$log"
	done
	# Of the devices of both sides.
	rdma resource show qp
	rdma statistic
}
