/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/parcel.h"

#include "shila/base/bytes.h"
#include "tests/unit/check.h"

#include <string.h>

enum { SEG = 1000, LAST = 300, PACKETS = 5, PAYLOAD = (PACKETS - 1) * SEG + LAST };

static struct parcel_pool *pool;

static uint32_t sum_of(const uint8_t *p, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i + 1 < len; i += 2)
		sum += get_be16(p + i);
	if (len & 1)
		sum += p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Sum of the pseudo-header for @udp_len. */
static uint16_t pseudo(const uint8_t *ip, uint16_t udp_len)
{
	return ip[0] >> 4 == 4 ? sum_of(ip + 12, 8, 17 + udp_len) : sum_of(ip + 8, 32, 17 + udp_len);
}

/* A train as a TUN device gives it, over IPv4 or IPv6. */
static struct parcel *make(bool ipv6)
{
	struct parcel *p = parcel_get(pool, PARCEL_MAX_BYTES);
	uint32_t ip_len = ipv6 ? 40 : 20;
	uint8_t *ip = p->data;

	p->csum_start = ip_len;
	p->csum_offset = 6;
	p->hdr_len = ip_len + 8;
	p->len = p->hdr_len + PAYLOAD;
	p->seg = SEG;
	p->overhead = 14;
	memset(ip, 0, p->hdr_len);
	if (ipv6) {
		ip[0] = 0x60;
		ip[6] = 17;
		put_be16(ip + 4, p->len - 40);
		for (int i = 8; i < 40; i++)
			ip[i] = i * 7;
	} else {
		ip[0] = 0x45;
		ip[8] = 64;
		ip[9] = 17;
		put_be16(ip + 2, p->len);
		put_be16(ip + 4, 0xfffe);
		for (int i = 12; i < 20; i++)
			ip[i] = i * 13;
		put_be16(ip + 10, ~sum_of(ip, 20, 0));
	}
	put_be16(ip + ip_len, 50000);
	put_be16(ip + ip_len + 2, 50001);
	put_be16(ip + ip_len + 4, p->len - ip_len);
	put_be16(ip + ip_len + 6, pseudo(ip, p->len - ip_len));
	for (uint32_t i = 0; i < PAYLOAD; i++)
		ip[p->hdr_len + i] = i / SEG + i;
	return p;
}

static void check_slice(const struct parcel *train, unsigned int first, unsigned int count)
{
	struct parcel *p = parcel_slice(pool, train, first, count);
	uint32_t bytes = first + count == PACKETS ? (count - 1) * SEG + LAST : count * SEG;
	const uint8_t *ip = p->data, *udp = ip + p->csum_start;

	CHECK("as many packets as wanted", parcel_packets(p) == count && p->len == p->hdr_len + bytes);
	CHECK("those of that place", !memcmp(p->data + p->hdr_len, train->data + train->hdr_len + first * SEG, bytes));
	CHECK("one packet is no train", count > 1 || !p->seg);
	CHECK("the rest is as it was", p->overhead == 14 && p->csum_offset == 6 && p->csum_start == train->csum_start);
	if (!p->hdr_len)
		return;
	CHECK("length of UDP", get_be16(udp + 4) == bytes + 8);
	CHECK("pseudo-header", get_be16(udp + 6) == pseudo(ip, bytes + 8));
	CHECK("ports", get_be16(udp) == 50000 && get_be16(udp + 2) == 50001);
	if (ip[0] >> 4 == 4) {
		CHECK("length of IPv4", get_be16(ip + 2) == p->len);
		CHECK("checksum of IPv4", sum_of(ip, 20, 0) == 0xffff);
		CHECK("identification goes on", get_be16(ip + 4) == (uint16_t)(0xfffe + first));
	} else {
		CHECK("length of IPv6", get_be16(ip + 4) == bytes + 8);
	}
	CHECK("its size on the wire is that of the place",
	      parcel_wire_bytes(p, 0, count) == parcel_wire_bytes(train, first, count) &&
		      parcel_wire_bytes(p, 0, count) == bytes + count * (14u + p->hdr_len));
	parcel_put(pool, p);
}

static void test_slices(void)
{
	pool = parcel_pool_new(16 << 20);
	for (int kind = 0; kind < 3; kind++) {
		struct parcel *train = make(kind == 1);

		if (kind == 2) { /* what a UDP socket gives */
			memmove(train->data, train->data + train->hdr_len, PAYLOAD);
			train->len = PAYLOAD;
			train->hdr_len = 0;
		}
		CHECK("five packets", parcel_packets(train) == PACKETS);
		for (unsigned int first = 0; first < PACKETS; first++)
			for (unsigned int count = 1; first + count <= PACKETS; count++)
				check_slice(train, first, count);
		parcel_put(pool, train);
	}
	parcel_pool_free(pool);
}

static void test_sizes(void)
{
	struct parcel *p, *small;
	unsigned int n = 0;
	size_t used;

	pool = parcel_pool_new(1 << 20);
	CHECK("no size is so large", !parcel_get(pool, PARCEL_MAX_BYTES + 1));
	p = parcel_get(pool, PARCEL_MAX_BYTES);
	p->len = 1500;
	p->tag = 77;
	memset(p->data, 5, 1500);
	small = parcel_shrink(pool, p);
	CHECK("a packet moves to a smaller place", small != p && small->room < 4096 && small->room >= 1500);
	CHECK("with all that it has", small->len == 1500 && small->tag == 77 && small->data[1499] == 5);
	CHECK("where it stays", parcel_shrink(pool, small) == small);
	CHECK("its old place is free", parcel_get(pool, PARCEL_MAX_BYTES) == p);
	p->len = 60000;
	CHECK("a large one stays", parcel_shrink(pool, p) == p);
	parcel_put(pool, p);
	parcel_put(pool, small);
	used = parcel_pool_used(pool);
	while (parcel_get(pool, 9000))
		n++;
	CHECK("until the pool is used up", n > 80 && n < 110 && parcel_pool_used(pool) > used);
	parcel_pool_free(pool);
}

static void test_bfd(void)
{
	struct parcel *p;

	pool = parcel_pool_new(1 << 20);
	p = parcel_get(pool, 2000);
	memset(p->data, 0, 100);
	p->len = 28 + 72;
	p->hdr_len = 28;
	p->data[28 + 4] = 203;
	CHECK("BFD", parcel_is_bfd(p));
	p->data[28] = 0x10;
	CHECK("another version of SCION", !parcel_is_bfd(p));
	p->data[28] = 0;
	p->len = 28 + 11;
	CHECK("too short", !parcel_is_bfd(p));
	p->len = 100;
	p->data[28 + 4] = 17;
	CHECK("UDP", !parcel_is_bfd(p));
	p->data[28 + 4] = 203;
	p->seg = 20;
	CHECK("a train", !parcel_is_bfd(p));
	p->seg = 0;
	p->data[4] = 203;
	p->hdr_len = p->len;
	CHECK("not UDP at all", !parcel_is_bfd(p));
	parcel_pool_free(pool);
}

const struct unit_test unit_tests[] = {
	{ "slices", test_slices },
	{ "sizes", test_sizes },
	{ "BFD", test_bfd },
	{ NULL, NULL },
};
