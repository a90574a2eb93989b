/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

bool flow_key_eq(const struct flow_key *a, const struct flow_key *b)
{
	return a->side == b->side && a->proto == b->proto && a->local_port == b->local_port &&
	       a->remote_port == b->remote_port && ip_addr_eq(&a->remote, &b->remote) &&
	       ip_addr_eq(&a->local, &b->local);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
	__uint128_t m = (__uint128_t)(h ^ v) * 0x9E3779B97F4A7C15ull;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint32_t flow_key_hash(const struct flow_key *k, uint64_t seed)
{
	uint64_t w[4], h = seed;

	memcpy(&w[0], k->local.b, 16);
	memcpy(&w[2], k->remote.b, 16);
	h = mix(h, (uint64_t)k->local_port << 48 | (uint64_t)k->remote_port << 32 |
			   (uint64_t)k->side << 8 | k->proto);
	h = mix(h, w[0]);
	h = mix(h, w[2]);
	if (k->local.len == 16) { /* the upper halves of IPv4 addresses are zero */
		h = mix(h, w[1]);
		h = mix(h, w[3]);
	}
	return (uint32_t)(h ^ h >> 32);
}

static void *map(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed)
{
	uint32_t buckets = 16;

	while (buckets < 2 * flows)
		buckets *= 2;
	*t = (struct flow_table){ .num_slots = flows + 1, .mask = buckets - 1, .seed = seed };
	t->slots = map(t->num_slots * sizeof(*t->slots));
	t->buckets = map(buckets * sizeof(*t->buckets));
	if (!t->slots || !t->buckets) {
		flow_table_fini(t);
		return -ENOMEM;
	}
	return 0;
}

void flow_table_fini(struct flow_table *t)
{
	if (t->slots) {
		for (uint32_t i = 1; t->used && i < t->num_slots; i++)
			if (t->slots[i].used)
				flow_table_remove(t, i);
		munmap(t->slots, t->num_slots * sizeof(*t->slots));
	}
	if (t->buckets)
		munmap(t->buckets, (t->mask + 1) * sizeof(*t->buckets));
	*t = (struct flow_table){ 0 };
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *k)
{
	uint32_t hash = flow_key_hash(k, t->seed);

	for (uint32_t b = hash & t->mask; t->buckets[b]; b = (b + 1) & t->mask) {
		struct flow *f = &t->slots[t->buckets[b]];

		if (f->hash == hash && flow_key_eq(&f->key, k))
			return f;
	}
	return NULL;
}

/* Another thread may read the counters of a slot while it gets a new flow: one by one, never torn. */
static void stats_copy(struct flow_stats *to, const struct flow_stats *from)
{
	atomic_store_explicit(&to->tx_bytes, flow_counter(&from->tx_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->rx_bytes, flow_counter(&from->rx_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->tx_wire_bytes, flow_counter(&from->tx_wire_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->rx_wire_bytes, flow_counter(&from->rx_wire_bytes), memory_order_relaxed);
	atomic_store_explicit(&to->tx_segments, flow_counter(&from->tx_segments), memory_order_relaxed);
	atomic_store_explicit(&to->rx_segments, flow_counter(&from->rx_segments), memory_order_relaxed);
	atomic_store_explicit(&to->tx_ms, flow_counter(&from->tx_ms), memory_order_relaxed);
	atomic_store_explicit(&to->rx_ms, flow_counter(&from->rx_ms), memory_order_relaxed);
	atomic_store_explicit(&to->rx_epoch, flow_counter(&from->rx_epoch), memory_order_relaxed);
}

struct flow *flow_table_insert(struct flow_table *t, uint32_t index, const struct flow *f)
{
	struct flow *slot = &t->slots[index];
	uint32_t b;

	memcpy(slot, f, offsetof(struct flow, stats));
	stats_copy(&slot->stats, &f->stats);
	slot->used = true;
	if (!slot->hot)
		slot->hot = &slot->own_hot;
	*slot->hot = f->own_hot;
	slot->hash = flow_key_hash(&f->key, t->seed);
	t->used++;
	for (b = slot->hash & t->mask; t->buckets[b]; b = (b + 1) & t->mask) {
		struct flow *other = &t->slots[t->buckets[b]];

		if (other->hash == slot->hash && flow_key_eq(&other->key, &f->key))
			break;
	}
	t->buckets[b] = index;
	return slot;
}

/* Close the gap at bucket @b: what probed past it moves up. */
static void bucket_clear(struct flow_table *t, uint32_t b)
{
	uint32_t gap = b;

	for (;;) {
		b = (b + 1) & t->mask;
		if (!t->buckets[b])
			break;
		uint32_t home = t->slots[t->buckets[b]].hash & t->mask;

		if (((b - home) & t->mask) >= ((b - gap) & t->mask)) {
			t->buckets[gap] = t->buckets[b];
			gap = b;
		}
	}
	t->buckets[gap] = 0;
}

void flow_table_remove(struct flow_table *t, uint32_t index)
{
	struct flow *f = flow_table_get(t, index);

	if (!f)
		return;
	for (uint32_t b = f->hash & t->mask; t->buckets[b]; b = (b + 1) & t->mask) {
		if (t->buckets[b] == index) {
			bucket_clear(t, b);
			break;
		}
	}
	tmpl_put(f->tmpl);
	memset(f, 0, sizeof(*f));
	t->used--;
}
