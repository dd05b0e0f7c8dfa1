#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will ask for options that cannot hold, and see that kernel-config names
# each with its fragment instead of configuring a kernel without it.
set -euo pipefail
. "$(dirname "$0")/tap.sh"
. "$project/scripts/kbuild.sh"

config=$project/vm/config
place=$scratch/kernel
kbuild_place "$("$project/scripts/kernel-tree")" "$place"

# configure FRAGMENT: two of our fragments and one more.
configure() {
	"$project/scripts/kernel-config" "$place" "$config/base.config" "$config/mm.config" "$1"
}

cat > "$scratch/bad.config" << 'END'
CONFIG_NO_SUCH_THING=y
CONFIG_RDMA_RXE=y
# CONFIG_XARRAY_MULTI is not set
CONFIG_NR_CPUS=0
CONFIG_KSM=y
CONFIG_SMP
END
status=0
output=$(configure "$scratch/bad.config" 2>&1) || status=$?

# named NAME TEXT: the output has TEXT.
named() {
	result "$(grep -qF -- "$2" <<< "$output"; echo $?)" "$1" "$output"
}

result "$([ "$status" -ne 0 ]; echo $?)" 'a configuration that does not hold' "$output"
result "$([ ! -e "$place/obj/.config" ]; echo $?)" 'it is not put in place'
named 'an option that does not exist' \
	'bad.config wants CONFIG_NO_SUCH_THING=y, the kernel has n'
named 'an option whose dependency is missing' \
	'bad.config wants CONFIG_RDMA_RXE=y, the kernel has n'
named 'an option that another one selects' \
	'bad.config wants CONFIG_XARRAY_MULTI=n, the kernel has y'
named 'a value out of its range' 'bad.config wants CONFIG_NR_CPUS=0, the kernel has'
named 'a line that is none' 'bad.config:6 is not a line of a configuration: CONFIG_SMP'
result "$(! grep -q 'CONFIG_KSM\|base\.config\|mm\.config' <<< "$output"; echo $?)" \
	'what holds is not named' "$output"

printf 'CONFIG_KSM=y\n' > "$scratch/good.config"
check 'options that hold' configure "$scratch/good.config"
check 'are in the configuration' grep -qx 'CONFIG_KSM=y' "$place/obj/.config"
stamp=$(stat -c %y "$place/obj/.config")
check 'the same again' configure "$scratch/good.config"
check 'leaves the configuration alone' [ "$(stat -c %y "$place/obj/.config")" = "$stamp" ]
plan
