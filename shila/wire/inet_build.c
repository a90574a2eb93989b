/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"
#include "shila/wire/inet.h"
#include "shila/wire/inet_priv.h"

#include <errno.h>

/*
 * Making inner packets and changing their addresses.
 *
 * A changed address changes the IPv4 header checksum and, by way of the pseudo header, that of layer 4.
 * Both are updated by the difference (RFC 1624), never computed anew: a packet that was wrong stays
 * wrong, and the receiver finds out. What changes inside the quote of an ICMP error also changes the
 * checksum of the ICMP message around it.
 */

#define HOP_LIMIT         64
#define ICMP_TOS          0xc0 /* internetwork control, as routers mark their errors */
#define ICMP4_MAX_LEN     576  /* RFC 1812 section 4.3.2.3 */
#define ICMP6_MAX_LEN     1280 /* RFC 4443 section 2.4 (c) */
#define OPT_MP_TCPRST_LEN 4

/* Replace @n bytes (even offset of what is summed) and add to @diff what a sum over them gains. */
static void patch(uint8_t *p, const void *now, size_t n, uint64_t *diff)
{
	*diff += (uint16_t)~csum_fold(csum_add(0, p, n));
	*diff = csum_add(*diff, now, n);
	memcpy(p, now, n);
}

/* The checksum field at @p, brought up to date with @diff; its own change is added to @outer. */
static void patch_csum(uint8_t *p, uint64_t diff, bool is_udp, uint64_t *outer)
{
	uint16_t old, now;

	memcpy(&old, p, 2);
	if (is_udp && !old)
		return; /* not computed */
	now = csum_finish((uint16_t)~old + diff);
	if (is_udp && !now)
		now = 0xffff;
	patch(p, &now, 2, outer);
}

/*
 * Replace the addresses of one IP packet, outer or quoted; NULL leaves one as it is. @l4_diff: what
 * else changed in layer 4. @outer: what this changes in a sum over the whole packet.
 */
static void rewrite_one(uint8_t *pkt, const struct ip_pkt *ip, const uint8_t *src,
			const uint8_t *dst, uint64_t l4_diff, uint64_t *outer)
{
	uint64_t diff = 0; /* of the addresses */
	size_t off = l4_csum_off(ip);

	if (src)
		patch(pkt + (ip->src - pkt), src, ip->addr_len, &diff);
	if (dst)
		patch(pkt + (ip->dst - pkt), dst, ip->addr_len, &diff);
	*outer += diff;
	if (ip->version == 4)
		patch_csum(pkt + 10, diff, false, outer);
	if (!off || ip->later_fragment || ip->len - ip->l4_off < off + 2)
		return;
	if (ip->proto != INET_PROTO_ICMP)
		l4_diff += diff;
	patch_csum(pkt + ip->l4_off + off, l4_diff, ip->proto == INET_PROTO_UDP, outer);
}

/* The quote in an ICMP error: what it calls source is the destination of the packet around it. */
static uint64_t rewrite_quote(uint8_t *pkt, const struct ip_pkt *ip, const struct ip_addr *src,
			      const struct ip_addr *dst)
{
	uint8_t *l4 = pkt + ip->l4_off;
	size_t left = ip->len - ip->l4_off;
	const uint8_t *new_src = NULL, *new_dst = NULL;
	struct ip_pkt in;
	uint64_t diff = 0;

	if (ip->later_fragment || left < ICMP_HDR_LEN || icmp_classify(ip, l4[0]) != ICMP_ERROR)
		return 0;
	if (ip_parse_quote(l4 + ICMP_HDR_LEN, left - ICMP_HDR_LEN, &in) < 0 ||
	    in.version != ip->version)
		return 0;
	if (!memcmp(in.src, ip->dst, ip->addr_len))
		new_src = dst->b;
	if (!memcmp(in.dst, ip->src, ip->addr_len))
		new_dst = src->b;
	rewrite_one(l4 + ICMP_HDR_LEN, &in, new_src, new_dst, 0, &diff);
	return diff;
}

