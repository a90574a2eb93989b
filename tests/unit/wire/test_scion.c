/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion.h"

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static size_t load(const char *name, uint8_t *buf, size_t cap)
{
	int len = vector_load(name, buf, cap);

	CHECK(name, len > 0);
	return len > 0 ? (size_t)len : 0;
}

/* The header that @pkt was built from. */
static struct scion_hdr hdr_of(const struct scion_pkt *pkt)
{
	return (struct scion_hdr){
		.flow_id = pkt->flow_id,
		.traffic_class = pkt->traffic_class,
		.dst = { pkt->dst_ia, scion_pkt_dst(pkt) },
		.src = { pkt->src_ia, scion_pkt_src(pkt) },
		.path = pkt->path,
		.path_len = pkt->path_len,
		.next_hdr = pkt->l4_proto,
		.payload_len = (uint16_t)pkt->l4_len,
	};
}

struct row {
	const char *vector;
	bool arrived; /* its pointers are at the last hop */
	uint32_t flow_id;
	uint8_t traffic_class;
	const char *dst, *src;
	uint16_t path_len, src_port, dst_port;
	size_t data_len;
};

static const struct row packets[] = {
	{ "scion_one_segment_sent", false, 1, 0, "1-ff00:0:112,10.2.0.2", "1-ff00:0:111,10.1.0.2",
	  36, 31000, 31001, 5 },
	{ "scion_one_segment_delivered", true, 1, 0, "1-ff00:0:112,10.2.0.2",
	  "1-ff00:0:111,10.1.0.2", 36, 31000, 31001, 5 },
	{ "scion_up_down_sent", false, 1, 0, "1-ff00:0:112,10.2.0.2", "1-ff00:0:111,10.1.0.2", 68,
	  31000, 31001, 5 },
	{ "scion_up_down_delivered", true, 1, 0, "1-ff00:0:112,10.2.0.2", "1-ff00:0:111,10.1.0.2",
	  68, 31000, 31001, 5 },
	{ "scion_up_down_reply", false, 1, 0, "1-ff00:0:111,10.1.0.2", "1-ff00:0:112,10.2.0.2", 68,
	  31001, 31000, 5 },
	{ "scion_three_segments", true, 0xabcde, 0xb8, "65535-ffff:ffff:fffe,fd00:1:2:3:4:5:6:d",
	  "2-64513,2001:db8::c", 148, 30000, 65535, 99 },
	{ "scion_shortcut", true, 0x12345, 0, "65535-ffff:ffff:fffe,fd00:1:2:3:4:5:6:d",
	  "1-ff00:0:111,10.1.0.2", 68, 40000, 40001, 8 },
	{ "scion_peering", true, 0x54321, 0x02, "1-ff00:0:112,10.2.0.2", "2-64513,2001:db8::c", 68,
	  40002, 40003, 7 },
	{ "scion_peering_one_hop", true, 0x99999, 0, "1-ff00:0:112,10.2.0.2",
	  "1-ff00:0:111,10.1.0.2", 44, 40004, 40005, 7 },
	{ "scion_no_path", true, 0xfffff, 0xff, "1-64512,2001:db8::1", "1-64512,2001:db8::2", 0, 1,
	  2, 0 },
	{ "scion_extensions", true, 0xe5, 0, "1-ff00:0:112,10.2.0.2", "1-ff00:0:111,10.1.0.2", 36,
	  31000, 31001, 17 },
	{ "router_udp_delivered", true, 1, 0, "1-64514,10.14.0.2", "1-64513,10.13.0.2", 68, 31000,
	  31001, 38 },
	{ "router6_udp_delivered", true, 1, 0, "1-64514,fd00:14::2", "1-64513,fd00:13::2", 68,
	  31000, 31001, 38 },
	{ "golden_empty_udp", true, 0xdead, 0xb8, "1-ff00:0:111,2001:db8::68",
	  "1-ff00:0:111,10.0.0.100", 0, 1280, 80, 1024 },
	{ "golden_scion_udp", false, 0xdead, 0xb8, "1-ff00:0:111,2001:db8::68",
	  "2-ff00:0:222,10.0.0.100", 68, 1280, 80, 1024 },
	{ "golden_scion_udp_extn", false, 0xdead, 0xb8, "1-ff00:0:111,2001:db8::68",
	  "2-ff00:0:222,10.0.0.100", 68, 1280, 80, 1024 },
};

