/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow_index.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

static uint64_t state = 1;

static uint32_t rnd(uint32_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(state >> 33) % below;
}

static bool in_array(const struct flow_index *x, uint32_t size, uint32_t hash, uint32_t slot)
{
	for (uint32_t n = hash;; n++) {
		uint32_t bucket = flow_index_bucket(size, n);

		for (uint64_t m = flow_index_match(x->tags[bucket], hash); m; m &= m - 1) {
			uint32_t place = flow_index_place(bucket, m);

			if (x->slots[place] == slot && x->hashes[place] == hash)
				return true;
		}
		if (!flow_index_full(x->tags[bucket]))
			return false;
	}
}

static bool has(const struct flow_index *x, uint32_t hash, uint32_t slot)
{
	uint32_t first = flow_index_first(x, hash), second = flow_index_second(x, first);

	return in_array(x, first, hash, slot) || (second && in_array(x, second, hash, slot));
}

/* All that the header says of a bucket, and of the way to an entry. */
static bool sound(const struct flow_index *x)
{
	uint32_t entries = 0;

	for (uint32_t bucket = x->size; bucket < 2 * x->size; bucket++) {
		bool end = false;

		for (unsigned int i = 0; i < FLOW_INDEX_PLACES; i++) {
			uint8_t tag = (uint8_t)(x->tags[bucket] >> 8 * i);
			uint32_t place = bucket * FLOW_INDEX_PLACES + i, slot = x->slots[place], hash = x->hashes[place];

			if (!tag || !slot) {
				end = true;
				if (tag || slot || hash)
					return false;
				continue;
			}
			if (end || tag != flow_index_tag(hash) || slot == FLOW_INDEX_GONE || !in_array(x, x->size, hash, slot))
				return false;
			entries++;
		}
	}
	return x->old_size ? entries <= x->used : entries == x->used;
}

/* ---- against a model ---- */

#define SLOTS 3000u

static struct {
	uint32_t hash[SLOTS + 1];
	bool used[SLOTS + 1];
	uint32_t num;
} model;

/* Hashes that meet in few buckets, also in the last ones; and equal ones. */
static uint32_t some_hash(unsigned int kind)
{
	switch (kind) {
	case 0:
		return (uint32_t)(rnd(65536) << 16 | rnd(65536));
	case 1:
		return rnd(200);
	case 2:
		return UINT32_MAX - rnd(64);
	default: /* one home in all sizes; the rest of the hash differs */
		return rnd(4) << 24 | rnd(3) << 14 | 0x3ffe;
	}
}

static bool agrees(const struct flow_index *x)
{
	for (uint32_t i = 1; i <= SLOTS; i++)
		if (has(x, model.hash[i], i) != model.used[i])
			return false;
	return x->used == model.num;
}

static bool one_step(struct flow_index *x, unsigned int kind, unsigned int most)
{
	uint32_t slot = 1 + rnd(SLOTS), to, moved = x->moved, old = x->old_size, size = x->size;

	if (model.used[slot] && rnd(8)) {
		if (!flow_index_drop(x, model.hash[slot], slot))
			return false;
		model.used[slot] = false;
		model.num--;
	} else if (model.used[slot]) {
		to = 1 + rnd(SLOTS);
		if (model.used[to])
			return true;
		flow_index_swap(x, model.hash[slot], slot, to);
		model.hash[to] = model.hash[slot];
		model.used[to] = true;
		model.used[slot] = false;
	} else if (model.num < most) {
		if (flow_index_drop(x, model.hash[slot], slot)) /* not there */
			return false;
		moved = x->moved;
		old = x->old_size;
		size = x->size;
		model.hash[slot] = some_hash(kind);
		model.used[slot] = true;
		model.num++;
		flow_index_put(x, model.hash[slot], slot);
	}
	/* A little at a time, in one size after the other. */
	return x->old_size == old ? x->moved - moved <= FLOW_INDEX_MOVES : x->old_size ? x->size == 2 * size : x->size == size;
}

static void test_model(void)
{
	for (unsigned int kind = 0; kind < 4; kind++) {
		unsigned int most = kind ? 120 : SLOTS; /* equal hashes make long chains */
		struct flow_index x;
		bool fine = true;

		memset(&model, 0, sizeof(model));
		CHECK("init", !flow_index_init(&x, SLOTS));
		for (unsigned int i = 0; i < 20000 && fine; i++)
			fine = one_step(&x, kind, i < 5000 ? most / 8 : most) && (i % 64 || (agrees(&x) && sound(&x)));
		CHECK("as the model says, after each few of 20000 steps", fine && agrees(&x) && sound(&x));
		CHECK("it grew with what came", kind ? x.size < 64 : x.size == x.max_size || x.old_size);
		for (uint32_t i = 1; i <= SLOTS; i++)
			if (model.used[i])
				fine = fine && flow_index_drop(&x, model.hash[i], i);
		memset(model.used, 0, sizeof(model.used));
		model.num = 0;
		CHECK("empty again", fine && !x.used && agrees(&x) && sound(&x));
		flow_index_fini(&x);
	}
}

/* ---- tags ---- */

