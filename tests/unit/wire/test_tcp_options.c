/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/tcp_options.h"

#include "shila/base/bytes.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <string.h>

/* Options of one captured connection; the keys and tokens belong together. */
static const uint8_t key_a[8] = {0xa1, 0xca, 0x4a, 0x9f, 0xfd, 0x2c, 0xc5, 0xc5};
static const uint8_t key_b[8] = {0x35, 0xd0, 0x84, 0xe1, 0x85, 0x1a, 0xfa, 0x0d};

#define KEY_A    0xa1, 0xca, 0x4a, 0x9f, 0xfd, 0x2c, 0xc5, 0xc5
#define KEY_B    0x35, 0xd0, 0x84, 0xe1, 0x85, 0x1a, 0xfa, 0x0d
#define MSS_1460 2, 4, 0x05, 0xb4

static void test_capable(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t bytes[40];
		bool sender_key, receiver_key;
		uint8_t version;
	} rows[] = {
		{"SYN: no key", 4, {30, 4, 0x01, 0x01}, false, false, 1},
		{"SYN/ACK: the sender's key", 12, {30, 12, 0x01, 0x01, KEY_A}, true, false, 1},
		{"third ACK: both keys", 20, {30, 20, 0x01, 0x01, KEY_A, KEY_B}, true, true, 1},
		{"first data: both keys and a length",
		 24,
		 {30, 22, 0x01, 0x01, KEY_A, KEY_B, 0x03, 0xe8, 1, 1},
		 true,
		 true,
		 1},
		{"first data with checksum",
		 24,
		 {30, 24, 0x01, 0x81, KEY_A, KEY_B, 0x03, 0xe8, 0x12, 0x34},
		 true,
		 true,
		 1},
		{"version 0 had a key in the SYN", 12, {30, 12, 0x00, 0x01, KEY_A}, true, false, 0},
		{"behind other options and NOPs",
		 20,
		 {MSS_1460, 4, 2, 1, 1, 30, 12, 0x01, 0x01, KEY_A},
		 true,
		 false,
		 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcp_options t;

		CHECK(rows[i].why, tcp_options_parse(rows[i].bytes, rows[i].len, &t) == 0);
		CHECK(rows[i].why, t.mptcp == MPTCP_CAPABLE && t.mptcp_version == rows[i].version);
		CHECK(rows[i].why, t.has_sender_key == rows[i].sender_key);
		CHECK(rows[i].why, t.has_receiver_key == rows[i].receiver_key);
		CHECK(rows[i].why, !t.has_token && !t.fast_open && !t.backup);
		if (t.has_sender_key)
			CHECK(rows[i].why, !memcmp(t.sender_key, key_a, 8));
		if (t.has_receiver_key)
			CHECK(rows[i].why, !memcmp(t.receiver_key, key_b, 8));
	}
}

static void test_join(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t bytes[40];
		bool has_token, backup;
		uint8_t addr_id;
	} rows[] = {
		{"SYN: token and nonce",
		 12,
		 {30, 12, 0x10, 0x02, 0x4a, 0x7e, 0xf1, 0xfd, 0x34, 0xd6, 0x48, 0x9e},
		 true,
		 false,
		 2},
		{"SYN of a backup",
		 12,
		 {30, 12, 0x11, 0x05, 0x4a, 0x7e, 0xf1, 0xfd, 0x34, 0xd6, 0x48, 0x9e},
		 true,
		 true,
		 5},
		{"SYN/ACK: HMAC and nonce",
		 16,
		 {30, 16, 0x10, 0x00, 0xf0, 0x88, 0x7d, 0x55, 0x80, 0x55, 0x02, 0xe1, 0x3c, 0x2b,
		  0x31, 0x81},
		 false,
		 false,
		 0},
		{"third ACK: HMAC",
		 24,
		 {30,   24,   0x10, 0x00, 0xa5, 0xa2, 0x27, 0x7f, 0xd8, 0x8c, 0x13, 0x92,
		  0xc6, 0x25, 0x57, 0x84, 0xf6, 0x3a, 0xae, 0x7e, 0xe0, 0x16, 0x47, 0xcf},
		 false,
		 false,
		 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcp_options t;

		CHECK(rows[i].why, tcp_options_parse(rows[i].bytes, rows[i].len, &t) == 0);
		CHECK(rows[i].why,
		      t.mptcp == MPTCP_JOIN && !t.has_sender_key && !t.has_receiver_key);
		CHECK(rows[i].why, t.has_token == rows[i].has_token);
		CHECK(rows[i].why, t.backup == rows[i].backup && t.addr_id == rows[i].addr_id);
		if (t.has_token)
			CHECK(rows[i].why,
			      t.token.v == 0x4a7ef1fd && t.token.v == mptcp_token_of_key(key_b).v);
	}
}

