/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_RPC_SOCKET_H
#define SHILA_IO_RPC_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* The file of the control socket: for its owner alone, and nobody else's is ever taken away. */
struct rpc_socket {
	struct sockaddr_un addr;
	dev_t dev; /* of the file, so that only our own is unlinked */
	ino_t ino;
	bool made_dir;
};

/**
 * rpc_socket_open() - Bind @path (mode 0600), in a folder that is made if it is missing, in the place of a socket
 * that nobody serves any more.
 * @s:   always written; rpc_socket_remove() it only after success
 * @why: RPC_WHY_LEN
 * Return: a descriptor that does not listen yet; -EADDRINUSE if somebody answers there; -errno.
 */
int rpc_socket_open(struct rpc_socket *s, const char *path, char *why);
void rpc_socket_remove(const struct rpc_socket *s);

#endif
