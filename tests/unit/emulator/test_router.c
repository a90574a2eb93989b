/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/router.h"

#include "shila/base/bytes.h"
#include "shila/wire/scion.h"
#include "shila/wire/scmp.h"
#include "tests/unit/check.h"

/*
 * Leaf A (interface 41 to its parent) - core (1 and 2 to children, 3 to another core AS, 4 to a peer,
 * 5 to a parent) - leaf B (42). The master key of all is 00..0f and the hop fields are those of the
 * arithmetic in the SCION header specification's "Hop Field MAC Computation", worked out by hand:
 * core 0>1 6f33f2598167, A 41>0 a48b27ba9270, core 0>2 3db4bdf13ebf, B 42>0 b76e32848f08. That real
 * routers do the same is shown by tests/system/test_routers.py.
 */

#define NS    1000000000LL
#define NOW   (0x66000200 * NS)
#define CHECK_BYTES(why, a, hex) CHECK(why, same_hex(a, hex))

enum { IA_CORE = 0x110, IA_A = 0x111, IA_B = 0x112, EXP_S = 64 * 675 / 2 };

static struct hop_key *key;
static struct router core, leaf_a, leaf_b;

static size_t unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;

	for (; *hex; hex++) {
		unsigned int v;

		if (*hex == ' ')
			continue;
		sscanf(hex, "%2x", &v);
		out[n++] = (uint8_t)v;
		hex++;
	}
	return n;
}

static bool same_hex(const uint8_t *p, const char *hex)
{
	uint8_t want[2048];
	size_t n = unhex(hex, want);

	return !memcmp(p, want, n);
}

static struct isd_as ia(uint16_t n)
{
	return (struct isd_as){ 0x0001ff0000000000 | n };
}

static struct router make(uint16_t n, const char *host)
{
	struct router r = { .ia = ia(n), .key = key };

	ip_addr_parse(host, &r.host);
	r.control = sock_addr_make(&r.host, 30252);
	return r;
}

static void add(struct router *r, uint16_t id, enum router_link link)
{
	r->interfaces[r->num_interfaces++] = (struct router_interface){ id, link, true };
}

static void set_up(void)
{
	static const uint8_t master[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

	if (!key)
		key = hop_key_new(master, sizeof(master));
	core = make(IA_CORE, "10.0.0.1");
	add(&core, 1, ROUTER_LINK_CHILD);
	add(&core, 2, ROUTER_LINK_CHILD);
	add(&core, 3, ROUTER_LINK_CORE);
	add(&core, 4, ROUTER_LINK_PEER);
	add(&core, 5, ROUTER_LINK_PARENT);
	leaf_a = make(IA_A, "10.1.0.1");
	add(&leaf_a, 41, ROUTER_LINK_PARENT);
	leaf_b = make(IA_B, "10.2.0.1");
	add(&leaf_b, 42, ROUTER_LINK_PARENT);
}

static const char *const sent =
	"00000001 111a000d 01000000 0001ff00 00000112 0001ff00 00000111 0a020002 0a010002"
	"00002080 00007d07 66000000 01005678 66000100"
	"003f0029 0000a48b 27ba9270  003f0000 00016f33 f2598167"
	"003f0000 00023db4 bdf13ebf  003f002a 0000b76e 32848f08"
	"79187919 000db5a2 68656c6c 6f";

enum { AT_META = 36, AT_INFO = 40, AT_HOP = 56, AT_L4 = 104, SENT_LEN = 117 };

struct flight {
	uint8_t p[9000];
	size_t len;
	struct router_result res;
};

static void begin(struct flight *f)
{
	memset(f, 0, sizeof(*f));
	f->len = unhex(sent, f->p);
}

static void pass(const struct router *r, struct flight *f, uint16_t in)
{
	router_forward(r, f->p, f->len, in, NOW, &f->res);
}

/* To where the packet comes into the core AS */
static void at_core(struct flight *f)
{
	begin(f);
	pass(&leaf_a, f, ROUTER_INTERNAL);
	CHECK("leaf A sends it on", f->res.verdict == ROUTER_FORWARD && f->res.egress == 41);
}

static void test_key_and_mac(void)
{
	/* MACs of the header comment */
	static const struct {
		struct hop_mac_input in;
		const char *mac;
	} rows[] = {
		{ { 0x1234, 0x66000000, 63, 0, 1 }, "6f33f2598167" },
		{ { 0x7d07, 0x66000000, 63, 41, 0 }, "a48b27ba9270" },
		{ { 0x5678, 0x66000100, 63, 0, 2 }, "3db4bdf13ebf" },
		{ { 0x6bcc, 0x66000100, 63, 42, 0 }, "b76e32848f08" },
	};

	set_up();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t mac[HOP_MAC_LEN];

		hop_mac(key, &rows[i].in, mac);
		CHECK_BYTES("MAC", mac, rows[i].mac);
	}
}

