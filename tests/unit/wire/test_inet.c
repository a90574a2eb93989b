/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/inet.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- packets, put together with checksums of our own ---- */

struct pkt {
	uint8_t b[2048];
	size_t len;
};

static const uint8_t v4_src[4] = {10, 7, 1, 1}, v4_dst[4] = {10, 70, 1, 5};
static const uint8_t v6_src[16] = {0xfd, 7, [15] = 1}, v6_dst[16] = {0xfd, 0x70, [15] = 5};

/* Byte by byte, another way than csum_add(). */
static uint32_t ref_sum(uint32_t sum, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t ref_l4_sum(const uint8_t *src, const uint8_t *dst, size_t addr_len, uint8_t proto,
			   const uint8_t *l4, size_t len)
{
	uint32_t sum = 0;

	if (proto != 1) {
		sum = ref_sum(sum, src, addr_len);
		sum = ref_sum(sum, dst, addr_len);
		sum += proto + (uint32_t)len;
	}
	return ref_sum(sum, l4, len);
}

static size_t csum_at(uint8_t proto)
{
	return proto == 6 ? 16 : proto == 17 ? 6 : 2;
}

static struct pkt ip4(const uint8_t *src, const uint8_t *dst, uint8_t proto, const uint8_t *l4,
		      size_t len)
{
	struct pkt p = {{0x45, 0x02, [4] = 0x12, 0x34, [8] = 61, proto}, 20 + len};
	size_t at = 20 + csum_at(proto);

	put_be16(p.b + 2, (uint16_t)p.len);
	memcpy(p.b + 12, src, 4);
	memcpy(p.b + 16, dst, 4);
	put_be16(p.b + 10, (uint16_t)~ref_sum(0, p.b, 20));
	memcpy(p.b + 20, l4, len);
	if (len > at - 20) {
		put_be16(p.b + at, 0);
		put_be16(p.b + at, (uint16_t)~ref_l4_sum(src, dst, 4, proto, p.b + 20, len));
	}
	return p;
}

static struct pkt ip6(const uint8_t *src, const uint8_t *dst, uint8_t next, const uint8_t *ext,
		      size_t ext_len, uint8_t proto, const uint8_t *l4, size_t len)
{
	struct pkt p = {{0x60, 0x20, [6] = ext_len ? next : proto, 61}, 40 + ext_len + len};
	size_t at = 40 + ext_len + csum_at(proto);

	put_be16(p.b + 4, (uint16_t)(ext_len + len));
	memcpy(p.b + 8, src, 16);
	memcpy(p.b + 24, dst, 16);
	if (ext_len)
		memcpy(p.b + 40, ext, ext_len);
	memcpy(p.b + 40 + ext_len, l4, len);
	put_be16(p.b + at, 0);
	put_be16(p.b + at, (uint16_t)~ref_l4_sum(src, dst, 16, proto, p.b + 40 + ext_len, len));
	return p;
}

/* All checksums of a packet without extension headers, options or fragments. */
static bool sums_right(const uint8_t *p, size_t len)
{
	if (p[0] >> 4 == 4)
		return ref_sum(0, p, 20) == 0xffff &&
		       ref_l4_sum(p + 12, p + 16, 4, p[9], p + 20, len - 20) == 0xffff;
	return ref_l4_sum(p + 8, p + 24, 16, p[6], p + 40, len - 40) == 0xffff;
}

/* Ports 40000 to 5201, seq 0x01020304, ack 0x05060708, timestamps, 5 bytes of data. */
static const uint8_t tcp_seg[37] = {0x9c, 0x40, 0x14, 0x51, 1, 2, 3,   4,   5,   6,   7,  8, 0x80,
				    0x18, 0x01, 0xf6, 0,    0, 0, 0,   1,   1,   8,   10, 1, 1,
				    1,    1,    2,    2,    2, 2, 'h', 'e', 'l', 'l', 'o'};
static const uint8_t udp_seg[13] = {0x9c, 0x40, 0x00, 0x35, 0, 13, 0, 0, 's', 'h', 'i', 'l', 'a'};
static const uint8_t echo4[12] = {8, 0, 0, 0, 0x77, 0x88, 0, 1, 'p', 'i', 'n', 'g'};
static const uint8_t echo6[12] = {128, 0, 0, 0, 0x77, 0x88, 0, 1, 'p', 'i', 'n', 'g'};

static struct pkt tcp4(void)
{
	return ip4(v4_src, v4_dst, 6, tcp_seg, sizeof(tcp_seg));
}

static struct pkt tcp6(void)
{
	return ip6(v6_src, v6_dst, 0, NULL, 0, 6, tcp_seg, sizeof(tcp_seg));
}

static struct pkt udp4(void)
{
	return ip4(v4_src, v4_dst, 17, udp_seg, sizeof(udp_seg));
}

static struct pkt udp6(void)
{
	return ip6(v6_src, v6_dst, 0, NULL, 0, 17, udp_seg, sizeof(udp_seg));
}

/* An ICMP error from @src to @dst that quotes the first @len bytes of a packet. */
static struct pkt error4(const uint8_t *src, const uint8_t *dst, const struct pkt *quoted,
			 size_t len)
{
	uint8_t icmp[600] = {3, 1};

	memcpy(icmp + 8, quoted->b, len);
	return ip4(src, dst, 1, icmp, 8 + len);
}

static struct pkt error6(const uint8_t *src, const uint8_t *dst, const struct pkt *quoted,
			 size_t len)
{
	uint8_t icmp[1300] = {1, 3};

	memcpy(icmp + 8, quoted->b, len);
	return ip6(src, dst, 0, NULL, 0, 58, icmp, 8 + len);
}

/* ---- parsing ---- */

static void test_parse4(void)
{
	struct pkt p = tcp4();
	struct ip_pkt ip;
	struct ip_addr a;

	CHECK("TCP over IPv4", ip_parse(p.b, p.len, &ip) == 0);
	CHECK("version, protocol", ip.version == 4 && ip.proto == 6 && ip.addr_len == 4);
	CHECK("traffic class, TTL", ip.traffic_class == 2 && ip.ttl == 61);
	CHECK("addresses", ip.src == p.b + 12 && ip.dst == p.b + 16);
	CHECK("layer 4", ip.l4_off == 20 && ip.len == p.len);
	CHECK("no fragment", !ip.fragment && !ip.later_fragment);
	a = ip_pkt_dst(&ip);
	CHECK("destination", a.len == 4 && !memcmp(a.b, v4_dst, 4));
	a = ip_pkt_src(&ip);
	CHECK("source", a.len == 4 && !memcmp(a.b, v4_src, 4));
}

/* The packet of tcp4() with up to three bytes changed. */
static void test_parse4_bad(void)
{
	static const struct {
		const char *why;
		struct {
			uint8_t at, value;
		} change[3];
		size_t len;
		int err;
	} rows[] = {
		{"version 5", {{0, 0x55}}, 57, -EPROTONOSUPPORT},
		{"version 0", {{0, 0x05}}, 57, -EPROTONOSUPPORT},
		{"19 bytes", {{3, 19}}, 19, -EBADMSG},
		{"nothing", {{0, 0x45}}, 0, -EBADMSG},
		{"header length below 20", {{0, 0x44}}, 57, -EBADMSG},
		{"header longer than the packet", {{0, 0x4f}, {3, 57}}, 57, -EBADMSG},
		{"total length one too large", {{3, 58}}, 57, -EBADMSG},
		{"total length one too small", {{3, 56}}, 57, -EBADMSG},
		{"one byte cut off", {{0, 0x45}}, 56, -EBADMSG},
		{"loose source route", {{0, 0x46}, {20, 131}, {21, 3}}, 57, -EBADMSG},
		{"strict source route behind a NOP", {{0, 0x46}, {20, 1}, {21, 137}}, 57, -EBADMSG},
		{"router alert", {{0, 0x46}, {20, 148}, {21, 4}}, 57, 0},
		{"end of options, then rubbish", {{0, 0x46}, {20, 0}, {21, 131}}, 57, 0},
		{"an option beyond the end is the receiver's problem",
		 {{0, 0x46}, {20, 148}, {21, 99}},
		 57,
		 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip_pkt ip;
		struct pkt p = tcp4();

		for (size_t k = 0; k < 3; k++)
			if (rows[i].change[k].at || rows[i].change[k].value)
				p.b[rows[i].change[k].at] = rows[i].change[k].value;
		CHECK(rows[i].why, ip_parse(p.b, rows[i].len, &ip) == rows[i].err);
	}
}

static void test_fragments4(void)
{
	static const struct {
		const char *why;
		uint16_t field;
		bool fragment, later;
	} rows[] = {
		{"whole", 0x0000, false, false}, {"don't fragment", 0x4000, false, false},
		{"first", 0x2000, true, false},  {"middle", 0x2001, true, true},
		{"last", 0x00b9, true, true},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pkt p = udp4();
		uint16_t from, to;
		struct ip_pkt ip;

		put_be16(p.b + 6, rows[i].field);
		CHECK(rows[i].why, ip_parse(p.b, p.len, &ip) == 0);
		CHECK(rows[i].why,
		      ip.fragment == rows[i].fragment && ip.later_fragment == rows[i].later);
		inet_ports(p.b, &ip, &from, &to);
		CHECK("only the first has ports",
		      rows[i].later ? !from && !to : from == 40000 && to == 53);
	}
}

static void test_parse6(void)
{
	static const struct {
		const char *why;
		uint8_t next;
		uint8_t len;
		uint8_t ext[48];
		int err;
		uint8_t proto; /* found */
		bool fragment, later;
	} rows[] = {
		{"none", 0, 0, {0}, 0, 17},
		{"hop-by-hop", 0, 8, {17, 0, 1, 4}, 0, 17},
		{"destination options of 16 bytes", 60, 16, {17, 1}, 0, 17},
		{"hop-by-hop, destination, routing without segments left",
		 0,
		 32,
		 {60, 0, [8] = 43, 0, [16] = 17, 1, 4, 0},
		 0,
		 17},
		{"authentication: counted in 4 bytes", 51, 24, {17, 4}, 0, 17},
		{"source routing", 43, 24, {17, 2, 0, 1}, -EBADMSG},
		{"fragment header of a whole packet", 44, 8, {17, 0, 0, 0, 1, 2, 3, 4}, 0, 17},
		{"its reserved bits do not count", 44, 8, {17, 0, 0, 6, 1, 2, 3, 4}, 0, 17},
		{"first fragment", 44, 8, {17, 0, 0, 1, 1, 2, 3, 4}, 0, 17, true},
		{"later fragment", 44, 8, {17, 0, 0, 8, 1, 2, 3, 4}, 0, 17, true, true},
		{"later fragment: what follows is no header",
		 44,
		 8,
		 {60, 0, 0, 8, 1, 2, 3, 4},
		 0,
		 60,
		 true,
		 true},
		{"header longer than the packet", 60, 8, {17, 200}, -EBADMSG},
		{"no next header", 0, 8, {59, 0}, 0, 59},
		{"ESP is not looked into", 0, 8, {50, 0}, 0, 50},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pkt p = ip6(v6_src, v6_dst, rows[i].next, rows[i].ext, rows[i].len, 17,
				   udp_seg, sizeof(udp_seg));
		struct ip_pkt ip = {0};
		uint16_t from, to;

		CHECK(rows[i].why, ip_parse(p.b, p.len, &ip) == rows[i].err);
		if (rows[i].err)
			continue;
		CHECK(rows[i].why,
		      ip.version == 6 && ip.addr_len == 16 && ip.proto == rows[i].proto);
		CHECK(rows[i].why, ip.l4_off == 40 + rows[i].len && ip.len == p.len);
		CHECK(rows[i].why,
		      ip.fragment == rows[i].fragment && ip.later_fragment == rows[i].later);
		CHECK("traffic class, hop limit", ip.traffic_class == 2 && ip.ttl == 61);
		CHECK("addresses", ip.src == p.b + 8 && ip.dst == p.b + 24);
		if (ip.proto == 17 && !ip.fragment)
			CHECK(rows[i].why, inet_l4_csum_ok(p.b, &ip));
		inet_ports(p.b, &ip, &from, &to);
		CHECK(rows[i].why, from == (ip.proto == 17 && !ip.later_fragment ? 40000 : 0));
	}
}

static void test_parse6_bad(void)
{
	struct pkt p = udp6();
	uint8_t chain[17 * 8];
	struct ip_pkt ip;

	CHECK("39 bytes", ip_parse(p.b, 39, &ip) == -EBADMSG);
	CHECK("one byte cut off", ip_parse(p.b, p.len - 1, &ip) == -EBADMSG);
	CHECK("one byte more", ip_parse(p.b, p.len + 1, &ip) == -EBADMSG);
	p.b[6] = 60;
	put_be16(p.b + 4, 7);
	CHECK("7 bytes of an extension header", ip_parse(p.b, 47, &ip) == -EBADMSG);
	put_be16(p.b + 4, 0);
	CHECK("no byte of it", ip_parse(p.b, 40, &ip) == -EBADMSG);
	p.b[6] = 17;
	CHECK("no layer 4 is not an error here", ip_parse(p.b, 40, &ip) == 0 && ip.l4_off == 40);
	for (size_t i = 0; i < 17; i++)
		memcpy(chain + i * 8, (uint8_t[8]){i == 16 ? 17 : 60}, 8);
	p = ip6(v6_src, v6_dst, 60, chain, sizeof(chain), 17, udp_seg, sizeof(udp_seg));
	CHECK("17 extension headers", ip_parse(p.b, p.len, &ip) == -EBADMSG);
	p = ip6(v6_src, v6_dst, 60, chain + 8, sizeof(chain) - 8, 17, udp_seg, sizeof(udp_seg));
	CHECK("16 extension headers", ip_parse(p.b, p.len, &ip) == 0 && ip.proto == 17);
}

static void test_tcp_parse(void)
{
	uint8_t seg[60];
	struct tcp_hdr h;

	CHECK("with options and data", tcp_parse(tcp_seg, sizeof(tcp_seg), &h) == 0);
	CHECK("ports", h.src_port == 40000 && h.dst_port == 5201);
	CHECK("numbers", h.seq == 0x01020304 && h.ack == 0x05060708);
	CHECK("flags, window", h.flags == (TCP_PSH | TCP_ACK) && h.window == 502 && h.urgent == 0);
	CHECK("options", h.hdr_len == 32 && h.opts_len == 12 && h.opts == tcp_seg + 20);
	memset(seg, 0xff, sizeof(seg));
	CHECK("the largest header",
	      tcp_parse(seg, 60, &h) == 0 && h.opts_len == 40 && h.urgent == 0xffff);
	CHECK("options beyond the end", tcp_parse(seg, 59, &h) == -EBADMSG);
	seg[12] = 0x5f;
	CHECK("without options", tcp_parse(seg, 20, &h) == 0 && h.hdr_len == 20 && h.opts_len == 0);
	CHECK("19 bytes", tcp_parse(seg, 19, &h) == -EBADMSG);
	seg[12] = 0x4f;
	CHECK("data offset 4", tcp_parse(seg, 60, &h) == -EBADMSG);
}

/* ---- ports ---- */

static void ports_are(const char *why, const struct pkt *p, uint16_t want_from, uint16_t want_to)
{
	uint16_t from = 1, to = 1;
	struct ip_pkt ip;

	CHECK(why, ip_parse(p->b, p->len, &ip) == 0);
	inet_ports(p->b, &ip, &from, &to);
	CHECK(why, from == want_from && to == want_to);
}

static void test_ports(void)
{
	static const uint8_t timestamp4[20] = {13, 0, 0, 0, 0x77, 0x88};
	static const uint8_t advert6[24] = {136};
	struct pkt p = tcp4(), ping4 = ip4(v4_src, v4_dst, 1, echo4, sizeof(echo4));
	struct pkt t6 = tcp6(), ping6 = ip6(v6_src, v6_dst, 0, NULL, 0, 58, echo6, sizeof(echo6));
	struct pkt e, ee;

	ports_are("TCP", &p, 40000, 5201);
	ports_are("TCP over IPv6", &t6, 40000, 5201);
	ports_are("ping", &ping4, 0x7788, 0x7788);
	ports_are("ping over IPv6", &ping6, 0x7788, 0x7788);
	e = error4(v4_dst, v4_src, &p, 28);
	ports_are("an error with 8 bytes of TCP: of the way back", &e, 5201, 40000);
	e = error4(v4_dst, v4_src, &p, 23);
	ports_are("an error with 3 bytes of TCP", &e, 0, 0);
	e = error4(v4_dst, v4_src, &p, 19);
	ports_are("an error with half an IP header", &e, 0, 0);
	e = error4(v4_dst, v4_src, &ping4, 28);
	ports_are("an error about a ping", &e, 0x7788, 0x7788);
	ee = error4(v4_dst, v4_src, &e, e.len);
	ports_are("an error about an error", &ee, 0, 0);
	e = error4(v4_dst, v4_src, &t6, t6.len);
	ports_are("ICMP that quotes IPv6", &e, 0, 0);
	e = error6(v6_dst, v6_src, &t6, 48);
	ports_are("ICMPv6 error", &e, 5201, 40000);
	e = error6(v6_dst, v6_src, &ping6, 48);
	ports_are("ICMPv6 error about a ping", &e, 0x7788, 0x7788);
	p = ip4(v4_src, v4_dst, 1, timestamp4, sizeof(timestamp4));
	ports_are("ICMP timestamp", &p, 0, 0);
	p = ip6(v6_src, v6_dst, 0, NULL, 0, 58, advert6, sizeof(advert6));
	ports_are("neighbour advertisement", &p, 0, 0);
	p = ip4(v4_src, v4_dst, 47, udp_seg, sizeof(udp_seg));
	ports_are("GRE", &p, 0, 0);
	p = ip4(v4_src, v4_dst, 58, echo6, sizeof(echo6));
	ports_are("ICMPv6 inside of IPv4 is nothing", &p, 0, 0);
	p = ip4(v4_src, v4_dst, 17, udp_seg, 3);
	ports_are("3 bytes of UDP", &p, 0, 0);
}

/* ---- checksums ---- */

static void test_csum(void)
{
	const struct {
		const char *why;
		struct pkt p;
	} rows[] = {
		{"TCP", tcp4()},
		{"TCP over IPv6", tcp6()},
		{"UDP, odd length", udp4()},
		{"UDP over IPv6", udp6()},
		{"ICMP", ip4(v4_src, v4_dst, 1, echo4, sizeof(echo4))},
		{"ICMPv6", ip6(v6_src, v6_dst, 0, NULL, 0, 58, echo6, sizeof(echo6))},
		{"TCP behind destination options",
		 ip6(v6_src, v6_dst, 60, (uint8_t[8]){6, 0, 1, 4}, 8, 6, tcp_seg, sizeof(tcp_seg))},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pkt p = rows[i].p, q = p;
		struct ip_pkt ip;

		CHECK(rows[i].why, ip_parse(p.b, p.len, &ip) == 0 && inet_l4_csum_ok(p.b, &ip));
		p.b[p.len - 1] ^= 1;
		CHECK("a bit of the data", !inet_l4_csum_ok(p.b, &ip));
		p.b[p.len - 1] ^= 1;
		if (ip.proto != INET_PROTO_ICMP) {
			p.b[ip.version == 4 ? 15 : 23] ^= 4;
			CHECK("a bit of the source address", !inet_l4_csum_ok(p.b, &ip));
			p.b[ip.version == 4 ? 15 : 23] ^= 4;
		}
		memset(p.b + ip.l4_off + csum_at(ip.proto), 0x5a, 2);
		inet_l4_csum_set(p.b, &ip);
		CHECK("set again: the same packet", !memcmp(p.b, q.b, p.len));
	}
}

static void test_csum_edge(void)
{
	struct pkt p = udp4();
	struct ip_pkt ip;

	ip_parse(p.b, p.len, &ip);
	put_be16(p.b + 26, 0);
	CHECK("UDP without checksum", inet_l4_csum_ok(p.b, &ip));
	put_be16(p.b + 24, 14);
	CHECK("UDP longer than the packet", !inet_l4_csum_ok(p.b, &ip));
	put_be16(p.b + 24, 7);
	CHECK("UDP shorter than its header", !inet_l4_csum_ok(p.b, &ip));
	put_be16(p.b + 24, 12);
	inet_l4_csum_set(p.b, &ip);
	CHECK("bytes behind UDP do not count",
	      ref_l4_sum(v4_src, v4_dst, 4, 17, p.b + 20, 12) == 0xffff);
	CHECK("nor when verified", inet_l4_csum_ok(p.b, &ip));

	p = udp6();
	ip_parse(p.b, p.len, &ip);
	put_be16(p.b + 46, 0);
	CHECK("IPv6 demands it", !inet_l4_csum_ok(p.b, &ip));
	inet_l4_csum_set(p.b, &ip);
	/* A payload that makes the sum 0xffff, so that the checksum would be 0. */
	put_be16(p.b + 48, (uint16_t)(get_be16(p.b + 48) + get_be16(p.b + 46)));
	if (ref_l4_sum(v6_src, v6_dst, 16, 17, p.b + 40, 13) != 0xffff) {
		put_be16(p.b + 46, 0);
		while (ref_l4_sum(v6_src, v6_dst, 16, 17, p.b + 40, 13) != 0xffff)
			put_be16(p.b + 48, (uint16_t)(get_be16(p.b + 48) + 1));
	}
	inet_l4_csum_set(p.b, &ip);
	CHECK("0 is sent as ffff", get_be16(p.b + 46) == 0xffff && inet_l4_csum_ok(p.b, &ip));

	p = udp4();
	put_be16(p.b + 6, 0x2000);
	p.b[30] ^= 1;
	ip_parse(p.b, p.len, &ip);
	CHECK("of a fragment nothing can be said", inet_l4_csum_ok(p.b, &ip));
	p = ip4(v4_src, v4_dst, 6, tcp_seg, 17);
	ip_parse(p.b, p.len, &ip);
	CHECK("TCP cut off in its checksum", !inet_l4_csum_ok(p.b, &ip));
	p = ip4(v4_src, v4_dst, 47, tcp_seg, 17);
	ip_parse(p.b, p.len, &ip);
	CHECK("a protocol without one that we know", inet_l4_csum_ok(p.b, &ip));
}

/* ---- rewriting ---- */

static const struct ip_addr new4_src = {4, {10, 64, 0, 9}}, new4_dst = {4, {10, 70, 0, 9}};
static const struct ip_addr new6_src = {16, {0xfd, 0x64, [14] = 0xff, 0xfe}};
static const struct ip_addr new6_dst = {16, {0xfd, 0x70, 0xab, [15] = 9}};

static int rewrite(struct pkt *p, const struct ip_addr *src, const struct ip_addr *dst)
{
	struct ip_pkt ip;

	if (ip_parse(p->b, p->len, &ip) < 0)
		return -EBADMSG;
	return inet_rewrite(p->b, &ip, src, dst);
}

static void test_rewrite(void)
{
	const struct {
		const char *why;
		struct pkt p;
	} rows[] = {
		{"TCP", tcp4()},
		{"UDP", udp4()},
		{"ICMP", ip4(v4_src, v4_dst, 1, echo4, sizeof(echo4))},
		{"TCP over IPv6", tcp6()},
		{"UDP over IPv6", udp6()},
		{"ICMPv6", ip6(v6_src, v6_dst, 0, NULL, 0, 58, echo6, sizeof(echo6))},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		bool v4 = rows[i].p.b[0] >> 4 == 4;
		size_t at = v4 ? 12 : 8, n = v4 ? 4 : 16;
		struct pkt p = rows[i].p;

		CHECK("the other family", rewrite(&p, v4 ? &new6_src : &new4_src,
						  v4 ? &new6_dst : &new4_dst) == -EAFNOSUPPORT);
		CHECK("one of each", rewrite(&p, &new4_src, &new6_dst) == -EAFNOSUPPORT);
		CHECK("then nothing changed", !memcmp(&p, &rows[i].p, sizeof(p)));
		CHECK(rows[i].why,
		      rewrite(&p, v4 ? &new4_src : &new6_src, v4 ? &new4_dst : &new6_dst) == 0);
		CHECK("source", !memcmp(p.b + at, v4 ? new4_src.b : new6_src.b, n));
		CHECK("destination", !memcmp(p.b + at + n, v4 ? new4_dst.b : new6_dst.b, n));
		CHECK("checksums", sums_right(p.b, p.len));
		p.b[p.len - 1] ^= 1;
		rewrite(&p, v4 ? &new4_dst : &new6_dst, v4 ? &new4_src : &new6_src);
		CHECK("what was wrong stays wrong", !sums_right(p.b, p.len));
	}
}

static void test_rewrite_part(void)
{
	struct pkt p, whole = udp4();
	uint8_t data[16];

	p = whole;
	put_be16(p.b + 26, 0);
	rewrite(&p, &new4_src, &new4_dst);
	CHECK("no UDP checksum: still none", get_be16(p.b + 26) == 0);
	CHECK("header checksum", ref_sum(0, p.b, 20) == 0xffff);

	/* Cut behind the UDP header: the checksum is that of the whole. */
	p = whole;
	rewrite(&whole, &new4_src, &new4_dst);
	put_be16(p.b + 6, 0x2000);
	put_be16(p.b + 2, 28);
	put_be16(p.b + 10, 0);
	put_be16(p.b + 10, (uint16_t)~ref_sum(0, p.b, 20));
	p.len = 28;
	CHECK("first fragment", rewrite(&p, &new4_src, &new4_dst) == 0);
	CHECK("its UDP checksum fits the whole packet", !memcmp(p.b + 20, whole.b + 20, 8));
	CHECK("header checksum", ref_sum(0, p.b, 20) == 0xffff);

	memset(data, 0x77, sizeof(data));
	p = ip4(v4_src, v4_dst, 17, data, sizeof(data));
	memcpy(p.b + 20, data, sizeof(data));
	put_be16(p.b + 6, 0x0001);
	put_be16(p.b + 10, 0);
	put_be16(p.b + 10, (uint16_t)~ref_sum(0, p.b, 20));
	CHECK("later fragment", rewrite(&p, &new4_src, &new4_dst) == 0);
	CHECK("no byte of its data", !memcmp(p.b + 20, data, sizeof(data)));
	CHECK("header checksum", ref_sum(0, p.b, 20) == 0xffff);

	p = ip6(v6_src, v6_dst, 0, (uint8_t[16]){60, 0, 1, 4, [8] = 6, 0, 1, 4}, 16, 6, tcp_seg,
		sizeof(tcp_seg));
	CHECK("behind extension headers", rewrite(&p, &new6_src, &new6_dst) == 0);
	CHECK("TCP checksum",
	      ref_l4_sum(p.b + 8, p.b + 24, 16, 6, p.b + 56, sizeof(tcp_seg)) == 0xffff);
	CHECK("headers unchanged", p.b[40] == 60 && p.b[48] == 6);
	p = ip6(v6_src, v6_dst, 44, (uint8_t[8]){17, 0, 0, 8}, 8, 17, data, sizeof(data));
	memcpy(p.b + 48, data, sizeof(data));
	CHECK("later fragment of IPv6", rewrite(&p, &new6_src, &new6_dst) == 0);
	CHECK("no byte of its data", !memcmp(p.b + 48, data, sizeof(data)));
	p = ip4(v4_src, v4_dst, 6, tcp_seg, 12);
	CHECK("TCP without room for a checksum", rewrite(&p, &new4_src, &new4_dst) == 0);
	CHECK("unchanged", !memcmp(p.b + 20, tcp_seg, 12));
}

static void test_rewrite_quote4(void)
{
	static const uint8_t router[4] = {192, 0, 2, 1};
	struct pkt sent = tcp4(), udp = udp4(), p, want;

	/* The server's kernel answers the client: source and destination of the quote are swapped.
	 */
	p = error4(v4_dst, v4_src, &sent, sent.len);
	CHECK("rewritten", rewrite(&p, &new4_dst, &new4_src) == 0);
	rewrite(&sent, &new4_src, &new4_dst);
	CHECK("the quote is the packet as rewritten", !memcmp(p.b + 28, sent.b, sent.len));
	want = error4(new4_dst.b, new4_src.b, &sent, sent.len);
	CHECK("the whole error as well", p.len == want.len && !memcmp(p.b, want.b, p.len));

	p = error4(v4_dst, v4_src, &udp, udp.len);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("UDP quoted", sums_right(p.b, p.len) && sums_right(p.b + 28, udp.len));

	sent = tcp4();
	p = error4(v4_dst, v4_src, &sent, 28);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("8 bytes of TCP, no checksum among them", sums_right(p.b, p.len));
	CHECK("they stay", !memcmp(p.b + 48, tcp_seg, 8));
	CHECK("quoted header checksum", ref_sum(0, p.b + 28, 20) == 0xffff);

	p = error4(router, v4_src, &sent, 28);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("from a router: the quoted source is the destination",
	      !memcmp(p.b + 40, new4_src.b, 4));
	CHECK("its destination is somebody else's", !memcmp(p.b + 44, v4_dst, 4));
	CHECK("checksums", sums_right(p.b, p.len) && ref_sum(0, p.b + 28, 20) == 0xffff);

	p = error4(v4_dst, v4_src, &sent, 19);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("half a quote is left alone",
	      !memcmp(p.b + 28, sent.b, 19) && sums_right(p.b, p.len));
	p = ip4(v4_dst, v4_src, 1, (uint8_t[4]){3, 1}, 4);
	CHECK("no quote at all", rewrite(&p, &new4_dst, &new4_src) == 0 && sums_right(p.b, p.len));

	udp = udp4();
	put_be16(udp.b + 26, 0);
	p = error4(v4_dst, v4_src, &udp, udp.len);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("quoted UDP without checksum: still none",
	      get_be16(p.b + 28 + 26) == 0 && sums_right(p.b, p.len));

	/* A ping's data that looks like a quote. */
	p = ip4(v4_dst, v4_src, 1, echo4, sizeof(echo4));
	memcpy(p.b + 28, sent.b, 28);
	p.len = 56;
	put_be16(p.b + 2, 56);
	rewrite(&p, &new4_dst, &new4_src);
	CHECK("only errors quote", !memcmp(p.b + 28, sent.b, 28));
}

static void test_rewrite_quote6(void)
{
	struct pkt sent = tcp6(), p, want;

	p = error6(v6_dst, v6_src, &sent, sent.len);
	CHECK("rewritten", rewrite(&p, &new6_dst, &new6_src) == 0);
	rewrite(&sent, &new6_src, &new6_dst);
	want = error6(new6_dst.b, new6_src.b, &sent, sent.len);
	CHECK("as if made for the new addresses", p.len == want.len && !memcmp(p.b, want.b, p.len));
	sent = tcp6();
	p = error6(v6_dst, v6_src, &sent, 48);
	rewrite(&p, &new6_dst, &new6_src);
	CHECK("8 bytes of TCP", sums_right(p.b, p.len) && !memcmp(p.b + 88, tcp_seg, 8));
	sent = ip6(v6_src, v6_dst, 44, (uint8_t[8]){17, 0, 0, 1}, 8, 17, udp_seg, sizeof(udp_seg));
	p = error6(v6_dst, v6_src, &sent, sent.len);
	rewrite(&p, &new6_dst, &new6_src);
	CHECK("a quoted first fragment", sums_right(p.b, p.len));
	CHECK("its checksum too",
	      ref_l4_sum(new6_src.b, new6_dst.b, 16, 17, p.b + 96, sizeof(udp_seg)) == 0xffff);
}

/* ---- building ---- */

static void test_build_tcp(void)
{
	static const uint8_t opts[12] = {1, 1, 8, 10, 1, 1, 1, 1, 2, 2, 2, 2};

	for (int v6 = 0; v6 < 2; v6++) {
		struct ip_addr src = v6 ? new6_src : new4_src, dst = v6 ? new6_dst : new4_dst;
		struct tcp_build b = {&src,
				      &dst,
				      40000,
				      5201,
				      0x01020304,
				      0x05060708,
				      TCP_PSH | TCP_ACK | TCP_URG,
				      502,
				      3,
				      opts,
				      12,
				      (const uint8_t *)"hello",
				      5,
				      0xb9};
		uint8_t buf[128];
		struct ip_pkt ip;
		struct tcp_hdr h;
		int n = inet_build_tcp(buf, sizeof(buf), &b);

		CHECK("length", n == (v6 ? 40 : 20) + 32 + 5);
		CHECK("valid IP", ip_parse(buf, (size_t)n, &ip) == 0 && ip.proto == 6 &&
					  ip.traffic_class == 0xb9);
		CHECK("valid TCP", tcp_parse(buf + ip.l4_off, ip.len - ip.l4_off, &h) == 0);
		CHECK("fields", h.src_port == 40000 && h.dst_port == 5201 && h.seq == 0x01020304 &&
					h.ack == 0x05060708 && h.flags == b.flags &&
					h.window == 502 && h.urgent == 3);
		CHECK("options, data",
		      !memcmp(h.opts, opts, 12) && !memcmp(buf + n - 5, "hello", 5));
		CHECK("checksums", sums_right(buf, (size_t)n));
		CHECK("exactly enough room", inet_build_tcp(buf, (size_t)n, &b) == n);
		CHECK("one byte too little", inet_build_tcp(buf, (size_t)n - 1, &b) == -EMSGSIZE);
		b.opts_len = 11;
		CHECK("half a word of options", inet_build_tcp(buf, sizeof(buf), &b) == -EMSGSIZE);
		b.opts_len = 44;
		CHECK("more options than fit", inet_build_tcp(buf, sizeof(buf), &b) == -EMSGSIZE);
		b.opts_len = 0;
		b.len = 65530;
		CHECK("more than IP can carry", inet_build_tcp(buf, 100000, &b) == -EMSGSIZE);
		b.len = 0;
		dst = v6 ? new4_dst : new6_dst;
		CHECK("two families", inet_build_tcp(buf, sizeof(buf), &b) == -EAFNOSUPPORT);
	}
}

static void test_build_rst(void)
{
	static const struct {
		const char *why;
		uint8_t flags;
		uint32_t seq, ack;
		uint8_t answer;
	} rows[] = {
		/* the segment: seq 0x01020304, ack 0x05060708, 5 bytes */
		{"SYN, with data: all of it is acknowledged", TCP_SYN, 0, 0x01020304 + 6,
		 TCP_RST | TCP_ACK},
		{"SYN/ACK", TCP_SYN | TCP_ACK, 0x05060708, 0, TCP_RST},
		{"data", TCP_ACK | TCP_PSH, 0x05060708, 0, TCP_RST},
		{"FIN without ACK", TCP_FIN, 0, 0x01020304 + 6, TCP_RST | TCP_ACK},
		{"no flags at all", 0, 0, 0x01020304 + 5, TCP_RST | TCP_ACK},
	};

	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		struct pkt p = i % 2 ? tcp6() : tcp4();
		struct ip_pkt ip, rip;
		uint8_t buf[128];
		struct tcp_hdr h;
		int n;

		p.b[(i % 2 ? 40 : 20) + 13] = rows[i / 2].flags;
		ip_parse(p.b, p.len, &ip);
		for (int reason = -1; reason < 4; reason += 4) {
			n = inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, reason);
			CHECK(rows[i / 2].why, n > 0 && ip_parse(buf, (size_t)n, &rip) == 0);
			CHECK(rows[i / 2].why,
			      tcp_parse(buf + rip.l4_off, (size_t)n - rip.l4_off, &h) == 0);
			CHECK(rows[i / 2].why,
			      h.seq == rows[i / 2].seq && h.ack == rows[i / 2].ack);
			CHECK(rows[i / 2].why, h.flags == rows[i / 2].answer);
			CHECK("back to the sender", h.src_port == 5201 && h.dst_port == 40000 &&
							    !memcmp(rip.src, ip.dst, ip.addr_len) &&
							    !memcmp(rip.dst, ip.src, ip.addr_len));
			CHECK("checksums", sums_right(buf, (size_t)n));
			if (reason < 0)
				CHECK("no option", h.opts_len == 0);
			else
				CHECK("MP_TCPRST",
				      h.opts_len == 4 && !memcmp(h.opts, "\x1e\x04\x80\x03", 4));
			CHECK("no room", inet_build_tcp_rst(buf, (size_t)n - 1, p.b, &ip, reason) ==
						 -EMSGSIZE);
		}
	}
}

