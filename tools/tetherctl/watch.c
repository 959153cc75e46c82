// SPDX-License-Identifier: GPL-2.0-only
/*
 * watch: prints the module's tracepoints from a tracefs instance of its own, so that it
 * does not disturb other programs' tracing. The instance's clock is the kernel's monotonic
 * one, from which the time of each event is computed.
 *
 * The name of the instance has watch's PID. A watch that was killed leaves its instance
 * behind; the next one removes it.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tracefs/tracefs.h>

#include "tetherctl.h"

#define SYSTEM		"vfio_type1"
#define ENABLE		"events/" SYSTEM "/enable"
#define NAME		"tetherctl-"
#define NSEC_PER_SEC	1000000000ULL
/* How often to look for new events. */
#define POLL_NS		(NSEC_PER_SEC / 10)

struct watch {
	const struct options *o;
	struct tracefs_instance *instance;
	struct tep_handle *tep;
	bool loaded;
};

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

/* --- Output -------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* Formats a time of the monotonic clock; for JSON with the date and the zone. */
static void format_time(uint64_t ns, bool json, char *text, size_t size)
{
	uint64_t wall = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC) + ns;
	time_t seconds = wall / NSEC_PER_SEC;
	struct tm tm;
	size_t len;

	localtime_r(&seconds, &tm);
	len = strftime(text, size, json ? "%FT%T" : "%T", &tm);
	len += snprintf(text + len, size - len, ".%06u",
			(unsigned int)(wall % NSEC_PER_SEC / 1000));
	if (json)
		strftime(text + len, size - len, "%z", &tm);
}

static enum colour event_colour(const char *event)
{
	if (!strcmp(event, "revoke"))
		return YELLOW;
	if (!strcmp(event, "refuse"))
		return RED;
	return strcmp(event, "restore") ? PLAIN : GREEN;
}

static void print_line(const struct watch *w, uint64_t ns, const char *event,
		       const char *text, json_t *fields)
{
	char when[48];

	format_time(ns, w->o->json, when, sizeof(when));
	if (!w->o->json) {
		printf("%s %s%s%s %s\n", when, paint(event_colour(event)), event,
		       paint(PLAIN), text);
	} else {
		json_t *all = json_pack("{s:s, s:s}", "time", when, "event", event);

		json_object_update(all, fields);
		json_dumpf(all, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(all);
	}
	json_decref(fields);
	if (fflush(stdout))
		stop = 1;
}

/* Tells what concerns the watch itself. */
static void notice(const struct watch *w, const char *event, const char *text)
{
	print_line(w, clock_ns(CLOCK_MONOTONIC), event, text,
		   json_pack("{s:s}", "message", text));
}

/* --- Events -------------------------------------------------------------------- */

static bool get_number(struct tep_event *event, struct tep_record *record,
		       const char *name, long long *value)
{
	struct tep_format_field *field = tep_find_field(event, name);
	unsigned long long raw;

	if (!field || tep_read_number_field(field, record->data, &raw))
		return false;
	*value = field->flags & TEP_FIELD_IS_SIGNED && field->size == 4 ? (int)raw :
									  (long long)raw;
	return true;
}

static const char *get_text(struct tep_event *event, struct tep_record *record,
			    const char *name)
{
	int len;

	if (!tep_find_field(event, name))
		return NULL;
	return tep_get_field_raw(NULL, event, name, record, &len, 0);
}

/* Adds the value of a field that the text has as a word and the record as a number. */
static void add_word(json_t *fields, const char *text, const char *name)
{
	char word[32], pattern[40];
	const char *at;

	snprintf(pattern, sizeof(pattern), " %s=", name);
	at = strstr(text, pattern);
	if (at && sscanf(at + strlen(pattern), "%31s", word) == 1)
		json_object_set_new(fields, name, json_string(word));
}

static json_t *event_fields(struct tep_event *event, struct tep_record *record,
			    const char *text)
{
	static const char *const numbers[] = { "container", "owner", "iova", "size",
		"vaddr", "region", "offset", "gone", "away_ns", "error" };
	static const char *const words[] = { "kind", "prot", "cause" };
	static const char *const texts[] = { "device", "comm", "reason" };
	json_t *fields = json_object();
	char printable[512];
	long long value;
	const char *raw;
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (get_number(event, record, numbers[i], &value))
			json_object_set_new(fields, numbers[i], json_integer(value));
	for (i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (tep_find_field(event, words[i]))
			add_word(fields, text, words[i]);
	for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		raw = get_text(event, record, texts[i]);
		if (!raw)
			continue;
		snprintf(printable, sizeof(printable), "%s", raw);
		make_printable(printable);
		json_object_set_new(fields, texts[i], json_string(printable));
	}
	return fields;
}

static bool is_wanted(const struct options *o, struct tep_event *event,
		      struct tep_record *record)
{
	const char *device = get_text(event, record, "device");
	long long container = -1;

	get_number(event, record, "container", &container);
	return (o->container < 0 || o->container == container) &&
	       (!o->device || (device && device_matches(o->device, device)));
}

/* In a kernel that has tether as its own driver, the events' names begin with "type1_". */
static const char *event_name(const struct tep_event *event)
{
	static const char prefix[] = "type1_";
	size_t len = sizeof(prefix) - 1;

	return event->name + (strncmp(event->name, prefix, len) ? 0 : len);
}

static int on_event(struct tep_event *event, struct tep_record *record, int cpu,
		    void *context)
{
	struct watch *w = context;
	struct trace_seq text;

	(void)cpu;
	if (record->missed_events)
		notice(w, "lost", "events were lost: they came faster than they were read");
	if (!is_wanted(w->o, event, record))
		return stop;
	trace_seq_init(&text);
	tep_print_event(w->tep, &text, record, "%s", TEP_PRINT_INFO);
	trace_seq_terminate(&text);
	make_printable(text.buffer);
	print_line(w, record->ts, event_name(event), text.buffer,
		   w->o->json ? event_fields(event, record, text.buffer) : NULL);
	trace_seq_destroy(&text);
	return stop;
}

/* --- The instance -------------------------------------------------------------- */

/* Removes the instances that killed watches have left behind. */
static void remove_stale(void)
{
	char *instances = tracefs_get_tracing_file("instances"), path[512], command[32];
	DIR *dir = instances ? opendir(instances) : NULL;
	struct dirent *entry;
	int pid;

	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, NAME "%d", &pid) != 1)
			continue;
		owner_name(pid, command, sizeof(command));
		if (!strcmp(command, "tetherctl"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", instances, entry->d_name);
		rmdir(path);
	}
	if (dir)
		closedir(dir);
	tracefs_put_tracing_file(instances);
}

