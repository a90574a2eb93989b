/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/io/scion_daemon.h"

#include "shila/base/bytes.h"
#include "shila/io/proto/daemon.pb-c.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/*
 * The outer, repeated fields are walked here and only their elements are handed to protobuf-c: so
 * one bad path spoils no other, and what a message makes us allocate is limited by
 * SCION_DAEMON_MAX_ENTRY rather than by what the daemon sends (an empty path is two bytes on the
 * wire and two hundred in memory).
 */

typedef Proto__Daemon__V1__Path PathMsg; /* protobuf-c makes typedefs of the package's name */
typedef Proto__Daemon__V1__InterfacesEntry InterfaceMsg;

enum { WIRE_VARINT = 0, WIRE_I64 = 1, WIRE_LEN = 2, WIRE_I32 = 5 };

static uint64_t rd_varint(struct rd *r)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t b = rd_u8(r);

		v |= shift < 64 ? (uint64_t)(b & 0x7f) << shift : 0;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

/*
 * next_entry() - Go to the next element of repeated message field 1, skipping what else there is.
 * Return: false at the end, and then @r->bad if the bytes are no message.
 */
static bool next_entry(struct rd *r, struct rd *entry)
{
	while (r->left && !r->bad) {
		uint64_t key = rd_varint(r), len;

		switch (key & 7) {
		case WIRE_VARINT:
			(void)rd_varint(r);
			continue;
		case WIRE_I64:
			rd_skip(r, 8);
			continue;
		case WIRE_I32:
			rd_skip(r, 4);
			continue;
		case WIRE_LEN:
			len = rd_varint(r);
			entry->p = rd_bytes(r, len);
			entry->left = len;
			entry->bad = false;
			if (!r->bad && key >> 3 == 1)
				return true;
			continue;
		default:
			r->bad = true;
		}
	}
	return false;
}

static bool is_wildcard(struct isd_as ia)
{
	return !(ia.v >> 48) || !(ia.v & 0xffffffffffff);
}

/* hops_check() - Interfaces of @m to @hops. Return: what is wrong, or NULL. */
static const char *hops_check(const PathMsg *m, struct isd_as dst, struct path_hop *hops)
{
	size_t n = m->n_interfaces;

	if (!n || n % 2 || n > PATH_MAX_HOPS)
		return "number of interfaces";
	for (size_t i = 0; i < n; i++) {
		const Proto__Daemon__V1__PathInterface *itf = m->interfaces[i];

		if (!itf->id || itf->id > UINT16_MAX)
			return "interface id out of range";
		hops[i] = (struct path_hop){{itf->isd_as}, itf->id};
		if (is_wildcard(hops[i].ia))
			return "ISD-AS is a wildcard";
	}
	if (hops[n - 1].ia.v != dst.v)
		return "ends in another AS";
	for (size_t i = 1; i + 1 < n; i += 2)
		if (hops[i].ia.v != hops[i + 1].ia.v)
			return "enters one AS and leaves another";
	/* hops[2i] stands for the i-th AS; the last has an entry of its own. */
	for (size_t i = 0; i < n; i += 2) {
		if (hops[i].ia.v == dst.v)
			return "enters an AS twice";
		for (size_t j = i + 2; j < n; j += 2)
			if (hops[i].ia.v == hops[j].ia.v)
				return "enters an AS twice";
	}
	return NULL;
}

static const char *raw_check(const PathMsg *m, const struct path_hop *hops)
{
	uint16_t ids[PATH_MAX_HOPS];
	struct scion_path_meta meta;
	int n;

	if (m->raw.len > SCION_MAX_PATH_LEN || scion_path_check(m->raw.data, m->raw.len, &meta) < 0)
		return "raw path is malformed";
	if (meta.curr_inf || meta.curr_hf)
		return "raw path does not start at its first hop";
	n = scion_path_interfaces(m->raw.data, m->raw.len, ids, PATH_MAX_HOPS);
	if (n < 0 || (size_t)n != m->n_interfaces)
		return "raw path and interfaces differ";
	for (int i = 0; i < n; i++)
		if (ids[i] != hops[i].ifid)
			return "raw path and interfaces differ";
	return NULL;
}

