/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

#include <errno.h>

#define FLOWS 60

/* The model: which slot a key leads to (0: none), and which slots are in use. */
static struct {
	uint32_t by_key[200];
	uint16_t key_of[FLOWS + 1];
	bool used[FLOWS + 1];
} model;

static struct flow_key key_nr(uint32_t n)
{
	struct flow_key k = { .side = n % 3, .proto = n & 1 ? 6 : 17, .local_port = (uint16_t)(n * 7),
			      .remote_port = (uint16_t)(n / 2) };

	k.local = n % 5 ? ip("10.0.0.1") : ip("fd00::1");
	k.remote = n % 5 ? ip("10.1.0.1") : ip("fd00:1::1");
	k.remote.b[k.remote.len - 1] = (uint8_t)n;
	return k;
}

static bool agrees(struct flow_table *t)
{
	uint32_t used = 0;

	for (uint32_t n = 0; n < 200; n++) {
		struct flow_key k = key_nr(n);
		struct flow *f = flow_table_find(t, &k);

		if ((f ? flow_table_index(t, f) : 0) != model.by_key[n])
			return false;
	}
	for (uint32_t i = 1; i <= FLOWS; i++) {
		used += model.used[i];
		if (!!flow_table_get(t, i) != model.used[i])
			return false;
	}
	return used == t->used;
}

static bool one_step(struct flow_table *t)
{
	uint32_t slot = 1 + rnd(FLOWS), n = rnd(200);

	if (model.used[slot]) {
		flow_table_remove(t, slot);
		model.used[slot] = false;
		if (model.by_key[model.key_of[slot]] == slot)
			model.by_key[model.key_of[slot]] = 0;
	} else {
		struct flow f = { .key = key_nr(n), .tun = (uint8_t)slot };

		/* A key that is there already is taken over; the older flow keeps its slot. */
		if (flow_table_insert(t, slot, &f) != &t->slots[slot])
			return false;
		model.used[slot] = true;
		model.key_of[slot] = (uint16_t)n;
		model.by_key[n] = slot;
	}
	return true;
}

static void test_model(void)
{
	static const uint64_t seeds[] = { 0, 1, 0xffffffffffffffff, 0x9E3779B97F4A7C15 };

	for (size_t s = 0; s < sizeof(seeds) / sizeof(seeds[0]); s++) {
		struct flow_table t;
		bool fine = true;

		memset(&model, 0, sizeof(model));
		CHECK("init", !flow_table_init(&t, FLOWS, seeds[s]));
		for (int i = 0; i < 5000 && fine; i++)
			fine = one_step(&t) && (i % 8 || agrees(&t));
		CHECK("as the model says, after every few of 5000 steps", fine && agrees(&t));
		flow_table_fini(&t);
	}
}

/* Up to 16 keys at once, found or not, also while the index grows. */
static void test_batch(void)
{
	struct flow_table t;
	struct flow_key keys[40];
	struct flow *found[40];
	bool fine = true;

	CHECK("init", !flow_table_init(&t, 5000, 12));
	for (uint32_t n = 1; n <= 5000; n++) {
		struct flow f = { .key = { .proto = 6, .local_port = (uint16_t)n, .remote_port = 80 } };

		f.key.local = n % 3 ? ip("10.0.0.1") : ip("fd00::1");
		f.key.remote = n % 3 ? ip("10.1.0.1") : ip("fd00:1::1");
		flow_table_insert(&t, n, &f);
		if (n % 7)
			continue;
		for (unsigned int i = 0; i < 40; i++) {
			uint32_t k = 1 + rnd(2 * n);

			keys[i] = f.key;
			keys[i].local_port = (uint16_t)k;
			keys[i].local = k % 3 ? ip("10.0.0.1") : ip("fd00::1");
			keys[i].remote = k % 3 ? ip("10.1.0.1") : ip("fd00:1::1");
		}
		flow_table_find_batch(&t, keys, n % 41, found);
		for (unsigned int i = 0; i < n % 41; i++)
			fine = fine && found[i] == (keys[i].local_port <= n ? &t.slots[keys[i].local_port] : NULL) &&
			       found[i] == flow_table_find(&t, &keys[i]);
	}
	CHECK("as one by one", fine);
	flow_table_prefetch(&t, 5000);
	flow_table_prefetch(&t, UINT32_MAX);
	flow_table_fini(&t);
}