static void test_up_and_down(void)
{
	struct flight f;

	set_up();
	at_core(&f);
	CHECK_BYTES("meta at the second hop", f.p + AT_META, "01002080");
	CHECK_BYTES("SegID as it was: the next router takes the MAC out", f.p + AT_INFO, "00007d07");
	pass(&core, &f, 1);
	CHECK("core sends it on", f.res.verdict == ROUTER_FORWARD && f.res.egress == 2);
	CHECK_BYTES("over the change of segment", f.p + AT_META, "43002080 00001234 66000000 01006bcc 66000100");
	pass(&leaf_b, &f, 42);
	CHECK("leaf B delivers", f.res.verdict == ROUTER_DELIVER && sock_addr_port(&f.res.to) == 31001);
	CHECK_BYTES("as the example says", f.p + AT_META, "43002080 00001234 66000000 01006bcc 66000100");
}

/* What the core answers to a packet that was changed on the link from leaf A, NULL: nothing */
struct wrong {
	const char *why;
	size_t at;
	const char *bytes;
	uint16_t in;
	enum router_verdict verdict;
	uint8_t type, code;
	uint16_t pointer;
};

static const struct wrong wrongs[] = {
	{ "last byte of the MAC", AT_HOP + 23, "68", 1, ROUTER_ANSWER, 4, 51, AT_HOP + 12 },
	{ "MAC of the next segment", AT_HOP + 30, "00", 1, ROUTER_ANSWER, 4, 51, AT_HOP + 24 },
	{ "another ExpTime", AT_HOP + 13, "40", 1, ROUTER_ANSWER, 4, 51, AT_HOP + 12 },
	{ "expired", AT_INFO + 4, "65000000", 1, ROUTER_ANSWER, 4, 52, AT_HOP + 12 },
	{ "expired, the next segment", AT_INFO + 12, "65000000", 1, ROUTER_ANSWER, 4, 52, AT_HOP + 24 },
	{ "came in by another link", 0, "", 2, ROUTER_ANSWER, 4, 50, AT_HOP + 12 },
	{ "PayloadLen", 6, "000e", 1, ROUTER_ANSWER, 4, 19, 0 },
	{ "source in this AS", 20, "0001ff00 00000110", 1, ROUTER_ANSWER, 4, 33, 20 },
	{ "destination in this AS, path goes on", 12, "0001ff00 00000110", 1, ROUTER_ANSWER, 4, 34, 12 },
	{ "next header", 4, "63", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_NEXT_HDR },
	{ "path type", 8, "03", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_PATH_TYPE },
	{ "CurrINF of another segment", AT_META, "41", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "CurrHF behind the end", AT_META, "04", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "a segment of one hop", AT_META, "010010c0", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "an empty segment before one", AT_META, "01000082", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "more hop fields than there are", AT_META, "01003080", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "HdrLen", 5, "ff", 1, ROUTER_DROP, 0, 0, ROUTER_DROP_MALFORMED },
	{ "from a host, in the middle of a path", 0, "", 0, ROUTER_DROP, 0, 0, ROUTER_DROP_TRANSIT },
};

