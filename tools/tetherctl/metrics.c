// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics: numbers in Prometheus' text format, for node_exporter's textfile collector.
 * They are gathered in memory before the first of them is written, so that an error leaves
 * no half output.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

static FILE *out;

static void head(const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(const char *name, const char *help, uint64_t value)
{
	head(name, "gauge", help);
	fprintf(out, "%s %" PRIu64 "\n", name, value);
}

/* Prints a label's value with special characters escaped. */
static void print_label(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text, out);
	}
}

/* --- What is mapped now -------------------------------------------------------- */

static void print_bytes(const struct segments *s)
{
	uint64_t pinned = 0, live = 0, revoked = 0, gone = 0;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		if (!strcmp(s->v[i].kind, "pinned"))
			pinned += s->v[i].live;
		else
			live += s->v[i].live;
		revoked += s->v[i].revoked;
		gone += s->v[i].gone;
	}
	head("tether_bytes", "gauge", "Memory mapped for DMA, by what it is.");
	fprintf(out, "tether_bytes{state=\"pinned\"} %" PRIu64 "\n", pinned);
	fprintf(out, "tether_bytes{state=\"live\"} %" PRIu64 "\n", live);
	fprintf(out, "tether_bytes{state=\"revoked\"} %" PRIu64 "\n", revoked);
	fprintf(out, "tether_bytes{state=\"gone\"} %" PRIu64 "\n", gone);
}

/* The age of the oldest outage that is not over. */
static void print_longest(const struct segments *s)
{
	uint64_t longest = 0;
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].revoked && s->v[i].away_ms > longest)
			longest = s->v[i].away_ms;
	head("tether_revoked_longest_seconds", "gauge",
	     "Time since the device memory was revoked that is revoked for the longest time.");
	fprintf(out, "tether_revoked_longest_seconds %" PRIu64 ".%03u\n",
		longest / 1000, (unsigned int)(longest % 1000));
}

static void print_sample(const char *name, const struct holding *h,
			 const char *state, uint64_t value)
{
	fprintf(out, "%s{device=\"", name);
	print_label(h->device);
	fprintf(out, "\",pid=\"%d\",container=\"%u\"", h->owner, h->container);
	if (state)
		fprintf(out, ",state=\"%s\"", state);
	fprintf(out, "} %" PRIu64 "\n", value);
}

static void print_devices(const struct segments *s)
{
	struct holding *v;
	size_t i, nr;

	v = sum_holdings(s, &nr);
	head("tether_device_bytes", "gauge",
	     "Device memory mapped for DMA, by device and holder.");
	for (i = 0; i < nr; i++) {
		print_sample("tether_device_bytes", &v[i], "live", v[i].live);
		print_sample("tether_device_bytes", &v[i], "revoked",
			     v[i].revoked);
		print_sample("tether_device_bytes", &v[i], "gone", v[i].gone);
	}
	head("tether_device_revocations", "gauge",
	     "How often what is mapped now has been revoked.");
	for (i = 0; i < nr; i++)
		print_sample("tether_device_revocations", &v[i], NULL,
			     v[i].revocations);
	free(v);
}

/* --- Limits -------------------------------------------------------------------- */

/* Prints the least that a container has left of what its summary calls @word. */
static void print_least(const struct segments *s, const char *word,
			const char *name, const char *help)
{
	uint64_t value, least = UINT64_MAX;
	size_t i;

	for (i = 0; i < s->nr_containers; i++)
		if (summary_number(s->containers[i], word, &value) && value < least)
			least = value;
	if (least != UINT64_MAX)
		gauge(name, help, least);
}

static void print_memlock(const struct segments *s)
{
	double most = 0, share;
	struct memlock m;
	int last = 0;
	size_t i;

	for (i = 0; i < s->nr; i++) {
		if (s->v[i].owner == last)
			continue;
		last = s->v[i].owner;
		if (!read_memlock(last, &m) || m.limit == UINT64_MAX)
			continue;
		share = m.limit ? (double)m.locked / m.limit : 1;
		if (share > most)
			most = share;
	}
	head("tether_memlock_used_ratio", "gauge",
	     "Largest share of its RLIMIT_MEMLOCK that a process with mappings uses; 0 if no process has a limit.");
	fprintf(out, "tether_memlock_used_ratio %.4f\n", most);
}

static void print_limits(const struct segments *s)
{
	char text[32];

	if (!module_line("parameters/dma_entry_limit", text, sizeof(text)))
		gauge("tether_dma_entry_limit",
		      "Most mappings that a new container may have.",
		      strtoull(text, NULL, 10));
	print_least(s, "mappings_avail", "tether_mappings_available",
		    "How many more mappings the container may have that may have the fewest.");
	print_least(s, "mirrors_avail", "tether_mirrors_available",
		    "How many more mirrors the container may have that may have the fewest.");
	print_memlock(s);
}

/* --- Counters ------------------------------------------------------------------ */

#define STATS_MAX	64

/* The lines of debugfs' file "stats". */
struct stats {
	size_t nr;
	struct {
		char name[32];
		uint64_t value;
	} v[STATS_MAX];
};

