/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The kernels at both ends, as far as TCP goes: a handshake with repetitions, data both ways with go back N,
 * FIN, RST with exact sequence numbers, challenge ACKs, MP_CAPABLE and MP_JOIN in SYN and SYN/ACK. What a
 * kernel gets is held against what the other one has sent.
 */
#include "tests/model/sim.h"

#include "shila/io/mptcp_pm.h"
#include "shila/io/sock_diag.h"

#include <stdlib.h>
#include <string.h>

#define SYN_RTO_MS    1000
#define SYN_TRIES     5
#define SYNACK_TRIES  4
#define RTO_MS	      300
#define RTO_MAX_MS    2000

enum tcp_state { ST_SYN_SENT = 1, ST_ACCEPTING, ST_SYN_RCVD, ST_OPEN, ST_OVER, ST_GONE };

struct tcp_end {
	struct conn_plan *plan;
	bool server;
	int host;
	enum tcp_state state;
	struct ip_addr local, remote;
	uint16_t local_port, remote_port;
	uint8_t tun;
	uint32_t iss, irs;
	uint32_t una, nxt, max; /* sent: oldest not acknowledged, next, end of all */
	uint32_t rcv;
	bool may_speak, fin_sent, fin_acked, fin_rcvd;
	unsigned int tries;
	uv_timer_t timer; /* of repetitions */
	uv_timer_t pause; /* until it speaks */
};

struct conn_plan conns[MAX_CONNS];
unsigned int num_conns;

static struct tcp_end tcp_ends[2 * MAX_CONNS];
static unsigned int num_tcp_ends;
static bool timers_up;

uint8_t conn_byte(const struct conn_plan *p, int from_server, uint32_t at)
{
	return (uint8_t)(at * 167 + (at >> 8) * 29 + p->id * 13 + (unsigned int)from_server * 101);
}

static uint32_t to_send(const struct tcp_end *e)
{
	return e->plan->bytes[e->server];
}

static struct tcp_end *other(const struct tcp_end *e)
{
	return e->plan->ends[!e->server];
}

/* ---- sending ---- */

static size_t options(const struct tcp_end *e, uint8_t flags, uint8_t *o)
{
	const struct conn_plan *p = e->plan;
	size_t n = 4;

	if (!(flags & TCP_SYN))
		return 0;
	memcpy(o, (const uint8_t[]){ 2, 4, 0x05, 0xb4 }, 4);
	if (p->kind == CONN_MAIN && !e->server) {
		memcpy(o + n, (const uint8_t[]){ 0x1e, 4, 1, 1 }, 4);
		n += 4;
	} else if (p->kind == CONN_MAIN) {
		memcpy(o + n, (const uint8_t[]){ 0x1e, 12, 1, 1 }, 4);
		memcpy(o + n + 4, p->key, 8);
		n += 12;
	} else if (p->kind == CONN_JOIN && !e->server) {
		memcpy(o + n, (const uint8_t[]){ 0x1e, 12, 0x10, 2 }, 4);
		put_be32(o + n + 4, mptcp_token_of_key(p->main->key).v);
		put_be32(o + n + 8, p->id);
		n += 12;
	} else if (p->kind == CONN_JOIN) {
		memset(o + n, 7, 16);
		memcpy(o + n, (const uint8_t[]){ 0x1e, 16, 0x10, 2 }, 4);
		n += 16;
	}
	return n;
}

