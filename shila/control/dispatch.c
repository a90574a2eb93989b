/* SPDX-License-Identifier: Apache-2.0 */

/* What comes to the control thread, from workers and from the contact port, and who takes it. */
#include "shila/control/control.h"

#include "shila/io/underlay.h"

#include <errno.h>
#include <string.h>

#define CONTACT_BATCHES 4 /* receive calls of one wake-up */
#define UP_BATCH      256 /* messages of one worker in a row */

/* ---- from the TUNs ---- */

static bool icmp_is_other(const struct up_msg *m, const struct ip_pkt *ip)
{
	return !ip->later_fragment && ip->len > ip->l4_off && icmp_classify(ip, m->bytes[ip->l4_off]) == ICMP_OTHER;
}

/*
 * ICMP that is of no flow. Errors are about one, or about nothing. Other messages than echo have to do with
 * neighbours, routers, groups: the other side would drop them.
 */
static bool on_lone_icmp(struct control *c, const struct up_msg *m, const struct ip_pkt *ip, const struct flow_key *key)
{
	uint8_t type = ip->len > ip->l4_off ? m->bytes[ip->l4_off] : 0;

	if (ip->later_fragment)
		return false;
	switch (icmp_classify(ip, type)) {
	case ICMP_NOT:
		return false;
	case ICMP_ERROR:
		if (!datagrams_icmp_error(c, m, ip, key))
			c->drops[VERDICT_TUN_ICMP]++;
		return true;
	case ICMP_ECHO:
		if (type == 8 || type == 128)
			return false;
		c->drops[VERDICT_TUN_ICMP]++; /* a reply to nobody */
		return true;
	case ICMP_OTHER:
		packet_refuse(c, m, VERDICT_TUN_ICMP, INET_UNREACH_ADMIN, "ICMP other than echo is not carried");
		return true;
	}
	return false;
}

static void on_tun_packet(struct control *c, unsigned int worker, const struct up_msg *m)
{
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	struct flow_key key = { .side = m->side };
	struct ctl_flow *f;

	if (ip_parse(m->bytes, m->len, &ip) < 0) {
		c->drops[VERDICT_TUN_MALFORMED]++;
		return;
	}
	key.proto = ip.proto;
	key.local = ip_pkt_src(&ip);
	key.remote = ip_pkt_dst(&ip);
	if (ip_addr_is_multicast(&key.remote)) {
		c->drops[VERDICT_TUN_MULTICAST]++;
		return;
	}
	inet_ports(m->bytes, &ip, &key.local_port, &key.remote_port);
	/* No kernel cuts TCP in pieces: its segments fit. */
	if (ip.proto == INET_PROTO_TCP &&
	    (ip.fragment || tcp_parse(m->bytes + ip.l4_off, m->len - ip.l4_off, &tcp) < 0)) {
		c->drops[VERDICT_TUN_MALFORMED]++;
		return;
	}
	f = flow_by_key(c, &key);
	if (f && icmp_is_other(m, &ip))
		f = NULL; /* it only looks like one of the flow of fragments, which have no ports either */
	if (f && f->tmpl && f->state == FLOW_OPEN && !f->tcp && m->len > datagrams_mtu(f->tmpl)) {
		answer_too_big(c, worker, m->tun, m->bytes, m->len, datagrams_mtu(f->tmpl));
		return;
	}
	if (f && f->server && !f->tcp && !f->confirmed && f->state >= FLOW_OPEN) {
		flow_hold(f, m); /* until the client was heard: anybody may have sent its OPEN */
		return;
	}
	if (f && f->state >= FLOW_OPEN && !(f->tcp && tcp.flags & TCP_SYN)) {
		/* It crossed the message that opens or installs the flow; or that is parked. */
		if (parking_wake(f))
			worker_retry(c->workers[f->worker], m->tun, m->side, &m->vnet, m->bytes, m->len);
		return;
	}
	if (f && f->server) {
		offering_packet(f, m, &ip, f->tcp ? &tcp : NULL);
		return;
	}
	if (!f && (on_lone_icmp(c, m, &ip, &key) || datagrams_from_server(c, m, &ip, &key)))
		return;
	opening_packet(c, m, &ip, ip.proto == INET_PROTO_TCP ? &tcp : NULL);
}

