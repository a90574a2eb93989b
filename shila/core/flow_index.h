/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_FLOW_INDEX_H
#define SHILA_CORE_FLOW_INDEX_H

#include "shila/base/prefetch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/*
 * From the hash of a key to indexes of slots: the part of the flow table that is a hash table.
 *
 * A bucket is one cache line: eight hashes, compared at once, and the eight slots they belong to. Keys are compared in the
 * slots by whoever looks for one. An entry lies in the first bucket that had room, starting with the one that
 * the low bits of its hash name, and a bucket is filled from the front: so a search goes on only where the last
 * place of a bucket is taken. At most three quarters of all places are used, so that few searches need a second
 * line, found or not. The rest of the 32 bits tells entries of a bucket apart, also at 16 million, where 22 of them
 * choose the bucket.
 *
 * Growing doubles the number of buckets. Entries move with the insertions and removals that follow, FLOW_INDEX_MOVES old
 * buckets each: no operation takes long, and all of them have moved long before the new buckets are full. Until
 * then the old array is only read (an entry that goes is marked), so that its chains stay whole, and a search looks
 * into both, first where the entry should be.
 *
 * Before the line of a bucket there are its marks, 32 bits: one for each hash that lies in it, all of them if it is full.
 * They are a sixteenth of the size, so that at a million entries they lie in a CPU's own cache: seven of eight keys
 * that are not there are told from them alone.
 *
 * All sizes have their place in one mapping, 2^n buckets from bucket 2^n on. It is reserved at the start, which costs
 * nothing before it is used; what an old array used is given back piece by piece. Nothing can fail later.
 */

#define FLOW_INDEX_MAX	  (1u << 24) /* entries */
#define FLOW_INDEX_PLACES 8
#define FLOW_INDEX_MOVES  2	     /* old buckets moved an operation */
#define FLOW_INDEX_GONE	  UINT32_MAX /* in an old array: an entry that was removed */

struct flow_bucket {
	uint32_t hash[FLOW_INDEX_PLACES];
	uint32_t slot[FLOW_INDEX_PLACES]; /* 0: free, and so is what follows */
};

_Static_assert(sizeof(struct flow_bucket) == 64, "one cache line");

struct flow_index {
	struct flow_bucket *all;
	uint32_t *marks; /* of each bucket of @all */
	uint32_t size, max_size; /* buckets; powers of two */
	uint32_t used;		 /* entries */
	uint32_t old_size;	 /* the array that entries come from; 0: none */
	uint32_t moved;		 /* buckets of it whose entries are in the new one */
	uint32_t free_at, free_end; /* what was used before and is to be given back, as numbers of @all */
};

/* flow_index_init() - For up to @entries (at most FLOW_INDEX_MAX). Return: 0 or -ENOMEM. */
int flow_index_init(struct flow_index *x, uint32_t entries);
void flow_index_fini(struct flow_index *x);

/* flow_index_put() - Add an entry; the caller knows that @slot has none, and that there is room for it. */
void flow_index_put(struct flow_index *x, uint32_t hash, uint32_t slot);
/* flow_index_drop() - Remove it. False: there was none. */
bool flow_index_drop(struct flow_index *x, uint32_t hash, uint32_t slot);
/* flow_index_swap() - The entry of @from leads to @to from now on; there must be one. */
void flow_index_swap(struct flow_index *x, uint32_t hash, uint32_t from, uint32_t to);

/* ---- searching ---- */

static inline struct flow_bucket *flow_index_bucket(const struct flow_index *x, uint32_t size, uint32_t n)
{
	return &x->all[size + (n & (size - 1))];
}

/* flow_index_first() - The array in which an entry of this hash should be. */
static inline uint32_t flow_index_first(const struct flow_index *x, uint32_t hash)
{
	return __builtin_expect(x->old_size && (hash & (x->old_size - 1)) >= x->moved, 0) ? x->old_size : x->size;
}

/* flow_index_second() - The array in which it may be, too; 0: none. */
static inline uint32_t flow_index_second(const struct flow_index *x, uint32_t first)
{
	return !x->old_size ? 0 : first == x->size ? x->old_size : x->size;
}

/* flow_index_match() - Bits: places with this hash. They may be free, or GONE. */
static inline uint32_t flow_index_match(const struct flow_bucket *b, uint32_t hash)
{
#ifdef __SSE2__
	const __m128i *p = (const __m128i *)(const void *)b->hash;
	__m128i h = _mm_set1_epi32((int)hash);
	__m128i lo = _mm_cmpeq_epi32(_mm_load_si128(p), h), hi = _mm_cmpeq_epi32(_mm_load_si128(p + 1), h);

	return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(lo, hi), _mm_setzero_si128()));
#else
	uint32_t bits = 0;

	for (unsigned int i = 0; i < FLOW_INDEX_PLACES; i++)
		bits |= (uint32_t)(b->hash[i] == hash) << i;
	return bits;
#endif
}

static inline bool flow_index_goes_on(const struct flow_bucket *b)
{
	return b->slot[FLOW_INDEX_PLACES - 1];
}

/* The bits of a hash that no table is large enough to choose a bucket by. */
static inline uint32_t flow_index_mark(uint32_t hash)
{
	return 1u << (hash >> 27);
}

/* flow_index_maybe() - False: there is no entry with this hash in the array. */
static inline bool flow_index_maybe(const struct flow_index *x, uint32_t size, uint32_t hash)
{
	return x->marks[size + (hash & (size - 1))] & flow_index_mark(hash);
}

static inline void flow_index_prefetch_marks(const struct flow_index *x, uint32_t hash)
{
	uint32_t size = flow_index_first(x, hash);

	prefetch(&x->marks[size + (hash & (size - 1))]);
}

static inline void flow_index_prefetch(const struct flow_index *x, uint32_t hash)
{
	prefetch(flow_index_bucket(x, flow_index_first(x, hash), hash));
}

#endif
