/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"

#include "shila/wire/scion.h"
#include "tests/unit/check.h"

/* As RFC 1071 says it, word by word. */
static uint16_t plain_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint16_t swap(uint16_t v)
{
	return __builtin_bswap16(v);
}

static void test_any_length(void)
{
	static uint8_t buf[4096 + 8];
	uint32_t x = 1;
	int wrong = 0;

	for (size_t i = 0; i < sizeof(buf); i++) {
		x = x * 1664525 + 1013904223;
		buf[i] = (uint8_t)(x >> 24);
	}
	for (size_t len = 0; len <= 300; len++)
		for (size_t at = 0; at < 8; at++)
			wrong += swap(csum_fold(csum_add(0, buf + at, len))) !=
				 plain_sum(buf + at, len);
	CHECK("lengths 0 to 300 at every alignment", wrong == 0);
	CHECK("4096 bytes", swap(csum_fold(csum_add(0, buf, 4096))) == plain_sum(buf, 4096));
}

static void test_carries(void)
{
	static uint8_t ones[65536];
	uint64_t sum = 0;

	memset(ones, 0xff, sizeof(ones));
	CHECK("all ones are minus zero", csum_fold(csum_add(0, ones, sizeof(ones))) == 0xffff);
	CHECK("an odd byte is padded behind", swap(csum_fold(csum_add(0, ones, 1))) == 0xff00);
	for (int i = 0; i < 100000; i++)
		sum = csum_add(sum, ones, 64);
	CHECK("many pieces do not overflow", csum_fold(sum) == 0xffff);
	CHECK("nothing", csum_add(77, ones, 0) == 77);
}

static void test_pieces(void)
{
	uint8_t buf[256];
	uint64_t whole, sum;
	int wrong = 0;

	for (int i = 0; i < 256; i++)
		buf[i] = (uint8_t)(i * 7 + 3);
	whole = csum_add(0, buf, sizeof(buf));
	for (size_t cut = 0; cut <= sizeof(buf); cut += 2) {
		sum = csum_add(csum_add(0, buf, cut), buf + cut, sizeof(buf) - cut);
		wrong += csum_fold(sum) != csum_fold(whole);
	}
	CHECK("cut at any even offset", wrong == 0);
	sum = csum_add_be32(csum_add_be16(0, 0x1234), 0x56789abc);
	CHECK("numbers", swap(csum_fold(sum)) ==
				 plain_sum((uint8_t[]){ 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc }, 6));
}

/* The table of the upstream checksum test: two zero bytes, then these, from
 * 1-ff00:0:110,174.16.4.1. */
static void test_scion_pseudo(void)
{
	static const struct {
		const char *why;
		uint8_t host[16], host_len, proto, data[8], len;
		uint16_t want;
	} rows[] = {
		{ "IPv4", { 172, 16, 4, 2 }, 4, 1, { 0, 0, 0xaa, 0xbb, 0xcc, 0xdd }, 6, 0x2615 },
		{ "odd",
		  { 172, 16, 4, 2 },
		  4,
		  1,
		  { 0, 0, 0xaa, 0xbb, 0xcc, 0xdd, 0xee },
		  7,
		  0x3813 },
		{ "IPv6",
		  { 0xde, 0xad, [14] = 0xbe, 0xef },
		  16,
		  17,
		  { 0, 0, 0xaa, 0xbb, 0xcc, 0xdd },
		  6,
		  0x387a },
		{ "service", { 0, 2 }, 4, 223, { 0, 0, 0xaa, 0xbb, 0xcc, 0xdd }, 6, 0xd547 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t addr[36] = { 0, 1, 0xff, 0, 0, 0, 1, 0x12, 0, 1, 0xff, 0, 0, 0, 1, 0x10 };
		static const uint8_t src[4] = { 174, 16, 4, 1 };
		uint64_t sum;

		memcpy(addr + 16, rows[i].host, rows[i].host_len);
		memcpy(addr + 16 + rows[i].host_len, src, 4);
		sum = scion_csum_pseudo(addr, 20u + rows[i].host_len, rows[i].len, rows[i].proto);
		CHECK(rows[i].why,
		      swap(csum_finish(csum_add(sum, rows[i].data, rows[i].len))) == rows[i].want);
	}
}

const struct unit_test unit_tests[] = {
	{ "any length", test_any_length },
	{ "carries", test_carries },
	{ "pieces", test_pieces },
	{ "SCION pseudo header", test_scion_pseudo },
	{ 0 },
};
