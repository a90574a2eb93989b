/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

/* The indexes of flows against a list: what was added and not removed is found, under its name and no other. */

#define WORKERS 2
#define SLOTS	2000
#define FLOWS	(WORKERS * SLOTS)

static struct config cfg = { .limits.flows = SLOTS };
static struct control *c;
static struct ctl_flow *flows[FLOWS];
static bool in[FLOWS];
static struct peer peers[2];
static uint32_t seed;

static uint32_t draw(void)
{
	seed = seed * 1664525 + 1013904223;
	return seed >> 8;
}

static void begin(void)
{
	seed = 7;
	c = calloc(1, sizeof(*c));
	c->cfg = &cfg;
	c->s.num_workers = WORKERS;
	for (unsigned int i = 0; i < 2; i++) {
		peers[i].addr.ia.v = 0x1000000000000 + i;
		peers[i].addr.host.len = 4;
	}
	for (unsigned int w = 0; w < WORKERS; w++) {
		records_init(c, w);
		for (uint32_t s = 1; s <= SLOTS; s++) {
			struct ctl_flow *f = record_new(c, w, s);

			f->peer = &peers[s & 1];
			f->key.proto = 6;
			f->key.local.len = f->key.remote.len = 4;
			f->key.local_port = (uint16_t)s;
			f->key.remote_port = (uint16_t)(80 + w);
			/* the same names at both peers and workers, apart from the tag */
			f->theirs = (struct flow_name){ .id = s / 2 << 12, .tag = (uint16_t)(w + 1) };
			flows[w * SLOTS + s - 1] = f;
		}
	}
}

static void finish(struct name_index *x)
{
	index_fini(x);
	records_fini(c);
	free(c);
	memset(in, 0, sizeof(in));
}

static uint32_t hash_of(const struct name_index *x, const struct ctl_flow *f)
{
	return x->by_name ? flow_theirs_hash(&f->peer->addr, &f->theirs, x->seed) : flow_key_hash(&f->key, x->seed);
}

/* How often the search for the name of a flow comes to it. */
static unsigned int found(const struct name_index *x, const struct ctl_flow *f)
{
	struct ctl_flow *g;
	unsigned int n = 0;
	uint32_t at = 0;

	while ((g = index_next(c, x, hash_of(x, f), &at)))
		n += g == f;
	return n;
}

static bool all_right(const struct name_index *x)
{
	for (unsigned int i = 0; i < FLOWS; i++)
		if (found(x, flows[i]) != in[i])
			return false;
	return true;
}

static void test_random(void)
{
	for (int by_name = 0; by_name < 2; by_name++) {
		struct name_index x = { .seed = 42, .by_name = by_name };
		unsigned int used = 0, wrong = 0;

		begin();
		CHECK("nothing in an empty one", !found(&x, flows[0]));
		for (unsigned int step = 0; step < 60000; step++) {
			unsigned int i = draw() % FLOWS;

			/* mostly full, then mostly empty */
			if (in[i] && (draw() % 8 < 3 || step > 30000)) {
				index_remove(&x, flows[i]);
				in[i] = false;
				used--;
			} else if (!in[i] && (step < 30000 || draw() % 8 < 1)) {
				wrong += !index_add(&x, flows[i]);
				in[i] = true;
				used++;
			}
			wrong += found(&x, flows[i]) != in[i] || x.used != used || 2 * x.used > x.mask + 1;
			if (step % 5000 == 0)
				wrong += !all_right(&x);
		}
		CHECK("as in the list", !wrong && all_right(&x));
		CHECK("both happened", used > 10 && used < FLOWS / 2);
		for (unsigned int i = 0; i < FLOWS; i++)
			if (in[i])
				index_remove(&x, flows[i]);
		for (uint32_t i = 0; i <= x.mask; i++)
			wrong += x.entries[i] != 0;
		CHECK("nothing left", !wrong && !x.used);
		index_remove(&x, flows[0]);
		CHECK("what is not there is not removed", !x.used);
		finish(&x);
	}
}

const struct unit_test unit_tests[] = {
	{ "random additions and removals", test_random },
	{ 0 },
};
