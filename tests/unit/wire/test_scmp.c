/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scmp.h"

#include "shila/wire/checksum.h"
#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define IA_110                                                                                     \
	{                                                                                          \
		0x0001ff0000000110                                                                 \
	}

static const struct {
	const char *vector;
	struct scmp_msg want; /* data aside */
	size_t len;
} rows[] = {
	{ "scmp_dest_unreachable", { .type = SCMP_DEST_UNREACHABLE }, 812 },
	{ "scmp_too_big", { .type = SCMP_PACKET_TOO_BIG, .mtu = 1280 }, 812 },
	{ "scmp_path_expired",
	  { .type = SCMP_PARAMETER_PROBLEM, .code = SCMP_CODE_PATH_EXPIRED, .pointer = 0x60 },
	  300 },
	{ "scmp_ext_if_down", { .type = SCMP_EXT_IF_DOWN, .ia = IA_110, .egress = 2 }, 812 },
	{ "scmp_int_conn_down",
	  { .type = SCMP_INT_CONN_DOWN, .ia = IA_110, .ingress = 1, .egress = 2 },
	  108 },
	{ "scmp_quotes_echo", { .type = SCMP_EXT_IF_DOWN, .ia = IA_110, .egress = 2 }, 84 },
	{ "scmp_echo_request", { .type = SCMP_ECHO_REQUEST, .id = 31000, .seq = 7 }, 3 },
	{ "scmp_echo_reply", { .type = SCMP_ECHO_REPLY, .id = 31000, .seq = 65535 }, 64 },
	{ "scmp_traceroute_request",
	  { .type = SCMP_TRACEROUTE_REQUEST, .id = 31002, .seq = 3 },
	  0 },
	{ "scmp_traceroute_reply",
	  { .type = SCMP_TRACEROUTE_REPLY,
	    .id = 31002,
	    .seq = 3,
	    .ia = { 0x0001ff0000000112 },
	    .ingress = 41 },
	  0 },
};

static size_t load(const char *name, uint8_t *buf, size_t cap, struct scion_pkt *pkt)
{
	int len = vector_load(name, buf, cap);

	CHECK(name, len > 0 && !scion_parse(buf, (size_t)len, pkt));
	return len > 0 ? (size_t)len : 0;
}

static struct scion_hdr hdr_of(const struct scion_pkt *pkt)
{
	return (struct scion_hdr){
		.flow_id = pkt->flow_id,
		.traffic_class = pkt->traffic_class,
		.dst = { pkt->dst_ia, scion_pkt_dst(pkt) },
		.src = { pkt->src_ia, scion_pkt_src(pkt) },
		.path = pkt->path,
		.path_len = pkt->path_len,
	};
}

static void test_vectors(void)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct scmp_msg *want = &rows[i].want;
		uint8_t buf[2048], built[2048];
		struct scion_pkt pkt;
		struct scmp_msg m;
		size_t len = load(rows[i].vector, buf, sizeof(buf), &pkt);
		struct scion_hdr h = hdr_of(&pkt);

		CHECK(rows[i].vector,
		      !scmp_parse(&pkt, &m) && m.type == want->type && m.code == want->code);
		CHECK("error block", m.mtu == want->mtu && m.pointer == want->pointer);
		CHECK("interfaces", m.ia.v == want->ia.v && m.ingress == want->ingress &&
					    m.egress == want->egress);
		CHECK("identifier", m.id == want->id && m.seq == want->seq);
		CHECK("quote or data", m.len == rows[i].len && m.data + m.len == buf + len);
		CHECK("built again", scmp_build(built, sizeof(built), &h, &m) == (int)len &&
					     !memcmp(built, buf, len));
		CHECK("just room", scmp_build(built, len, &h, &m) == (int)len);
		CHECK("no room", scmp_build(built, len - 1, &h, &m) == -EMSGSIZE);
	}
}

