# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What every lab script agrees on: where things lie, which kernel is meant, and
# how to run something in the chroot that newer kernels are built in. Sourced, never run.

# shellcheck disable=SC2034 # used by the scripts that source this
top=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
build=$top/build
cache=$build/cache
trixie=$cache/trixie

die()
{
	echo "${0##*/}: $*" >&2
	exit 1
}

# The kernel that linux-headers-amd64 stands for: of the installed package, since
# modules are built against that one, else of the one apt would install.
own_kver()
{
	local depends

	depends=$(dpkg-query -W -f '${Depends}' linux-headers-amd64 2>/dev/null) ||
		depends=$(apt-cache show --no-all-versions linux-headers-amd64 |
			sed -n 's/^Depends: //p')
	sed -n 's/.*linux-headers-\([0-9][^ ,(]*\).*/\1/p' <<<"$depends"
}

# exact_kver [NAME]: the version that a name like 6.12 is short for, or trixie, or
# backports (trixie's); without one $KVER's, else this machine's own.
exact_kver()
{
	local name=${1:-${KVER:-}} own kver

	case $name in
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

# Is this kernel built in the chroot? Not if this machine has its headers.
from_trixie()
{
	[[ $1 == *+deb13-* ]] && [ ! -e "/lib/modules/$1/build/Makefile" ]
}

# in_trixie COMMAND [ARG...]: in the chroot, with this tree where it is outside.
# The mounts are in a namespace of their own and go with the command.
# shellcheck disable=SC2016 # the inner shell expands them
in_trixie()
{
	mkdir -p "$trixie$top"
	unshare -m sh -euc '
		root=$1 top=$2
		shift 2
		mount -t proc proc "$root/proc"
		mount --bind "$top" "$root$top"
		exec chroot "$root" "$@"
	' in_trixie "$trixie" "$top" \
		env -i PATH=/usr/sbin:/usr/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}
