/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router_packet.h"
#include "shila/wire/checksum.h"
#include "shila/wire/scmp.h"

/* What a router says by SCMP (scionproto/scion v0.15.1: router/dataplane.go, prepareSCMP). */

/* The way back in @out, of the packet's path as it is now. Return: its length, 0 if there is none. */
static size_t way_back(const struct packet *k, bool from_link, uint8_t *out)
{
	struct packet back = { .path = out, .num_inf = k->num_inf, .num_hops = k->num_hops };
	unsigned int last = k->num_inf - 1;
	int peering;

	back.curr_inf = (uint8_t)(last - k->curr_inf);
	back.curr_hf = (uint8_t)(k->num_hops - 1 - k->curr_hf);
	for (unsigned int i = 0; i <= last; i++) {
		const uint8_t *from = packet_info(k, last - i);
		uint8_t *to = packet_info(&back, i);

		back.seg_len[i] = k->seg_len[last - i];
		memcpy(to, from, INF_LEN);
		to[0] = (from[0] & (INF_CONS_DIR | INF_PEERING)) ^ INF_CONS_DIR;
		to[1] = 0;
	}
	for (unsigned int i = 0; i < k->num_hops; i++) {
		uint8_t *to = packet_hop(&back, i);

		memcpy(to, packet_hop(k, k->num_hops - 1 - i), HOP_LEN);
		to[0] &= HOP_ALERT_EGRESS | HOP_ALERT_INGRESS;
	}
	packet_write_meta(&back);

	peering = packet_peering(&back);
	if (peering < 0)
		return 0;
	/* A change of segment that has been made is taken back. */
	if (packet_is_xover(&back) && !peering && !packet_next_hop(&back))
		return 0;
	if (from_link) {
		uint8_t *info = packet_info(&back, back.curr_inf);

		if ((info[0] & INF_CONS_DIR) && !peering)
			info_add_mac(info, packet_hop(&back, back.curr_hf));
		if (!packet_next_hop(&back))
			return 0;
	}
	return META_LEN + INF_LEN * k->num_inf + HOP_LEN * (size_t)k->num_hops;
}

/* Common and address header. Return: their length */
static size_t write_header(const struct router *r, const struct packet *k, size_t path_len, size_t payload_len,
			   uint8_t *p)
{
	size_t fixed = COMMON_LEN + 16u + k->src_len + r->host.len;

	put_be32(p, get_be32(k->p) & 0x0fffffff);
	p[4] = SCION_L4_SCMP;
	p[5] = (uint8_t)((fixed + path_len) / 4);
	put_be16(p + 6, (uint16_t)payload_len);
	p[8] = SCION_PATH_SCION;
	p[9] = (uint8_t)(k->src_type << 4 | (r->host.len == 4 ? HOST_IPV4 : HOST_IPV6));
	put_be16(p + 10, 0);
	put_be64(p + COMMON_LEN, k->src_ia.v);
	put_be64(p + COMMON_LEN + 8, r->ia.v);
	memcpy(p + COMMON_LEN + 16, k->src_host, k->src_len);
	memcpy(p + COMMON_LEN + 16 + k->src_len, r->host.b, r->host.len);
	return fixed;
}

static void drop(struct router_result *out, enum router_drop why)
{
	out->verdict = ROUTER_DROP;
	out->drop = why;
}

static bool is_traceroute(const struct packet *k)
{
	return k->l4_proto == SCION_L4_SCMP && k->l4_len >= SCMP_BASE_LEN + 20u &&
	       k->l4[0] == SCMP_TRACEROUTE_REQUEST && !k->l4[1];
}

/* Type, code, check sum and the block behind them. Return: length */
static size_t write_message(const struct router *r, const struct packet *k, const struct scmp_answer *a, uint8_t *p)
{
	size_t n = SCMP_BASE_LEN + (a->type == SCMP_TRACEROUTE_REPLY ? 20u : (size_t)scmp_error_block(a->type));

	memset(p, 0, n);
	p[0] = a->type;
	p[1] = a->code;
	switch (a->type) {
	case SCMP_PARAMETER_PROBLEM:
		put_be16(p + 6, a->pointer);
		break;
	case SCMP_EXT_IF_DOWN:
		put_be64(p + 4, r->ia.v);
		put_be64(p + 12, a->interface);
		break;
	case SCMP_TRACEROUTE_REPLY:
		memcpy(p + 4, k->l4 + 4, 4);
		put_be64(p + 8, r->ia.v);
		put_be64(p + 16, a->interface);
		break;
	}
	return n;
}

void router_answer(const struct router *r, struct packet *k, const struct scmp_answer *a, struct router_result *out)
{
	uint8_t path[SCION_MAX_PATH_LEN], message[SCMP_BASE_LEN + 24];
	size_t hdr_len, path_len, message_len, quote_len = 0;
	bool error = a->type < SCMP_ECHO_REQUEST;
	uint16_t csum;
	uint64_t sum;
	uint8_t *p;

	if (!error && !is_traceroute(k)) {
		/* Who asks without a request gets its own packet back, less the flag. */
		out->verdict = ROUTER_ANSWER;
		return;
	}
	if (k->l4_proto == SCION_L4_SCMP && k->l4_len < SCMP_BASE_LEN) {
		drop(out, ROUTER_DROP_L4);
		return;
	}
	if (k->l4_proto == SCION_L4_SCMP && k->l4[0] < SCMP_ECHO_REQUEST) {
		drop(out, ROUTER_DROP_SCMP_FOR_SCMP);
		return;
	}
	packet_write_meta(k); /* the quote has nothing in what is reserved there */
	path_len = way_back(k, a->from_link, path);
	hdr_len = COMMON_LEN + 16u + k->src_len + r->host.len + path_len;
	if (!path_len || hdr_len > SCION_MAX_HDR_LEN) {
		drop(out, ROUTER_DROP_NO_WAY_BACK);
		return;
	}
	message_len = write_message(r, k, a, message);
	if (error)
		quote_len = ROUTER_MAX_SCMP - hdr_len - message_len;
	if (quote_len > k->len)
		quote_len = k->len;

	p = out->scmp + write_header(r, k, path_len, message_len + quote_len, out->scmp);
	memcpy(p, path, path_len);
	memcpy(p + path_len, message, message_len);
	if (quote_len)
		memcpy(p + path_len + message_len, k->p, quote_len);
	p += path_len;
	sum = scion_csum_pseudo(out->scmp + COMMON_LEN, 16u + k->src_len + r->host.len,
				(uint32_t)(message_len + quote_len), SCION_L4_SCMP);
	csum = csum_finish(csum_add(sum, p, message_len + quote_len));
	memcpy(p + 2, &csum, sizeof(csum));
	out->verdict = ROUTER_ANSWER;
	out->p = out->scmp;
	out->len = hdr_len + message_len + quote_len;
}
