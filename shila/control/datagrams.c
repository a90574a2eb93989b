/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Datagrams of the slow path: ICMP errors about running flows, and what a server sends to one of its
 * clients where no flow is.
 *
 * A server may answer from another port than it was asked on (TFTP), and the later fragments of a large
 * answer have no ports at all (DNS). Only the client opens flows. So the first such packets travel in a flow
 * that this client has with the same server address, for UDP from the port that is addressed; the client's
 * shilad delivers them and opens a flow of their own for what follows, as it does when its program answers.
 * That OPEN is accepted although `serve` does not list the port, because the server spoke first: for
 * EXPECTED_MS, to this client, address and pair of ports.
 */
#include "shila/control/control.h"

#include "shila/core/inner.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define EXPECTED_MS	   60000
#define EXPECTED_MAX	   4096 /* oldest forgotten */
#define RELATED_PER_SECOND 1000 /* packets; what goes on for longer has flows of its own */
#define PARENTS_LOOKED_AT  16
#define OPEN_MIN_LEN	   76	/* of a frame: what elicits an OPEN is not smaller than it */

/* The datagram flows of one client with one address of ours; [0]: to one port of it, [1]: to any. */
struct datagram_group {
	UT_hash_handle hh;
	struct group_key {
		struct ip_addr local, remote;
		uint16_t remote_port; /* 0: any */
		uint8_t proto;
	} key;
	struct ctl_flow *flows; /* newest first */
};

/* A flow that a client may open because our server spoke first. */
struct expected {
	UT_hash_handle hh;
	struct expected_key {
		struct scion_addr peer;
		struct ip_addr client, local;
		uint16_t client_port, local_port;
		uint8_t proto;
	} key;
	uint64_t until_ms;
};

/* ---- which flows a client has ---- */

static void group_key(struct group_key *k, const struct flow_key *f, bool any_port)
{
	memset(k, 0, sizeof(*k)); /* hashed as bytes */
	k->local = f->local;
	k->remote = f->remote;
	k->remote_port = any_port ? 0 : f->remote_port;
	k->proto = f->proto;
}

static struct datagram_group *group_find(struct control *c, const struct flow_key *f, bool any_port)
{
	struct datagram_group *g;
	struct group_key k;

	group_key(&k, f, any_port);
	HASH_FIND(hh, c->datagram_groups, &k, sizeof(k), g);
	return g;
}

void datagrams_add(struct ctl_flow *f)
{
	struct control *c = f->control;

	if (!f->in_group)
		f->in_group = calloc(2, sizeof(*f->in_group));
	if (!f->in_group) {
		control_no_memory(c);
		return; /* it works without, for this flow */
	}
	for (int any = 0; any < 2; any++) {
		struct datagram_group *g;

		if (f->in_group[any].group || (!any && !f->key.remote_port))
			continue;
		g = group_find(c, &f->key, any);
		if (!g) {
			g = calloc(1, sizeof(*g));
			if (g) {
				group_key(&g->key, &f->key, any);
				HASH_ADD(hh, c->datagram_groups, key, sizeof(g->key), g);
			}
			if (!g || !g->hh.tbl) {
				control_no_memory(c);
				free(g);
				return; /* it works without, for this flow */
			}
		}
		DL_PREPEND2(g->flows, f, in_group[any].prev, in_group[any].next);
		f->in_group[any].group = g;
	}
}

void datagrams_remove(struct ctl_flow *f)
{
	struct control *c = f->control;

	if (f->tcp)
		return;
	for (int any = 0; f->in_group && any < 2; any++) {
		struct datagram_group *g = f->in_group[any].group;

		if (!g)
			continue;
		DL_DELETE2(g->flows, f, in_group[any].prev, in_group[any].next);
		f->in_group[any].group = NULL;
		if (!g->flows) {
			HASH_DEL(c->datagram_groups, g);
			free(g);
		}
	}
	free(f->in_group);
	f->in_group = NULL;
}