static void emit(struct tcp_end *e, uint8_t flags, uint32_t seq, uint32_t ack, uint32_t len, uint16_t gso)
{
	uint8_t pkt[16384], data[8192], opts[40];
	struct vnet_hdr vnet = { 0 };
	struct tcp_build b = {
		.src = &e->local, .dst = &e->remote, .src_port = e->local_port, .dst_port = e->remote_port,
		.seq = seq, .ack = ack, .flags = flags, .window = 0xffff, .opts = opts, .data = data, .len = len,
	};
	int n;

	b.opts_len = (uint8_t)options(e, flags, opts);
	for (uint32_t i = 0; i < len; i++)
		data[i] = conn_byte(e->plan, e->server, seq - e->iss - 1 + i);
	n = inet_build_tcp(pkt, sizeof(pkt), &b);
	if (n < 0)
		abort();
	if (len) { /* the kernel leaves the checksum of data to the device */
		vnet = (struct vnet_hdr){ .flags = VNET_F_NEEDS_CSUM, .csum_start = 20, .csum_offset = 16 };
		if (gso && len > gso) {
			vnet.gso_type = VNET_GSO_TCPV4;
			vnet.gso_size = gso;
			vnet.hdr_len = 40;
		}
	}
	sim_trace("%s kernel: conn %u sends flags %02x seq %u ack %u, %u bytes", e->host ? "right" : "left", e->plan->id,
		  flags, seq, ack, len);
	kernel_send(e->host, e->tun, &vnet, pkt, (size_t)n);
}

static void send_ack(struct tcp_end *e)
{
	emit(e, TCP_ACK, e->nxt, e->rcv, 0, 0);
}

static void on_timer(uv_timer_t *t);

static void arm(struct tcp_end *e, uint64_t ms)
{
	sim_timer_us(&e->timer, on_timer, ms * MS);
}

static void finish_plan(struct tcp_end *e, enum outcome how)
{
	struct conn_plan *p = e->plan;

	if (e->server || p->outcome != RUNNING)
		return;
	p->outcome = how;
	p->over_us = sim_now_us;
	sim_trace("conn %u is over: %s", p->id, how == FINISHED ? "finished" : how == REFUSED ? "refused" : "reset");
	for (unsigned int i = 0; i < num_conns; i++)
		if (conns[i].after == p)
			sim_timer_us(&conns[i].timer, conns[i].timer.timer_cb, conns[i].start_us);
}

static void end_with(struct tcp_end *e, enum tcp_state state)
{
	uv_timer_stop(&e->timer);
	uv_timer_stop(&e->pause);
	e->state = state;
	finish_plan(e, state == ST_OVER ? FINISHED : e->plan->was_open ? RESET : REFUSED);
}

static void reset(struct tcp_end *e)
{
	emit(e, TCP_RST | TCP_ACK, e->nxt, e->rcv, 0, 0);
	end_with(e, ST_GONE);
}

static bool all_over(const struct tcp_end *e)
{
	return e->fin_acked && e->fin_rcvd;
}

/* Sends what there is and arms the timer for what is not acknowledged. */
static void push(struct tcp_end *e)
{
	struct conn_plan *p = e->plan;
	uint32_t end = e->iss + 1 + (e->may_speak ? to_send(e) : 0);

	if (e->state != ST_OPEN)
		return;
	while ((int32_t)(end - e->nxt) > 0 && !e->fin_sent) {
		uint32_t left = end - e->nxt, n = p->segment;

		/* some trains of several segments */
		if (left > n && (e->nxt & 3) == 0)
			n = left < 4u * n ? left : 4u * n;
		n = left < n ? left : n;
		emit(e, TCP_ACK | (n == left ? TCP_PSH : 0), e->nxt, e->rcv, n, p->segment);
		e->nxt += n;
	}
	if ((int32_t)(e->nxt - e->max) > 0)
		e->max = e->nxt;
	if (p->abort && !e->server && e->may_speak && e->una == end) {
		reset(e);
		return;
	}
	if (e->may_speak && e->nxt == end && !p->abort && (p->closes[e->server] || e->fin_rcvd)) {
		emit(e, TCP_ACK | TCP_FIN, e->nxt, e->rcv, 0, 0);
		e->fin_sent = true;
		e->nxt++;
		if ((int32_t)(e->nxt - e->max) > 0)
			e->max = e->nxt;
	}
	if (e->una != e->nxt && !uv_is_active((uv_handle_t *)&e->timer))
		arm(e, RTO_MS << (e->tries < 3 ? e->tries : 3) < RTO_MAX_MS ? RTO_MS << (e->tries < 3 ? e->tries : 3) :
									      RTO_MAX_MS);
}

