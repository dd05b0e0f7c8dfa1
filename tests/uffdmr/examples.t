#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the examples of the library, each with a peer that reads and
# writes its memory.

set -euo pipefail

cd "$(dirname "$0")/../.."
make -s -C userspace/examples O="$PWD/build/examples" UFFDMR="$PWD/build/userspace" CFLAGS='-O2 -Wall -Wextra -Werror'
exec vm/run --quiet --smp 1 --timeout 300 -- tests/uffdmr/examples
