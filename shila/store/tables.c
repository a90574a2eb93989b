/* SPDX-License-Identifier: Apache-2.0 */

/* Peers and paths: shared records, found by what they say. A flow names them by their number. */
#include "shila/store/store_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int table_init(struct table *t, uint32_t size)
{
	uint32_t buckets = 16;

	while (buckets < size)
		buckets *= 2;
	*t = (struct table){ .size = size, .mask = buckets - 1, .free = STORE_NONE };
	t->entries = calloc(size, sizeof(*t->entries));
	t->buckets = malloc(buckets * sizeof(*t->buckets));
	if (!t->entries || !t->buckets || getrandom(&t->seed, sizeof(t->seed), 0) != sizeof(t->seed)) {
		table_fini(t);
		return -ENOMEM;
	}
	memset(t->buckets, 0xff, buckets * sizeof(*t->buckets)); /* STORE_NONE */
	return 0;
}

void table_fini(struct table *t)
{
	free(t->entries);
	free(t->buckets);
	t->entries = NULL;
	t->buckets = NULL;
}

bool table_has_room(const struct table *t)
{
	return t->was_full && t->used < t->size;
}

static uint32_t hash(const struct table *t, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = t->seed, v;

	for (; len; p += sizeof(v), len -= len < sizeof(v) ? len : sizeof(v)) {
		v = 0;
		memcpy(&v, p, len < sizeof(v) ? len : sizeof(v));
		h = (h ^ v) * 0x9e3779b97f4a7c15u;
		h ^= h >> 29;
	}
	return (uint32_t)(h >> 32);
}

/* The number that the next record gets, STORE_NONE if the table is full. */
static uint32_t next_number(const struct table *t)
{
	if (t->free != STORE_NONE)
		return t->free;
	return t->fresh < t->size ? t->fresh : STORE_NONE;
}

static void take_number(struct table *t, uint32_t i, uint32_t h)
{
	struct table_entry *e = &t->entries[i];
	uint32_t *bucket = &t->buckets[h & t->mask];

	if (i == t->free)
		t->free = e->next;
	else
		t->fresh++;
	*e = (struct table_entry){ .hash = h, .next = *bucket };
	*bucket = i;
	t->used++;
}

static void give_back(struct table *t, uint32_t i)
{
	struct table_entry *e = &t->entries[i];
	uint32_t *at = &t->buckets[e->hash & t->mask];

	while (*at != i)
		at = &t->entries[*at].next;
	*at = e->next;
	*e = (struct table_entry){ .next = t->free };
	t->free = i;
	t->used--;
}

/* Room for one record more; STORE_NONE is counted. */
static uint32_t room_in(struct store *s, struct table *t, uint64_t at, size_t size)
{
	uint32_t i = next_number(t);

	if (i == STORE_NONE) {
		t->was_full = true;
		store_lack(s, -E2BIG);
		return STORE_NONE;
	}
	return store_room(s, at + (uint64_t)i * size, size) ? i : STORE_NONE;
}

/* ---- peers ---- */

static struct disk_peer *peer_at(struct store *s, uint32_t i)
{
	return (struct disk_peer *)(s->map + store_peer_at(&s->place, i));
}

static bool same_peer(const struct disk_peer *a, const struct disk_peer *b)
{
	return a->ia == b->ia && a->host_len == b->host_len && !memcmp(a->host, b->host, sizeof(a->host));
}

uint32_t store_peer_put(struct store *s, const struct store_peer *p)
{
	struct table *t = &s->peers;
	struct disk_peer d;
	uint32_t h, i;

	if (!store_peer_build(p, 0, &d)) {
		store_lack(s, -EINVAL);
		return STORE_NONE;
	}
	h = hash(t, &d.ia, sizeof(d.ia)) ^ hash(t, d.host, sizeof(d.host));
	i = t->buckets[h & t->mask];
	while (i != STORE_NONE && (t->entries[i].hash != h || !same_peer(peer_at(s, i), &d)))
		i = t->entries[i].next;
	if (i == STORE_NONE) {
		i = room_in(s, t, s->place.peers, sizeof(d));
		if (i == STORE_NONE)
			return i;
		take_number(t, i, h);
	}
	t->entries[i].refs++;
	store_peer_update(s, i, p);
	return i;
}

