/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "shila/base/prefetch.h"
#include "shila/base/reserve.h"
#include "shila/base/warm.h"

#include <errno.h>
#include <string.h>

#define WARM_FLOWS 256
#define STEP	   16	      /* keys of a batch that are at the same stage */
#define UNDER_WAY  (4 * STEP) /* and that are at any */

bool flow_key_eq(const struct flow_key *a, const struct flow_key *b)
{
	return a->side == b->side && a->proto == b->proto && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port && ip_addr_eq(&a->remote, &b->remote) &&
	       ip_addr_eq(&a->local, &b->local);
}

/* ---- a key in words ---- */

/* Both halves of a product depend on all bits of both factors. */
static inline uint64_t mix(uint64_t a, uint64_t b)
{
	__uint128_t m = (__uint128_t)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

#define K0 0x9E3779B97F4A7C15ull
#define K1 0xD1B54A32D192ED03ull
#define K2 0x8CB92BA72F3D8DD7ull

_Static_assert(offsetof(struct flow_key, local.b) == 7 && sizeof(struct flow_key) == 40, "no padding");

struct words {
	uint64_t w[2]; /* IPv4: the key itself; else its second word, and a hash of the addresses */
	uint32_t hash;
	bool whole; /* the words are the key */
};

static inline uint64_t load(const void *p, size_t len)
{
	uint64_t v = 0;

	memcpy(&v, p, len);
	return v;
}

static inline struct words words_of(const struct flow_key *k, uint64_t seed)
{
	uint64_t turned = seed >> 32 | seed << 32, h;
	struct words o;

	/* Side, protocol, ports, length of the one address, as they lie there; and of the other. */
	o.w[1] = (load(k, 8) & UINT64_MAX >> 8) | (uint64_t)k->remote.len << 56;
	o.whole = (k->local.len | k->remote.len) <= 4;
	if (o.whole) {
		o.w[0] = load(k->local.b, 4) | load(k->remote.b, 4) << 32;
	} else {
		h = mix(load(k->local.b, 8) ^ seed ^ K1, load(k->local.b + 8, 8) ^ turned ^ K2);
		o.w[0] = mix(load(k->remote.b, 8) ^ h ^ K0, load(k->remote.b + 8, 8) ^ turned ^ h ^ K1);
	}
	h = mix(o.w[0] ^ seed ^ K0, o.w[1] ^ turned ^ K1);
	h = mix(h ^ seed, K2);
	o.hash = (uint32_t)(h ^ h >> 32);
	return o;
}

uint32_t flow_key_hash(const struct flow_key *k, uint64_t seed)
{
	return words_of(k, seed).hash;
}

static inline bool is_key(const struct flow *f, const struct words *w, const struct flow_key *k)
{
	return f->words[0] == w->w[0] && f->words[1] == w->w[1] &&
	       (w->whole || (ip_addr_eq(&f->key.remote, &k->remote) && ip_addr_eq(&f->key.local, &k->local)));
}

/* ---- life ---- */

int flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed)
{
	size_t bytes = ((size_t)flows + 1) * sizeof(*t->slots);

	*t = (struct flow_table){ .num_slots = flows + 1, .seed = seed };
	if (flows > FLOW_TABLE_MAX)
		return -EINVAL;
	t->slots = reserve_new(bytes);
	if (!t->slots || flow_index_init(&t->index, flows) < 0) {
		flow_table_fini(t);
		return -ENOMEM;
	}
	reserve_huge(t->slots, bytes, RESERVE_HUGE); /* they are used from the first one on */
	return 0;
}

void flow_table_warm_up(struct flow_table *t)
{
	const uint32_t flows = t->num_slots < WARM_FLOWS ? t->num_slots : WARM_FLOWS;

	warm_up(t->slots, flows * sizeof(*t->slots));
	flow_index_warm_up(&t->index);
}

void flow_table_fini(struct flow_table *t)
{
	if (t->slots) {
		for (uint32_t i = 1; t->used && i < t->num_slots; i++)
			if (t->slots[i].used)
				flow_table_remove(t, i);
		reserve_free(t->slots, t->num_slots * sizeof(*t->slots));
	}
	flow_index_fini(&t->index);
	*t = (struct flow_table){ 0 };
}

/* ---- finding ---- */

/* Nothing that a key is not in: what is in the index may be GONE. */
static inline uint32_t slot_at(const struct flow_table *t, uint32_t place)
{
	uint32_t slot = t->index.slots[place];

	return slot < t->num_slots ? slot : 0;
}

static inline struct flow *find_in(struct flow_table *t, uint32_t size, const struct words *w, const struct flow_key *k)
{
	for (uint32_t n = w->hash;; n++) {
		uint32_t bucket = flow_index_bucket(size, n);
		uint64_t tags = t->index.tags[bucket];

		for (uint64_t m = flow_index_match(tags, w->hash); m; m &= m - 1) {
			uint32_t slot = slot_at(t, flow_index_place(bucket, m));

			if (!w->whole)
				prefetch(&t->slots[slot].key);
			if (slot && is_key(&t->slots[slot], w, k))
				return &t->slots[slot];
		}
		if (!flow_index_full(tags))
			return NULL;
	}
}

static inline __attribute__((always_inline)) struct flow *find(struct flow_table *t, const struct words *w, const struct flow_key *k)
{
	uint32_t first = flow_index_first(&t->index, w->hash), second;
	struct flow *f = find_in(t, first, w, k);

	if (__builtin_expect(f || !t->index.old_size, 1))
		return f;
	second = flow_index_second(&t->index, first);
	return second ? find_in(t, second, w, k) : NULL;
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *k)
{
	struct words w = words_of(k, t->seed);

	flow_index_prefetch_slots(&t->index, w.hash);
	return find(t, &w, k);
}