static void on_pause(uv_timer_t *t)
{
	struct tcp_end *e = t->data;

	e->may_speak = true;
	push(e);
}

static void opened(struct tcp_end *e)
{
	e->state = ST_OPEN;
	e->tries = 0;
	uv_timer_stop(&e->timer);
	sim_timer_us(&e->pause, on_pause, e->plan->speak_us[e->server]);
}

static void on_timer(uv_timer_t *t)
{
	struct tcp_end *e = t->data;

	switch (e->state) {
	case ST_SYN_SENT:
		if (e->tries++ >= SYN_TRIES) {
			end_with(e, ST_GONE);
			return;
		}
		emit(e, TCP_SYN, e->iss, 0, 0, 0);
		arm(e, SYN_RTO_MS << e->tries);
		return;
	case ST_ACCEPTING:
		e->state = ST_SYN_RCVD;
		if (e->plan->closed_port) {
			emit(e, TCP_RST | TCP_ACK, 0, e->rcv, 0, 0);
			end_with(e, ST_GONE);
			return;
		}
		e->max = e->iss + 1;
		emit(e, TCP_SYN | TCP_ACK, e->iss, e->rcv, 0, 0);
		arm(e, SYN_RTO_MS);
		return;
	case ST_SYN_RCVD:
		if (e->tries++ >= SYNACK_TRIES) {
			end_with(e, ST_GONE);
			return;
		}
		emit(e, TCP_SYN | TCP_ACK, e->iss, e->rcv, 0, 0);
		arm(e, SYN_RTO_MS << e->tries);
		return;
	case ST_OPEN:
		e->tries++;
		e->nxt = e->una;
		e->fin_sent = false;
		push(e);
		return;
	case ST_OVER:
	case ST_GONE:
		return;
	}
}

/* ---- receiving ---- */

static bool mine(const struct tcp_end *e, int host, const struct ip_pkt *ip, const struct tcp_hdr *tcp)
{
	return e->host == host && e->local_port == tcp->dst_port && e->remote_port == tcp->src_port &&
	       !memcmp(e->local.b, ip->dst, ip->addr_len) && !memcmp(e->remote.b, ip->src, ip->addr_len);
}

/* The newest one that has these ports. */
static struct tcp_end *find(int host, const struct ip_pkt *ip, const struct tcp_hdr *tcp)
{
	for (unsigned int i = num_tcp_ends; i-- > 0;)
		if (mine(&tcp_ends[i], host, ip, tcp))
			return &tcp_ends[i];
	return NULL;
}

/* Whether the other side of @e has really sent this. */
static bool was_sent(const struct tcp_end *e, const struct tcp_hdr *tcp, const uint8_t *data, size_t len)
{
	const struct tcp_end *o = other(e);
	uint32_t off, end = tcp->seq + (uint32_t)len + !!(tcp->flags & (TCP_FIN | TCP_SYN));

	if (!o)
		return false;
	off = tcp->seq - o->iss - 1;
	if (tcp->flags & TCP_SYN ? tcp->seq != o->iss : (int32_t)off < 0)
		return false;
	if ((int32_t)(o->max - end) < 0)
		return false;
	if (tcp->flags & TCP_FIN && end != o->iss + 2 + to_send(o))
		return false;
	for (size_t i = 0; i < len; i++)
		if (data[i] != conn_byte(e->plan, o->server, off + (uint32_t)i))
			return false;
	return true;
}

/* A connection that had the ports before. */
static bool of_the_past(const struct tcp_end *e, int host, const struct ip_pkt *ip, const struct tcp_hdr *tcp,
			const uint8_t *data, size_t len)
{
	for (unsigned int i = 0; i < num_tcp_ends; i++)
		if (&tcp_ends[i] != e && mine(&tcp_ends[i], host, ip, tcp) &&
		    was_sent(&tcp_ends[i], tcp, data, len))
			return true;
	return false;
}

static struct tcp_end *end_new(struct conn_plan *p, bool server)
{
	struct tcp_end *e;

