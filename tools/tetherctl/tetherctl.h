/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Declarations that tetherctl's commands share. state.c reads the kernel's files,
 * output.c formats output, and each command has a file of its own.
 */
#ifndef TETHERCTL_H
#define TETHERCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/* Exit codes, for scripts (tetherctl(8)). */
enum {
	EXIT_GOOD = 0,
	EXIT_BAD = 1,		/* not in force; or doctor has found a fault */
	EXIT_USAGE = 2,
	EXIT_UNREADABLE = 3,	/* not root, or no debugfs or tracefs */
};

struct options {
	bool json;
	const char *device;	/* show only this device, or NULL for all */
};

enum backend {
	BACKEND_NONE,
	BACKEND_OTHER,
	BACKEND_TETHER,
};

/* A line of debugfs (docs/observe.md). */
struct segment {
	unsigned int container;
	uint64_t iova, size, vaddr;
	char prot[4];
	int owner;
	long long age_ms;
	char kind[16];
	char state[16];
	char device[128];
	int region;
	uint64_t offset, live, revoked, gone;
	unsigned int revocations;
	uint64_t away_ms;
};

struct segments {
	struct segment *v;
	size_t nr;
	unsigned int containers;
};

/* Bytes summed up by device, owner and container, of one device or of all. */
struct holding {
	char device[128];
	unsigned int container;
	int owner;
	uint64_t live, revoked, gone;
	unsigned int mirrors, revocations;
};

/* state.c */
enum backend backend(void);
void backend_version(char *text, size_t size);
bool strict(void);
unsigned long tainted(void);
int read_line(const char *path, char *text, size_t size);	/* or -errno */
/* Ends the program with EXIT_UNREADABLE and a reason if it cannot. */
void read_segments(struct segments *s, const struct options *o);
void owner_name(int pid, char *text, size_t size);	/* "-" if the process has ended */
struct holding *sum_holdings(const struct segments *s, size_t *nr);
json_t *container_groups(unsigned int container);

/* output.c */
enum colour { PLAIN, GREEN, YELLOW, RED, BOLD };
const char *paint(enum colour c);	/* empty if stdout is no terminal */
const char *human(uint64_t bytes, char text[16]);
int print_json(json_t *json);		/* drops the reference; returns EXIT_GOOD */

int do_status(const struct options *o);
int do_maps(const struct options *o);
int do_devices(const struct options *o);
int do_watch(const struct options *o);
int do_metrics(const struct options *o);
int do_doctor(const struct options *o);

#endif