static void test_vectors(void)
{
	for (size_t i = 0; i < COUNT(packets); i++) {
		const struct row *row = &packets[i];
		uint8_t buf[2048], built[2048];
		size_t len = load(row->vector, buf, sizeof(buf));
		struct scion_addr dst, src, want_dst, want_src;
		struct scion_pkt pkt, quote;
		struct scion_udp udp;
		struct scion_hdr h;
		bool ext;
		int n;

		CHECK(row->vector, scion_parse(buf, len, &pkt) == (row->arrived ? 0 : -EBADMSG));
		CHECK("as a quote", !scion_parse_quote(buf, len, &quote));
		CHECK("the same", !row->arrived || !memcmp(&pkt, &quote, sizeof(pkt)));
		dst = (struct scion_addr){ quote.dst_ia, scion_pkt_dst(&quote) };
		src = (struct scion_addr){ quote.src_ia, scion_pkt_src(&quote) };
		CHECK("addresses of the row", !scion_addr_parse(row->dst, &want_dst) &&
						      !scion_addr_parse(row->src, &want_src));
		CHECK("destination", scion_addr_eq(&dst, &want_dst));
		CHECK("source", scion_addr_eq(&src, &want_src));
		CHECK("flow",
		      quote.flow_id == row->flow_id && quote.traffic_class == row->traffic_class);
		CHECK("path", quote.path_len == row->path_len && !quote.path == !row->path_len &&
				      quote.path_type == !!row->path_len);
		CHECK("layer 4",
		      quote.l4_proto == SCION_L4_UDP && quote.l4 + quote.l4_len == buf + len);
		CHECK("UDP", !scion_udp_parse(&quote, &udp) && udp.src_port == row->src_port &&
				     udp.dst_port == row->dst_port && udp.len == row->data_len);

		h = hdr_of(&quote);
		n = scion_udp_build(built, sizeof(built), &h, udp.src_port, udp.dst_port, udp.data,
				    udp.len);
		ext = quote.l4 != buf + quote.hdr_len;
		CHECK("built again", ext || (n == (int)len && !memcmp(built, buf, len)));
		CHECK("its length", scion_hdr_len(&h.dst, &h.src, h.path_len) == quote.hdr_len);
	}
}

