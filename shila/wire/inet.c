/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/inet.h"

#include "shila/wire/checksum.h"
#include "shila/wire/inet_priv.h"

#include <errno.h>

/*
 * Taking inner packets apart. Everything here also meets packets that a peer wrapped in DATAGRAM
 * and what ICMP errors quote, so nothing is believed before it was compared with the length.
 */

enum { /* IPv6 extension headers (RFC 8200) */
       EXT_HOP_BY_HOP = 0,
       EXT_ROUTING = 43,
       EXT_FRAGMENT = 44,
       EXT_AUTH = 51,
       EXT_DEST_OPTS = 60,
       EXT_MAX = 16, /* headers walked; more of them only cost time */
};

/*
 * A source-routed packet names in its header a destination that is not where it ends: neither the
 * addresses nor the checksum of layer 4 mean what they say.
 */
static bool ip4_source_routed(const uint8_t *opt, size_t len)
{
	while (len) {
		uint8_t size;

		if (*opt == 0) /* end of list */
			return false;
		if (*opt == 1) { /* no operation */
			opt++;
			len--;
			continue;
		}
		if (*opt == 131 || *opt == 137) /* loose, strict */
			return true;
		size = len >= 2 ? opt[1] : 0;
		if (size < 2 || size > len)
			return false; /* not ours to judge, the receiver does */
		opt += size;
		len -= size;
	}
	return false;
}

static int ip4_parse(const uint8_t *p, size_t len, bool quoted, struct ip_pkt *out)
{
	struct ip_pkt pkt = {.version = 4, .addr_len = 4, .len = (uint32_t)len};
	uint16_t frag;

	if (len < 20)
		return -EBADMSG;
	pkt.l4_off = (p[0] & 0xf) * 4;
	if (pkt.l4_off < 20 || pkt.l4_off > len)
		return -EBADMSG;
	if (!quoted && (get_be16(p + 2) != len || ip4_source_routed(p + 20, pkt.l4_off - 20u)))
		return -EBADMSG;
	frag = get_be16(p + 6);
	pkt.fragment = frag & 0x3fff; /* more fragments, or an offset */
	pkt.later_fragment = frag & 0x1fff;
	pkt.traffic_class = p[1];
	pkt.ttl = p[8];
	pkt.proto = p[9];
	pkt.src = p + 12;
	pkt.dst = p + 16;
	*out = pkt;
	return 0;
}

static int ip6_parse(const uint8_t *p, size_t len, bool quoted, struct ip_pkt *out)
{
	struct ip_pkt pkt = {.version = 6, .addr_len = 16, .len = (uint32_t)len};
	size_t off = 40;

	if (len < 40 || (!quoted && get_be16(p + 4) + 40u != len))
		return -EBADMSG;
	pkt.traffic_class = (uint8_t)(get_be16(p) >> 4);
	pkt.ttl = p[7];
	pkt.proto = p[6];
	pkt.src = p + 8;
	pkt.dst = p + 24;
	for (int i = 0; !pkt.later_fragment; i++) {
		const uint8_t *ext = p + off;
		size_t size;

		if (pkt.proto != EXT_HOP_BY_HOP && pkt.proto != EXT_ROUTING &&
		    pkt.proto != EXT_FRAGMENT && pkt.proto != EXT_AUTH &&
		    pkt.proto != EXT_DEST_OPTS)
			break;
		if (len - off < 8 || i == EXT_MAX)
			return -EBADMSG;
		size = ext[1] * 8u + 8;
		if (pkt.proto == EXT_AUTH) {
			size = ext[1] * 4u + 8;
		} else if (pkt.proto == EXT_FRAGMENT) {
			uint16_t frag = get_be16(ext + 2);

			/* Offset 0 and nothing to follow: whole after all (RFC 6946). */
			pkt.fragment |= (frag & 0xfff9) != 0;
			pkt.later_fragment = frag & 0xfff8;
			size = 8;
		} else if (pkt.proto == EXT_ROUTING && ext[3] && !quoted) {
			return -EBADMSG; /* source-routed, see above */
		}
		if (size > len - off)
			return -EBADMSG;
		pkt.proto = ext[0];
		off += size;
	}
	pkt.l4_off = (uint16_t)off;
	*out = pkt;
	return 0;
}