	if (num_tcp_ends == 2 * MAX_CONNS) {
		sim_fail("the model has too few TCP ends");
		return NULL;
	}
	if (!timers_up) {
		for (unsigned int i = 0; i < 2 * MAX_CONNS; i++) {
			uv_timer_init(sim_world(), &tcp_ends[i].timer);
			uv_timer_init(sim_world(), &tcp_ends[i].pause);
			tcp_ends[i].timer.data = tcp_ends[i].pause.data = &tcp_ends[i];
		}
		timers_up = true;
	}
	e = &tcp_ends[num_tcp_ends++];
	memset(e, 0, offsetof(struct tcp_end, timer));
	e->plan = p;
	e->server = server;
	e->host = server ? !p->client : p->client;
	e->iss = (uint32_t)rng_next(&sim_rng);
	e->nxt = e->max = e->una = e->iss;
	p->ends[server] = e;
	return e;
}

static void on_syn(int host, const struct ip_pkt *ip, const struct tcp_hdr *tcp)
{
	struct conn_plan *p = NULL;
	struct tcp_end *e, *old = find(host, ip, tcp);
	struct tcp_options o;

	for (unsigned int i = 0; i < num_conns; i++)
		if (conns[i].client != host && conns[i].kind != CONN_UDP && conns[i].ends[0] &&
		    conns[i].ends[0]->iss == tcp->seq && conns[i].client_port == tcp->src_port &&
		    conns[i].server_port == tcp->dst_port)
			p = &conns[i];
	if (!p || memcmp(ip->dst, (const uint8_t[]){ 10, 70, (uint8_t)(host + 1), 1 }, 4) ||
	    memcmp(ip->src, (const uint8_t[]){ 10, 64 }, 2)) {
		sim_fail("a SYN that no client has sent: seq %u, ports %u > %u", tcp->seq, tcp->src_port, tcp->dst_port);
		return;
	}
	e = p->ends[1];
	if (e && e->state != ST_GONE && p->lost_state && memcmp(e->remote.b, ip->src, 4)) {
		/* The end that forgot it gives its client another address: nobody speaks to the old one. */
		end_with(e, ST_GONE);
		return;
	}
	if (e && e->state != ST_GONE && (e->remote_port != tcp->src_port || memcmp(e->remote.b, ip->src, 4))) {
		sim_fail("doubled: conn %u has two handshakes at the server", p->id);
		return;
	}
	if (e && (e->state == ST_ACCEPTING || (e->state == ST_GONE && !p->lost_state)))
		return;
	if (e && e->state == ST_SYN_RCVD) {
		emit(e, TCP_SYN | TCP_ACK, e->iss, e->rcv, 0, 0);
		return;
	}
	if (e && e->state != ST_GONE) {
		send_ack(e); /* RFC 5961 */
		return;
	}
	if (old && old->state == ST_OPEN) {
		sim_trace("challenge ACK of conn %u, which had the ports before", old->plan->id);
		send_ack(old);
		return;
	}
	if (old && (old->state == ST_SYN_RCVD || old->state == ST_ACCEPTING))
		end_with(old, ST_GONE);
	e = end_new(p, true);
	if (!e)
		return;
	e->local = ip_pkt_dst(ip);
	e->remote = ip_pkt_src(ip);
	e->local_port = tcp->dst_port;
	e->remote_port = tcp->src_port;
	e->irs = tcp->seq;
	e->rcv = tcp->seq + 1;
	e->state = ST_ACCEPTING;
	if (tcp_options_parse(tcp->opts, tcp->opts_len, &o) < 0 ||
	    o.mptcp != (p->kind == CONN_MAIN ? MPTCP_CAPABLE : p->kind == CONN_JOIN ? MPTCP_JOIN : MPTCP_NONE) ||
	    !o.mss || o.mss > PATH_MTU)
		sim_fail("conn %u: the SYN has other options", p->id);
	if (p->kind == CONN_JOIN && (!p->main->ends[1] || p->main->ends[1]->state != ST_OPEN)) {
		emit(e, TCP_RST | TCP_ACK, 0, e->rcv, 0, 0); /* no such token */
		end_with(e, ST_GONE);
		return;
	}
	sim_timer_us(&e->timer, on_timer, p->accept_us);
}

