/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Records of the file and what they say, both ways, with the same checks: what a builder writes down, the
 * parser of the next daemon takes. References between records are load.c's.
 */
#include "shila/store/layout.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define CHECKED(d)	  ((const uint8_t *)(d) + sizeof((d)->check))
#define CHECKED_LEN(size) ((size) - sizeof(uint32_t))

static bool all_zero(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	while (len && !*p) {
		p++;
		len--;
	}
	return !len;
}

static bool is_wildcard(uint64_t ia)
{
	return !(ia >> 48) || !(ia << 16);
}

static bool family_ok(uint8_t len)
{
	return len == 4 || len == 16;
}

/* Bytes behind an IPv4 address are zero, as in struct ip_addr. */
static bool host_ok(uint8_t len, const uint8_t b[16])
{
	return family_ok(len) && all_zero(b + len, 16u - len);
}

/* ---- header ---- */

static bool header_ok(const struct disk_header *d)
{
	struct store_place place;
	struct store_shape shape = { d->workers, d->flows, d->peers, d->paths };

	if (store_place_of(&shape, &place) < 0 || !host_ok(d->local_len, d->local_host) ||
	    d->num_sides > STORE_MAX_SIDES)
		return false;
	for (unsigned int i = 0; i < STORE_MAX_SIDES; i++)
		if (!memchr(d->sides[i], '\0', sizeof(d->sides[i])) || (i >= d->num_sides && d->sides[i][0]))
			return false;
	return true;
}

static uint32_t header_check(const struct disk_header *d)
{
	const uint8_t *from = (const uint8_t *)&d->workers;

	return store_check(d->version, 0, from, sizeof(*d) - offsetof(struct disk_header, workers));
}

bool store_header_build(const struct store_shape *shape, const struct store_host *host, struct disk_header *out)
{
	struct disk_header d = {
		.byte_order = STORE_BYTE_ORDER,
		.version = STORE_VERSION,
		.workers = shape->workers,
		.flows = shape->flows,
		.peers = shape->peers,
		.paths = shape->paths,
		.boot_id = host->boot_id,
		.local_ia = host->local.ia.v,
		.local_len = host->local.host.len,
		.num_sides = host->num_sides,
		.mtu_bytes = host->mtu_bytes,
		.port_min = host->port_min,
		.port_max = host->port_max,
		.contact_port = host->contact_port,
	};

	memcpy(d.magic, STORE_MAGIC, sizeof(d.magic));
	memcpy(d.kernel_boot, host->kernel_boot, sizeof(d.kernel_boot));
	memcpy(d.local_host, host->local.host.b, sizeof(d.local_host));
	memcpy(d.worker_ports, host->worker_ports, sizeof(d.worker_ports));
	for (unsigned int i = 0; i < STORE_MAX_SIDES; i++) /* nothing behind the end of a string */
		strncpy(d.sides[i], host->sides[i], sizeof(d.sides[i]));
	d.check = header_check(&d);
	*out = d;
	return header_ok(&d);
}

int store_header_parse(const struct disk_header *d, struct store_shape *shape, struct store_host *host)
{
	if (d->check != header_check(d) || !header_ok(d))
		return -EBADMSG;
	*shape = (struct store_shape){ d->workers, d->flows, d->peers, d->paths };
	*host = (struct store_host){
		.boot_id = d->boot_id,
		.local = { { d->local_ia }, ip_addr_make(d->local_host, d->local_len) },
		.mtu_bytes = d->mtu_bytes,
		.port_min = d->port_min,
		.port_max = d->port_max,
		.contact_port = d->contact_port,
		.num_sides = d->num_sides,
	};
	memcpy(host->kernel_boot, d->kernel_boot, sizeof(host->kernel_boot));
	memcpy(host->worker_ports, d->worker_ports, sizeof(host->worker_ports));
	memcpy(host->sides, d->sides, sizeof(host->sides));
	return 1;
}

/* ---- peers ---- */

static bool peer_ok(const struct disk_peer *d)
{
	if (d->used != 1 || !host_ok(d->host_len, d->host) || is_wildcard(d->ia) || !d->contact_port ||
	    d->num_workers > STORE_MAX_WORKERS)
		return false;
	for (unsigned int i = 0; i < STORE_MAX_WORKERS; i++)
		if (!d->worker_ports[i] != (i >= d->num_workers))
			return false;
	return true;
}

