/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_WATCH_H
#define SHILA_CLI_WATCH_H

#include <stdbool.h>

/**
 * watch_flows() - Show the flows again and again, until the program is ended or the daemon is gone.
 * On a terminal a table is redrawn in place, elsewhere one follows another; as JSON it is one array
 * a line. Return: -errno with a sentence in @why (CALL_WHY_LEN bytes), never 0.
 */
int watch_flows(const char *control, double interval_s, bool as_json, char *why);

#endif