int inet_rewrite(uint8_t *pkt, const struct ip_pkt *ip, const struct ip_addr *src,
		 const struct ip_addr *dst)
{
	uint64_t quote_diff, whole = 0;

	if (src->len != ip->addr_len || dst->len != ip->addr_len)
		return -EAFNOSUPPORT;
	quote_diff = rewrite_quote(pkt, ip, src, dst); /* compares with the addresses that were */
	rewrite_one(pkt, ip, src->b, dst->b, quote_diff, &whole);
	return 0;
}

/* IP header for @l4_len bytes of layer 4. Return: its length. */
static size_t put_ip(uint8_t *p, const uint8_t *src, const uint8_t *dst, uint8_t addr_len,
		     uint8_t proto, uint8_t traffic_class, size_t l4_len)
{
	uint16_t csum;

	if (addr_len == 16) {
		put_be32(p, 6u << 28 | (uint32_t)traffic_class << 20);
		put_be16(p + 4, (uint16_t)l4_len);
		p[6] = proto;
		p[7] = HOP_LIMIT;
		memcpy(p + 8, src, 16);
		memcpy(p + 24, dst, 16);
		return 40;
	}
	p[0] = 0x45;
	p[1] = traffic_class;
	put_be16(p + 2, (uint16_t)(20 + l4_len));
	put_be16(p + 4, 0);      /* identification: never fragmented */
	put_be16(p + 6, 0x4000); /* don't fragment */
	p[8] = HOP_LIMIT;
	p[9] = proto;
	put_be16(p + 10, 0);
	memcpy(p + 12, src, 4);
	memcpy(p + 16, dst, 4);
	csum = csum_finish(csum_add(0, p, 20));
	memcpy(p + 10, &csum, 2);
	return 20;
}

static size_t ip_hdr_len(uint8_t addr_len)
{
	return addr_len == 4 ? 20 : 40;
}

int inet_build_tcp(uint8_t *buf, size_t cap, const struct tcp_build *b)
{
	size_t tcp_len = 20u + b->opts_len + b->len;
	size_t ip_len = ip_hdr_len(b->src->len);
	uint8_t *tcp = buf + ip_len;
	uint16_t csum;

	if (b->src->len != b->dst->len || (b->src->len != 4 && b->src->len != 16))
		return -EAFNOSUPPORT;
	if (b->opts_len > 40 || b->opts_len % 4 || b->len > 65535 || ip_len + tcp_len > 65535 ||
	    ip_len + tcp_len > cap)
		return -EMSGSIZE;
	put_ip(buf, b->src->b, b->dst->b, b->src->len, INET_PROTO_TCP, b->traffic_class, tcp_len);
	put_be16(tcp, b->src_port);
	put_be16(tcp + 2, b->dst_port);
	put_be32(tcp + 4, b->seq);
	put_be32(tcp + 8, b->ack);
	tcp[12] = (uint8_t)((20 + b->opts_len) / 4 << 4);
	tcp[13] = b->flags;
	put_be16(tcp + 14, b->window);
	put_be16(tcp + 16, 0);
	put_be16(tcp + 18, b->urgent);
	if (b->opts_len)
		memcpy(tcp + 20, b->opts, b->opts_len);
	if (b->len)
		memcpy(tcp + 20 + b->opts_len, b->data, b->len);
	csum = csum_finish(csum_add(inet_csum_pseudo(b->src->b, b->dst->b, b->src->len,
						     INET_PROTO_TCP, (uint32_t)tcp_len),
				    tcp, tcp_len));
	memcpy(tcp + 16, &csum, 2);
	return (int)(ip_len + tcp_len);
}

int inet_build_tcp_rst(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		       int mptcp_reason)
{
	const uint8_t mp_tcprst[OPT_MP_TCPRST_LEN] = {30, OPT_MP_TCPRST_LEN, 8 << 4,
						      (uint8_t)mptcp_reason};
	struct ip_addr src = ip_pkt_dst(ip), dst = ip_pkt_src(ip);
	struct tcp_build b = {.src = &src, .dst = &dst, .flags = TCP_RST};
	struct tcp_hdr seg;

	if (ip->proto != INET_PROTO_TCP || ip->fragment ||
	    tcp_parse(pkt + ip->l4_off, ip->len - ip->l4_off, &seg) < 0)
		return -ENOMSG;
	if (seg.flags & TCP_RST || ip_addr_is_multicast(&src) || ip_addr_is_multicast(&dst))
		return -ENOMSG;
	b.src_port = seg.dst_port;
	b.dst_port = seg.src_port;
	if (seg.flags & TCP_ACK) {
		b.seq = seg.ack;
	} else {
		b.ack = seg.seq + (ip->len - ip->l4_off - seg.hdr_len) + !!(seg.flags & TCP_SYN) +
			!!(seg.flags & TCP_FIN);
		b.flags |= TCP_ACK;
	}
	if (mptcp_reason >= 0) {
		b.opts = mp_tcprst;
		b.opts_len = sizeof(mp_tcprst);
	}
	return inet_build_tcp(buf, cap, &b);
}

/* RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e): what no ICMP error may answer. */
static bool may_answer(const uint8_t *pkt, const struct ip_pkt *ip)
{
	struct ip_addr src = ip_pkt_src(ip), dst = ip_pkt_dst(ip);

	if (ip->later_fragment || ip_addr_is_multicast(&src) || ip_addr_is_multicast(&dst) ||
	    ip_addr_is_unspecified(&src))
		return false;
	if (ip->proto != INET_PROTO_ICMP && ip->proto != INET_PROTO_ICMPV6)
		return true;
	return ip->len > ip->l4_off && icmp_classify(ip, pkt[ip->l4_off]) != ICMP_ERROR;
}

static int build_icmp(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		      uint8_t type, uint8_t code, uint32_t rest, const struct ip_addr *from)
{
	size_t ip_len = ip_hdr_len(ip->addr_len);
	size_t max = ip->version == 4 ? ICMP4_MAX_LEN : ICMP6_MAX_LEN;
	size_t quote = ip->len;
	uint8_t *icmp = buf + ip_len;
	uint64_t sum = 0;
	uint16_t csum;

	if (from->len != ip->addr_len)
		return -EAFNOSUPPORT;
	if (!may_answer(pkt, ip))
		return -ENOMSG;
	if (quote > max - ip_len - ICMP_HDR_LEN)
		quote = max - ip_len - ICMP_HDR_LEN;
	if (ip_len + ICMP_HDR_LEN + quote > cap)
		return -EMSGSIZE;
	put_ip(buf, from->b, ip->src, ip->addr_len,
	       ip->version == 4 ? INET_PROTO_ICMP : INET_PROTO_ICMPV6,
	       ip->version == 4 ? ICMP_TOS : 0, ICMP_HDR_LEN + quote);
	icmp[0] = type;
	icmp[1] = code;
	put_be16(icmp + 2, 0);
	put_be32(icmp + 4, rest);
	memcpy(icmp + ICMP_HDR_LEN, pkt, quote);
	if (ip->version == 6)
		sum = inet_csum_pseudo(from->b, ip->src, 16, INET_PROTO_ICMPV6,
				       (uint32_t)(ICMP_HDR_LEN + quote));
	csum = csum_finish(csum_add(sum, icmp, ICMP_HDR_LEN + quote));
	memcpy(icmp + 2, &csum, 2);
	return (int)(ip_len + ICMP_HDR_LEN + quote);
}

int inet_build_unreach(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		       enum inet_unreach why, const struct ip_addr *from)
{
	/* Chosen for what Linux tells the application: EHOSTUNREACH, EHOSTUNREACH (EACCES),
	 * ECONNREFUSED. */
	static const struct {
		uint8_t code4, code6;
	} codes[] = {
		[INET_UNREACH_HOST] = {1, 3},   /* host unreachable; address unreachable */
		[INET_UNREACH_ADMIN] = {13, 1}, /* administratively prohibited */
		[INET_UNREACH_PORT] = {3, 4},
	};

	return ip->version == 4 ? build_icmp(buf, cap, pkt, ip, 3, codes[why].code4, 0, from)
				: build_icmp(buf, cap, pkt, ip, 1, codes[why].code6, 0, from);
}

int inet_build_too_big(uint8_t *buf, size_t cap, const uint8_t *pkt, const struct ip_pkt *ip,
		       uint16_t mtu, const struct ip_addr *from)
{
	return ip->version == 4 ? build_icmp(buf, cap, pkt, ip, 3, 4, mtu, from)
				: build_icmp(buf, cap, pkt, ip, 2, 0, mtu, from);
}
