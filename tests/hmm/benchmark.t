#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will run the benchmark that hmm-tests has, which ends after 120 seconds: it
# needs 50 of a CPU, and nothing beside it.

set -euo pipefail

cd "$(dirname "$0")/../.."
exec vm/run --quiet --smp 1 --timeout 900 --mem 4G -- \
	sh -c 'exec build/kselftest/mm/hmm-tests -t benchmark_thp_migration 2>&1'
