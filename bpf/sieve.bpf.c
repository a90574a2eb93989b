/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#include "bpf/sieve.h"

/*
 * Runs for each datagram of an underlay socket; it begins with its UDP header. 0 drops it. Several CPUs may take
 * from a bucket at once and count one token twice: the daemon is the exact one.
 */

#define SECTION(name) __attribute__((section(name), used))

/* Declarations of maps as libbpf reads them from the type information. */
#define MAP_UINT(name, val) int(*name)[val]
#define MAP_TYPE(name, val) val *name

/* Helpers of the kernel's BPF interface by number; their header would pull in the C library's. */
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static uint64_t (*const ktime_ns)(void) = (void *)5;
static long (*const load)(const void *skb, uint32_t off, void *to, uint32_t len) = (void *)26;

#define MAP_HASH  1
#define MAP_ARRAY 2
#define MAP_PERCPU_ARRAY 6

struct {
	MAP_UINT(type, MAP_HASH);
	MAP_UINT(max_entries, 1); /* set by the loader */
	MAP_TYPE(key, struct sieve_host);
	MAP_TYPE(value, uint8_t);
} known SECTION(".maps");

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, SIEVE_ALL_BUCKETS);
	MAP_TYPE(key, uint32_t);
	MAP_TYPE(value, struct sieve_tokens);
} buckets SECTION(".maps");

struct {
	MAP_UINT(type, MAP_ARRAY);
	MAP_UINT(max_entries, SIEVE_REMEMBERED);
	MAP_TYPE(key, uint32_t);
	MAP_TYPE(value, uint32_t);
} remembered SECTION(".maps");

struct {
	MAP_UINT(type, MAP_PERCPU_ARRAY);
	MAP_UINT(max_entries, SIEVE_NUM_REASONS);
	MAP_TYPE(key, uint32_t);
	MAP_TYPE(value, uint64_t);
} dropped SECTION(".maps");

#define UDP_HDR	   8
#define SCION_UDP  17
#define SCION_SCMP 202
#define TYPE_OPEN  3
#define TYPE_ALIVE 6
#define TYPE_DATA  7
#define TYPE_DATAGRAM 8
#define FRAME_HDR  12

enum { DROP, PASS = -1 };

static inline __attribute__((always_inline)) int drop(uint32_t why)
{
	uint64_t *n = map_lookup(&dropped, &why);

	if (n)
		(*n)++;
	return DROP;
}

/* As take() in shila/core/admit.c. */
static inline __attribute__((always_inline)) bool take(uint32_t bucket)
{
	struct sieve_tokens *b = map_lookup(&buckets, &bucket);
	uint64_t now_us = ktime_ns() / 1000, us, most;

	if (!b)
		return true;
	most = b->per_second * 1000000;
	us = now_us - b->at_us;
	if (!b->at_us || us > 1000000)
		us = 1000000;
	b->at_us = now_us;
	b->tokens_m += us * b->per_second;
	if (b->tokens_m > most)
		b->tokens_m = most;
	if (b->tokens_m < 1000000)
		return false;
	b->tokens_m -= 1000000;
	return true;
}

/* An OPEN that comes for the first time: once there was no room, for a second only a part of the share. */
static inline __attribute__((always_inline)) bool take_open(uint32_t who)
{
	uint32_t bucket = who * SIEVE_NUM_BUCKETS + SIEVE_OPENS;
	struct sieve_tokens *b = map_lookup(&buckets, &bucket);
	uint64_t now_us = ktime_ns() / 1000;

	if (!b)
		return true;
	if (now_us < b->flood_until_us)
		bucket = who * SIEVE_NUM_BUCKETS + SIEVE_FIRST;
	if (take(bucket))
		return true;
	b->flood_until_us = now_us + 1000000;
	return false;
}

static inline __attribute__((always_inline)) uint32_t mix(uint32_t h, uint32_t v)
{
	h = (h ^ v) * 0x9E3779B1u;
	return h ^ h >> 15;
}

/* Whether this OPEN has found no room before: the same sender and name of a flow. */
static inline __attribute__((always_inline)) bool dropped_before(const struct sieve_host *from, const uint32_t name[2])
{
	uint32_t h = 1, key, *at, w[7];

	__builtin_memcpy(w, from, sizeof(w));
	for (int i = 0; i < 7; i++)
		h = mix(h, w[i]);
	h = mix(mix(h, name[0]), name[1]);
	key = h & (SIEVE_REMEMBERED - 1);
	at = map_lookup(&remembered, &key);
	if (!at)
		return false;
	if (*at == h)
		return true;
	*at = h;
	return false;
}

static inline __attribute__((always_inline)) uint32_t who_is(struct sieve_host *from)
{
	struct sieve_host as = { 0 };

	if (map_lookup(&known, from))
		return SIEVE_PEER;
	__builtin_memcpy(as.ia, from->ia, sizeof(as.ia));
	return map_lookup(&known, &as) ? SIEVE_AS : SIEVE_STRANGER;
}

SECTION("socket") int sieve(void *skb)
{
	struct sieve_host from = { 0 };
	uint32_t name[2] = { 0 }, who, host_at, frame_at;
	uint8_t common[12], type;

	if (load(skb, UDP_HDR, common, sizeof(common)))
		return PASS; /* too short: the daemon counts it */
	if (common[0] >> 4)
		return drop(SIEVE_MALFORMED);
	if (common[4] == SCION_SCMP)
		return take(SIEVE_SCMP_BUCKET) ? PASS : drop(SIEVE_SCMP);
	/* Two bits of length, in words less one, and two of type, which is 0 for IP addresses. */
	if (common[4] != SCION_UDP || common[9] & 0xcc)
		return PASS;
	frame_at = UDP_HDR + common[5] * 4u + UDP_HDR;
	if (load(skb, frame_at, &type, 1))
		return PASS;
	type &= 0xf;
	if (type == TYPE_DATA || type == TYPE_DATAGRAM || type == TYPE_ALIVE)
		return PASS;
	host_at = UDP_HDR + 28 + 4u * ((common[9] >> 4 & 3) + 1);
	load(skb, UDP_HDR + 20, from.ia, sizeof(from.ia));
	if ((common[9] & 3) == 3) {
		from.host_len = 16;
		if (load(skb, host_at, from.host, 16))
			return PASS;
	} else if (!(common[9] & 3)) {
		from.host_len = 4;
		if (load(skb, host_at, from.host, 4))
			return PASS;
	} else {
		return PASS;
	}
	who = who_is(&from);
	if (type != TYPE_OPEN)
		return take(who * SIEVE_NUM_BUCKETS + SIEVE_OTHERS) ? PASS : drop(SIEVE_FRAMES + who);
	load(skb, frame_at + FRAME_HDR, name, 6);
	if (take_open(who))
		return PASS;
	if (who != SIEVE_STRANGER && dropped_before(&from, name) && take(who * SIEVE_NUM_BUCKETS + SIEVE_AGAIN))
		return PASS;
	return drop(SIEVE_FRAMES + who);
}

SECTION("license") const char sieve_license[] = "GPL v2";
