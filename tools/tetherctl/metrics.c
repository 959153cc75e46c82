// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics: numbers in OpenMetrics' text format, gauges only, so that older
 * readers of Prometheus' text format (node_exporter) take it as well.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

static void head(const char *name, const char *help)
{
	printf("# TYPE %s gauge\n# HELP %s %s\n", name, name, help);
}

static void gauge(const char *name, const char *help, uint64_t value)
{
	head(name, help);
	printf("%s %" PRIu64 "\n", name, value);
}

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
	head("tether_bytes", "Memory mapped for DMA, by what it is");
	printf("tether_bytes{state=\"pinned\"} %" PRIu64 "\n", pinned);
	printf("tether_bytes{state=\"live\"} %" PRIu64 "\n", live);
	printf("tether_bytes{state=\"revoked\"} %" PRIu64 "\n", revoked);
	printf("tether_bytes{state=\"gone\"} %" PRIu64 "\n", gone);
}

/* Prints a label's value with special characters escaped. */
static void print_label(const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
}

static void print_sample(const char *name, const struct holding *h,
			 const char *state, uint64_t value)
{
	printf("%s{device=\"", name);
	print_label(h->device);
	printf("\",pid=\"%d\",container=\"%u\"", h->owner, h->container);
	if (state)
		printf(",state=\"%s\"", state);
	printf("} %" PRIu64 "\n", value);
}

static void print_devices(const struct segments *s)
{
	struct holding *v;
	size_t i, nr;

	v = sum_holdings(s, &nr);
	head("tether_device_bytes", "Device memory mapped for DMA, by holder");
	for (i = 0; i < nr; i++) {
		print_sample("tether_device_bytes", &v[i], "live", v[i].live);
		print_sample("tether_device_bytes", &v[i], "revoked",
			     v[i].revoked);
		print_sample("tether_device_bytes", &v[i], "gone", v[i].gone);
	}
	head("tether_device_revocations",
	     "How often what is mapped now has been revoked");
	for (i = 0; i < nr; i++)
		print_sample("tether_device_revocations", &v[i], NULL,
			     v[i].revocations);
	free(v);
}

static void print_in_tree(void)
{
	struct in_tree_use use;

	read_in_tree(&use);
	if (use.containers >= 0)
		gauge("tether_in_tree_containers",
		      "Open containers of the in-tree driver", use.containers);
	free(use.v);
}

int do_metrics(const struct options *o)
{
	const char *module = tether_module();
	struct segments s;

	gauge("tether_in_force", "1 if tether serves new containers", in_force());
	gauge("tether_beside", "1 if tether is loaded beside the in-tree driver",
	      module && !strcmp(module, BESIDE));
	print_in_tree();
	if (module) {
		read_segments(&s, o);
		gauge("tether_strict", "1 if only VFIO devices' memory may be mapped",
		      strict());
		gauge("tether_containers", "Open containers of tether's",
		      s.containers);
		gauge("tether_refused_containers",
		      "Those of them that were refused", s.nr_refusals);
		gauge("tether_segments", "Stretches of memory mapped", s.nr);
		print_bytes(&s);
		print_devices(&s);
	}
	puts("# EOF");
	return in_force() ? EXIT_GOOD : EXIT_BAD;
}