static void test_wrong(void)
{
	set_up();
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *w = &wrongs[i];
		struct scmp_quote quote;
		struct flight f;

		at_core(&f);
		unhex(w->bytes, f.p + w->at);
		pass(&core, &f, w->in);
		CHECK(w->why, f.res.verdict == w->verdict);
		if (f.res.verdict == ROUTER_ANSWER) {
			const uint8_t *scmp = f.res.p + AT_L4;

			CHECK(w->why, scmp[0] == w->type && scmp[1] == w->code && get_be16(scmp + 6) == w->pointer);
			CHECK("quotes all of it", f.res.len == AT_L4 + 8 + SENT_LEN);
			CHECK("which can be read", w->code == 19 || !scmp_quote_parse(scmp + 8, SENT_LEN, &quote));
		} else {
			CHECK(w->why, f.res.drop == w->pointer);
		}
	}
}

/* An answer of the core finds its way back to the host that sent. */
static void test_answer_comes_back(void)
{
	struct scion_pkt pkt;
	struct scmp_msg m;
	struct flight f;

	set_up();
	core.interfaces[1].up = false;
	at_core(&f);
	pass(&core, &f, 1);
	CHECK("interface down", f.res.verdict == ROUTER_ANSWER);
	f.len = f.res.len;
	memcpy(f.p, f.res.scmp, f.len);
	pass(&leaf_a, &f, 41);
	CHECK("delivered by leaf A", f.res.verdict == ROUTER_DELIVER && sock_addr_port(&f.res.to) == 31000);
	CHECK("the host can read it", !scion_parse(f.p, f.len, &pkt) && !scmp_parse(&pkt, &m));
	CHECK("external interface down", m.type == SCMP_EXT_IF_DOWN && m.ia.v == core.ia.v && m.egress == 2);
}

static void traceroute(struct flight *f)
{
	begin(f);
	f->p[4] = SCION_L4_SCMP;
	memset(f->p + AT_L4, 0, 24);
	f->p[AT_L4] = SCMP_TRACEROUTE_REQUEST;
	put_be16(f->p + AT_L4 + 4, 31000);
	put_be16(f->p + AT_L4 + 6, 9);
	put_be16(f->p + 6, 24);
	f->len = AT_L4 + 24;
}

static void test_traceroute(void)
{
	static const struct {
		unsigned int hop;
		uint8_t flag;
		int routers; /* that it passes before it is answered */
		uint64_t interface;
	} rows[] = {
		/* against construction, out of A: its construction ingress */
		{ 0, 2, 0, 41 },
		{ 1, 1, 1, 1 },
		{ 2, 1, 1, 2 },
		{ 3, 2, 2, 42 },
	};
	const struct router *way[] = { &leaf_a, &core, &leaf_b };
	static const uint16_t in[] = { 0, 1, 42 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flight f;

		set_up();
		traceroute(&f);
		f.p[AT_HOP + 12 * rows[i].hop] = rows[i].flag;
		for (int k = 0; k <= rows[i].routers; k++)
			pass(way[k], &f, in[k]);
		CHECK("answered", f.res.verdict == ROUTER_ANSWER && f.res.p == f.res.scmp);
		CHECK("reply", f.res.p[AT_L4] == SCMP_TRACEROUTE_REPLY && get_be16(f.res.p + AT_L4 + 4) == 31000 &&
				       get_be16(f.res.p + AT_L4 + 6) == 9);
		CHECK("interface", get_be64(f.res.p + AT_L4 + 16) == rows[i].interface &&
					   get_be64(f.res.p + AT_L4 + 8) == way[rows[i].routers]->ia.v);
	}
	struct flight f;
	set_up();
	begin(&f);
	f.p[AT_HOP] = 2;
	pass(&leaf_a, &f, ROUTER_INTERNAL);
	CHECK("no request: the packet itself comes back", f.res.verdict == ROUTER_ANSWER && f.res.p == f.p);
	CHECK("without the flag", !f.p[AT_HOP]);
}

static void test_no_scmp_for_scmp_errors(void)
{
	struct flight f;

	set_up();
	traceroute(&f);
	f.p[AT_L4] = SCMP_EXT_IF_DOWN;
	f.p[AT_HOP + 6] ^= 1;
	pass(&leaf_a, &f, ROUTER_INTERNAL);
	CHECK("dropped", f.res.verdict == ROUTER_DROP && f.res.drop == ROUTER_DROP_SCMP_FOR_SCMP);
}

