#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the kernel's own selftests of rdma, shell scripts that set up
# rxe devices of their own.

set -euo pipefail

cd "$(dirname "$0")/../.."
tree=$(scripts/kernel-tree)
exec vm/run --quiet --smp 1 --timeout 900 -- tests/rdma/selftests "$tree/tools/testing/selftests/rdma"
