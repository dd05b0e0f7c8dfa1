#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run rdma-core's own Python tests with lazy memory.

set -euo pipefail

cd "$(dirname "$0")/../.."
tests/pyverbs/unpack build/tests/pyverbs
exec vm/run --quiet --smp 1 --timeout 900 --hugepages 64 -- \
	build/userspace/uffdmr run --latency 300us --jitter 100us -- \
	tests/pyverbs/run.py --device rxe0 build/tests/pyverbs/tests tests/pyverbs/expected-skips \
	test_mr test_qp test_cq test_odp test_atomic test_rdmacm