/* Packets that are not to be accepted: bytes changed in a good one. */
static void test_malformed(void)
{
	static const struct {
		const char *why, *vector;
		struct {
			uint16_t at;
			uint8_t v;
		} set[3];
		int cut; /* bytes off the end, negative: on */
		int err;
	} rows[] = {
		{ "unchanged", "scion_up_down_delivered", { { 0 } }, 0, 0 },
		{ "version 1", "scion_up_down_delivered", { { 0, 0x10 } }, 0, -EBADMSG },
		{ "a byte less", "scion_up_down_delivered", { { 0 } }, 1, -EBADMSG },
		{ "a byte more", "scion_up_down_delivered", { { 0 } }, -1, -EBADMSG },
		{ "HdrLen one word more", "scion_up_down_delivered", { { 5, 27 } }, -4, -EBADMSG },
		{ "HdrLen one word less", "scion_up_down_delivered", { { 5, 25 } }, 4, -EBADMSG },
		{ "HdrLen one word more, in place",
		  "scion_up_down_delivered",
		  { { 5, 27 }, { 7, 9 } },
		  0,
		  -EBADMSG },
		{ "HdrLen inside of the path",
		  "scion_up_down_delivered",
		  { { 5, 20 }, { 7, 37 } },
		  0,
		  -EBADMSG },
		{ "HdrLen inside of the address header",
		  "scion_up_down_delivered",
		  { { 5, 8 }, { 7, 85 } },
		  0,
		  -EBADMSG },
		{ "HdrLen 0", "scion_up_down_delivered", { { 5, 0 }, { 7, 117 } }, 0, -EBADMSG },
		{ "HdrLen past the end", "scion_up_down_delivered", { { 5, 255 } }, 0, -EBADMSG },
		{ "OneHop path", "scion_up_down_delivered", { { 8, 2 } }, 0, -EPROTONOSUPPORT },
		{ "EPIC path", "scion_up_down_delivered", { { 8, 3 } }, 0, -EPROTONOSUPPORT },
		{ "path type 255", "scion_up_down_delivered", { { 8, 255 } }, 0, -EPROTONOSUPPORT },
		{ "empty path with bytes", "scion_up_down_delivered", { { 8, 0 } }, 0, -EBADMSG },
		{ "path without bytes", "scion_no_path", { { 8, 1 } }, 0, -EBADMSG },
		{ "service as destination",
		  "scion_up_down_delivered",
		  { { 9, 0x40 } },
		  0,
		  -EAFNOSUPPORT },
		{ "service as source",
		  "scion_up_down_delivered",
		  { { 9, 0x04 } },
		  0,
		  -EAFNOSUPPORT },
		{ "8-byte host", "scion_up_down_delivered", { { 9, 0x10 } }, 0, -EAFNOSUPPORT },
		{ "type 3 host", "scion_up_down_delivered", { { 9, 0x0f } }, 0, -EAFNOSUPPORT },
		{ "IPv6 said of IPv4", "scion_up_down_delivered", { { 9, 0x30 } }, 0, -EBADMSG },
		{ "both, past the header",
		  "scion_one_segment_delivered",
		  { { 5, 14 }, { 7, 29 }, { 9, 0x33 } },
		  0,
		  -EBADMSG },
		{ "reserved bits set",
		  "scion_up_down_delivered",
		  { { 10, 0xff }, { 11, 0xff } },
		  0,
		  0 },
		{ "CurrHF not the last", "scion_up_down_delivered", { { 36, 0x42 } }, 0, -EBADMSG },
		{ "CurrHF past the end", "scion_up_down_delivered", { { 36, 0x44 } }, 0, -EBADMSG },
		{ "CurrINF wrong", "scion_up_down_delivered", { { 36, 0x03 } }, 0, -EBADMSG },
		{ "segment lengths", "scion_up_down_delivered", { { 39, 0x81 } }, 0, -EBADMSG },
		{ "more hops than bytes",
		  "scion_up_down_delivered",
		  { { 36, 0x44 }, { 39, 0xc0 } },
		  0,
		  -EBADMSG },
		{ "fewer hops than bytes",
		  "scion_up_down_delivered",
		  { { 36, 0x42 }, { 39, 0x40 } },
		  0,
		  -EBADMSG },
		{ "unknown layer 4 is not looked at",
		  "scion_up_down_delivered",
		  { { 4, 99 } },
		  0,
		  0 },
		{ "hop-by-hop past the end", "scion_extensions", { { 73, 10 } }, 0, -EBADMSG },
		{ "end-to-end past the end", "scion_extensions", { { 81, 8 } }, 0, -EBADMSG },
		{ "hop-by-hop twice", "scion_extensions", { { 72, 200 } }, 0, -EBADMSG },
		{ "end-to-end twice", "scion_extensions", { { 80, 201 } }, 0, -EBADMSG },
		{ "end-to-end first",
		  "scion_extensions",
		  { { 4, 201 }, { 72, 200 } },
		  0,
		  -EBADMSG },
		{ "end-to-end only", "scion_extensions", { { 4, 201 }, { 72, 17 } }, 0, 0 },
		{ "extension fills the packet", "scion_extensions", { { 81, 7 } }, 1, -EBADMSG },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t buf[2048] = { 0 };
		size_t len = load(rows[i].vector, buf, sizeof(buf) - 16);
		struct scion_pkt pkt, was;

		for (size_t k = 0; k < COUNT(rows[i].set); k++)
			if (rows[i].set[k].at || rows[i].set[k].v)
				buf[rows[i].set[k].at] = rows[i].set[k].v;
		memset(&pkt, 0xee, sizeof(pkt));
		was = pkt;
		CHECK(rows[i].why,
		      scion_parse(buf, len - (size_t)rows[i].cut, &pkt) == rows[i].err);
		CHECK("failure leaves the output alone",
		      !rows[i].err || !memcmp(&pkt, &was, sizeof(pkt)));
	}
}

