/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_EVENTS_H
#define SHILA_CLI_EVENTS_H

#include <stdbool.h>

/**
 * events() - Print the events that the daemon has kept, one a line; with @follow also those that come, through
 * restarts of the daemon, until the program is ended.
 * Return: 0, or -errno with a sentence in @why (CALL_WHY_LEN bytes).
 */
int events(const char *control, bool follow, bool as_json, char *why);

#endif