/* A module older than this program has no such file: then there are no counters. */
static bool read_stats(struct stats *s)
{
	FILE *file = fopen(DEBUGFS "/stats", "re");
	char line[128];

	s->nr = 0;
	while (file && s->nr < STATS_MAX && fgets(line, sizeof(line), file))
		if (sscanf(line, "%31s %" SCNu64, s->v[s->nr].name,
			   &s->v[s->nr].value) == 2)
			s->nr++;
	if (file)
		fclose(file);
	return s->nr;
}

static uint64_t counter(const struct stats *s, const char *name)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (!strcmp(s->v[i].name, name))
			return s->v[i].value;
	return 0;
}

/* Prints a counter with a sample for each line of which @prefix is the beginning. */
static void print_counter(const struct stats *s, const char *prefix, const char *name,
			  const char *label, const char *help)
{
	const char *value;
	size_t i;

	head(name, "counter", help);
	for (i = 0; i < s->nr; i++) {
		if (strncmp(s->v[i].name, prefix, strlen(prefix)))
			continue;
		value = s->v[i].name + strlen(prefix);
		if (atoi(value))
			value = strerrorname_np(atoi(value)) ?: value;
		fprintf(out, "%s{%s=\"%.*s\"} %" PRIu64 "\n", name, label,
			(int)strcspn(value, "_"), value, s->v[i].value);
	}
}

static void print_outages(const struct stats *s)
{
	static const char name[] = "tether_outage_seconds";
	uint64_t count = 0, us;
	size_t i;

	head(name, "histogram",
	     "For how long device memory was revoked that was then restored.");
	for (i = 0; i < s->nr; i++) {
		if (sscanf(s->v[i].name, "outages_le_%" SCNu64 "us", &us) != 1)
			continue;
		count += s->v[i].value;
		fprintf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, us / 1e6,
			count);
	}
	count += counter(s, "outages_le_inf");
	fprintf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, count);
	fprintf(out, "%s_sum %.9f\n", name, counter(s, "away_ns") / 1e9);
	fprintf(out, "%s_count %" PRIu64 "\n", name, count);
}

static void print_one(const struct stats *s, const char *word, const char *name,
		      const char *help)
{
	head(name, "counter", help);
	fprintf(out, "%s %" PRIu64 "\n", name, counter(s, word));
}

static void print_counters(void)
{
	struct stats s;

	if (!read_stats(&s))
		return;
	print_counter(&s, "mapped_", "tether_mapped_bytes_total", "kind",
		      "Memory that was mapped for DMA.");
	print_counter(&s, "unmapped_", "tether_unmapped_bytes_total", "kind",
		      "Memory that was unmapped by a program, or when its container was closed.");
	print_counter(&s, "revocations_", "tether_revocations_total", "cause",
		      "How often device memory was taken out of the IOMMU because it went.");
	print_one(&s, "restores", "tether_restores_total",
		  "How often device memory was put into the IOMMU again.");
	print_outages(&s);
	print_counter(&s, "refusals_", "tether_refusals_total", "errno",
		      "How often mapping memory for DMA failed.");
	print_one(&s, "refused_containers", "tether_container_refusals_total",
		  "How often tether refused a container in VFIO_SET_IOMMU.");
}

/* --- The whole ----------------------------------------------------------------- */

static void print_build(void)
{
	char version[64], source[64];

	backend_version(version, sizeof(version));
	module_line("srcversion", source, sizeof(source));
	head("tether_build_info", "gauge",
	     "1, with the versions of the loaded type1 module and of tetherctl.");
	fprintf(out, "tether_build_info{module=\"%s\",version=\"%s\",srcversion=\"%s\",tetherctl=\"%s\"} 1\n",
		tether_module() ?: "", version, source, TETHER_VERSION);
}

static void print_in_tree(void)
{
	struct in_tree_use use;

	read_in_tree(&use);
	if (use.containers >= 0)
		gauge("tether_in_tree_containers",
		      "Open containers of the in-tree driver.", use.containers);
	free(use.v);
}

static void print_mapped(const struct options *o)
{
	struct segments s;

	read_segments(&s, o);
	gauge("tether_strict", "1 if only memory of VFIO devices may be mapped.",
	      strict());
	gauge("tether_containers", "Open containers that tether serves.",
	      s.nr_containers);
	gauge("tether_refused_containers", "How many of them were refused.",
	      s.nr_refusals);
	gauge("tether_segments", "Stretches of memory that are mapped.", s.nr);
	print_bytes(&s);
	print_longest(&s);
	print_limits(&s);
	print_counters();
	if (o->per_device)
		print_devices(&s);
}

int do_metrics(const struct options *o)
{
	const char *module = tether_module();
	char *text;
	size_t len;

	out = open_memstream(&text, &len);
	if (!out)
		abort();
	print_build();
	gauge("tether_in_force", "1 if tether serves new containers.", in_force());
	gauge("tether_beside", "1 if tether is loaded beside the in-tree driver.",
	      module && !strcmp(module, BESIDE));
	print_in_tree();
	if (module)
		print_mapped(o);
	if (fclose(out))
		abort();
	return write_output(o->output, text, len);
}
