/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion.h"

#include "shila/wire/checksum.h"

#include <errno.h>

/*
 * Common header:
 *
 *      0               1               2               3
 *   0 | ver:4 | traffic class:8 |          flow id:20          |
 *   4 |   next hdr    |  hdr len / 4  |        payload len     |
 *   8 |   path type   | dst:4 | src:4 |        reserved        |
 *
 * then DstIA(8) SrcIA(8) DstHost SrcHost, then the path, then extension headers and layer 4.
 */

enum { COMMON_LEN = 12, IAS_LEN = 16 };
enum { HOST_IPV4 = 0x0, HOST_IPV6 = 0x3 }; /* type:2 length:2, length in 4-byte units less one */

/* Bytes of a host address by its nibble; 0: a type that no end host has (SVC and unassigned). */
static const uint8_t host_len[16] = { [HOST_IPV4] = 4, [HOST_IPV6] = 16 };

static bool is_mapped(const uint8_t *host, uint8_t len)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return len == 16 && !memcmp(host, mapped, sizeof(mapped));
}

/* What is behind the path: extension headers, layer 4. */
struct upper {
	const uint8_t *p;
	size_t len;
	uint8_t proto;
};

/*
 * Skip at most one hop-by-hop and then one end-to-end extension header: next(1) len/4 - 1 (1)
 * options. Where a quote ends inside of one, l4_proto stays that of the extension and nothing is
 * left.
 */
static int skip_extensions(struct upper *o, bool quote)
{
	struct rd r = rd_init(o->p, o->len);

	for (uint8_t ext = SCION_L4_HBH; ext <= SCION_L4_E2E; ext++) {
		uint8_t next;

		if (o->proto != ext)
			continue;
		next = rd_u8(&r);
		rd_skip(&r, 4 * ((size_t)rd_u8(&r) + 1) - 2);
		if (r.bad && !quote)
			return -EBADMSG;
		if (r.bad)
			break;
		o->proto = next;
	}
	if (!r.bad && (o->proto == SCION_L4_HBH || o->proto == SCION_L4_E2E))
		return -EBADMSG; /* twice or in the wrong order */
	o->p += o->len - r.left;
	o->len = r.left;
	return 0;
}

/* @quote is a constant in both callers, so the compiler makes two functions of this. */
static inline __attribute__((always_inline)) int parse(const uint8_t *p, size_t len, bool quote,
						       struct scion_pkt *out)
{
	size_t payload_len, hdr_len, fixed_len;
	uint8_t dst_len, src_len, path_type;
	struct scion_path_meta m;
	struct upper l4;
	uint32_t word;
	int err;

	if (len < COMMON_LEN + IAS_LEN)
		return -EBADMSG;
	word = get_be32(p);
	hdr_len = p[5] * 4u;
	payload_len = get_be16(p + 6);
	path_type = p[8];
	if (word >> 28 || hdr_len > len || (!quote && hdr_len + payload_len != len))
		return -EBADMSG;

	dst_len = host_len[p[9] >> 4];
	src_len = host_len[p[9] & 0xf];
	if (!dst_len || !src_len)
		return -EAFNOSUPPORT;
	fixed_len = (size_t)COMMON_LEN + IAS_LEN + dst_len + src_len;
	if (fixed_len > hdr_len)
		return -EBADMSG;
	/* An IPv4 host has one form only, or comparing addresses would miss it. */
	if (is_mapped(p + COMMON_LEN + IAS_LEN, dst_len) || is_mapped(p + COMMON_LEN + IAS_LEN + dst_len, src_len))
		return -EAFNOSUPPORT;

	if (path_type == SCION_PATH_SCION) {
		err = scion_path_check(p + fixed_len, hdr_len - fixed_len, &m);
		if (err < 0)
			return err;
		if (!quote && m.curr_hf + 1 != m.num_hf)
			return -EBADMSG; /* has not arrived: this is not its last hop */
	} else if (path_type != SCION_PATH_EMPTY) {
		return -EPROTONOSUPPORT;
	} else if (fixed_len != hdr_len) {
		return -EBADMSG;
	}

	l4 = (struct upper){ p + hdr_len, len - hdr_len, p[4] };
	/* What was quoted for its wrong PayloadLen may have more bytes than it says. */
	if (quote && l4.len > payload_len)
		l4.len = payload_len;
	if (__builtin_expect(l4.proto == SCION_L4_HBH || l4.proto == SCION_L4_E2E, 0)) {
		struct upper behind = l4; /* so that @l4 may stay in registers */

		err = skip_extensions(&behind, quote);
		if (err < 0)
			return err;
		l4 = behind;
	}
	*out = (struct scion_pkt){
		.flow_id = word & 0xfffff,
		.traffic_class = (uint8_t)(word >> 20),
		.path_type = path_type,
		.dst_ia.v = get_be64(p + COMMON_LEN),
		.src_ia.v = get_be64(p + COMMON_LEN + 8),
		.addr_hdr = p + COMMON_LEN,
		.dst_host = p + COMMON_LEN + IAS_LEN,
		.src_host = p + COMMON_LEN + IAS_LEN + dst_len,
		.dst_len = dst_len,
		.src_len = src_len,
		.addr_hdr_len = (uint8_t)(fixed_len - COMMON_LEN),
		.path = path_type == SCION_PATH_SCION ? p + fixed_len : NULL,
		.path_len = (uint16_t)(hdr_len - fixed_len),
		.hdr_len = (uint16_t)hdr_len,
		.l4_proto = l4.proto,
		.l4 = l4.p,
		.l4_len = l4.len,
	};
	return 0;
}

