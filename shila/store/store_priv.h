/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_STORE_STORE_PRIV_H
#define SHILA_STORE_STORE_PRIV_H

#include "shila/store/layout.h"

/*
 * The index of a table of records that are shared: by hash to the numbers of its records, with how often each is
 * used. All memory is taken at the start.
 */
struct table_entry {
	uint32_t hash;
	uint32_t next; /* in its bucket, or among the free ones; STORE_NONE: the last */
	uint32_t refs; /* all of them */
	uint32_t set_refs; /* paths: those of path sets */
	const struct path *last; /* paths: the one that was put last, perhaps freed since; it says so, too (@record) */
};

struct table {
	struct table_entry *entries;
	uint32_t *buckets;
	uint32_t size, mask, used;
	uint32_t fresh; /* numbers from here on were never used */
	uint32_t free;	/* STORE_NONE: none */
	uint64_t seed;	/* peers choose what is hashed */
	bool was_full;	/* somebody was refused */
};

struct store {
	char dir[STORE_NAME_LEN - 16];
	int fd;
	uint8_t *map;
	struct store_place place;
	uint8_t *chunks; /* CHUNK_* */
	size_t num_chunks;
	int refused; /* error of the last allocation; while it is there none is tried */
	uint64_t lacks;
	int lack_error;
	struct table peers, paths;
};

/* ---- store.c ---- */

/* store_room() - Is this part of the file allocated, now at the latest? A refusal is counted. */
bool store_room(struct store *s, uint64_t at, size_t len);
bool store_lack(struct store *s, int err); /* counts; false */
/* store_change() - Whole or not at all; the place must be allocated. */
void store_change(struct store *s, uint64_t at, const void *bytes, size_t len);

/* ---- tables.c ---- */

int table_init(struct table *t, uint32_t size); /* -ENOMEM */
void table_fini(struct table *t);
bool table_has_room(const struct table *t); /* now, and somebody was refused before */

#endif
