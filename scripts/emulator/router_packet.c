/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router_packet.h"

#include "shila/wire/scmp.h"

#include <errno.h>

/*
 * Reading packets as the real router does (scionproto/scion v0.15.1: pkg/slayers), and to which port
 * of its host one goes (router/dataplane.go, dstScionPort).
 */

enum { L4_BFD = 203, L4_EXPERIMENT = 253, ENDHOST_PORT = 30041 };
enum { L4_UDP_LEN = 8, L4_TCP_LEN = 20, ECHO_LEN = SCMP_BASE_LEN + 4, TRACEROUTE_LEN = SCMP_BASE_LEN + 20 };

static bool known_next_hdr(uint8_t v)
{
	return v == SCION_L4_TCP || v == SCION_L4_UDP || (v >= SCION_L4_HBH && v <= L4_BFD) || v == L4_EXPERIMENT ||
	       v == L4_EXPERIMENT + 1;
}

static int read_header(struct packet *k)
{
	uint8_t *p = k->p;

	if (k->len < COMMON_LEN)
		return -EBADMSG;
	k->dst_type = p[9] >> 4;
	k->src_type = p[9] & 0xf;
	k->dst_len = (uint8_t)(4 * ((k->dst_type & 3) + 1));
	k->src_len = (uint8_t)(4 * ((k->src_type & 3) + 1));
	k->fixed_len = COMMON_LEN + 16u + k->dst_len + k->src_len;
	k->hdr_len = p[5] * 4u;
	if (k->len < k->fixed_len || k->hdr_len < k->fixed_len || k->len < k->hdr_len)
		return -EBADMSG;
	k->dst_ia.v = get_be64(p + COMMON_LEN);
	k->src_ia.v = get_be64(p + COMMON_LEN + 8);
	k->dst_host = p + COMMON_LEN + 16;
	k->src_host = k->dst_host + k->dst_len;
	k->path = p + k->fixed_len;
	k->l4 = p + k->hdr_len;
	k->l4_len = k->len - k->hdr_len;
	k->l4_proto = p[4];
	return 0;
}

static int read_path(struct packet *k)
{
	uint32_t w;

	if (k->hdr_len < k->fixed_len + META_LEN)
		return -EBADMSG;
	w = get_be32(k->path);
	k->curr_inf = (uint8_t)(w >> 30);
	k->curr_hf = w >> 24 & 0x3f;
	for (unsigned int i = 0; i < 3; i++) {
		k->seg_len[i] = w >> (12 - 6 * i) & 0x3f;
		if (k->seg_len[i] && k->num_inf != i)
			return -EBADMSG; /* a segment after an empty one */
		k->num_inf += !!k->seg_len[i];
		k->num_hops += k->seg_len[i];
	}
	/* Bytes between path and payload are tolerated. */
	if (k->num_hops > SCION_MAX_HOPS ||
	    k->hdr_len - k->fixed_len < META_LEN + INF_LEN * k->num_inf + HOP_LEN * k->num_hops)
		return -EBADMSG;
	return 0;
}

static int read_extensions(struct packet *k)
{
	for (uint8_t ext = SCION_L4_HBH; ext <= SCION_L4_E2E; ext++) {
		size_t n;

		if (k->l4_proto != ext)
			continue;
		if (k->l4_len < 2)
			return -EBADMSG;
		n = 4 * (k->l4[1] + 1u);
		if (k->l4_len < n || k->l4[0] == SCION_L4_HBH || (ext == SCION_L4_E2E && k->l4[0] == SCION_L4_E2E))
			return -EBADMSG;
		k->l4_proto = k->l4[0];
		k->l4 += n;
		k->l4_len -= n;
	}
	return 0;
}

int packet_read(struct packet *k, enum router_drop *why)
{
	*why = ROUTER_DROP_NEXT_HDR;
	if (k->len >= COMMON_LEN && !known_next_hdr(k->p[4]))
		return -EPROTONOSUPPORT;
	*why = ROUTER_DROP_MALFORMED;
	if (read_header(k))
		return -EBADMSG;
	if (k->p[8] != SCION_PATH_SCION) {
		*why = ROUTER_DROP_PATH_TYPE;
		return -EPROTONOSUPPORT;
	}
	return read_path(k) || read_extensions(k) ? -EBADMSG : 0;
}

int packet_peering(const struct packet *k)
{
	if (!(packet_info(k, k->curr_inf)[0] & INF_PEERING))
		return 0;
	if (!k->seg_len[0] || !k->seg_len[1] || k->seg_len[2])
		return -EBADMSG;
	return k->curr_hf + 1 == k->seg_len[0] || k->curr_hf == k->seg_len[0];
}

int scmp_error_block(uint8_t type)
{
	switch (type) {
	case SCMP_DEST_UNREACHABLE:
	case SCMP_PACKET_TOO_BIG:
	case SCMP_PARAMETER_PROBLEM:
		return 4;
	case SCMP_EXT_IF_DOWN:
		return 16;
	case SCMP_INT_CONN_DOWN:
		return 24;
	default:
		return -1;
	}
}

/* The port of who has sent what an SCMP error quotes */
static int quoted_port(uint8_t *quote, size_t len, uint16_t *port)
{
	struct packet q = { .p = quote, .len = len };
	enum router_drop why;
	int at = -1;

	if (packet_read(&q, &why))
		return -EBADMSG;
	if (q.l4_proto == SCION_L4_UDP && q.l4_len >= L4_UDP_LEN)
		at = 0;
	else if (q.l4_proto == SCION_L4_SCMP && q.l4_len >= ECHO_LEN && q.l4[0] == SCMP_ECHO_REQUEST)
		at = SCMP_BASE_LEN;
	else if (q.l4_proto == SCION_L4_SCMP && q.l4_len >= TRACEROUTE_LEN && q.l4[0] == SCMP_TRACEROUTE_REQUEST)
		at = SCMP_BASE_LEN;
	if (at < 0)
		return -EBADMSG;
	*port = get_be16(q.l4 + at);
	return *port || at ? 0 : -EBADMSG; /* no UDP port is 0 */
}

static int scmp_port(const struct packet *k, uint16_t *port)
{
	int block = scmp_error_block(k->l4[0]);
	size_t min = k->l4[0] == SCMP_ECHO_REPLY ? ECHO_LEN : TRACEROUTE_LEN;

	switch (k->l4[0]) {
	case SCMP_ECHO_REQUEST:
	case SCMP_TRACEROUTE_REQUEST:
		*port = ENDHOST_PORT;
		return 0;
	case SCMP_ECHO_REPLY:
	case SCMP_TRACEROUTE_REPLY:
		if (k->l4_len < min)
			return -EBADMSG;
		*port = get_be16(k->l4 + SCMP_BASE_LEN);
		return 0;
	}
	if (block < 0 || k->l4_len <= SCMP_BASE_LEN + (size_t)block)
		return -EBADMSG;
	return quoted_port(k->l4 + SCMP_BASE_LEN + block, k->l4_len - SCMP_BASE_LEN - (size_t)block, port);
}

int packet_port(const struct packet *k, uint16_t *port)
{
	switch (k->l4_proto) {
	case SCION_L4_UDP:
	case SCION_L4_TCP:
		if (k->l4_len < (k->l4_proto == SCION_L4_UDP ? L4_UDP_LEN : L4_TCP_LEN))
			return -EBADMSG;
		*port = get_be16(k->l4 + 2);
		return 0;
	case SCION_L4_SCMP:
		return k->l4_len < SCMP_BASE_LEN ? -EBADMSG : scmp_port(k, port);
	default:
		*port = ENDHOST_PORT;
		return 0;
	}
}
