/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "tests/bench/tables.h"

#include <glib.h>

static guint hash(gconstpointer key)
{
	return flow_key_hash(key, 0x123456789abcdef);
}

static gboolean equal(gconstpointer a, gconstpointer b)
{
	return flow_key_eq(a, b);
}

/* Keys lie beside each other, as in any of the others; the table has pointers to them. */
struct table {
	GHashTable *hash;
	struct flow_key *keys;
};

static void *make(uint32_t entries)
{
	struct table *t = g_new0(struct table, 1);

	t->hash = g_hash_table_new(hash, equal);
	t->keys = g_malloc(sizeof(*t->keys) * (entries + 1));
	return t;
}

static void insert(void *table, const struct flow_key *key, uint32_t number)
{
	struct table *t = table;

	t->keys[number] = *key;
	g_hash_table_insert(t->hash, &t->keys[number], GUINT_TO_POINTER(number));
}

static uint32_t find(void *table, const struct flow_key *keys, uint32_t num)
{
	struct table *t = table;
	uint32_t found = 0;

	for (uint32_t i = 0; i < num; i++)
		found += g_hash_table_lookup(t->hash, &keys[i]) != NULL;
	return found;
}

static void remove_key(void *table, const struct flow_key *key, uint32_t number)
{
	struct table *t = table;

	(void)number;
	g_hash_table_remove(t->hash, key);
}

static void free_table(void *table)
{
	struct table *t = table;

	g_hash_table_destroy(t->hash);
	g_free(t->keys);
	g_free(t);
}

const struct bench_table bench_glib = {
	"GHashTable", "GLib, with shila's hash of a key", make, insert, find, NULL, remove_key, free_table,
};
