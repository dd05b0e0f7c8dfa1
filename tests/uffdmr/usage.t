#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will call uffdmr, and its bench, run and stat, with arguments that they have to
# refuse, and where what they need is missing; it takes no guest.

. "$(dirname "$0")/errors.sh"

refused "which command"
refused "no command 'dance'" dance
refused "no command ''" ""
refused "unrecognized option" --dance

refused "unrecognized option" bench --dance
refused "no argument 'now'" bench now
refused "--page-latency wants a time like .*, not '5'" bench --page-latency 5
refused "not '11s'" bench --page-latency 1ms,11s
refused "not ''" bench --page-latency=
refused "not ''" bench --page-latency 0,,1ms
refused "not ''" bench --page-latency 1ms,
refused "not ' 1ms'" bench --page-latency "0, 1ms"
refused "--page-latency takes 16 at the most" bench \
	--page-latency 1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms,1ms
refused "--size wants a size like .*, not '64k'" bench --size 64k
refused "not '0'" bench --size 4K,0
refused "not '-4K'" bench --size=-4K
refused "not '2G'" bench --size 2G
refused "not '99999999999999999999'" bench --size 99999999999999999999
refused "2097152 bytes is larger than the region" bench --size 4K,2M
refused "65536 bytes is larger than the region" bench --region 32K
refused "--qps wants a number from 1 to 64, not '0'" bench --qps 0
refused "not '65'" bench --qps 1,65
refused "not 'many'" bench --qps many
refused "requires an argument" bench --qps
refused "--op wants read, write or both, not 'append'" bench --op append
refused "--region wants whole pages" bench --region 1000001
refused "not '0'" bench --region 0
refused "not '1T'" bench --region 1T
refused "number from 1 to 1000, not '0'" bench --runs 0
refused "not '1001'" bench --runs 1001
refused "not '7200s'" bench --timeout 7200s
refused "--json or --csv, not both" bench --json --csv
refused "ends with .svg or .png, not 'picture.gif'" bench --plot picture.gif
refused "ends with .svg or .png, not 'picture'" bench --plot picture
refused "no picture can have the name" bench --plot "it's.svg"

refused "which program" run
refused "which program" run --quiet --
refused "unrecognized option" run --dance true
refused "--fail wants a percentage from 0 to 100, not '101'" run --fail 101 true
refused "not '-1%'" run --fail=-1% true
refused "not 'nan'" run --fail nan true
refused "--distribution wants uniform, normal or exponential, not 'flat'" run \
	--distribution flat true
refused "--populate wants a number .*, not 'x'" run --populate x true
refused "not '5/m'" run --populate 5/m true
refused "--latency wants a time like .*, not '5'" run --latency 5 true
refused "not '11s'" run --jitter 11s true
refused "--seed wants a number .*, not ''" run --seed= true
fails 4 "run: cannot write $scratch/no/f: No such file" run --json "$scratch/no/f" true

refused "which process" stat
refused "a process has a number, not 'foo'" stat foo
refused "not '0'" stat 0
refused "one process at a time" stat 1 2
refused "--count wants a number .*, not '0'" stat --count 0 1
refused "--interval wants a time like .*, not '1'" stat --interval 1 1
true &
gone=$!
wait "$gone"
fails 3 "stat: process $gone: No such process" stat "$gone"
fails 3 "stat: process $$ has no lazy memory" stat $$

fails 3 "bench: no RDMA" bench --device no-such-device
mkdir "$scratch/nothing"
path=$scratch/nothing fails 3 "bench: there is no gnuplot: install gnuplot-nox" bench \
	--plot "$scratch/picture.svg"
fails 4 "bench: cannot write $scratch/no/picture.svg" bench --plot "$scratch/no/picture.svg"
mkdir "$scratch/folder.png"
fails 4 "bench: cannot write $scratch/folder.png" bench --plot "$scratch/folder.png"
# What fails leaves no picture behind, and one that is there as it is.
fails 3 "bench: no RDMA" bench --device no-such-device --plot "$scratch/picture.svg"
check "no picture is left" test ! -e "$scratch/picture.svg"
echo kept > "$scratch/picture.svg"
fails 3 "bench: no RDMA" bench --device no-such-device --plot "$scratch/picture.svg"
check "the picture that was there is" grep -qx kept "$scratch/picture.svg"
plan
