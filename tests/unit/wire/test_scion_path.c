/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/scion.h"

#include "tests/unit/check.h"
#include "tests/unit/vectors.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A path of up to three segments with these C flags whose hop fields are told apart by their bytes.
 */
static size_t make_path(uint8_t *path, const uint8_t len[3], const uint8_t cons[3], unsigned int hf)
{
	struct wr w = wr_init(path, SCION_MAX_PATH_LEN);
	unsigned int num_inf = !!len[0] + !!len[1] + !!len[2];
	unsigned int inf = (hf >= len[0]) + (hf >= len[0] + len[1]);
	uint8_t n = 1;

	wr_be32(&w, inf << 30 | hf << 24 | (uint32_t)len[0] << 12 | len[1] << 6 | len[2]);
	for (unsigned int i = 0; i < num_inf; i++) {
		wr_be16(&w, (uint16_t)(cons[i] << 8));
		wr_be16(&w, (uint16_t)(0x1100 + i));
		wr_be32(&w, 1000 + i);
	}
	for (unsigned int i = 0; i < 3; i++)
		for (unsigned int j = 0; j < len[i]; j++, n++)
			for (unsigned int k = 0; k < 12; k++)
				wr_u8(&w, k ? (uint8_t)(n + 16 * k) : 0);
	CHECK("the path fits", !w.bad);
	return SCION_MAX_PATH_LEN - w.left;
}

static void test_meta(void)
{
	static const struct {
		const char *why;
		uint8_t b[4];
		int err;
	} rows[] = {
		{ "one segment, first hop", { 0x00, 0x00, 0x20, 0x00 }, 0 },
		{ "one segment, last hop", { 0x01, 0x00, 0x20, 0x00 }, 0 },
		{ "two segments, last hop", { 0x43, 0x00, 0x20, 0x80 }, 0 },
		{ "three segments, last hop", { 0x85, 0x00, 0x20, 0x82 }, 0 },
		{ "reserved bits are ignored", { 0x01, 0xfc, 0x20, 0x00 }, 0 },
		{ "63 hops in one segment", { 0x3e, 0x03, 0xf0, 0x00 }, 0 },
		{ "64 hops", { 0x7f, 0x02, 0x08, 0x00 }, 0 },
		{ "no hop", { 0x00, 0x00, 0x00, 0x00 }, -EBADMSG },
		{ "segment 1 without segment 0", { 0x00, 0x00, 0x00, 0x80 }, -EBADMSG },
		{ "segment 2 without segment 0", { 0x00, 0x00, 0x00, 0x02 }, -EBADMSG },
		{ "segment 2 without segment 1", { 0x00, 0x00, 0x20, 0x02 }, -EBADMSG },
		{ "CurrHF past the last hop field", { 0x02, 0x00, 0x20, 0x00 }, -EBADMSG },
		{ "CurrHF past the last of two", { 0x44, 0x00, 0x20, 0x80 }, -EBADMSG },
		{ "CurrINF behind CurrHF", { 0x02, 0x00, 0x20, 0x80 }, -EBADMSG },
		{ "CurrINF ahead of CurrHF", { 0x41, 0x00, 0x20, 0x80 }, -EBADMSG },
		{ "CurrINF 1 of one segment", { 0x41, 0x00, 0x20, 0x00 }, -EBADMSG },
		{ "CurrINF 3", { 0xc5, 0x00, 0x20, 0x82 }, -EBADMSG },
		{ "65 hops: 24 + 24 + 17", { 0x00, 0x01, 0x86, 0x11 }, -EBADMSG },
		{ "189 hops", { 0x00, 0x03, 0xff, 0xff }, -EBADMSG },
	};
	struct scion_path_meta m;
	struct rd r;

	for (size_t i = 0; i < COUNT(rows); i++) {
		r = rd_init(rows[i].b, 4);
		CHECK(rows[i].why, scion_path_meta_parse(&r, &m) == rows[i].err);
	}
	r = rd_init(rows[3].b, 4);
	CHECK("fields", !scion_path_meta_parse(&r, &m) && m.curr_inf == 2 && m.curr_hf == 5 &&
				m.seg_len[0] == 2 && m.seg_len[1] == 2 && m.seg_len[2] == 2 &&
				m.num_inf == 3 && m.num_hf == 6 && r.left == 0);
	r = rd_init(rows[0].b, 3);
	CHECK("cut", scion_path_meta_parse(&r, &m) == -EBADMSG);
}

