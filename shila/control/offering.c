/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Server side: an OPEN becomes a flow with a pool address as its client, its SYN goes into the ingress
 * TUN, and the kernel's answer goes back in the ACCEPT, or after a bare one once the client was heard.
 */
#include "shila/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No answer for now: no memory, or its place is not free. The client repeats its OPEN, and may have more luck. */
#define REASON_SILENT REASON_MAX

#define OVERTAKEN_MS	  30000 /* no packet is under way for longer; within half of the range of born_ms */
#define DATAGRAM_ALIVE_MS 2000 /* heard since: an OPEN with the same ports does not replace it */

static void reject(struct control *c, const struct arrival *a, const struct flow_name *to,
		   const struct flow_name *from, enum frame_reason reason)
{
	struct frame_end e = { .reason = (uint8_t)reason };
	uint8_t frame[64];
	int len;

	if (from)
		e.from = *from;
	len = frame_build_end(frame, sizeof(frame), FRAME_REJECT, to, &e);
	if (len > 0 && (size_t)len <= a->udp.len) {
		control_reply(c, a, frame, (size_t)len);
		c->n.rejects_tx++;
	}
}

/* ---- late OPENs ---- */

/*
 * An OPEN that was under way while its flow was refused, replaced or closed would open it again, and take the
 * ports from the connection that uses them now. Flows that end by FIN or RST linger, which does the same.
 */
void offering_ended(const struct ctl_flow *f, enum frame_reason reason)
{
	struct control *c = f->control;

	if (f->server && f->in_theirs)
		c->ended[c->next_ended++ % ENDED_NAMES] = (struct ended_flow){ f->peer->addr, f->theirs, reason };
}

static const struct ended_flow *find_ended(const struct control *c, const struct scion_addr *peer,
					   const struct flow_name *name)
{
	for (unsigned int i = 0; i < ENDED_NAMES; i++) {
		const struct ended_flow *e = &c->ended[i];

		if (e->name.id == name->id && e->name.tag == name->tag && scion_addr_eq(&e->peer, peer))
			return e;
	}
	return NULL;
}

/* ---- ACCEPT ---- */

/*
 * From the port that the OPEN was sent to; that may be the contact port, not the worker's. One for each
 * OPEN, until its sender was heard: an answer goes where the OPEN says that it came from.
 */
static void send_answer(struct ctl_flow *f, const uint8_t *frame, size_t len)
{
	struct tmpl *t;

	if (!f->confirmed && f->answers >= f->opens)
		return;
	t = flow_tmpl(f, f->tmpl->path, f->reply_fd, f->tmpl->peer_port);
	if (t) {
		control_send_frame(f->control, f->reply_fd, t, f->slot, frame, len);
		f->answers++;
	}
	tmpl_put(t);
}

static void send_accept(struct ctl_flow *f)
{
	struct control *c = f->control;
	struct frame_accept acc = {
		.from = f->mine,
		.worker_port = c->s.worker_ports[f->worker],
		.body = f->tcp && f->synack ? f->synack->thin : NULL,
		.body_len = f->tcp && f->synack ? f->synack->len : 0,
	};
	uint8_t frame[256];
	int len = frame_build_accept(frame, sizeof(frame), &f->theirs, f->epoch, &acc);

	if (len < 0)
		return;
	worker_kick(c->workers[f->worker]); /* it must know the flow before the client's next frame */
	send_answer(f, frame, (size_t)len);
	f->accepted = true;
	c->n.accepts_tx++;
}

static void send_refusal(struct ctl_flow *f)
{
	struct frame_end e = { .from = f->mine, .reason = f->refused_why };
	uint8_t frame[64];
	int len = frame_build_end(frame, sizeof(frame), FRAME_REJECT, &f->theirs, &e);

	if (len > 0) {
		send_answer(f, frame, (size_t)len);
		f->control->n.rejects_tx++;
	}
	if (f->refused_why != REASON_NONE)
		offering_ended(f, (enum frame_reason)f->refused_why);
}

/* ---- OPEN ---- */

static bool served(struct control *c, const struct scion_addr *peer, const struct frame_open *o, const struct ip_addr *dst)
{
	/* Later fragments have no ports. Without the first one, which has, they are nothing. */
	if (o->proto == INET_PROTO_UDP && !o->dst_port && !o->src_port)
		return config_proto_served(c->cfg, o->proto, dst);
	return config_port_served(c->cfg, o->proto, o->dst_port, dst) || datagrams_expected(c, peer, o, dst);
}

