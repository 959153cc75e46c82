# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Functions that the clients' scripts share. clients/run reads the scripts' output: "KEY
# VALUE" is a cell of its table, "# ..." is a remark that helps to find a failure's cause.

# unbind BDF: from the driver it has, if any.
unbind()
{
	[ ! -e "/sys/bus/pci/devices/$1/driver" ] ||
		echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
}

# bind BDF...: to vfio-pci.
bind()
{
	local bdf

	for bdf; do
		unbind "$bdf"
		echo vfio-pci >"/sys/bus/pci/devices/$bdf/driver_override"
		echo "$bdf" >/sys/bus/pci/drivers_probe
		[ "$(basename "$(readlink "/sys/bus/pci/devices/$bdf/driver")")" = vfio-pci ]
	done
}

# Prints all output of a client as remarks.
remark()
{
	sed 's/^/# /'
}

now()
{
	date +%s.%N
}

# since START: the seconds since START, a value of now().
since()
{
	awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'
}