static void on_synack(struct tcp_end *e, const struct tcp_hdr *tcp)
{
	struct conn_plan *p = e->plan;
	struct tcp_options o;

	p->synacks++;
	e->irs = tcp->seq;
	e->rcv = tcp->seq + 1;
	e->una = e->nxt = e->iss + 1;
	p->was_open = true;
	p->opened_us = sim_now_us;
	if (tcp_options_parse(tcp->opts, tcp->opts_len, &o) < 0 ||
	    (p->kind == CONN_MAIN && (o.mptcp != MPTCP_CAPABLE || memcmp(o.sender_key, p->key, 8))))
		sim_fail("conn %u: the SYN/ACK has other options", p->id);
	opened(e);
	send_ack(e);
	for (unsigned int i = 0; i < num_conns; i++)
		if (conns[i].main == p)
			sim_timer_us(&conns[i].timer, conns[i].timer.timer_cb, conns[i].start_us);
}

static void on_data(struct tcp_end *e, const struct tcp_hdr *tcp, size_t len)
{
	uint32_t end = tcp->seq + (uint32_t)len;

	if ((int32_t)(tcp->ack - e->una) > 0) {
		e->una = tcp->ack;
		e->tries = 0;
		if ((int32_t)(e->una - e->nxt) > 0)
			e->nxt = e->una; /* of what was sent before it went back */
		uv_timer_stop(&e->timer);
		if (tcp->ack == e->iss + 2 + to_send(e))
			e->fin_acked = e->fin_sent = true;
	}
	if (len || tcp->flags & TCP_FIN) {
		if ((int32_t)(tcp->seq - e->rcv) <= 0) {
			if ((int32_t)(end - e->rcv) > 0)
				e->rcv = end;
			if (tcp->flags & TCP_FIN && e->rcv == end) {
				e->rcv++;
				e->fin_rcvd = true;
			}
		}
		send_ack(e);
	}
	push(e);
	if (e->state == ST_OPEN && all_over(e))
		end_with(e, ST_OVER);
}

static void on_segment(struct tcp_end *e, const struct tcp_hdr *tcp, const uint8_t *data, size_t len)
{
	bool acceptable = tcp->flags & TCP_ACK && (int32_t)(tcp->ack - e->max) <= 0;

	switch (e->state) {
	case ST_SYN_SENT:
		if (tcp->flags & TCP_RST) {
			if (tcp->flags & TCP_ACK && tcp->ack == e->iss + 1)
				end_with(e, ST_GONE);
			return;
		}
		if ((tcp->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK) && tcp->ack == e->iss + 1)
			on_synack(e, tcp);
		else if (tcp->flags & TCP_ACK)
			emit(e, TCP_RST, tcp->ack, 0, 0, 0);
		return;
	case ST_SYN_RCVD:
		if (tcp->flags & TCP_RST) {
			if (tcp->seq == e->rcv)
				end_with(e, ST_GONE);
			return;
		}
		if (!(tcp->flags & TCP_ACK) || tcp->ack == e->iss || !acceptable)
			return;
		e->una = e->nxt = e->iss + 1;
		opened(e);
		on_data(e, tcp, len);
		return;
	case ST_OPEN:
		if (tcp->flags & TCP_RST) {
			if (tcp->seq == e->rcv)
				end_with(e, ST_GONE);
			else
				send_ack(e);
			return;
		}
		if (tcp->flags & TCP_SYN || !acceptable) {
			send_ack(e);
			return;
		}
		on_data(e, tcp, len);
		return;
	case ST_OVER:
		if (len || tcp->flags & TCP_FIN)
			send_ack(e);
		return;
	case ST_ACCEPTING:
		return;
	case ST_GONE:
		if (!(tcp->flags & TCP_RST))
			emit(e, tcp->flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK, tcp->flags & TCP_ACK ? tcp->ack : 0,
			     tcp->seq + (uint32_t)len + !!(tcp->flags & (TCP_SYN | TCP_FIN)), 0, 0);
		return;
	}
	(void)data;
}

