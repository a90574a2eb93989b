/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_POOL_H
#define SHILA_CORE_POOL_H

#include "shila/wire/scion_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Addresses of `ingress.pool`: each (peer, client address) appears at the server under an address of
 * its own, so that clients with the same private addresses never collide. Kept as long as it is used.
 */

struct pool;

/* pool_new() - @prefixes of either family; the first and, in IPv4, the last address are left out. */
struct pool *pool_new(const struct ip_prefix *prefixes, size_t n);
void pool_free(struct pool *p);

/**
 * pool_get() - The address of this client, a new one if it has none; one more use.
 * Return: 0; -ENOSPC pool exhausted, -EAFNOSUPPORT no prefix of that family, -ENOMEM.
 */
int pool_get(struct pool *p, const struct scion_addr *peer, const struct ip_addr *client, struct ip_addr *out);

/**
 * pool_restore() - The client had this address before a restart: one more use of it.
 * Return: 0; -EADDRNOTAVAIL outside of the prefixes; -EEXIST the address is another client's, or the client has another one;
 * -ENOMEM. Limits are not looked at: what was granted stays.
 */
int pool_restore(struct pool *p, const struct scion_addr *peer, const struct ip_addr *client,
		 const struct ip_addr *address);

/* pool_has() - Whether this client has an address. */
bool pool_has(const struct pool *p, const struct scion_addr *peer, const struct ip_addr *client);

/* pool_put() - One use less; with the last the address is free again. */
void pool_put(struct pool *p, const struct ip_addr *address);

uint64_t pool_size(const struct pool *p);
uint64_t pool_used(const struct pool *p);

#endif