static int parse_any(const uint8_t *p, size_t len, bool quoted, struct ip_pkt *out)
{
	if (!len || len > IP_MAX_LEN)
		return -EBADMSG;
	switch (p[0] >> 4) {
	case 4:
		return ip4_parse(p, len, quoted, out);
	case 6:
		return ip6_parse(p, len, quoted, out);
	default:
		return -EPROTONOSUPPORT;
	}
}

int ip_parse(const uint8_t *p, size_t len, struct ip_pkt *out)
{
	return parse_any(p, len, false, out);
}

int ip_parse_quote(const uint8_t *p, size_t len, struct ip_pkt *out)
{
	return parse_any(p, len, true, out);
}

struct ip_addr ip_pkt_src(const struct ip_pkt *pkt)
{
	return ip_addr_make(pkt->src, pkt->addr_len);
}

struct ip_addr ip_pkt_dst(const struct ip_pkt *pkt)
{
	return ip_addr_make(pkt->dst, pkt->addr_len);
}

int tcp_parse(const uint8_t *p, size_t len, struct tcp_hdr *out)
{
	struct tcp_hdr h;
	uint8_t hdr_len;

	if (len < 20)
		return -EBADMSG;
	hdr_len = (uint8_t)((p[12] >> 4) * 4);
	if (hdr_len < 20 || hdr_len > len)
		return -EBADMSG;
	h = (struct tcp_hdr){
		.src_port = get_be16(p),
		.dst_port = get_be16(p + 2),
		.seq = get_be32(p + 4),
		.ack = get_be32(p + 8),
		.flags = p[13],
		.hdr_len = hdr_len,
		.opts_len = hdr_len - 20,
		.window = get_be16(p + 14),
		.urgent = get_be16(p + 18),
		.opts = p + 20,
	};
	*out = h;
	return 0;
}

enum icmp_class icmp_classify(const struct ip_pkt *ip, uint8_t type)
{
	if (ip->version == 4 && ip->proto == INET_PROTO_ICMP) {
		switch (type) {
		case 0: /* echo reply */
		case 8:
			return ICMP_ECHO;
		case 3:  /* unreachable */
		case 4:  /* source quench */
		case 5:  /* redirect */
		case 11: /* time exceeded */
		case 12: /* parameter problem */
			return ICMP_ERROR;
		}
	} else if (ip->version == 6 && ip->proto == INET_PROTO_ICMPV6) {
		if (type < 128)
			return ICMP_ERROR;
		if (type <= 129)
			return ICMP_ECHO;
	} else {
		return ICMP_NOT;
	}
	return ICMP_OTHER;
}

uint32_t inet_payload_len(const struct ip_pkt *ip)
{
	uint32_t left = ip->len - ip->l4_off;
	bool hdr = ip->proto == INET_PROTO_UDP || ip->proto == INET_PROTO_ICMP || ip->proto == INET_PROTO_ICMPV6;

	if (ip->later_fragment || !hdr)
		return left;
	return left > ICMP_HDR_LEN ? left - ICMP_HDR_LEN : 0; /* that of UDP is as long */
}

static void l4_ports(const uint8_t *p, const struct ip_pkt *ip, bool quoted, uint16_t *src_port,
		     uint16_t *dst_port)
{
	size_t left = ip->len - ip->l4_off;
	const uint8_t *l4 = p + ip->l4_off;

	*src_port = *dst_port = 0;
	if (ip->later_fragment || left < 4)
		return;
	if (ip->proto == INET_PROTO_TCP || ip->proto == INET_PROTO_UDP) {
		*src_port = get_be16(l4);
		*dst_port = get_be16(l4 + 2);
		return;
	}
	if (left < ICMP_HDR_LEN)
		return;
	switch (icmp_classify(ip, l4[0])) {
	case ICMP_ECHO:
		*src_port = *dst_port = get_be16(l4 + 4);
		break;
	case ICMP_ERROR: {
		struct ip_pkt in;

		if (quoted) /* an error about an error: nobody may send that */
			break;
		if (ip_parse_quote(l4 + ICMP_HDR_LEN, left - ICMP_HDR_LEN, &in) == 0 &&
		    in.version == ip->version)
			l4_ports(l4 + ICMP_HDR_LEN, &in, true, dst_port, src_port);
		break;
	}
	case ICMP_NOT:
	case ICMP_OTHER:
		break;
	}
}

