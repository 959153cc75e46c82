// SPDX-License-Identifier: GPL-2.0-only
/*
 * maps: every stretch of memory that is mapped for DMA. devices: the same, summed up by
 * device and holder; and who has files of VFIO open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

static enum colour state_colour(const struct segment *s)
{
	if (s->gone)
		return RED;
	return s->revoked ? YELLOW : GREEN;
}

/* Of device memory a part may be gone while the rest is live or revoked. */
static const char *state(const struct segment *s)
{
	if (strcmp(s->kind, "mirror") || !s->gone)
		return s->state;
	if (s->live)
		return "live+gone";
	return s->revoked ? "revoked+gone" : "gone";
}

static const char *away(const struct segment *s, char text[32])
{
	if (s->away_ms)
		snprintf(text, 32, "%llu.%03u s", (unsigned long long)s->away_ms / 1000,
			 (unsigned int)(s->away_ms % 1000));
	else
		snprintf(text, 32, "-");
	return text;
}

static json_t *segment_json(const struct segment *s)
{
	char name[32];

	owner_name(s->owner, name, sizeof(name));
	return json_pack("{s:i, s:I, s:I, s:I, s:s, s:i, s:s, s:s?, s:I, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:i, s:I}",
			 "container", (int)s->container,
			 "iova", (json_int_t)s->iova,
			 "size", (json_int_t)s->size,
			 "vaddr", (json_int_t)s->vaddr, "prot", s->prot,
			 "owner", s->owner, "command", name,
			 "machine", machine_name(s->owner),
			 "age_ms", (json_int_t)s->age_ms,
			 "kind", s->kind, "state", state(s),
			 "device", s->device, "region", s->region,
			 "offset", (json_int_t)s->offset,
			 "live", (json_int_t)s->live,
			 "revoked", (json_int_t)s->revoked,
			 "gone", (json_int_t)s->gone,
			 "revocations", (int)s->revocations,
			 "away_ms", (json_int_t)s->away_ms);
}

static void print_segment(const struct segment *s)
{
	char size[16], name[32], time[32], where[160] = "-";

	owner_name(s->owner, name, sizeof(name));
	if (s->region >= 0)
		snprintf(where, sizeof(where), "%s %d+0x%" PRIx64, s->device,
			 s->region, s->offset);
	else if (strcmp(s->device, "-"))
		snprintf(where, sizeof(where), "%s", s->device);
	printf("%-9u %-7d %-15s %-15s 0x%-12" PRIx64 " %6s %-4s %-6s %s%-12s%s %8lld s %5u %10s  %s\n",
	       s->container, s->owner, name, machine_name(s->owner) ?: "-", s->iova,
	       human(s->size, size), s->prot, s->kind, paint(state_colour(s)), state(s),
	       paint(PLAIN), s->age_ms / 1000, s->revocations, away(s, time), where);
}

static json_t *refusal_json(const struct refusal *r)
{
	return json_pack("{s:i, s:i, s:s}", "container", (int)r->container,
			 "errno", r->error, "error", strerror(r->error));
}

static json_t *refusals_json(const struct segments *s)
{
	json_t *all = json_array();
	size_t i;

	for (i = 0; i < s->nr_refusals; i++)
		json_array_append_new(all, refusal_json(&s->refusals[i]));
	return all;
}

static void print_refusals(const struct segments *s)
{
	size_t i;

	for (i = 0; i < s->nr_refusals; i++)
		printf("container %u was refused (%s): its devices reach no memory; dmesg has the process\n",
		       s->refusals[i].container,
		       strerror(s->refusals[i].error));
}

int do_maps(const struct options *o)
{
	struct segments s;
	size_t i;

	read_segments(&s, o);
	if (o->json) {
		json_t *all = json_array();

		for (i = 0; i < s.nr; i++)
			json_array_append_new(all, segment_json(&s.v[i]));
		return print_json(json_pack("{s:i, s:o, s:o}", "containers",
					    (int)s.nr_containers, "maps", all,
					    "refused", refusals_json(&s)));
	}
	printf("%s%-9s %-7s %-15s %-15s %-14s %6s %-4s %-6s %-12s %10s %5s %10s  %s%s\n",
	       paint(BOLD), "CONTAINER", "PID", "COMMAND", "MACHINE", "IOVA", "SIZE",
	       "PROT", "KIND", "STATE", "AGE", "REVOC", "AWAY",
	       "DEVICE REGION+OFFSET",
	       paint(PLAIN));
	for (i = 0; i < s.nr; i++)
		print_segment(&s.v[i]);
	print_refusals(&s);
	return EXIT_GOOD;
}

