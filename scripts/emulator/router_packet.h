/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_ROUTER_PACKET_H
#define SHILA_EMULATOR_ROUTER_PACKET_H

#include "scripts/emulator/router.h"
#include "shila/base/bytes.h"
#include "shila/wire/scion.h"

/*
 * A packet as a router reads it: more tolerant than an end host (shila/wire/scion.h), and writable.
 * Shared by the files of the router, not for others.
 */

enum { COMMON_LEN = 12, META_LEN = 4, INF_LEN = 8, HOP_LEN = 12 };
enum { SCMP_BASE_LEN = 4 }; /* type, code, checksum */
enum { INF_CONS_DIR = 0x01, INF_PEERING = 0x02 };
enum { HOP_ALERT_EGRESS = 0x01, HOP_ALERT_INGRESS = 0x02 };
enum { HOST_IPV4 = 0x0, HOST_SVC = 0x4, HOST_IPV6 = 0x3 };

/* Codes of SCMP parameter problems that a router sends */
enum {
	SCMP_CODE_PACKET_SIZE = 19,
	SCMP_CODE_SRC_ADDR = 33,
	SCMP_CODE_DST_ADDR = 34,
	SCMP_CODE_PATH = 48,
	SCMP_CODE_UNKNOWN_INGRESS = 49,
	SCMP_CODE_UNKNOWN_EGRESS = 50,
	SCMP_CODE_SEGMENT_CHANGE = 53,
};

struct packet {
	uint8_t *p;
	size_t len;
	size_t hdr_len, fixed_len; /* up to the payload; up to the path */
	uint8_t dst_type, src_type, dst_len, src_len;
	struct isd_as dst_ia, src_ia;
	uint8_t *dst_host, *src_host;
	uint8_t *path;
	uint8_t curr_inf, curr_hf, seg_len[3];
	unsigned int num_inf, num_hops;
	uint8_t *l4;
	size_t l4_len;
	uint8_t l4_proto;
};

static inline uint8_t *packet_info(const struct packet *k, unsigned int i)
{
	return k->path + META_LEN + INF_LEN * i;
}

static inline uint8_t *packet_hop(const struct packet *k, unsigned int i)
{
	return k->path + META_LEN + INF_LEN * k->num_inf + HOP_LEN * i;
}

/* packet_inf_of() - The segment that hop field @hf is in. */
static inline unsigned int packet_inf_of(const struct packet *k, unsigned int hf)
{
	return hf < k->seg_len[0] ? 0 : hf < (unsigned int)k->seg_len[0] + k->seg_len[1] ? 1 : 2;
}

/* packet_is_xover() - Whether the next hop field is of another segment. */
static inline bool packet_is_xover(const struct packet *k)
{
	return k->curr_hf + 1u < k->num_hops && k->curr_inf != packet_inf_of(k, k->curr_hf + 1u);
}

/* packet_write_meta() - Also clears what is reserved. */
static inline void packet_write_meta(const struct packet *k)
{
	put_be32(k->path, (uint32_t)k->curr_inf << 30 | (uint32_t)k->curr_hf << 24 | (uint32_t)k->seg_len[0] << 12 |
				  (uint32_t)k->seg_len[1] << 6 | k->seg_len[2]);
}

/* packet_next_hop() - On to the next hop field. Return: false at the last. */
static inline bool packet_next_hop(struct packet *k)
{
	if (k->curr_hf + 1u >= k->num_hops)
		return false;
	k->curr_hf++;
	k->curr_inf = (uint8_t)packet_inf_of(k, k->curr_hf);
	packet_write_meta(k);
	return true;
}

/* info_add_mac() - The next value of SegID; clears what is reserved. */
static inline void info_add_mac(uint8_t *info, const uint8_t *hop)
{
	info[0] &= INF_CONS_DIR | INF_PEERING;
	info[1] = 0;
	info[2] ^= hop[6];
	info[3] ^= hop[7];
}

/**
 * packet_read() - Fill in the rest of @k, of which p and len are set and all else is zero.
 * Pointers into the path are not checked.
 * Return: 0, or a negative errno and @why a packet like this is dropped.
 */
int packet_read(struct packet *k, enum router_drop *why);

/**
 * packet_peering() - Whether the current hop field is at a peering link.
 * Return: 0 or 1, -EBADMSG for segments that do not go with the flag.
 */
int packet_peering(const struct packet *k);

/**
 * packet_port() - The UDP port on which the destination host takes a packet.
 * Return: 0; -EBADMSG if it does not tell.
 */
int packet_port(const struct packet *k, uint16_t *port);

/* scmp_error_block() - Bytes between type, code, checksum and the quote; -1 for what is no known error message. */
int scmp_error_block(uint8_t type);

/* What an answer is about. */
struct scmp_answer {
	uint8_t type, code;
	uint16_t pointer;
	uint16_t interface;
	bool from_link; /* goes back over a link, not to a host of the AS */
};

/**
 * router_answer() - An SCMP error, or the reply to a traceroute request, into @out.
 * Sets @out's verdict: ANSWER or DROP.
 */
void router_answer(const struct router *r, struct packet *k, const struct scmp_answer *a, struct router_result *out);

#endif