static void test_mapped(void)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	uint8_t buf[2048];
	size_t len = load("scion_no_path", buf, sizeof(buf));
	struct scion_pkt pkt;

	memcpy(buf + 28, mapped, 12);
	CHECK("mapped IPv4 as destination", scion_parse(buf, len, &pkt) == -EAFNOSUPPORT);
	load("scion_no_path", buf, sizeof(buf));
	memcpy(buf + 44, mapped, 12);
	CHECK("mapped IPv4 as source", scion_parse(buf, len, &pkt) == -EAFNOSUPPORT);
}

/* A packet may be cut anywhere, a quote anywhere behind its path. */
static void test_cut(void)
{
	for (size_t i = 0; i < COUNT(packets); i++) {
		uint8_t buf[2048];
		size_t len = load(packets[i].vector, buf, sizeof(buf));
		size_t hdr_len = 4u * buf[5];
		int wrong = 0;

		for (size_t n = 0; n < len; n++) {
			uint8_t *exact =
				malloc(n ? n : 1); /* so that a sanitizer sees a read past it */
			struct scion_pkt pkt;
			int err;

			memcpy(exact, buf, n);
			wrong += !scion_parse(exact, n, &pkt);
			err = scion_parse_quote(exact, n, &pkt);
			wrong += n < hdr_len ? !err : err != 0 || pkt.l4 + pkt.l4_len != exact + n;
			free(exact);
		}
		CHECK(packets[i].vector, !wrong);
	}
}

static void test_quote_in_extension(void)
{
	uint8_t buf[2048];
	struct scion_pkt pkt;

	load("scion_extensions", buf, sizeof(buf));
	CHECK("inside of the first",
	      !scion_parse_quote(buf, 79, &pkt) && !pkt.l4_len && pkt.l4_proto == SCION_L4_HBH);
	CHECK("behind the first",
	      !scion_parse_quote(buf, 80, &pkt) && !pkt.l4_len && pkt.l4_proto == SCION_L4_E2E);
	CHECK("behind both",
	      !scion_parse_quote(buf, 84, &pkt) && !pkt.l4_len && pkt.l4_proto == SCION_L4_UDP);
	CHECK("in the UDP header", !scion_parse_quote(buf, 88, &pkt) && pkt.l4_len == 4);
	buf[7] -= 4; /* PayloadLen less than there is: parameter problem 19 quotes such packets */
	CHECK("longer than it says", !scion_parse_quote(buf, 109, &pkt) && pkt.l4_len == 21);
}

static void test_udp(void)
{
	uint8_t buf[2048];
	size_t len = load("scion_up_down_delivered", buf, sizeof(buf));
	struct scion_pkt pkt;
	struct scion_udp udp = { .src_port = 42 };
	int accepted = 0;

	CHECK("parses", !scion_parse(buf, len, &pkt));
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			bool covered = (i >= 12 && i < 36) || i >= 104;

			buf[i] ^= (uint8_t)(1 << bit);
			if (covered && i != 108 && i != 109)
				accepted += scion_udp_parse(&pkt, &udp) != -EILSEQ;
			buf[i] ^= (uint8_t)(1 << bit);
		}
	CHECK("no covered bit may change", !accepted && udp.src_port == 42);
	pkt.l4_proto = SCION_L4_SCMP;
	CHECK("another protocol", scion_udp_parse(&pkt, &udp) == -EBADMSG);
	pkt.l4_proto = SCION_L4_UDP;
	pkt.l4_len = 7;
	CHECK("too short", scion_udp_parse(&pkt, &udp) == -EBADMSG);
	pkt.l4_len = 12;
	CHECK("length field differs", scion_udp_parse(&pkt, &udp) == -EBADMSG);
	put_be16(buf + 108, 0);
	pkt.l4_len = 13;
	CHECK("length 0 is for jumbograms", scion_udp_parse(&pkt, &udp) == -EBADMSG);
}

