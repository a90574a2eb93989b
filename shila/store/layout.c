/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/store/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

char *store_file_name(char *buf, const char *dir, const char *end)
{
	snprintf(buf, STORE_NAME_LEN, "%s/" STORE_FILE "%s", dir, end);
	return buf;
}

static uint64_t pages(uint64_t bytes)
{
	return (bytes + STORE_PAGE - 1) / STORE_PAGE * STORE_PAGE;
}

int store_place_of(const struct store_shape *shape, struct store_place *out)
{
	if (!shape->workers || shape->workers > STORE_MAX_WORKERS || !shape->flows ||
	    shape->flows >= STORE_MAX_TABLE || !shape->peers || shape->peers > STORE_MAX_TABLE || !shape->paths ||
	    shape->paths > STORE_MAX_TABLE)
		return -EINVAL;
	out->shape = *shape;
	out->peers = STORE_TABLES_AT;
	out->paths = out->peers + pages((uint64_t)shape->peers * sizeof(struct disk_peer));
	out->flows = out->paths + pages((uint64_t)shape->paths * sizeof(struct disk_path));
	out->flows_of_worker = pages(((uint64_t)shape->flows + 1) * sizeof(struct disk_flow));
	out->size = out->flows + shape->workers * out->flows_of_worker;
	return 0;
}

/* The polynomial 0x1EDC6F41, bits reversed, four bits at a time. */
static uint32_t crc_plain(uint32_t c, const uint8_t *p, size_t len)
{
	static const uint32_t nibble[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	for (size_t i = 0; i < len; i++) {
		c ^= p[i];
		c = c >> 4 ^ nibble[c & 15];
		c = c >> 4 ^ nibble[c & 15];
	}
	return c;
}

static uint32_t (*crc)(uint32_t c, const uint8_t *p, size_t len) = crc_plain;

#ifdef __x86_64__
#include <immintrin.h>

/* Which has an instruction for just this polynomial. */
__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p, size_t len)
{
	uint64_t c64 = c, v;

	for (; len >= sizeof(v); p += sizeof(v), len -= sizeof(v)) {
		memcpy(&v, p, sizeof(v));
		c64 = _mm_crc32_u64(c64, v);
	}
	c = (uint32_t)c64;
	for (; len; p++, len--)
		c = _mm_crc32_u8(c, *p);
	return c;
}

__attribute__((constructor)) static void choose(void)
{
	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2"))
		crc = crc_sse42;
}
#endif

uint32_t store_check_plain(uint32_t seed, uint32_t index, const void *bytes, size_t len)
{
	uint32_t both[2] = { seed, index };

	return ~crc_plain(crc_plain(UINT32_MAX, (const uint8_t *)both, sizeof(both)), bytes, len);
}

uint32_t store_check(uint32_t seed, uint32_t index, const void *bytes, size_t len)
{
	uint32_t both[2] = { seed, index };

	return ~crc(crc(UINT32_MAX, (const uint8_t *)both, sizeof(both)), bytes, len);
}
