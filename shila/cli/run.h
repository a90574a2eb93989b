/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_RUN_H
#define SHILA_CLI_RUN_H

#include <stdbool.h>

/* Exit codes, as those of env(1). */
#define RUN_EXIT_FAILED     125
#define RUN_EXIT_NO_EXEC    126
#define RUN_EXIT_NO_PROGRAM 127

struct run_options {
	const char *control;
	bool ingress;
	const char *egress; /* namespace or index of one of several; NULL: the first */
	bool plain_tcp;
	bool keep_root;
};

/* run() - Become the program @argv in a namespace of the daemon. Returns an exit code if it cannot.
 */
int run(const struct run_options *options, char **argv);

#endif
