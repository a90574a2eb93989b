/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Client side, up to the answer: a SYN (or first datagram) of a local program becomes an OPEN on the flow's
 * own path, repeated until the peer answers (establishing.c) or the deadline. SYNs are held, never dropped,
 * while a path is looked up: after three lost SYNs the kernel would make the connection plain TCP.
 */
#include "shila/control/control.h"

#include <errno.h>
#include <string.h>

#define OPEN_RTO_UNKNOWN_MS 250 /* no RTT known yet */
#define OPEN_RTO_MIN_MS	    30
#define OPEN_RTO_MAX_MS	    1000
#define OPENS_TO_WORKER	    2 /* unanswered ones, then the contact port is tried */
#define OPENS_ON_A_PATH	    2 /* unanswered ones, then another path is tried */
#define OPEN_DATAGRAM_BYTES 1200 /* that an OPEN for datagrams is padded to */

/* ---- OPEN ---- */

/* Body of an OPEN for TCP: the newest SYN, MSS clamped, cut to what fits. Return: length or -EBADMSG. */
static int syn_body(struct ctl_flow *f, uint8_t *out, size_t cap)
{
	struct held_packet *h = f->held;
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	uint8_t opts[40];
	struct thin_tcp t;
	struct wr w = wr_init(out, cap);
	size_t data, room;

	if (ip_parse(h->bytes, h->len, &ip) < 0 || tcp_parse(h->bytes + ip.l4_off, h->len - ip.l4_off, &tcp) < 0)
		return -EBADMSG;
	memcpy(opts, tcp.opts, tcp.opts_len);
	tcp_options_clamp_mss(opts, tcp.opts_len, f->conn->mss);
	t = (struct thin_tcp){
		.seq = tcp.seq, .ack = tcp.ack, .flags = tcp.flags, .window = tcp.window,
		.urgent = tcp.urgent, .opts = opts, .opts_len = tcp.opts_len,
	};
	frame_build_thin(&w, &t);
	data = h->len - ip.l4_off - tcp.hdr_len; /* TCP fast open */
	room = w.left;
	wr_copy(&w, h->bytes + ip.l4_off + tcp.hdr_len, data < room ? data : room);
	return w.bad ? -EBADMSG : (int)(w.p - out);
}

/*
 * What the worker needs while an OPEN is out: to know the frames for the flow as ours. Once a bare ACCEPT
 * told the port of the peer's worker, frames of the flow go there, wherever its OPEN is repeated to.
 */
static void follow_open(struct ctl_flow *f, struct tmpl *t)
{
	struct tmpl *own;

	if (!f->installed) {
		flow_install(f, t);
	} else if (!f->theirs.id) {
		flow_set_tmpl(f, tmpl_get(t));
	} else {
		own = flow_tmpl(f, f->path->path, f->worker, f->tmpl->peer_port);
		if (own)
			flow_set_tmpl(f, own);
	}
}

uint32_t flow_payload(const uint8_t *pkt, size_t len)
{
	struct ip_pkt ip;

	return ip_parse(pkt, len, &ip) < 0 ? 0 : inet_payload_len(&ip);
}

/* The server sends us no more bytes than we sent until it has heard us: room for its first answer. */
static int pad_open(uint8_t *frame, int len, uint16_t budget)
{
	int to = budget < OPEN_DATAGRAM_BYTES ? budget : OPEN_DATAGRAM_BYTES;

	if (len >= to)
		return len;
	memset(frame + len, 0, (size_t)(to - len));
	return to;
}

