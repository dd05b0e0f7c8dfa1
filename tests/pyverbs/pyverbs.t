#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run rdma-core's own Python tests, all that are not of other
# hardware's, and compare what is skipped with the list of expected skips.

set -euo pipefail

cd "$(dirname "$0")/../.."
tests/pyverbs/unpack build/tests/pyverbs
modules=()
for file in build/tests/pyverbs/tests/test_*.py; do
	case ${file##*/} in
	test_mlx5* | test_efa* | test_cuda* | test_mana* | test_hns*) ;;
	*) modules+=("$(basename "$file" .py)") ;;
	esac
done
exec vm/run --quiet --smp 1 --timeout 1800 --hugepages 64 -- \
	tests/pyverbs/run.py --device rxe0 build/tests/pyverbs/tests \
	tests/pyverbs/expected-skips "${modules[@]}"
