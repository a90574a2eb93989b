/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/log.h"
#include "shila/core/path_choice.h"
#include "shila/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 }; /* bad usage or configuration */

static void usage(FILE *to)
{
	fprintf(to,
		"Usage: shilad --config FILE [OPTION]...\n"
		"Carry the MPTCP subflows of unmodified programs over disjoint SCION paths.\n\n"
		"  --config FILE        the configuration, see shila.yaml(5)\n"
		"  --control SOCKET     control socket instead of the configured one\n"
		"  --log-level LEVEL    error, warn, info (default), debug or trace\n"
		"  --check              check the configuration and exit; needs no root\n"
		"  --clean              remove what a killed daemon left behind and exit\n"
		"  --help, --version\n\n"
		"Runs in the foreground and logs to stderr. Ctrl-C and `shila stop` remove everything it made.\n"
		"Exit code: 0 stopped as asked, 1 failed, 2 bad usage or configuration.\n");
}

struct options {
	const char *config, *control;
	bool check, clean;
};

/* Return: 0 go on, 1 done, 2 wrong. */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'f' },   { "control", required_argument, NULL, 'c' },
		{ "log-level", required_argument, NULL, 'l' }, { "check", no_argument, NULL, 'k' },
		{ "clean", no_argument, NULL, 'x' },	      { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },	      { 0 },
	};
	int opt;

	while ((opt = getopt_long(argc, argv, "h", longs, NULL)) >= 0) {
		switch (opt) {
		case 'f':
			o->config = optarg;
			break;
		case 'c':
			o->control = optarg;
			break;
		case 'l':
			if (log_level_parse(optarg, &log_level) < 0) {
				fprintf(stderr, "shilad: --log-level %s: error, warn, info, debug or trace\n", optarg);
				return EXIT_USAGE;
			}
			break;
		case 'k':
			o->check = true;
			break;
		case 'x':
			o->clean = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'v':
			printf("shilad %s\n", SHILA_VERSION);
			return 1;
		default:
			fprintf(stderr, "Try 'shilad --help'.\n");
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "shilad: unexpected argument '%s'. Try 'shilad --help'.\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (!o->config) {
		fprintf(stderr, "shilad: --config FILE is needed. Try 'shilad --help'.\n");
		return EXIT_USAGE;
	}
	return 0;
}

/* Policies are the core's notation: the configuration knows only their rough shape. */
static int check_policy(const char *file, const struct config_paths *p, const char *where, int line)
{
	struct path_policy *policy = NULL;
	char why[128];
	size_t bad;

	if (p->num_policy && path_policy_parse(p->policy, p->num_policy, &policy, &bad, why) < 0) {
		fprintf(stderr, "%s:%d: %spaths.policy[%zu]: %s\n", file, line, where, bad, why);
		return EXIT_USAGE;
	}
	path_policy_free(policy);
	return 0;
}

static int check_policies(const char *file, const struct config *cfg)
{
	int err = check_policy(file, &cfg->paths, "", 1);

	/* Routes without a policy of their own inherit this one. */
	for (size_t i = 0; i < cfg->num_routes && !err; i++) {
		char where[32];

		snprintf(where, sizeof(where), "routes[%zu].", i);
		err = check_policy(file, &cfg->routes[i].paths, where, cfg->routes[i].line);
	}
	return err;
}

static int load(const struct options *o, struct config **cfg)
{
	struct config_messages msgs = { 0 };
	int err = config_load(o->config, getenv("SCION_DAEMON"), cfg, &msgs);

	config_messages_print(&msgs, o->config, stderr);
	if (err < 0 && !msgs.count)
		fprintf(stderr, "shilad: %s: %s\n", o->config, strerror(-err));
	config_messages_free(&msgs);
	if (err < 0)
		return EXIT_USAGE;
	if (o->control && strlen(o->control) >= sizeof((*cfg)->control)) {
		fprintf(stderr, "shilad: --control: longer than %zu characters\n", sizeof((*cfg)->control) - 1);
		config_free(*cfg);
		return EXIT_USAGE;
	}
	if (o->control)
		strcpy((*cfg)->control, o->control);
	err = check_policies(o->config, *cfg);
	if (err)
		config_free(*cfg);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct config *cfg;
	int err = parse_options(argc, argv, &o);

	if (err)
		return err == 1 ? 0 : err;
	err = load(&o, &cfg);
	if (err)
		return err;
	if (o.check) {
		printf("%s: fine\n", o.config);
		err = 0;
	} else {
		err = o.clean ? daemon_clean(cfg) : daemon_run(cfg);
	}
	config_free(cfg);
	return err < 0 ? 1 : 0;
}