/* MPTCP options that say nothing about opening, and what else is no MP_CAPABLE or MP_JOIN. */
static void test_other(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t bytes[40];
	} rows[] = {
		{"no options", 0, {0}},
		{"DSS", 28, {30, 26, 0x20, 0x0f}},
		{"ADD_ADDR",
		 16,
		 {30, 16, 0x30, 0x01, 10, 77, 3, 2, 0x24, 0x16, 0xf5, 0x6b, 0x47, 0x45, 0x0e,
		  0xbd}},
		{"REMOVE_ADDR", 4, {30, 4, 0x40, 0x02}},
		{"MP_PRIO, 3 bytes", 4, {30, 3, 0x51, 1}},
		{"MP_FAIL", 12, {30, 12, 0x60}},
		{"MP_FASTCLOSE", 12, {30, 12, 0x70, 0, KEY_B}},
		{"MP_TCPRST", 4, {30, 4, 0x80, 0x03}},
		{"MPTCP without a subtype", 4, {30, 2, 1, 1}},
		{"MP_CAPABLE of 8 bytes", 8, {30, 8, 0x01, 0x01}},
		{"MP_JOIN of 8 bytes", 8, {30, 8, 0x10, 0x01}},
		{"MP_JOIN behind the end of the list", 16, {1, 0, 1, 1, 30, 12, 0x10, 0x02}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcp_options t;

		CHECK(rows[i].why, tcp_options_parse(rows[i].bytes, rows[i].len, &t) == 0);
		CHECK(rows[i].why,
		      t.mptcp == MPTCP_NONE && !t.has_token && !t.has_sender_key && !t.mss);
	}
}

static void test_plain(void)
{
	static const uint8_t syn[] = {MSS_1460, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7};
	static const uint8_t cookie_request[] = {34, 2, 1, 1};
	static const uint8_t cookie[] = {34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1};
	static const uint8_t experiment[] = {254, 4, 0xf9, 0x89};
	static const uint8_t other_experiment[] = {254, 4, 0xf9, 0x8a};
	static const uint8_t first[] = {30, 4, 0x01, 0x01, 30, 12, 0x10, 0x02,
					1,  2, 3,    4,    5,  6,  7,    8};
	static const uint8_t short_mss[] = {2, 3, 5, 1};
	struct tcp_options t;

	CHECK("an ordinary SYN", tcp_options_parse(syn, sizeof(syn), &t) == 0 && t.mss == 1460);
	CHECK("is no MPTCP", t.mptcp == MPTCP_NONE && !t.fast_open);
	CHECK("asks for a cookie", !tcp_options_parse(cookie_request, 4, &t) && t.fast_open);
	CHECK("has a cookie", !tcp_options_parse(cookie, 12, &t) && t.fast_open);
	CHECK("the old number of fast open", !tcp_options_parse(experiment, 4, &t) && t.fast_open);
	CHECK("another experiment", !tcp_options_parse(other_experiment, 4, &t) && !t.fast_open);
	CHECK("the first of two counts",
	      !tcp_options_parse(first, 16, &t) && t.mptcp == MPTCP_CAPABLE && !t.has_token);
	CHECK("an MSS of one byte is none", !tcp_options_parse(short_mss, 4, &t) && t.mss == 0);
}

static void test_bad(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t bytes[8];
	} rows[] = {
		{"a kind without a length", 4, {1, 1, 1, 2}},
		{"length 0", 4, {2, 0, 5, 180}},
		{"length 1", 4, {2, 1, 5, 180}},
		{"beyond the end", 4, {2, 5, 5, 180}},
		{"MP_JOIN beyond the end", 8, {30, 12, 0x10, 2, 1, 2, 3, 4}},
		{"good, then bad", 8, {MSS_1460, 1, 1, 30, 3}},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tcp_options t = {.mss = 7};

		CHECK(rows[i].why, tcp_options_parse(rows[i].bytes, rows[i].len, &t) == -EBADMSG);
		CHECK("output untouched", t.mss == 7);
	}
}

