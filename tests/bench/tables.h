/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_BENCH_TABLES_H
#define SHILA_TESTS_BENCH_TABLES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_BATCH 64 /* keys of one call of find_batch() */

struct flow_key;

/* A table that leads from struct flow_key to numbers from 1 on. Both batch and single look-ups give how many were found. */
struct bench_table {
	const char *name, *what;
	void *(*make)(uint32_t entries); /* NULL: not on this machine */
	void (*insert)(void *table, const struct flow_key *key, uint32_t number);
	uint32_t (*find)(void *table, const struct flow_key *keys, uint32_t num);
	uint32_t (*find_batch)(void *table, const struct flow_key *keys, uint32_t num); /* NULL: it has none */
	void (*remove)(void *table, const struct flow_key *key, uint32_t number);
	void (*free)(void *table);
};

extern const struct bench_table bench_shila, bench_rte, bench_glib, bench_absl;

#ifdef __cplusplus
}
#endif
#endif
