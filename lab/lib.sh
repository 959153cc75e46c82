# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Definitions for all lab scripts: paths, how a kernel's name becomes a version, and how to
# run a command in a chroot or ask apt for arm64 packages. This file is sourced, not run.

# shellcheck disable=SC2034 # used by the scripts that source this
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
build=$top/build
# build/cache may be a link, so that several trees share one cache. Use the cache's real
# path, which is the same in all of them, since the object files of a built kernel contain
# it.
cache=$(realpath -m "$build/cache")
trixie=$cache/trixie
arm64=$cache/arm64
suites=$cache/suites
mirror=${MIRROR:-http://deb.debian.org/debian}

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# gone WHAT: says that Debian's archive no longer has a kernel, and exits with 3. From that
# status tests/matrix knows that it must not count the kernel as a failure.
gone()
{
	echo "${0##*/}: gone: $*" >&2
	exit 3
}

# series VERSION: the first two numbers of a kernel's version.
series()
{
	[[ $1 =~ ^[0-9]+\.[0-9]+ ]] && echo "${BASH_REMATCH[0]}"
}

# own_kver: prints the version of "this machine's kernel": the one on which the package
# linux-headers-amd64 depends. If the package is installed, its installed version counts,
# since modules are built against it; else the version that apt would install.
own_kver()
{
	local depends

	depends=$(dpkg-query -W -f '${Depends}' linux-headers-amd64 2>/dev/null) ||
		depends=$(apt-cache show --no-all-versions linux-headers-amd64 |
			sed -n 's/^Depends: //p')
	sed -n 's/.*linux-headers-\([0-9][^ ,(]*\).*/\1/p' <<<"$depends"
}

# is_newer VERSION: is this kernel newer than this machine's? Every kernel of another series
# (6.12) is, since the lab has none that is older.
is_newer()
{
	[ "$(series "$1")" != "$(series "$(own_kver)")" ]
}

# arm64_kver [NAME]: prints this release's newest arm64 kernel with that short name (6.12),
# or the default arm64 kernel.
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

# newest_headers RUNNER NAME: prints the newest kernel of the series NAME (7.2) for which
# the apt that RUNNER runs has headers, or nothing. RUNNER is as for download().
newest_headers()
{
	"$1" apt-cache pkgnames "linux-headers-$2" |
		sed -nE "s/^linux-headers-($2([.+][^-]*)?-amd64)\$/\1/p" | sort -V | tail -n 1
}

# suite_kver RUNNER SUITE: prints the kernel on which the suite's linux-headers-amd64
# depends.
suite_kver()
{
	"$1" apt-cache show "linux-headers-amd64/$2" |
		sed -n 's/^Depends:.*linux-headers-\([0-9][^ ,(]*\).*/\1/p'
}

# exact_kver [NAME [IOMMU]]: prints the full version of the kernel that NAME, else $KVER,
# names; without both, of this machine's own. NAME may be a full version or a short name:
#   6.12                   this machine's or trixie's kernel if it is of that series; else
#                          the newest of the series whose headers another suite has
#   trixie, backports      trixie's own, or the newest of its backports
#   bookworm-backports, testing, experimental
#                          the one of that suite
#   NAME-rt, NAME-cloud    the same kernel in that flavour of Debian's (6.1-rt)
#   6.1-debug, 7.1.13      a kernel that lab/build-kernel builds; exact_kver has it built
#   6.1-arm64              an arm64 kernel, and so is 6.1 with an IOMMU that only Arm has
# Exits with 3 if Debian no longer has the kernel.
exact_kver()
{
	local name=${1:-${KVER:-}} own kver

	if [ "${2:-${IOMMU:-}}" = smmu ] && [[ $name != *-* ]]; then
		name=${name:+$name-}arm64
	fi
	# A kernel that the user has built may have no "-" in its version, like a short
	# name. If there are headers of that name, it is a full version.
	if [ -n "$name" ] && [ -e "/lib/modules/$name/build/Makefile" ]; then
		echo "$name"
		return
	fi
	if [[ $name =~ ^[0-9]+\.[0-9]+(\.[0-9]+|-[a-z]+)$ ]] &&
		{ [[ $name == *.*.* ]] || built_here "$name"; }; then
		"$top/lab/build-kernel" "$name"
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
	trixie | backports)
		"$top/lab/trixie"
		sed -n "$([ "$name" = trixie ] && echo 1 || echo 2)p" "$trixie.kernels"
		return
		;;
	bookworm-backports | testing | experimental)
		"$top/lab/suites"
		suite_kver in_suites "$name"
		return
		;;
	?*-rt | ?*-cloud)
		kver=$(exact_kver "${name%-*}")
		echo "${kver%-*}-${name##*-}-${kver##*-}"
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
	kver=$(newest_headers in_trixie "$name")
	if [ -z "$kver" ]; then
		"$top/lab/suites"
		kver=$(newest_headers in_suites "$name")
	fi
	[ -n "$kver" ] || gone "there are no headers of a kernel $name in Debian's archive"
	echo "$kver"
}