/* A checksum that comes out as zero is sent as ffff, and is verified like any other. */
static void test_udp_zero_sum(void)
{
	uint8_t buf[256], data[2];
	struct scion_hdr h = { .path = NULL };
	struct scion_udp udp;
	struct scion_pkt pkt;
	uint16_t csum = 0;
	int n = 0;

	scion_addr_parse("1-64512,10.0.0.1", &h.dst);
	scion_addr_parse("1-64512,10.0.0.2", &h.src);
	for (uint32_t v = 0; v < 65536 && csum != 0xffff; v++) {
		put_be16(data, (uint16_t)v);
		n = scion_udp_build(buf, sizeof(buf), &h, 1, 2, data, 2);
		csum = get_be16(buf + 42);
		CHECK("never 0", csum);
	}
	CHECK("found", csum == 0xffff);
	CHECK("parses", !scion_parse(buf, (size_t)n, &pkt) && !scion_udp_parse(&pkt, &udp));
	put_be16(buf + 42, 0);
	CHECK("minus zero is zero", !scion_udp_parse(&pkt, &udp));
	data[0] ^= 1;
	buf[44] ^= 1;
	CHECK("zero does not mean unchecked", scion_udp_parse(&pkt, &udp) == -EILSEQ);
}

static void test_build_limits(void)
{
	static uint8_t path[1024], buf[70000], data[65536];
	struct scion_hdr h = { .path = path };
	struct wr w;

	scion_addr_parse("1-64512,2001:db8::1", &h.dst);
	scion_addr_parse("1-64512,2001:db8::2", &h.src);
	w = wr_init(buf, sizeof(buf));
	h.path_len = SCION_MAX_HDR_LEN - 60;
	CHECK("the longest header", scion_build_hdr(&w, &h) == SCION_MAX_HDR_LEN && buf[5] == 255);
	h.path_len += 4;
	CHECK("one word more", scion_build_hdr(&w, &h) == -EMSGSIZE);
	h.path_len = 37;
	CHECK("not whole words", scion_build_hdr(&w, &h) == -EINVAL);
	h.path_len = 36;
	w = wr_init(buf, 95);
	CHECK("no room", scion_build_hdr(&w, &h) == -EMSGSIZE && w.left == 95);
	w = wr_init(buf, 96);
	CHECK("just room", scion_build_hdr(&w, &h) == 96 && !w.left && !w.bad);
	CHECK("longest UDP",
	      scion_udp_build(buf, sizeof(buf), &h, 1, 2, data, 65527) == 96 + 65535);
	CHECK("too long UDP",
	      scion_udp_build(buf, sizeof(buf), &h, 1, 2, data, 65528) == -EMSGSIZE);
	CHECK("no room for UDP", scion_udp_build(buf, 96 + 8, &h, 1, 2, data, 1) == -EMSGSIZE);
	CHECK("just room for UDP", scion_udp_build(buf, 96 + 9, &h, 1, 2, data, 1) == 105);
	h.src.host.len = 0;
	CHECK("no source", scion_udp_build(buf, sizeof(buf), &h, 1, 2, data, 1) == -EINVAL);
	scion_addr_parse("1-64512,::1", &h.src);
	h.src.host.b[10] = h.src.host.b[11] = 0xff;
	CHECK("mapped source", scion_udp_build(buf, sizeof(buf), &h, 1, 2, data, 1) == -EINVAL);
	scion_addr_parse("1-64512,10.0.0.1", &h.src);
	h.flow_id = 0xfff00001;
	CHECK("flow id has 20 bits",
	      scion_udp_build(buf, sizeof(buf), &h, 1, 2, NULL, 0) > 0 && get_be32(buf) == 1);
}

const struct unit_test unit_tests[] = {
	{ "vectors", test_vectors },
	{ "malformed", test_malformed },
	{ "mapped addresses", test_mapped },
	{ "cut anywhere", test_cut },
	{ "quotes", test_quote_in_extension },
	{ "UDP", test_udp },
	{ "checksum zero", test_udp_zero_sum },
	{ "limits of building", test_build_limits },
	{ 0 },
};
