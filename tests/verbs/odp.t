#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will prefetch, throw pages away, take permissions away, register what no
# device may reach, choose device addresses, and see that each access finds what is
# there by then, or is refused.

cd "$(dirname "$0")/../.." || exit
exec vm/run --quiet --smp 1 --timeout 900 -- tests/in-turn \
	verbs/odp_{advise,drop,iova,protect,refuse,zeropage}