static void test_build_no_rst(void)
{
	struct pkt p = tcp4();
	struct ip_pkt ip;
	uint8_t buf[128];

	ip_parse(p.b, p.len, &ip);
	p.b[33] = TCP_RST | TCP_ACK;
	CHECK("a RST is not answered",
	      inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, -1) == -ENOMSG);
	p = tcp4();
	put_be16(p.b + 6, 0x2000);
	ip_parse(p.b, p.len, &ip);
	CHECK("nor a fragment", inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, -1) == -ENOMSG);
	p = udp4();
	ip_parse(p.b, p.len, &ip);
	CHECK("nor UDP", inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, -1) == -ENOMSG);
	p = ip4(v4_src, v4_dst, 6, tcp_seg, 19);
	ip_parse(p.b, p.len, &ip);
	CHECK("nor half a header", inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, -1) == -ENOMSG);
	p = ip4(v4_src, (uint8_t[4]){224, 0, 0, 1}, 6, tcp_seg, sizeof(tcp_seg));
	ip_parse(p.b, p.len, &ip);
	CHECK("nor multicast", inet_build_tcp_rst(buf, sizeof(buf), p.b, &ip, -1) == -ENOMSG);
}

static void test_build_unreach(void)
{
	static const struct {
		const char *why;
		enum inet_unreach what;
		uint8_t code4, code6;
	} rows[] = {
		{"host", INET_UNREACH_HOST, 1, 3},
		{"prohibited", INET_UNREACH_ADMIN, 13, 1},
		{"port", INET_UNREACH_PORT, 3, 4},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct pkt p = udp4();
		struct ip_pkt ip;
		uint8_t buf[1500];
		int n;

		ip_parse(p.b, p.len, &ip);
		n = inet_build_unreach(buf, sizeof(buf), p.b, &ip, rows[i].what, &new4_src);
		CHECK(rows[i].why, n == (int)p.len + 28 && sums_right(buf, (size_t)n));
		CHECK(rows[i].why, buf[9] == 1 && buf[20] == 3 && buf[21] == rows[i].code4 &&
					   !get_be32(buf + 24));
		CHECK("from, to", !memcmp(buf + 12, new4_src.b, 4) && !memcmp(buf + 16, v4_src, 4));
		CHECK("quote", !memcmp(buf + 28, p.b, p.len));
		CHECK("no room", inet_build_unreach(buf, (size_t)n - 1, p.b, &ip, rows[i].what,
						    &new4_src) == -EMSGSIZE);
		CHECK("family", inet_build_unreach(buf, 1500, p.b, &ip, rows[i].what, &new6_src) ==
					-EAFNOSUPPORT);

		p = udp6();
		ip_parse(p.b, p.len, &ip);
		n = inet_build_unreach(buf, sizeof(buf), p.b, &ip, rows[i].what, &new6_src);
		CHECK(rows[i].why, n == (int)p.len + 48 && sums_right(buf, (size_t)n));
		CHECK(rows[i].why, buf[6] == 58 && buf[40] == 1 && buf[41] == rows[i].code6 &&
					   !get_be32(buf + 44));
		CHECK("from, to",
		      !memcmp(buf + 8, new6_src.b, 16) && !memcmp(buf + 24, v6_src, 16));
		CHECK("quote", !memcmp(buf + 48, p.b, p.len));
	}
}

