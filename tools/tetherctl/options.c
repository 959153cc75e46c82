// SPDX-License-Identifier: GPL-2.0-only
/*
 * Options that modprobe gives a module: those of its configuration files and of the kernel's
 * command line.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "tetherctl.h"

#define BLANKS	" \t\n"

/* Compares n characters. In a module's name, and an option's, - and _ are the same. */
static bool same_name(const char *a, const char *b, size_t n)
{
	for (; n; n--, a++, b++)
		if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b))
			return false;
	return true;
}

/* Is the word "OPTION" or "OPTION=VALUE"? */
static bool word_sets(const char *word, const char *option)
{
	size_t len = strcspn(word, "=");

	return len == strlen(option) && same_name(word, option, len);
}

/* The line is "options MODULE OPTION[=VALUE]...". */
static bool line_sets(char *line, const char *module, const char *option)
{
	char *rest, *word = strtok_r(line, BLANKS, &rest);

	if (!word || strcmp(word, "options"))
		return false;
	word = strtok_r(NULL, BLANKS, &rest);
	if (!word || !word_sets(word, module))
		return false;
	while ((word = strtok_r(NULL, BLANKS, &rest)))
		if (word_sets(word, option))
			return true;
	return false;
}

/* Reads a line with those that a backslash at its end continues it with. */
static bool read_joined(FILE *file, char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size && fgets(line + len, size - len, file)) {
		len += strlen(line + len);
		if (len < 2 || strcmp(line + len - 2, "\\\n"))
			return true;
		len -= 2;
		line[len] = 0;
	}
	return len;
}

static bool file_sets(const char *path, const char *module, const char *option)
{
	FILE *file = fopen(path, "re");
	bool found = false;
	char line[4096];

	while (file && !found && read_joined(file, line, sizeof(line)))
		found = line_sets(line, module, option);
	if (file)
		fclose(file);
	return found;
}

static bool command_line_sets(const char *module, const char *option)
{
	char line[4096], name[128], *word, *rest = line;

	snprintf(name, sizeof(name), "%s.%s", module, option);
	read_line("/proc/cmdline", line, sizeof(line));
	while ((word = strsep(&rest, BLANKS)))
		if (word_sets(word, name))
			return true;
	return false;
}

bool option_is_set(const char *module, const char *option, char *where,
		   size_t size)
{
	static const char *const dirs[] = { "/etc/modprobe.d", "/run/modprobe.d",
		"/usr/local/lib/modprobe.d", "/usr/lib/modprobe.d",
		"/lib/modprobe.d" };
	struct dirent *entry;
	bool found = false;
	const char *dot;
	size_t i;
	DIR *dir;

	for (i = 0; i < sizeof(dirs) / sizeof(*dirs) && !found; i++) {
		dir = opendir(dirs[i]);
		while (dir && !found && (entry = readdir(dir))) {
			dot = strrchr(entry->d_name, '.');
			snprintf(where, size, "%s/%s", dirs[i], entry->d_name);
			found = dot && !strcmp(dot, ".conf") &&
				file_sets(where, module, option);
		}
		if (dir)
			closedir(dir);
	}
	if (found)
		return true;
	snprintf(where, size, "the kernel's command line");
	return command_line_sets(module, option);
}
