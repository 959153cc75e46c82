# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# bash completion for tetherctl

_tetherctl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}

	# --device=DEVICE is three words to bash
	[ "$cur" != = ] || cur=
	[ "$prev" != = ] || prev=${COMP_WORDS[COMP_CWORD - 2]}
	case $prev in
	-d | --device)
		mapfile -t COMPREPLY < <(compgen -W \
			"$(find /sys/bus/pci/drivers/vfio-pci -name '*:*' -printf '%f ' 2>/dev/null)" -- "$cur")
		return
		;;
	-o | --output)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W \
			'status maps devices watch metrics doctor guard' -- "$cur")
		return
		;;
	guard)
		mapfile -t COMPREPLY < <(compgen -W 'on off status' -- "$cur")
		return
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W \
		'status maps devices watch metrics doctor guard help --json --device --container --output --per-device --help --version' -- "$cur")
}
complete -F _tetherctl tetherctl
