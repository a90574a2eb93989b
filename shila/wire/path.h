/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_PATH_H
#define SHILA_WIRE_PATH_H

#include "shila/base/ip_addr.h"
#include "shila/wire/scion.h"

#include <stdatomic.h>

#define PATH_FINGERPRINT_LEN	32
#define PATH_FINGERPRINT_STRLEN (2 * PATH_FINGERPRINT_LEN + 1)
#define PATH_MAX_HOPS		(2 * SCION_MAX_HOPS)
#define PATH_LATENCY_UNKNOWN	UINT32_MAX

/* One interface that a path crosses. Hops 2i and 2i+1 are the two ends of link i. */
struct path_hop {
	struct isd_as ia;
	uint16_t ifid;
};

/*
 * A path, as the path source describes it or as it was received and reversed. Immutable once
 * published, shared between threads by reference count. Its identity is the sequence of (ISD-AS,
 * interface), never the raw bytes, which change with every beacon.
 */
struct path {
	atomic_uint refs;
	uint8_t fingerprint[PATH_FINGERPRINT_LEN]; /* SHA-256 over all hops as IA(8) interface(8) */
	struct isd_as dst_ia;
	uint16_t mtu_bytes;	 /* SCION packet size: common header to end of payload */
	int64_t expiry_unix_s;	 /* INT64_MAX for the empty path */
	uint32_t latency_us;	 /* announced; sum, PATH_LATENCY_UNKNOWN if any part is unknown */
	uint64_t bandwidth_kbps; /* announced; minimum, 0 if any part is unknown */
	union sock_addr next_hop; /* border router; for the empty path family 0: the peer itself */
	uint16_t num_hops;	 /* even; 0 for the empty path */
	uint16_t raw_len;
	uint32_t record;	 /* where the state file may have it + 1: see store/tables.c, which alone uses it */
	const uint8_t *raw;	 /* inside the same allocation */
	const struct path_hop *hops;
};

/**
 * path_new() - A path with room for @num_hops hops and @raw_len bytes, both copied, and the
 * fingerprint computed. All else is zero and set by the caller before publishing.
 * Return: reference count 1, or NULL without memory.
 */
struct path *path_new(const struct path_hop *hops, uint16_t num_hops, const uint8_t *raw, uint16_t raw_len);
struct path *path_get(struct path *p); /* one more reference; returns @p */
void path_put(struct path *p);	       /* one less; frees with the last; NULL is fine */
bool path_same(const struct path *a, const struct path *b); /* equal fingerprints */
char *path_fingerprint_str(const struct path *p, char *buf); /* PATH_FINGERPRINT_STRLEN */
/* path_same_interfaces() - The same way? Also of a path that was received, which has no AS numbers. */
bool path_same_interfaces(const struct path *a, const struct path *b);
/* path_shared_links() - Number of links that both cross, in either direction. */
unsigned int path_shared_links(const struct path *a, const struct path *b);
/* path_has_interface() - Does it cross this interface? */
bool path_has_interface(const struct path *p, struct isd_as ia, uint64_t ifid);

#endif
