/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONFIG_WALK_H
#define SHILA_CONFIG_WALK_H

#include "config/config.h"
#include "config/tree.h"

/* What a message calls a place: "routes[12].paths.policy[3]". */
#define KEY_STRLEN 96

/**
 * walk_tree() - Fill @cfg (zeros) from the document by the table of keys.
 * Everything wrong with single keys and values is reported; what stays zero or default then does
 * not matter, as there is no configuration. Lists of maps (egress, routes) have an element for each
 * item, right or wrong; lists of values have one for each item that is not bad. Return: 0 or
 * -ENOMEM.
 */
int walk_tree(struct node *root, const char *env_daemon, struct report *r, struct config *cfg);

/* check_config() - What involves several keys. Reports only about values that were read well. */
void check_config(const struct node *root, struct report *r, struct config *cfg);

/* check_not_yet() - What the format has and this version has not. */
void check_not_yet(const struct node *root, struct report *r, const struct config *cfg);

/* walk_paths_fini() - Free what belongs to one `paths`. */
void walk_paths_fini(struct config_paths *paths);

#endif
