/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_RELAY_H
#define SHILA_IO_RELAY_H

#include "shila/base/ip_addr.h"

#include <stddef.h>
#include <sys/un.h>
#include <uv.h>

/*
 * A TCP connection to a server that is not trusted, for a library that reads until nothing is left: what
 * comes is handed on through a UNIX socket, a part at a time and no more than so many bytes.
 */

struct relay;

/**
 * relay_open() - Start to connect.
 * @max_bytes: of the server; then the connection ends
 * @addr:      where the library is to connect to, now
 * Return: 0 or -errno.
 */
int relay_open(uv_loop_t *loop, const union sock_addr *server, size_t max_bytes, struct sockaddr_un *addr,
	       socklen_t *addr_len, struct relay **out);

/* relay_error() - Why it ended: -errno of the connection, -EMSGSIZE after @max_bytes; 0 else. */
int relay_error(const struct relay *r);

/* relay_close() - Stop and free; @done is called when its handles are closed. */
void relay_close(struct relay *r, void (*done)(void *ctx), void *ctx);

#endif
