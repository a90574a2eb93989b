/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/*
 * The one's complement sum does not care how wide the words are, as 2^16 = 2^32 = 2^64 = 1 mod 2^16 - 1.
 * Headers are summed up right here, in 64-bit words with the carries counted apart. Long pieces are
 * worth a vector unit: which one there is, is looked up once, before main().
 */

#define LONG_BYTES 128 /* from here on a vector unit is faster, its start and end included */

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* To at most 33 bits, so that a sum has room for two thousand million such additions. */
static inline uint64_t shorten(__uint128_t a)
{
	uint64_t low = (uint64_t)a, s = low + (uint64_t)(a >> 64);

	s += s < low;
	return (s & 0xffffffff) + (s >> 32);
}

/* The last @len < 8 bytes of a piece, which has 8 or more: those before are shifted out. */
static inline uint64_t load_tail(const uint8_t *p, size_t len)
{
	return len ? load64(p + len - 8) >> (64 - 8 * len) : 0;
}

static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	uint64_t s = a + b;

	return s + (s < a);
}

static uint64_t add_plain(uint64_t sum, const uint8_t *p, size_t len)
{
	uint64_t a = 0, b = 0, c = 0, d = 0; /* chains, so that additions do not wait for each other */
	__uint128_t rest = 0;

	for (; len >= 64; p += 64, len -= 64) {
		a = add_carry(a, load64(p));
		b = add_carry(b, load64(p + 8));
		c = add_carry(c, load64(p + 16));
		d = add_carry(d, load64(p + 24));
		a = add_carry(a, load64(p + 32));
		b = add_carry(b, load64(p + 40));
		c = add_carry(c, load64(p + 48));
		d = add_carry(d, load64(p + 56));
	}
	for (; len >= 8; p += 8, len -= 8)
		rest += load64(p);
	rest += load_tail(p, len);
	return sum + shorten(rest + a + b + c + d);
}

#ifdef __x86_64__
#include <immintrin.h>

/*
 * In each 64-bit lane, all = the sum of whole words mod 2^64 and high = that of their upper halves. The
 * sum of the lower halves is below 2^64 too, and so it is all - (high << 32): two additions and a shift.
 */
__attribute__((target("avx2"))) static uint64_t add_avx2(uint64_t sum, const uint8_t *p, size_t len)
{
	__m256i all0 = _mm256_setzero_si256(), all1 = all0, high0 = all0, high1 = all0;
	__uint128_t rest = 0;
	__m128i x;

	for (; len >= 128; p += 128, len -= 128) {
		const __m256i *v = (const __m256i *)(const void *)p;
		__m256i a = _mm256_loadu_si256(v), b = _mm256_loadu_si256(v + 1);
		__m256i c = _mm256_loadu_si256(v + 2), d = _mm256_loadu_si256(v + 3);

		all0 = _mm256_add_epi64(all0, a);
		all1 = _mm256_add_epi64(all1, b);
		high0 = _mm256_add_epi64(high0, _mm256_srli_epi64(a, 32));
		high1 = _mm256_add_epi64(high1, _mm256_srli_epi64(b, 32));
		all0 = _mm256_add_epi64(all0, c);
		all1 = _mm256_add_epi64(all1, d);
		high0 = _mm256_add_epi64(high0, _mm256_srli_epi64(c, 32));
		high1 = _mm256_add_epi64(high1, _mm256_srli_epi64(d, 32));
	}
	for (; len >= 32; p += 32, len -= 32) {
		__m256i a = _mm256_loadu_si256((const __m256i *)(const void *)p);

		all0 = _mm256_add_epi64(all0, a);
		high0 = _mm256_add_epi64(high0, _mm256_srli_epi64(a, 32));
	}
	for (; len >= 8; p += 8, len -= 8)
		rest += load64(p);
	rest += load_tail(p, len);

	all0 = _mm256_add_epi64(all0, all1);
	high0 = _mm256_add_epi64(high0, high1);
	all0 = _mm256_sub_epi64(all0, _mm256_slli_epi64(high0, 32));
	all0 = _mm256_add_epi64(all0, high0);
	x = _mm_add_epi64(_mm256_castsi256_si128(all0), _mm256_extracti128_si256(all0, 1));
	x = _mm_add_epi64(x, _mm_unpackhi_epi64(x, x));
	return sum + shorten(rest + (uint64_t)_mm_cvtsi128_si64(x));
}

static bool has_avx2(void)
{
	__builtin_cpu_init();
	return __builtin_cpu_supports("avx2");
}
#endif

static bool always(void)
{
	return true;
}

static const struct {
	const char *name;
	bool (*works)(void);
	uint64_t (*add)(uint64_t sum, const uint8_t *p, size_t len);
} variants[] = {
#ifdef __x86_64__
	{ "avx2", has_avx2, add_avx2 },
#endif
	{ "plain", always, add_plain },
};

#define NUM_VARIANTS (sizeof(variants) / sizeof(variants[0]))

static uint64_t (*add_long)(uint64_t sum, const uint8_t *p, size_t len) = add_plain;

const char *csum_variant(unsigned int i)
{
	return i < NUM_VARIANTS ? variants[i].name : NULL;
}

int csum_use(const char *variant)
{
	for (size_t i = 0; i < NUM_VARIANTS; i++) {
		if (strcmp(variants[i].name, variant))
			continue;
		if (!variants[i].works())
			return -ENOTSUP;
		add_long = variants[i].add;
		return 0;
	}
	return -ENOENT;
}

__attribute__((constructor)) static void choose(void)
{
	size_t i = 0;

	while (!variants[i].works())
		i++;
	add_long = variants[i].add;
}

uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	__uint128_t a = 0;

	if (len >= LONG_BYTES)
		return add_long(sum, p, len);
	if (len < 8) {
		uint64_t v = 0;

		if (len & 1)
			v = p[len - 1];
		if (len & 2)
			v = v << 16 | load16(p + (len & 4));
		if (len & 4)
			v = v << 32 | load32(p);
		return sum + (v & 0xffffffff) + (v >> 32);
	}
	for (; len >= 8; p += 8, len -= 8)
		a += load64(p);
	return sum + shorten(a + load_tail(p, len));
}
