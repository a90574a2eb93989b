/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/frame.h"

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#include <errno.h>
#include <string.h>

#define CLIENT ((struct flow_name){ 0xc7a5, 0x1b2c })
#define SERVER ((struct flow_name){ 0x223f1, 0x4d5e })

static uint8_t vec[2048], out[2048];

/* The vector and a cursor over it, behind the frame header if there is one. */
static size_t load(const char *name, struct rd *r, struct frame_hdr *h)
{
	int len = vector_load(name, vec, sizeof(vec));
	size_t n = len > 0 ? (size_t)len : 0;

	CHECK(name, n > 0);
	*r = rd_init(vec, n);
	CHECK(name, frame_parse_hdr(r, h) == 0);
	memset(out, 0xee, sizeof(out));
	return n;
}

static bool same_name(const struct flow_name *a, struct flow_name b)
{
	return a->id == b.id && a->tag == b.tag;
}

static void test_hdr(void)
{
	static const struct {
		const char *why;
		uint8_t bytes[FRAME_HDR_LEN];
		size_t len;
		int err;
	} rows[] = {
		{ "a byte is missing", { 0x16, [11] = 1 }, 11, -EBADMSG },
		{ "nothing at all", { 0 }, 0, -EBADMSG },
		{ "version 0", { 0x07, [9] = 1 }, 12, -EPROTONOSUPPORT },
		{ "version 2", { 0x27, [9] = 1 }, 12, -EPROTONOSUPPORT },
		{ "type 0", { 0x10, [9] = 1 }, 12, -ENOMSG },
		{ "type 13", { 0x1d, [9] = 1 }, 12, -ENOMSG },
		{ "DATA to index 0, which no flow has", { 0x17, [10] = 0x0f, 0xff }, 12, -EBADMSG },
		{ "ALIVE to no flow", { 0x16 }, 12, -EBADMSG },
		{ "ACCEPT to no flow", { 0x14 }, 12, -EBADMSG },
		{ "OPEN needs none", { 0x13 }, 12, 0 },
		{ "CLOSE to no flow", { 0x1b }, 12, -EBADMSG },
		{ "UNKNOWN needs none", { 0x1c }, 12, 0 },
		{ "the reserved byte and unknown flags are ignored",
		  { 0x16, 0xf0, 0, 0xff, [10] = 0x10 },
		  12,
		  0 },
	};
	struct frame_hdr h;
	struct rd r;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		r = rd_init(rows[i].bytes, rows[i].len);
		CHECK(rows[i].why, frame_parse_hdr(&r, &h) == rows[i].err);
	}
	load("frame_alive", &r, &h);
	CHECK("type", h.type == FRAME_ALIVE);
	CHECK("epoch, req, ans", h.epoch == 3 && h.req == 5 && h.ans == 77);
	CHECK("flow", same_name(&h.to, SERVER) && FLOW_ID_INDEX(h.to.id) == 34);
	CHECK("header only", r.left == 0);
}

static void test_hdr_build(void)
{
	struct frame_hdr h,
		g = { .type = FRAME_ALIVE, .epoch = 3, .req = 5, .ans = 77, .to = SERVER };
	struct wr w = wr_init(out, sizeof(out));
	struct rd r;
	size_t n = load("frame_alive", &r, &h);

	frame_build_hdr(&w, &g);
	CHECK("as in the vector", (size_t)(w.p - out) == n && !memcmp(out, vec, n));
	w = wr_init(out, FRAME_HDR_LEN - 1);
	frame_build_hdr(&w, &g);
	CHECK("no room", w.bad);
}

