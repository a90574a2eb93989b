/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_IO_SCION_DAEMON_H
#define SHILA_IO_SCION_DAEMON_H

#include "shila/io/path_source.h"

/*
 * Answers of the SCION daemon (protobuf, without the gRPC frame) to what shila uses. Pure: bytes
 * in, checked values out. Nothing the daemon says is believed without a check, as it has no
 * authentication.
 */

#define SCION_DAEMON_MAX_PATHS   512  /* kept of one answer; the daemon sorts by number of hops */
#define SCION_DAEMON_MAX_ENTRIES 4096 /* looked at in one answer */
#define SCION_DAEMON_MAX_ENTRY   (64u << 10) /* bytes of one path or interface */
#define SCION_DAEMON_MIN_MTU     500

/* What was left out of an answer. */
struct scion_daemon_drops {
	uint32_t bad;       /* paths that contradict themselves or the question */
	uint32_t surplus;   /* good ones beyond the limit, and entries never looked at */
	const char *reason; /* what was wrong with the first bad one */
};

/**
 * scion_daemon_paths_decode() - PathsResponse to paths.
 * @dst:  what was asked for
 * @out:  room for @max paths, each with one reference that the caller owns; equal interface
 *        sequences are merged, the one that lives longer is kept
 * @n:    how many
 * @drops: written always
 * Return: 0, -EPROTO if the message is no message, -ENOMEM; on failure nothing is in @out.
 */
int scion_daemon_paths_decode(const uint8_t *msg, size_t len, struct isd_as dst, struct path **out,
			      size_t max, size_t *n, struct scion_daemon_drops *drops);

/* Each fills in its part of @as; 0 or -EPROTO, and then @as is unchanged. */
int scion_daemon_as_decode(const uint8_t *msg, size_t len, struct local_as *as);
int scion_daemon_interfaces_decode(const uint8_t *msg, size_t len, struct local_as *as);
int scion_daemon_port_range_decode(const uint8_t *msg, size_t len, struct local_as *as);

#endif
