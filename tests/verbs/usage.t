#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will call uffdmr demo with arguments that it has to refuse, which takes
# no guest.

. "$(dirname "$0")/../uffdmr/errors.sh"

refused "unrecognized option" demo --dance
refused "no argument 'now'" demo now
refused "number from 4 to 65536, not '3'" demo --pages 3
refused "not '65537'" demo --pages 65537
refused "not '-1'" demo --pages=-1
refused "not '4x'" demo --pages 4x
refused "not ''" demo --pages=
refused "not '99999999999999999999'" demo --pages 99999999999999999999
refused "requires an argument" demo --pages
refused "a time like .*, not '5'" demo --page-latency 5
refused "not '5min'" demo --page-latency 5min
refused "not '11s'" demo --page-latency 11s
refused "not '99999999999999999s'" demo --timeout 99999999999999999s
refused "number from 1 to 255, not '0'" demo --port 0
refused "not '-1'" demo --gid-index=-1
plan
