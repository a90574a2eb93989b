/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/cli/call.h"
#include "shila/cli/events.h"
#include "shila/cli/run.h"
#include "shila/cli/show.h"
#include "shila/cli/stop.h"
#include "shila/cli/text.h"
#include "shila/cli/watch.h"

#include <getopt.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE      2
#define DEFAULT_CONTROL "/run/shila/shilad.sock"
#define MAX_WATCH_S     86400

static const char usage[] =
	"Usage: shila [--control SOCKET] COMMAND [OPTION...]\n"
	"\n"
	"Talks to the shilad of this host, and runs programs whose TCP it carries.\n"
	"\n"
	"  run [--ingress] [--egress NAME] [--no-mptcp] [--root] [--] PROGRAM [ARGUMENT...]\n"
	"                             run a program in the egress (or ingress) namespace\n"
	"  status [--drops]           what the daemon is and does\n"
	"  peers                      other hosts that run shilad\n"
	"  paths [ISD-AS] [--why]     SCION paths, and why they were chosen\n"
	"  flows [--watch [SECONDS]]  which connection is on which path, once or live with rates\n"
	"  events [--once]            what happens to paths, peers and flows, and what did before\n"
	"  drops                      what was dropped, and what that means\n"
	"  stop                       end the daemon, which removes all that it made\n"
	"\n"
	"      --control SOCKET  control socket of the daemon (" DEFAULT_CONTROL ")\n"
	"      --json            print what the daemon answers as JSON (all but run)\n"
	"  -h, --help            print this\n"
	"  -V, --version         print the version\n"
	"\n"
	"See shila(1).\n";

enum option_id {
	OPT_CONTROL = 256,
	OPT_JSON,
	OPT_DROPS,
	OPT_WHY,
	OPT_WATCH,
	OPT_INGRESS,
	OPT_EGRESS,
	OPT_NO_MPTCP,
	OPT_ROOT,
	OPT_ONCE,
};

/* All but these two, help and version belong to one command. */
#define OF_ALL    (1u << (OPT_CONTROL - 256))
#define OF_ANSWER (1u << (OPT_JSON - 256))
#define OF(id)    (1u << ((id)-256))

static const struct option long_options[] = {
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "drops", no_argument, NULL, OPT_DROPS },
	{ "why", no_argument, NULL, OPT_WHY },
	{ "watch", optional_argument, NULL, OPT_WATCH },
	{ "ingress", no_argument, NULL, OPT_INGRESS },
	{ "egress", required_argument, NULL, OPT_EGRESS },
	{ "no-mptcp", no_argument, NULL, OPT_NO_MPTCP },
	{ "root", no_argument, NULL, OPT_ROOT },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

struct args {
	const char *control;
	bool json, drops, why, watch, once;
	double watch_s;
	struct run_options run;
	char **rest; /* what is no option, ended by NULL */
	int num_rest;
};

struct command {
	const char *name;
	unsigned int options;
	int max_rest; /* -1: any number, options end with the first */
	int (*run)(const struct args *args);
};

static int failed(const char *why)
{
	fputs("shila: ", stderr);
	text_print(stderr, why, SIZE_MAX);
	fputc('\n', stderr);
	return EXIT_FAILURE;
}

/* ask() - One call, shown as JSON or for people. */
static int ask(const struct args *args, const char *method, json_t *params, json_type type,
	       void (*show)(const struct screen *s, const json_t *result))
{
	char why[CALL_WHY_LEN];
	struct screen screen;
	json_t *result;

	if (call(args->control, method, params, type, &result, why) < 0)
		return failed(why);
	screen_init(&screen, stdout);
	if (args->json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		show(&screen, result);
	}
	json_decref(result);
	return EXIT_SUCCESS;
}

static int cmd_status(const struct args *args)
{
	if (args->drops)
		return ask(args, "drops", NULL, JSON_ARRAY, show_drops);
	return ask(args, "status", NULL, JSON_OBJECT, show_status);
}

static int cmd_drops(const struct args *args)
{
	return ask(args, "drops", NULL, JSON_ARRAY, show_drops);
}

static int cmd_peers(const struct args *args)
{
	return ask(args, "peers", NULL, JSON_ARRAY, show_peers);
}

static int cmd_paths(const struct args *args)
{
	json_t *params = json_object();

	if (args->num_rest &&
	    json_object_set_new(params, "isd_as", json_string(args->rest[0])) < 0) {
		json_decref(params);
		return failed("ISD-AS: not a text");
	}
	if (args->why)
		json_object_set_new(params, "why", json_true());
	return ask(args, "paths", params, JSON_ARRAY, show_paths);
}

static void show_flows_once(const struct screen *s, const json_t *flows)
{
	show_flows(s, flows, NULL, 0, false, 0);
}

static int cmd_flows(const struct args *args)
{
	char why[CALL_WHY_LEN];

	if (!args->watch)
		return ask(args, "flows", NULL, JSON_ARRAY, show_flows_once);
	watch_flows(args->control, args->watch_s, args->json, why);
	return failed(why);
}

static int cmd_events(const struct args *args)
{
	char why[CALL_WHY_LEN];

	return events(args->control, !args->once, args->json, why) < 0 ? failed(why) : EXIT_SUCCESS;
}

static int cmd_stop(const struct args *args)
{
	char why[CALL_WHY_LEN];
	json_t *result;

	if (stop_daemon(args->control, &result, why) < 0)
		return failed(why);
	if (args->json) {
		json_dumpf(result, stdout, JSON_INDENT(2));
		putchar('\n');
	}
	json_decref(result);
	return EXIT_SUCCESS;
}