/* Has the module's events recorded, and reads their formats. Fails if it is not loaded. */
static bool begin(struct watch *w)
{
	static const char *const systems[] = { SYSTEM, NULL };

	if (tracefs_event_enable(w->instance, SYSTEM, NULL))
		return false;
	tep_free(w->tep);
	w->tep = tracefs_local_events_system(NULL, systems);
	return w->tep;
}

/*
 * When the module is unloaded, its events disappear; those of a module that is loaded then
 * are not enabled.
 */
static void look_for_reload(struct watch *w)
{
	char *state = tracefs_instance_file_read(w->instance, ENABLE, NULL);
	bool enabled = state && (state[0] == '1' || state[0] == 'X');

	if (w->loaded && !state)
		notice(w, "unloaded", "tether was unloaded");
	if (state && !enabled && begin(w)) {
		notice(w, "loaded", "tether was loaded again: what happened before this line was not seen");
		enabled = true;
	}
	w->loaded = enabled;
	free(state);
}

static void follow(struct watch *w)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };

	fprintf(stderr, "watching; Ctrl-C ends it\n");
	while (!stop) {
		tracefs_iterate_raw_events(w->tep, w->instance, NULL, 0, on_event, w);
		nanosleep(&pause, NULL);
		look_for_reload(w);
	}
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGQUIT };
	const struct sigaction action = { .sa_handler = on_signal };
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
}

int do_watch(const struct options *o)
{
	struct watch w = { .o = o, .loaded = true };
	char name[32];
	bool good;

	device_must_exist(o->device);
	remove_stale();
	catch_signals();
	snprintf(name, sizeof(name), NAME "%d", getpid());
	w.instance = tracefs_instance_create(name);
	if (!w.instance) {
		fprintf(stderr, "tetherctl: tracefs: %s%s\n", strerror(errno),
			geteuid() ? ": run it as root" : "");
		return EXIT_UNREADABLE;
	}
	tracefs_instance_file_write(w.instance, "trace_clock", "mono");
	good = begin(&w);
	if (good)
		follow(&w);
	else
		fprintf(stderr, "tetherctl: tether is not loaded: tetherctl status\n");
	tracefs_event_disable(w.instance, SYSTEM, NULL);
	tracefs_instance_destroy(w.instance);
	tracefs_instance_free(w.instance);
	tep_free(w.tep);
	return good ? EXIT_GOOD : EXIT_UNREADABLE;
}
