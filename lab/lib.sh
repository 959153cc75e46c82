# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Definitions for all lab scripts: paths, how a kernel's name becomes a version, and how to
# run a command in a chroot or ask apt for arm64 packages. This file is sourced, not run.

# shellcheck disable=SC2034 # used by the scripts that source this
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
build=$top/build
cache=$build/cache
trixie=$cache/trixie
arm64=$cache/arm64

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# The kernel on which linux-headers-amd64 depends. If the package is installed, that version
# counts, since modules are built against it; else the version that apt would install.
own_kver()
{
	local depends

	depends=$(dpkg-query -W -f '${Depends}' linux-headers-amd64 2>/dev/null) ||
		depends=$(apt-cache show --no-all-versions linux-headers-amd64 |
			sed -n 's/^Depends: //p')
	sed -n 's/.*linux-headers-\([0-9][^ ,(]*\).*/\1/p' <<<"$depends"
}

# arm64_kver [NAME]: this release's newest arm64 kernel with that short name (6.12), or the
# default arm64 kernel.
arm64_kver()
{
	local package kver

	"$top/lab/arm64"
	for package in linux-headers-arm64 ${1:+"linux-headers-$1-arm64"}; do
		kver=$(in_arm64 apt-cache show --no-all-versions "$package" 2>/dev/null |
			sed -n 's/^Depends:.*linux-headers-\([0-9][^ ,(]*\).*/\1/p') || continue
		[[ -z ${1:-} || $kver == "$1".* ]] || continue
		echo "$kver"
		return
	done
	die "no kernel ${1:-} for arm64"
}

# exact_kver [NAME [IOMMU]]: the full version for a short name: 6.12, trixie, backports (of
# trixie), or 6.1-debug, which builds that kernel. Without NAME the one of $KVER, else this
# machine's own. 6.1-arm64 is an arm64 kernel, and so is 6.1 with an IOMMU that only Arm has.
exact_kver()
{
	local name=${1:-${KVER:-}} own kver

	if [ "${2:-${IOMMU:-}}" = smmu ] && [[ $name != *-* ]]; then
		name=${name:+$name-}arm64
	fi
	# A kernel that somebody has built need not have a "-" in its version.
	if [ -n "$name" ] && [ -e "/lib/modules/$name/build/Makefile" ]; then
		echo "$name"
		return
	fi
	case $name in
	arm64)
		arm64_kver
		return
		;;
	[0-9].[0-9]-arm64 | [0-9].[0-9][0-9]-arm64)
		arm64_kver "${name%-arm64}"
		return
		;;
	6.1-debug | 6.1-kcsan)
		"$top/lab/debug-kernel" "$name"
		return
		;;
	trixie | backports)
		"$top/lab/trixie"
		sed -n "$([ "$name" = trixie ] && echo 1 || echo 2)p" "$trixie.kernels"
		return
		;;
	*-*)
		echo "$name"
		return
		;;
	esac
	own=$(own_kver)
	if [ -z "$name" ] || [[ $own == "$name".* ]]; then
		echo "$own"
		return
	fi
	"$top/lab/trixie"
	while read -r kver; do
		[[ $kver == "$name".* ]] || continue
		echo "$kver"
		return
	done <"$trixie.kernels"
	die "no kernel $name: there are $own $(paste -sd ' ' "$trixie.kernels")"
}

# Is this a debug kernel, built by lab/debug-kernel?
watches_itself()
{
	[[ $1 == *-debug || $1 == *-kcsan ]]
}

# headers_of KVER: the directory of headers against which modules for KVER are built.
headers_of()
{
	if watches_itself "$1"; then
		echo "$cache/$1/lib/modules/$1/build"
	else
		echo "/lib/modules/$1/build"
	fi
}

# Are modules for this kernel built in the chroot? Not if this machine has its headers.
from_trixie()
{
	[[ $1 == *+deb13-* ]] && [ ! -e "/lib/modules/$1/build/Makefile" ]
}

# Are modules and programs for this kernel cross-built? Not on an arm64 machine.
from_arm64()
{
	[[ $1 == *-arm64 ]] && [ ! -e "/lib/modules/$1/build/Makefile" ]
}

# in_arm64 COMMAND [ARG...]: runs an apt command that knows arm64's packages and ignores the
# packages installed here. It has a package index of its own, and does not change this
# machine's.
in_arm64()
{
	local apt=$arm64/apt conf

	mkdir -p "$apt"/{lists,archives}/partial
	[ -e "$apt/status" ] || : >"$apt/status"
	# Write the configuration every time, since the tree may have been moved.
	conf=$(mktemp "$apt/conf.XXXXXX")
	cat >"$conf" <<-EOF
		APT::Architecture "arm64";
		APT::Architectures { "arm64"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::State::Lists "$apt/lists";
		Dir::State::Status "$apt/status";
		Dir::Cache "$apt";
	EOF
	mv "$conf" "$apt/conf"
	env APT_CONFIG="$apt/conf" "$@"
}

# put FILE NAME: copies FILE to NAME in the tree $root, unless NAME is there already.
# shellcheck disable=SC2154 # root is the caller's
put()
{
	[ -e "$root$2" ] || install -D "$1" "$root$2"
}

# put_program FILE NAME: the same, with the libraries that the program needs.
put_program()
{
	local lib

	put "$1" "$2"
	for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		put "$lib" "$lib"
	done
}

# in_root [--bind DIRECTORY] ROOT COMMAND [ARG...]: runs COMMAND in a chroot that has /proc,
# and DIRECTORY at the same path as outside. The mounts are in a namespace of their own and
# end with the command.
# shellcheck disable=SC2016 # the inner shell expands them
in_root()
{
	local bound=

	if [ "$1" = --bind ]; then
		bound=$2
		shift 2
		mkdir -p "$1$bound"
	fi
	unshare -m sh -euc '
		root=$1 bound=$2
		shift 2
		mount -t proc proc "$root/proc"
		[ -z "$bound" ] || mount --bind "$bound" "$root$bound"
		exec chroot "$root" "$@"
	' in_root "$1" "$bound" \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		"${@:2}"
}

# in_trixie COMMAND [ARG...]: runs COMMAND in the chroot of trixie, where this tree is visible.
in_trixie()
{
	in_root --bind "$top" "$trixie" "$@"
}