/* The flow in which a packet without one can travel: better one whose client was heard. */
static struct ctl_flow *parent_of(struct control *c, const struct flow_key *key, bool any_port)
{
	struct datagram_group *g = group_find(c, key, any_port);
	struct ctl_flow *f, *unheard = NULL;
	unsigned int n = 0;

	for (f = g ? g->flows : NULL; f && n++ < PARENTS_LOOKED_AT; f = f->in_group[any_port].next) {
		if (f->state != FLOW_OPEN || !f->tmpl)
			continue;
		if (f->confirmed)
			return f;
		unheard = unheard ? unheard : f;
	}
	return unheard;
}

/* ---- sending ---- */

uint16_t datagrams_mtu(const struct tmpl *t)
{
	int part = (int)tmpl_budget(t) - FRAME_HDR_LEN - 4;

	return part > UINT16_MAX / 2 ? UINT16_MAX : part > 0 ? (uint16_t)(2 * part) : 0;
}

/* A whole packet, with complete checksums, in a flow of the peer. False: it does not fit. */
static bool send_packet(struct ctl_flow *f, const uint8_t *bytes, size_t len)
{
	struct control *c = f->control;
	struct frame_hdr h = { .type = FRAME_DATAGRAM, .epoch = f->epoch, .to = f->theirs };
	size_t first = len, at = 0;

	if (len + FRAME_HDR_LEN > (size_t)tmpl_budget(f->tmpl)) {
		if (len > datagrams_mtu(f->tmpl))
			return false;
		first = (len + 1) / 2;
		h.flags = FRAME_FLAG_FRAG;
		c->datagram_id += 2; /* odd: the worker has the even ones */
	}
	while (at < len) {
		struct wr w = wr_init(c->packet, sizeof(c->packet));
		size_t n = at ? len - at : first;

		if (at)
			h.flags |= FRAME_FLAG_LAST;
		frame_build_datagram(&w, &h, (uint16_t)(c->datagram_id | 1));
		wr_copy(&w, bytes + at, n);
		if (!w.bad)
			control_send_frame(c, f->worker, f->tmpl, FLOW_ID_INDEX(f->mine.id), c->packet,
					   (size_t)(w.p - c->packet));
		at += n;
	}
	return true;
}

static void send_or_answer(struct ctl_flow *f, uint8_t tun, const uint8_t *bytes, uint32_t len)
{
	if (!send_packet(f, bytes, len))
		answer_too_big(f->control, f->worker, tun, bytes, len, datagrams_mtu(f->tmpl));
}

/* ---- ICMP errors ---- */

bool datagrams_icmp_error(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct flow_key *key)
{
	struct flow_key about = *key;
	struct ctl_flow *f;
	struct ip_pkt quote;

	if (inet_quote(m->bytes, ip, &quote) < 0)
		return false;
	about.proto = quote.proto;
	f = flow_by_key(c, &about);
	if (f && f->server && f->tcp && offering_icmp(f, ip, m->bytes[ip->l4_off], m->bytes[ip->l4_off + 1]))
		return true;
	if (f && f->server && !f->tcp && !f->confirmed && f->state == FLOW_OPEN)
		flow_hold(f, m); /* as all that goes to a client that was not heard */
	else if (!f || !f->tmpl || (f->server && !f->confirmed) || (f->state != FLOW_OPEN && f->state != FLOW_CLOSING) ||
		 !send_packet(f, m->bytes, m->len))
		c->drops[VERDICT_TUN_ICMP]++;
	return true;
}

/* ---- server: what has no flow ---- */

static void expected_key(struct expected_key *k, const struct scion_addr *peer, const struct ip_addr *client,
			 uint16_t client_port, const struct ip_addr *local, uint16_t local_port, uint8_t proto)
{
	memset(k, 0, sizeof(*k));
	k->peer.ia = peer->ia;
	k->peer.host = peer->host;
	k->client = *client;
	k->local = *local;
	k->client_port = client_port;
	k->local_port = local_port;
	k->proto = proto;
}

