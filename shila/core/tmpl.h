/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_TMPL_H
#define SHILA_CORE_TMPL_H

#include "shila/core/liveness.h"
#include "shila/wire/checksum.h"
#include "shila/wire/path.h"
#include "shila/wire/scion.h"

#include <stdatomic.h>
#include <string.h>

/*
 * Everything in front of a frame that is the same for all frames to one peer port over one path: the
 * SCION header and the SCION/UDP header, ready to be copied and patched. Immutable, shared by count.
 */
struct tmpl {
	atomic_uint refs;
	struct path *path;	   /* one reference */
	struct liveness *live;	   /* of its ports and path, one reference; NULL: nobody asks whether it is alive */
	struct scion_addr peer;
	uint16_t local_port, peer_port;
	union sock_addr next_hop;  /* underlay destination */
	uint16_t mtu_bytes;
	uint16_t len;		   /* SCION header and UDP header */
	uint8_t addr_hdr_len;
	bool movable;		   /* not the empty path, to which there is no other */
	uint8_t rx_infos_len;	   /* of an adopted path: its info fields as received, to notice renewals */
	uint8_t rx_infos[8 * SCION_MAX_INF];
	uint32_t outer_len;	   /* IP and UDP header of the underlay: 28 or 48 */
	uint64_t csum;		   /* pseudo header without length, UDP ports */
	uint8_t hdr[];
};

/**
 * tmpl_new() - Build one; takes its own reference of @path.
 * Return: with one reference, or NULL (no memory, or the header does not fit).
 */
struct tmpl *tmpl_new(struct path *path, const struct scion_addr *local, uint16_t local_port,
		      const struct scion_addr *peer, uint16_t peer_port);
struct tmpl *tmpl_get(struct tmpl *t);
void tmpl_put(struct tmpl *t); /* NULL is fine */

/* tmpl_budget() - Bytes of frame (header included) that fit one packet of this path. */
static inline uint16_t tmpl_budget(const struct tmpl *t)
{
	return t->mtu_bytes > t->len ? (uint16_t)(t->mtu_bytes - t->len) : 0;
}

/**
 * tmpl_write() - Headers for one packet of @frame_len bytes whose frame sums to @frame_sum.
 * @out: t->len bytes
 */
void tmpl_write(const struct tmpl *t, uint8_t *out, uint32_t flow_id, uint8_t traffic_class,
		uint16_t frame_len, uint64_t frame_sum);

/* The two halves of it: all but the checksum, and the checksum into headers that are there. */
void tmpl_write_hdr(const struct tmpl *t, uint8_t *out, uint32_t flow_id, uint8_t traffic_class, uint16_t frame_len);
static inline void tmpl_write_csum(const struct tmpl *t, uint8_t *out, uint16_t frame_len, uint64_t frame_sum)
{
	uint16_t l4_len = frame_len + SCION_UDP_HDR_LEN, csum;

	/* The length counts twice: in the pseudo header and in the UDP header. */
	csum = csum_finish(csum_add_be16(csum_add_be16(t->csum + frame_sum, l4_len), l4_len));
	if (!csum)
		csum = 0xffff; /* RFC 768: zero would mean "none" */
	memcpy(out + t->len - SCION_UDP_HDR_LEN + 6, &csum, 2);
}

#endif
