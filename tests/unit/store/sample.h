/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_STORE_SAMPLE_H
#define SHILA_TESTS_STORE_SAMPLE_H

#include "shila/store/layout.h"
#include "shila/store/store.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the tests of this folder put into state files; every field has a value of its own. */

#define SAMPLE_SHAPE ((struct store_shape){ .workers = 2, .flows = 20, .peers = 4, .paths = 6 })

static char sample_dir[64], why[STORE_WHY_LEN];

static inline void sample_begin(void)
{
	strcpy(sample_dir, "/tmp/shila-test-XXXXXX");
	if (!mkdtemp(sample_dir))
		abort();
	*why = '\0';
}

static inline void sample_end(void)
{
	store_forget(sample_dir);
	if (rmdir(sample_dir))
		abort();
}

static inline struct ip_addr sample_ip(bool v6, uint8_t last)
{
	uint8_t four[4] = { 10, 7, 200, last }, six[16] = { 0xfd, 7, [8] = 0xab, [15] = last };

	return v6 ? ip_addr_make(six, 16) : ip_addr_make(four, 4);
}

static inline struct isd_as sample_ia(uint64_t as)
{
	return (struct isd_as){ 0x0001000000000000u | as };
}

static inline struct store_host sample_host(void)
{
	struct store_host h = {
		.kernel_boot = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
		.boot_id = 0x1122334455667788u,
		.local = { sample_ia(0xff0000000110), sample_ip(true, 1) },
		.mtu_bytes = 1472,
		.port_min = 31000,
		.port_max = 32767,
		.contact_port = 31654,
		.worker_ports = { 31001, 31002 },
		.sides = { "shila-ingress", "shila-egress" },
		.num_sides = 3, /* the last is host mode: "" */
	};

	return h;
}

static inline struct store_peer sample_peer(unsigned int n)
{
	struct store_peer p = {
		.addr = { sample_ia(64513 + n), sample_ip(n & 1, (uint8_t)(10 + n)) },
		.boot_id = 0xa1a2a3a4a5a6a700u + n,
		.contact_port = (uint16_t)(31654 + n),
		.num_workers = (uint8_t)(n % 9),
	};

	for (unsigned int i = 0; i < p.num_workers; i++)
		p.worker_ports[i] = (uint16_t)(31100 + i + n);
	return p;
}

/* A raw path of segments of these lengths; its interfaces are 1, 2, .. in the order of the bytes. */
static inline uint16_t sample_raw(uint8_t *raw, uint8_t s0, uint8_t s1, uint8_t s2)
{
	unsigned int segs = 1u + !!s1 + !!s2, hops = s0 + s1 + s2;
	uint8_t *hop = raw + 4 + 8 * segs;

	memset(raw, 0, SCION_MAX_PATH_LEN);
	put_be32(raw, (uint32_t)s0 << 12 | (uint32_t)s1 << 6 | s2);
	for (unsigned int i = 0; i < segs; i++) {
		raw[4 + 8 * i] = i & 1;
		put_be16(raw + 4 + 8 * i + 2, (uint16_t)(0x5000 + i));
		put_be32(raw + 4 + 8 * i + 4, 1700000000 + i);
	}
	for (unsigned int i = 0; i < hops; i++, hop += 12) {
		hop[1] = 63;
		put_be16(hop + 2, (uint16_t)(2 * i + 1));
		put_be16(hop + 4, (uint16_t)(2 * i + 2));
		memset(hop + 6, 0xc0 + (int)(i & 15), 6);
	}
	return (uint16_t)(4 + 8 * segs + 12 * hops);
}

