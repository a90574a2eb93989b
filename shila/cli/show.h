/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_SHOW_H
#define SHILA_CLI_SHOW_H

#include "shila/cli/table.h"

#include <jansson.h>

/* Results of the control socket (docs/control-socket.md) for people. */
void show_status(const struct screen *s, const json_t *status);
void show_drops(const struct screen *s, const json_t *drops);
void show_peers(const struct screen *s, const json_t *peers);
void show_paths(const struct screen *s, const json_t *paths);

/**
 * show_flows() - The table of flows, subflows of a connection together.
 * @before:     the flows @elapsed_s ago, for rates; NULL: without rates
 * @with_rates: leave room for rates, although there is no @before yet
 * @max_lines:  0: all
 */
void show_flows(const struct screen *s, const json_t *flows, const json_t *before, double elapsed_s,
		bool with_rates, size_t max_lines);

#endif