static void test_check_length(void)
{
	static const struct {
		uint8_t len[3];
		size_t want;
	} rows[] = {
		{ { 2 }, 36 },
		{ { 3 }, 48 },
		{ { 2, 2 }, 68 },
		{ { 2, 2, 2 }, 100 },
		{ { 3, 2, 3 }, 124 },
		{ { 63, 1 }, 788 },
		{ { 30, 30, 4 }, SCION_MAX_PATH_LEN },
	};
	uint8_t path[SCION_MAX_PATH_LEN + 1] = { 0 };
	struct scion_path_meta m;

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = make_path(path, rows[i].len, (uint8_t[3]){ 0 }, 0);
		int wrong = 0;

		CHECK("length", len == rows[i].want && !scion_path_check(path, len, &m));
		for (size_t n = 0; n <= sizeof(path); n++)
			wrong += n != len && scion_path_check(path, n, &m) != -EBADMSG;
		CHECK("no other length", !wrong);
	}
}

static void test_reverse_table(void)
{
	static const struct {
		const char *why;
		uint8_t len[3], cons[3], rev_len[3], rev_cons[3];
	} rows[] = {
		{ "one segment of 2", { 2 }, { 1 }, { 2 }, { 0 } },
		{ "one segment of 5", { 5 }, { 0 }, { 5 }, { 1 } },
		{ "two segments", { 2, 3 }, { 1, 0 }, { 3, 2 }, { 1, 0 } },
		{ "three segments", { 2, 4, 3 }, { 1, 0, 0 }, { 3, 4, 2 }, { 1, 1, 0 } },
		{ "64 hops", { 10, 33, 21 }, { 0, 0, 1 }, { 21, 33, 10 }, { 0, 1, 1 } },
	};
	uint8_t path[SCION_MAX_PATH_LEN], out[SCION_MAX_PATH_LEN], again[SCION_MAX_PATH_LEN];

	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned int n = rows[i].len[0] + rows[i].len[1] + rows[i].len[2];
		unsigned int num_inf = 1u + !!rows[i].len[1] + !!rows[i].len[2];

		for (unsigned int hf = 0; hf < n; hf++) {
			size_t len = make_path(path, rows[i].len, rows[i].cons, hf);
			struct scion_path_meta m, was;
			int wrong = 0;

			scion_path_check(path, len, &was);
			CHECK(rows[i].why, !scion_path_reverse(path, len, out) &&
						   !scion_path_check(out, len, &m));
			CHECK("segment lengths", !memcmp(m.seg_len, rows[i].rev_len, 3));
			CHECK("pointers",
			      m.curr_hf == n - 1 - hf && m.curr_inf == num_inf - 1 - was.curr_inf);
			for (unsigned int k = 0; k < num_inf; k++) {
				const uint8_t *from = path + 4 + 8 * (num_inf - 1 - k);

				wrong += out[4 + 8 * k] != rows[i].rev_cons[k];
				wrong += memcmp(out + 4 + 8 * k + 1, from + 1, 7) != 0;
			}
			for (unsigned int k = 0; k < n; k++)
				wrong += memcmp(out + len - 12 * (k + 1),
						path + len - 12 * n + 12 * k, 12) != 0;
			CHECK("info and hop fields", !wrong);
			CHECK("twice is the same",
			      !scion_path_reverse(out, len, again) && !memcmp(path, again, len));
		}
	}
}

/* Path bytes of a vector; any pointer position. */
static size_t vector_path(const char *name, uint8_t *buf, size_t cap, const uint8_t **path)
{
	struct scion_pkt pkt;
	int len = vector_load(name, buf, cap);

	CHECK(name, len > 0 && !scion_parse_quote(buf, (size_t)len, &pkt));
	*path = pkt.path;
	return pkt.path_len;
}