static void test_match(void)
{
	bool first = true, all = true, full = true;

	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t tags = 0, m;
		uint32_t hash = rnd(8) << 24 | rnd(1u << 24);
		unsigned int used = rnd(FLOW_INDEX_PLACES + 1), at = 0;

		for (unsigned int k = 0; k < used; k++)
			tags |= (uint64_t)(rnd(4) ? flow_index_tag(rnd(8) << 24) : 1 + rnd(255)) << 8 * k;
		m = flow_index_match(tags, hash);
		while (at < used && (uint8_t)(tags >> 8 * at) != flow_index_tag(hash))
			at++;
		first = first && (m ? at < used && flow_index_place(5, m) == 5 * FLOW_INDEX_PLACES + at : at == used);
		for (unsigned int k = 0; k < used; k++)
			all = all && ((uint8_t)(tags >> 8 * k) != flow_index_tag(hash) || m >> (8 * k + 7) & 1);
		full = full && flow_index_full(tags) == (used == FLOW_INDEX_PLACES);
	}
	CHECK("the first is one, and there is one if any is", first);
	CHECK("none is left out", all);
	CHECK("full is when the last place is taken", full);
	CHECK("no hash has the tag of a free place",
	      flow_index_tag(0) && flow_index_tag(0xffffff) && flow_index_tag(UINT32_MAX) == 255);
}

/* ---- growing ---- */

static uint32_t nth_hash(uint32_t n)
{
	return (uint32_t)((n * 0x9E3779B97F4A7C15ull) >> 32);
}

static void test_growth(void)
{
	struct flow_index x;
	unsigned int sizes = 0;
	bool fine = true, whole = true;
	uint32_t size;

	CHECK("init", !flow_index_init(&x, 120000));
	size = x.size;
	for (uint32_t n = 1; n <= 120000; n++) {
		uint32_t moved = x.moved, old = x.old_size;

		flow_index_put(&x, nth_hash(n), n);
		fine = fine && (x.old_size != old || x.moved - moved <= FLOW_INDEX_MOVES);
		if (x.size != size) {
			whole = whole && !old;
			sizes++;
			size = x.size;
		}
		/* In the middle of it everything is there: what has moved, what has not, what is new. */
		if (x.old_size && x.moved % 1000 < FLOW_INDEX_MOVES)
			for (uint32_t i = 1; i <= n; i += 1 + n / 500)
				fine = fine && has(&x, nth_hash(i), i) && !has(&x, nth_hash(i), i + 200000);
		fine = fine && x.used <= x.size * FLOW_INDEX_PLACES / 4 * 3;
	}
	CHECK("found all the time, few buckets moved an operation, never fuller than three quarters", fine);
	CHECK("each time the array before had been emptied", whole && sizes == 13 && !x.old_size);
	for (uint32_t n = 1; n <= 120000; n++)
		fine = fine && has(&x, nth_hash(n), n) && !has(&x, nth_hash(n) ^ 1, n);
	CHECK("120000 entries", fine && sound(&x) && x.used == 120000);
	CHECK("what the last array used was given back", x.free_at == x.free_end && x.free_end == x.size);
	flow_index_fini(&x);
}

/* Removing and replacing what has moved and what has not. */
static void test_changes_while_growing(void)
{
	struct flow_index x;
	bool fine = true;
	uint32_t n = 0;

	CHECK("init", !flow_index_init(&x, 20000));
	while (x.size < 1024 || !x.old_size || x.moved < x.old_size / 2) {
		n++;
		flow_index_put(&x, nth_hash(n), n);
	}
	for (uint32_t i = 1; i <= n && x.old_size; i++) {
		if (i % 2) {
			fine = fine && flow_index_drop(&x, nth_hash(i), i);
			fine = fine && !has(&x, nth_hash(i), i) && !flow_index_drop(&x, nth_hash(i), i);
		} else {
			flow_index_swap(&x, nth_hash(i), i, i + 50000);
			fine = fine && !has(&x, nth_hash(i), i) && has(&x, nth_hash(i), i + 50000);
		}
	}
	CHECK("gone is gone, in both arrays", fine && !x.old_size && sound(&x));
	flow_index_fini(&x);
}

static void test_limits(void)
{
	struct flow_index x;
	bool fine = true;

	CHECK("16 million fit", !flow_index_init(&x, FLOW_INDEX_MAX));
	CHECK("with room in the buckets", (uint64_t)x.max_size * FLOW_INDEX_PLACES * 3 / 4 >= FLOW_INDEX_MAX);
	CHECK("and cost at most 32 bytes each", (uint64_t)x.max_size * FLOW_INDEX_BYTES / FLOW_INDEX_MAX <= 32);
	CHECK("small while it is", x.size == 4);
	for (uint32_t i = 0; i < 300000; i++)
		flow_index_put(&x, nth_hash(i), FLOW_INDEX_MAX - i);
	for (uint32_t i = 0; i < 300000; i++)
		fine = fine && has(&x, nth_hash(i), FLOW_INDEX_MAX - i);
	CHECK("the last slots", fine);
	flow_index_fini(&x);
	CHECK("fini twice", (flow_index_fini(&x), !x.slots));
	CHECK("one entry", !flow_index_init(&x, 1));
	flow_index_put(&x, 7, 1);
	CHECK("is found", has(&x, 7, 1) && x.size == x.max_size);
	flow_index_fini(&x);
}

const struct unit_test unit_tests[] = {
	{ "random operations against a model", test_model },
	{ "tags of a bucket", test_match },
	{ "growing a little at a time", test_growth },
	{ "changes while it grows", test_changes_while_growing },
	{ "limits", test_limits },
	{ 0 },
};
