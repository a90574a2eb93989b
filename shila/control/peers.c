/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

#define HELLO_AGAIN_US 500000 /* not more often while it is unanswered */

static void clean_addr(struct scion_addr *out, const struct scion_addr *in)
{
	memset(out, 0, sizeof(*out)); /* hashed as bytes */
	out->ia = in->ia;
	memcpy(&out->host, &in->host, sizeof(in->host));
}

struct peer *peer_find(struct control *c, const struct scion_addr *addr)
{
	struct scion_addr key;
	struct peer *p;

	clean_addr(&key, addr);
	HASH_FIND(hh, c->peers, &key, sizeof(key), p);
	return p;
}

/* A peer that is only there because it once opened a flow makes room for another one. */
static bool forget_idle_peer(struct control *c)
{
	struct peer *oldest = c->idle;

	if (!oldest)
		return false;
	limits_peer_gone(c, oldest);
	HASH_DEL(c->peers, oldest);
	peer_keep_no_more(c, oldest);
	living_free(oldest);
	trials_free(oldest);
	free(oldest);
	return true;
}

struct peer *peer_get(struct control *c, const struct scion_addr *addr)
{
	struct peer *p = peer_find(c, addr);

	if (p)
		return p;
	if (HASH_COUNT(c->peers) >= c->cfg->limits.peers && !forget_idle_peer(c))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->control = c;
	clean_addr(&p->addr, addr);
	scion_addr_str(addr, p->text);
	p->contact_port = c->cfg->contact.port;
	if (!limits_peer_new(c, p)) {
		free(p);
		return NULL;
	}
	HASH_ADD(hh, c->peers, addr, sizeof(p->addr), p);
	if (!p->hh.tbl) {
		limits_peer_gone(c, p);
		free(p);
		return NULL;
	}
	return p;
}

void peer_heard(struct peer *p)
{
	p->heard_us = control_now_us();
	if (p->state != PEER_UP)
		event_peer(EVENT_PEER_UP, p);
	p->state = PEER_UP;
}

void peer_fail(struct control *c, struct peer *p)
{
	(void)c;
	if (p->state != PEER_SILENT) {
		log_warn("peer %s does not answer", p->text);
		event_peer(EVENT_PEER_SILENT, p);
	}
	p->state = PEER_SILENT;
	p->num_workers = 0; /* it may come back with other ports */
}

bool peer_log_ok(struct peer *p)
{
	uint64_t now = control_now_us();

	if (now - p->refused_log_us < 1000000)
		return false;
	p->refused_log_us = now;
	return true;
}

uint16_t peer_port(const struct control *c, const struct peer *p, uint16_t port_a, uint16_t port_b, bool contact)
{
	(void)c;
	if (contact || !p->num_workers)
		return p->contact_port;
	return p->worker_ports[steer_worker(port_a, port_b, p->num_workers)];
}

/* ---- HELLO ---- */

static struct frame_hello our_hello(const struct control *c, uint64_t cookie)
{
	struct frame_hello h = {
		.min_version = FRAME_VERSION,
		.max_version = FRAME_VERSION,
		.boot_id = c->s.boot_id,
		.cookie = cookie,
		.max_flows = c->cfg->limits.flows_per_peer,
		.num_workers = (uint8_t)c->s.num_workers,
	};

	memcpy(h.worker_ports, c->s.worker_ports, sizeof(h.worker_ports));
	return h;
}

void peer_hello(struct control *c, struct peer *p)
{
	struct peer_path *pp;
	struct frame_hello h;
	uint8_t frame[256];
	uint64_t now = control_now_us();
	int len;

	for (pp = p->paths; pp && pp->state == PATH_STATE_DOWN; pp = pp->next)
		;
	if (!pp || !pp->tmpl || now - p->hello_sent_us < HELLO_AGAIN_US)
		return;
	p->hello_sent_us = now;
	p->hello_cookie = control_random() | 1;
	h = our_hello(c, p->hello_cookie);
	len = frame_build_hello(frame, sizeof(frame), FRAME_HELLO, &h);
	if (len > 0) {
		control_send_frame(c, c->s.num_workers, pp->tmpl, 1, frame, (size_t)len);
		c->n.hellos_tx++;
	}
}

bool peer_has_port(const struct peer *p, uint16_t port)
{
	for (unsigned int i = 0; i < p->num_workers; i++)
		if (p->worker_ports[i] == port)
			return true;
	return false;
}

/*
 * Anybody can say that a peer was restarted: what counts is its answer to a HELLO of ours. That goes with the next
 * PROBE-REPLY, so that nobody can make us send anything.
 */
void peer_doubt(struct peer *p)
{
	if (!p->ask_boot_id)
		p->hello_cookie = 0; /* what was asked before may be answered by who it was before */
	p->ask_boot_id = true;
}

/* It forgot its flows: those on ports that it still has get UNKNOWN, on the others nobody says anything. */
static void close_unreachable(struct control *c, const struct peer *p)
{
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f))
		if (f->peer == p && f->tmpl && (f->state == FLOW_OPEN || f->state == FLOW_CLOSING) &&
		    !peer_has_port(p, f->tmpl->peer_port))
			flow_close(f, REASON_NONE, false, true);
}

/* A peer with a new boot id has lost its flows. */
static void learn(struct control *c, struct peer *p, const struct frame_hello *h)
{
	bool restarted = p->boot_id && p->boot_id != h->boot_id;

	p->boot_id = h->boot_id;
	p->num_workers = h->num_workers;
	memcpy(p->worker_ports, h->worker_ports, sizeof(p->worker_ports));
	p->hello_cookie = 0;
	if (p->kept)
		peer_keep(c, p);
	p->ask_boot_id = false;
	if (restarted)
		log_info("peer %s was restarted", p->text);
	close_unreachable(c, p); /* a late ACCEPT may have named an old port since */
}

void peer_on_hello(struct control *c, const struct arrival *a, const struct frame_hdr *h, struct rd *r)
{
	struct frame_hello hello, ours;
	uint8_t frame[256];
	struct peer *p;
	int len;

	if (frame_parse_hello(r, &hello) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.hellos_rx++;
	p = peer_find(c, &a->peer);
	if (h->type == FRAME_HELLO_ACK) {
		/* The cookie proves that it answers what we sent. */
		if (!p || !p->hello_cookie || hello.cookie != p->hello_cookie) {
			c->drops[VERDICT_FRAME_STATE]++;
			return;
		}
		peer_heard(p);
		learn(c, p, &hello);
		return;
	}
	if (!p && !config_peer_allowed(c->cfg, &a->peer)) {
		c->drops[VERDICT_NOT_ALLOWED]++;
		return;
	}
	if (p && p->boot_id && p->boot_id != hello.boot_id)
		peer_doubt(p);
	ours = our_hello(c, hello.cookie);
	len = frame_build_hello(frame, sizeof(frame), FRAME_HELLO_ACK, &ours);
	if (len > 0 && (size_t)len <= a->udp.len)
		control_reply(c, a, frame, (size_t)len);
}

/* ---- end ---- */

void peers_free(struct control *c)
{
	struct peer *p, *next;

	HASH_ITER(hh, c->peers, p, next) {
		struct peer_path *pp, *pp_next;

		for (pp = p->paths; pp; pp = pp_next) {
			pp_next = pp->next;
			tmpl_put(pp->tmpl);
			path_put(pp->path);
			free(pp);
		}
		limits_peer_gone(c, p);
		HASH_DEL(c->peers, p);
		living_free(p);
		trials_free(p);
		free(p);
	}
}