static void test_reverse_vectors(void)
{
	uint8_t buf_a[2048], buf_b[2048], out[SCION_MAX_PATH_LEN], in[SCION_MAX_PATH_LEN];
	const uint8_t *delivered, *reply;
	size_t len = vector_path("scion_up_down_delivered", buf_a, sizeof(buf_a), &delivered);
	size_t reply_len = vector_path("scion_up_down_reply", buf_b, sizeof(buf_b), &reply);

	CHECK("the reply's path is the delivered one reversed",
	      len == reply_len && !scion_path_reverse(delivered, len, out) &&
		      !memcmp(out, reply, len));
	for (uint8_t hf = 0; hf < 4; hf++) { /* as if it had been received anywhere on its way */
		memcpy(in, delivered, len);
		in[0] = (uint8_t)((hf >= 2) << 6 | hf);
		CHECK("reverses", !scion_path_reverse(in, len, out));
		CHECK("pointers", out[0] == (uint8_t)((hf < 2) << 6 | (3 - hf)));
		CHECK("the rest does not depend on them", !memcmp(out + 1, reply + 1, len - 1));
	}
	memcpy(in, delivered, len);
	in[len - 12] |= 0x03;
	in[len - 24] |= 0x01;
	CHECK("router alert bits go",
	      !scion_path_reverse(in, len, out) && !memcmp(out, reply, len));
	in[0] = 0x44;
	memset(out, 0xee, sizeof(out));
	CHECK("bad pointer", scion_path_reverse(in, len, out) == -EBADMSG && out[0] == 0xee);
	CHECK("cut", scion_path_reverse(delivered, len - 1, out) == -EBADMSG);
	CHECK("nothing", scion_path_reverse(delivered, 0, out) == -EBADMSG);
}

/*
 * The far router's answer came back on the reversed path: ours differs from it only in pointers and
 * SegIDs, which have moved on its way.
 */
static void test_reverse_routers(void)
{
	static const char *const prefixes[] = { "router", "router6" };

	for (size_t i = 0; i < COUNT(prefixes); i++) {
		uint8_t buf_a[2048], buf_b[2048], out[SCION_MAX_PATH_LEN];
		const uint8_t *delivered, *answer;
		char name[64];
		size_t len;

		snprintf(name, sizeof(name), "%s_echo_delivered", prefixes[i]);
		len = vector_path(name, buf_a, sizeof(buf_a), &delivered);
		snprintf(name, sizeof(name), "%s_traceroute_far", prefixes[i]);
		CHECK("equally long", vector_path(name, buf_b, sizeof(buf_b), &answer) == len);
		CHECK("reverses", !scion_path_reverse(delivered, len, out));
		CHECK("pointers", out[0] == 0 && answer[0] == 0x43);
		CHECK("segments", !memcmp(out + 1, answer + 1, 3));
		for (size_t at = 4; at < 20; at += 8) {
			CHECK("flags", out[at] == answer[at]);
			CHECK("timestamp", !memcmp(out + at + 4, answer + at + 4, 4));
		}
		CHECK("hop fields", !memcmp(out + 20, answer + 20, len - 20));
	}
}

static void test_interfaces(void)
{
	static const struct {
		const char *vector;
		uint16_t want[16];
		int n;
	} rows[] = {
		{ "scion_one_segment_sent", { 1, 41 }, 2 },
		{ "scion_up_down_sent", { 41, 1, 2, 42 }, 4 },
		{ "scion_up_down_reply", { 42, 2, 1, 41 }, 4 },
		{ "scion_three_segments",
		  { 11, 12, 13, 14, 15, 16, 22, 23, 24, 25, 31, 32, 33, 34 },
		  14 },
		{ "scion_shortcut", { 41, 42, 51, 52 }, 4 },
		{ "scion_peering", { 61, 62, 71, 72, 63, 64 }, 6 },
		{ "scion_peering_one_hop", { 71, 72 }, 2 },
		{ "router_echo_sent", { 1, 101, 3, 103 }, 4 },
		{ "router_echo_delivered", { 1, 101, 3, 103 }, 4 },
		{ "router6_udp_delivered", { 1, 101, 3, 103 }, 4 },
		{ "router6_traceroute_far", { 103, 3, 101, 1 }, 4 },
	};
	uint8_t buf[2048], rev[SCION_MAX_PATH_LEN];
	uint16_t ifs[2 * SCION_MAX_HOPS];
	const uint8_t *path;
	size_t len;

	for (size_t i = 0; i < COUNT(rows); i++) {
		int wrong = 0, n;

		len = vector_path(rows[i].vector, buf, sizeof(buf), &path);
		n = scion_path_interfaces(path, len, ifs, COUNT(ifs));
		CHECK(rows[i].vector, n == rows[i].n && !memcmp(ifs, rows[i].want, (size_t)n * 2));
		CHECK("exactly enough room",
		      scion_path_interfaces(path, len, ifs, (size_t)n) == rows[i].n);
		CHECK("too little room",
		      scion_path_interfaces(path, len, ifs, (size_t)n - 1) == -ENOSPC);
		scion_path_reverse(path, len, rev);
		CHECK("as many on the way back",
		      scion_path_interfaces(rev, len, ifs, COUNT(ifs)) == n);
		for (int k = 0; k < n; k++)
			wrong += ifs[k] != rows[i].want[n - 1 - k];
		CHECK("in reverse order", !wrong);
	}

	len = make_path(buf, (uint8_t[3]){ 2, 1, 2 }, (uint8_t[3]){ 0, 0, 1 }, 0);
	CHECK("a lone hop without peering",
	      scion_path_interfaces(buf, len, ifs, COUNT(ifs)) == -EBADMSG);
	len = make_path(buf, (uint8_t[3]){ 2, 2 }, (uint8_t[3]){ 2, 1 }, 0);
	CHECK("half a peering link", scion_path_interfaces(buf, len, ifs, COUNT(ifs)) == -EBADMSG);
	len = make_path(buf, (uint8_t[3]){ 63, 1 }, (uint8_t[3]){ 2, 3 }, 0);
	CHECK("64 hops", scion_path_interfaces(buf, len, ifs, COUNT(ifs)) == 126);
	CHECK("malformed", scion_path_interfaces(buf, len - 1, ifs, COUNT(ifs)) == -EBADMSG);
}

