# SPDX-License-Identifier: GPL-2.0-only
#
# Reads a list of names, and then what "bpftool btf dump" prints of a kernel and of modules of
# that kernel. Prints the declaration of each name that the BTF has: NAME, a tab, the
# declaration, a tab, and the file in which it was found. The lines of the list:
#
#   symbol NAME		a function or a variable
#   member TYPE.NAME	a member of a struct or union, also if it is in a nameless one inside
#   private TYPE	all members of a struct, with offsets; or all values of an enum
#   constant NAME	a value of an enum
#
# A module's BTF has only the types that the kernel's BTF lacks, and numbers them on from
# the kernel's last type.

function next_file()
{
	if (file > 1)
		look_up()
	file++
	source = FILENAME
	sub(/.*\//, "", source)
	# All modules number their types from the same start, so what the last file said of
	# a number does not hold in this file: forget it.
	split("", id)
	split("", enum_of)
	split("", same_name)
}

FNR == 1 { next_file() }

file == 1 {
	wanted[$2] = $1
	next
}

# The first line of a type: [5] KIND 'name' key=value... The name may have spaces
# (INT 'long unsigned int').
/^\[/ {
	n = substr($1, 2) + 0
	kind[n] = $2
	split($0, quoted, "'")
	name[n] = quoted[2] == "(anon)" ? "" : quoted[2]
	type[n] = value("type_id") + 0
	parts[n] = 0
	if ($2 == "ARRAY")
		size[n] = value("nr_elems")
	else if ($2 == "FUNC_PROTO")
		type[n] = value("ret_type_id") + 0
	else if ($2 == "FWD")
		size[n] = value("fwd_kind")
	# Of several functions or variables with one name take the first, as pahole does.
	if ($2 ~ /^(FUNC|VAR)$/ && wanted[name[n]] == "symbol" && !(name[n] in id))
		id[name[n]] = n
	if ($2 ~ /^(STRUCT|UNION|ENUM|ENUM64)$/ && name[n] != "")
		same_name[name[n]] = same_name[name[n]] " " n
	next
}

# A member, a parameter, or an enum's value: 'name' key=value...
/^\t'/ {
	split($0, quoted, "'")
	i = ++parts[n]
	part_name[n, i] = quoted[2] == "(anon)" ? "" : quoted[2]
	if (kind[n] ~ /^ENUM/) {
		part_type[n, i] = value("val")
		enum_of[quoted[2]] = n
	} else {
		part_type[n, i] = value("type_id") + 0
		part_at[n, i] = value("bits_offset")
		part_bits[n, i] = value("bitfield_size") + 0
	}
}

END { look_up() }

# The word after "KEY=" in the line.
function value(key,  at, rest)
{
	at = index($0, " " key "=")
	if (!at)
		return ""
	rest = substr($0, at + length(key) + 2)
	sub(/ .*/, "", rest)
	return rest
}

function found(what, declaration)
{
	if (what in told)
		return
	told[what] = 1
	print what "\t" declaration "\t" source
}

function look_up(  what, how, dot)
{
	for (what in wanted) {
		how = wanted[what]
		if (how == "symbol" && what in id)
			found(what, declare(type[id[what]], what))
		else if (how == "constant" && what in enum_of)
			found(what, declare(enum_of[what], ""))
		else if (how == "private")
			each_type(what, "")
		else if (how == "member") {
			dot = index(what, ".")
			each_type(substr(what, 1, dot - 1), substr(what, dot + 1))
		}
	}
}

# each_type(TYPE, MEMBER): prints MEMBER, or all members if MEMBER is empty, of each struct
# or union called TYPE (usually there is one), or the values of an enum called TYPE.
function each_type(what, member,  ids, i, count)
{
	count = split(same_name[what], ids, " ")
	for (i = 1; i <= count; i++)
		if (kind[ids[i]] !~ /^ENUM/)
			members(what, ids[i], member, 0)
		else if (member == "")
			found(what, declare(ids[i], "") " " values(ids[i]))
}

function members(what, n, member, at,  i)
{
	for (i = 1; i <= parts[n]; i++)
		if (part_name[n, i] == "")
			members(what, part_type[n, i], member, at + part_at[n, i])
		else if (member == "")
			found(what "." part_name[n, i],
			      "byte " (at + part_at[n, i]) / 8 ": " declare_part(n, i))
		else if (part_name[n, i] == member)
			found(what "." member, declare_part(n, i))
}

function declare_part(n, i)
{
	return declare(part_type[n, i], part_name[n, i]) \
		(part_bits[n, i] ? ":" part_bits[n, i] : "")
}

function values(n,  i, list)
{
	for (i = 1; i <= parts[n]; i++)
		list = list (i > 1 ? ", " : "") part_name[n, i] " = " part_type[n, i]
	return "{ " list " }"
}

# plain(N): returns the type in type N, without tags and "restrict", which are not printed.
function plain(n)
{
	while (kind[n] ~ /^(RESTRICT|TYPE_TAG|DECL_TAG)$/)
		n = type[n]
	return n
}

function parameters(n,  i, list)
{
	for (i = 1; i <= parts[n]; i++)
		list = list (i > 1 ? ", " : "") \
			(part_type[n, i] ? declare(part_type[n, i], "") : "...")
	return list == "" ? "void" : list
}

# declare(TYPE, INNER): returns the C declaration of INNER with that type. INNER is a name,
# maybe empty, or a name with the stars, brackets and parameters that outer calls have put
# around it.
function declare(n, inner,  k, to)
{
	n = plain(n)
	k = kind[n]
	if (!n)
		return "void" spaced(inner)
	if (k == "PTR") {
		to = kind[plain(type[n])]
		return declare(type[n], to ~ /^(ARRAY|FUNC_PROTO)$/ ? "(*" inner ")" : "*" inner)
	}
	if (k ~ /^(CONST|VOLATILE)$/) {
		k = tolower(k)
		to = plain(type[n])
		if (kind[to] == "PTR")
			return declare(to, k spaced(inner))
		return k " " declare(to, inner)
	}
	if (k == "ARRAY")
		return declare(type[n], inner "[" size[n] "]")
	if (k == "FUNC_PROTO")
		return declare(type[n], inner "(" parameters(n) ")")
	if (k == "FWD")
		return size[n] " " name[n] spaced(inner)
	if (k ~ /^(STRUCT|UNION|ENUM)/)
		return tolower(substr(k, 1, k ~ /^ENUM/ ? 4 : 6)) \
			" " (name[n] == "" ? "{...}" : name[n]) spaced(inner)
	return name[n] spaced(inner)
}

function spaced(inner)
{
	return inner == "" || inner ~ /^\[/ ? inner : " " inner
}