static void test_limits(void)
{
	struct flow_table t;
	struct flow f = { .key = key_nr(1) };

	CHECK("more than it can name", flow_table_init(&t, FLOW_TABLE_MAX + 1, 1) == -EINVAL);
	flow_table_fini(&t);
	CHECK("16 million", !flow_table_init(&t, FLOW_TABLE_MAX, 1));
	CHECK("the last one", flow_table_insert(&t, FLOW_TABLE_MAX, &f) == &t.slots[FLOW_TABLE_MAX]);
	CHECK("is found both ways", flow_table_find(&t, &f.key) == flow_table_get(&t, FLOW_TABLE_MAX));
	flow_table_remove(&t, FLOW_TABLE_MAX);
	CHECK("and goes", !flow_table_find(&t, &f.key) && !t.used);
	flow_table_fini(&t);
	CHECK("at most 256 bytes a flow, index and all",
	      sizeof(struct flow) + 3 * FLOW_INDEX_BYTES / (FLOW_INDEX_PLACES * 3 / 4) <= 256);
}

static void test_every_field_counts(void)
{
	struct flow_key k = key_nr(4), k6 = key_nr(5), other;
	struct flow_table t;

	flow_table_init(&t, 4, 3);
	flow_table_insert(&t, 1, &(struct flow){ .key = k });
	flow_table_insert(&t, 2, &(struct flow){ .key = k6 });
	CHECK("found", flow_table_find(&t, &k) == &t.slots[1] && flow_table_find(&t, &k6) == &t.slots[2]);
#define OTHER(why, base, change)                                                                   \
	other = base;                                                                              \
	other.change;                                                                              \
	CHECK(why, !flow_table_find(&t, &other) && !flow_key_eq(&other, &base))
	OTHER("another namespace", k, side ^= 1);
	OTHER("another protocol", k, proto ^= 1);
	OTHER("another local port", k, local_port ^= 0x100);
	OTHER("another remote port", k, remote_port ^= 1);
	OTHER("another local address", k, local.b[3] ^= 1);
	OTHER("another remote address", k, remote.b[0] ^= 1);
	OTHER("the upper half of an IPv6 address", k6, local.b[1] ^= 1);
	OTHER("the lower half of it", k6, remote.b[9] ^= 1);
	OTHER("IPv6 with the bytes of IPv4", k, local.len = 16);
#undef OTHER
	CHECK("another seed, another hash", flow_key_hash(&k, 1) != flow_key_hash(&k, 2));
	CHECK("index 0 is none", !flow_table_get(&t, 0));
	CHECK("beyond the table", !flow_table_get(&t, 5) && !flow_table_get(&t, UINT32_MAX));
	flow_table_remove(&t, 3);
	flow_table_remove(&t, 0);
	CHECK("removing nothing removes nothing", t.used == 2);
	flow_table_fini(&t);
}

static void test_templates_are_dropped(void)
{
	struct end *a = end_new("1-64512,10.0.0.1", 31000), *b = end_new("1-64513,10.0.0.2", 31000);
	struct tmpl *t = tmpl_get(make_tmpl(a, b, 2, 1400));

	flow_table_insert(&a->table, 7, &(struct flow){ .key = key_nr(1), .tmpl = t });
	flow_table_insert(&a->table, 8, &(struct flow){ .key = key_nr(2), .tmpl = tmpl_get(t) });
	CHECK("ours, and two of flows", atomic_load(&t->refs) == 3);
	flow_table_remove(&a->table, 7);
	CHECK("with the flow", atomic_load(&t->refs) == 2);
	flow_table_fini(&a->table);
	CHECK("and with the table", atomic_load(&t->refs) == 1);
	tmpl_put(t);
	end_free(a);
	end_free(b);
}

const struct unit_test unit_tests[] = {
	{ "random operations against a model", test_model },
	{ "several keys at once", test_batch },
	{ "limits", test_limits },
	{ "every field of the key counts", test_every_field_counts },
	{ "templates are dropped", test_templates_are_dropped },
	{ 0 },
};
