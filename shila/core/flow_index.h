/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_FLOW_INDEX_H
#define SHILA_CORE_FLOW_INDEX_H

#include "shila/base/prefetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From the hash of a key to indexes of slots: the part of the flow table that is a hash table.
 *
 * A bucket has eight places. An entry lies in the first bucket that had room, starting with the one that the low bits of
 * its hash name, and a bucket is filled from the front: so a search goes on only where the last place of a bucket is
 * taken. At most three quarters of all places are used, so that few searches need a second bucket, found or not. Keys are
 * compared in the slots by whoever looks for one.
 *
 * What a place holds lies in three arrays, so that a search reads little memory, and what it reads most is small enough for
 * a CPU's caches:
 *
 *     tags    the 8 highest bits of the hash, which no table is large enough to choose a bucket by; 0: free. The eight of a
 *             bucket are one word, compared at once. They tell which place it is, and nearly always that there is none.
 *     slots   32 bits, read at that place only
 *     hashes  all 32 bits, for growing and removing; no search reads them
 *
 * Growing doubles the number of buckets. Entries move with the insertions and removals that follow, FLOW_INDEX_MOVES old
 * buckets each: no operation takes long, and all of them have moved long before the new buckets are full. Until
 * then the old buckets are only read (an entry that goes is marked), so that their chains stay whole, and a search looks
 * into both, first where the entry should be.
 *
 * All sizes have their place in one mapping, 2^n buckets from bucket 2^n on. It is reserved at the start, which costs
 * nothing before it is used; what old buckets used is given back piece by piece. Nothing can fail later.
 */

#define FLOW_INDEX_MAX	  (1u << 24) /* entries */
#define FLOW_INDEX_PLACES 8
#define FLOW_INDEX_BYTES  (FLOW_INDEX_PLACES * (1 + 4 + 4)) /* of a bucket */
#define FLOW_INDEX_MOVES  2	     /* old buckets moved an operation */
#define FLOW_INDEX_GONE	  UINT32_MAX /* slot, in an old bucket: an entry that was removed */

struct flow_index {
	uint64_t *tags;	  /* by bucket; place 0 in the lowest byte */
	uint32_t *slots;  /* by place: eight times the bucket, and on */
	uint32_t *hashes; /* the same */
	uint32_t size, max_size; /* buckets; powers of two */
	uint32_t used;		 /* entries */
	uint32_t old_size;	 /* the buckets that entries come from; 0: none */
	uint32_t moved;		 /* of them, those whose entries are in the new ones */
	uint32_t free_at, free_end; /* buckets that were used before and are to be given back */
};

/* flow_index_init() - For up to @entries (at most FLOW_INDEX_MAX). Return: 0 or -ENOMEM. */
int flow_index_init(struct flow_index *x, uint32_t entries);
void flow_index_fini(struct flow_index *x);
/* flow_index_warm_up() - Have the memory that it uses now. */
void flow_index_warm_up(struct flow_index *x);

/* flow_index_put() - Add an entry; the caller knows that @slot has none, and that there is room for it. */
void flow_index_put(struct flow_index *x, uint32_t hash, uint32_t slot);
/* flow_index_drop() - Remove it. False: there was none. */
bool flow_index_drop(struct flow_index *x, uint32_t hash, uint32_t slot);
/* flow_index_swap() - The entry of @from leads to @to from now on; there must be one. */
void flow_index_swap(struct flow_index *x, uint32_t hash, uint32_t from, uint32_t to);

/* ---- searching ---- */

/* flow_index_bucket() - Number @n, or the one that a hash names, among all of that size. */
static inline uint32_t flow_index_bucket(uint32_t size, uint32_t n)
{
	return size + (n & (size - 1));
}

/* flow_index_first() - The size among whose buckets an entry of this hash should be. */
static inline uint32_t flow_index_first(const struct flow_index *x, uint32_t hash)
{
	return __builtin_expect(x->old_size && (hash & (x->old_size - 1)) >= x->moved, 0) ? x->old_size : x->size;
}

/* flow_index_second() - Where it may be, too; 0: nowhere. */
static inline uint32_t flow_index_second(const struct flow_index *x, uint32_t first)
{
	return !x->old_size ? 0 : first == x->size ? x->old_size : x->size;
}

static inline uint8_t flow_index_tag(uint32_t hash)
{
	uint32_t tag = hash >> 24;

	return (uint8_t)(tag ? tag : 1);
}

/*
 * flow_index_match() - Of the tags of a bucket: the highest bit of each byte that is that of the hash, and now and then
 * of one that is not, but never before the first that is. They may be GONE.
 */
static inline uint64_t flow_index_match(uint64_t tags, uint32_t hash)
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t other = tags ^ flow_index_tag(hash) * ones;

	return (other - ones) & ~other & ones << 7;
}

/* flow_index_place() - Of the lowest bit of a match. */
static inline uint32_t flow_index_place(uint32_t bucket, uint64_t match)
{
	return bucket * FLOW_INDEX_PLACES + (uint32_t)__builtin_ctzll(match) / 8;
}

/* flow_index_full() - Entries of this bucket may be in the next. */
static inline bool flow_index_full(uint64_t tags)
{
	return tags >> 56;
}

static inline void flow_index_prefetch_slots(const struct flow_index *x, uint32_t hash)
{
	prefetch(&x->slots[FLOW_INDEX_PLACES * (size_t)flow_index_bucket(flow_index_first(x, hash), hash)]);
}

#endif