/* The inner destination at this host; len 0: refused, with the reason. */
static struct ip_addr destination(struct control *c, const struct scion_addr *peer, const struct frame_open *o,
				  enum frame_reason *reason)
{
	const struct config_ingress *in = &c->cfg->ingress;
	struct ip_addr dst = o->dst;

	*reason = REASON_NOT_SERVED;
	if (!in->enabled)
		return (struct ip_addr){ 0 };
	if (ip_addr_is_unspecified(&dst)) {
		dst.len = 0;
		for (size_t i = 0; i < in->num_addresses && !dst.len; i++)
			if (in->addresses[i].len == o->src.len)
				dst = in->addresses[i];
	}
	for (size_t i = 0; i < in->num_addresses; i++)
		if (ip_addr_eq(&in->addresses[i], &dst) && served(c, peer, o, &dst))
			return dst;
	return (struct ip_addr){ 0 };
}

static uint8_t ingress_tun(const struct control *c)
{
	for (unsigned int i = 0; i < c->s.num_tuns; i++)
		if (!c->s.tuns[i].side)
			return (uint8_t)i;
	return 0;
}

/* Writes the SYN of an OPEN to the TUN, as if its client were at the pool address. */
static bool write_syn(const struct ctl_flow *f, const struct thin_tcp *t, const struct rd *data, uint8_t traffic_class)
{
	struct control *c = f->control;
	struct tcp_build b = {
		.src = &f->key.remote, .dst = &f->key.local,
		.src_port = f->key.remote_port, .dst_port = f->key.local_port,
		.seq = t->seq, .flags = t->flags, .window = t->window, .urgent = t->urgent,
		.opts = t->opts, .opts_len = t->opts_len, .data = data->p, .len = data->left,
		.traffic_class = traffic_class,
	};
	int len = inet_build_tcp(c->packet, sizeof(c->packet), &b);

	return len > 0 &&
	       !worker_write(c->workers[f->worker], f->tun, NULL, c->packet, (uint32_t)len);
}

static bool offer_syn(struct ctl_flow *f, const struct frame_open *o, uint8_t traffic_class)
{
	struct rd body = rd_init(o->body, o->body_len);
	struct tcp_options parsed;
	struct thin_tcp t;

	if (frame_parse_thin(&body, &t) < 0)
		return false;
	f->isn = t.seq;
	if (f->kind == FLOW_SUB && !tcp_options_parse(t.opts, t.opts_len, &parsed) && parsed.has_token) {
		f->token = parsed.token; /* ours: a join names the receiver's token */
		f->has_token = true;
	}
	return write_syn(f, &t, &body, traffic_class);
}

/* The first packet of a DATAGRAM flow travels in its OPEN. */
static bool offer_packet(struct ctl_flow *f, const struct frame_open *o)
{
	if (!o->body_len)
		return true; /* too large for an OPEN: it follows */
	return flow_write_packet(f, o->body, o->body_len);
}

static enum frame_reason kind_of(const struct frame_open *o)
{
	bool tcp = o->proto == INET_PROTO_TCP;

	if (o->kind < FLOW_MAIN || o->kind > FLOW_DATAGRAM || tcp != (o->kind != FLOW_DATAGRAM) || !o->from.id)
		return REASON_MALFORMED;
	return REASON_NONE;
}

/* Everything that must be true before anything is kept for the sender. @limit: the one that was reached. */
static enum frame_reason admit(struct control *c, const struct arrival *a, const struct frame_open *o,
			       struct peer **peer, struct ip_addr *dst, enum verdict *limit)
{
	enum frame_reason reason = kind_of(o);

