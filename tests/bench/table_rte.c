/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow.h"

#include "tests/bench/tables.h"

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_memory.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

/* Without this it would share its memory with other programs: such pages are small ones on most machines. */
int memfd_create(const char *name, unsigned int flags)
{
	(void)name;
	(void)flags;
	errno = ENOSYS;
	return -1;
}

/* No huge pages have to be reserved for it; it gets them the way shila does. */
static int want_huge_pages(const struct rte_memseg_list *list, void *arg)
{
	(void)arg;
	madvise(list->base_va, list->len, MADV_HUGEPAGE);
	return 0;
}

static int start(void)
{
	static char *args[] = { "bench", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "-m", "6144", "-l", "0",
				"--log-level=lib.eal:1", NULL };
	static int state;

	if (!state) {
		state = rte_eal_init(9, args) < 0 ? -1 : 1;
		if (state > 0)
			rte_memseg_list_walk(want_huge_pages, NULL);
	}
	return state;
}

static void *make(uint32_t entries)
{
	struct rte_hash_parameters p = {
		.name = "bench",
		.entries = entries < 8 ? 8 : entries,
		.key_len = sizeof(struct flow_key),
		.hash_func = rte_hash_crc, /* its fastest */
		.hash_func_init_val = 0x12345678,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_EXT_TABLE, /* else it may be full before that */
	};

	return start() > 0 ? rte_hash_create(&p) : NULL;
}

static void insert(void *table, const struct flow_key *key, uint32_t number)
{
	if (rte_hash_add_key_data(table, key, (void *)(uintptr_t)number) < 0)
		fprintf(stderr, "rte_hash is full\n");
}

static uint32_t find(void *table, const struct flow_key *keys, uint32_t num)
{
	uint32_t found = 0;
	void *data;

	for (uint32_t i = 0; i < num; i++)
		found += rte_hash_lookup_data(table, &keys[i], &data) >= 0;
	return found;
}

static uint32_t find_batch(void *table, const struct flow_key *keys, uint32_t num)
{
	const void *ptrs[BENCH_BATCH];
	void *data[BENCH_BATCH];
	uint64_t hits;

	for (uint32_t i = 0; i < num; i++)
		ptrs[i] = &keys[i];
	return (uint32_t)rte_hash_lookup_bulk_data(table, ptrs, num, &hits, data);
}

static void remove_key(void *table, const struct flow_key *key, uint32_t number)
{
	(void)number;
	rte_hash_del_key(table, key);
}

static void free_table(void *table)
{
	rte_hash_free(table);
}

const struct bench_table bench_rte = {
	"rte_hash", "DPDK, CRC32 by instruction, 40 bytes of key and a number", make, insert, find, find_batch, remove_key,
	free_table,
};