int scion_parse(const uint8_t *p, size_t len, struct scion_pkt *out)
{
	return parse(p, len, false, out);
}

int scion_parse_quote(const uint8_t *p, size_t len, struct scion_pkt *out)
{
	return parse(p, len, true, out);
}

struct ip_addr scion_pkt_dst(const struct scion_pkt *pkt)
{
	return ip_addr_make(pkt->dst_host, pkt->dst_len);
}

struct ip_addr scion_pkt_src(const struct scion_pkt *pkt)
{
	return ip_addr_make(pkt->src_host, pkt->src_len);
}

size_t scion_hdr_len(const struct scion_addr *dst, const struct scion_addr *src, size_t path_len)
{
	return (size_t)(COMMON_LEN + IAS_LEN + dst->host.len + src->host.len) + path_len;
}

static bool host_ok(const struct ip_addr *a)
{
	return (a->len == 4 || a->len == 16) && !is_mapped(a->b, a->len);
}

static uint8_t host_nibble(const struct ip_addr *a)
{
	return a->len == 4 ? HOST_IPV4 : HOST_IPV6;
}

int scion_build_hdr(struct wr *w, const struct scion_hdr *h)
{
	size_t len = scion_hdr_len(&h->dst, &h->src, h->path_len);

	if (!host_ok(&h->dst.host) || !host_ok(&h->src.host) || h->path_len % 4)
		return -EINVAL;
	if (len > SCION_MAX_HDR_LEN || w->bad || len > w->left)
		return -EMSGSIZE;
	wr_be32(w, (uint32_t)h->traffic_class << 20 | (h->flow_id & 0xfffff));
	wr_u8(w, h->next_hdr);
	wr_u8(w, (uint8_t)(len / 4));
	wr_be16(w, h->payload_len);
	wr_u8(w, h->path_len ? SCION_PATH_SCION : SCION_PATH_EMPTY);
	wr_u8(w, (uint8_t)(host_nibble(&h->dst.host) << 4 | host_nibble(&h->src.host)));
	wr_be16(w, 0);
	wr_be64(w, h->dst.ia.v);
	wr_be64(w, h->src.ia.v);
	wr_copy(w, h->dst.host.b, h->dst.host.len);
	wr_copy(w, h->src.host.b, h->src.host.len);
	if (h->path_len)
		wr_copy(w, h->path, h->path_len);
	return (int)len;
}

uint64_t scion_csum_pseudo(const uint8_t *addr_hdr, size_t len, uint32_t l4_len, uint8_t l4_proto)
{
	uint64_t sum = csum_add(0, addr_hdr, len);

	sum = csum_add_be32(sum, l4_len);
	return csum_add_be32(sum, l4_proto);
}

int scion_udp_parse(const struct scion_pkt *pkt, struct scion_udp *out)
{
	uint64_t sum;

	/* The specification's length 0 is for jumbograms, which no datagram can hold. */
	if (pkt->l4_proto != SCION_L4_UDP || pkt->l4_len < SCION_UDP_HDR_LEN ||
	    get_be16(pkt->l4 + 4) != pkt->l4_len)
		return -EBADMSG;
	sum = scion_csum_pseudo(pkt->addr_hdr, pkt->addr_hdr_len, (uint32_t)pkt->l4_len,
				SCION_L4_UDP);
	if (csum_finish(csum_add(sum, pkt->l4, pkt->l4_len)))
		return -EILSEQ;
	out->src_port = get_be16(pkt->l4);
	out->dst_port = get_be16(pkt->l4 + 2);
	out->data = pkt->l4 + SCION_UDP_HDR_LEN;
	out->len = pkt->l4_len - SCION_UDP_HDR_LEN;
	return 0;
}

int scion_udp_build(uint8_t *buf, size_t cap, const struct scion_hdr *h, uint16_t src_port,
		    uint16_t dst_port, const void *data, size_t len)
{
	struct wr w = wr_init(buf, cap);
	struct scion_hdr hdr = *h;
	uint16_t csum;
	uint64_t sum;
	uint8_t *udp;
	int hdr_len;

	if (len > UINT16_MAX - SCION_UDP_HDR_LEN)
		return -EMSGSIZE;
	hdr.next_hdr = SCION_L4_UDP;
	hdr.payload_len = (uint16_t)(SCION_UDP_HDR_LEN + len);
	hdr_len = scion_build_hdr(&w, &hdr);
	if (hdr_len < 0)
		return hdr_len;
	udp = w.p;
	wr_be16(&w, src_port);
	wr_be16(&w, dst_port);
	wr_be16(&w, hdr.payload_len);
	wr_be16(&w, 0);
	if (len)
		wr_copy(&w, data, len);
	if (w.bad)
		return -EMSGSIZE;
	sum = scion_csum_pseudo(buf + COMMON_LEN,
				IAS_LEN + (size_t)h->dst.host.len + h->src.host.len,
				hdr.payload_len, SCION_L4_UDP);
	csum = csum_finish(csum_add(sum, udp, hdr.payload_len));
	if (!csum)
		csum = 0xffff; /* RFC 768: zero would say "none" */
	memcpy(udp + 6, &csum, sizeof(csum));
	return hdr_len + hdr.payload_len;
}
