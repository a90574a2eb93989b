/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow_index.h"

#include "shila/base/reserve.h"
#include "shila/base/warm.h"

#include <errno.h>
#include <string.h>

#define LEAST_BUCKETS 4u
#define LAST	      (FLOW_INDEX_PLACES - 1)
#define PLACE_BYTES   (FLOW_INDEX_PLACES * sizeof(uint32_t)) /* of a bucket, in slots and in hashes */
#define PAGE_BUCKETS  (4096 / (uint32_t)PLACE_BYTES)	     /* fewer share a page with others */
#define GIVE_BACK     (RESERVE_HUGE / (uint32_t)PLACE_BYTES) /* buckets given back at a time */

_Static_assert(FLOW_INDEX_BYTES == sizeof(uint64_t) + 2 * PLACE_BYTES, "of each bucket: tags, slots, hashes");

static uint32_t room_of(uint32_t size)
{
	return size * FLOW_INDEX_PLACES / 4 * 3;
}

/* Buckets of all sizes: of the largest, and as many for all others. */
static size_t num_buckets(const struct flow_index *x)
{
	return 2 * (size_t)x->max_size;
}

int flow_index_init(struct flow_index *x, uint32_t entries)
{
	uint8_t *p;
	size_t n;

	*x = (struct flow_index){ .size = LEAST_BUCKETS, .max_size = LEAST_BUCKETS };
	while (room_of(x->max_size) < entries)
		x->max_size *= 2;
	n = num_buckets(x);
	p = reserve_new(n * FLOW_INDEX_BYTES);
	if (!p)
		return -ENOMEM;
	x->slots = (uint32_t *)(void *)p;
	x->hashes = (uint32_t *)(void *)(p + n * PLACE_BYTES);
	x->tags = (uint64_t *)(void *)(p + 2 * n * PLACE_BYTES);
	reserve_huge(x->slots, n * PLACE_BYTES, RESERVE_HUGE);
	reserve_huge(x->hashes, n * PLACE_BYTES, RESERVE_HUGE);
	reserve_huge(x->tags, n * sizeof(*x->tags), RESERVE_HUGE);
	return 0;
}

void flow_index_fini(struct flow_index *x)
{
	reserve_free(x->slots, num_buckets(x) * FLOW_INDEX_BYTES);
	*x = (struct flow_index){ 0 };
}

void flow_index_warm_up(struct flow_index *x)
{
	warm_up(x->slots, 2 * (size_t)x->size * PLACE_BYTES);
	warm_up(x->hashes, 2 * (size_t)x->size * PLACE_BYTES);
	warm_up(x->tags, 2 * (size_t)x->size * sizeof(*x->tags));
}

/* ---- places ---- */

static uint8_t tag_at(const struct flow_index *x, uint32_t bucket, unsigned int i)
{
	return (uint8_t)(x->tags[bucket] >> 8 * i);
}

/* @slot 0: the place becomes free. */
static void set(struct flow_index *x, uint32_t bucket, unsigned int i, uint32_t hash, uint32_t slot)
{
	uint32_t place = bucket * FLOW_INDEX_PLACES + i;
	uint64_t tag = slot ? flow_index_tag(hash) : 0;

	x->tags[bucket] = (x->tags[bucket] & ~(0xffull << 8 * i)) | tag << 8 * i;
	x->hashes[place] = slot ? hash : 0;
	x->slots[place] = slot;
}

static void put(struct flow_index *x, uint32_t hash, uint32_t slot)
{
	uint32_t n = hash, bucket;

	while (flow_index_full(x->tags[bucket = flow_index_bucket(x->size, n)]))
		n++;
	for (unsigned int i = 0; i < FLOW_INDEX_PLACES; i++) {
		if (!tag_at(x, bucket, i)) {
			set(x, bucket, i, hash, slot);
			return;
		}
	}
}

static void give_back(struct flow_index *x)
{
	uint32_t n = x->free_end - x->free_at;
	size_t at = (size_t)x->free_at * FLOW_INDEX_PLACES;

	if (!n)
		return;
	n = n < GIVE_BACK ? n : GIVE_BACK;
	madvise(&x->slots[at], n * PLACE_BYTES, MADV_DONTNEED);
	madvise(&x->hashes[at], n * PLACE_BYTES, MADV_DONTNEED);
	/* the tags are a ninth of it, and stay */
	x->free_at += n;
}

