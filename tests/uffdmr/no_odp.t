#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run each command, a program of the library and rping where the one RDMA
# device has no on-demand paging, and see that just this is said, in one line.

cd "$(dirname "$0")/../.." || exit
make -s -C userspace/examples O="$PWD/build/tests/no_odp" UFFDMR="$PWD/build/userspace" || exit
exec vm/run --quiet --smp 1 --timeout 600 --no-rxe -- tests/uffdmr/no_odp
