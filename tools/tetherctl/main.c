// SPDX-License-Identifier: GPL-2.0-only
/*
 * tetherctl: prints tether's state and its mappings, for people and for scripts.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

/* Options that not every command takes. */
#define JSON		1u
#define DEVICE		2u
#define CONTAINER	4u
#define OUTPUT		8u
#define PER_DEVICE	16u

#define USAGE		256	/* the key of an option that has no short name */

static int do_help(const struct options *o);

static const struct command {
	const char *name;
	int (*run)(const struct options *o);
	unsigned int takes;
	const char *arguments;		/* what may follow its name, or NULL */
	const char *summary;
} commands[] = {
	{ "status", do_status, JSON, NULL,
	  "is it in force, and if not why" },
	{ "maps", do_maps, JSON | DEVICE | CONTAINER, NULL,
	  "what is mapped for DMA, and how it is now" },
	{ "devices", do_devices, JSON | DEVICE | CONTAINER, NULL,
	  "who holds which device's memory, and who has a device open" },
	{ "watch", do_watch, JSON | DEVICE | CONTAINER, NULL,
	  "what happens, as it happens" },
	{ "metrics", do_metrics, OUTPUT | PER_DEVICE, NULL,
	  "numbers for node_exporter's textfile collector" },
	{ "doctor", do_doctor, JSON, NULL,
	  "what is wrong with this machine" },
	{ "guard", do_guard, JSON, "on|off|status",
	  "on, off or status: may modprobe load the in-tree driver" },
	{ "help", do_help, 0, "[COMMAND]",
	  "this text, or the options of a command" },
};

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0,
	  "as JSON (all but metrics and guard on, off; watch: an object on each line)", 0 },
	{ "device", 'd', "DEVICE", 0,
	  "only devices that this names, as lspci -s does (maps, devices, watch)", 0 },
	{ "container", 'c', "NUMBER", 0,
	  "only this container's (maps, devices, watch)", 0 },
	{ "output", 'o', "FILE", 0,
	  "write to this file, which has the old or the new text at any time (metrics)", 0 },
	{ "per-device", 'p', NULL, 0,
	  "numbers of each device and its holders, too (metrics)", 0 },
	{ "help", '?', NULL, 0, "this text, or that of the command", -1 },
	{ "usage", USAGE, NULL, 0, "a short usage message", -1 },
	{ "version", 'V', NULL, 0, "the version of tetherctl", -1 },
	{ 0 }
};

/* Whether a command takes an option depends on this bit; 0: all do. */
static unsigned int bit(int key)
{
	switch (key) {
	case 'j': return JSON;
	case 'd': return DEVICE;
	case 'c': return CONTAINER;
	case 'o': return OUTPUT;
	case 'p': return PER_DEVICE;
	default: return 0;
	}
}

struct arguments {
	struct options options;
	const char *command;
	unsigned int given;
	bool help;
};

static const struct command *find_command(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	fprintf(stderr, "tetherctl: no such command: %s (tetherctl --help)\n", name);
	exit(EXIT_USAGE);
}

static void parse_argument(struct arguments *a, char *arg, struct argp_state *state)
{
	if (!a->command)
		a->command = arg;
	else if (find_command(a->command)->arguments && !a->options.argument)
		a->options.argument = arg;
	else
		argp_usage(state);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

	a->given |= bit(key);
	switch (key) {
	case 'j':
		a->options.json = true;
		return 0;
	case 'd':
		a->options.device = arg;
		return 0;
	case 'c':
		a->options.container = strtol(arg, &end, 10);
		if (end == arg || *end || a->options.container < 0)
			argp_error(state, "no number of a container: %s", arg);
		return 0;
	case 'o':
		a->options.output = arg;
		return 0;
	case 'p':
		a->options.per_device = true;
		return 0;
	case '?':
		a->help = true;
		return 0;
	case USAGE:
		argp_state_help(state, stdout, ARGP_HELP_USAGE | ARGP_HELP_EXIT_OK);
		return 0;
	case 'V':
		puts("tetherctl " TETHER_VERSION);
		exit(EXIT_GOOD);
	case ARGP_KEY_ARG:
		parse_argument(a, arg, state);
		return 0;
	case ARGP_KEY_END:
		if (!a->command && !a->help)
			argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* Prints the options that the command takes, and the name of its man page. */
static void help_command(const struct command *c)
{
	struct argp_option taken[sizeof(options) / sizeof(*options)] = {};
	struct argp argp = { .options = taken, .args_doc = c->arguments };
	char name[32], doc[256], text[sizeof(options) / sizeof(*options)][96];
	size_t i, len, n = 0;

	for (i = 0; options[i].name; i++) {
		if (bit(options[i].key) & ~c->takes)
			continue;
		/* without the names of commands, which are in brackets */
		len = strcspn(options[i].doc, "(");
		len -= options[i].doc[len] == '(';
		snprintf(text[n], sizeof(text[n]), "%.*s", (int)len, options[i].doc);
		taken[n] = options[i];
		taken[n].doc = text[n];
		n++;
	}
	snprintf(name, sizeof(name), "tetherctl %s", c->name);
	if (c->run == do_help)
		snprintf(doc, sizeof(doc), "%s\vThe man page is tetherctl(8).", c->summary);
	else
		snprintf(doc, sizeof(doc), "%s\vThe man page is tetherctl-%s(8).",
			 c->summary, c->name);
	argp.doc = doc;
	argp_help(&argp, stdout, ARGP_HELP_STD_HELP, name);
}

static void help_all(void)
{
	static const struct argp argp = { .options = options, .args_doc = "COMMAND",
					  .doc = "What tether is doing." };
	size_t i;

	argp_help(&argp, stdout, ARGP_HELP_STD_HELP & ~ARGP_HELP_BUG_ADDR, "tetherctl");
	puts("\nCommands:");
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	puts("\nExit status: 0 all is well; 1 not in force, doctor found something, or the guard does\n"
	     "not work; 2 usage, or no such device; 3 it cannot be read or written.\n"
	     "The man pages are tetherctl(8), and of a command tetherctl-COMMAND(8).");
}

static int do_help(const struct options *o)
{
	if (o->argument)
		help_command(find_command(o->argument));
	else
		help_all();
	return EXIT_GOOD;
}

/* An option that a command does not take is an error, so that none is ignored in silence. */
static int run(const struct command *c, const struct arguments *a)
{
	size_t i;

	for (i = 0; options[i].name; i++)
		if (a->given & bit(options[i].key) & ~c->takes) {
			fprintf(stderr, "tetherctl: %s does not take --%s (tetherctl %s --help)\n",
				c->name, options[i].name, c->name);
			return EXIT_USAGE;
		}
	if (!a->help)
		return c->run(&a->options);
	help_command(c);
	return EXIT_GOOD;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "COMMAND", NULL,
					  NULL, NULL, NULL };
	struct arguments a = { .options.container = -1 };

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, ARGP_NO_HELP, NULL, &a);
	if (!a.command)
		return do_help(&a.options);
	return run(find_command(a.command), &a);
}
