#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will offer kernel-source and kernel-tree sources that are no Linux 7.2,
# not whole, changed, or out of reach: each must end in one clear line, and nothing
# of it may be left in the cache or in build/.
set -euo pipefail
. "$(dirname "$0")/tap.sh"

p=$scratch/project
copy_project "$p"
export XDG_CACHE_HOME=$scratch/cache
cached=$XDG_CACHE_HOME/rxe-uffd

# linux FOLDER VERSION PATCHLEVEL SUBLEVEL: the outline of a kernel.
linux() {
	mkdir -p "$1"/{mm,drivers}
	printf 'VERSION = %s\nPATCHLEVEL = %s\nSUBLEVEL = %s\nEXTRAVERSION =\n' \
		"$2" "$3" "$4" > "$1/Makefile"
	printf 'a file\n' > "$1/mm/file.c"
	head -c 100000 /dev/urandom | base64 > "$1/drivers/file.c"
}

source_of() {
	LINUX=$1 "$p/scripts/kernel-source" "${@:2}"
}

tree_of() {
	LINUX=$1 "$p/scripts/kernel-tree"
}

# clean NAME: nothing half done is left.
clean() {
	local left
	left=$(find "$cached" "$p/build" -mindepth 1 ! -name '.*lock' 2> /dev/null || :)
	result "$([ -z "$left" ]; echo $?)" "$1" "$left"
}

cd "$scratch"
mkdir nothing
linux linux-7.2.99 7 2 99
linux linux-6.12.1 6 12 1
tar -cJf good.tar.xz linux-7.2.99
tar -cJf old.tar.xz linux-6.12.1
head -c 20000 good.tar.xz > short.tar.xz
tar -czf good.tar.gz linux-7.2.99
printf 'hello\n' > text

# --- what the user names

check 'a tree' source_of linux-7.2.99
check 'a tarball' source_of good.tar.xz
check 'a tarball by another compressor' source_of good.tar.gz
refused 'a tree of another version' 'Linux 6\.12\.1: the series is for 7\.2\.y' source_of linux-6.12.1
refused 'a tarball of another version' 'Linux 6\.12\.1' source_of old.tar.xz
refused 'a file that is no tarball' 'no tarball of a kernel' source_of text
refused 'a folder that is no kernel' 'no kernel tree' source_of "$scratch/nothing"
refused 'a name without a file' 'no such file' source_of nowhere
refused 'not the version that was asked for' 'not the 7\.2\.98' source_of good.tar.xz --version 7.2.98
refused 'a version of another line' '7\.2\.y' "$p/scripts/kernel-source" --version 7.3.1
refused 'an unknown option' 'usage' "$p/scripts/kernel-source" --fast

: > linux-7.2.99/.config
refused 'a tree that was built in' 'mrproper' source_of linux-7.2.99
rm linux-7.2.99/.config
git init -q linux-7.2.99
git -C linux-7.2.99 add -A
git -C linux-7.2.99 -c user.name=t -c user.email=t@localhost commit -q -m linux
check 'a git tree' source_of linux-7.2.99
printf 'more\n' >> linux-7.2.99/mm/file.c
refused 'a git tree with changes' 'not committed' source_of linux-7.2.99
refused 'a tarball that is cut off' 'cannot be laid out' tree_of short.tar.xz
refused 'a kernel that the series does not fit' 'does not apply to Linux 7\.2\.99' tree_of good.tar.xz
clean 'nothing is left of all that'

# --- what is fetched: an apt without sources, and a kernel.org of our own

unset LINUX
printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "%s";\n' \
	"$scratch/nothing" > apt.conf
export APT_CONFIG=$scratch/apt.conf
site=$scratch/site/v7.x
mkdir -p "$site"
cp good.tar.xz "$site/linux-7.2.99.tar.xz"
(cd "$site" && sha256sum linux-7.2.99.tar.xz > sha256sums.asc)

fetch() {
	RXE_UFFD_KERNEL_ORG=$1 "$p/scripts/kernel-source" "${@:2}"
}

refused 'no network' 'no Linux source: Debian: .*; kernel\.org: .*LINUX=' \
	fetch http://127.0.0.1:9
refused 'a version that nobody has' 'there is no Linux 7\.2\.98' \
	fetch "file://$scratch/site" --version 7.2.98
printf 'x' >> "$site/linux-7.2.99.tar.xz"
refused 'a download with the wrong sum' 'published sum' fetch "file://$scratch/site"
cp short.tar.xz "$site/linux-7.2.99.tar.xz"
refused 'a download that is cut off' 'published sum' fetch "file://$scratch/site"
(cd "$site" && sha256sum linux-7.2.99.tar.xz > sha256sums.asc)
refused 'one that was cut off before its sum was made' 'no whole' \
	fetch "file://$scratch/site"
clean 'no bad file is in the cache'

# A server that sends half of it and then nothing more; kernel-source is killed.
python3 - "$scratch/good.tar.xz" > port << 'END' &
import hashlib
import http.server
import sys
import time

data = open(sys.argv[1], "rb").read()


class Stalls(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.send_response(200)
        if self.path.endswith(".asc"):
            text = f"{hashlib.sha256(data).hexdigest()}  linux-7.2.99.tar.xz\n".encode()
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:len(data) // 2])
        self.wfile.flush()
        time.sleep(600)


server = http.server.HTTPServer(("127.0.0.1", 0), Stalls)
print(server.server_address[1], flush=True)
server.serve_forever()
END
server=$!
trap 'kill "$server"; rm -rf "$scratch"' EXIT
until [ -s port ]; do
	sleep 0.1
done
status=0
RXE_UFFD_KERNEL_ORG=http://127.0.0.1:$(< port) \
	timeout 5 "$p/scripts/kernel-source" > /dev/null 2>&1 || status=$?
result "$([ "$status" -eq 124 ]; echo $?)" 'a download is interrupted' "status $status"
clean 'and leaves nothing'

cp good.tar.xz "$site/linux-7.2.99.tar.xz"
(cd "$site" && sha256sum linux-7.2.99.tar.xz > sha256sums.asc)
check 'a good download' fetch "file://$scratch/site"
check 'is in the cache' cmp good.tar.xz "$cached/linux-7.2.99.tar.xz"
check 'and is found there without a network' fetch http://127.0.0.1:9
printf 'x' >> "$cached/linux-7.2.99.tar.xz"
check 'damaged, it is fetched again' fetch "file://$scratch/site"
check 'and is whole' cmp good.tar.xz "$cached/linux-7.2.99.tar.xz"

# --- no space: a file system that is too small, in a guest

check 'no space' "$project/vm/run" --no-rxe -- bash -c "
	mount -t tmpfs -o size=64m none /var/tmp
	XDG_CACHE_HOME=/var/tmp '$p/scripts/kernel-source' 2>&1 | tee /dev/stderr |
		grep -q 'needs [0-9]* MiB in /var/tmp/rxe-uffd, only [0-9]* MiB are free'"
plan