/* A path of one segment through the core, made for the test: @in and @out in construction direction */
static void through_core(struct flight *f, uint16_t in, uint16_t out, bool cons)
{
	struct hop_mac_input mac = { 0x4321, 0x66000000, 63, in, out };
	uint8_t *path = f->p + AT_META;

	begin(f);
	memmove(f->p + AT_META + 48, f->p + AT_L4, 13);
	f->p[5] = (AT_META + 48) / 4;
	put_be32(path, 1u << 24 | 3u << 12);
	unhex(cons ? "01004321 66000000" : "00004321 66000000", path + 4);
	memset(path + 12, 0x11, 36);
	path[24] = 0;
	path[25] = 63;
	put_be16(path + 26, in);
	put_be16(path + 28, out);
	hop_mac(key, &mac, path + 30);
	if (!cons) { /* what the router takes out first */
		path[6] ^= path[30];
		path[7] ^= path[31];
	}
	path[12 + 1] = path[36 + 1] = 63;
	f->len = AT_META + 48 + 13;
}

static void test_link_types(void)
{
	static const struct {
		const char *why;
		uint16_t in, out;
		bool passes;
	} rows[] = {
		{ "parent to child", 5, 1, true },	{ "child to parent", 1, 5, true },
		{ "core to core", 3, 3, true },		{ "child to peer", 1, 4, true },
		{ "peer to child", 4, 2, true },	{ "child to child in one segment", 1, 2, false },
		{ "parent to core", 5, 3, false },	{ "peer to parent", 4, 5, false },
		{ "peer to core", 4, 3, false },	{ "core to child in one segment", 3, 1, false },
	};

	set_up();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (int cons = 0; cons < 2; cons++) {
			struct flight f;

			through_core(&f, cons ? rows[i].in : rows[i].out, cons ? rows[i].out : rows[i].in, cons);
			pass(&core, &f, rows[i].in);
			if (rows[i].passes)
				CHECK(rows[i].why,
				      f.res.verdict == ROUTER_FORWARD && f.res.egress == rows[i].out);
			else
				CHECK(rows[i].why, f.res.verdict == ROUTER_ANSWER &&
							   f.res.scmp[AT_META + 48 + 1] == 48);
		}
	}
	struct flight f;
	through_core(&f, 5, 77, true);
	pass(&core, &f, 5);
	CHECK("unknown egress", f.res.verdict == ROUTER_ANSWER && f.res.scmp[AT_META + 48 + 1] == 50);
	through_core(&f, 77, 1, false);
	pass(&core, &f, 1);
	CHECK("unknown construction ingress", f.res.verdict == ROUTER_ANSWER && f.res.scmp[AT_META + 48 + 1] == 49);
}

/*
 * A peering link: the hop field there belongs to the segment as a branch, with the accumulator of the
 * hop behind it, so nobody adds its MAC.
 */
static void test_peering(void)
{
	struct hop_mac_input first = { 0x1111, 0x66000000, 63, 4, 1 }; /* core: in by the peer, out to the child */
	struct flight f;
	uint8_t *path = f.p + AT_META;

	for (int toward_peer = 0; toward_peer < 2; toward_peer++) {
		set_up();
		begin(&f);
		/* 2 + 2 hops; the core is the last of the first or the first of the second segment */
		unsigned int hop = toward_peer ? 1 : 2, inf = toward_peer ? 0 : 1;
		uint8_t *h = path + 4 + 16 + 12 * hop;

		put_be32(path, inf << 30 | hop << 24 | 2u << 12 | 2u << 6);
		unhex("02001111 66000000 03001111 66000000", path + 4);
		h[1] = 63;
		put_be16(h + 2, first.cons_ingress);
		put_be16(h + 4, first.cons_egress);
		hop_mac(key, &first, h + 6);
		pass(&core, &f, toward_peer ? 1 : 4);
		CHECK("over the peering link",
		      f.res.verdict == ROUTER_FORWARD && f.res.egress == (toward_peer ? 4 : 1));
		CHECK_BYTES("SegIDs stay", path + 4, "02001111 66000000 03001111 66000000");
		CHECK("at the next hop", (path[0] & 0x3f) == hop + 1 && path[0] >> 6 == 1);
	}
	/* away from the peering hop the rules are the usual ones */
	begin(&f);
	put_be32(path, 3u << 12 | 1u << 6);
	unhex("02001111 66000000 03001111 66000000", path + 4);
	path[0] = 0x80 | path[0];
	pass(&core, &f, 1);
	CHECK("CurrINF 2", f.res.verdict == ROUTER_DROP);
}