static void test_quotes(void)
{
	static const struct {
		const char *vector;
		bool has_ports;
		uint8_t proto;
		uint16_t src_port, dst_port;
		uint32_t flow_id;
	} quotes[] = {
		{ "scmp_ext_if_down", true, SCION_L4_UDP, 31000, 31001, 0x77777 },
		{ "scmp_path_expired", true, SCION_L4_UDP, 31000, 31001, 0x77777 },
		{ "scmp_int_conn_down", true, SCION_L4_UDP, 31000, 31001, 0x77777 },
		{ "scmp_quotes_echo", true, SCION_L4_SCMP, 31000, 0, 0x42 },
	};
	struct scion_addr a, b;
	struct scmp_quote q;
	struct scion_pkt pkt;
	struct scmp_msg m;
	uint8_t buf[2048];

	scion_addr_parse("1-ff00:0:111,10.1.0.2", &a);
	scion_addr_parse("1-ff00:0:112,10.2.0.2", &b);
	for (size_t i = 0; i < COUNT(quotes); i++) {
		struct scion_addr src, dst;

		load(quotes[i].vector, buf, sizeof(buf), &pkt);
		CHECK(quotes[i].vector,
		      !scmp_parse(&pkt, &m) && !scmp_quote_parse(m.data, m.len, &q));
		src = (struct scion_addr){ q.pkt.src_ia, scion_pkt_src(&q.pkt) };
		dst = (struct scion_addr){ q.pkt.dst_ia, scion_pkt_dst(&q.pkt) };
		CHECK("addresses of what we sent",
		      scion_addr_eq(&src, &a) && scion_addr_eq(&dst, &b));
		CHECK("layer 4",
		      q.pkt.l4_proto == quotes[i].proto && q.has_ports == quotes[i].has_ports);
		CHECK("ports",
		      q.src_port == quotes[i].src_port && q.dst_port == quotes[i].dst_port);
		CHECK("flow", q.pkt.flow_id == quotes[i].flow_id);
	}

	load("scmp_int_conn_down", buf, sizeof(buf), &pkt);
	scmp_parse(&pkt, &m);
	CHECK("ports cut", !scmp_quote_parse(m.data, m.len - 1, &q) && !q.has_ports && !q.src_port);
	CHECK("cut behind the path", !scmp_quote_parse(m.data, 104, &q) && !q.has_ports);
	CHECK("cut in the path", scmp_quote_parse(m.data, 103, &q) == -EBADMSG);
	CHECK("no quote", scmp_quote_parse(m.data, 0, &q) == -EBADMSG);
	load("scmp_quotes_echo", buf, sizeof(buf), &pkt);
	scmp_parse(&pkt, &m);
	CHECK("identifier cut", !scmp_quote_parse(m.data, 72 + 5, &q) && !q.has_ports);
	CHECK("identifier whole", !scmp_quote_parse(m.data, 72 + 6, &q) && q.has_ports);
	buf[m.data - buf + 72] = SCMP_ECHO_REPLY;
	CHECK("a reply has no port of ours", !scmp_quote_parse(m.data, m.len, &q) && !q.has_ports);
}

/* What real routers answered to h1 (tests/vectors/capture.py), quoting what it had sent to h2. */
static void test_routers(void)
{
	static const struct {
		const char *name;
		struct scmp_msg want;
		uint16_t src_port;
	} answers[] = {
		{ "traceroute_local",
		  { .type = 131, .ia = { 0x000100000000fc01 }, .ingress = 1 },
		  0 },
		{ "traceroute_core",
		  { .type = 131, .ia = { 0x000100000000fc00 }, .ingress = 101 },
		  0 },
		{ "traceroute_far",
		  { .type = 131, .ia = { 0x000100000000fc02 }, .ingress = 103 },
		  0 },
		{ "invalid_mac", { .type = 4, .code = SCMP_CODE_INVALID_MAC }, 31000 },
		{ "path_expired", { .type = 4, .code = SCMP_CODE_PATH_EXPIRED }, 31000 },
		{ "wrong_size", { .type = 4, .code = 19 }, 31000 },
		{ "ext_if_down", { .type = 5, .ia = { 0x000100000000fc00 }, .egress = 3 }, 31000 },
		{ "ext_if_down_local",
		  { .type = 5, .ia = { 0x000100000000fc01 }, .egress = 1 },
		  31000 },
	};
	static const char *const prefixes[] = { "router_", "router6_" };

	for (size_t i = 0; i < COUNT(answers) * COUNT(prefixes); i++) {
		const struct scmp_msg *want = &answers[i / 2].want;
		uint8_t buf[2048], built[2048];
		struct scion_hdr h;
		struct scion_pkt pkt;
		struct scmp_quote q;
		struct scmp_msg m;
		char name[64];
		size_t len;

		snprintf(name, sizeof(name), "%s%s", prefixes[i % 2], answers[i / 2].name);
		len = load(name, buf, sizeof(buf), &pkt);
		CHECK(name, !scmp_parse(&pkt, &m) && m.type == want->type && m.code == want->code);
		CHECK("where", m.ia.v == want->ia.v && m.ingress == want->ingress &&
				       m.egress == want->egress);
		h = hdr_of(&pkt);
		CHECK("built again", scmp_build(built, sizeof(built), &h, &m) == (int)len &&
					     !memcmp(built, buf, len));
		if (m.type >= 128)
			continue;
		CHECK("quote", !scmp_quote_parse(m.data, m.len, &q) && q.has_ports);
		CHECK("ports", q.src_port == answers[i / 2].src_port && q.dst_port == 31001);
		CHECK("from us", q.pkt.src_ia.v == pkt.dst_ia.v && q.pkt.src_len == pkt.dst_len &&
					 !memcmp(q.pkt.src_host, pkt.dst_host, pkt.dst_len));
		CHECK("flow", q.pkt.flow_id == pkt.flow_id);
	}
}

