// SPDX-License-Identifier: GPL-2.0-only
/*
 * Formats output: colours on a terminal, sizes, JSON. Writes files.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tetherctl.h"

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value && *value;
}

static bool has_colours(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !is_set("NO_COLOR") && term &&
	       strcmp(term, "dumb");
}

const char *paint(enum colour c)
{
	static const char *const codes[] = {
		[PLAIN] = "\033[0m", [GREEN] = "\033[32m",
		[YELLOW] = "\033[33m", [RED] = "\033[31m", [BOLD] = "\033[1m",
	};

	return has_colours() ? codes[c] : "";
}

const char *human(uint64_t bytes, char text[16])
{
	static const char units[] = "BKMGTPE";
	unsigned int unit = 0;

	while (bytes && !(bytes & 1023) && units[unit + 1]) {
		bytes >>= 10;
		unit++;
	}
	while (bytes > 9999 && units[unit + 1]) {
		bytes >>= 10;
		unit++;
	}
	snprintf(text, 16, "%" PRIu64 "%c", bytes, units[unit]);
	return text;
}

void make_printable(char *text)
{
	unsigned char *c = (unsigned char *)text;
	json_t *json = json_string(text);	/* NULL if it is no UTF-8 */
	bool utf8 = json;

	json_decref(json);
	for (; *c; c++) {
		if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
			*c++ = '?';	/* U+0080 to U+009F control terminals, too */
			*c = '?';
		} else if (*c < ' ' || *c == 0x7f || (*c >= 0x80 && !utf8)) {
			*c = '?';
		}
	}
}

int print_json(json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return EXIT_GOOD;
}

static int failed(const char *what)
{
	fprintf(stderr, "tetherctl: %s: %s\n", what, strerror(errno));
	return EXIT_UNREADABLE;
}

static bool write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	for (; len; text += n, len -= n) {
		n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n < 0)
			return false;
	}
	return true;
}

/* Makes the rename last if the machine loses power; a directory that cannot be synced, can. */
static void sync_directory(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(copy);
}

/*
 * Writes a file of the same directory and renames it, so that a reader sees the old text or
 * the new one, whole. node_exporter reads only names that end in .prom: that file's does not.
 */
static int replace_file(const char *path, const char *text, size_t len)
{
	char *temporary;
	bool good;
	int fd;

	if (asprintf(&temporary, "%s.XXXXXX", path) < 0)
		abort();
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return failed(path);
	good = write_all(fd, text, len) && !fchmod(fd, 0644) && !fsync(fd);
	if (close(fd) || !good || rename(temporary, path)) {
		failed(path);
		unlink(temporary);
		return EXIT_UNREADABLE;
	}
	sync_directory(path);
	free(temporary);
	return EXIT_GOOD;
}

int write_output(const char *path, const char *text, size_t len)
{
	if (path)
		return replace_file(path, text, len);
	return write_all(STDOUT_FILENO, text, len) ? EXIT_GOOD : failed("standard output");
}
