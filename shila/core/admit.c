/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/admit.h"

#include "shila/wire/frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADMIT_DROPPED	   65536 /* what comes in a second; a power of two */
#define FLOOD_MS	   1000	 /* for so long after there was no room for an OPEN */
#define UNKNOWN_PER_SECOND 100 /* a port; who lost a flow asks more than once */

/* ---- who ---- */

static uint32_t hash(struct isd_as ia, const uint8_t *host, size_t len)
{
	uint64_t h = ia.v * 0x9E3779B97F4A7C15ull, part;

	for (size_t i = 0; i < len; i += 4) { /* a multiple of 4 */
		part = 0;
		memcpy(&part, host + i, 4);
		h = (h ^ part) * 0x9E3779B97F4A7C15ull;
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32);
}

static struct admit_entry *slot_of(const struct admit_set *s, struct isd_as ia, const uint8_t *host, size_t len)
{
	uint32_t i = hash(ia, host, len);

	for (;; i++) {
		struct admit_entry *e = &s->entries[i & s->mask];

		if (!e->ia.v || (e->ia.v == ia.v && e->host.len == len && !memcmp(e->host.b, host, len)))
			return e;
	}
}

int admit_set_init(struct admit_set *s, size_t entries)
{
	uint32_t n = 16;

	while (n < 2 * entries)
		n *= 2;
	s->entries = calloc(n, sizeof(*s->entries));
	if (!s->entries)
		return -ENOMEM;
	s->mask = n - 1;
	return 0;
}

void admit_set_add(struct admit_set *s, const struct scion_addr *addr)
{
	struct admit_entry *e = slot_of(s, addr->ia, addr->host.b, addr->host.len);

	e->ia = addr->ia;
	e->host = addr->host;
}

void admit_set_fini(struct admit_set *s)
{
	free(s->entries);
	s->entries = NULL;
}

enum admit_who admit_who(const struct admit_set *s, const struct scion_pkt *pkt)
{
	if (slot_of(s, pkt->src_ia, pkt->src_host, pkt->src_len)->ia.v)
		return ADMIT_PEER;
	return slot_of(s, pkt->src_ia, pkt->src_host, 0)->ia.v ? ADMIT_AS : ADMIT_STRANGER;
}

/* ---- how many ---- */

/* Holds as many as may come in a second, so that a burst after a quiet time passes whole. */
static bool take(struct admit_bucket *b, uint32_t per_second, uint64_t now_ms)
{
	uint64_t most = per_second * 1000ull;

	if (now_ms > b->at_ms) {
		uint64_t ms = b->at_ms && now_ms - b->at_ms < 1000 ? now_ms - b->at_ms : 1000;

		b->tokens_k += ms * per_second;
		if (b->tokens_k > most)
			b->tokens_k = most;
		b->at_ms = now_ms;
	}
	if (b->tokens_k < 1000)
		return false;
	b->tokens_k -= 1000;
	return true;
}

/* Sender and the name that it gave its flow: the same each time that an OPEN is repeated. */
static uint32_t open_hash(const struct scion_pkt *pkt, const uint8_t *frame, size_t len)
{
	uint8_t name[8] = { 0 };

	memcpy(name, frame + FRAME_HDR_LEN, len < FRAME_HDR_LEN + 6 ? len - FRAME_HDR_LEN : 6);
	return hash(pkt->src_ia, pkt->src_host, pkt->src_len) ^ hash(pkt->src_ia, name, sizeof(name));
}

static bool dropped_before(struct admit *a, uint32_t h)
{
	uint32_t *at = &a->dropped[h & (ADMIT_DROPPED - 1)];

	if (*at == h && h)
		return true;
	*at = h;
	return false;
}

static bool take_open(struct admit *a, enum admit_who who, uint32_t h, uint64_t now_ms)
{
	uint32_t most = a->rates.per_second[who];

	if (now_ms >= a->flood_until_ms[who] ? take(&a->opens[who], most, now_ms) :
					       take(&a->first[who], most / ADMIT_FIRST_SHARE, now_ms))
		return true;
	a->flood_until_ms[who] = now_ms + FLOOD_MS;
	return who != ADMIT_STRANGER && dropped_before(a, h) && take(&a->again[who], most, now_ms);
}

enum verdict admit_frame(struct admit *a, const struct scion_pkt *pkt, const uint8_t *frame, size_t len, uint64_t now_ms)
{
	static const enum verdict limit[] = {
		[ADMIT_PEER] = VERDICT_LIMIT_FRAMES_PEERS,
		[ADMIT_AS] = VERDICT_LIMIT_FRAMES_AS,
		[ADMIT_STRANGER] = VERDICT_LIMIT_FRAMES_STRANGERS,
	};
	enum admit_who who = admit_who(a->set, pkt);

	if ((frame[0] & 0xf) == FRAME_OPEN ? take_open(a, who, open_hash(pkt, frame, len), now_ms) :
					     take(&a->others[who], a->rates.per_second[who], now_ms))
		return VERDICT_PASS;
	return limit[who];
}

int admit_init(struct admit *a, const struct admit_set *set, const struct admit_rates *rates)
{
	*a = (struct admit){ .set = set, .rates = *rates };
	a->dropped = calloc(ADMIT_DROPPED, sizeof(*a->dropped));
	return a->dropped ? 0 : -ENOMEM;
}

void admit_fini(struct admit *a)
{
	free(a->dropped);
	a->dropped = NULL;
}

enum verdict admit_scmp(struct admit *a, uint64_t now_ms)
{
	return take(&a->scmp, a->rates.scmp_per_second, now_ms) ? VERDICT_PASS : VERDICT_LIMIT_SCMP;
}

bool admit_unknown(struct admit *a, enum admit_who who, uint64_t now_ms)
{
	return who != ADMIT_STRANGER && take(&a->unknown[who], UNKNOWN_PER_SECOND, now_ms);
}
