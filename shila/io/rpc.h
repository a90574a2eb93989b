/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_RPC_H
#define SHILA_IO_RPC_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/*
 * The control socket: JSON-RPC 2.0 over a UNIX stream socket, one message a line, any number of
 * requests a connection. Clients are limited in number, line length and unread answers.
 */

#define RPC_MAX_LINE_BYTES 65536
#define RPC_WHY_LEN	   256

struct rpc;

/* Where next() goes on; zero at the start, and otherwise the method's own. */
struct rpc_cursor {
	uint64_t at[2];
};

struct rpc_method {
	const char *name;
	/**
	 * call() - Answer one request, on the loop, without blocking.
	 * @params: object, or NULL if there were none; borrowed
	 * @why:    RPC_WHY_LEN bytes for a sentence on failure
	 * Return: the result (new reference), or NULL for an error (code -32000 with @why).
	 */
	json_t *(*call)(void *ctx, const json_t *params, char *why);
	/**
	 * next() - Instead of call(), where the result is an array that may be long: one element of it. Other
	 * work of the loop is done in between, so what it walks over may change.
	 * Return: an element (new reference); NULL at the end, or for an error with a sentence in @why,
	 * which is an empty string before.
	 */
	json_t *(*next)(void *ctx, const json_t *params, struct rpc_cursor *at, char *why);
};

/**
 * rpc_open() - Listen on @path (mode 0600, owner only). A stale socket file of a dead daemon is replaced,
 * one that somebody answers on is refused with -EADDRINUSE.
 * @methods: ended by an entry without a name
 * Return: 0 or -errno with a sentence in @why.
 */
int rpc_open(uv_loop_t *loop, const char *path, const struct rpc_method *methods, void *ctx,
	     unsigned int max_clients, struct rpc **out, char *why);

/* rpc_use() - Clients now, and those that were refused because there were @max_clients already. */
void rpc_use(const struct rpc *rpc, unsigned int *clients, uint64_t *refused);

/* rpc_close() - Flush answers for at most 200 ms, close all, unlink the socket, then call @done. */
void rpc_close(struct rpc *rpc, void (*done)(void *ctx), void *ctx);

#endif
