# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the scripts share that make Debian packages, after lib.sh. Who and when is in
# each package, and comes from git: the same commit gives the same packages.

# shellcheck disable=SC2034,SC2154 # lib.sh sets build, others use deb
deb=$build/deb

# own_git ARGUMENT...: git with the configuration of the user.
own_git() {
	env -u GIT_CONFIG_NOSYSTEM -u GIT_CONFIG_GLOBAL git -C "$project" "$@"
}

# deb_environment PATH...: PATHS are what is packaged.
deb_environment() {
	local name email
	if [ -z "${SOURCE_DATE_EPOCH-}" ]; then
		SOURCE_DATE_EPOCH=$(own_git log -1 --format=%ct -- "$@" 2> /dev/null) || :
	fi
	[[ ${SOURCE_DATE_EPOCH-} =~ ^[0-9]+$ ]] ||
		die "there is no commit whose date the packages could have: set SOURCE_DATE_EPOCH"
	name=${DEBFULLNAME-$(own_git config user.name)} || name=rxe-uffd
	email=${DEBEMAIL-$(own_git config user.email)} || email=rxe-uffd@localhost
	export SOURCE_DATE_EPOCH DEBFULLNAME=$name DEBEMAIL=$email
}