void inet_ports(const uint8_t *pkt, const struct ip_pkt *ip, uint16_t *src_port, uint16_t *dst_port)
{
	l4_ports(pkt, ip, false, src_port, dst_port);
}

int inet_quote(const uint8_t *pkt, const struct ip_pkt *ip, struct ip_pkt *out)
{
	const uint8_t *l4 = pkt + ip->l4_off;
	size_t left = ip->len - ip->l4_off;
	struct ip_pkt in;

	if (ip->later_fragment || !left || icmp_classify(ip, l4[0]) != ICMP_ERROR)
		return -ENOMSG;
	if (left < ICMP_HDR_LEN || ip_parse_quote(l4 + ICMP_HDR_LEN, left - ICMP_HDR_LEN, &in) < 0 ||
	    in.version != ip->version)
		return -EBADMSG;
	*out = in;
	return 0;
}

size_t l4_csum_off(const struct ip_pkt *ip)
{
	switch (ip->proto) {
	case INET_PROTO_TCP:
		return 16;
	case INET_PROTO_UDP:
		return 6;
	case INET_PROTO_ICMP:
		return ip->version == 4 ? 2 : 0;
	case INET_PROTO_ICMPV6:
		return ip->version == 6 ? 2 : 0;
	default:
		return 0;
	}
}

uint64_t inet_csum_pseudo(const uint8_t *src, const uint8_t *dst, uint8_t addr_len, uint8_t proto,
			  uint32_t l4_len)
{
	uint64_t sum = csum_add(csum_add(0, src, addr_len), dst, addr_len);

	/* The same for both families: IPv4 has 16 bits of length, and the upper ones are 0 then. */
	return csum_add_be16(csum_add_be32(sum, l4_len), proto);
}

/*
 * Sum over pseudo header and @len bytes of layer 4, the checksum field as it is. ICMP of IPv4 alone
 * has no pseudo header.
 */
static uint64_t l4_sum(const uint8_t *l4, const struct ip_pkt *ip, uint32_t len)
{
	uint64_t sum = 0;

	if (ip->proto != INET_PROTO_ICMP)
		sum = inet_csum_pseudo(ip->src, ip->dst, ip->addr_len, ip->proto, len);
	return csum_add(sum, l4, len);
}

/* How much the layer-4 checksum covers; 0 if there is none or the lengths contradict each other. */
static uint32_t l4_covered(const uint8_t *l4, const struct ip_pkt *ip)
{
	uint32_t left = ip->len - ip->l4_off;
	size_t off = l4_csum_off(ip);

	if (!off || left < off + 2)
		return 0;
	if (ip->proto == INET_PROTO_UDP) {
		uint16_t len;

		if (left < 8)
			return 0;
		len = get_be16(l4 + 4);
		return len >= 8 && len <= left ? len : 0;
	}
	return left;
}

bool inet_l4_csum_ok(const uint8_t *pkt, const struct ip_pkt *ip)
{
	const uint8_t *l4 = pkt + ip->l4_off;
	uint32_t len;

	if (ip->fragment || !l4_csum_off(ip))
		return true;
	len = l4_covered(l4, ip);
	if (!len)
		return false;
	if (ip->proto == INET_PROTO_UDP && !get_be16(l4 + 6))
		return ip->version == 4; /* not computed, which IPv6 does not allow */
	return csum_fold(l4_sum(l4, ip, len)) == 0xffff;
}

void inet_l4_csum_set(uint8_t *pkt, const struct ip_pkt *ip)
{
	uint8_t *l4 = pkt + ip->l4_off;
	size_t off = l4_csum_off(ip);
	uint32_t len = ip->fragment ? 0 : l4_covered(l4, ip);
	uint16_t csum;

	if (!len)
		return;
	memset(l4 + off, 0, 2);
	csum = csum_finish(l4_sum(l4, ip, len));
	if (ip->proto == INET_PROTO_UDP && !csum)
		csum = 0xffff; /* 0 says "not computed" */
	memcpy(l4 + off, &csum, 2);
}