/* @n tells it from others; @named: with the ASes, as of the path source. */
static inline struct path *sample_path(unsigned int n, bool named, uint64_t as, uint8_t s0, uint8_t s1, uint8_t s2)
{
	uint8_t raw[SCION_MAX_PATH_LEN];
	uint16_t ids[PATH_MAX_HOPS], len = s0 ? sample_raw(raw, s0, s1, s2) : 0;
	struct path_hop hops[PATH_MAX_HOPS];
	int num = len ? scion_path_interfaces(raw, len, ids, PATH_MAX_HOPS) : 0;
	struct ip_addr next = sample_ip(n & 1, 99);
	struct path *p;

	if (num < 0)
		abort();
	for (int i = 0; i < num; i++)
		hops[i] = (struct path_hop){ named ? sample_ia(i + 1 < num ? 100u + (unsigned int)i : as) :
						     (struct isd_as){ 0 }, ids[i] };
	p = path_new(hops, (uint16_t)num, raw, len);
	if (!p)
		abort();
	p->dst_ia = sample_ia(as);
	p->mtu_bytes = (uint16_t)(1400 + n);
	p->expiry_unix_s = len ? 1800000000 + n : INT64_MAX;
	p->latency_us = 12000 + n;
	p->bandwidth_kbps = 0x100000000u + n;
	if (len) {
		p->next_hop = sock_addr_make(&next, (uint16_t)(30042 + n));
		if (next.len == 16)
			p->next_hop.v6.scope_id = 3;
	}
	return p;
}

static inline struct store_flow sample_flow(uint8_t worker, uint32_t slot, bool v6, uint32_t peer, uint32_t path)
{
	uint8_t n = (uint8_t)(worker * 100 + slot);
	struct store_flow f = {
		.worker = worker,
		.slot = slot,
		.key = { .side = n % 3,
			 .proto = IPPROTO_TCP,
			 .local_port = (uint16_t)(40000 + n),
			 .remote_port = (uint16_t)(5000 + n),
			 .local = sample_ip(v6, 1),
			 .remote = sample_ip(v6, 2) },
		.mine = { slot << 12 | 0x123, (uint16_t)(0x4500 + n) },
		.theirs = { (slot + 7) << 12 | 0xabc, (uint16_t)(0x6700 + n) },
		.state = FLOW_OPEN,
		.kind = FLOW_SUB,
		.server = true,
		.confirmed = true,
		.has_token = true,
		.epoch = n,
		.tun = (uint8_t)(n + 1),
		.peer_port = (uint16_t)(31300 + n),
		.mss = (uint16_t)(1300 + n),
		.path_changes = (uint16_t)(100 + n % 100),
		.saw = FLOW_SAW_HEARD | FLOW_SAW_FIN_IN,
		.peer = peer,
		.path = path,
		.token = { 0xdead0000u + n },
		.isn = 0xbeef0000u + n,
		.created_ms = 0x123456789a00u + n,
		.client = sample_ip(v6, 3),
	};

	return f;
}

/* As store_load() gives it back: without what only has a meaning elsewhere. */
static inline bool sample_same_flow(const struct store_flow *a, const struct store_flow *b)
{
	return a->worker == b->worker && a->slot == b->slot && flow_key_eq(&a->key, &b->key) && a->mine.id == b->mine.id &&
	       a->mine.tag == b->mine.tag && a->theirs.id == b->theirs.id && a->theirs.tag == b->theirs.tag &&
	       a->state == b->state && a->kind == b->kind && a->server == b->server && a->confirmed == b->confirmed &&
	       a->has_token == b->has_token && a->epoch == b->epoch && a->tun == b->tun && a->peer_port == b->peer_port &&
	       a->mss == b->mss && a->path_changes == b->path_changes && a->saw == b->saw && a->peer == b->peer && a->path == b->path &&
	       a->token.v == b->token.v && a->isn == b->isn && a->created_ms == b->created_ms &&
	       ip_addr_eq(&a->client, &b->client);
}

static inline bool sample_same_peer(const struct store_peer *a, const struct store_peer *b)
{
	return scion_addr_eq(&a->addr, &b->addr) && a->boot_id == b->boot_id && a->contact_port == b->contact_port &&
	       a->num_workers == b->num_workers && !memcmp(a->worker_ports, b->worker_ports, sizeof(a->worker_ports));
}

static inline bool sample_same_path(const struct path *a, const struct path *b)
{
	return path_same(a, b) && a->mtu_bytes == b->mtu_bytes && a->expiry_unix_s == b->expiry_unix_s &&
	       a->latency_us == b->latency_us && a->bandwidth_kbps == b->bandwidth_kbps &&
	       sock_addr_eq(&a->next_hop, &b->next_hop) && a->num_hops == b->num_hops && a->raw_len == b->raw_len &&
	       !memcmp(a->raw, b->raw, a->raw_len) &&
	       (a->next_hop.sa.sa_family != AF_INET6 || a->next_hop.v6.scope_id == b->next_hop.v6.scope_id);
}

#endif