static void test_build_too_big(void)
{
	static const uint8_t data[1500] = {0x9c, 0x40, 0x00, 0x35, 0x05, 0xdc};
	struct pkt p = ip4(v4_src, v4_dst, 17, data, 1500);
	struct ip_pkt ip;
	uint8_t buf[1500];
	int n;

	ip_parse(p.b, p.len, &ip);
	n = inet_build_too_big(buf, sizeof(buf), p.b, &ip, 1234, &new4_src);
	CHECK("at most 576 bytes", n == 576 && sums_right(buf, 576));
	CHECK("fragmentation needed", buf[20] == 3 && buf[21] == 4 && get_be32(buf + 24) == 1234);
	CHECK("beginning of the packet", !memcmp(buf + 28, p.b, 548));
	p = ip6(v6_src, v6_dst, 0, NULL, 0, 17, data, 1500);
	ip_parse(p.b, p.len, &ip);
	n = inet_build_too_big(buf, sizeof(buf), p.b, &ip, 1300, &new6_src);
	CHECK("at most 1280 bytes", n == 1280 && sums_right(buf, 1280));
	CHECK("packet too big", buf[40] == 2 && buf[41] == 0 && get_be32(buf + 44) == 1300);
}

static void test_build_no_icmp(void)
{
	static const uint8_t group6[16] = {0xff, 2, [15] = 1};
	struct pkt sent = udp4(), sent6 = udp6();
	const struct {
		const char *why;
		struct pkt p;
		int err;
	} rows[] = {
		{"an ICMP error", error4(v4_src, v4_dst, &sent, 28), -ENOMSG},
		{"an ICMPv6 error", error6(v6_src, v6_dst, &sent6, 48), -ENOMSG},
		{"ICMP of no byte, which might be an error", ip4(v4_src, v4_dst, 1, echo4, 0),
		 -ENOMSG},
		{"to a group", ip4(v4_src, (uint8_t[4]){239, 1, 1, 1}, 17, udp_seg, 13), -ENOMSG},
		{"to everybody", ip4(v4_src, (uint8_t[4]){255, 255, 255, 255}, 17, udp_seg, 13),
		 -ENOMSG},
		{"from nobody", ip4((uint8_t[4]){0}, v4_dst, 17, udp_seg, 13), -ENOMSG},
		{"to an IPv6 group", ip6(v6_src, group6, 0, NULL, 0, 17, udp_seg, 13), -ENOMSG},
		{"a later fragment",
		 ip6(v6_src, v6_dst, 44, (uint8_t[8]){17, 0, 0, 8}, 8, 17, udp_seg, 13), -ENOMSG},
		{"a first fragment is answered",
		 ip6(v6_src, v6_dst, 44, (uint8_t[8]){17, 0, 0, 1}, 8, 17, udp_seg, 13), 109},
		{"a ping is answered", ip4(v4_src, v4_dst, 1, echo4, sizeof(echo4)), 60},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct ip_addr *from = rows[i].p.b[0] >> 4 == 4 ? &new4_src : &new6_src;
		uint8_t buf[1500];
		struct ip_pkt ip;

		CHECK(rows[i].why, ip_parse(rows[i].p.b, rows[i].p.len, &ip) == 0);
		CHECK(rows[i].why, inet_build_unreach(buf, sizeof(buf), rows[i].p.b, &ip,
						      INET_UNREACH_HOST, from) == rows[i].err);
	}
}

const struct unit_test unit_tests[] = {
	{"IPv4", test_parse4},
	{"IPv4, malformed", test_parse4_bad},
	{"IPv4 fragments", test_fragments4},
	{"IPv6 and its extension headers", test_parse6},
	{"IPv6, malformed", test_parse6_bad},
	{"TCP", test_tcp_parse},
	{"ports", test_ports},
	{"checksums", test_csum},
	{"checksums, corner cases", test_csum_edge},
	{"addresses replaced", test_rewrite},
	{"addresses replaced in fragments and behind extension headers", test_rewrite_part},
	{"addresses replaced in ICMP errors", test_rewrite_quote4},
	{"addresses replaced in ICMPv6 errors", test_rewrite_quote6},
	{"TCP built", test_build_tcp},
	{"RST", test_build_rst},
	{"no RST", test_build_no_rst},
	{"destination unreachable", test_build_unreach},
	{"too big", test_build_too_big},
	{"no ICMP error", test_build_no_icmp},
	{0},
};
