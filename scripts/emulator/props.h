/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_PROPS_H
#define SHILA_EMULATOR_PROPS_H

#include <jansson.h>

#include "link.h"

/*
 * Properties of a link in JSON: the names of struct link_props, times in milliseconds (delay_ms), rates in bit/s,
 * probabilities 0 to 1, and cut as "none", "all" or "silent".
 */

/* props_to_json() - All of them. Return: a new reference, NULL without memory. */
json_t *props_to_json(const struct link_props *props);

/**
 * props_from_json() - Those that are in the object @json, on top of what is in @props.
 * Return: NULL; or what is wrong, and @props is as it was.
 */
const char *props_from_json(const json_t *json, struct link_props *props);

#endif
