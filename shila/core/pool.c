/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
/* Without memory an element is not in the table, and its hh.tbl NULL; the default is to exit. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* A prefix of 2^64 addresses is as good as one of 2^32: nobody has that many clients. */
#define MAX_PREFIX_BITS 32

struct client_key {
	struct isd_as ia;
	struct ip_addr host, client;
};

struct entry {
	struct client_key key;
	struct ip_addr address;
	uint32_t uses;
	struct range *range;
	UT_hash_handle by_client, by_address;
};

struct range {
	struct ip_prefix prefix;
	uint64_t count; /* usable addresses, host parts 1..count */
	uint64_t next;	/* where to look first */
	uint64_t used;
};

struct pool {
	struct range *ranges;
	size_t num_ranges;
	struct entry *by_client, *by_address;
};

struct pool *pool_new(const struct ip_prefix *prefixes, size_t n)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->ranges = calloc(n ? n : 1, sizeof(*p->ranges));
	if (!p->ranges) {
		free(p);
		return NULL;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned int bits = prefixes[i].addr.len * 8u - prefixes[i].bits;
		uint64_t total = 1ull << (bits < MAX_PREFIX_BITS ? bits : MAX_PREFIX_BITS);
		uint64_t left_out = prefixes[i].addr.len == 4 ? 2 : 1;

		p->ranges[i].prefix = prefixes[i];
		p->ranges[i].count = total > left_out ? total - left_out : 0;
	}
	p->num_ranges = n;
	return p;
}

void pool_free(struct pool *p)
{
	struct entry *e, *e_next;

	if (!p)
		return;
	HASH_CLEAR(by_address, p->by_address);
	HASH_ITER(by_client, p->by_client, e, e_next) {
		HASH_DELETE(by_client, p->by_client, e);
		free(e);
	}
	free(p->ranges);
	free(p);
}

static struct entry *by_address(const struct pool *p, const struct ip_addr *a)
{
	struct entry *e;

	HASH_FIND(by_address, p->by_address, a, sizeof(*a), e);
	return e;
}

static bool free_address(struct pool *p, uint8_t family_len, struct entry *e, bool *family)
{
	for (size_t i = 0; i < p->num_ranges; i++) {
		struct range *r = &p->ranges[i];

		if (r->prefix.addr.len != family_len)
			continue;
		*family = true;
		if (r->used == r->count)
			continue; /* or each refusal would cost a look at every address */
		for (uint64_t n = 0; n < r->count; n++) {
			struct ip_addr a = ip_addr_nth(&r->prefix, 1 + (r->next + n) % r->count);

			if (by_address(p, &a))
				continue;
			r->next = (r->next + n + 1) % r->count;
			r->used++;
			e->range = r;
			e->address = a;
			return true;
		}
	}
	return false;
}

static void entry_free(struct pool *p, struct entry *e)
{
	e->range->used--;
	if (e->by_client.tbl)
		HASH_DELETE(by_client, p->by_client, e);
	if (e->by_address.tbl)
		HASH_DELETE(by_address, p->by_address, e);
	free(e);
}

static struct client_key client_key(const struct scion_addr *peer, const struct ip_addr *client)
{
	struct client_key key;

	memset(&key, 0, sizeof(key)); /* hashed as bytes */
	key.ia = peer->ia;
	memcpy(&key.host, &peer->host, sizeof(key.host));
	memcpy(&key.client, client, sizeof(key.client));
	return key;
}

static struct entry *by_client(const struct pool *p, const struct client_key *key)
{
	struct entry *e;

	HASH_FIND(by_client, p->by_client, key, sizeof(*key), e);
	return e;
}

/* -ENOMEM: it is gone. */
static int add(struct pool *p, struct entry *e, const struct client_key *key)
{
	memcpy(&e->key, key, sizeof(*key));
	HASH_ADD(by_client, p->by_client, key, sizeof(e->key), e);
	HASH_ADD(by_address, p->by_address, address, sizeof(e->address), e);
	if (!e->by_client.tbl || !e->by_address.tbl) {
		entry_free(p, e);
		return -ENOMEM;
	}
	return 0;
}

int pool_get(struct pool *p, const struct scion_addr *peer, const struct ip_addr *client, struct ip_addr *out)
{
	struct client_key key = client_key(peer, client);
	struct entry *e = by_client(p, &key);
	bool family = false;
	int err;

	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		if (!free_address(p, client->len, e, &family)) {
			free(e);
			return family ? -ENOSPC : -EAFNOSUPPORT;
		}
		err = add(p, e, &key);
		if (err < 0)
			return err;
	}
	e->uses++;
	*out = e->address;
	return 0;
}

/* The range that gives out this address. */
static struct range *range_of(struct pool *p, const struct ip_addr *a)
{
	for (size_t i = 0; i < p->num_ranges; i++) {
		struct range *r = &p->ranges[i];
		uint64_t host = 0;
		struct ip_addr same;

		if (!ip_prefix_contains(&r->prefix, a))
			continue;
		for (unsigned int k = r->prefix.bits / 8; k < a->len; k++)
			host = host << 8 | (uint8_t)(a->b[k] & ~r->prefix.addr.b[k]);
		same = ip_addr_nth(&r->prefix, host);
		if (host && host <= r->count && ip_addr_eq(&same, a))
			return r;
	}
	return NULL;
}

int pool_restore(struct pool *p, const struct scion_addr *peer, const struct ip_addr *client,
		 const struct ip_addr *address)
{
	struct client_key key = client_key(peer, client);
	struct entry *e = by_client(p, &key), *other = by_address(p, address);
	struct range *r = range_of(p, address);

	if (e != other)
		return -EEXIST;
	if (!r)
		return -EADDRNOTAVAIL;
	if (!e) {
		e = calloc(1, sizeof(*e));
		if (!e)
			return -ENOMEM;
		e->range = r;
		e->address = *address;
		r->used++;
		if (add(p, e, &key) < 0)
			return -ENOMEM;
	}
	e->uses++;
	return 0;
}

void pool_put(struct pool *p, const struct ip_addr *address)
{
	struct entry *e = by_address(p, address);

	if (!e || --e->uses)
		return;
	entry_free(p, e);
}

uint64_t pool_size(const struct pool *p)
{
	uint64_t n = 0;

	for (size_t i = 0; i < p->num_ranges; i++)
		n += p->ranges[i].count;
	return n;
}

uint64_t pool_used(const struct pool *p)
{
	return HASH_CNT(by_client, p->by_client);
}

bool pool_has(const struct pool *p, const struct scion_addr *peer, const struct ip_addr *client)
{
	struct client_key key = client_key(peer, client);

	return by_client(p, &key) != NULL;
}
