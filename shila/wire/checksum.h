/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_CHECKSUM_H
#define SHILA_WIRE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * The Internet checksum (RFC 1071) in two steps: sums are added up in native byte order as 64-bit
 * numbers and folded once. csum_add() pieces must start at even offsets of the covered data.
 */

/* csum_add() - @sum plus the 16-bit words of @p; an odd last byte is padded with zero. */
uint64_t csum_add(uint64_t sum, const void *p, size_t len);

/* csum_add_be16/32() - @sum plus a number as it would stand in network byte order. */
static inline uint64_t csum_add_be16(uint64_t sum, uint16_t v)
{
	return sum + __builtin_bswap16(v);
}

static inline uint64_t csum_add_be32(uint64_t sum, uint32_t v)
{
	return sum + __builtin_bswap32(v);
}

/* csum_fold() - To the 16 bits (not complemented), as they stand in memory (network order). */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* csum_finish() - Value for the checksum field, as it stands in memory. */
static inline uint16_t csum_finish(uint64_t sum)
{
	return (uint16_t)~csum_fold(sum);
}

/* ---- for tests and benchmarks ---- */

/* csum_variant() - Name of the @i-th way to sum up long pieces, fastest first; NULL behind the last, "plain". */
const char *csum_variant(unsigned int i);

/**
 * csum_use() - Another way than what was chosen for this processor at the start; no other thread may be running.
 * Return: 0; -ENOENT there is none of that name; -ENOTSUP the processor lacks it.
 */
int csum_use(const char *variant);

#endif
