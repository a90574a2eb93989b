/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Flows by what they are called: open addressing, at most half full, four bytes an entry: worker and slot of the
 * flow, and as much of the hash as there is room for, so that few flows are looked at in vain. What a flow is
 * called is in the flow, so it must not change while it is in an index.
 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

#define FLOW_BITS   FLOW_REF_BITS
#define FLOW_MASK   ((1u << FLOW_BITS) - 1)
#define LEAST	    64u /* entries of an index that is not empty */

static uint32_t entry_of(const struct ctl_flow *f, uint32_t hash)
{
	return flow_ref(f) | hash >> FLOW_BITS << FLOW_BITS;
}

static struct ctl_flow *flow_in(const struct control *c, uint32_t entry)
{
	return flow_of(c, entry & FLOW_MASK);
}

static uint32_t hash_of(const struct name_index *x, const struct ctl_flow *f)
{
	return x->by_name ? flow_theirs_hash(&f->peer->addr, &f->theirs, x->seed) : flow_key_hash(&f->key, x->seed);
}

static void put(struct name_index *x, uint32_t entry, uint32_t hash)
{
	uint32_t at = hash & x->mask;

	while (x->entries[at])
		at = (at + 1) & x->mask;
	x->entries[at] = entry;
}

/* Slot 0 is none: no entry is 0. */
static bool grow(const struct control *c, struct name_index *x)
{
	uint32_t size = x->entries ? 2 * (x->mask + 1) : LEAST;
	struct name_index bigger = *x;

	bigger.entries = calloc(size, sizeof(*bigger.entries));
	if (!bigger.entries)
		return false;
	bigger.mask = size - 1;
	for (uint32_t i = 0; x->entries && i <= x->mask; i++)
		if (x->entries[i])
			put(&bigger, x->entries[i], hash_of(x, flow_in(c, x->entries[i])));
	free(x->entries);
	*x = bigger;
	return true;
}

bool index_add(struct name_index *x, const struct ctl_flow *f)
{
	uint32_t hash = hash_of(x, f);

	if ((!x->entries || 2 * x->used > x->mask) && !grow(f->control, x))
		return false;
	put(x, entry_of(f, hash), hash);
	x->used++;
	return true;
}

void index_remove(struct name_index *x, const struct ctl_flow *f)
{
	uint32_t hash = hash_of(x, f), entry = entry_of(f, hash), hole = hash & x->mask;

	while (x->entries[hole] != entry) {
		if (!x->entries[hole])
			return; /* it is not there */
		hole = (hole + 1) & x->mask;
	}
	/* What follows and may stand here does: then nothing stands behind a gap. */
	for (uint32_t at = (hole + 1) & x->mask; x->entries[at]; at = (at + 1) & x->mask) {
		uint32_t home = hash_of(x, flow_in(f->control, x->entries[at])) & x->mask;

		if (((at - home) & x->mask) < ((at - hole) & x->mask))
			continue;
		x->entries[hole] = x->entries[at];
		hole = at;
	}
	x->entries[hole] = 0;
	x->used--;
}

struct ctl_flow *index_next(const struct control *c, const struct name_index *x, uint32_t hash, uint32_t *at)
{
	if (!x->entries)
		return NULL;
	for (;;) {
		uint32_t entry = x->entries[(hash + *at) & x->mask];

		if (!entry)
			return NULL;
		++*at;
		if (entry >> FLOW_BITS == hash >> FLOW_BITS)
			return flow_in(c, entry);
	}
}

void index_fini(struct name_index *x)
{
	free(x->entries);
	x->entries = NULL;
}