static void test_delivery(void)
{
	static const struct {
		const char *why;
		uint8_t next;
		const char *l4;
		int port; /* -1: dropped */
	} rows[] = {
		{ "UDP", 17, "1111222200080000", 0x2222 },
		{ "UDP cut off", 17, "11112222000800", -1 },
		{ "TCP", 6, "1111333300000000 00000000 00000000 00000000", 0x3333 },
		{ "TCP cut off", 6, "1111333300000000", -1 },
		{ "BFD", 203, "00", 30041 },
		{ "experiment", 254, "", 30041 },
		{ "echo request", 202, "80000000 11110000", 30041 },
		{ "echo reply", 202, "81000000 1111 0000", 0x1111 },
		{ "echo reply cut off", 202, "81000000 1111", -1 },
		{ "traceroute request", 202, "82000000", 30041 },
		{ "traceroute reply", 202, "83000000 11110000 0000000000000000 0000000000000000", 0x1111 },
		{ "SCMP cut off", 202, "820000", -1 },
		{ "an error that quotes nothing", 202, "05000000 0000000000000000 0000000000000000", -1 },
		{ "unknown error", 202, "07000000 0000000000000000 0000000000000000", -1 },
		{ "hop-by-hop, UDP", 200, "11000000 1111222200080000", 0x2222 },
		{ "both extensions, UDP", 200, "c9000000 11010000 00000000 1111222200080000", 0x2222 },
		{ "extension twice", 201, "c9000000 11000000 1111222200080000", -1 },
	};

	set_up();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct flight f;
		size_t n;

		begin(&f);
		unhex("43002080 00001234 66000000 01006bcc", f.p + AT_META);
		n = unhex(rows[i].l4, f.p + AT_L4);
		f.len = AT_L4 + n;
		put_be16(f.p + 6, (uint16_t)n);
		f.p[4] = rows[i].next;
		pass(&leaf_b, &f, 42);
		if (rows[i].port < 0)
			CHECK(rows[i].why, f.res.verdict == ROUTER_DROP);
		else
			CHECK(rows[i].why,
			      f.res.verdict == ROUTER_DELIVER && sock_addr_port(&f.res.to) == rows[i].port);
	}
}

/* ---- trains ---- */

struct runs {
	unsigned int num;
	struct {
		enum router_verdict verdict;
		size_t len, seg_len;
		unsigned int count;
	} run[16];
	uint8_t out[65536];
	size_t out_len;
};

static void note(void *ctx, const struct router_result *res, const uint8_t *p, size_t len, size_t seg_len,
		 unsigned int count)
{
	struct runs *r = ctx;

	r->run[r->num].verdict = res->verdict;
	r->run[r->num].len = len;
	r->run[r->num].seg_len = seg_len;
	r->run[r->num++].count = count;
	memcpy(r->out + r->out_len, p, len);
	r->out_len += len;
}

/* @count packets of the size of @f, the last @less bytes shorter, as one train */
static size_t make_train(uint8_t *p, const struct flight *f, unsigned int count, size_t less)
{
	for (unsigned int i = 0; i < count; i++)
		memcpy(p + i * f->len, f->p, f->len);
	put_be16(p + (count - 1) * f->len + 6, (uint16_t)(f->len - AT_L4 - less));
	return count * f->len - less;
}

