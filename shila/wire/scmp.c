/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scmp.h"

#include "shila/wire/checksum.h"

#include <errno.h>

/*
 * type(1) code(1) checksum(2), a block that depends on the type, then the quote or the data:
 *
 *   1        unused(4)
 *   2        reserved(2) MTU(2)
 *   4        reserved(2) pointer(2)
 *   5        IA(8) interface(8)
 *   6        IA(8) ingress(8) egress(8)
 *   128, 129 identifier(2) sequence(2)
 *   130, 131 identifier(2) sequence(2) IA(8) interface(8), zero in the request
 */

enum { BASE_LEN = 4, CSUM_AT = 2, ID_AT = 4 };

int scmp_parse(const struct scion_pkt *pkt, struct scmp_msg *out)
{
	struct rd r = rd_init(pkt->l4, pkt->l4_len);
	struct scmp_msg m = { 0 };
	uint64_t sum;

	if (pkt->l4_proto != SCION_L4_SCMP || pkt->l4_len < BASE_LEN)
		return -EBADMSG;
	sum = scion_csum_pseudo(pkt->addr_hdr, pkt->addr_hdr_len, (uint32_t)pkt->l4_len,
				SCION_L4_SCMP);
	if (csum_finish(csum_add(sum, pkt->l4, pkt->l4_len)))
		return -EILSEQ;
	m.type = rd_u8(&r);
	m.code = rd_u8(&r);
	rd_skip(&r, 2);
	switch (m.type) {
	case SCMP_DEST_UNREACHABLE:
		rd_skip(&r, 4);
		break;
	case SCMP_PACKET_TOO_BIG:
		rd_skip(&r, 2);
		m.mtu = rd_be16(&r);
		break;
	case SCMP_PARAMETER_PROBLEM:
		rd_skip(&r, 2);
		m.pointer = rd_be16(&r);
		break;
	case SCMP_EXT_IF_DOWN:
		m.ia.v = rd_be64(&r);
		m.egress = rd_be64(&r);
		break;
	case SCMP_INT_CONN_DOWN:
		m.ia.v = rd_be64(&r);
		m.ingress = rd_be64(&r);
		m.egress = rd_be64(&r);
		break;
	case SCMP_TRACEROUTE_REQUEST:
	case SCMP_TRACEROUTE_REPLY:
		m.id = rd_be16(&r);
		m.seq = rd_be16(&r);
		m.ia.v = rd_be64(&r);
		m.ingress = rd_be64(&r);
		break;
	case SCMP_ECHO_REQUEST:
	case SCMP_ECHO_REPLY:
		m.id = rd_be16(&r);
		m.seq = rd_be16(&r);
		break;
	default:
		return -ENOMSG;
	}
	if (r.bad)
		return -EBADMSG;
	m.data = r.p;
	m.len = r.left;
	*out = m;
	return 0;
}

int scmp_quote_parse(const uint8_t *p, size_t len, struct scmp_quote *out)
{
	struct scmp_quote q = { 0 };
	const uint8_t *l4;
	int err = scion_parse_quote(p, len, &q.pkt);

	if (err < 0)
		return err;
	l4 = q.pkt.l4;
	if (q.pkt.l4_proto == SCION_L4_UDP && q.pkt.l4_len >= 4) {
		q.has_ports = true;
		q.src_port = get_be16(l4);
		q.dst_port = get_be16(l4 + 2);
	} else if (q.pkt.l4_proto == SCION_L4_SCMP && q.pkt.l4_len >= ID_AT + 2 &&
		   (l4[0] == SCMP_ECHO_REQUEST || l4[0] == SCMP_TRACEROUTE_REQUEST)) {
		q.has_ports = true;
		q.src_port = get_be16(l4 + ID_AT);
	}
	*out = q;
	return 0;
}

/* Everything behind type, code and checksum. Return: false for a type it does not know. */
static bool build_body(struct wr *w, const struct scmp_msg *m)
{
	switch (m->type) {
	case SCMP_DEST_UNREACHABLE:
		wr_be32(w, 0);
		break;
	case SCMP_PACKET_TOO_BIG:
		wr_be16(w, 0);
		wr_be16(w, m->mtu);
		break;
	case SCMP_PARAMETER_PROBLEM:
		wr_be16(w, 0);
		wr_be16(w, m->pointer);
		break;
	case SCMP_EXT_IF_DOWN:
		wr_be64(w, m->ia.v);
		wr_be64(w, m->egress);
		break;
	case SCMP_INT_CONN_DOWN:
		wr_be64(w, m->ia.v);
		wr_be64(w, m->ingress);
		wr_be64(w, m->egress);
		break;
	case SCMP_TRACEROUTE_REQUEST:
	case SCMP_TRACEROUTE_REPLY:
		wr_be16(w, m->id);
		wr_be16(w, m->seq);
		wr_be64(w, m->ia.v);
		wr_be64(w, m->ingress);
		break;
	case SCMP_ECHO_REQUEST:
	case SCMP_ECHO_REPLY:
		wr_be16(w, m->id);
		wr_be16(w, m->seq);
		break;
	default:
		return false;
	}
	if (m->len)
		wr_copy(w, m->data, m->len);
	return true;
}

int scmp_build(uint8_t *buf, size_t cap, const struct scion_hdr *h, const struct scmp_msg *m)
{
	size_t hdr_len = scion_hdr_len(&h->dst, &h->src, h->path_len), len;
	struct scion_hdr hdr = *h;
	struct wr head, body;
	uint16_t csum;
	uint64_t sum;
	uint8_t *scmp;
	int err;

	/* The message first: its length goes into the header. */
	if (hdr_len > SCION_MAX_HDR_LEN || hdr_len > cap)
		return -EMSGSIZE;
	scmp = buf + hdr_len;
	body = wr_init(scmp, cap - hdr_len);
	wr_u8(&body, m->type);
	wr_u8(&body, m->code);
	wr_be16(&body, 0);
	if (!build_body(&body, m))
		return -EINVAL;
	len = (size_t)(body.p - scmp);
	if (body.bad || len > UINT16_MAX)
		return -EMSGSIZE;
	hdr.next_hdr = SCION_L4_SCMP;
	hdr.payload_len = (uint16_t)len;
	head = wr_init(buf, hdr_len);
	err = scion_build_hdr(&head, &hdr);
	if (err < 0)
		return err;
	sum = scion_csum_pseudo(buf + 12, 16u + h->dst.host.len + h->src.host.len, (uint32_t)len,
				SCION_L4_SCMP);
	csum = csum_finish(csum_add(sum, scmp, len));
	memcpy(scmp + CSUM_AT, &csum, sizeof(csum));
	return (int)(hdr_len + len);
}

const char *scmp_type_str(uint8_t type)
{
	switch (type) {
	case SCMP_DEST_UNREACHABLE:
		return "destination unreachable";
	case SCMP_PACKET_TOO_BIG:
		return "packet too big";
	case SCMP_PARAMETER_PROBLEM:
		return "parameter problem";
	case SCMP_EXT_IF_DOWN:
		return "external interface down";
	case SCMP_INT_CONN_DOWN:
		return "internal connectivity down";
	case SCMP_ECHO_REQUEST:
		return "echo request";
	case SCMP_ECHO_REPLY:
		return "echo reply";
	case SCMP_TRACEROUTE_REQUEST:
		return "traceroute request";
	case SCMP_TRACEROUTE_REPLY:
		return "traceroute reply";
	default:
		return "unknown";
	}
}
