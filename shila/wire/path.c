/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/path.h"

#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fingerprint(const struct path_hop *hops, uint16_t n, uint8_t out[PATH_FINGERPRINT_LEN])
{
	uint8_t bytes[PATH_MAX_HOPS * 16];

	for (uint16_t i = 0; i < n; i++) {
		put_be64(bytes + 16 * i, hops[i].ia.v);
		put_be64(bytes + 16 * i + 8, hops[i].ifid);
	}
	SHA256(bytes, 16u * n, out);
}

struct path *path_new(const struct path_hop *hops, uint16_t num_hops, const uint8_t *raw,
		      uint16_t raw_len)
{
	size_t hops_bytes = num_hops * sizeof(*hops);
	struct path *p;
	uint8_t *tail;

	if (num_hops > PATH_MAX_HOPS)
		return NULL;
	p = calloc(1, sizeof(*p) + hops_bytes + raw_len);
	if (!p)
		return NULL;
	tail = (uint8_t *)(p + 1);
	if (num_hops)
		memcpy(tail, hops, hops_bytes);
	if (raw_len)
		memcpy(tail + hops_bytes, raw, raw_len);
	atomic_init(&p->refs, 1);
	p->hops = (const struct path_hop *)tail;
	p->num_hops = num_hops;
	p->raw = tail + hops_bytes;
	p->raw_len = raw_len;
	p->latency_us = PATH_LATENCY_UNKNOWN;
	fingerprint(hops, num_hops, p->fingerprint);
	return p;
}

struct path *path_get(struct path *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void path_put(struct path *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
}

bool path_same(const struct path *a, const struct path *b)
{
	return !memcmp(a->fingerprint, b->fingerprint, PATH_FINGERPRINT_LEN) && a->dst_ia.v == b->dst_ia.v;
}

bool path_same_interfaces(const struct path *a, const struct path *b)
{
	if (a->num_hops != b->num_hops)
		return false;
	for (uint16_t i = 0; i < a->num_hops; i++)
		if (a->hops[i].ifid != b->hops[i].ifid)
			return false;
	return true;
}

char *path_fingerprint_str(const struct path *p, char *buf)
{
	for (int i = 0; i < PATH_FINGERPRINT_LEN; i++)
		sprintf(buf + 2 * i, "%02x", p->fingerprint[i]);
	return buf;
}

static bool same_hop(const struct path_hop *a, const struct path_hop *b)
{
	return a->ia.v == b->ia.v && a->ifid == b->ifid;
}

unsigned int path_shared_links(const struct path *a, const struct path *b)
{
	unsigned int shared = 0;

	/* One end names a link: interface ids are unique within an AS. */
	for (uint16_t i = 0; i + 1 < a->num_hops; i += 2)
		for (uint16_t j = 0; j + 1 < b->num_hops; j += 2)
			shared += same_hop(&a->hops[i], &b->hops[j]) ||
				  same_hop(&a->hops[i], &b->hops[j + 1]);
	return shared;
}

bool path_has_interface(const struct path *p, struct isd_as ia, uint64_t ifid)
{
	for (uint16_t i = 0; i < p->num_hops; i++)
		if (p->hops[i].ia.v == ia.v && p->hops[i].ifid == ifid)
			return true;
	return false;
}
