/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CLI_CALL_H
#define SHILA_CLI_CALL_H

#include <jansson.h>

#define CALL_WHY_LEN 512

/**
 * call_open() - Connect to the control socket of a daemon.
 * @why: CALL_WHY_LEN bytes for a sentence on failure, as in all functions here
 * Return: descriptor or -errno.
 */
int call_open(const char *control, char *why);

/**
 * call_send() - Ask one thing on @fd and wait for the answer; nothing else may be under way.
 * @params: taken; NULL for none
 * @type:   what the result must be
 * Return: 0 with a new reference in @result, or -errno.
 */
int call_send(int fd, const char *control, const char *method, json_t *params, json_type type,
	      json_t **result, char *why);

/* call() - call_open(), call_send() and close. */
int call(const char *control, const char *method, json_t *params, json_type type, json_t **result,
	 char *why);

#endif