/* ---- finding many ---- */

/*
 * What is known of a key on its way: it goes through four stages, each of which asks for the memory of the next. STEP keys
 * take a stage, and then the STEP before them the next one: so while memory is on its way there is work.
 */
struct under_way {
	struct words w;
	uint32_t at; /* its bucket, then its place in the index, then its slot; 0: none */
};

static inline void to_bucket(const struct flow_index *x, struct under_way *u)
{
	u->at = flow_index_bucket(flow_index_first(x, u->w.hash), u->w.hash);
	prefetch(&x->tags[u->at]);
}

/* The first entry with its tag; most likely it is the one. */
static inline void to_place(const struct flow_index *x, struct under_way *u)
{
	uint32_t bucket = u->at;
	uint64_t tags = x->tags[bucket], m = flow_index_match(tags, u->w.hash);

	for (uint32_t n = u->w.hash + 1; __builtin_expect(!m && flow_index_full(tags), 0); n++) {
		bucket = flow_index_bucket(flow_index_first(x, u->w.hash), n);
		tags = x->tags[bucket];
		m = flow_index_match(tags, u->w.hash);
	}
	u->at = flow_index_place(bucket, m | 1ull << 63) & -(uint32_t)!!m;
	prefetch(&x->slots[u->at]);
}

static inline void to_slot(const struct flow_table *t, struct under_way *u)
{
	if (!u->at)
		return;
	u->at = slot_at(t, u->at);
	prefetch(&t->slots[u->at]);
	if (!u->w.whole)
		prefetch(&t->slots[u->at].key);
}

static __attribute__((noinline)) struct flow *find_after_all(struct flow_table *t, const struct words *w,
							      const struct flow_key *k)
{
	return find(t, w, k);
}

static inline struct flow *to_flow(struct flow_table *t, const struct under_way *u, const struct flow_key *k)
{
	struct flow *f = &t->slots[u->at];

	if (!u->at && !t->index.old_size)
		return NULL;
	return __builtin_expect(u->at && is_key(f, &u->w, k), 1) ? f : find_after_all(t, &u->w, k);
}

void flow_table_find_batch(struct flow_table *t, const struct flow_key *keys, unsigned int n, struct flow **out)
{
	const struct flow_index x = t->index; /* which does not change meanwhile, as the compiler cannot know */
	struct under_way all[UNDER_WAY];
	unsigned int done[4] = { 0 };

	while (done[3] < n) {
		unsigned int to[4] = { done[0] + STEP < n ? done[0] + STEP : n, done[0], done[1], done[2] };

		for (unsigned int i = done[3]; i < to[3]; i++)
			out[i] = to_flow(t, &all[i % UNDER_WAY], &keys[i]);
		for (unsigned int i = done[2]; i < to[2]; i++)
			to_slot(t, &all[i % UNDER_WAY]);
		for (unsigned int i = done[1]; i < to[1]; i++)
			to_place(&x, &all[i % UNDER_WAY]);
		for (unsigned int i = done[0]; i < to[0]; i++) {
			all[i % UNDER_WAY].w = words_of(&keys[i], t->seed);
			to_bucket(&x, &all[i % UNDER_WAY]);
		}
		memcpy(done, to, sizeof(done));
	}
}

/* ---- changing ---- */

/* Another thread may read the counters of a slot while it gets a new flow: one by one, never torn. */
static void stats_copy(struct flow_stats *to, const struct flow_stats *from)
{
	atomic_store_explicit(&to->tx_bytes, flow_counter(&from->tx_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->tx_wire_bytes, flow_counter(&from->tx_wire_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->tx_segments, flow_counter(&from->tx_segments), memory_order_relaxed);
	atomic_store_explicit(&to->tx_ms, flow_counter(&from->tx_ms), memory_order_relaxed);
	atomic_store_explicit(&to->rx_bytes, flow_counter(&from->rx_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->rx_wire_bytes, flow_counter(&from->rx_wire_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->rx_segments, flow_counter(&from->rx_segments), memory_order_relaxed);
	atomic_store_explicit(&to->rx_ms, flow_counter(&from->rx_ms), memory_order_relaxed);
}

struct flow *flow_table_insert(struct flow_table *t, uint32_t index, const struct flow *f)
{
	struct words w = words_of(&f->key, t->seed);
	struct flow *slot = &t->slots[index], *other = find(t, &w, &f->key);

	memcpy(slot, f, offsetof(struct flow, stats));
	stats_copy(&slot->stats, &f->stats);
	slot->key = f->key;
	slot->own_hot = f->own_hot;
	slot->used = true;
	if (!slot->hot)
		slot->hot = &slot->own_hot;
	*slot->hot = f->own_hot;
	memcpy(slot->words, w.w, sizeof(slot->words));
	t->used++;
	if (other)
		flow_index_swap(&t->index, w.hash, flow_table_index(t, other), index);
	else
		flow_index_put(&t->index, w.hash, index);
	return slot;
}

void flow_table_remove(struct flow_table *t, uint32_t index)
{
	struct flow *f = flow_table_get(t, index);

	if (!f)
		return;
	flow_index_drop(&t->index, flow_key_hash(&f->key, t->seed), index);
	tmpl_put(f->tmpl);
	memset(f, 0, sizeof(*f));
	t->used--;
}