static void test_train(void)
{
	static uint8_t train[65536], single[65536];
	static struct runs r;
	struct flight f;
	size_t len;

	set_up();
	at_core(&f);
	/* as one, with a last packet that is shorter, and what single packets would have become */
	len = make_train(train, &f, 20, 3);
	memcpy(single, train, len);
	memset(&r, 0, sizeof(r));
	router_train(&core, train, len, f.len, 1, NOW, note, &r);
	CHECK("one run", r.num == 1 && r.run[0].count == 20 && r.run[0].len == len && r.run[0].seg_len == f.len);
	for (size_t at = 0; at < len; at += f.len)
		router_forward(&core, single + at, len - at < f.len ? len - at : f.len, 1, NOW, &f.res);
	CHECK("each as if it had come alone", !memcmp(single, r.out, len));

	/* one in the middle is wrong, another has another flow id, a third another PayloadLen */
	at_core(&f);
	len = make_train(train, &f, 20, 0);
	train[5 * f.len + AT_HOP + 12 + 6] ^= 1;
	train[9 * f.len + 3] ^= 1;
	train[15 * f.len + 7] ^= 1;
	memset(&r, 0, sizeof(r));
	router_train(&core, train, len, f.len, 1, NOW, note, &r);
	CHECK("five runs", r.num == 5 && r.run[0].count == 5 && r.run[1].verdict == ROUTER_ANSWER &&
				   r.run[2].count == 9 && r.run[3].verdict == ROUTER_ANSWER && r.run[4].count == 4);

	/* ports decide at the end of the path */
	begin(&f);
	unhex("43002080 00001234 66000000 01006bcc", f.p + AT_META);
	len = make_train(train, &f, 4, 0);
	train[2 * f.len + AT_L4 + 3] ^= 1;
	memset(&r, 0, sizeof(r));
	router_train(&leaf_b, train, len, f.len, 42, NOW, note, &r);
	CHECK("three runs", r.num == 3 && r.run[0].count == 2 && r.run[1].count == 1 && r.run[2].count == 1);
}

static void test_sizes(void)
{
	struct flight f;

	set_up();
	begin(&f);
	put_be16(f.p + 6, ROUTER_MAX_PACKET - AT_L4);
	f.len = ROUTER_MAX_PACKET;
	pass(&leaf_a, &f, ROUTER_INTERNAL);
	CHECK("the largest", f.res.verdict == ROUTER_FORWARD && f.res.len == ROUTER_MAX_PACKET);
	begin(&f);
	put_be16(f.p + 6, ROUTER_MAX_PACKET + 1 - AT_L4);
	f.len = ROUTER_MAX_PACKET + 1;
	pass(&leaf_a, &f, ROUTER_INTERNAL);
	CHECK("one more: has lost a byte", f.res.verdict == ROUTER_ANSWER && f.res.scmp[AT_L4 + 1] == 19);
	CHECK("a long quote is cut", f.res.len == ROUTER_MAX_SCMP);
	for (size_t n = 0; n < SENT_LEN; n++) {
		begin(&f);
		f.len = n;
		pass(&leaf_a, &f, ROUTER_INTERNAL);
		CHECK("cut off anywhere", f.res.verdict == (n < AT_L4 ? ROUTER_DROP : ROUTER_ANSWER));
	}
}

static void test_expiry_is_exact(void)
{
	struct flight f;

	set_up();
	begin(&f);
	router_forward(&leaf_a, f.p, f.len, ROUTER_INTERNAL, (0x66000000 + EXP_S) * NS, &f.res);
	CHECK("at the last moment", f.res.verdict == ROUTER_FORWARD);
	begin(&f);
	router_forward(&leaf_a, f.p, f.len, ROUTER_INTERNAL, (0x66000000 + EXP_S) * NS + 1, &f.res);
	CHECK("behind it", f.res.verdict == ROUTER_ANSWER && f.res.scmp[AT_L4 + 1] == 52);
}

const struct unit_test unit_tests[] = {
	{ "key and MACs", test_key_and_mac },
	{ "up and down", test_up_and_down },
	{ "wrong packets", test_wrong },
	{ "an answer comes back", test_answer_comes_back },
	{ "traceroute", test_traceroute },
	{ "no SCMP for SCMP errors", test_no_scmp_for_scmp_errors },
	{ "link types", test_link_types },
	{ "peering", test_peering },
	{ "delivery", test_delivery },
	{ "trains", test_train },
	{ "sizes", test_sizes },
	{ "expiry", test_expiry_is_exact },
	{ NULL, NULL },
};