static json_t *holding_json(const struct holding *h)
{
	char name[32];

	owner_name(h->owner, name, sizeof(name));
	return json_pack("{s:s, s:i, s:i, s:s, s:s?, s:I, s:I, s:I, s:i, s:i, s:o, s:o}",
			 "device", h->device, "container", (int)h->container,
			 "owner", h->owner, "command", name,
			 "machine", machine_name(h->owner),
			 "live", (json_int_t)h->live,
			 "revoked", (json_int_t)h->revoked,
			 "gone", (json_int_t)h->gone,
			 "mirrors", (int)h->mirrors,
			 "revocations", (int)h->revocations,
			 "reached_by_groups", container_groups(h->container),
			 "reached_by", container_devices(h->container));
}

static void print_holding(const struct holding *h)
{
	char live[16], revoked[16], gone[16], name[32];
	json_t *list = container_devices(h->container), *one;
	size_t i;

	owner_name(h->owner, name, sizeof(name));
	printf("%-14s %-7d %-15s %-15s %6s %7s %6s %5u  ", h->device, h->owner,
	       name, machine_name(h->owner) ?: "-", human(h->live, live),
	       human(h->revoked, revoked), human(h->gone, gone), h->revocations);
	json_array_foreach(list, i, one)
		printf("%s%s", i ? " " : "", json_string_value(one));
	putchar('\n');
	json_decref(list);
}

static bool has_mapping(const struct segments *s, int pid)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		if (s->v[i].owner == pid)
			return true;
	return false;
}

/* The groups, as GROUP and the devices that it has. */
static json_t *groups_json(const struct vfio_user *u)
{
	json_t *all = json_array();
	unsigned int i;

	for (i = 0; i < u->nr_groups; i++)
		json_array_append_new(all, json_pack("{s:i, s:o}", "group", u->groups[i],
						     "devices",
						     group_devices(u->groups[i])));
	return all;
}

static json_t *user_json(const struct vfio_user *u, const struct segments *s)
{
	return json_pack("{s:i, s:s, s:s?, s:o, s:i, s:i, s:b, s:I, s:o}", "pid", u->pid,
			 "command", u->command, "machine", machine_name(u->pid),
			 "groups", groups_json(u),
			 "containers", (int)u->containers,
			 "devices", (int)u->devices,
			 "maps_memory", has_mapping(s, u->pid),
			 "locked", (json_int_t)u->memlock.locked,
			 "memlock", u->memlock.limit == UINT64_MAX ? json_null() :
			 json_integer(u->memlock.limit));
}

static json_t *users_json(const struct vfio_users *users, const struct segments *s)
{
	json_t *all = json_array();
	size_t i;

	for (i = 0; i < users->nr; i++)
		json_array_append_new(all, user_json(&users->v[i], s));
	return all;
}

static void print_user(const struct vfio_user *u, const struct segments *s)
{
	char locked[16], limit[16] = "none";
	json_t *names, *one;
	unsigned int i;
	size_t j;

	if (u->memlock.limit != UINT64_MAX)
		human(u->memlock.limit, limit);
	printf("%-7d %-15s %-15s %-4s %9s %9s %10u %7u ", u->pid, u->command,
	       machine_name(u->pid) ?: "-", has_mapping(s, u->pid) ? "yes" : "no",
	       human(u->memlock.locked, locked), limit, u->containers, u->devices);
	for (i = 0; i < u->nr_groups; i++) {
		names = group_devices(u->groups[i]);
		printf(" %d", u->groups[i]);
		json_array_foreach(names, j, one)
			printf("%c%s", j ? ',' : '=', json_string_value(one));
		json_decref(names);
	}
	putchar('\n');
}

static void print_users(const struct vfio_users *users, const struct segments *s)
{
	size_t i;

	printf("\n%s%-7s %-15s %-15s %-4s %9s %9s %10s %7s  %s%s\n", paint(BOLD), "PID",
	       "COMMAND", "MACHINE", "MAPS", "LOCKED", "MEMLOCK", "CONTAINERS", "DEVICES",
	       "OPEN GROUPS", paint(PLAIN));
	for (i = 0; i < users->nr; i++)
		print_user(&users->v[i], s);
}

int do_devices(const struct options *o)
{
	struct vfio_users users;
	struct holding *v;
	struct segments s;
	size_t i, nr;

	read_segments(&s, o);
	read_users(&users, o->device);
	v = sum_holdings(&s, &nr);
	if (o->json) {
		json_t *all = json_array();

		for (i = 0; i < nr; i++)
			json_array_append_new(all, holding_json(&v[i]));
		return print_json(json_pack("{s:o, s:o, s:o}", "devices", all,
					    "users", users_json(&users, &s),
					    "refused", refusals_json(&s)));
	}
	printf("%s%-14s %-7s %-15s %-15s %6s %7s %6s %5s  %s%s\n", paint(BOLD),
	       "DEVICE", "PID", "COMMAND", "MACHINE", "LIVE", "REVOKED", "GONE", "REVOC",
	       "REACHED BY", paint(PLAIN));
	for (i = 0; i < nr; i++)
		print_holding(&v[i]);
	print_refusals(&s);
	print_users(&users, &s);
	free(users.v);
	free(v);
	return EXIT_GOOD;
}