static void test_expiry(void)
{
	static const struct {
		const char *why;
		uint32_t ts0, ts1;
		uint8_t exp0, exp3;
		int64_t want;
	} rows[] = {
		{ "shortest: 337.5 s", 1000, 1000, 0, 1, 1337 },
		{ "default: 6 h", 1000, 1000, 63, 63, 1000 + 21600 },
		{ "longest: 24 h", 1000, 1000, 255, 255, 1000 + 86400 },
		{ "the last hop expires first", 1000, 1000, 63, 1, 1000 + 675 },
		{ "an older segment counts for its own hops", 50000, 1000, 0, 63, 1000 + 21600 },
		{ "beyond 2038 and 2106", 0xffffffff, 0xffffffff, 255, 255, 4294967295 + 86400 },
	};
	uint8_t path[SCION_MAX_PATH_LEN];

	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = make_path(path, (uint8_t[3]){ 2, 2 }, (uint8_t[3]){ 0, 1 }, 0);

		put_be32(path + 8, rows[i].ts0);
		put_be32(path + 16, rows[i].ts1);
		path[21] = rows[i].exp0;
		path[33] = path[45] = 255;
		path[57] = rows[i].exp3;
		CHECK(rows[i].why, scion_path_expiry(path, len) == rows[i].want);
	}
	CHECK("no path", scion_path_expiry(NULL, 0) == 0);
	CHECK("malformed: long expired", scion_path_expiry(path, 20) == -EBADMSG);
}

static void test_alert(void)
{
	uint8_t buf[2048];
	const uint8_t *asked;
	uint8_t path[SCION_MAX_PATH_LEN], was[SCION_MAX_PATH_LEN];
	size_t len = make_path(path, (uint8_t[3]){ 2, 2 }, (uint8_t[3]){ 0, 1 }, 0);

	memcpy(was, path, len);
	was[len - 12] = 0x02;
	CHECK("with construction: its ingress",
	      !scion_path_set_alert_last(path, len) && !memcmp(path, was, len));
	len = make_path(path, (uint8_t[3]){ 2, 2 }, (uint8_t[3]){ 1, 0 }, 0);
	memcpy(was, path, len);
	was[len - 12] = 0x01;
	CHECK("against it: its egress",
	      !scion_path_set_alert_last(path, len) && !memcmp(path, was, len));
	len = vector_path("router_traceroute_request", buf, sizeof(buf), &asked);
	memcpy(path, asked, len);
	path[len - 12] = 0;
	CHECK("as `scion traceroute` does",
	      !scion_path_set_alert_last(path, len) && !memcmp(path, asked, len));
	CHECK("malformed", scion_path_set_alert_last(path, len - 1) == -EBADMSG);
	CHECK("no path", scion_path_set_alert_last(path, 0) == -EBADMSG);
}

const struct unit_test unit_tests[] = {
	{ "path meta", test_meta },
	{ "length", test_check_length },
	{ "reversal, table", test_reverse_table },
	{ "reversal, vectors", test_reverse_vectors },
	{ "reversal, real routers", test_reverse_routers },
	{ "interfaces", test_interfaces },
	{ "expiry", test_expiry },
	{ "router alert", test_alert },
	{ 0 },
};