# built_here KVER: does lab/build-kernel build the kernel of that version or short name?
# Then the name ends in "-lab" or in the name of a file of lab/config.
built_here()
{
	[[ ${1##*-} == lab || -e $top/lab/config/${1##*-}.config ]]
}

# watches_itself KVER: is this a debug kernel, whose checkers look for faults of the kernel
# and make it slow and large?
watches_itself()
{
	[[ $1 == *-@(debug|kcsan|rtdebug|seriesdebug) ]]
}

# has_series KVER: does this kernel have the series for the kernel's tree (series/), so that
# its own type1 backend is tether?
has_series()
{
	[[ $1 == *-@(series|seriesdebug) ]]
}

# headers_of KVER: prints the directory of headers against which modules for KVER are built.
headers_of()
{
	if built_here "$1"; then
		echo "$cache/$1/lib/modules/$1/build"
	elif from_arm64 "$1"; then
		echo "$arm64/$1/usr/src/linux-headers-$1"
	elif from_suites "$1"; then
		echo "$suites/$1/usr/src/linux-headers-$1"
	else
		echo "/lib/modules/$1/build"
	fi
}

# Are the headers of this kernel installed in the chroot? Not if this machine has them.
from_trixie()
{
	[[ $1 == *+deb13-* ]] && [ ! -e "/lib/modules/$1/build/Makefile" ]
}

# Are the headers of this kernel unpacked by lab/suites? Yes if neither this machine's apt nor
# the chroot's has them.
from_suites()
{
	type -P apt-cache >/dev/null &&
		[[ $1 == *-amd64 && $1 != *+deb13-* ]] && [ ! -e "/lib/modules/$1/build/Makefile" ] &&
		[ "$1" != "$(own_kver)" ] && [ -z "$(apt-cache pkgnames "linux-headers-$1")" ]
}

# Are modules for this kernel built in the chroot, with trixie's compiler? Yes for the
# kernels of Debian releases that are newer than this machine's.
in_chroot()
{
	if built_here "$1"; then
		is_newer "$1"
	else
		from_trixie "$1" || { from_suites "$1" && [[ $1 != *+deb12-* ]]; }
	fi
}

# Are modules and programs for this kernel cross-built? Yes for an arm64 kernel, unless its
# headers are installed here, as on an arm64 machine.
from_arm64()
{
	[[ $1 == *-arm64 ]] && [ ! -e "/lib/modules/$1/build/Makefile" ]
}

# private_apt DIRECTORY ARCHITECTURE COMMAND [ARG...]: runs an apt command that has its package
# index in DIRECTORY and ignores the packages installed here. It does not change this machine's
# index. Its sources are in DIRECTORY/sources.list, if that is there, else they are this machine's.
private_apt()
{
	local apt=$1 arch=$2 conf
	shift 2

	mkdir -p "$apt"/{lists,archives}/partial
	[ -e "$apt/status" ] || : >"$apt/status"
	# Write the configuration every time, since the tree may have been moved.
	conf=$(mktemp "$apt/conf.XXXXXX")
	cat >"$conf" <<-EOF
		APT::Architecture "$arch";
		APT::Architectures { "$arch"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Dir::State::Lists "$apt/lists";
		Dir::State::Status "$apt/status";
		Dir::Cache "$apt";
	EOF
	if [ -e "$apt/sources.list" ]; then
		cat >>"$conf" <<-EOF
			Dir::Etc::SourceList "$apt/sources.list";
			Dir::Etc::SourceParts "/dev/null";
		EOF
	fi
	mv "$conf" "$apt/conf"
	env APT_CONFIG="$apt/conf" "$@"
}

in_arm64()
{
	private_apt "$arm64/apt" arm64 "$@"
}

in_suites()
{
	private_apt "$suites/apt" amd64 "$@"
}

# apt_of KVER: prints the RUNNER (see download()) whose apt has the packages of this kernel.
apt_of()
{
	if from_arm64 "$1"; then
		echo in_arm64
	elif [[ $1 == *+deb13-* ]]; then
		echo in_trixie
	elif from_suites "$1"; then
		echo in_suites
	else
		echo env
	fi
}

# put FILE NAME: copies FILE to NAME in the tree $root, unless NAME is there already.
# shellcheck disable=SC2154 # root is the caller's
put()
{
	[ -e "$root$2" ] || install -D "$1" "$root$2"
}

# put_program FILE NAME: as put(), and also copies the libraries that the program needs.
put_program()
{
	local lib

	put "$1" "$2"
	for lib in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
		put "$lib" "$lib"
	done
}

# in_root [--bind DIRECTORY]... ROOT COMMAND [ARG...]: runs COMMAND in a chroot that has /proc,
# and each DIRECTORY at the same path as outside. The mounts are in a namespace of their own and
# end with the command.
# shellcheck disable=SC2016 # the inner shell expands them
in_root()
{
	local bound=()

	while [ "$1" = --bind ]; do
		bound+=("$2")
		shift 2
	done
	[ ${#bound[@]} -eq 0 ] || mkdir -p "${bound[@]/#/$1}"
	unshare -m sh -euc '
		root=$1
		shift
		mount -t proc proc "$root/proc"
		while [ "$1" != -- ]; do
			mount --bind "$1" "$root$1"
			shift
		done
		shift
		exec chroot "$root" "$@"
	' in_root "$1" "${bound[@]}" -- \
		env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive \
		"${@:2}"
}

# in_trixie COMMAND [ARG...]: runs COMMAND in the chroot of trixie, where this tree and its cache
# are visible.
in_trixie()
{
	in_root --bind "$top" --bind "$cache" "$trixie" "$@"
}

# apt_download, download DIRECTORY RUNNER PACKAGE...: fetch packages into DIRECTORY. RUNNER
# runs the apt that does it: env (this machine's), in_trixie, in_arm64 or in_suites.
# shellcheck disable=SC2016 # the inner shell expands them
apt_download()
{
	local directory=$1 runner=$2
	shift 2

	"$runner" sh -c 'cd "$1" && shift &&
		apt-get -q -o APT::Sandbox::User=root download "$@"' download "$directory" "$@" >&2
}

# download: if a package cannot be fetched, refreshes apt's package index, which may be so
# old that the mirror no longer has the packages that it names, and tries again.
download()
{
	apt_download "$@" && return
	[ "$2" != env ] || [ "$(id -u)" = 0 ] || return 1
	echo "not found, refreshing apt's package index" >&2
	"$2" apt-get -q update >&2
	apt_download "$@"
}

# unpack_to DIRECTORY WORK: unpacks all packages that are in WORK, moves the unpacked tree
# to DIRECTORY when it is complete, and removes the packages.
unpack_to()
{
	local deb

	for deb in "$2"/*.deb; do
		dpkg-deb -x "$deb" "$2/root"
	done
	rm -rf "$1"
	mkdir -p "${1%/*}"
	mv "$2/root" "$1"
	rm -f "$2"/*.deb
}

# depends RUNNER PACKAGE PATTERN: prints the dependency of PACKAGE that matches PATTERN.
depends()
{
	"$1" apt-cache depends "$2" | sed -n "s/^ *Depends: \($3\)\$/\1/p"
}

# unpack_headers DIRECTORY WORK RUNNER TOOLS KVER: downloads the headers of KVER with the
# apt of RUNNER, and unpacks them to DIRECTORY with kbuild's tools. It downloads the tools
# with the apt of the runner TOOLS, because they have to run on this machine, also if the
# kernel is arm64's.
unpack_headers()
{
	local directory=$1 work=$2 runner=$3 tools=$4 headers=linux-headers-$5 common kbuild

	common=$(depends "$runner" "$headers" 'linux-headers-.*-common\(-rt\)\?')
	kbuild=$(depends "$runner" "$headers" 'linux-kbuild-.*')
	if [ -z "$common" ] || [ -z "$kbuild" ]; then
		gone "$headers is not in apt's archive"
	fi
	echo "fetching $headers $common $kbuild" >&2
	download "$work" "$runner" "$headers" "$common" || gone "$headers cannot be downloaded"
	download "$work" "$tools" "$kbuild" || gone "$kbuild cannot be downloaded"
	unpack_to "$directory" "$work"
	# The headers' Makefile includes files by absolute paths below /usr/src, where these
	# headers are not installed: make the paths relative to the Makefile.
	# shellcheck disable=SC2016 # make expands these
	sed -i 's,^include /usr/src/,include $(dir $(lastword $(MAKEFILE_LIST)))../,
		s,^KBUILD_OUTPUT=.*,KBUILD_OUTPUT := $(CURDIR),' \
		"$directory/usr/src/$headers/Makefile"
}
