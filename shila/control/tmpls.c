/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Templates that flows share: thousands of connections between two hosts have the same headers but for what is
 * written at each packet. The last ones that were asked for are remembered, by what they are made of; a table
 * without chains, in which a newer one takes the place of an older one, so what it holds on to has an end.
 */
#include "shila/control/control.h"

#include <string.h>

static uint32_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * 0x9E3779B97F4A7C15ull;
	return (uint32_t)(h >> 32 ^ h >> 47);
}

/* What stands in its place, if it is that template. */
static bool same_ends(const struct tmpl *t, const struct scion_addr *peer, uint16_t port, uint16_t peer_port)
{
	return t && t->local_port == port && t->peer_port == peer_port && scion_addr_eq(&t->peer, peer);
}

/* Takes the reference of the caller and gives him another. */
static struct tmpl *remember(struct tmpl **place, struct tmpl *t)
{
	tmpl_put(*place);
	*place = t;
	return tmpl_get(t);
}

/* ---- over a path of ours ---- */

struct tmpl *tmpls_over(struct control *c, struct path *path, uint16_t port, const struct scion_addr *peer,
			uint16_t peer_port, const struct tmpl_infos *infos)
{
	struct tmpl **at = &c->tmpls.over[mix(mix((uintptr_t)path, port), (uint64_t)peer_port << 32 ^ peer->ia.v) %
					  TMPLS_REMEMBERED];
	struct tmpl *t = *at;

	/* A path is compared by its place: the template in the table keeps it there. */
	if (same_ends(t, peer, port, peer_port) && t->path == path && t->rx_infos_len == infos->len &&
	    !memcmp(t->rx_infos, infos->bytes, infos->len))
		return tmpl_get(t);
	t = tmpl_new(path, &c->s.local, port, peer, peer_port);
	if (!t) {
		control_no_memory(c);
		return NULL;
	}
	living_join(c, t);
	t->rx_infos_len = infos->len;
	memcpy(t->rx_infos, infos->bytes, infos->len);
	return remember(at, t);
}

/* ---- back on the path of a packet ---- */

/* The path of an arrived packet with these bytes of the way back, as a path of ours. NULL if that cannot be. */
static struct path *path_back(struct control *c, const struct arrival *a, const uint8_t *raw, uint16_t mtu)
{
	struct path_hop hops[PATH_MAX_HOPS];
	uint16_t ifids[PATH_MAX_HOPS];
	struct path *p;
	int n = 0;

	if (a->pkt.path_len) {
		n = scion_path_interfaces(raw, a->pkt.path_len, ifids, PATH_MAX_HOPS);
		if (n < 0)
			return NULL;
	}
	for (int i = 0; i < n; i++) /* the ASes are not in the packet */
		hops[i] = (struct path_hop){ .ifid = ifids[i] };
	p = path_new(hops, (uint16_t)n, raw, a->pkt.path_len);
	if (!p) {
		control_no_memory(c);
		return NULL;
	}
	p->dst_ia = a->peer.ia;
	p->mtu_bytes = mtu;
	p->expiry_unix_s = n ? scion_path_expiry(raw, a->pkt.path_len) : INT64_MAX;
	p->next_hop = a->from;
	return p;
}

static bool same_way_back(const struct tmpl *t, const struct arrival *a, const uint8_t *raw, uint16_t mtu)
{
	return t->path->raw_len == a->pkt.path_len && t->path->mtu_bytes == mtu && sock_addr_eq(&t->next_hop, &a->from) &&
	       !memcmp(t->path->raw, raw, a->pkt.path_len);
}

static struct tmpl *new_back(struct control *c, const struct arrival *a, const uint8_t *raw, uint16_t port, uint16_t mtu)
{
	struct path *p = path_back(c, a, raw, mtu);
	struct scion_path_meta meta;
	struct tmpl *t;

	if (!p)
		return NULL;
	t = tmpl_new(p, &c->s.local, port, &a->peer, a->udp.src_port);
	path_put(p);
	if (!t)
		control_no_memory(c);
	else
		living_join(c, t);
	if (t && a->pkt.path_len && !scion_path_check(a->pkt.path, a->pkt.path_len, &meta)) {
		t->rx_infos_len = (uint8_t)(8 * meta.num_inf);
		memcpy(t->rx_infos, a->pkt.path + 4, t->rx_infos_len);
	}
	return t;
}

struct tmpl *tmpls_back(struct control *c, const struct arrival *a, uint16_t port, uint16_t mtu)
{
	uint8_t raw[SCION_MAX_PATH_LEN];
	struct tmpl **at, *t;
	uint32_t h = mix(a->peer.ia.v, (uint64_t)port << 16 | a->udp.src_port);

	if (a->pkt.path_len && scion_path_reverse(a->pkt.path, a->pkt.path_len, raw) < 0)
		return NULL;
	for (size_t i = 0; i + 8 <= a->pkt.path_len; i += 8) {
		uint64_t v;

		memcpy(&v, raw + i, sizeof(v));
		h = mix(h, v);
	}
	at = &c->tmpls.back[mix(h, mtu) % TMPLS_REMEMBERED];
	t = *at;
	if (same_ends(t, &a->peer, port, a->udp.src_port) && same_way_back(t, a, raw, mtu))
		return tmpl_get(t);
	t = new_back(c, a, raw, port, mtu);
	return t ? remember(at, t) : NULL;
}

/* ---- the table ---- */

size_t tmpls_remembered(const struct control *c)
{
	size_t n = 0;

	for (unsigned int i = 0; i < TMPLS_REMEMBERED; i++)
		n += !!c->tmpls.over[i] + !!c->tmpls.back[i];
	return n;
}

void tmpls_forget(struct control *c)
{
	for (unsigned int i = 0; i < TMPLS_REMEMBERED; i++) {
		tmpl_put(c->tmpls.over[i]);
		tmpl_put(c->tmpls.back[i]);
		c->tmpls.over[i] = c->tmpls.back[i] = NULL;
	}
}