	if (reason != REASON_NONE)
		return reason;
	if (!config_peer_allowed(c->cfg, &a->peer)) {
		c->drops[VERDICT_NOT_ALLOWED]++;
		return REASON_NOT_ALLOWED;
	}
	*dst = destination(c, &a->peer, o, &reason);
	if (!dst->len) {
		c->drops[VERDICT_NOT_SERVED]++;
		return reason;
	}
	*limit = limits_check(c, &a->peer, &o->src);
	if (limits_forget_half_open(c, &a->peer, *limit))
		*limit = limits_check(c, &a->peer, &o->src);
	if (*limit != VERDICT_PASS)
		return REASON_NO_RESOURCES;
	*peer = peer_get(c, &a->peer);
	if (!*peer) {
		control_no_memory(c);
		return REASON_SILENT;
	}
	limits_count_open(c, *peer);
	return REASON_NONE;
}

/* The client repeats its OPEN, and its program need not learn that others were faster. */
static bool only_too_fast(enum verdict limit)
{
	return limit == VERDICT_LIMIT_OPENS || limit == VERDICT_LIMIT_AS_OPENS || limit == VERDICT_LIMIT_HALF_OPEN ||
	       limit == VERDICT_LIMIT_AS_HALF_OPEN || limit == VERDICT_LIMIT_AS_PEERS;
}

static void log_refusal(struct control *c, const struct arrival *a, const struct frame_open *o,
			enum frame_reason reason, enum verdict limit)
{
	struct peer *p = peer_find(c, &a->peer);
	char peer[SCION_ADDR_STRLEN], src[IP_ADDR_STRLEN];

	if (p ? peer_log_ok(p) : answer_may_log(c))
		log_info("refused OPEN of %s, client %s:%u to port %u: %s", scion_addr_str(&a->peer, peer),
			 ip_addr_str(&o->src, src), o->src_port, o->dst_port,
			 reason == REASON_NOT_ALLOWED ? "not in ingress.allow" :
			 reason == REASON_NOT_SERVED  ? "not in ingress.serve" :
			 limit != VERDICT_PASS	      ? verdict_sentence(limit) :
							frame_reason_str((uint8_t)reason));
}

/*
 * An OPEN with the 4-tuple of a flow that lives, under another name. The client may have lost that flow, or
 * somebody else pretends to be it, who must not end it. So our kernel is shown the SYN: it answers on the old
 * flow with a challenge ACK (RFC 5961), to which a client that has lost it says UNKNOWN; then the repeated OPEN
 * finds its place free. So it does if our kernel has lost the connection, and answers with a SYN/ACK. Datagrams have no such question: their flow is alive while it is heard.
 */
static bool must_stay(struct ctl_flow *old, const struct frame_open *o, uint8_t traffic_class)
{
	const struct flow_stats *stats = worker_flow_stats(old->control->workers[old->worker], old->slot);
	struct rd body = rd_init(o->body, o->body_len);
	struct thin_tcp t;

	if (!old->server || !old->confirmed || old->lost || (old->state != FLOW_OPEN && old->state != FLOW_CLOSING))
		return false;
	if (!old->tcp)
		return control_now_ms(old->control) < flow_counter(&stats->rx_ms) + DATAGRAM_ALIVE_MS;
	if (!frame_parse_thin(&body, &t) && write_syn(old, &t, &body, traffic_class)) {
		old->challenged = true;
		old->challenge_isn = t.seq;
	}
	return true;
}

/* Was this OPEN sent before that of the flow that has its 4-tuple? Then it was overtaken on the way. */
static bool overtaken(const struct ctl_flow *old, const struct frame_open *o)
{
	return old->server && old->born_known &&
	       control_now_ms(old->control) - old->created_ms < OVERTAKEN_MS && (int16_t)(o->born_ms - old->born_ms) < 0;
}

static uint32_t syn_seq(const struct frame_open *o)
{
	struct rd body = rd_init(o->body, o->body_len);

	return rd_be32(&body);
}

static struct ctl_flow *make_flow(struct control *c, const struct arrival *a, const struct frame_open *o,
				  struct peer *peer, const struct ip_addr *dst, enum frame_reason *reason,
				  enum verdict *limit)
{
	struct flow_key key = {
		.proto = o->proto, .local = *dst, .local_port = o->dst_port, .remote_port = o->src_port,
	};
	struct ctl_flow *f, *old;
	struct tmpl *t;
	int err;

