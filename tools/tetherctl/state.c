// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads from debugfs and procfs what tether has mapped, and by which process.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tetherctl.h"

int read_line(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	int ret = 0;

	text[0] = 0;
	if (!file)
		return -errno;
	if (!fgets(text, size, file) && ferror(file))
		ret = -errno;
	text[strcspn(text, "\n")] = 0;
	fclose(file);
	return ret;
}

unsigned long tainted(void)
{
	char text[32];

	if (read_line("/proc/sys/kernel/tainted", text, sizeof(text)))
		return 0;
	return strtoul(text, NULL, 10);
}

static void unreadable(const char *path, int error)
{
	fprintf(stderr, "tetherctl: %s: %s\n", path, strerror(error));
	if (error == EACCES)
		fprintf(stderr, "tetherctl: run it as root\n");
	else if (error == ENOENT && !tether_module())
		fprintf(stderr, "tetherctl: tether is not loaded: tetherctl status\n");
	else if (error == ENOENT)
		fprintf(stderr, "tetherctl: mount -t debugfs debugfs /sys/kernel/debug\n");
	exit(EXIT_UNREADABLE);
}

static bool parse(const char *line, struct segment *s)
{
	bool good = sscanf(line,
		      "%" SCNx64 " %" SCNu64 " %" SCNx64 " %3s %d %lld %15s %15s %127s %d %"
		      SCNx64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %u %" SCNu64,
		      &s->iova, &s->size, &s->vaddr, s->prot, &s->owner,
		      &s->age_ms, s->kind, s->state, s->device, &s->region,
		      &s->offset, &s->live, &s->revoked, &s->gone,
		      &s->revocations, &s->away_ms) == 16;

	make_printable(s->device);	/* it may be the name of a file */
	return good;
}

static void add(struct segments *s, const struct segment *one)
{
	if (!(s->nr & (s->nr + 1)))	/* full at 0, 1, 3, 7... */
		s->v = realloc(s->v, (2 * s->nr + 2) * sizeof(*s->v));
	if (!s->v)
		abort();
	s->v[s->nr++] = *one;
}

/* Gets what follows the word in the container's summary. */
static bool summary_word(unsigned int container, const char *word, char *text,
			 size_t size)
{
	char path[128];
	size_t len = strlen(word);
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), DEBUGFS "/%u/summary", container);
	file = fopen(path, "re");
	while (file && !found && fgets(text, size, file))
		found = !strncmp(text, word, len) && strchr(" \n", text[len]);
	if (file)
		fclose(file);
	if (found)
		memmove(text, text + len, strlen(text + len) + 1);
	return found;
}

bool summary_number(unsigned int container, const char *word, uint64_t *value)
{
	char text[64];

	if (!summary_word(container, word, text, sizeof(text)))
		return false;
	*value = strtoull(text, NULL, 10);
	return true;
}

static void add_refusal(struct segments *s, unsigned int container)
{
	char text[64];

	if (!summary_word(container, "refused", text, sizeof(text)))
		return;
	s->refusals = reallocarray(s->refusals, s->nr_refusals + 1,
				   sizeof(*s->refusals));
	if (!s->refusals)
		abort();
	s->refusals[s->nr_refusals++] = (struct refusal){
		.container = container,
		.error = atoi(text),
	};
}

static void read_container(struct segments *s, const char *name,
			   const struct options *o)
{
	struct segment one = { .container = atoi(name) };
	char path[300], line[1024];
	FILE *file;

	snprintf(path, sizeof(path), DEBUGFS "/%s/mappings", name);
	file = fopen(path, "re");
	if (!file && errno == ENOENT)
		return;		/* the container has just been closed */
	if (!file)
		unreadable(path, errno);
	while (fgets(line, sizeof(line), file)) {
		if (line[0] == '#')
			continue;
		if (!parse(line, &one)) {
			fprintf(stderr, "tetherctl: %s: not understood: %s",
				path, line);
			exit(EXIT_UNREADABLE);
		}
		if (device_matches(o->device, one.device))
			add(s, &one);
	}
	fclose(file);
	add_refusal(s, one.container);
	s->containers = reallocarray(s->containers, s->nr_containers + 1,
				     sizeof(*s->containers));
	if (!s->containers)
		abort();
	s->containers[s->nr_containers++] = one.container;
}

static bool is_container(const char *name)
{
	return strspn(name, "0123456789") == strlen(name);
}

void read_segments(struct segments *s, const struct options *o)
{
	DIR *dir = opendir(DEBUGFS);
	struct dirent *entry;

	*s = (struct segments){ .nr = 0 };
	if (!dir)
		unreadable(DEBUGFS, errno);
	while ((entry = readdir(dir)))
		if (is_container(entry->d_name) &&
		    (o->container < 0 || o->container == atol(entry->d_name)))
			read_container(s, entry->d_name, o);
	closedir(dir);
	if (!s->nr)	/* the name of a file whose memory is mapped names no device */
		device_must_exist(o->device);
}

struct holding *sum_holdings(const struct segments *s, size_t *nr)
{
	struct holding *v = calloc(s->nr + 1, sizeof(*v)), *h;
	size_t i, n = 0;

	if (!v)
		abort();
	for (i = 0; i < s->nr; i++) {
		const struct segment *one = &s->v[i];

		if (strcmp(one->kind, "mirror"))
			continue;
		for (h = v; h < v + n; h++)
			if (h->container == one->container &&
			    h->owner == one->owner &&
			    !strcmp(h->device, one->device))
				break;
		if (h == v + n) {
			n++;
			memcpy(h->device, one->device, sizeof(h->device));
			h->container = one->container;
			h->owner = one->owner;
		}
		h->live += one->live;
		h->revoked += one->revoked;
		h->gone += one->gone;
		h->mirrors++;
		h->revocations += one->revocations;
	}
	*nr = n;
	return v;
}

/* The groups whose devices reach the container's mappings. */
json_t *container_groups(unsigned int container)
{
	json_t *groups = json_array();
	char line[4096], *word, *rest = line;

	if (!summary_word(container, "groups", line, sizeof(line)))
		return groups;
	while ((word = strsep(&rest, " \n")))
		if (*word)
			json_array_append_new(groups, json_integer(atoi(word)));
	return groups;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(json_string_value(*(json_t *const *)a),
		      json_string_value(*(json_t *const *)b));
}

json_t *group_devices(long long group)
{
	json_t *devices = json_array();
	char path[96];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/kernel/iommu_groups/%lld/devices", group);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			json_array_append_new(devices, json_string(entry->d_name));
	if (dir)
		closedir(dir);
	return devices;
}

json_t *container_devices(unsigned int container)
{
	json_t *groups = container_groups(container), *all = json_array(), *one;
	json_t *sorted = json_array(), *names, **v;
	size_t i, n;

	json_array_foreach(groups, i, one) {
		names = group_devices(json_integer_value(one));
		json_array_extend(all, names);
		json_decref(names);
	}
	n = json_array_size(all);
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		abort();
	for (i = 0; i < n; i++)
		v[i] = json_array_get(all, i);
	qsort(v, n, sizeof(*v), by_name);
	for (i = 0; i < n; i++)
		json_array_append(sorted, v[i]);
	free(v);
	json_decref(all);
	json_decref(groups);
	return sorted;
}
