/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "tests/bench/tables.h"

#include <stdlib.h>

static void *make(uint32_t entries)
{
	struct flow_table *t = calloc(1, sizeof(*t));

	if (t && flow_table_init(t, entries, 0x123456789abcdef) < 0) {
		free(t);
		return NULL;
	}
	return t;
}

static void insert(void *table, const struct flow_key *key, uint32_t number)
{
	struct flow f = { .key = *key };

	flow_table_insert(table, number, &f);
}

static uint32_t find(void *table, const struct flow_key *keys, uint32_t num)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < num; i++)
		found += flow_table_find(table, &keys[i]) != NULL;
	return found;
}

static uint32_t find_batch(void *table, const struct flow_key *keys, uint32_t num)
{
	struct flow *out[BENCH_BATCH];
	uint32_t found = 0;

	flow_table_find_batch(table, keys, num, out);
	for (uint32_t i = 0; i < num; i++)
		found += out[i] != NULL;
	return found;
}

static void remove_flow(void *table, const struct flow_key *key, uint32_t number)
{
	(void)key;
	flow_table_remove(table, number);
}

static void free_table(void *table)
{
	flow_table_fini(table);
	free(table);
}

const struct bench_table bench_shila = {
	"shila", "flow_table, 192 bytes of flow and all", make, insert, find, find_batch, remove_flow, free_table,
};
