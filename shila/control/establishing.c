/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Client side, from the peer's answer on: its ACCEPT makes the flow one that the worker carries, with a SYN/ACK in
 * the TUN, and its REJECT tells the program why not. Then the server is told that we are real, until it has heard us.
 */
#include "shila/control/control.h"

#include <string.h>

#define CONFIRM_TIMES 8 /* the server waits 10 s (OFFER_DEADLINE_MS) */
#define CONFIRM_MS    1000

/* The flow that an ACCEPT or REJECT is for; NULL if it is not ours or not from its peer. */
static struct ctl_flow *answered_flow(struct control *c, const struct arrival *a, const struct frame_hdr *h)
{
	struct ctl_flow *f = flow_by_name(c, &h->to);

	if (!f) {
		c->drops[VERDICT_FRAME_UNKNOWN_FLOW]++;
		return NULL;
	}
	if (!scion_addr_eq(&f->peer->addr, &a->peer)) {
		c->drops[VERDICT_FRAME_WRONG_SOURCE]++;
		return NULL;
	}
	if (f->server || f->state < FLOW_OPENING) {
		c->drops[VERDICT_FRAME_STATE]++;
		return NULL;
	}
	peer_heard(f->peer);
	return f;
}

/* 0.5 to 1.5 s */
static uint64_t confirm_ms(const struct ctl_flow *f)
{
	return CONFIRM_MS / 2 + opening_spread(f, f->confirm_left) % CONFIRM_MS;
}

/* The worker takes over. False: its queue is full, and nothing has changed. */
static bool establish(struct ctl_flow *f)
{
	if (worker_open_flow(f->control->workers[f->worker], f->slot, &f->theirs) < 0) {
		f->control->drops[VERDICT_CONTROL_FULL]++;
		return false;
	}
	f->confirm_left = CONFIRM_TIMES;
	f->was_open = true;
	return flow_step(f, FLOW_EV_ESTABLISH);
}

/* The SYN/ACK of the server's kernel, for ours: addresses and ports as it knows them, MSS clamped. */
static void write_synack(struct ctl_flow *f, const struct thin_tcp *t, uint8_t traffic_class)
{
	struct control *c = f->control;
	uint8_t opts[40];
	struct tcp_build b = {
		.src = &f->key.remote, .dst = &f->key.local,
		.src_port = f->key.remote_port, .dst_port = f->key.local_port,
		.seq = t->seq, .ack = t->ack, .flags = t->flags, .window = t->window, .urgent = t->urgent,
		.opts = opts, .opts_len = t->opts_len, .traffic_class = traffic_class,
	};
	int len;

	memcpy(opts, t->opts, t->opts_len);
	if (flow_conn(f))
		tcp_options_clamp_mss(opts, t->opts_len, f->conn->mss);
	conn_learn_token(f, opts, t->opts_len);
	len = inet_build_tcp(c->packet, sizeof(c->packet), &b);
	if (len > 0)
		worker_write(c->workers[f->worker], f->tun, NULL, c->packet, (uint32_t)len);
	if (f->state == FLOW_OPEN)
		f->confirm_left ? flow_timer(f, confirm_ms(f)) : parking_rest(f);
}

void establishing_synack_late(struct ctl_flow *f, const struct thin_tcp *t, uint8_t traffic_class)
{
	if (f->state == FLOW_OPENING) {
		if (!f->theirs.id) {
			f->control->drops[VERDICT_FRAME_STATE]++; /* overtook its ACCEPT: it comes again */
			return;
		}
		if (!establish(f))
			return;
		flow_drop_held(f);
	}
	write_synack(f, t, traffic_class);
}

/*
 * Our kernel's ACK of the SYN/ACK may be lost. If the server speaks first, nothing else will be sent: its
 * kernel repeats the SYN/ACK, but its shilad keeps it back from somebody who was never heard.
 */
void establishing_confirm(struct ctl_flow *f)
{
	const struct flow_stats *s = worker_flow_stats(f->control->workers[f->worker], f->slot);

	f->confirm_left = flow_counter(&s->rx_segments) ? 0 : f->confirm_left - 1;
	if (!flow_counter(&s->rx_segments))
		announcing_alive(f);
	f->confirm_left ? flow_timer(f, confirm_ms(f)) : parking_rest(f);
}

/* As many as there were connections. */
void establishing_resumed(struct ctl_flow *f)
{
	f->confirm_left = CONFIRM_TIMES;
	flow_timer(f, confirm_ms(f) - CONFIRM_MS / 2);
}