/* After a restart without state its server may know the client by another address. */
static bool forgotten(const struct tcp_hdr *tcp)
{
	for (unsigned int i = 0; i < num_conns; i++)
		if (conns[i].lost_state && conns[i].client_port == tcp->src_port)
			return true;
	return false;
}

static void on_tcp(int host, const struct ip_pkt *ip, uint8_t *pkt, size_t len)
{
	struct tcp_hdr tcp;
	struct tcp_end *e;
	const uint8_t *data;

	if (tcp_parse(pkt + ip->l4_off, len - ip->l4_off, &tcp) < 0) {
		sim_fail("a TCP segment that is none");
		return;
	}
	data = pkt + ip->l4_off + tcp.hdr_len;
	len -= ip->l4_off + tcp.hdr_len;
	sim_trace("%s kernel: gets %u > %u flags %02x seq %u ack %u, %zu bytes", host ? "right" : "left", tcp.src_port,
		  tcp.dst_port, tcp.flags, tcp.seq, tcp.ack, len);
	if (tcp.flags & TCP_SYN && !(tcp.flags & TCP_ACK)) {
		on_syn(host, ip, &tcp);
		return;
	}
	e = find(host, ip, &tcp);
	if (!e) {
		if (!(tcp.flags & TCP_RST) && !forgotten(&tcp))
			sim_fail("a segment for nobody: %u > %u, flags %02x", tcp.src_port, tcp.dst_port, tcp.flags);
		return;
	}
	/* What a RST says is checked when it is believed: shila makes some itself. */
	if (!(tcp.flags & TCP_RST) && !was_sent(e, &tcp, data, len)) {
		/* After a restart without state a late SYN may have made its server another one. */
		if (!e->plan->lost_state && !of_the_past(e, host, ip, &tcp, data, len))
			sim_fail("conn %u: a segment that its peer has not sent: flags %02x, seq %u, %zu bytes", e->plan->id,
				 tcp.flags, tcp.seq, len);
		return;
	}
	on_segment(e, &tcp, data, len);
}

/* Host unreachable: fatal while there is no connection. */
static void on_icmp(int host, const struct ip_pkt *ip, const uint8_t *pkt)
{
	struct ip_pkt q;
	uint16_t src, dst;

	if (inet_quote(pkt, ip, &q) < 0) {
		sim_fail("an ICMP packet that is no error");
		return;
	}
	inet_ports(pkt, ip, &src, &dst); /* swapped: as a packet of the flow */
	sim_trace("%s kernel: ICMP %u/%u about %u > %u", host ? "right" : "left", pkt[ip->l4_off], pkt[ip->l4_off + 1],
		  dst, src);
	if (q.proto != INET_PROTO_TCP)
		return;
	for (unsigned int i = num_tcp_ends; i-- > 0;) {
		struct tcp_end *e = &tcp_ends[i];

		if (e->host != host || e->local_port != dst || e->remote_port != src)
			continue;
		if (e->state == ST_SYN_SENT) {
			e->plan->icmp = true;
			end_with(e, ST_GONE);
		}
		return;
	}
}

void kernel_packet(int host, uint8_t tun, const struct vnet_hdr *vnet, uint8_t *pkt, size_t len)
{
	struct ip_pkt ip;

	(void)tun;
	if (ip_parse(pkt, len, &ip) < 0) {
		sim_fail("an IP packet that is none was written");
		return;
	}
	if (!(vnet->flags & VNET_F_NEEDS_CSUM) && !inet_l4_csum_ok(pkt, &ip))
		sim_fail("a packet with a wrong checksum was written");
	if (ip.proto == INET_PROTO_TCP)
		on_tcp(host, &ip, pkt, len);
	else if (ip.proto == INET_PROTO_UDP)
		udp_packet(host, pkt, &ip);
	else if (ip.proto == INET_PROTO_ICMP)
		on_icmp(host, &ip, pkt);
	else
		sim_fail("a packet of protocol %u was written", ip.proto);
}