static void test_data(void)
{
	static const struct {
		const char *name;
		struct thin_tcp t;
		size_t payload;
	} rows[] = {
		{ "frame_data", { 305419897, 2882400002, 0x18, 40, 502, 0 }, 12 },
		{ "frame_data_urgent", { 1000, 2000, 0x30, 0, 1, 3 }, 3 },
		{ "frame_data_fin", { 4294967295, 1, 0x11, 0, 0, 0 }, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct thin_tcp *want = &rows[i].t;
		struct wr w = wr_init(out, sizeof(out));
		struct frame_hdr h;
		struct thin_tcp t;
		struct rd r;
		size_t n = load(rows[i].name, &r, &h);

		CHECK(rows[i].name, h.type == FRAME_DATA && frame_parse_thin(&r, &t) == 0);
		CHECK("seq and ack", t.seq == want->seq && t.ack == want->ack);
		CHECK("flags and window", t.flags == want->flags && t.window == want->window);
		CHECK("urgent pointer", t.urgent == want->urgent);
		CHECK("options", t.opts_len == want->opts_len && t.opts == r.p - t.opts_len);
		CHECK("the cursor is at the payload", r.left == rows[i].payload);
		CHECK("frame_thin_len() agrees",
		      FRAME_HDR_LEN + frame_thin_len(t.flags, t.opts_len) + r.left == n);
		frame_build_hdr(&w, &h);
		frame_build_thin(&w, &t);
		wr_copy(&w, r.p, r.left);
		CHECK("built again: the same bytes",
		      (size_t)(w.p - out) == n && !memcmp(out, vec, n));
	}
}

static void test_thin_bad(void)
{
	static const struct {
		const char *why;
		uint8_t bytes[16];
		size_t len;
	} rows[] = {
		{ "11 bytes", { [8] = 0x50 }, 11 },
		{ "data offset below 5", { [8] = 0x40 }, 16 },
		{ "options beyond the end", { [8] = 0x70 }, 16 },
		{ "URG without room for its pointer", { [8] = 0x50, 0x20 }, 12 },
		{ "URG and options: only room for one of them", { [8] = 0x60, 0x20 }, 16 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct rd r = rd_init(rows[i].bytes, rows[i].len);
		struct thin_tcp t;

		CHECK(rows[i].why, frame_parse_thin(&r, &t) == -EBADMSG);
	}
}

static void test_open(void)
{
	static const struct {
		const char *name;
		struct flow_name from;
		uint8_t kind, proto, epoch, addr_len;
		uint16_t mtu, src_port, dst_port, body_len;
		const char *src, *dst;
	} rows[] = {
		{ "frame_open_main4",
		  { 0xc7a5, 0x1b2c },
		  FLOW_MAIN,
		  6,
		  0,
		  4,
		  1472,
		  40000,
		  5201,
		  36,
		  "10.7.1.1",
		  "0.0.0.0" },
		{ "frame_open_sub6",
		  { 0xc7a5, 0x1b2c },
		  FLOW_SUB,
		  6,
		  2,
		  16,
		  1452,
		  40001,
		  5201,
		  44,
		  "fd07::1",
		  "fd70::5" },
		{ "frame_open_plain4",
		  { 0xc7a5, 0x1b2c },
		  FLOW_PLAIN,
		  6,
		  0,
		  4,
		  1472,
		  40002,
		  80,
		  42,
		  "10.7.1.1",
		  "10.70.1.5" },
		{ "frame_open_datagram4",
		  { 0xc7a5, 0x1b2c },
		  FLOW_DATAGRAM,
		  17,
		  0,
		  4,
		  1472,
		  40000,
		  53,
		  33,
		  "10.7.1.1",
		  "10.70.1.5" },
		{ "frame_open_datagram6",
		  { 0xc7a5, 0x1b2c },
		  FLOW_DATAGRAM,
		  58,
		  0,
		  16,
		  1472,
		  0x7788,
		  0x7788,
		  0,
		  "fd07::1",
		  "fd70::5" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct ip_addr src, dst;
		struct frame_open o;
		struct frame_hdr h;
		struct rd r;
		size_t n = load(rows[i].name, &r, &h);

		CHECK("addresses",
		      !ip_addr_parse(rows[i].src, &src) && !ip_addr_parse(rows[i].dst, &dst));
		CHECK(rows[i].name, h.type == FRAME_OPEN && frame_parse_open(&r, &o) == 0);
		CHECK("name", same_name(&o.from, rows[i].from));
		CHECK("kind, protocol", o.kind == rows[i].kind && o.proto == rows[i].proto);
		CHECK("epoch, in the frame header too",
		      o.epoch == rows[i].epoch && h.epoch == o.epoch);
		CHECK("MTU", o.path_mtu == rows[i].mtu);
		CHECK("born", o.born_ms == 40321);
		CHECK("ports", o.src_port == rows[i].src_port && o.dst_port == rows[i].dst_port);
		CHECK("source", ip_addr_eq(&o.src, &src));
		CHECK("destination", ip_addr_eq(&o.dst, &dst));
		CHECK("body", o.body_len == rows[i].body_len &&
				      o.body == vec + FRAME_OPEN_BODY_OFF(rows[i].addr_len));
		CHECK("at least as long as any ACCEPT", n >= FRAME_ACCEPT_MAX_LEN);
		CHECK("built again: as long", frame_build_open(out, sizeof(out), &o) == (int)n);
		CHECK("built again: the same bytes", !memcmp(out, vec, n));
		CHECK("exactly enough room", frame_build_open(out, n, &o) == (int)n);
		CHECK("one byte too little", frame_build_open(out, n - 1, &o) == -EMSGSIZE);
	}
}

/* Vectors with one byte changed. */
static void test_open_bad(void)
{
	static const struct {
		const char *why, *name;
		size_t at;
		uint8_t value;
	} rows[] = {
		{ "kind 0", "frame_open_main4", 20, 0 },
		{ "kind 5", "frame_open_main4", 20, 5 },
		{ "main flow that is not TCP", "frame_open_main4", 21, 17 },
		{ "datagrams that are TCP", "frame_open_datagram4", 21, 6 },
		{ "addresses of 0 bytes", "frame_open_main4", 22, 0 },
		{ "addresses of 5 bytes", "frame_open_main4", 22, 5 },
		{ "sender's index 0", "frame_open_main4", 14, 0 },
		{ "body longer than the frame", "frame_open_main4", 29, 37 },
		{ "body ends inside the options", "frame_open_main4", 29, 35 },
		{ "body without TCP header", "frame_open_main4", 29, 11 },
		{ "no body", "frame_open_main4", 29, 0 },
		{ "not a SYN", "frame_open_main4", 40 + 9, 0x10 },
		{ "a SYN/ACK", "frame_open_main4", 40 + 9, 0x12 },
		{ "SYN and RST", "frame_open_main4", 40 + 9, 0x06 },
		{ "SYN and FIN", "frame_open_main4", 40 + 9, 0x03 },
	};
	struct frame_open o;
	struct frame_hdr h;
	struct rd r;
	size_t n;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		load(rows[i].name, &r, &h);
		vec[rows[i].at] = rows[i].value;
		CHECK(rows[i].why, frame_parse_open(&r, &o) == -EBADMSG);
	}
	n = load("frame_open_datagram4", &r, &h);
	for (size_t len = FRAME_HDR_LEN; len < FRAME_OPEN_MIN_LEN; len++) {
		r = rd_init(vec + FRAME_HDR_LEN, len - FRAME_HDR_LEN);
		CHECK("less padding than the answer needs", frame_parse_open(&r, &o) == -EBADMSG);
	}
	CHECK("this vector is padded", n == FRAME_OPEN_MIN_LEN);
	load("frame_open_main4", &r, &h);
	vec[40 + 9] |= 0xc0;
	vec[30] = vec[31] = 0xff;
	CHECK("ECN set-up and reserved bytes do not matter", frame_parse_open(&r, &o) == 0);
}

static void test_accept(void)
{
	struct frame_accept a;
	struct frame_hdr h;
	struct rd r;
	size_t n = load("frame_accept", &r, &h);

	CHECK("with SYN/ACK", h.type == FRAME_ACCEPT && frame_parse_accept(&r, &a) == 0);
	CHECK("to the opener", same_name(&h.to, CLIENT));
	CHECK("from", same_name(&a.from, SERVER));
	CHECK("port", a.worker_port == 31001);
	CHECK("body", a.body_len == FRAME_THIN_LEN + 32 && a.body == vec + 20);
	CHECK("built", frame_build_accept(out, sizeof(out), &h.to, h.epoch, &a) == (int)n &&
			       !memcmp(out, vec, n));
	CHECK("no room", frame_build_accept(out, n - 1, &h.to, h.epoch, &a) == -EMSGSIZE);
	vec[20 + 9] = 0x02;
	r = rd_init(vec + FRAME_HDR_LEN, n - FRAME_HDR_LEN);
	CHECK("a SYN instead of a SYN/ACK", frame_parse_accept(&r, &a) == -EBADMSG);
	r = rd_init(vec + FRAME_HDR_LEN, 9);
	CHECK("a body of one byte", frame_parse_accept(&r, &a) == -EBADMSG);

	n = load("frame_accept_bare", &r, &h);
	CHECK("bare", frame_parse_accept(&r, &a) == 0 && a.body_len == 0 && h.epoch == 1);
	CHECK("built", frame_build_accept(out, sizeof(out), &h.to, h.epoch, &a) == (int)n &&
			       !memcmp(out, vec, n));
	a.body = out + 100;
	a.body_len = FRAME_ACCEPT_MAX_BODY + 1;
	CHECK("larger than an OPEN must be",
	      frame_build_accept(out, sizeof(out), &h.to, 0, &a) == -EMSGSIZE);
	r = rd_init(vec + FRAME_HDR_LEN, 7);
	CHECK("cut off", frame_parse_accept(&r, &a) == -EBADMSG);
	vec[18] = vec[19] = 0;
	r = rd_init(vec + FRAME_HDR_LEN, 8);
	CHECK("worker port 0", frame_parse_accept(&r, &a) == -EBADMSG);
}

static void test_end(void)
{
	struct frame_end e;
	struct frame_hdr h;
	struct rd r;
	size_t n = load("frame_reject", &r, &h);

	CHECK("REJECT", h.type == FRAME_REJECT && frame_parse_end(&r, &e) == 0);
	CHECK("no flow was made", e.from.id == 0 && e.from.tag == 0);
	CHECK("reason", e.reason == REASON_NOT_ALLOWED);
	CHECK("built", frame_build_end(out, sizeof(out), FRAME_REJECT, &h.to, &e) == (int)n &&
			       !memcmp(out, vec, n));
	CHECK("not larger than an OPEN", n <= FRAME_OPEN_MIN_LEN);
	n = load("frame_close", &r, &h);
	CHECK("CLOSE", h.type == FRAME_CLOSE && frame_parse_end(&r, &e) == 0);
	CHECK("both names", same_name(&h.to, CLIENT) && same_name(&e.from, SERVER));
	CHECK("reason", e.reason == REASON_STOPPED);
	CHECK("built", frame_build_end(out, sizeof(out), FRAME_CLOSE, &h.to, &e) == (int)n &&
			       !memcmp(out, vec, n));
	CHECK("no room", frame_build_end(out, n - 1, FRAME_CLOSE, &h.to, &e) == -EMSGSIZE);
	r = rd_init(vec + FRAME_HDR_LEN, n - FRAME_HDR_LEN - 1);
	CHECK("cut off", frame_parse_end(&r, &e) == -EBADMSG);
	for (unsigned int i = 0; i < 256; i++)
		CHECK("every reason has words", *frame_reason_str((uint8_t)i));
	CHECK("beyond the list", !strcmp(frame_reason_str(REASON_MAX), "unknown reason"));
}

static void test_hello(void)
{
	struct frame_hello p, q;
	struct frame_hdr h;
	struct rd r;
	size_t m, n = load("frame_hello", &r, &h);

	CHECK("HELLO", h.type == FRAME_HELLO && frame_parse_hello(&r, &p) == 0);
	CHECK("versions", p.min_version == 1 && p.max_version == 1 && p.features == 0);
	CHECK("ids", p.boot_id == 0x1122334455667788 && p.cookie == 0x0badcafe12345678);
	CHECK("limit", p.max_flows == 4096);
	CHECK("workers", p.num_workers == 2 && p.worker_ports[0] == 31000 &&
				 p.worker_ports[1] == 31001 && p.worker_ports[2] == 0);
	CHECK("built", frame_build_hello(out, sizeof(out), FRAME_HELLO, &p) == (int)n &&
			       !memcmp(out, vec, n));
	m = load("frame_hello_ack", &r, &h);
	CHECK("the answer is as long as the question", m == n);
	CHECK("HELLO-ACK", h.type == FRAME_HELLO_ACK && frame_parse_hello(&r, &q) == 0);
	CHECK("same cookie", q.cookie == p.cookie);
	CHECK("all workers", q.num_workers == FRAME_MAX_WORKERS && q.worker_ports[7] == 31107);
	CHECK("built", frame_build_hello(out, sizeof(out), FRAME_HELLO_ACK, &q) == (int)n &&
			       !memcmp(out, vec, n));
}

static void test_hello_bad(void)
{
	static const struct {
		const char *why;
		size_t at;
		uint8_t value;
		int err;
	} rows[] = {
		{ "version 0", 12, 0, -EBADMSG },
		{ "minimum above maximum", 12, 2, -EBADMSG },
		{ "no worker", 14, 0, -EBADMSG },
		{ "nine workers", 14, 9, -EBADMSG },
		{ "a worker without a port", 14, 3, -EBADMSG },
		{ "speaks more than we do", 13, 7, 0 },
		{ "unknown features", 16, 0xff, 0 },
		{ "something behind the last port", 55, 1, 0 },
	};
	struct frame_hello p;
	struct frame_hdr h;
	struct rd r;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		load("frame_hello", &r, &h);
		vec[rows[i].at] = rows[i].value;
		CHECK(rows[i].why, frame_parse_hello(&r, &p) == rows[i].err);
	}
	load("frame_hello", &r, &h);
	r.left--;
	CHECK("cut off", frame_parse_hello(&r, &p) == -EBADMSG);
}

static void test_probe(void)
{
	struct frame_probe p, q;
	struct frame_hdr h;
	struct rd r;
	size_t m, n = load("frame_probe", &r, &h);

	CHECK("PROBE", h.type == FRAME_PROBE && frame_parse_probe(&r, &p) == 0);
	CHECK("numbers", p.id == 0xdeadbeef && p.sent_us == 0x0001020304050607);
	CHECK("built", frame_build_probe(out, sizeof(out), FRAME_PROBE, &p) == (int)n &&
			       !memcmp(out, vec, n));
	m = load("frame_probe_reply", &r, &h);
	CHECK("PROBE-REPLY", h.type == FRAME_PROBE_REPLY && frame_parse_probe(&r, &q) == 0);
	CHECK("as long, same numbers", m == n && q.id == p.id && q.sent_us == p.sent_us);
	r = rd_init(vec + FRAME_HDR_LEN, n - FRAME_HDR_LEN - 1);
	CHECK("cut off", frame_parse_probe(&r, &p) == -EBADMSG);
}

static void test_unknown(void)
{
	struct frame_unknown u;
	struct frame_hdr h;
	struct rd r;
	size_t n = load("frame_unknown", &r, &h);

	CHECK("UNKNOWN", h.type == FRAME_UNKNOWN && frame_parse_unknown(&r, &u) == 0);
	CHECK("whom it was for", same_name(&u.addressed, SERVER));
	CHECK("from whom it came", u.scion_flow_id == 12);
	CHECK("smaller than the smallest DATA", n < FRAME_HDR_LEN + FRAME_THIN_LEN);
	CHECK("built", frame_build_unknown(out, sizeof(out), &u) == (int)n && !memcmp(out, vec, n));
	r = rd_init(vec + FRAME_HDR_LEN, n - FRAME_HDR_LEN - 1);
	CHECK("cut off", frame_parse_unknown(&r, &u) == -EBADMSG);
}

static void test_datagram(void)
{
	struct frame_hdr h;
	struct wr w;
	struct rd r;
	uint16_t id = 1;
	size_t n = load("frame_datagram", &r, &h);

	CHECK("whole", h.type == FRAME_DATAGRAM && frame_parse_datagram(&r, &h, &id) == 0);
	CHECK("the packet starts at once",
	      id == 0 && r.p == vec + 12 && r.left == n - 12 && r.p[0] == 0x45);
	w = wr_init(out, 12);
	CHECK("built", frame_build_datagram(&w, &h, 7) == 12 && !memcmp(out, vec, 12));
	load("frame_datagram_first", &r, &h);
	CHECK("first part", h.flags == FRAME_FLAG_FRAG && frame_parse_datagram(&r, &h, &id) == 0);
	CHECK("packet id", id == 0xbeef && r.left == 1200);
	load("frame_datagram_last", &r, &h);
	CHECK("second part", h.flags == (FRAME_FLAG_FRAG | FRAME_FLAG_LAST) &&
				     frame_parse_datagram(&r, &h, &id) == 0);
	CHECK("packet id", id == 0xbeef && r.left == 80);
	w = wr_init(out, 16);
	CHECK("built", frame_build_datagram(&w, &h, id) == 16 && !memcmp(out, vec, 16));
	w = wr_init(out, 15);
	CHECK("no room", frame_build_datagram(&w, &h, id) == -EMSGSIZE);
	r = rd_init(vec + 12, 4);
	CHECK("an empty part", frame_parse_datagram(&r, &h, &id) == -EBADMSG);
	r = rd_init(vec + 12, 0);
	h.flags = 0;
	CHECK("no packet", frame_parse_datagram(&r, &h, &id) == -EBADMSG);
	r = rd_init(vec + 12, 40);
	h.flags = FRAME_FLAG_LAST;
	CHECK("the last of no parts", frame_parse_datagram(&r, &h, &id) == -EBADMSG);
}

const struct unit_test unit_tests[] = {
	{ "frame header", test_hdr },  { "frame header, built", test_hdr_build },
	{ "DATA", test_data },         { "thin header, malformed", test_thin_bad },
	{ "OPEN", test_open },         { "OPEN, malformed", test_open_bad },
	{ "ACCEPT", test_accept },     { "REJECT and CLOSE", test_end },
	{ "HELLO", test_hello },       { "HELLO, malformed", test_hello_bad },
	{ "PROBE", test_probe },       { "UNKNOWN", test_unknown },
	{ "DATAGRAM", test_datagram }, { 0 },
};