static void flush_held(struct ctl_flow *f, bool but_first)
{
	for (const struct held_packet *h = but_first && f->held ? f->held->next : f->held; h; h = h->next) {
		if (h->len > datagrams_mtu(f->tmpl))
			answer_too_big(f->control, f->worker, h->tun, h->bytes, h->len, datagrams_mtu(f->tmpl));
		else
			worker_retry(f->control->workers[f->worker], h->tun, h->side, &h->vnet, h->bytes, h->len);
	}
	flow_drop_held(f);
}

void establishing_accept(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r)
{
	struct ctl_flow *f = answered_flow(c, a, h);
	struct frame_accept acc;
	struct thin_tcp t = { 0 };
	struct tmpl *tmpl;
	bool first;

	if (!f)
		return;
	if (frame_parse_accept(r, &acc) < 0 || !acc.from.id || !acc.worker_port) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	if (acc.body_len) {
		struct rd body = rd_init(acc.body, acc.body_len);

		if (!f->tcp || frame_parse_thin(&body, &t) < 0 || (t.flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK)) {
			c->drops[VERDICT_FRAME_MALFORMED]++;
			return;
		}
	}
	c->n.accepts_rx++;
	if (f->peer->num_workers && !peer_has_port(f->peer, acc.worker_port))
		peer_doubt(f->peer); /* which of both is old? */
	if (f->state != FLOW_OPENING) {
		c->drops[VERDICT_FRAME_STATE]++; /* answer to a repeated OPEN */
		return;
	}
	if (!f->installed) {
		c->drops[VERDICT_CONTROL_FULL]++; /* the next OPEN installs it */
		return;
	}
	first = !f->theirs.id;
	flow_set_theirs(f, &acc.from);
	tmpl = flow_tmpl(f, f->path->path, f->worker, acc.worker_port);
	if (!tmpl || flow_set_tmpl(f, tmpl) < 0)
		return;
	if (first && f->opens == 1 && !f->path->srtt_us)
		f->path->srtt_us = (uint32_t)(control_now_us() - f->open_sent_us);
	if (f->tcp && !acc.body_len) {
		/* Bare: the peer's kernel takes its time. It sends the SYN/ACK once it heard us. */
		control_kick(c); /* the worker must know where it comes from */
		flow_send_confirm(f);
		return; /* the OPEN is repeated until the SYN/ACK is there */
	}
	if (!establish(f))
		return; /* the next ACCEPT tries again */
	f->path->heard_us = control_now_us();
	if (f->tcp) {
		flow_drop_held(f);
		write_synack(f, &t, a->pkt.traffic_class);
	} else {
		if (f->num_held <= f->first_sent)
			flow_send_confirm(f); /* nothing follows for now: the server must know that we are real */
		flush_held(f, f->first_sent);
		flow_timer(f, confirm_ms(f));
	}
}

void establishing_reject(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r)
{
	struct ctl_flow *f = answered_flow(c, a, h);
	struct frame_end e;

	if (!f)
		return;
	if (frame_parse_end(r, &e) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.rejects_rx++;
	if (f->state != FLOW_OPENING) {
		c->drops[VERDICT_FRAME_STATE]++;
		return;
	}
	switch ((enum frame_reason)e.reason) {
	case REASON_NOT_ALLOWED:
		flow_refuse(f, VERDICT_NOT_ALLOWED, INET_UNREACH_ADMIN, "the peer does not allow us (its ingress.allow)");
		return;
	case REASON_NOT_SERVED:
		flow_refuse_reset(f, -1, "the peer does not serve this port (its ingress.serve)");
		return;
	case REASON_PORT_CLOSED:
		if (f->kind == FLOW_SUB)
			flow_refuse_reset(f, MPTCP_RST_ERROR, "the server's connection does not take it");
		else
			flow_refuse_reset(f, -1, "nobody listens on this port at the peer");
		return;
	case REASON_NO_RESOURCES:
		flow_refuse(f, VERDICT_PEER_LIMIT, INET_UNREACH_HOST, frame_reason_str(e.reason));
		return;
	case REASON_NO_MAIN_FLOW:
		flow_refuse_reset(f, MPTCP_RST_ERROR, frame_reason_str(e.reason));
		return;
	default:
		flow_refuse(f, VERDICT_NO_PATH, INET_UNREACH_HOST, frame_reason_str(e.reason));
	}
}