/* In the order of time: the oldest is the first. */
static void expect(struct control *c, const struct ctl_flow *parent, const struct flow_key *key)
{
	uint64_t now_ms = control_now_ms(c);
	struct expected_key k;
	struct expected *e;

	expected_key(&k, &parent->peer->addr, &parent->client, key->remote_port, &key->local, key->local_port, key->proto);
	HASH_FIND(hh, c->expected, &k, sizeof(k), e);
	if (e) {
		HASH_DEL(c->expected, e);
	} else if (HASH_COUNT(c->expected) >= EXPECTED_MAX || (c->expected && c->expected->until_ms <= now_ms)) {
		e = c->expected;
		HASH_DEL(c->expected, e);
	} else {
		e = calloc(1, sizeof(*e));
	}
	if (!e) {
		control_no_memory(c);
		return;
	}
	e->key = k;
	e->until_ms = now_ms + EXPECTED_MS;
	HASH_ADD(hh, c->expected, key, sizeof(e->key), e);
	if (!e->hh.tbl) {
		control_no_memory(c);
		free(e);
	}
}

bool datagrams_expected(struct control *c, const struct scion_addr *peer, const struct frame_open *o,
			const struct ip_addr *local)
{
	struct expected_key k;
	struct expected *e;

	expected_key(&k, peer, &o->src, o->src_port, local, o->dst_port, o->proto);
	HASH_FIND(hh, c->expected, &k, sizeof(k), e);
	return e && e->until_ms > control_now_ms(c);
}

static bool within_rate(struct control *c)
{
	uint64_t second = control_now_ms(c) / 1000;

	if (c->related_s != second) {
		c->related_s = second;
		c->related_n = 0;
	}
	return c->related_n++ < RELATED_PER_SECOND;
}

bool datagrams_from_server(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct flow_key *key)
{
	struct ctl_flow *parent;
	struct held_packet *h;

	if (key->side || key->proto == INET_PROTO_TCP || (!ip->later_fragment && key->proto != INET_PROTO_UDP))
		return false;
	parent = parent_of(c, key, ip->later_fragment);
	if (!parent)
		return false;
	if (!within_rate(c)) {
		c->drops[VERDICT_LIMIT_RELATED]++;
		return true;
	}
	if (!ip->later_fragment)
		expect(c, parent, key);
	if (!parent->confirmed) {
		/* An OPEN can be spoofed. Answers from elsewhere wait until the client was heard. */
		flow_hold(parent, m);
		return true;
	}
	h = control_hold(c, m);
	if (h) {
		held_checksum(h);
		send_or_answer(parent, h->tun, h->bytes, h->len);
	}
	control_unhold(c, h);
	return true;
}

void datagrams_confirmed(struct ctl_flow *f)
{
	for (const struct held_packet *h = f->held; h && f->tmpl; h = h->next)
		send_or_answer(f, h->tun, h->bytes, h->len);
	flow_drop_held(f);
}

/* ---- client: a packet of the server that is of no flow yet ---- */

void datagrams_related(struct control *c, struct ctl_flow *f, const struct arrival *a, const struct frame_hdr *h,
		       const struct rd *r)
{
	struct flow_key key = f->key;
	struct rd body = *r;
	struct ip_pkt ip;
	uint16_t id;

	if (f->server || f->tcp || f->state != FLOW_OPEN || h->flags & FRAME_FLAG_LAST || a->udp.len < OPEN_MIN_LEN ||
	    frame_parse_datagram(&body, h, &id) < 0 || ip_parse_quote(body.p, body.left, &ip) < 0 ||
	    inner_of(&f->key, false, body.p, &ip) != INNER_RELATED)
		return;
	inet_ports(body.p, &ip, &key.remote_port, &key.local_port);
	if (!flow_by_key(c, &key) && f->peer->use.flows < c->cfg->limits.flows_per_peer)
		opening_related(c, f, &key);
}

void datagrams_free(struct control *c)
{
	struct expected *e, *next;

	HASH_ITER(hh, c->expected, e, next) {
		HASH_DEL(c->expected, e);
		free(e);
	}
}