	flow_make_room(c, o->src_port, o->dst_port);
	err = limits_pool_get(c, peer, &o->src, &key.remote);
	while (err == -ENOSPC && flow_forget_lingering(c)) /* addresses of connections that have ended */
		err = limits_pool_get(c, peer, &o->src, &key.remote);
	*reason = REASON_NO_RESOURCES;
	if (err == -ENOMEM) {
		control_no_memory(c);
		*reason = REASON_SILENT;
		return NULL;
	}
	if (err < 0) {
		*limit = VERDICT_LIMIT_POOL;
		c->drops[VERDICT_LIMIT_POOL]++;
		return NULL;
	}
	old = flow_by_key(c, &key);
	if (old && (overtaken(old, o) || must_stay(old, o, a->pkt.traffic_class))) {
		limits_pool_put(c, peer, &key.remote);
		c->drops[VERDICT_IN_USE]++;
		*reason = REASON_SILENT;
		return NULL;
	}
	if (old) {
		/*
		 * The client uses the ports again: if its RST is late, nothing else tells our kernel. With the
		 * same SYN it is the same connection, of a client that forgot its flow.
		 */
		if (old->tcp && (old->state == FLOW_OPEN || old->state == FLOW_CLOSING) && syn_seq(o) != old->isn)
			worker_reset_local(c->workers[old->worker], old->slot);
		offering_ended(old, REASON_NONE);
		flow_free(old);
	}
	f = flow_new(c, &key, o->src_port, o->dst_port);
	if (!f) {
		*limit = VERDICT_LIMIT_FLOWS;
		if (flow_room(c, o->src_port, o->dst_port))
			*reason = REASON_SILENT;
		limits_pool_put(c, peer, &key.remote);
		return NULL;
	}
	f->server = true;
	f->kind = (enum flow_kind)o->kind;
	f->pooled = true;
	f->client = o->src;
	f->tun = ingress_tun(c);
	f->epoch = o->epoch;
	f->born_ms = o->born_ms;
	f->born_known = true;
	f->peer = peer;
	limits_count(f);
	if (!f->tcp)
		f->first_bytes = (uint16_t)flow_payload(o->body, o->body_len);
	flow_set_theirs(f, &o->from);
	/* Frames of this flow leave from the port of its worker, whichever was addressed. */
	t = control_reply_tmpl(c, a, c->s.worker_ports[f->worker], o->path_mtu);
	if (t && a->len > (size_t)t->len + FRAME_ACCEPT_MIN_LEN)
		f->credit = (uint32_t)(a->len - t->len - FRAME_ACCEPT_MIN_LEN);
	err = t && f->in_theirs ? flow_install(f, t) : -ENOMEM;
	tmpl_put(t);
	if (err < 0) {
		if (err == -ENOMEM)
			*reason = REASON_SILENT;
		flow_free(f);
		return NULL;
	}
	path_set_want(c, a->peer.ia);
	return f;
}

/* The client repeats its OPEN: our answer was lost, is not there yet, or the path was changed. */
static void open_again(struct ctl_flow *f, const struct arrival *a, const struct frame_open *o)
{
	struct control *c = f->control;

	f->opens++;
	c->n.opens_again++;
	f->reply_fd = a->socket;
	if (!f->confirmed) { /* the answer follows the newest OPEN */
		struct tmpl *t = control_reply_tmpl(c, a, c->s.worker_ports[f->worker], o->path_mtu);

		if (t)
			flow_set_tmpl(f, t);
	}
	if (f->refused) {
		send_refusal(f);
		flow_free(f);
		return;
	}
	if (f->accepted)
		send_accept(f); /* one for this OPEN; with the SYN/ACK if it came meanwhile */
	if (f->state == FLOW_OFFERED && f->tcp)
		offer_syn(f, o, a->pkt.traffic_class); /* a full backlog drops SYNs: TCP would repeat it, too */
}

