/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/parcel.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "shila/base/bytes.h"

enum { SCION_NEXT_HDR_AT = 4, SCION_COMMON_HDR_LEN = 12, SCION_NEXT_BFD = 203 };

/* Packets of an ordinary and of a large MTU, trains. */
static const uint32_t rooms[] = { 2048, 10240, PARCEL_MAX_BYTES };

#define NUM_ROOMS (sizeof(rooms) / sizeof(rooms[0]))

struct parcel_pool {
	uint8_t *base;
	size_t size, used; /* a slot keeps its size for ever */
	struct parcel *empty[NUM_ROOMS];
};

struct parcel_pool *parcel_pool_new(size_t bytes)
{
	struct parcel_pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->base == MAP_FAILED) {
		free(pool);
		return NULL;
	}
	pool->size = bytes;
	return pool;
}

void parcel_pool_free(struct parcel_pool *pool)
{
	if (!pool)
		return;
	munmap(pool->base, pool->size);
	free(pool);
}

size_t parcel_pool_used(const struct parcel_pool *pool)
{
	return pool->used;
}

struct parcel *parcel_get(struct parcel_pool *pool, uint32_t len)
{
	unsigned int class = 0;
	struct parcel *p;
	size_t slot;

	while (class < NUM_ROOMS && rooms[class] < len)
		class++;
	if (class == NUM_ROOMS)
		return NULL;
	p = pool->empty[class];
	slot = (sizeof(*p) + rooms[class] + 63) / 64 * 64;
	if (p) {
		pool->empty[class] = p->next;
	} else {
		if (pool->size - pool->used < slot)
			return NULL;
		p = (struct parcel *)(pool->base + pool->used);
		pool->used += slot;
	}
	*p = (struct parcel){ .data = (uint8_t *)(p + 1), .room = rooms[class], .size_class = class };
	return p;
}

void parcel_put(struct parcel_pool *pool, struct parcel *p)
{
	p->next = pool->empty[p->size_class];
	pool->empty[p->size_class] = p;
}

/* Everything but what belongs to the slot. */
static void copy_description(struct parcel *to, const struct parcel *from)
{
	to->len = from->len;
	to->hdr_len = from->hdr_len;
	to->seg = from->seg;
	to->overhead = from->overhead;
	to->counted = from->counted;
	to->csum_start = from->csum_start;
	to->csum_offset = from->csum_offset;
	to->tag = from->tag;
}

struct parcel *parcel_shrink(struct parcel_pool *pool, struct parcel *p)
{
	struct parcel *small;

	if (!p->size_class || p->len > rooms[p->size_class - 1])
		return p;
	small = parcel_get(pool, p->len);
	if (!small)
		return p;
	copy_description(small, p);
	memcpy(small->data, p->data, p->len);
	parcel_put(pool, p);
	return small;
}

unsigned int parcel_packets(const struct parcel *p)
{
	uint32_t payload = p->len - p->hdr_len;

	return p->seg && payload > p->seg ? (payload + p->seg - 1) / p->seg : 1;
}

/* Payload bytes of @count packets from the @first, and where they are. */
static uint32_t payload_of(const struct parcel *p, unsigned int first, unsigned int count, uint32_t *from)
{
	uint32_t payload = p->len - p->hdr_len, left;

	if (!p->seg) {
		*from = 0;
		return payload;
	}
	*from = first * p->seg;
	assert(*from < payload || !payload);
	left = payload - *from;
	return left < (uint64_t)count * p->seg ? left : count * p->seg;
}

uint64_t parcel_wire_bytes(const struct parcel *p, unsigned int first, unsigned int count)
{
	uint32_t from;

	return payload_of(p, first, count, &from) + (uint64_t)count * (p->hdr_len + p->overhead);
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static void put_ipv4_checksum(uint8_t *ip, unsigned int len)
{
	uint32_t sum = 0;

	put_be16(ip + 10, 0);
	for (unsigned int i = 0; i < len; i += 2)
		sum += get_be16(ip + i);
	put_be16(ip + 10, ~fold(sum));
}

/* What is in the headers of @p of its length and its place in the train it comes from. */
static void fix_headers(struct parcel *p, unsigned int first)
{
	uint8_t *ip = p->data, *udp = ip + p->csum_start;
	uint16_t udp_len = p->len - p->csum_start;

	/* Of the pseudo-header only the length has changed. */
	put_be16(udp + 6, fold(get_be16(udp + 6) + (uint16_t)~get_be16(udp + 4) + udp_len));
	put_be16(udp + 4, udp_len);
	if (ip[0] >> 4 == 4) {
		put_be16(ip + 2, p->len);
		put_be16(ip + 4, get_be16(ip + 4) + first); /* as the kernel numbers the packets of a train */
		put_ipv4_checksum(ip, p->csum_start);
	} else {
		put_be16(ip + 4, p->len - 40);
	}
}

struct parcel *parcel_slice(struct parcel_pool *pool, const struct parcel *p, unsigned int first, unsigned int count)
{
	uint32_t from, bytes = payload_of(p, first, count, &from);
	struct parcel *out = parcel_get(pool, p->hdr_len + bytes);

	if (!out)
		return NULL;
	copy_description(out, p);
	out->len = p->hdr_len + bytes;
	memcpy(out->data, p->data, p->hdr_len);
	memcpy(out->data + p->hdr_len, p->data + p->hdr_len + from, bytes);
	if (p->seg && p->hdr_len && out->len != p->len)
		fix_headers(out, first);
	if (bytes <= out->seg)
		out->seg = 0;
	return out;
}

bool parcel_is_bfd(const struct parcel *p)
{
	const uint8_t *scion = p->data + p->hdr_len;

	return !p->seg && p->len >= (uint32_t)p->hdr_len + SCION_COMMON_HDR_LEN && scion[0] >> 4 == 0 &&
	       scion[SCION_NEXT_HDR_AT] == SCION_NEXT_BFD;
}
