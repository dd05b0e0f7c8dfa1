#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will ask for kernel packages with configurations that will not do: each gets
# one line.
set -euo pipefail
. "$(dirname "$0")/../series/tap.sh"

cd "$project"
deb() {
	scripts/deb --config "$1"
}

printf 'no = "configuration"\n' > "$scratch/other"
{
	cat vm/config/{base,mm,net,rdma}.config
	printf '# CONFIG_RDMA_RXE is not set\n'
} > "$scratch/no-rxe"

refused 'a file that is not there' "no file '$scratch/none' .* try CONFIG=/boot/config-" \
	deb "$scratch/none"
refused 'a folder' "no file '$scratch' " deb "$scratch"
refused 'another file' 'other is no configuration of a kernel' deb "$scratch/other"
refused 'one without rxe' \
	'the series needs what .*/no-rxe has not.*: CONFIG_RDMA_RXE CONFIG_RDMA_RXE_ODP$' \
	deb "$scratch/no-rxe"
plan