void offering_open(struct control *c, const struct arrival *a, struct rd *r)
{
	struct frame_open o;
	enum frame_reason reason;
	enum verdict limit = VERDICT_PASS;
	struct peer *peer = NULL;
	struct ip_addr dst = { 0 };
	const struct ended_flow *ended;
	struct ctl_flow *f;

	if (frame_parse_open(r, &o) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.opens_rx++;
	f = flow_by_theirs(c, &a->peer, &o.from);
	if (f && f->server) {
		open_again(f, a, &o);
		return;
	}
	ended = o.from.id ? find_ended(c, &a->peer, &o.from) : NULL;
	if (ended) {
		c->drops[VERDICT_FRAME_STATE]++;
		if (ended->reason != REASON_NONE)
			reject(c, a, &o.from, NULL, ended->reason);
		return;
	}
	reason = admit(c, a, &o, &peer, &dst, &limit);
	if (reason == REASON_NONE)
		f = make_flow(c, a, &o, peer, &dst, &reason, &limit);
	else
		f = NULL;
	if (!f && reason == REASON_SILENT)
		return;
	if (!f) {
		log_refusal(c, a, &o, reason, limit);
		if (!only_too_fast(limit))
			reject(c, a, &o.from, NULL, reason);
		return;
	}
	peer->opens_rx++;
	peer_heard(peer);
	f->opens = 1;
	f->reply_fd = a->socket;
	if (f->tcp ? !offer_syn(f, &o, a->pkt.traffic_class) : !offer_packet(f, &o)) {
		reject(c, a, &o.from, NULL, REASON_MALFORMED);
		flow_free(f);
		return;
	}
	if (f->kind == FLOW_DATAGRAM)
		c->n.datagrams++;
	else if (f->kind == FLOW_SUB)
		c->n.subflows++;
	else
		c->n.connections++;
	flow_step(f, FLOW_EV_OFFER);
	if (f->tcp) {
		flow_timer(f, OFFER_BARE_MS);
		return;
	}
	flow_step(f, FLOW_EV_ESTABLISH);
	worker_open_flow(c->workers[f->worker], f->slot, &f->theirs);
	worker_kick(c->workers[f->worker]); /* parts of a datagram that come before are lost */
	send_accept(f);
	flow_timer(f, OFFER_DEADLINE_MS);
}

/* ---- what the local kernel says ---- */

static void send_data(struct ctl_flow *f, const uint8_t *thin, size_t len)
{
	struct control *c = f->control;
	struct frame_hdr h = { .type = FRAME_DATA, .epoch = f->epoch, .to = f->theirs };
	uint8_t frame[128];
	struct wr w = wr_init(frame, sizeof(frame));

	frame_build_hdr(&w, &h);
	wr_copy(&w, thin, len);
	if (!w.bad)
		control_send_frame(c, f->worker, f->tmpl, f->slot, frame, (size_t)(w.p - frame));
}

static void on_synack(struct ctl_flow *f, const struct tcp_hdr *tcp)
{
	struct control *c = f->control;
	struct thin_tcp t = {
		.seq = tcp->seq, .ack = tcp->ack, .flags = tcp->flags, .window = tcp->window,
		.urgent = tcp->urgent, .opts = tcp->opts, .opts_len = tcp->opts_len,
	};
	struct tcp_options o;
	struct wr w;
	bool bare = f->accepted;

	if (tcp->ack - f->isn - 1 > UINT16_MAX) { /* of a connection that had the ports before; data may be acknowledged */
		c->drops[VERDICT_NO_FLOW]++;
		return;
	}
	if (!f->synack)
		f->synack = malloc(sizeof(*f->synack));
	if (!f->synack) {
		control_no_memory(c);
		return; /* the kernel repeats its SYN/ACK */
	}
	w = wr_init(f->synack->thin, sizeof(f->synack->thin));
	frame_build_thin(&w, &t);
	f->synack->len = w.bad ? 0 : (uint8_t)(w.p - f->synack->thin);
	if (f->kind == FLOW_MAIN && !tcp_options_parse(tcp->opts, tcp->opts_len, &o) &&
	    o.mptcp == MPTCP_CAPABLE && o.has_sender_key) {
		f->token = mptcp_token_of_key(o.sender_key);
		f->has_token = true;
	}
	if (f->state == FLOW_OFFERED) {
		if (worker_open_flow(c->workers[f->worker], f->slot, &f->theirs) < 0) {
			c->drops[VERDICT_CONTROL_FULL]++;
			return; /* the kernel repeats its SYN/ACK */
		}
		flow_step(f, FLOW_EV_ESTABLISH);
		flow_timer(f, OFFER_DEADLINE_MS);
	}
	if (!bare)
		send_accept(f);
	else if (f->confirmed)
		send_data(f, f->synack->thin, f->synack->len);
	/* else: to somebody never heard we owe at most one ACCEPT an OPEN; its next OPEN gets the SYN/ACK */
}

static void on_refused(struct ctl_flow *f, enum frame_reason reason)
{
	char text[256];

	log_debug("%s: the local kernel refused it: %s", flow_str(f, text),
		  reason == REASON_PORT_CLOSED ? "port closed" : "ICMP");
	f->refused = true;
	f->refused_why = reason;
	if (!f->confirmed && f->answers >= f->opens)
		return; /* its OPEN had a bare ACCEPT: the next one, or an ALIVE, gets the REJECT */
	send_refusal(f);
	flow_step(f, FLOW_EV_RST);
	flow_free(f);
}

bool offering_icmp(struct ctl_flow *f, const struct ip_pkt *ip, uint8_t type, uint8_t code)
{
	bool v6 = ip->version == 6;

	if (f->state != FLOW_OFFERED || type != (v6 ? 1 : 3))
		return false;
	if (code == (v6 ? 4 : 3))
		on_refused(f, REASON_PORT_CLOSED);
	else if (v6 ? code == 1 || code == 5 || code == 6 : code == 9 || code == 10 || code == 13)
		on_refused(f, REASON_NOT_ALLOWED);
	else
		on_refused(f, REASON_NONE);
	return true;
}

void offering_packet(struct ctl_flow *f, const struct up_msg *m, const struct ip_pkt *ip, const struct tcp_hdr *tcp)
{
	(void)ip;
	if (!tcp)
		return;
	/* It was shown a SYN, and a RST for that acknowledges it. Others are for a connection that had the ports before. */
	if (tcp->flags & TCP_RST && f->state == FLOW_OFFERED && (!(tcp->flags & TCP_ACK) || tcp->ack - f->isn - 1 > UINT16_MAX))
		f->control->drops[VERDICT_NO_FLOW]++;
	else if (tcp->flags & TCP_RST && f->state == FLOW_OFFERED)
		on_refused(f, REASON_PORT_CLOSED);
	else if ((tcp->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && f->challenged &&
		 tcp->ack == f->challenge_isn + 1)
		f->lost = true; /* keeps its pool address until the OPEN comes again, which the kernel knows now */
	else if ((tcp->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		on_synack(f, tcp);
	else if (f->state == FLOW_OFFERED && tcp->flags & TCP_ACK)
		/*
		 * A challenge (RFC 5961) of a connection that had the ports before, and whose flow is gone. What
		 * the client's kernel would answer ends it; the SYN comes again with the next OPEN.
		 */
		packet_reset(f->control, m, -1);
	else
		f->control->drops[VERDICT_NO_FLOW]++;
}

void offering_forget_synack(struct ctl_flow *f)
{
	if (!f->tcp)
		return;
	free(f->synack);
	f->synack = NULL;
}

void offering_confirmed(struct ctl_flow *f)
{
	f->confirmed = true;
	flow_keep(f);
	limits_count(f);
	if (f->refused) {
		send_refusal(f);
		flow_timer(f, 0); /* callers still look at it */
		return;
	}
	if (!f->tcp) {
		worker_heard(f->control->workers[f->worker], f->slot);
		datagrams_confirmed(f);
	}
	if (f->tcp && flow_counter(&worker_flow_stats(f->control->workers[f->worker], f->slot)->rx_segments))
		offering_forget_synack(f); /* what the client's kernel sent acknowledges it */
	else if (f->tcp && f->synack && f->synack->len && f->accepted && f->state == FLOW_OPEN)
		send_data(f, f->synack->thin, f->synack->len); /* came after the bare ACCEPT */
	if (f->state == FLOW_OPEN || f->state == FLOW_CLOSING)
		parking_rest(f);
}

void offering_timer(struct ctl_flow *f)
{
	struct control *c = f->control;

	if (f->state == FLOW_OFFERED && !f->accepted) {
		send_accept(f); /* bare */
		flow_timer(f, OFFER_DEADLINE_MS);
		return;
	}
	if ((f->state == FLOW_OPEN || f->state == FLOW_CLOSING) &&
	    flow_counter(&worker_flow_stats(c->workers[f->worker], f->slot)->rx_ms)) {
		offering_confirmed(f); /* the worker heard the client */
		return;
	}
	offering_ended(f, REASON_NONE);
	flow_step(f, FLOW_EV_EXPIRED);
	flow_free(f);
}
