/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow_index.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define LEAST_BUCKETS 4u
#define PAGE_BUCKETS  64u /* smaller arrays share a page */
#define HUGE_BYTES    (2u << 20)
#define GIVE_BACK     (HUGE_BYTES / sizeof(struct flow_bucket)) /* buckets given back at a time */

static uint32_t room_of(uint32_t size)
{
	return size * FLOW_INDEX_PLACES / 4 * 3;
}

static size_t bucket_bytes(const struct flow_index *x)
{
	return 2 * (size_t)x->max_size * sizeof(*x->all);
}

static size_t map_bytes(const struct flow_index *x)
{
	return bucket_bytes(x) + 2 * (size_t)x->max_size * sizeof(*x->marks);
}

static uint32_t *marks_of(const struct flow_index *x, const struct flow_bucket *b)
{
	return &x->marks[b - x->all];
}

/* What of @b has changed is not known: its marks from the beginning. */
static void mark(const struct flow_index *x, const struct flow_bucket *b)
{
	uint32_t marks = flow_index_goes_on(b) ? UINT32_MAX : 0;

	for (unsigned int i = 0; i < FLOW_INDEX_PLACES && b->slot[i]; i++)
		marks |= flow_index_mark(b->hash[i]);
	*marks_of(x, b) = marks;
}

int flow_index_init(struct flow_index *x, uint32_t entries)
{
	uint8_t *p;

	*x = (struct flow_index){ .size = LEAST_BUCKETS, .max_size = LEAST_BUCKETS };
	while (room_of(x->max_size) < entries)
		x->max_size *= 2;
	p = mmap(NULL, map_bytes(x), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	x->all = (struct flow_bucket *)(void *)p;
	x->marks = (uint32_t *)(void *)(p + bucket_bytes(x));
	/* Arrays of millions of entries: a search would miss the TLB each time. Not for a size that may stay empty. */
	if (bucket_bytes(x) > 2 * HUGE_BYTES)
		madvise(p + 2 * HUGE_BYTES, bucket_bytes(x) - 2 * HUGE_BYTES, MADV_HUGEPAGE);
	return 0;
}

void flow_index_fini(struct flow_index *x)
{
	if (x->all)
		munmap(x->all, map_bytes(x));
	*x = (struct flow_index){ 0 };
}

static void put(struct flow_index *x, uint32_t hash, uint32_t slot)
{
	uint32_t n = hash;
	struct flow_bucket *b;

	while (flow_index_goes_on(b = flow_index_bucket(x, x->size, n)))
		n++;
	for (unsigned int i = 0; i < FLOW_INDEX_PLACES; i++) {
		if (!b->slot[i]) {
			b->hash[i] = hash;
			b->slot[i] = slot;
			*marks_of(x, b) |= i == FLOW_INDEX_PLACES - 1 ? UINT32_MAX : flow_index_mark(hash);
			return;
		}
	}
}

static void give_back(struct flow_index *x)
{
	uint32_t n = x->free_end - x->free_at;

	if (!n)
		return;
	n = n < GIVE_BACK ? n : GIVE_BACK;
	madvise(&x->all[x->free_at], (size_t)n * sizeof(*x->all), MADV_DONTNEED);
	/* its marks are a few pages, and stay */
	x->free_at += n;
}

static void move_some(struct flow_index *x)
{
	if (!x->old_size)
		return;
	for (unsigned int i = 0; i < FLOW_INDEX_MOVES && x->moved < x->old_size; i++) {
		const struct flow_bucket *b = flow_index_bucket(x, x->old_size, x->moved++);

		for (unsigned int k = 0; k < FLOW_INDEX_PLACES && b->slot[k]; k++)
			if (b->slot[k] != FLOW_INDEX_GONE)
				put(x, b->hash[k], b->slot[k]);
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

/* Where the entry of a slot is in an array; NULL: nowhere. */
static struct flow_bucket *locate(const struct flow_index *x, uint32_t size, uint32_t hash, uint32_t slot,
				  uint32_t *n, unsigned int *place)
{
	for (*n = hash;; ++*n) {
		struct flow_bucket *b = flow_index_bucket(x, size, *n);

		for (uint32_t m = flow_index_match(b, hash); m; m &= m - 1) {
			*place = (unsigned int)__builtin_ctz(m);
			if (b->slot[*place] == slot)
				return b;
		}
		if (!flow_index_goes_on(b))
			return NULL;
	}
}

/* The last entry of @b takes the place that became free. */
static void close_gap(const struct flow_index *x, struct flow_bucket *b, unsigned int place)
{
	unsigned int last = FLOW_INDEX_PLACES - 1;

	while (!b->slot[last])
		last--;
	b->hash[place] = b->hash[last];
	b->slot[place] = b->slot[last];
	b->hash[last] = b->slot[last] = 0;
	mark(x, b);
}

/* Bucket @n was full and has room now: what did not fit into it, or a bucket before, moves back. */
static void pull_back(struct flow_index *x, uint32_t n)
{
	uint32_t mask = x->size - 1, gap = n;

	for (;;) {
		struct flow_bucket *to = flow_index_bucket(x, x->size, gap);
		struct flow_bucket *b = flow_index_bucket(x, x->size, ++n);
		bool full = flow_index_goes_on(b);

		for (unsigned int i = 0; i < FLOW_INDEX_PLACES && b->slot[i]; i++) {
			/* How far it is from home is at least how far the gap is. */
			if (((n - b->hash[i]) & mask) < ((n - gap) & mask))
				continue;
			to->hash[FLOW_INDEX_PLACES - 1] = b->hash[i];
			to->slot[FLOW_INDEX_PLACES - 1] = b->slot[i];
			mark(x, to);
			close_gap(x, b, i);
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
	unsigned int place;
	struct flow_bucket *b;
	bool found = false, full;
	uint32_t n;

	give_back(x);
	move_some(x);
	if (x->old_size && (b = locate(x, x->old_size, hash, slot, &n, &place))) {
		b->slot[place] = FLOW_INDEX_GONE;
		found = true;
	}
	b = locate(x, x->size, hash, slot, &n, &place);
	if (b) {
		full = flow_index_goes_on(b);
		close_gap(x, b, place);
		if (full)
			pull_back(x, n);
		found = true;
	}
	x->used -= found;
	return found;
}

void flow_index_swap(struct flow_index *x, uint32_t hash, uint32_t from, uint32_t to)
{
	unsigned int place;
	struct flow_bucket *b;
	uint32_t n;

	if (x->old_size && (b = locate(x, x->old_size, hash, from, &n, &place)))
		b->slot[place] = to;
	b = locate(x, x->size, hash, from, &n, &place);
	if (b)
		b->slot[place] = to;
}
