// SPDX-License-Identifier: GPL-2.0-only
/*
 * watch: prints the module's tracepoints from a tracefs instance of its own, so that it
 * does not disturb other programs' tracing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tetherctl.h"

#define INSTANCES	"/sys/kernel/tracing/instances"

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static int write_file(const char *instance, const char *name, const char *text)
{
	char path[256];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/%s", instance, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static enum colour event_colour(const char *event)
{
	if (!strncmp(event, "revoke", 6))
		return YELLOW;
	if (!strncmp(event, "refuse", 6))
		return RED;
	return strncmp(event, "restore", 7) ? PLAIN : GREEN;
}

/* "comm-pid [cpu] flags time: event: fields" */
static void print_event(const char *line)
{
	static const char *const events[] = { ": map: ", ": unmap: ",
					      ": revoke: ", ": restore: ",
					      ": refuse: " };
	time_t now = time(NULL);
	const char *at;
	char when[16];
	size_t i;

	for (i = 0; i < sizeof(events) / sizeof(*events); i++) {
		at = strstr(line, events[i]);
		if (!at)
			continue;
		strftime(when, sizeof(when), "%H:%M:%S", localtime(&now));
		at += 2;
		printf("%s %s%.*s%s%s", when, paint(event_colour(at)),
		       (int)strcspn(at, ":"), at, paint(PLAIN),
		       at + strcspn(at, ":") + 1);
		return;
	}
}

static int follow(const char *instance)
{
	char path[256], line[2048];
	FILE *pipe;

	snprintf(path, sizeof(path), "%s/trace_pipe", instance);
	pipe = fopen(path, "re");
	if (!pipe)
		return -errno;
	fprintf(stderr, "watching; Ctrl-C ends it\n");
	while (!stop && fgets(line, sizeof(line), pipe))
		print_event(line);
	fclose(pipe);
	return 0;
}

int do_watch(const struct options *o)
{
	/* No SA_RESTART, so that the signal ends the read. */
	const struct sigaction action = { .sa_handler = on_signal };
	char instance[128];
	int ret;

	(void)o;
	setvbuf(stdout, NULL, _IOLBF, 0);
	snprintf(instance, sizeof(instance), INSTANCES "/tetherctl-%d", getpid());
	if (mkdir(instance, 0700)) {
		fprintf(stderr, "tetherctl: %s: %s\n", instance, strerror(errno));
		return EXIT_UNREADABLE;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGPIPE, &action, NULL);

	ret = write_file(instance, "events/vfio_type1/enable", "1");
	if (!ret)
		ret = follow(instance);
	write_file(instance, "events/vfio_type1/enable", "0");
	rmdir(instance);
	if (!ret)
		return EXIT_GOOD;
	fprintf(stderr, "tetherctl: %s: %s\n", "events/vfio_type1",
		ret == -ENOENT ? "tether is not loaded: tetherctl status" :
				 strerror(-ret));
	return EXIT_UNREADABLE;
}