static void send_open(struct ctl_flow *f)
{
	struct control *c = f->control;
	bool contact = f->opens >= OPENS_TO_WORKER || !f->peer->num_workers;
	uint16_t port = peer_port(c, f->peer, f->key.local_port, f->key.remote_port, contact);
	struct tmpl *t = flow_tmpl(f, f->path->path, f->worker, port);
	struct frame_open o = {
		.from = f->mine,
		.kind = (uint8_t)f->kind,
		.proto = f->key.proto,
		.epoch = f->epoch,
		.path_mtu = f->path->path->mtu_bytes,
		.born_ms = (uint16_t)f->created_ms,
		.src = f->key.local,
		.dst = conn_route(f->control, f->conn)->as,
		.src_port = f->key.local_port,
		.dst_port = f->key.remote_port,
	};
	uint8_t body[2048];
	size_t cap = sizeof(body);
	int len;

	if (!t) {
		f->opens++;
		flow_step(f, FLOW_EV_SEND_OPEN); /* not lost more than one that the network loses */
		return;
	}
	if (!o.dst.len)
		o.dst.len = o.src.len; /* unspecified: the ingress address */
	if (tmpl_budget(t) < 64 + 128u)
		cap = 128;
	else if (tmpl_budget(t) - 64u < cap)
		cap = tmpl_budget(t) - 64u; /* frame header and fixed part of OPEN */
	if (f->tcp) {
		len = syn_body(f, body, cap);
	} else {
		len = f->num_held ? (int)f->held->len : 0;
		if ((size_t)len > cap)
			len = 0; /* too large for an OPEN: it follows as DATAGRAM */
		if (len)
			memcpy(body, f->held->bytes, (size_t)len);
		f->first_sent = len > 0;
		f->first_bytes = (uint16_t)flow_payload(body, (size_t)len);
	}
	if (len >= 0) {
		o.body = body;
		o.body_len = (uint16_t)len;
		len = frame_build_open(c->packet, sizeof(c->packet), &o);
	}
	follow_open(f, t);
	worker_kick(c->workers[f->worker]); /* parts of a datagram that come before are lost */
	if (len > 0 && !f->tcp && !f->invited) /* that one is an answer itself */
		len = pad_open(c->packet, len, tmpl_budget(t));
	if (len > 0)
		control_send_frame(c, f->worker, t, f->slot, c->packet, (size_t)len);
	tmpl_put(t);
	if (!f->opens++ || !f->open_sent_us)
		f->open_sent_us = control_now_us();
	f->peer->opens_tx++;
	c->n.opens_tx++;
	flow_step(f, FLOW_EV_SEND_OPEN);
}

uint32_t opening_spread(const struct ctl_flow *f, unsigned int number)
{
	return (f->mine.tag + number * 0x10001u) * 0x9E3779B1u >> 16;
}

/* The next time-out: 3/4 to 5/4 of the computed one. */
static void arm(struct ctl_flow *f)
{
	uint64_t now = control_now_ms(f->control);
	uint64_t rto = f->rto_ms * (192ull + opening_spread(f, f->opens) % 128) / 256;

	flow_timer(f, f->deadline_ms > now ? min_u64(rto, f->deadline_ms - now) : 0);
}

/* Hundreds of OPENs at once are not answered as fast as one: repeated too soon, they would only take longer. */
static uint32_t first_rto(const struct peer_path *pp)
{
	uint32_t ms = pp->srtt_us ? (pp->srtt_us + 4 * pp->var_us) / 1000 + 10 : OPEN_RTO_UNKNOWN_MS;

	ms += pp->peer->opening;
	return ms < OPEN_RTO_MIN_MS ? OPEN_RTO_MIN_MS : ms > OPEN_RTO_MAX_MS ? OPEN_RTO_MAX_MS : ms;
}

/* Paths are there: choose and send. */
void opening_start(struct ctl_flow *f)
{
	struct control *c = f->control;
	struct conn *n = f->conn;

	if (f->kind == FLOW_SUB) {
		struct peer_path *pp = f->path ? f->path : conn_next_path(c, n);

		flow_use_path(f, !pp && conn_has_hole(n) ? conn_other_path(f, OTHER_UNUSED) : pp);
		if (!f->path) {
			flow_refuse_reset(f, MPTCP_RST_RESOURCES, "surplus subflow: every path of this connection has one");
			return;
		}
	} else {
		int err = conn_plan(c, n, f);

		if (err == -ENOMEM) { /* as if no paths were known yet */
			flow_step(f, FLOW_EV_HOLD);
			arm(f);
			return;
		}
		if (err < 0) {
			flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST, "no SCION path to the peer");
			return;
		}
		flow_use_path(f, conn_next_path(c, n));
	}
	f->rto_ms = first_rto(f->path);
	send_open(f);
	arm(f);
	if (!f->peer->num_workers)
		peer_hello(c, f->peer);
}

static void wait_or_start(struct ctl_flow *f)
{
	struct control *c = f->control;
	struct path_set *s = f->peer->set;

	if (s->known && s->num_paths) {
		opening_start(f);
		return;
	}
	if (s->known && !s->err && control_now_ms(c) - s->answered_ms < 1000) {
		flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST, "no SCION path to the peer's AS");
		return;
	}
	path_set_ask(s, false);
	flow_step(f, FLOW_EV_HOLD);
	arm(f);
}

void opening_paths_known(struct peer *p)
{
	struct ctl_flow *f, *next;

	FLOW_LIST_FOREACH(p->control, p->waiting, f, next, wait) {
		if (p->set->num_paths)
			opening_start(f);
		else if (!p->set->err)
			flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST, "no SCION path to the peer's AS");
		/* else: the source did not answer, and is asked again until the deadline */
	}
}