bool store_peer_build(const struct store_peer *p, uint32_t index, struct disk_peer *out)
{
	struct disk_peer d = {
		.used = 1,
		.host_len = p->addr.host.len,
		.num_workers = p->num_workers,
		.ia = p->addr.ia.v,
		.boot_id = p->boot_id,
		.contact_port = p->contact_port,
	};

	memcpy(d.host, p->addr.host.b, sizeof(d.host));
	for (unsigned int i = 0; i < p->num_workers && i < STORE_MAX_WORKERS; i++)
		d.worker_ports[i] = p->worker_ports[i];
	d.check = store_check(STORE_SEED_PEER, index, CHECKED(&d), CHECKED_LEN(sizeof(d)));
	*out = d;
	return peer_ok(&d);
}

int store_peer_parse(const struct disk_peer *d, uint32_t index, struct store_peer *out)
{
	if (all_zero(d, sizeof(*d)))
		return 0;
	if (d->check != store_check(STORE_SEED_PEER, index, CHECKED(d), CHECKED_LEN(sizeof(*d))) || !peer_ok(d))
		return -EBADMSG;
	*out = (struct store_peer){
		.addr = { { d->ia }, ip_addr_make(d->host, d->host_len) },
		.boot_id = d->boot_id,
		.contact_port = d->contact_port,
		.num_workers = d->num_workers,
	};
	memcpy(out->worker_ports, d->worker_ports, sizeof(out->worker_ports));
	return 1;
}

/* ---- paths ---- */

/* A received path knows its interfaces, but not the ASes they are in: all zero. */
static bool hops_ok(const struct disk_path *d)
{
	unsigned int known = 0;

	for (unsigned int i = 0; i < d->num_hops; i++) {
		if (d->hop_ia[i] && is_wildcard(d->hop_ia[i]))
			return false;
		known += !!d->hop_ia[i];
	}
	return !known || (known == d->num_hops && d->hop_ia[d->num_hops - 1] == d->dst_ia);
}

static bool raw_ok(const struct disk_path *d)
{
	struct scion_path_meta meta;
	uint16_t ifids[PATH_MAX_HOPS];
	int n;

	if (scion_path_check(d->raw, d->raw_len, &meta) < 0 || meta.curr_hf)
		return false;
	n = scion_path_interfaces(d->raw, d->raw_len, ifids, PATH_MAX_HOPS);
	return n == d->num_hops && !memcmp(ifids, d->hop_ifid, (size_t)n * sizeof(ifids[0]));
}

static bool path_ok(const struct disk_path *d)
{
	if (d->used != 1 || d->in_set > 1 || d->num_hops > PATH_MAX_HOPS || d->num_hops % 2 ||
	    d->raw_len > sizeof(d->raw) || is_wildcard(d->dst_ia) || !d->mtu_bytes)
		return false;
	if (d->next_hop_len ? !host_ok(d->next_hop_len, d->next_hop) || !d->next_hop_port :
			      !all_zero(d->next_hop, sizeof(d->next_hop)) || d->next_hop_port || d->raw_len)
		return false; /* only without routers there need not be a next hop */
	if (d->next_hop_scope && d->next_hop_len != 16)
		return false;
	if (!d->raw_len)
		return !d->num_hops;
	return raw_ok(d) && hops_ok(d);
}

