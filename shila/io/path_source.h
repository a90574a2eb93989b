/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_PATH_SOURCE_H
#define SHILA_IO_PATH_SOURCE_H

#include "shila/wire/path.h"

#include <uv.h>

/*
 * Where paths come from: asynchronous, on the loop of the control thread. The one implementation today is
 * the SCION daemon over gRPC (scion_daemon.c); the end-host API may follow behind the same calls.
 */

struct path_source;

/* The local AS, as the source knows it. */
struct local_as {
	struct isd_as ia;
	uint16_t mtu_bytes;
	uint16_t port_min, port_max; /* dispatched ports; 0, 0: none told */
	size_t num_routers;
	union sock_addr routers[16]; /* internal addresses of border routers */
};

/* err: 0; -ENETUNREACH source unreachable; -ETIMEDOUT; -EPROTO nonsense; -EREMOTEIO it answered with an error. */
typedef void (*path_source_as_cb)(void *ctx, int err, const char *why, const struct local_as *as);

/**
 * Paths to one AS. @paths: @n paths (n may be 0: there is no path), each with one reference that the callee
 * takes over; the array itself is lent. Duplicates (equal interface sequence) are already merged.
 */
typedef void (*path_source_paths_cb)(void *ctx, int err, const char *why, struct path **paths, size_t n);

/**
 * path_source_open() - Start; nothing is asked yet.
 * @daemon: address of the SCION daemon
 * Return: 0 or -errno.
 */
int path_source_open(uv_loop_t *loop, const union sock_addr *daemon, struct path_source **out);

/* path_source_close() - Cancel all requests (their callbacks are not called), then free; @done may be NULL. */
void path_source_close(struct path_source *ps, void (*done)(void *ctx), void *ctx);

/* path_source_local_as() - Ask for the local AS. Deadline inside. Return: 0 or -errno, then no callback. */
int path_source_local_as(struct path_source *ps, path_source_as_cb cb, void *ctx);

/**
 * path_source_paths() - Ask for all paths to @dst.
 * @refresh: bypass the daemon's own cache
 */
int path_source_paths(struct path_source *ps, struct isd_as dst, bool refresh, path_source_paths_cb cb, void *ctx);

/* path_source_rejected() - Paths not used so far because they contradicted themselves or the question. */
uint64_t path_source_rejected(const struct path_source *ps);

/* path_source_interface_down() - Tell it that our probes over this interface failed. Best effort. */
void path_source_interface_down(struct path_source *ps, struct isd_as ia, uint64_t ifid);

#endif