static void move_some(struct flow_index *x)
{
	if (!x->old_size)
		return;
	for (unsigned int i = 0; i < FLOW_INDEX_MOVES && x->moved < x->old_size; i++) {
		uint32_t bucket = flow_index_bucket(x->old_size, x->moved++);

		for (unsigned int k = 0; k < FLOW_INDEX_PLACES && tag_at(x, bucket, k); k++) {
			uint32_t place = bucket * FLOW_INDEX_PLACES + k;

			if (x->slots[place] != FLOW_INDEX_GONE)
				put(x, x->hashes[place], x->slots[place]);
		}
	}
	if (x->moved < x->old_size)
		return;
	if (x->old_size >= PAGE_BUCKETS) {
		x->free_at = x->old_size;
		x->free_end = 2 * x->old_size;
	}
	x->old_size = x->moved = 0;
}

void flow_index_put(struct flow_index *x, uint32_t hash, uint32_t slot)
{
	give_back(x);
	move_some(x);
	if (x->used >= room_of(x->size) && !x->old_size && x->size < x->max_size) {
		x->old_size = x->size;
		x->size *= 2;
		x->moved = 0;
	}
	put(x, hash, slot);
	x->used++;
}

/* The place of a slot's entry among the buckets of this size; 0: nowhere. @n: how far its bucket is, from 0 on */
static uint32_t locate(const struct flow_index *x, uint32_t size, uint32_t hash, uint32_t slot, uint32_t *n)
{
	for (*n = hash;; ++*n) {
		uint32_t bucket = flow_index_bucket(size, *n);

		for (uint64_t m = flow_index_match(x->tags[bucket], hash); m; m &= m - 1) {
			uint32_t place = flow_index_place(bucket, m);

			if (x->slots[place] == slot && x->hashes[place] == hash)
				return place;
		}
		if (!flow_index_full(x->tags[bucket]))
			return 0;
	}
}

/* The last entry of the bucket takes the place that became free. */
static void close_gap(struct flow_index *x, uint32_t bucket, unsigned int i)
{
	uint32_t last = LAST, place;

	while (!tag_at(x, bucket, last))
		last--;
	place = bucket * FLOW_INDEX_PLACES + last;
	set(x, bucket, i, x->hashes[place], x->slots[place]);
	set(x, bucket, last, 0, 0);
}

/* Bucket @n was full and has room now: what did not fit into it, or a bucket before, moves back. */
static void pull_back(struct flow_index *x, uint32_t n)
{
	uint32_t mask = x->size - 1, gap = n;

	for (;;) {
		uint32_t to = flow_index_bucket(x->size, gap), from = flow_index_bucket(x->size, ++n);
		bool full = flow_index_full(x->tags[from]);

		for (unsigned int i = 0; i < FLOW_INDEX_PLACES && tag_at(x, from, i); i++) {
			uint32_t place = from * FLOW_INDEX_PLACES + i;

			/* How far it is from home is at least how far the gap is. */
			if (((n - x->hashes[place]) & mask) < ((n - gap) & mask))
				continue;
			set(x, to, LAST, x->hashes[place], x->slots[place]);
			close_gap(x, from, i);
			if (!full)
				return;
			gap = n;
			break;
		}
		if (!full)
			return;
	}
}

bool flow_index_drop(struct flow_index *x, uint32_t hash, uint32_t slot)
{
	bool found = false, full;
	uint32_t place, n;

	give_back(x);
	move_some(x);
	if (x->old_size && (place = locate(x, x->old_size, hash, slot, &n))) {
		x->slots[place] = FLOW_INDEX_GONE;
		found = true;
	}
	place = locate(x, x->size, hash, slot, &n);
	if (place) {
		uint32_t bucket = place / FLOW_INDEX_PLACES;

		full = flow_index_full(x->tags[bucket]);
		close_gap(x, bucket, place % FLOW_INDEX_PLACES);
		if (full)
			pull_back(x, n);
		found = true;
	}
	x->used -= found;
	return found;
}

void flow_index_swap(struct flow_index *x, uint32_t hash, uint32_t from, uint32_t to)
{
	uint32_t place, n;

	if (x->old_size && (place = locate(x, x->old_size, hash, from, &n)))
		x->slots[place] = to;
	place = locate(x, x->size, hash, from, &n);
	if (place)
		x->slots[place] = to;
}