bool store_path_build(const struct path *p, struct disk_path *out)
{
	bool v6 = p->next_hop.sa.sa_family == AF_INET6, none = p->next_hop.sa.sa_family == AF_UNSPEC;
	struct ip_addr next = none ? (struct ip_addr){ 0 } : sock_addr_ip(&p->next_hop);

	memset(out, 0, sizeof(*out));
	if (p->num_hops > PATH_MAX_HOPS || p->raw_len > sizeof(out->raw))
		return false;
	out->used = 1;
	out->num_hops = p->num_hops;
	out->raw_len = p->raw_len;
	out->mtu_bytes = p->mtu_bytes;
	out->latency_us = p->latency_us;
	out->dst_ia = p->dst_ia.v;
	out->expiry_unix_s = p->expiry_unix_s;
	out->bandwidth_kbps = p->bandwidth_kbps;
	out->next_hop_len = next.len;
	memcpy(out->next_hop, next.b, sizeof(next.b));
	out->next_hop_port = none ? 0 : sock_addr_port(&p->next_hop);
	out->next_hop_scope = v6 ? p->next_hop.v6.scope_id : 0;
	for (unsigned int i = 0; i < p->num_hops; i++) {
		out->hop_ia[i] = p->hops[i].ia.v;
		out->hop_ifid[i] = p->hops[i].ifid;
	}
	if (p->raw_len)
		memcpy(out->raw, p->raw, p->raw_len);
	return path_ok(out);
}

void store_path_seal(struct disk_path *d, uint32_t index)
{
	d->check = store_check(STORE_SEED_PATH, index, CHECKED(d), CHECKED_LEN(sizeof(*d)));
}

int store_path_parse(const struct disk_path *d, uint32_t index, struct path **out, bool *in_set)
{
	struct path_hop hops[PATH_MAX_HOPS];
	struct ip_addr next;
	struct path *p;

	if (all_zero(d, STORE_PATH_HEAD))
		return 0;
	if (d->check != store_check(STORE_SEED_PATH, index, CHECKED(d), CHECKED_LEN(sizeof(*d))) || !path_ok(d))
		return -EBADMSG;
	for (unsigned int i = 0; i < d->num_hops; i++)
		hops[i] = (struct path_hop){ { d->hop_ia[i] }, d->hop_ifid[i] };
	p = path_new(hops, d->num_hops, d->raw, d->raw_len);
	if (!p)
		return -ENOMEM;
	p->dst_ia.v = d->dst_ia;
	p->mtu_bytes = d->mtu_bytes;
	p->expiry_unix_s = d->expiry_unix_s;
	p->latency_us = d->latency_us;
	p->bandwidth_kbps = d->bandwidth_kbps;
	if (d->next_hop_len) {
		next = ip_addr_make(d->next_hop, d->next_hop_len);
		p->next_hop = sock_addr_make(&next, d->next_hop_port);
		if (d->next_hop_len == 16)
			p->next_hop.v6.scope_id = d->next_hop_scope;
	}
	*out = p;
	*in_set = d->in_set;
	return 1;
}

/* ---- flows ---- */

static const struct {
	uint8_t state;
	uint8_t since; /* version of the layout */
} states[] = {
	[DISK_OPEN] = { FLOW_OPEN, 1 },
	[DISK_CLOSING] = { FLOW_CLOSING, 1 },
	[DISK_LINGER] = { FLOW_LINGER, 1 },
};

enum { NUM_STATES = sizeof(states) / sizeof(states[0]) };

static uint8_t disk_state(uint8_t state)
{
	for (uint8_t i = 1; i < NUM_STATES; i++)
		if (states[i].state == state && states[i].since <= STORE_VERSION)
			return i;
	return 0;
}

static bool flow_ok(const struct disk_flow *d, uint32_t version)
{
	uint8_t state = d->state_kind & 15, kind = d->state_kind >> 4;
	uint8_t len = d->flags & DISK_FLOW_V6 ? 16 : 4;

	if (!state || state >= NUM_STATES || states[state].since > version || kind < FLOW_MAIN || kind > FLOW_DATAGRAM ||
	    (kind == FLOW_DATAGRAM) == (d->proto == IPPROTO_TCP) || d->flags & ~DISK_FLOW_FLAGS)
		return false;
	if (d->flags & DISK_FLOW_TOKEN ? kind != FLOW_MAIN && kind != FLOW_SUB : d->token)
		return false;
	if (!host_ok(len, d->local) || !host_ok(len, d->remote) ||
	    !all_zero(d->client + (d->flags & DISK_FLOW_CLIENT ? len : 0), d->flags & DISK_FLOW_CLIENT ? 16u - len : 16))
		return false;
	if (d->flags & DISK_FLOW_SERVER && !(d->flags & DISK_FLOW_CLIENT))
		return false;
	return FLOW_ID_INDEX(d->theirs_id) && d->peer_port;
}

