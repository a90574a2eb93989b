/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_CONTROL_H
#define SHILA_EMULATOR_CONTROL_H

#include <jansson.h>

#include "loop.h"

/*
 * The control socket: a UNIX stream socket, one JSON object a line, one answer a line. For a few scripts of root, one
 * request at a time each.
 */

#define CONTROL_MAX_CLIENTS 16
#define CONTROL_LINE_BYTES  4096

struct control;

/* control_open() - @answer: a new reference for the request (borrowed). Return: 0 or a negative errno. */
int control_open(struct loop *loop, const char *path, json_t *(*answer)(void *ctx, const json_t *request), void *ctx,
		 struct control **out);
void control_close(struct control *control);

#endif