static void test_clamp(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t before[8], after[8];
		uint16_t mss;
		bool changed;
	} rows[] = {
		{"larger", 4, {MSS_1460}, {2, 4, 0x05, 0x00}, 1280, true},
		{"at an odd offset",
		 8,
		 {1, MSS_1460, 1, 1, 1},
		 {1, 2, 4, 0x05, 0x00, 1, 1, 1},
		 1280,
		 true},
		{"equal", 4, {MSS_1460}, {MSS_1460}, 1460, false},
		{"smaller stays", 4, {MSS_1460}, {MSS_1460}, 9000, false},
		{"no MSS", 4, {4, 2, 1, 1}, {4, 2, 1, 1}, 1280, false},
		{"no options", 0, {0}, {0}, 1280, false},
		{"twice: both", 8, {MSS_1460, MSS_1460}, {2, 4, 2, 0, 2, 4, 2, 0}, 512, true},
		{"cut off", 3, {MSS_1460}, {MSS_1460}, 512, false},
		{"behind the end of the list",
		 8,
		 {0, 0, 0, 0, MSS_1460},
		 {0, 0, 0, 0, MSS_1460},
		 512,
		 false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t opts[8];

		memcpy(opts, rows[i].before, 8);
		CHECK(rows[i].why,
		      tcp_options_clamp_mss(opts, rows[i].len, rows[i].mss) == rows[i].changed);
		CHECK(rows[i].why, !memcmp(opts, rows[i].after, 8));
	}
}

static void test_token(void)
{
	static const struct {
		uint64_t key;
		uint32_t token;
	} rows[] = {
		{0xa1ca4a9ffd2cc5c5, 0x8688391d},
		{0x35d084e1851afa0d, 0x4a7ef1fd},
		{0x0123456789abcdef, 0x55c53f5d},
		{0xfedcba9876543210, 0x18f9781b},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t key[8];

		put_be64(key, rows[i].key);
		CHECK("first four bytes of SHA-256", mptcp_token_of_key(key).v == rows[i].token);
	}
}

#define TS(v, e) 1, 1, 8, 10, 0, 0, 0, v, 0, 0, 0, e
#define DSS4(a)	 30, 8, 0x20, 0x01, 0, 0, 0, a
#define DSS8(a)	 30, 12, 0x20, 0x03, 0, 0, 0, 0, 0, 0, 0, a

static void test_supersede(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t newer[40], older[40];
		bool yes, more;
	} rows[] = {
		{"none", 0, {0}, {0}, true},
		{"padding", 4, {1, 1, 1, 1}, {1, 1, 1, 1}, true},
		{"end of the list", 4, {1, 0, 7, 7}, {1, 0, 9, 9}, true},
		{"timestamps", 12, {TS(2, 2)}, {TS(1, 1)}, true},
		{"timestamps and data ACK", 20, {TS(2, 2), DSS4(2)}, {TS(1, 1), DSS4(1)}, true, true},
		{"the same data ACK", 20, {TS(2, 2), DSS4(1)}, {TS(1, 1), DSS4(1)}, true},
		{"data ACK of 8 bytes", 12, {DSS8(2)}, {DSS8(1)}, true, true},
		{"data ACK goes round", 8, {DSS4(1)}, {30, 8, 0x20, 0x01, 0xff, 0xff, 0xff, 0xff}, true, true},
		{"data ACK goes back", 8, {DSS4(1)}, {DSS4(2)}, false},
		{"data ACK of 8 bytes goes back", 12, {DSS8(1)}, {DSS8(2)}, false},
		{"data ACK of 8 bytes in the place of one of 4", 12, {DSS8(2)}, {DSS4(1), 1, 1, 1, 1}, false},
		{"a mapping", 20, {30, 18, 0x20, 0x05}, {30, 18, 0x20, 0x05}, false},
		{"DATA_FIN", 8, {30, 8, 0x20, 0x11}, {30, 8, 0x20, 0x11}, false},
		{"data ACK longer than its flags say", 12, {30, 12, 0x20, 0x01}, {30, 12, 0x20, 0x01}, false},
		{"another subtype: ADD_ADDR", 8, {30, 8, 0x30, 1}, {30, 8, 0x30, 1}, false},
		{"SACK", 12, {1, 1, 5, 10}, {1, 1, 5, 10}, false},
		{"SACK in the newer one", 12, {1, 1, 5, 10}, {TS(1, 1)}, false},
		{"nothing any more", 12, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, {TS(1, 1)}, false},
		{"more than before", 12, {TS(1, 1)}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, false},
		{"other places", 12, {8, 10, 0, 0, 0, 2, 0, 0, 0, 2, 1, 1}, {TS(1, 1)}, false},
		{"unknown", 4, {77, 4}, {77, 4}, false},
		{"over the end", 4, {8, 10, 0, 0}, {8, 10, 0, 0}, false},
		{"MPTCP without a subtype", 2, {30, 2}, {30, 2}, false},
		{"MPTCP without flags", 3, {30, 3, 0x20}, {30, 3, 0x20}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool more = false;

		CHECK(rows[i].why, tcp_options_supersede(rows[i].newer, rows[i].older, rows[i].len, &more) == rows[i].yes &&
		      (!rows[i].yes || more == rows[i].more));
	}
}

