#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# This test will make the Debian packages, boot the kernel that is in them, and there
# install, use and purge them all. A module built with the headers is loaded, too.
set -euo pipefail

cd "$(dirname "$0")/../.."
place=build/tests/deb
rm -rf "$place"
mkdir -p "$place"
make -s deb > "$place/log" 2>&1 || {
	sed 's/^/# /' "$place/log" >&2
	exit 1
}
for package in build/deb/linux-*.deb; do
	dpkg-deb -x "$package" "$place/root"
done
release=$(basename "$place"/root/lib/modules/*)

mkdir "$place/module"
cat > "$place/module/others.c" << 'END'
// SPDX-License-Identifier: GPL-2.0
#include <linux/module.h>

MODULE_DESCRIPTION("a module of somebody else");
MODULE_LICENSE("GPL");
END
echo 'obj-m := others.o' > "$place/module/Kbuild"
# As somebody else's make would be called, not as part of ours.
env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES make -C "$place/root/usr/src/linux-headers-$release" \
	M="$PWD/$place/module" modules >> "$place/log" 2>&1 || {
	tail -n 20 "$place/log" | sed 's/^/# /' >&2
	exit 1
}
exec vm/run --quiet --timeout 900 --mem 3G --kernel "$place/root/boot/vmlinuz-$release" -- \
	tests/deb/installed "$release" build/deb "$place/module/others.ko"
