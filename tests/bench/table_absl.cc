/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/tables.h"

#include <absl/container/flat_hash_map.h>
#include <cstring>
#include <string_view>

namespace {

/* struct flow_key as bytes: it has no padding. */
struct key {
	char b[40];
	bool operator==(const key &o) const { return !memcmp(b, o.b, sizeof(b)); }
	template <typename H> friend H AbslHashValue(H h, const key &k)
	{
		return H::combine_contiguous(std::move(h), k.b, sizeof(k.b));
	}
};

using map = absl::flat_hash_map<key, uint32_t>;

const key *of(const struct flow_key *k)
{
	return reinterpret_cast<const key *>(k);
}

void *make(uint32_t)
{
	return new map;
}

void insert(void *table, const struct flow_key *k, uint32_t number)
{
	static_cast<map *>(table)->insert_or_assign(*of(k), number);
}

uint32_t find(void *table, const struct flow_key *keys, uint32_t num)
{
	auto &m = *static_cast<map *>(table);
	uint32_t found = 0;

	for (uint32_t i = 0; i < num; i++)
		found += m.find(of(keys)[i]) != m.end();
	return found;
}

/* Its own way of looking ahead. */
uint32_t find_batch(void *table, const struct flow_key *keys, uint32_t num)
{
	auto &m = *static_cast<map *>(table);
	size_t hashes[BENCH_BATCH];
	uint32_t found = 0;

	for (uint32_t i = 0; i < num; i++) {
		hashes[i] = m.hash_function()(of(keys)[i]);
		m.prefetch(of(keys)[i]);
	}
	for (uint32_t i = 0; i < num; i++)
		found += m.find(of(keys)[i], hashes[i]) != m.end();
	return found;
}

void remove(void *table, const struct flow_key *k, uint32_t)
{
	static_cast<map *>(table)->erase(*of(k));
}

void free_table(void *table)
{
	delete static_cast<map *>(table);
}

} // namespace

const struct bench_table bench_absl = {
	"flat_hash_map", "Abseil, with its own hash", make, insert, find, find_batch, remove, free_table,
};
