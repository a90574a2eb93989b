/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/inet.h"

#include "tests/fuzz/fuzz.h"

/*
 * What the parser lets through can be rewritten and answered: the results parse, their checksums
 * are right, and rewriting neither repairs nor breaks the checksum of the packet.
 */

static uint8_t pkt[70000], out[70000];

static const struct ip_addr addrs[2][2] = {
	{{4, {192, 0, 2, 77}}, {4, {198, 51, 100, 9}}},
	{{16, {0x20, 1, 0xd, 0xb8, [15] = 1}}, {16, {0xfd, 1, [14] = 0xff, 0xff}}},
};

/* A packet of ours: valid, checksums right. */
static struct ip_pkt built(int n, const struct ip_pkt *answered)
{
	struct ip_pkt ip;

	MUST(n > 0 && !ip_parse(out, (size_t)n, &ip));
	MUST(inet_l4_csum_ok(out, &ip) && !ip.fragment);
	MUST(!memcmp(ip.dst, answered->src, ip.addr_len));
	return ip;
}

static void check_tcp(const struct ip_pkt *ip)
{
	const uint8_t *l4 = pkt + ip->l4_off;
	struct ip_addr src = ip_pkt_dst(ip), dst = ip_pkt_src(ip);
	struct tcp_hdr a, b;
	struct ip_pkt jp;
	size_t data;

	if (tcp_parse(l4, ip->len - ip->l4_off, &a))
		return;
	data = ip->len - ip->l4_off - a.hdr_len;
	struct tcp_build t = {&src,       &dst,           a.src_port, a.dst_port,       a.seq,
			      a.ack,      a.flags,        a.window,   a.urgent,         a.opts,
			      a.opts_len, l4 + a.hdr_len, data,       ip->traffic_class};
	jp = built(inet_build_tcp(out, sizeof(out), &t), ip);
	MUST(!tcp_parse(out + jp.l4_off, jp.len - jp.l4_off, &b));
	MUST(a.src_port == b.src_port && a.dst_port == b.dst_port && a.seq == b.seq &&
	     a.ack == b.ack);
	MUST(a.flags == b.flags && a.window == b.window && a.urgent == b.urgent &&
	     a.hdr_len == b.hdr_len);
	MUST(!memcmp(l4 + 20, out + jp.l4_off + 20, ip->len - ip->l4_off - 20));
	MUST(jp.traffic_class == ip->traffic_class);
}

static void check_answers(const struct ip_pkt *ip, const struct ip_addr *from)
{
	struct ip_pkt jp;
	int n = inet_build_tcp_rst(out, sizeof(out), pkt, ip, 3);
	uint16_t a, b, c, d;

	if (n > 0)
		built(n, ip);
	n = inet_build_too_big(out, sizeof(out), pkt, ip, 1280, from);
	if (n > 0)
		built(n, ip);
	n = inet_build_unreach(out, sizeof(out), pkt, ip, INET_UNREACH_ADMIN, from);
	if (n <= 0)
		return;
	jp = built(n, ip);
	inet_ports(pkt, ip, &a, &b);
	inet_ports(out, &jp, &c, &d);
	if ((size_t)n > ip->len) /* the quote is whole */
		MUST(a == d && b == c);
	MUST(inet_build_unreach(pkt, sizeof(pkt), out, &jp, INET_UNREACH_HOST, from) < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ip_pkt ip, jp;
	const struct ip_addr *to;
	uint16_t src_port, dst_port;
	bool ok;

	if (size > 65575 || ip_parse(data, size, &ip))
		return 0;
	inet_ports(data, &ip, &src_port, &dst_port); /* in memory of exactly its size */
	inet_l4_csum_ok(data, &ip);
	memcpy(pkt, data, size);
	MUST(!ip_parse(pkt, size, &ip));
	MUST(ip.l4_off <= size && ip.src >= pkt && ip.dst + ip.addr_len <= pkt + ip.l4_off);
	MUST(ip.fragment >= ip.later_fragment);

	to = addrs[ip.version == 6];
	ok = inet_l4_csum_ok(pkt, &ip);
	MUST(!inet_rewrite(pkt, &ip, &to[0], &to[1]));
	MUST(!ip_parse(pkt, size, &jp) && jp.proto == ip.proto && jp.l4_off == ip.l4_off);
	MUST(!memcmp(jp.src, to[0].b, to[0].len) && !memcmp(jp.dst, to[1].b, to[1].len));
	MUST(inet_l4_csum_ok(pkt, &jp) == ok);

	if (!ip.fragment && ok) {
		inet_l4_csum_set(pkt, &jp);
		MUST(inet_l4_csum_ok(pkt, &jp));
	}
	if (ip.proto == INET_PROTO_TCP && !ip.fragment)
		check_tcp(&jp);
	check_answers(&jp, &to[1]);
	return 0;
}