bool store_flow_build(const struct store_flow *f, struct disk_flow *out)
{
	struct disk_flow d = {
		.state_kind = (uint8_t)(disk_state(f->state) | f->kind << 4),
		.flags = (uint8_t)((f->server ? DISK_FLOW_SERVER : 0) | (f->confirmed ? DISK_FLOW_CONFIRMED : 0) |
				   (f->has_token ? DISK_FLOW_TOKEN : 0) | (f->key.local.len == 16 ? DISK_FLOW_V6 : 0) |
				   (f->client.len ? DISK_FLOW_CLIENT : 0)),
		.side = f->key.side,
		.proto = f->key.proto,
		.created_ms = f->created_ms,
		.mine_id = f->mine.id,
		.theirs_id = f->theirs.id,
		.peer = f->peer,
		.path = f->path,
		.token = f->has_token ? f->token.v : 0,
		.isn = f->isn,
		.local_port = f->key.local_port,
		.remote_port = f->key.remote_port,
		.mine_tag = f->mine.tag,
		.theirs_tag = f->theirs.tag,
		.peer_port = f->peer_port,
		.mss = f->mss,
		.path_changes = f->path_changes < UINT8_MAX ? (uint8_t)f->path_changes : UINT8_MAX,
		.saw = f->saw,
		.epoch = f->epoch,
		.tun = f->tun,
	};

	memcpy(d.local, f->key.local.b, sizeof(d.local));
	memcpy(d.remote, f->key.remote.b, sizeof(d.remote));
	memcpy(d.client, f->client.b, sizeof(d.client));
	d.check = store_check(f->worker, f->slot, CHECKED(&d), CHECKED_LEN(STORE_FLOW_COLD));
	*out = d;
	return f->kind <= FLOW_DATAGRAM && family_ok(f->key.local.len) && f->key.remote.len == f->key.local.len &&
	       (!f->client.len || f->client.len == f->key.local.len) && FLOW_ID_INDEX(f->mine.id) == f->slot &&
	       flow_ok(&d, STORE_VERSION);
}

int store_flow_parse(const struct disk_flow *d, uint32_t version, uint8_t worker, uint32_t slot, struct store_flow *out)
{
	uint8_t len = d->flags & DISK_FLOW_V6 ? 16 : 4;

	if (all_zero(d, STORE_FLOW_COLD))
		return 0;
	if (d->check != store_check(worker, slot, CHECKED(d), CHECKED_LEN(STORE_FLOW_COLD)) || !flow_ok(d, version) ||
	    FLOW_ID_INDEX(d->mine_id) != slot)
		return -EBADMSG;
	*out = (struct store_flow){
		.worker = worker,
		.slot = slot,
		.key = { .side = d->side,
			 .proto = d->proto,
			 .local_port = d->local_port,
			 .remote_port = d->remote_port,
			 .local = ip_addr_make(d->local, len),
			 .remote = ip_addr_make(d->remote, len) },
		.mine = { d->mine_id, d->mine_tag },
		.theirs = { d->theirs_id, d->theirs_tag },
		.state = states[d->state_kind & 15].state,
		.kind = d->state_kind >> 4,
		.server = d->flags & DISK_FLOW_SERVER,
		.confirmed = d->flags & DISK_FLOW_CONFIRMED,
		.has_token = d->flags & DISK_FLOW_TOKEN,
		.epoch = d->epoch,
		.tun = d->tun,
		.peer_port = d->peer_port,
		.mss = d->mss,
		.path_changes = d->path_changes,
		.saw = d->saw,
		.peer = d->peer,
		.path = d->path,
		.token = { d->token },
		.isn = d->isn,
		.created_ms = d->created_ms,
		.client = d->flags & DISK_FLOW_CLIENT ? ip_addr_make(d->client, len) : (struct ip_addr){ 0 },
		.hot = d->hot,
	};
	/* Not under the check: what this version does not know is not known. */
	out->hot.known &= FLOW_KNOWS_OUT | FLOW_KNOWS_IN | FLOW_KNOWS_ACK;
	memset(out->hot.reserved, 0, sizeof(out->hot.reserved));
	if (version < 2)
		out->hot.last_s = 0;
	return 1;
}