/* Another path for an OPEN that nobody answers. */
static void try_other_path(struct ctl_flow *f)
{
	struct peer_path *pp = conn_other_path(f, OTHER_UNUSED);

	if (pp) {
		flow_use_path(f, pp);
		flow_changed_path(f);
	}
}

void opening_timer(struct ctl_flow *f)
{
	struct control *c = f->control;

	if (f->invited) {
		flow_free(f); /* the next packet of the server invites again */
		return;
	}
	if (control_now_ms(c) >= f->deadline_ms) {
		const struct path_set *s = f->peer->set;

		if (f->state == FLOW_WAITING) {
			flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST,
			       s->err ? s->why : "the SCION daemon did not answer in time");
			return;
		}
		if (f->peer->heard_us < f->open_sent_us) /* else it is there, and has too much to do */
			peer_fail(c, f->peer);
		flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST, "the peer does not answer: is shilad running there?");
		return;
	}
	if (f->state == FLOW_WAITING) {
		path_set_ask(f->peer->set, false);
		arm(f);
		return;
	}
	if (f->opens == OPENS_TO_WORKER && f->peer->num_workers)
		peer_hello(c, f->peer); /* its worker ports may be others now */
	if (f->opens % OPENS_ON_A_PATH == 0)
		try_other_path(f);
	f->rto_ms = f->rto_ms * 2 < OPEN_RTO_MAX_MS ? f->rto_ms * 2 : OPEN_RTO_MAX_MS;
	send_open(f);
	arm(f);
}

/* ---- a packet of a local program ---- */

/* A datagram travels whole, so with a checksum; the kernel left it to us. */
void held_checksum(struct held_packet *h)
{
	struct ip_pkt ip;

	if (!(h->vnet.flags & VNET_F_NEEDS_CSUM) || ip_parse(h->bytes, h->len, &ip) < 0)
		return;
	inet_l4_csum_set(h->bytes, &ip);
	h->vnet.flags &= (uint8_t)~VNET_F_NEEDS_CSUM;
}

void flow_hold(struct ctl_flow *f, const struct up_msg *m)
{
	struct held_packet *h = control_hold(f->control, m);

	if (!h)
		return;
	f->invited = false; /* a program of ours waits for it now */
	if (!f->tcp)
		held_checksum(h);
	if (f->tcp)
		flow_drop_held(f); /* the kernel's newest SYN replaces the one before */
	if (f->num_held < HELD_DATAGRAMS) {
		LL_APPEND(f->held, h);
		f->num_held++;
	} else {
		f->control->drops[VERDICT_LIMIT_HELD]++;
		control_unhold(f->control, h);
	}
}

/* The peer to use: the first that is not known to be silent. */
static struct peer *route_peer(struct control *c, const struct config_route *r)
{
	struct peer *first = NULL;

	for (size_t i = 0; i < r->num_via; i++) {
		struct peer *p = peer_find(c, &r->via[i].addr);

		first = first ? first : p;
		if (p && p->state != PEER_SILENT)
			return p;
	}
	return first;
}

static void open_new(struct control *c, const struct up_msg *m, const struct flow_key *key,
		     const struct config_route *route, struct conn *conn, enum flow_kind kind, uint32_t isn)
{
	struct ctl_flow *f = flow_new(c, key, key->local_port, key->remote_port);

	if (!f && flow_room(c, key->local_port, key->remote_port))
		return; /* no memory: the kernel repeats its SYN */
	if (!f) {
		packet_refuse(c, m, VERDICT_LIMIT_FLOWS, INET_UNREACH_HOST, "limits.flows is reached");
		return;
	}
	f->kind = kind;
	f->isn = isn;
	f->tun = m->tun;
	f->peer = conn ? conn_peer(c, conn) : route_peer(c, route);
	limits_count(f);
	f->deadline_ms = f->created_ms + c->cfg->contact.open_deadline_ms;
	f->rto_ms = OPEN_RTO_UNKNOWN_MS;
	if (!conn)
		conn = conn_new(f, route);
	if (!conn) {
		control_no_memory(c);
		flow_free(f);
		return;
	}
	conn_add(conn, f);
	if (kind == FLOW_SUB) {
		f->token = conn->token;
		f->has_token = true;
		c->n.subflows++;
	} else if (kind == FLOW_DATAGRAM) {
		c->n.datagrams++;
	} else {
		c->n.connections++;
	}
	flow_hold(f, m);
	if (!f->num_held) {
		flow_free(f); /* limit of held packets: counted; the kernel repeats its SYN */
		return;
	}
	if (kind == FLOW_SUB)
		opening_start(f);
	else
		wait_or_start(f);
}

