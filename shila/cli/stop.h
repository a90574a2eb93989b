/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_STOP_H
#define SHILA_CLI_STOP_H

#include <jansson.h>

/**
 * stop_daemon() - Ask the daemon to end, and wait until its process is gone: then all it made is
 * removed. Return: 0 with its answer (new reference), or -errno with a sentence in @why
 * (CALL_WHY_LEN bytes).
 */
int stop_daemon(const char *control, json_t **result, char *why);

#endif
