#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will boot two guests on one Ethernet and let them talk over TCP and
# RDMA, by IPv4 and by IPv6; with one kernel, and with two.
. "$(dirname "$0")/tap.sh"

script talk << 'END'
set -e
hostname
peer=host$((3 - HOST))
# the index of the GID of an address: in what order they come is not fixed
gid() {
	grep -l "$1:000$HOST\$" /sys/class/infiniband/rxe0/ports/1/gids/[0-7] | sed 's|.*/||'
}
for address in ffff:0a00 fd00:0000:0000:0000:0000:0000:0000; do
	if [ "$HOST" = 1 ]; then
		ibv_rc_pingpong -n 20 -g "$(gid $address)" > /dev/null
	else
		until ibv_rc_pingpong -n 20 -g "$(gid $address)" $peer > /dev/null 2>&1; do
			sleep 0.2
		done
	fi
	echo "RDMA by $address"
done
echo "of $HOSTS" >&2
exit $((HOST + 3))
END

vm --hosts 2 -- bash "$scratch/talk"
is 'the worse status' "$status" 5
for host in 1 2; do
	is "output of host$host" "$(grep "^host$host: " "$scratch/out")" "host$host: host$host
host$host: RDMA by ffff:0a00
host$host: RDMA by fd00:0000:0000:0000:0000:0000:0000"
	has "stderr of host$host" "$scratch/err" "^host$host: of 2$"
done

# The suffix is that of a kernel with the series.
vm --hosts 2 --peer-kernel build/kernel-stock/bzImage --no-rxe -- uname -r
has 'host1 has the kernel of a single one' "$scratch/out" '^host1: .*-rxe-uffd$'
has 'host2 has that of --peer-kernel' "$scratch/out" '^host2: [0-9.]*$'

vm/run --quiet --hosts 2 --no-rxe -- nproc > "$scratch/out" 2> "$scratch/err"
is 'two hosts share the CPUs of a small machine' "$(sort "$scratch/out")" \
	"$(printf 'host%d: %d\n' 1 $(($(nproc) < 4 ? 1 : 2)) 2 $(($(nproc) < 4 ? 1 : 2)))"

script crash << 'END'
[ "$HOST" = 1 ] && exec sleep 1000
echo c > /proc/sysrq-trigger
END
vm --hosts 2 -- bash "$scratch/crash"
is 'a panic on one ends both' "$status" 253
has 'and is told with its host' "$scratch/err" '^vm/run: the kernel reported on host2:$'
plan
