// SPDX-License-Identifier: GPL-2.0-only
/*
 * tetherctl: prints tether's state and its mappings, for people and for scripts.
 */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tetherctl.h"

const char *argp_program_version = "tetherctl " TETHER_VERSION;

/* Options that a command takes. */
#define JSON		1
#define DEVICE		2
#define CONTAINER	4
#define METRICS		8	/* --output and --per-device */

static const struct command {
	const char *name;
	int (*run)(const struct options *o);
	unsigned int takes;
} commands[] = {
	{ "status", do_status, JSON },
	{ "maps", do_maps, JSON | DEVICE | CONTAINER },
	{ "devices", do_devices, JSON | DEVICE | CONTAINER },
	{ "watch", do_watch, JSON | DEVICE | CONTAINER },
	{ "metrics", do_metrics, METRICS },
	{ "doctor", do_doctor, JSON },
	{ "guard", do_guard, JSON },
};

static const char doc[] =
	"What tether is doing.\v"
	"Commands:\n"
	"  status   is it in force, and if not why\n"
	"  maps     what is mapped for DMA, and how it is now\n"
	"  devices  who holds which device's memory\n"
	"  watch    what happens, as it happens\n"
	"  metrics  numbers for node_exporter's textfile collector\n"
	"  doctor   what is wrong with this machine\n"
	"  guard    on, off or status: may modprobe load the in-tree driver\n"
	"  help     this text\n"
	"\n"
	"Exit status: 0 all is well; 1 not in force, doctor found something, or the guard does\n"
	"not work; 2 usage, or no such device; 3 it cannot be read or written.";

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
	{ 0 }
};

struct arguments {
	struct options options;
	const char *command;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct arguments *a = state->input;
	char *end;

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
	case ARGP_KEY_ARG:
		if (!a->command)
			a->command = arg;
		else if (!strcmp(a->command, "guard") && !a->options.argument)
			a->options.argument = arg;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* An option that a command does not take is an error, so that none is ignored in silence. */
static int run(const struct command *c, const struct options *o)
{
	const struct {
		const char *name;
		bool given;
		unsigned int needs;
	} given[] = {
		{ "--json", o->json, JSON },
		{ "--device", o->device, DEVICE },
		{ "--container", o->container >= 0, CONTAINER },
		{ "--output", o->output, METRICS },
		{ "--per-device", o->per_device, METRICS },
	};
	const char *option = NULL;
	size_t i;

	for (i = 0; i < sizeof(given) / sizeof(*given); i++)
		if (given[i].given && !(c->takes & given[i].needs))
			option = given[i].name;
	if (!option)
		return c->run(o);
	fprintf(stderr, "tetherctl: %s does not take %s (tetherctl --help)\n", c->name,
		option);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	static const struct argp argp = { options, parse, "COMMAND", doc,
					  NULL, NULL, NULL };
	struct arguments a = { .options.container = -1 };
	size_t i;

	argp_err_exit_status = EXIT_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &a);
	if (!strcmp(a.command, "help")) {
		argp_help(&argp, stdout, ARGP_HELP_STD_HELP, argv[0]);
		return EXIT_GOOD;
	}
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].name, a.command))
			return run(&commands[i], &a.options);
	fprintf(stderr, "tetherctl: no such command: %s (tetherctl --help)\n",
		a.command);
	return EXIT_USAGE;
}