static int cmd_run(const struct args *args)
{
	return run(&args->run, args->rest);
}

static const struct command commands[] = {
	{ "run", OF(OPT_INGRESS) | OF(OPT_EGRESS) | OF(OPT_NO_MPTCP) | OF(OPT_ROOT), -1, cmd_run },
	{ "status", OF_ANSWER | OF(OPT_DROPS), 0, cmd_status },
	{ "peers", OF_ANSWER, 0, cmd_peers },
	{ "paths", OF_ANSWER | OF(OPT_WHY), 1, cmd_paths },
	{ "flows", OF_ANSWER | OF(OPT_WATCH), 1, cmd_flows },
	{ "events", OF_ANSWER | OF(OPT_ONCE), 0, cmd_events },
	{ "drops", OF_ANSWER, 0, cmd_drops },
	{ "stop", OF_ANSWER, 0, cmd_stop },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static bool parse_seconds(const char *text, double *out)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0.1 && s <= MAX_WATCH_S))
		return false;
	*out = s;
	return true;
}

static void take_option(struct args *args, int id)
{
	switch ((enum option_id)id) {
	case OPT_CONTROL:
		args->control = optarg;
		break;
	case OPT_JSON:
		args->json = true;
		break;
	case OPT_DROPS:
		args->drops = true;
		break;
	case OPT_WHY:
		args->why = true;
		break;
	case OPT_WATCH:
		args->watch = true;
		break;
	case OPT_INGRESS:
		args->run.ingress = true;
		break;
	case OPT_EGRESS:
		args->run.egress = optarg;
		break;
	case OPT_NO_MPTCP:
		args->run.plain_tcp = true;
		break;
	case OPT_ROOT:
		args->run.keep_root = true;
		break;
	case OPT_ONCE:
		args->once = true;
		break;
	}
}

/* finish() - What was printed must have arrived: a full disk is a failure. */
static int finish(int code)
{
	if ((fflush(stdout) || ferror(stdout)) && code == EXIT_SUCCESS)
		return failed("cannot write the output");
	return code;
}

static int misused(const struct command *command, const char *text, const char *what)
{
	fprintf(stderr, "shila: %s%s\nTry `shila --help`.\n", text, what);
	return command && command->run == cmd_run ? RUN_EXIT_FAILED : EXIT_USAGE;
}

/*
 * take_options() - Up to the command (@command NULL), or behind it.
 * Return: -1 to go on with @args->rest, else the exit code.
 */
static int take_options(struct args *args, const struct command *command, int argc, char **argv)
{
	/* "+": stop at the first word that is no option: a command, or the program of `run`. */
	const char *mode = !command || command->max_rest < 0 ? "+:hV" : ":hV";
	unsigned int known = OF_ALL | (command ? command->options : OF_ANSWER);
	int id, index;

	optind = 0; /* of glibc: begin anew, with another argv */
	opterr = 0;
	while ((id = getopt_long(argc, argv, mode, long_options, &index)) != -1) {
		if (id == 'h') {
			fputs(usage, stdout);
			return finish(EXIT_SUCCESS);
		}
		if (id == 'V') {
			puts("shila " SHILA_VERSION);
			return finish(EXIT_SUCCESS);
		}
		if (id == ':')
			return misused(command, "an argument is missing after ", argv[optind - 1]);
		if (id == '?')
			return misused(command, "no such option: ", argv[optind - 1]);
		if (!(known & OF(id)))
			return misused(command, "not an option here: --", long_options[index].name);
		take_option(args, id);
		if (id == OPT_WATCH && optarg && !parse_seconds(optarg, &args->watch_s))
			return misused(command, "--watch takes seconds from 0.1 to 86400, not ",
				       optarg);
	}
	args->rest = argv + optind;
	args->num_rest = argc - optind;
	return -1;
}

/* check_rest() - Return: -1 if all is well, else the exit code. */
static int check_rest(struct args *args, const struct command *command)
{
	if (command->max_rest < 0 && !args->num_rest)
		return misused(command, command->name, ": which program?");
	if (command->max_rest < 0 && args->run.ingress && args->run.egress)
		return misused(command, command->name, ": --ingress or --egress, not both");
	if (command->max_rest < 0)
		return -1;
	if (args->num_rest > command->max_rest)
		return misused(command, "what is this: ", args->rest[command->max_rest]);
	/* `flows --watch 2`: an argument that is optional and set apart is none for getopt. */
	if (command->run == cmd_flows && args->num_rest &&
	    (!args->watch || !parse_seconds(args->rest[0], &args->watch_s)))
		return misused(command, "--watch takes seconds from 0.1 to 86400, not ",
			       args->rest[0]);
	return -1;
}

int main(int argc, char **argv)
{
	struct args args = { .control = DEFAULT_CONTROL, .watch_s = 1 };
	const struct command *command;
	int code = take_options(&args, NULL, argc, argv);

	if (code >= 0)
		return code;
	if (!args.num_rest) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	command = find_command(args.rest[0]);
	if (!command)
		return misused(NULL, "no such command: ", args.rest[0]);
	if (args.json && !(command->options & OF_ANSWER))
		return misused(command, "not an option here: --", "json");

	code = take_options(&args, command, args.num_rest, args.rest);
	if (code < 0)
		code = check_rest(&args, command);
	if (code >= 0)
		return code;
	args.run.control = args.control;
	return finish(command->run(&args));
}