void store_peer_update(struct store *s, uint32_t index, const struct store_peer *p)
{
	struct disk_peer d;

	if (index == STORE_NONE)
		return;
	assert(index < s->peers.size && s->peers.entries[index].refs);
	if (store_peer_build(p, index, &d))
		store_change(s, store_peer_at(&s->place, index), &d, sizeof(d));
	else
		store_lack(s, -EINVAL);
}

void store_peer_drop(struct store *s, uint32_t index)
{
	static const struct disk_peer none;

	if (index == STORE_NONE)
		return;
	assert(index < s->peers.size && s->peers.entries[index].refs);
	if (--s->peers.entries[index].refs)
		return;
	store_change(s, store_peer_at(&s->place, index), &none, sizeof(none));
	give_back(&s->peers, index);
}

/* ---- paths ---- */

static struct disk_path *path_at(struct store *s, uint32_t i)
{
	return (struct disk_path *)(s->map + store_path_at(&s->place, i));
}

static bool same_path(const struct disk_path *a, const struct disk_path *b)
{
	return !memcmp((const uint8_t *)a + STORE_PATH_CONTENT, (const uint8_t *)b + STORE_PATH_CONTENT,
		       sizeof(*a) - STORE_PATH_CONTENT);
}

/* A record of a set is one that the path source offered: the next daemon starts with those. */
static void mark_in_set(struct store *s, uint32_t index, bool in_set)
{
	struct disk_path d = *path_at(s, index);

	d.in_set = in_set;
	store_path_seal(&d, index);
	store_change(s, store_path_at(&s->place, index), &d, STORE_PATH_CONTENT);
}

static uint32_t use_path(struct store *s, uint32_t i, bool in_set)
{
	struct table_entry *e = &s->paths.entries[i];

	if (in_set && !e->set_refs)
		mark_in_set(s, i, true);
	e->refs++;
	e->set_refs += in_set;
	return i;
}

/* Thousands of connections have one path, which knows its record, if that is still its own. */
static uint32_t known_record(const struct store *s, const struct path *p)
{
	uint32_t i = p->record - 1;

	return p->record && i < s->paths.size && s->paths.entries[i].refs && s->paths.entries[i].last == p ? i : STORE_NONE;
}

static uint32_t find_path(struct store *s, const struct disk_path *d, uint32_t h)
{
	struct table *t = &s->paths;
	uint32_t i = t->buckets[h & t->mask];

	while (i != STORE_NONE && (t->entries[i].hash != h || !same_path(path_at(s, i), d)))
		i = t->entries[i].next;
	return i;
}

static uint32_t new_path(struct store *s, struct disk_path *d, uint32_t h)
{
	uint32_t i = room_in(s, &s->paths, s->place.paths, sizeof(*d));

	if (i == STORE_NONE)
		return i;
	take_number(&s->paths, i, h);
	store_path_seal(d, i);
	store_change(s, store_path_at(&s->place, i), d, sizeof(*d));
	return i;
}

uint32_t store_path_put(struct store *s, struct path *p, bool in_set)
{
	struct disk_path d;
	uint32_t h, i = known_record(s, p);

	if (i != STORE_NONE)
		return use_path(s, i, in_set);
	if (!store_path_build(p, &d)) {
		store_lack(s, -EINVAL);
		return STORE_NONE;
	}
	h = hash(&s->paths, (uint8_t *)&d + STORE_PATH_CONTENT, sizeof(d) - STORE_PATH_CONTENT);
	i = find_path(s, &d, h);
	if (i == STORE_NONE)
		i = new_path(s, &d, h);
	if (i == STORE_NONE)
		return i;
	p->record = i + 1;
	s->paths.entries[i].last = p;
	return use_path(s, i, in_set);
}

void store_path_drop(struct store *s, uint32_t index, bool in_set)
{
	static const uint8_t none[STORE_PATH_HEAD];
	struct table_entry *e;

	if (index == STORE_NONE)
		return;
	e = &s->paths.entries[index];
	assert(index < s->paths.size && e->refs && e->set_refs >= in_set);
	e->refs--;
	e->set_refs -= in_set;
	if (!e->refs) {
		store_change(s, store_path_at(&s->place, index), none, sizeof(none));
		give_back(&s->paths, index);
	} else if (in_set && !e->set_refs) {
		mark_in_set(s, index, false);
	}
}

uint32_t store_paths_used(const struct store *s)
{
	return s->paths.used;
}