int sock_diag_tcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port,
		  const struct ip_addr *remote, uint16_t remote_port, int ifindex)
{
	(void)d, (void)ifindex;
	for (unsigned int i = 0; i < num_tcp_ends; i++) {
		const struct tcp_end *e = &tcp_ends[i];

		if (e->host == sim_end && e->local_port == local_port && e->remote_port == remote_port &&
		    e->state < ST_OVER && ip_addr_eq(&e->local, local) && ip_addr_eq(&e->remote, remote))
			return 1;
	}
	return 0;
}

/* ---- programs ---- */

void tcp_start(struct conn_plan *p)
{
	struct tcp_end *e = end_new(p, false);

	if (!e)
		return;
	p->started = true;
	p->started_us = sim_now_us;
	e->tun = p->tun;
	e->local = kernel_client_addr(p->client, p->tun);
	e->remote = kernel_target(p->client);
	e->local_port = p->client_port;
	e->remote_port = p->server_port;
	e->state = ST_SYN_SENT;
	e->nxt = e->max = e->iss + 1;
	emit(e, TCP_SYN, e->iss, 0, 0, 0);
	arm(e, SYN_RTO_MS);
}

/* It waits for a side that is gone and will not say so: an end that forgot the flow cannot. */
bool tcp_stranded(const struct conn_plan *p)
{
	const struct tcp_end *client = p->ends[0], *server = p->ends[1];

	return p->lost_state && client && client->state == ST_OPEN && client->may_speak && client->una == client->nxt &&
	       (!server || server->state == ST_GONE);
}

bool conns_over(void)
{
	for (unsigned int i = 0; i < num_conns; i++) {
		const struct conn_plan *p = &conns[i];

		if (p->outcome != RUNNING)
			continue;
		if (p->main && !p->started && p->main->outcome != RUNNING && !p->main->was_open)
			continue; /* never will */
		if (tcp_stranded(p))
			continue;
		return false;
	}
	for (unsigned int i = 0; i < num_tcp_ends; i++)
		if (tcp_ends[i].server && tcp_ends[i].plan->outcome == FINISHED && tcp_ends[i].state == ST_OPEN &&
		    !tcp_ends[i].plan->lost_state)
			return false;
	return true;
}

unsigned int tcp_abort_rest(void)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < num_tcp_ends; i++) {
		struct tcp_end *e = &tcp_ends[i];

		if (e->state == ST_OPEN || e->state == ST_SYN_RCVD) {
			reset(e);
			n++;
		} else if (e->state == ST_ACCEPTING || e->state == ST_SYN_SENT) {
			end_with(e, ST_GONE);
			n++;
		}
	}
	return n;
}

void tcp_reset_all(void)
{
	for (unsigned int i = 0; i < num_tcp_ends; i++) {
		uv_timer_stop(&tcp_ends[i].timer);
		uv_timer_stop(&tcp_ends[i].pause);
	}
	num_tcp_ends = 0;
}

/* ---- the path manager: that of the kernel, which is never asked ---- */

int sock_diag_mptcp(struct sock_diag *d, const struct ip_addr *local, uint16_t local_port, const struct ip_addr *remote,
		    uint16_t remote_port, int ifindex, struct sock_diag_subflow *out)
{
	(void)d, (void)local, (void)local_port, (void)remote, (void)remote_port, (void)ifindex, (void)out;
	sim_fail("a token was asked for");
	return -1;
}

int mptcp_pm_do(struct mptcp_pm *pm, enum mptcp_pm_command cmd, const struct mptcp_pm_subflow *s, char *why)
{
	(void)pm, (void)cmd, (void)s, (void)why;
	sim_fail("a subflow was ordered");
	return -1;
}

int mptcp_pm_read(struct mptcp_pm *pm, void *buf, size_t cap)
{
	(void)pm, (void)buf, (void)cap;
	sim_fail("events of subflows were read");
	return -1;
}

int mptcp_pm_parse(const void *msg, size_t len, uint16_t family, struct mptcp_pm_event *out)
{
	(void)msg, (void)len, (void)family, (void)out;
	return -1;
}