/*
 * A packet of the server that @parent is with came from another port, or without one: what follows gets a flow
 * of its own. One OPEN and no more, since nobody here waits for the answer.
 */
void opening_related(struct control *c, const struct ctl_flow *parent, const struct flow_key *key)
{
	struct ctl_flow *f;
	struct conn *conn;

	if (!flow_conn(parent))
		return;
	f = flow_new(c, key, key->local_port, key->remote_port);
	if (!f)
		return;
	f->kind = FLOW_DATAGRAM;
	f->invited = true;
	f->tun = parent->tun;
	f->peer = parent->peer;
	limits_count(f);
	f->deadline_ms = f->created_ms + c->cfg->contact.open_deadline_ms;
	conn = conn_new(f, conn_route(c, parent->conn));
	if (!conn) {
		flow_free(f);
		return;
	}
	conn_add(conn, f);
	c->n.datagrams++;
	opening_start(f);
}

static void open_tcp(struct control *c, const struct up_msg *m, const struct flow_key *key, const struct tcp_hdr *tcp)
{
	struct tcp_options o;
	const struct config_route *route = config_route_find(c->cfg, &key->remote);
	struct conn *conn = NULL;
	enum flow_kind kind = FLOW_PLAIN;

	if (tcp_options_parse(tcp->opts, tcp->opts_len, &o) < 0) {
		c->drops[VERDICT_TUN_MALFORMED]++;
		return;
	}
	if (!route || !m->side) {
		packet_refuse(c, m, VERDICT_NO_ROUTE, INET_UNREACH_HOST,
			      m->side ? "no route for it (routes[].to)" : "the ingress namespace is for servers only");
		return;
	}
	flow_make_room(c, key->local_port, key->remote_port); /* before the connection is looked for: it may go with it */
	if (o.mptcp == MPTCP_JOIN) {
		kind = FLOW_SUB;
		conn = o.has_token ? conn_by_token(c, m->side, o.token) : NULL;
		if (!conn) {
			log_debug("join to an unknown connection (token %08x): RST", o.token.v);
			packet_reset(c, m, MPTCP_RST_ERROR);
			return;
		}
		if (conn_live_flows(c, conn) >= conn->num_planned || (!conn_next_path(c, conn) && !conn_has_hole(conn))) {
			log_debug("surplus join (token %08x): RST", o.token.v);
			packet_reset(c, m, MPTCP_RST_RESOURCES);
			return;
		}
	} else if (o.mptcp == MPTCP_CAPABLE) {
		kind = FLOW_MAIN;
	}
	open_new(c, m, key, route, conn, kind, tcp->seq);
}

void opening_packet(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct tcp_hdr *tcp)
{
	struct flow_key key = {
		.side = m->side, .proto = ip->proto, .local = ip_pkt_src(ip), .remote = ip_pkt_dst(ip),
	};
	const struct config_route *route;
	struct ctl_flow *f;

	inet_ports(m->bytes, ip, &key.local_port, &key.remote_port);
	f = flow_by_key(c, &key);
	if (f && f->expected && tcp && tcp->flags & TCP_SYN && subflows_syn(f, m, tcp))
		return;
	if (tcp && (!(tcp->flags & TCP_SYN) || tcp->flags & TCP_ACK)) {
		c->drops[VERDICT_NO_FLOW]++;
		if (!f) /* else it is about a connection that was given up, and must not end the new one */
			packet_reset(c, m, -1);
		return;
	}
	if (f && f->state < FLOW_OPEN && (!tcp || tcp->seq == f->isn)) {
		flow_hold(f, m);
		return;
	}
	if (f && tcp && tcp->seq == f->isn) {
		/* It crossed its SYN/ACK, or that was lost behind us: the server repeats it when it hears us. */
		if (f->state == FLOW_OPEN && f->tmpl)
			flow_send_alive(f);
		return;
	}
	if (f)
		flow_free(f); /* the ports are used again */
	if (tcp) {
		open_tcp(c, m, &key, tcp);
		return;
	}
	route = config_route_find(c->cfg, &key.remote);
	if (!route || !m->side) {
		packet_refuse(c, m, VERDICT_NO_ROUTE, INET_UNREACH_HOST,
			      m->side ? "no route for it (routes[].to)" : "the ingress namespace is for servers only");
		return;
	}
	flow_make_room(c, key.local_port, key.remote_port);
	open_new(c, m, &key, route, NULL, FLOW_DATAGRAM, 0);
}
