# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# A server and its client, in a guest, for what sources tap.sh.

# listens PORT: somebody does, within 20 s; by TCP, or by the RDMA CM.
listens() {
	local try
	for ((try = 0; try < 200; try++)); do
		[ -z "$(ss -Hltn "sport = :$1")" ] || return 0
		! rdma resource show cm_id | grep -q "state LISTEN.*:$1\b" || return 0
		sleep 0.1
	done
	echo "nobody listens at port $1"
	return 1
}

# pair PORT SERVER... : CLIENT...: each has to end well within $limit seconds, under the
# command $run. What they say is in server and client of $scratch, reports beside it.
pair() {
	local port=$1 server=() served=0 status=0 pid
	shift
	while [ "$1" != : ]; do
		server+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2154  # tap.sh has it, and who sources this the others
	timeout "$limit" "${run[@]}" --json "$scratch/server.json" -- "${server[@]}" \
		> "$scratch/server" 2>&1 &
	pid=$!
	listens "$port" || status=1
	timeout "$limit" "${run[@]}" --json "$scratch/client.json" -- "$@" \
		> "$scratch/client" 2>&1 || status=$?
	wait "$pid" || served=$?
	[ "$served$status" = 00 ] || {
		echo "the server's status is $served, the client's $status (124: $limit s are over)"
		tail -n 20 "$scratch"/{server,client}
		return 1
	}
}
