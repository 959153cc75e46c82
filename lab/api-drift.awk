# SPDX-License-Identifier: GPL-2.0-only
#
# For lab/api-drift: compares the declarations that btf-declarations.awk has printed for
# some kernels, the oldest first. Reads the file words (the identifiers in module/'s
# sources), the file wanted (the list that btf-declarations.awk read), the file keys (all
# names in its outputs, sorted), and then its output for each kernel, in a file named like
# the kernel. With all=1 it also prints the declarations that do not change.

BEGIN {
	FS = "\t"
	title[1] = "Functions and variables that module/ names"
	title[2] = "Members of structs that module/ names"
	title[3] = "Private types"
	title[4] = "Values of enums that module/ names"
	title[5] = "What only macros and inline functions of the headers use"
}

FILENAME == "words" {
	words[$1] = 1
	next
}

FILENAME == "wanted" {
	split($1, pair, " ")
	how[pair[2]] = pair[1]
	next
}

FILENAME == "keys" {
	if ($1 != "=")
		keys[++nr_keys] = $1
	next
}

FNR == 1 {
	label[++nr] = FILENAME
	if (length(FILENAME) > width)
		width = length(FILENAME)
}

$1 == "=" {
	has[nr, $2] = 1
	next
}

{
	what[$1, nr] = $2
	if (!($1 in home) || $3 == "vmlinux")
		home[$1] = $3
}

END {
	for (section = 1; section <= 5; section++) {
		printed = 0
		for (k = 1; k <= nr_keys; k++) {
			if (section_of(keys[k]) != section || (text = drift(keys[k])) == "")
				continue
			if (!printed++)
				print "\n" title[section] "\n"
			printf "%s", text
		}
	}
}

function section_of(key,  dot, last)
{
	dot = index(key, ".")
	if (how[dot ? substr(key, 1, dot - 1) : key] == "private")
		return 3
	last = substr(key, dot + 1)
	if (!(last in words))
		return 5
	return how[key] == "constant" ? 4 : dot ? 2 : 1
}

# unknown(KEY, I): is KEY declared in a module whose BTF is missing for kernel number I?
# Then drift() must not report KEY as removed from that kernel.
function unknown(key, i)
{
	return home[key] != "vmlinux" && !((i, home[key]) in has)
}

function drift(key,  i, old, now, lines, changes, blind)
{
	for (i = 1; i <= nr; i++) {
		if ((key, i) in what)
			now = what[key, i]
		else if (unknown(key, i)) {
			if (blind == "")
				blind = label[i]
			continue
		} else
			now = "-- not in BTF"
		if (now != old) {
			if (old != "")
				changes++
			lines = lines sprintf("    %-" width "s  %s%s\n", label[i], now, \
				blind == "" || old == "" ? "" : \
				"  (or from " blind " on: no " home[key] " there)")
		}
		old = now
		blind = ""
	}
	if (!changes && !all)
		return ""
	return (changes ? "* " : "  ") key "\n" lines
}