static void test_refused(void)
{
	static const struct {
		uint8_t type;
		size_t min;
	} mins[] = {
		{ 1, 8 },   { 2, 8 },   { 4, 8 },    { 5, 20 },   { 6, 28 },
		{ 128, 8 }, { 129, 8 }, { 130, 24 }, { 131, 24 },
	};
	static const char *const no_sum[] = { "golden_scmp_dest_unreachable",
					      "golden_scmp_ext_int_down",
					      "golden_scmp_int_conn_down" };
	struct scmp_msg m = { .type = SCMP_ECHO_REQUEST, .id = 5 }, out;
	struct scion_hdr h = { .path = NULL };
	struct scion_pkt pkt;
	uint8_t buf[2048];
	int n;

	scion_addr_parse("1-64512,10.0.0.1", &h.dst);
	scion_addr_parse("1-64512,10.0.0.2", &h.src);
	for (size_t i = 0; i < COUNT(mins); i++) {
		m.type = mins[i].type;
		n = scmp_build(buf, sizeof(buf), &h, &m);
		CHECK("shortest",
		      n == 36 + (int)mins[i].min && !scion_parse(buf, (size_t)n, &pkt) &&
			      !scmp_parse(&pkt, &out) && !out.len && out.type == mins[i].type);
	}
	/* The checksum covers the length, so each cut message gets its own. */
	for (size_t i = 0; i < COUNT(mins); i++)
		for (size_t len = 0; len < mins[i].min; len++) {
			uint16_t csum;
			uint64_t sum;

			memset(buf + 36, 0, 64);
			buf[36] = mins[i].type;
			pkt.l4_len = len;
			sum = scion_csum_pseudo(pkt.addr_hdr, pkt.addr_hdr_len, (uint32_t)len,
						SCION_L4_SCMP);
			for (size_t k = 0; k + 1 < len; k += 2)
				sum = csum_add_be16(sum, get_be16(buf + 36 + k));
			sum += len % 2 ? buf[36 + len - 1] : 0;
			csum = csum_finish(sum);
			if (len >= 4)
				memcpy(buf + 38, &csum, 2);
			CHECK("too short", scmp_parse(&pkt, &out) == -EBADMSG);
		}

	for (size_t i = 0; i < COUNT(no_sum); i++) {
		int len = vector_load(no_sum[i], buf, sizeof(buf));

		CHECK(no_sum[i], len > 0 && !scion_parse_quote(buf, (size_t)len, &pkt) &&
					 scmp_parse(&pkt, &out) == -EILSEQ);
	}
	n = (int)load("scion_up_down_delivered", buf, sizeof(buf), &pkt);
	CHECK("UDP", scmp_parse(&pkt, &out) == -EBADMSG);
	m.type = 3;
	CHECK("unknown type is not built", scmp_build(buf, sizeof(buf), &h, &m) == -EINVAL);
	m.type = SCMP_ECHO_REPLY;
	h.dst.host.len = 0;
	CHECK("bad host", scmp_build(buf, sizeof(buf), &h, &m) == -EINVAL);
}

static void test_unknown_type(void)
{
	uint8_t buf[2048];
	struct scion_pkt pkt;
	struct scmp_msg out = { .id = 42 };
	uint16_t csum;

	load("scmp_echo_request", buf, sizeof(buf), &pkt);
	csum = get_be16(pkt.l4 + 2);
	buf[pkt.l4 - buf] = SCMP_ECHO_REQUEST + 0x20;
	CHECK("with a wrong checksum", scmp_parse(&pkt, &out) == -EILSEQ);
	csum = (uint16_t)(csum - 0x2000 - (csum < 0x2000)); /* one's complement */
	put_be16(buf + (pkt.l4 - buf) + 2, csum);
	CHECK("with its checksum", scmp_parse(&pkt, &out) == -ENOMSG);
	CHECK("nothing written", out.id == 42);
}

static void test_names(void)
{
	CHECK("known", !strcmp(scmp_type_str(SCMP_EXT_IF_DOWN), "external interface down"));
	CHECK("unknown", !strcmp(scmp_type_str(77), "unknown"));
	for (size_t i = 0; i < COUNT(rows); i++)
		CHECK("each type has a name", strcmp(scmp_type_str(rows[i].want.type), "unknown"));
}

const struct unit_test unit_tests[] = {
	{ "vectors", test_vectors },
	{ "quotes", test_quotes },
	{ "real routers", test_routers },
	{ "refused", test_refused },
	{ "unknown type", test_unknown_type },
	{ "names", test_names },
	{ 0 },
};