static const char *next_hop_parse(const Proto__Daemon__V1__Interface *itf, union sock_addr *out)
{
	struct ip_addr ip;

	if (!itf || !itf->address || !itf->address->address ||
	    sock_addr_parse(itf->address->address, out) < 0)
		return "address of the border router";
	ip = sock_addr_ip(out);
	if (ip_addr_is_unspecified(&ip) || ip_addr_is_multicast(&ip) || !sock_addr_port(out))
		return "address of the border router";
	return NULL;
}

/* Sum of the latencies between interfaces; one unknown makes the sum unknown. */
static uint32_t latency_sum(const PathMsg *m)
{
	uint64_t sum_us = 0;

	if (!m->n_interfaces || m->n_latency != m->n_interfaces - 1)
		return PATH_LATENCY_UNKNOWN;
	for (size_t i = 0; i < m->n_latency; i++) {
		int64_t s = m->latency[i]->seconds;
		int32_t ns = m->latency[i]->nanos;

		if (s < 0 || s > 3600 || ns < 0 || ns > 999999999)
			return PATH_LATENCY_UNKNOWN;
		sum_us += (uint64_t)s * 1000000 + (uint32_t)ns / 1000;
	}
	return sum_us < PATH_LATENCY_UNKNOWN ? sum_us : PATH_LATENCY_UNKNOWN;
}

static uint64_t bandwidth_min(const PathMsg *m)
{
	uint64_t min = UINT64_MAX;

	if (!m->n_interfaces || m->n_bandwidth != m->n_interfaces - 1)
		return 0;
	for (size_t i = 0; i < m->n_bandwidth; i++)
		if (m->bandwidth[i] < min)
			min = m->bandwidth[i];
	return min;
}

/* path_from() - A checked path. Return: what is wrong, or NULL; *out is NULL without memory. */
static const char *path_from(const PathMsg *m, struct isd_as dst, struct path **out)
{
	bool local = !m->raw.len && !m->n_interfaces;
	struct path_hop hops[PATH_MAX_HOPS];
	union sock_addr next_hop = {0};
	int64_t expiry = INT64_MAX;
	const char *wrong = NULL;
	struct path *p;

	if (!local) {
		wrong = hops_check(m, dst, hops);
		if (!wrong)
			wrong = raw_check(m, hops);
		if (!wrong)
			wrong = next_hop_parse(m->interface, &next_hop);
		if (wrong)
			return wrong;
		/* The routers go by the hop fields, so they do not outlive what is announced. */
		expiry = scion_path_expiry(m->raw.data, m->raw.len);
		if (m->expiration && m->expiration->seconds > 0 && m->expiration->seconds < expiry)
			expiry = m->expiration->seconds;
	}
	if (m->mtu < SCION_DAEMON_MIN_MTU || m->mtu > UINT16_MAX)
		return "MTU out of range";

	p = path_new(local ? NULL : hops, m->n_interfaces, m->raw.data, m->raw.len);
	*out = p;
	if (!p)
		return NULL;
	p->dst_ia = dst;
	p->mtu_bytes = m->mtu;
	p->expiry_unix_s = expiry;
	p->latency_us = latency_sum(m);
	p->bandwidth_kbps = bandwidth_min(m);
	p->next_hop = next_hop;
	return NULL;
}

/* merge() - @p replaces or yields to a path of equal interfaces. Return: false if there is none. */
static bool merge(struct path **out, size_t n, struct path *p)
{
	for (size_t i = 0; i < n; i++) {
		if (!path_same(out[i], p))
			continue;
		if (p->expiry_unix_s > out[i]->expiry_unix_s) {
			path_put(out[i]);
			out[i] = p;
		} else {
			path_put(p);
		}
		return true;
	}
	return false;
}

static void drop(struct scion_daemon_drops *drops, const char *reason)
{
	if (!drops->bad++)
		drops->reason = reason;
}