/* ---- from the underlay ---- */

static void on_close(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r)
{
	struct ctl_flow *f = flow_by_name(c, &h->to);
	struct frame_end e;
	char text[256];

	if (frame_parse_end(r, &e) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.closes_rx++;
	if (!f) {
		c->drops[VERDICT_FRAME_UNKNOWN_FLOW]++;
		return;
	}
	if (!scion_addr_eq(&f->peer->addr, &a->peer)) {
		c->drops[VERDICT_FRAME_WRONG_SOURCE]++;
		return;
	}
	if (e.from.id != f->theirs.id || e.from.tag != f->theirs.tag) {
		c->drops[VERDICT_FRAME_UNKNOWN_FLOW]++;
		return;
	}
	if (e.reason == REASON_STOPPED && flow_may_log(c))
		log_info("%s: %s", flow_str(f, text), frame_reason_str(e.reason));
	/* Its connection may go on: it must not be forgotten with its last subflow. */
	if (e.reason == REASON_CLOSED && flow_conn(f) && f->conn->managed && (f->state == FLOW_OPEN || f->state == FLOW_CLOSING))
		flow_lost_there(f);
	else
		flow_close(f, (enum frame_reason)e.reason, false, e.reason == REASON_STOPPED || e.reason == REASON_CLOSED);
}

/* The peer lost its state: our program must learn of it. */
static void on_unknown(struct control *c, const struct arrival *a, struct rd *r)
{
	struct frame_unknown u;
	struct ctl_flow *f;

	if (frame_parse_unknown(r, &u) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.unknowns_rx++;
	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		f = u.scion_flow_id < c->next_slot[w] ? flow_record(c, w, u.scion_flow_id) : NULL;
		if (!f || !f->theirs.id || f->theirs.id != u.addressed.id || f->theirs.tag != u.addressed.tag ||
		    !scion_addr_eq(&f->peer->addr, &a->peer) || f->worker != a->socket)
			continue;
		if (f->state == FLOW_OPEN || f->state == FLOW_CLOSING) {
			char text[256];

			if (flow_may_log(c))
				log_info("%s: the peer does not know it any more", flow_str(f, text));
			flow_close(f, REASON_NONE, false, true);
		} else if (f->state != FLOW_LINGER) { /* it lingers for what is late, and that may be an OPEN */
			flow_free(f);
		}
		return;
	}
	c->drops[VERDICT_FRAME_UNKNOWN_FLOW]++;
}

static void answer_unknown(struct control *c, const struct arrival *a, const struct frame_hdr *h)
{
	struct frame_unknown u = { .addressed = h->to, .scion_flow_id = a->pkt.flow_id };
	uint8_t frame[64];
	int len = frame_build_unknown(frame, sizeof(frame), &u);

	/* Workers pass on few of them; the contact port has nobody before it. */
	if (a->socket == c->s.num_workers &&
	    !admit_unknown(&c->at_contact, admit_who(&c->known, &a->pkt), control_now_ms(c)))
		return;
	/* Nothing may elicit an answer larger than itself. */
	if (len > 0 && (size_t)len <= a->udp.len) {
		control_reply(c, a, frame, (size_t)len);
		c->n.unknowns_tx++;
	}
}

/* DATA and ALIVE that the worker did not settle itself. */
static void on_flow_frame(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r)
{
	struct ctl_flow *f = flow_by_name(c, &h->to);
	bool syn = false;

	if (!f) {
		if (a->verdict != VERDICT_FRAME_UNKNOWN_FLOW) /* else its worker has counted it */
			c->drops[VERDICT_FRAME_UNKNOWN_FLOW]++;
		answer_unknown(c, a, h);
		return;
	}
	if (!scion_addr_eq(&f->peer->addr, &a->peer)) {
		c->drops[VERDICT_FRAME_WRONG_SOURCE]++;
		return;
	}
	peer_heard(f->peer);
	if (f->server && !f->confirmed)
		offering_confirmed(f);
	if (h->type == FRAME_DATAGRAM)
		datagrams_related(c, f, a, h, r);
	if (h->type == FRAME_DATA) {
		struct rd copy = *r;
		struct thin_tcp t;

		syn = !frame_parse_thin(&copy, &t) && t.flags & TCP_SYN;
		if (syn && !f->server) {
			establishing_synack_late(f, &t, a->pkt.traffic_class);
			return;
		}
	}
	if (a->socket != f->worker) {
		c->drops[VERDICT_FRAME_STATE]++;
	} else if (a->verdict == VERDICT_PARKED) {
		/* A renewal, or an announced move, is no reason to wake: the first segment has it all. */
		if (h->type == FRAME_DATA && parking_wake(f))
			worker_arrived(c->workers[f->worker], &a->from, a->bytes, (uint32_t)a->len);
	} else if (h->type == FRAME_DATAGRAM && a->verdict == VERDICT_FRAME_UNKNOWN_FLOW) {
		/* It overtook the message that installs the flow in its worker. */
		if (f->tcp || h->flags & FRAME_FLAG_FRAG || !flow_write_packet(f, r->p, r->left))
			c->drops[VERDICT_FRAME_STATE]++;
	} else if (f->state >= FLOW_OPEN) {
		moves_follow(c, f, a, h, syn);
	}
}

static void on_frame(struct control *c, const struct arrival *a)
{
	struct rd r = rd_init(a->udp.data, a->udp.len);
	struct frame_hdr h;
	int err = frame_parse_hdr(&r, &h);

	if (err < 0) {
		c->drops[err == -EPROTONOSUPPORT ? VERDICT_FRAME_VERSION : VERDICT_FRAME_MALFORMED]++;
		return;
	}
	if (a->socket == c->s.num_workers) { /* workers have asked before */
		enum verdict v = admit_frame(&c->at_contact, &a->pkt, a->udp.data, a->udp.len, control_now_ms(c));

		if (v != VERDICT_PASS) {
			c->drops[v]++;
			return;
		}
	}
	switch ((enum frame_type)h.type) {
	case FRAME_HELLO:
	case FRAME_HELLO_ACK:
		peer_on_hello(c, a, &h, &r);
		return;
	case FRAME_OPEN:
		offering_open(c, a, &r);
		return;
	case FRAME_ACCEPT:
		establishing_accept(c, a, &h, &r);
		return;
	case FRAME_REJECT:
		establishing_reject(c, a, &h, &r);
		return;
	case FRAME_DATA:
	case FRAME_DATAGRAM:
	case FRAME_ALIVE:
		on_flow_frame(c, a, &h, &r);
		return;
	case FRAME_PROBE:
		probing_request(c, a, &r);
		return;
	case FRAME_PROBE_REPLY:
		probing_reply(c, a, &r);
		return;
	case FRAME_CLOSE:
		on_close(c, a, &h, &r);
		return;
	case FRAME_UNKNOWN:
		on_unknown(c, a, &r);
		return;
	}
}

static void on_arrival(struct control *c, struct arrival *a)
{
	int err = scion_parse(a->bytes, a->len, &a->pkt);

	if (err < 0) {
		c->drops[err == -EPROTONOSUPPORT ? VERDICT_SCION_PATH_TYPE :
			 err == -EAFNOSUPPORT	 ? VERDICT_SCION_ADDR_TYPE :
						   VERDICT_SCION_MALFORMED]++;
		return;
	}
	a->peer = (struct scion_addr){ a->pkt.src_ia, scion_pkt_src(&a->pkt) };
	struct scion_addr to = { a->pkt.dst_ia, scion_pkt_dst(&a->pkt) };

	if (!scion_addr_eq(&to, &c->s.local)) {
		c->drops[VERDICT_SCION_NOT_US]++;
		return;
	}
	if (a->pkt.l4_proto == SCION_L4_SCMP) {
		enum verdict v = a->socket == c->s.num_workers ? admit_scmp(&c->at_contact, control_now_ms(c)) :
								 VERDICT_PASS;

		if (v != VERDICT_PASS)
			c->drops[v]++;
		else
			hints_scmp(c, a);
		return;
	}
	if (a->pkt.l4_proto != SCION_L4_UDP) {
		c->drops[VERDICT_SCION_L4]++;
		return;
	}
	err = scion_udp_parse(&a->pkt, &a->udp);
	if (err < 0) {
		c->drops[err == -EILSEQ ? VERDICT_SCION_CHECKSUM : VERDICT_SCION_MALFORMED]++;
		return;
	}
	if (a->udp.dst_port != control_port(c, a->socket)) {
		c->drops[VERDICT_SCION_NOT_US]++;
		return;
	}
	on_frame(c, a);
}

static void on_worker_message(struct control *c, unsigned int worker, const struct up_msg *m)
{
	struct arrival a;

	switch ((enum up_type)m->type) {
	case UP_TUN:
		on_tun_packet(c, worker, m);
		return;
	case UP_UNDERLAY:
		a = (struct arrival){
			.bytes = m->bytes, .len = m->len, .from = m->from, .socket = worker,
			.flow = m->flow, .verdict = (enum verdict)m->verdict,
		};
		on_arrival(c, &a);
		return;
	case UP_FLOW:
		flow_saw(c, m);
		return;
	case UP_SUSPECT:
		living_suspect(c, m);
		return;
	case UP_TMPL:
		tmpl_put(worker_up_tmpl(m));
		return;
	}
}

void dispatch_workers(struct wake *wake)
{
	struct control *c = wake->data;
	bool more = false;

	if (c->stopping)
		return;
	uv_update_time(c->loop);
	for (unsigned int i = 0; i < c->s.num_workers; i++) {
		const struct up_msg *m;
		unsigned int n = 0;

		while (n++ < UP_BATCH && (m = worker_next(c->workers[i]))) {
			on_worker_message(c, i, m);
			worker_done(c->workers[i]);
		}
		more |= n > UP_BATCH;
	}
	control_kick(c);
	if (more)
		wake_send(&c->from_workers); /* timers and the contact port get their turn */
}

void dispatch_contact(uv_poll_t *handle, int status, int events)
{
	struct control *c = handle->data;
	int n = UNDERLAY_RX_BUFFERS;

	(void)events;
	if (status < 0 || c->stopping)
		return;
	uv_update_time(c->loop);
	if (faults_stood_still(c))
		c->contact_backlog = true; /* what is there now waited meanwhile */
	for (int batch = 0; batch < CONTACT_BATCHES && n == UNDERLAY_RX_BUFFERS; batch++) {
		n = underlay_recv(c->s.contact_fd, &c->rx, UNDERLAY_RX_BUFFERS);
		for (int i = 0; i < n; i++) {
			const uint8_t *p = c->rx.iov[i].iov_base;
			size_t left = c->rx.msgs[i].msg_len, seg = underlay_rx_segment(&c->rx, (unsigned int)i);

			while (left) {
				struct arrival a = {
					.bytes = p, .len = left < seg ? left : seg, .from = c->rx.from[i],
					.socket = c->s.num_workers,
				};

				on_arrival(c, &a);
				p += a.len;
				left -= a.len;
			}
		}
	}
	if (n < UNDERLAY_RX_BUFFERS)
		c->contact_backlog = false; /* that was all */
	control_kick(c);
}
