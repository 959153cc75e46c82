// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which virtual machine a process runs: the name in QEMU's command line, else QEMU's UUID
 * there, else the name of the control group that libvirt or systemd has put the process into.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

static FILE *open_proc(int pid, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return fopen(path, "re");
}

/* --- QEMU's command line ------------------------------------------------------- */

static bool is_qemu(const char *program)
{
	const char *slash = strrchr(program, '/'), *base = slash ? slash + 1 : program;

	return strstr(base, "qemu") || !strcmp(base, "kvm");
}

/* Copies a value, in which ",," is a comma, and returns what follows it. */
static const char *copy_value(const char *value, char *text, size_t size)
{
	size_t len = 0;

	for (; *value && (*value != ',' || value[1] == ','); value++) {
		value += *value == ',';
		if (len + 1 < size)
			text[len++] = *value;
	}
	text[len] = 0;
	return *value ? value + 1 : value;
}

/* Gets the name from "[guest=]NAME[,KEY=VALUE...]", in any order. */
static void guest_of(const char *option, char *text, size_t size)
{
	char other[2];
	bool first;
	size_t n;

	for (first = true; *option; first = false) {
		n = strcspn(option, "=,");
		if (option[n] == '=' ? n == 5 && !strncmp(option, "guest", n) : first)
			option = copy_value(option[n] == '=' ? option + n + 1 : option,
					    text, size);
		else
			option = copy_value(option, other, sizeof(other));
	}
}

/* Sets text to the name or the UUID, or leaves it empty. */
static void ask_command_line(int pid, char *text, size_t size)
{
	char *word = NULL, *last = NULL, uuid[64] = "";
	FILE *file = open_proc(pid, "cmdline");
	size_t space = 0;

	if (!file)
		return;
	if (getdelim(&word, &space, 0, file) <= 0 || !is_qemu(word))
		goto out;
	while (getdelim(&word, &space, 0, file) > 0) {
		if (last && (!strcmp(last, "-name") || !strcmp(last, "--name")))
			guest_of(word, text, size);
		else if (last && (!strcmp(last, "-uuid") || !strcmp(last, "--uuid")))
			snprintf(uuid, sizeof(uuid), "%s", word);
		free(last);
		last = strdup(word);
	}
	if (!text[0])
		snprintf(text, size, "%s", uuid);
out:
	free(last);
	free(word);
	fclose(file);
}

/* --- The control group --------------------------------------------------------- */

/* The names of units, and of libvirt's groups where there is no systemd. */
static const struct {
	const char *before, *behind;
} units[] = {
	{ "machine-", ".scope" },
	{ "systemd-nspawn@", ".service" },
	{ "", ".libvirt-qemu" },
};

/* In the name of a unit "\x2d" is a hyphen, and so on. */
static void unescape(char *text)
{
	unsigned int c;
	char *to = text;

	for (; *text; text++) {
		if (sscanf(text, "\\x%2x", &c) == 1 && c) {
			*to++ = c;
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = 0;
}

/* libvirt calls the groups of its machines qemu-NUMBER-NAME. */
static const char *without_number(const char *name)
{
	size_t n = strncmp(name, "qemu-", 5) ? 0 : strspn(name + 5, "0123456789");

	return n && name[5 + n] == '-' ? name + 6 + n : name;
}

/* Is the directory that of a machine? Then its name replaces text. */
static bool is_machine(char *directory, char *text, size_t size)
{
	size_t i, len = strlen(directory), before, behind;

	for (i = 0; i < sizeof(units) / sizeof(*units); i++) {
		before = strlen(units[i].before);
		behind = strlen(units[i].behind);
		if (len <= before + behind || strncmp(directory, units[i].before, before) ||
		    strcmp(directory + len - behind, units[i].behind))
			continue;
		directory[len - behind] = 0;
		unescape(directory);
		snprintf(text, size, "%s", without_number(directory + before));
		return true;
	}
	return false;
}

static void ask_control_group(int pid, char *text, size_t size)
{
	FILE *file = open_proc(pid, "cgroup");
	char line[4096], *directory, *rest;
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		rest = line;
		while (!found && (directory = strsep(&rest, "/")))
			found = is_machine(directory, text, size);
	}
	if (file)
		fclose(file);
}

const char *machine_name(int pid)
{
	static char text[128];
	static int last;

	/* the mappings of a process follow each other */
	if (pid != last) {
		last = pid;
		text[0] = 0;
		ask_command_line(pid, text, sizeof(text));
		if (!text[0])
			ask_control_group(pid, text, sizeof(text));
		make_printable(text);
	}
	return text[0] ? text : NULL;
}