int scion_daemon_paths_decode(const uint8_t *msg, size_t len, struct isd_as dst, struct path **out,
			      size_t max, size_t *n, struct scion_daemon_drops *drops)
{
	struct rd r = rd_init(msg, len), entry;
	size_t count = 0, seen = 0;
	int err = -EPROTO;

	memset(drops, 0, sizeof(*drops));
	while (next_entry(&r, &entry)) {
		const char *wrong = "message is malformed";
		struct path *p = NULL;
		PathMsg *m = NULL;

		if (seen++ >= SCION_DAEMON_MAX_ENTRIES) {
			drops->surplus++;
			continue;
		}
		if (entry.left <= SCION_DAEMON_MAX_ENTRY)
			m = proto__daemon__v1__path__unpack(NULL, entry.left, entry.p);
		if (m)
			wrong = path_from(m, dst, &p);
		proto__daemon__v1__path__free_unpacked(m, NULL);
		if (wrong) {
			drop(drops, wrong);
			continue;
		}
		if (!p) {
			err = -ENOMEM;
			goto put_paths;
		}
		if (merge(out, count, p))
			continue;
		if (count < max) {
			out[count++] = p;
		} else {
			drops->surplus++;
			path_put(p);
		}
	}
	if (r.bad)
		goto put_paths;
	*n = count;
	return 0;
put_paths:
	while (count)
		path_put(out[--count]);
	return err;
}

int scion_daemon_as_decode(const uint8_t *msg, size_t len, struct local_as *as)
{
	Proto__Daemon__V1__ASResponse *m = NULL;
	int err = -EPROTO;

	if (len <= SCION_DAEMON_MAX_ENTRY)
		m = proto__daemon__v1__asresponse__unpack(NULL, len, msg);
	if (!m)
		return -EPROTO;
	if (!is_wildcard((struct isd_as){m->isd_as}) && m->mtu >= SCION_DAEMON_MIN_MTU &&
	    m->mtu <= UINT16_MAX) {
		as->ia.v = m->isd_as;
		as->mtu_bytes = m->mtu;
		err = 0;
	}
	proto__daemon__v1__asresponse__free_unpacked(m, NULL);
	return err;
}

int scion_daemon_interfaces_decode(const uint8_t *msg, size_t len, struct local_as *as)
{
	const size_t max = sizeof(as->routers) / sizeof(*as->routers);
	struct rd r = rd_init(msg, len), entry;
	union sock_addr routers[sizeof(as->routers) / sizeof(*as->routers)], addr;
	size_t n = 0, seen = 0;

	while (next_entry(&r, &entry)) {
		InterfaceMsg *m = NULL;
		const char *wrong = "";
		size_t i;

		if (seen++ >= SCION_DAEMON_MAX_ENTRIES || n >= max)
			continue;
		memset(&addr, 0, sizeof(addr));
		if (entry.left <= SCION_DAEMON_MAX_ENTRY)
			m = proto__daemon__v1__interfaces_entry__unpack(NULL, entry.left, entry.p);
		if (m)
			wrong = next_hop_parse(m->value, &addr);
		proto__daemon__v1__interfaces_entry__free_unpacked(m, NULL);
		if (wrong)
			continue;
		/* Many interfaces, few routers. */
		for (i = 0; i < n && !sock_addr_eq(&routers[i], &addr); i++)
			;
		if (i == n)
			routers[n++] = addr;
	}
	if (r.bad)
		return -EPROTO;
	if (n)
		memcpy(as->routers, routers, n * sizeof(*routers));
	as->num_routers = n;
	return 0;
}

int scion_daemon_port_range_decode(const uint8_t *msg, size_t len, struct local_as *as)
{
	Proto__Daemon__V1__PortRangeResponse *m = NULL;
	int err = -EPROTO;

	if (len <= SCION_DAEMON_MAX_ENTRY)
		m = proto__daemon__v1__port_range_response__unpack(NULL, len, msg);
	if (!m)
		return -EPROTO;
	if (m->dispatched_port_start <= m->dispatched_port_end &&
	    m->dispatched_port_end <= UINT16_MAX) {
		as->port_min = m->dispatched_port_start;
		as->port_max = m->dispatched_port_end;
		err = 0;
	}
	proto__daemon__v1__port_range_response__free_unpacked(m, NULL);
	return err;
}
