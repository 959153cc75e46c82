# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Functions that the scripts in clients/guest share. clients/run reads these scripts'
# output: a line "KEY VALUE" is a cell of its table; a line "# ..." is a remark, which stays
# in the log and helps to find the cause of a failure.

# unbind BDF: unbinds the device from its driver, if it has one.
unbind()
{
	[ ! -e "/sys/bus/pci/devices/$1/driver" ] ||
		echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"
}

# bind BDF...: binds the devices to vfio-pci.
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

# remark: copies stdin to stdout as remarks.
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
