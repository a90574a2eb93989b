/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_GRPC_CLIENT_H
#define SHILA_IO_GRPC_CLIENT_H

#include "shila/base/ip_addr.h"

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/*
 * Unary gRPC calls over plaintext HTTP/2 (prior knowledge) to one server, run by libcurl on a uv
 * loop. Nothing here blocks, and the server can neither stall nor fill us: every call has a
 * deadline, every answer a limit.
 */

#define GRPC_MAX_ANSWER                                                                            \
	(4u << 20) /* bytes of one answer: what gRPC clients take unless told otherwise */
#define GRPC_MAX_HEADERS     (64u << 10) /* bytes of its headers and trailers */
#define GRPC_MAX_CALLS       1024 /* under way at once, most of them waiting for one of the */
#define GRPC_MAX_CONNECTIONS 16
#define GRPC_WHY_LEN         384

struct grpc_client;

/**
 * grpc_cb - Result of a call; called once, never from within grpc_client_call().
 * @err: 0; -ENETUNREACH nothing listens there; -ETIMEDOUT; -EPROTO not gRPC, or an answer beyond a
 * limit; -EREMOTEIO the server answered with an error, whose number is @status
 * @why: sentence for the log on failure, else NULL; lent
 * @msg: the answer's message on success; lent
 */
typedef void (*grpc_cb)(void *ctx, int err, unsigned int status, const char *why,
			const uint8_t *msg, size_t len);

/**
 * grpc_client_open() - No connection is made before the first call.
 * @what: what the server is called in messages ("SCION daemon"), @remedy: what to do when it does
 * not answer; both kept
 */
int grpc_client_open(uv_loop_t *loop, const union sock_addr *server, const char *what,
		     const char *remedy, struct grpc_client **out);

/* grpc_client_close() - Drop all calls (their callbacks are not called), then free; @done may be
 * NULL. */
void grpc_client_close(struct grpc_client *c, void (*done)(void *ctx), void *ctx);

/**
 * grpc_client_call() - Start a call.
 * @method: "/package.Service/Method"
 * @msg:    encoded message, copied
 * Return: 0, or -errno (-EBUSY: too many calls); then @cb is not called.
 */
int grpc_client_call(struct grpc_client *c, const char *method, const uint8_t *msg, size_t len,
		     unsigned int deadline_ms, grpc_cb cb, void *ctx);

/**
 * grpc_percent_decode() - What grpc-message carries, made fit for a log line: percent-decoded,
 * control characters as '?', cut at @cap - 1 bytes. Returns @out.
 */
char *grpc_percent_decode(const char *in, size_t len, char *out, size_t cap);

#endif