static void test_have_data_fin(void)
{
	static const struct {
		const char *why;
		uint8_t len, opts[40];
		bool yes;
	} rows[] = {
		{"none", 0, {0}, false},
		{"timestamps", 12, {TS(2, 2)}, false},
		{"data ACK", 20, {TS(2, 2), DSS4(2)}, false},
		{"DATA_FIN behind timestamps", 20, {TS(2, 2), 30, 8, 0x20, 0x11}, true},
		{"the bit in another subtype", 8, {30, 8, 0x30, 0x11}, false},
		{"behind the end of the list", 12, {0, 0, 0, 0, 30, 8, 0x20, 0x11}, false},
		{"without flags", 3, {30, 3, 0x20}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		CHECK(rows[i].why, tcp_options_have_data_fin(rows[i].opts, rows[i].len) == rows[i].yes);
}


static void test_detach_data_fin(void)
{
	static const struct {
		const char *why;
		uint8_t len;
		uint8_t before[40], after[40];
		bool changed;
	} rows[] = {
		{"both of 8 bytes, behind timestamps", 40,
		 {TS(1, 1), 30, 26, 0x20, 0x1f, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0x35, 0x00},
		 {TS(1, 1), 30, 26, 0x20, 0x0f, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0x34, 0xff}, true},
		{"both of 4 bytes", 20, {30, 18, 0x20, 0x15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2},
		 {30, 18, 0x20, 0x05, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1}, true},
		{"no data ACK", 16, {30, 14, 0x20, 0x14, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0}, {30, 14, 0x20, 0x04, 0, 0, 0, 2, 0, 0, 0, 3, 0, 255}, true},
		{"with a checksum", 20, {30, 20, 0x20, 0x15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2, 9, 9},
		 {30, 20, 0x20, 0x15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2, 9, 9}, false},
		{"DATA_FIN alone", 20, {30, 18, 0x20, 0x15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1},
		 {30, 18, 0x20, 0x15, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1}, false},
		{"no DATA_FIN", 20, {30, 18, 0x20, 0x05, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2},
		 {30, 18, 0x20, 0x05, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2}, false},
		{"no mapping", 8, {30, 8, 0x20, 0x11, 0, 0, 0, 2}, {30, 8, 0x20, 0x11, 0, 0, 0, 2}, false},
		{"another subtype", 8, {30, 8, 0x30, 0x1f, 0, 0, 0, 2}, {30, 8, 0x30, 0x1f, 0, 0, 0, 2}, false},
		{"over the end", 4, {30, 26, 0x20, 0x1f}, {30, 26, 0x20, 0x1f}, false},
		{"without flags", 3, {30, 3, 0x20}, {30, 3, 0x20}, false},
		{"none", 0, {0}, {0}, false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t opts[40];

		memcpy(opts, rows[i].before, 40);
		CHECK(rows[i].why, tcp_options_detach_data_fin(opts, rows[i].len) == rows[i].changed);
		CHECK(rows[i].why, !memcmp(opts, rows[i].after, 40));
	}
}

const struct unit_test unit_tests[] = {
	{"MP_CAPABLE", test_capable},    {"MP_JOIN", test_join},
	{"neither of them", test_other}, {"MSS and fast open", test_plain},
	{"malformed", test_bad},         {"MSS clamped", test_clamp},
	{"tokens", test_token},          {"ACKs that say all of the one before", test_supersede},
	{"DATA_FIN", test_have_data_fin},
	{"DATA_FIN off a mapping", test_detach_data_fin},
	{0},
};
