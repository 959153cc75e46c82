# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the clients' scripts share. What they say is for clients/run: "KEY VALUE" is a
# cell of its table, "# ..." is for a person who looks for the cause of a failure.

# unbind BDF: from whatever driver it has.
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

# Everything that a client says, as remarks.
remark()
{
	sed 's/^/# /'
}

now()
{
	date +%s.%N
}

# since START: seconds, as measured by now().
since()
{
	awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'
}
