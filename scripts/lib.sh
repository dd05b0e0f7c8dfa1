# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the scripts in this folder share: where things are, and how they fail.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# shellcheck disable=SC2034  # used by what sources this
build=$project/build
# shellcheck disable=SC2034
cache=${XDG_CACHE_HOME:-$HOME/.cache}/rxe-uffd
# The kernel line that patches/ has a series for.
line=7.2
# shellcheck disable=SC2034
patches=$project/patches/$line
rxe=drivers/infiniband/sw/rxe

# The user's git configuration (signing, line ends, formats) must not change
# what is laid out or written back.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
# What is in build/ is ours, whether root or the user laid it out.
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
export LC_ALL=C
# What this project's make was told (DEBUG=1, V=1, VERSION=...) is not for that of
# the kernel, where the same names say something else.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES DEBUG KCSAN V VERSION CONFIG

self=${0##*/}

die() {
	printf '%s: %s\n' "$self" "$*" >&2
	exit 1
}

note() {
	printf '%s: %s\n' "$self" "$*" >&2
}

# need_space DIR MIB WHAT: DIR's file system must have MIB free.
need_space() {
	local free
	free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$free" -ge "$2" ] ||
		die "$3 needs $2 MiB in $1, only $free MiB are free: make room there"
}

# lock FILE WHAT: one run at a time; the lock ends with this process.
lock() {
	mkdir -p "$(dirname "$1")"
	exec {lock_fd}> "$1"
	if ! flock -n "$lock_fd"; then
		note "waits for another run ($2)"
		flock "$lock_fd"
	fi
}

# is_version STRING: a point release of our line?
is_version() {
	[[ $1 =~ ^${line//./\\.}(\.[0-9]+)?$ ]]
}

# own_path FILE: where a file of this project lies in the kernel tree.
own_path() {
	case $1 in
	Kconfig) printf '%s\n' "$rxe/Kconfig.odp" ;;
	*) printf '%s\n' "$1" ;;
	esac
}

# own_file PATH: the way back.
own_file() {
	case $1 in
	"$rxe/Kconfig.odp") printf 'Kconfig\n' ;;
	*) printf '%s\n' "$1" ;;
	esac
}
