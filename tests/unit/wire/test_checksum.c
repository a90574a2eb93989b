/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"

#include "shila/wire/scion.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>

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

#define MOST_BYTES  2048
#define ALIGNMENTS  64

enum fill { FILL_RANDOM, FILL_MORE, FILL_ONES, FILL_ZERO, FILL_HIGH, FILL_LOW, FILL_MOST, FILL_NUM };

static const char *const fill_why[FILL_NUM] = {
	[FILL_RANDOM] = "random bytes, all lengths at all alignments",
	[FILL_MORE] = "random bytes of another seed",
	[FILL_ONES] = "all ones: a carry in every addition",
	[FILL_ZERO] = "zeros stay zero",
	[FILL_HIGH] = "only the upper bits of words",
	[FILL_LOW] = "only the lower bits of words",
	[FILL_MOST] = "words that just do not carry, and then do",
};

static void fill(uint8_t *p, size_t len, enum fill how)
{
	static uint32_t x = 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		switch (how) {
		case FILL_RANDOM:
		case FILL_MORE:
			p[i] = (uint8_t)(x >> 24);
			break;
		case FILL_ONES:
			p[i] = 0xff;
			break;
		case FILL_ZERO:
			p[i] = 0;
			break;
		case FILL_HIGH:
			p[i] = i % 8 == 7 ? 0x80 : 0;
			break;
		case FILL_LOW:
			p[i] = i % 4 == 0;
			break;
		case FILL_MOST:
			p[i] = x >> 28 ? 0xff : 0xfe;
			break;
		case FILL_NUM:
			break;
		}
	}
}

/* All lengths at one place, against a sum that grows byte by byte. */
static int wrong_at(const uint8_t *p)
{
	uint64_t sum = 0;
	int wrong = 0;

	for (size_t len = 0; len <= MOST_BYTES; len++) {
		uint64_t folded = sum;

		while (folded >> 16)
			folded = (folded & 0xffff) + (folded >> 16);
		wrong += swap(csum_fold(csum_add(0, p, len))) != folded;
		sum += len % 2 ? p[len] : (uint32_t)p[len] << 8;
	}
	return wrong;
}

static void test_any_length(void)
{
	static _Alignas(64) uint8_t buf[MOST_BYTES + 1 + ALIGNMENTS];
	static uint8_t large[65536 + 1];

	for (unsigned int how = 0; how < FILL_NUM; how++) {
		int wrong = 0;

		fill(buf, sizeof(buf), how);
		for (size_t at = 0; at < ALIGNMENTS; at++)
			wrong += wrong_at(buf + at);
		CHECK(fill_why[how], wrong == 0);
		fill(large, sizeof(large), how);
		for (size_t len = 65536 - 300; len <= 65536; len++)
			wrong += swap(csum_fold(csum_add(0, large + 1, len))) != plain_sum(large + 1, len);
		CHECK("64 KiB and a little less", wrong == 0);
	}
}

/* Nothing is read before or behind a piece: an address sanitizer would say so. */
static void test_exact_pieces(void)
{
	uint8_t all[MOST_BYTES];
	int wrong = 0;

	fill(all, sizeof(all), FILL_RANDOM);
	for (size_t len = 1; len <= MOST_BYTES; len += len < 600 ? 1 : 7) {
		uint8_t *p = malloc(len);

		if (!p)
			abort();
		memcpy(p, all, len);
		wrong += swap(csum_fold(csum_add(0, p, len))) != plain_sum(all, len);
		free(p);
	}
	CHECK("pieces of their own", wrong == 0);
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
	CHECK("many short pieces do not overflow", csum_fold(sum) == 0xffff);
	sum = 0;
	for (int i = 0; i < 10000; i++) {
		uint64_t before = sum;

		sum = csum_add(sum, ones, sizeof(ones));
		CHECK("a long piece adds at most 33 bits", sum - before < 1ull << 33);
	}
	CHECK("many long pieces do not overflow", csum_fold(sum) == 0xffff);
	CHECK("nothing", csum_add(77, ones, 0) == 77);
}

/* Each way that this processor has; what runs by default is the first of them. */
static void test_variants(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; csum_variant(i); i++) {
		int err = csum_use(csum_variant(i));

		CHECK("works or is not there", err == 0 || err == -ENOTSUP);
		if (err < 0)
			continue;
		test_any_length();
		test_exact_pieces();
		test_carries();
		n++;
	}
	CHECK("plain code works everywhere", n && csum_use("plain") == 0);
	CHECK("no such way", csum_use("abacus") == -ENOENT);
	for (unsigned int i = 0; csum_use(csum_variant(i)) < 0; i++)
		;
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
	{ "pieces of their own", test_exact_pieces },
	{ "carries", test_carries },
	{ "variants", test_variants },
	{ "pieces", test_pieces },
	{ "SCION pseudo header", test_scion_pseudo },
	{ 0 },
};
