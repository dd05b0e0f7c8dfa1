#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will look at the machine that COMMAND finds: rxe0 with its netdev,
# addresses and GIDs, memory, CPUs, file systems.
. "$(dirname "$0")/tap.sh"

script look << 'END'
cd /sys/class/infiniband/rxe0/ports/1 || exit
cat state gid_attrs/ndevs/0 gids/? 2>/dev/null
cat /sys/class/net/rxe-net0/mtu
ibv_devinfo -d rxe0 | grep -E 'active_mtu|link_layer'
ls /dev/infiniband
ulimit -l
END
vm --hugepages 8 -- bash "$scratch/look"
is 'status' "$status" 0
has 'rxe0 is active' "$scratch/out" '^4: ACTIVE$'
has 'over rxe-net0' "$scratch/out" '^rxe-net0$'
has 'GID of the IPv4 address' "$scratch/out" '^0000:0000:0000:0000:0000:ffff:0a00:0001$'
has 'GID of the IPv6 address' "$scratch/out" '^fd00:0000:0000:0000:0000:0000:0000:0001$'
has 'GID of the link' "$scratch/out" '^fe80:'
has 'MTU of the netdev' "$scratch/out" '^9000$'
has 'MTU of rxe0' "$scratch/out" 'active_mtu:[[:space:]]*4096'
has 'verbs device' "$scratch/out" '^uverbs0$'
has 'connection manager' "$scratch/out" '^rdma_cm$'
has 'locked memory without limit' "$scratch/out" '^unlimited$'

vm --no-rxe --smp 3 --mem 768M --hugepages 8 --append planted=1 -- \
	bash -c 'nproc; cat /proc/cmdline; ls /sys/class/infiniband; grep -E "HugePages_Total|MemTotal" /proc/meminfo'
is 'another machine' "$status" 0
has '--smp' "$scratch/out" '^3$'
has '--append' "$scratch/out" ' planted=1$'
has '--hugepages' "$scratch/out" '^HugePages_Total: +8$'
has '--mem' "$scratch/out" '^MemTotal: +[4-7][0-9]{5} kB$'
is '--no-rxe' "$(grep rxe0 "$scratch/out")" ''

script mounts << 'END'
for folder in /proc /sys /dev /dev/pts /dev/shm /dev/hugepages /run /tmp /var/tmp \
	/sys/fs/cgroup /sys/kernel/debug /sys/kernel/tracing; do
	findmnt -rno TARGET,FSTYPE "$folder"
done
# Nothing but the project, if that is where it is.
find /tmp /var/tmp /dev/shm -mindepth 1 -path "$1" -prune -o -print | while read -r path; do
	[[ $1 == "$path"/* ]] || echo "$path"
done
exec 3< <(echo fd)
cat <&3
END
vm --no-rxe -- bash "$scratch/mounts" "$project"
is 'file systems' "$(cat "$scratch/out")" '/proc proc
/sys sysfs
/dev devtmpfs
/dev/pts devpts
/dev/shm tmpfs
/dev/hugepages hugetlbfs
/run tmpfs
/tmp tmpfs
/var/tmp tmpfs
/sys/fs/cgroup cgroup2
/sys/kernel/debug debugfs
/sys/kernel/tracing tracefs
fd'
plan
