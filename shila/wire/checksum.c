/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/checksum.h"

#include <string.h>

/*
 * The one's complement sum does not care how wide the words are: 64-bit words are added with the
 * carry put back in (2^64 = 1 mod 2^16 - 1), in four chains so that no addition waits for another.
 */

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t add_carry(uint64_t a, uint64_t b)
{
	uint64_t s = a + b;

	return s + (s < a);
}

uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0, c = 0, d = 0;

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
		a = add_carry(a, load64(p));
	if (len) {
		uint64_t last = 0;

		memcpy(&last, p, len);
		b = add_carry(b, last);
	}
	a = add_carry(add_carry(a, b), add_carry(c, d));

	/* At most 33 bits, so that @sum has room for two thousand million such additions. */
	return sum + (a & 0xffffffff) + (a >> 32);
}
