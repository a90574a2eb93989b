/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "shila/base/prefetch.h"
#include "shila/base/warm.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_BYTES (2u << 20)
#define WARM_FLOWS 256

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

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed)
{
	size_t bytes = ((size_t)flows + 1) * sizeof(*t->slots);

	*t = (struct flow_table){ .num_slots = flows + 1, .seed = seed };
	if (flows > FLOW_TABLE_MAX)
		return -EINVAL;
	t->slots = map(bytes);
	if (!t->slots || flow_index_init(&t->index, flows) < 0) {
		flow_table_fini(t);
		return -ENOMEM;
	}
	/* Slots are used from the first one on: a small table stays small. */
	if (bytes > 2 * HUGE_BYTES)
		madvise((uint8_t *)t->slots + HUGE_BYTES, bytes - HUGE_BYTES, MADV_HUGEPAGE);
	return 0;
}

void flow_table_warm_up(struct flow_table *t)
{
	const uint32_t flows = t->num_slots < WARM_FLOWS ? t->num_slots : WARM_FLOWS;

	warm_up(t->slots, flows * sizeof(*t->slots));
	warm_up(t->index.all, 2 * (size_t)t->index.size * sizeof(*t->index.all));
	warm_up(t->index.marks, 2 * (size_t)t->index.size * sizeof(*t->index.marks));
}

void flow_table_fini(struct flow_table *t)
{
	if (t->slots) {
		for (uint32_t i = 1; t->used && i < t->num_slots; i++)
			if (t->slots[i].used)
				flow_table_remove(t, i);
		munmap(t->slots, t->num_slots * sizeof(*t->slots));
	}
	flow_index_fini(&t->index);
	*t = (struct flow_table){ 0 };
}

/* ---- finding ---- */

static inline struct flow *find_in(struct flow_table *t, uint32_t size, const struct words *w, const struct flow_key *k)
{
	if (!flow_index_maybe(&t->index, size, w->hash))
		return NULL;
	for (uint32_t n = w->hash;; n++) {
		const struct flow_bucket *b = flow_index_bucket(&t->index, size, n);

		for (uint32_t m = flow_index_match(b, w->hash); m; m &= m - 1) {
			uint32_t slot = b->slot[__builtin_ctz(m)];

			if (slot - 1 < t->num_slots - 1 && is_key(&t->slots[slot], w, k)) /* not 0, not GONE */
				return &t->slots[slot];
		}
		if (!flow_index_goes_on(b))
			return NULL;
	}
}

static inline struct flow *find(struct flow_table *t, const struct words *w, const struct flow_key *k)
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

	flow_index_prefetch(&t->index, w.hash);
	return find(t, &w, k);
}

/*
 * The slot of the flow with this hash, most likely, and of those that share it in one bucket the first. 0: there is none.
 * UINT32_MAX: not to be seen from here.
 */
static inline uint32_t likely_slot(const struct flow_table *t, uint32_t hash)
{
	const struct flow_bucket *b = flow_index_bucket(&t->index, flow_index_first(&t->index, hash), hash);
	uint32_t m = flow_index_match(b, hash);

	if (__builtin_expect(!m, 0))
		return flow_index_goes_on(b) || t->index.old_size ? UINT32_MAX : 0;
	return b->slot[__builtin_ctz(m)];
}

void flow_table_find_batch(struct flow_table *t, const struct flow_key *keys, unsigned int n, struct flow **out)
{
	struct words w[FLOW_TABLE_BATCH];
	uint32_t slots[FLOW_TABLE_BATCH];

	for (; n; keys += FLOW_TABLE_BATCH, out += FLOW_TABLE_BATCH) {
		unsigned int now = n < FLOW_TABLE_BATCH ? n : FLOW_TABLE_BATCH;

		for (unsigned int i = 0; i < now; i++) {
			w[i] = words_of(&keys[i], t->seed);
			flow_index_prefetch_marks(&t->index, w[i].hash);
		}
		for (unsigned int i = 0; i < now; i++) {
			slots[i] = t->index.old_size || flow_index_maybe(&t->index, t->index.size, w[i].hash);
			if (slots[i])
				flow_index_prefetch(&t->index, w[i].hash);
		}
		for (unsigned int i = 0; i < now; i++) {
			if (slots[i])
				slots[i] = likely_slot(t, w[i].hash);
			if (slots[i] - 1 < t->num_slots - 1) {
				prefetch(&t->slots[slots[i]]);
				if (!w[i].whole)
					prefetch(&t->slots[slots[i]].key);
			}
		}
		for (unsigned int i = 0; i < now; i++) {
			struct flow *f = slots[i] < t->num_slots ? &t->slots[slots[i]] : t->slots;

			if (!slots[i])
				out[i] = NULL;
			else if (is_key(f, &w[i], &keys[i]))
				out[i] = f;
			else
				out[i] = find(t, &w[i], &keys[i]);
		}
		n -= now;
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
