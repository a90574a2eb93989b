/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Paths of running flows. The client chooses: it leaves a dead path, and replaces a renewed one in
 * place. The server follows a newer epoch, once TCP or a PROBE has vouched for it.
 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

#define MOVE_PROBE_US	 1000000 /* how long the answer to a PROBE of a move is waited for, */
#define MOVE_AGAIN_US	 40000	 /* and how often it is sent meanwhile, if frames on the new path ask for it */
#define MOVES_PER_KICK	 256 /* so that the workers empty their queues while many flows move */

void flow_use_path(struct ctl_flow *f, struct peer_path *pp)
{
	struct peer_path *old = f->path;

	if (old == pp)
		return;
	if (old) {
		FLOW_LIST_DEL(old->on, f, on);
		/* If it is gone, the next tick frees it: callers may be walking over it. */
		if (!--old->flows && old->gone)
			probing_wake(f->control);
	}
	f->path = pp;
	if (!pp)
		return;
	FLOW_LIST_ADD(pp->on, f, on);
	if (!pp->flows++)
		probing_wake(f->control);
}

/* ---- client: leaving a path ---- */

/* What was sent on it of late may be lost. */
static bool is_dead(const struct peer_path *pp)
{
	return pp && (pp->state == PATH_STATE_DOWN || pp->state == PATH_STATE_SUSPECT || pp->left);
}

static void move(struct ctl_flow *f, struct peer_path *pp)
{
	struct tmpl *t = flow_tmpl(f, pp->path, f->worker, f->tmpl->peer_port);
	char text[256];

	if (!t)
		return;
	f->epoch++;
	if (flow_move_tmpl(f, t, is_dead(f->path) ? PATH_LOST : PATH_MOVED) < 0) {
		f->epoch--;
		if (f->path)
			f->path->move_again = true;
		return;
	}
	flow_use_path(f, pp);
	flow_changed_path(f);
	event_flow(EVENT_FLOW_MOVED, f);
	if (++f->control->n.moves % MOVES_PER_KICK == 0)
		control_kick(f->control);
	if (flow_may_log(f->control))
		log_info("%s: moved to a path of %u link%s, MTU %u (move %u)", flow_str(f, text),
			 pp->path->num_hops / 2u, pp->path->num_hops == 2 ? "" : "s", pp->path->mtu_bytes,
			 f->path_changes);
	announcing_move(f);
}

static void leave(struct peer_path *pp, enum other_path which)
{
	struct ctl_flow *f, *next;

	FLOW_LIST_FOREACH(pp->peer->control, pp->on, f, next, on) {
		struct peer_path *to;

		if (f->state < FLOW_OPEN || !flow_conn(f))
			continue;
		to = conn_other_path(f, which);
		if (to)
			move(f, to);
		/* else it stays: TCP keeps trying, and another path may come back */
	}
}

void moves_path_left(struct peer_path *pp)
{
	leave(pp, OTHER_HEARD);
}

void moves_path_died(struct peer_path *pp)
{
	leave(pp, OTHER_LIVING);
}

/* Flows that could not be moved when their path died: no memory, a full queue. */
void moves_stranded(struct control *c)
{
	struct peer *p, *next;

	HASH_ITER(hh, c->peers, p, next) {
		bool alive = false;

		if (p->outage || p->regroup_us)
			continue; /* they wait for their own path, which is about to be back */
		for (struct peer_path *pp = p->paths; pp; pp = pp->next)
			alive |= pp->state == PATH_STATE_UP;
		for (struct peer_path *pp = p->paths; pp && alive; pp = pp->next)
			if (pp->state == PATH_STATE_DOWN && pp->flows)
				moves_path_died(pp);
	}
}

static bool better_on(const struct ctl_flow *f, const struct peer_path *pp)
{
	bool crowded = false, taken = false;
	const struct ctl_flow *o;

	if (!flow_conn(f) || (f->state != FLOW_OPEN && f->state != FLOW_CLOSING) ||
	    !path_policy_allows(control_policy(f->control, conn_route(f->control, f->conn)), pp->path))
		return false;
	if (f->path->state == PATH_STATE_DOWN || f->path->left)
		return true;
	CONN_FOREACH(f->control, f->conn, o) {
		if (o == f || !o->path)
			continue;
		taken |= path_shared_links(o->path->path, pp->path) >= conn_route(f->control, f->conn)->paths.share;
		crowded |= path_shared_links(o->path->path, f->path->path) >= conn_route(f->control, f->conn)->paths.share;
	}
	return crowded && !taken;
}

/* A path is alive again: flows that were left on a dead one, or share a link, take it. */
void moves_path_up(struct peer_path *pp)
{
	struct ctl_flow *f, *next;

	for (struct peer_path *other = pp->peer->paths; other; other = other->next)
		if (other != pp)
			FLOW_LIST_FOREACH(pp->peer->control, other->on, f, next, on)
				if (better_on(f, pp))
					move(f, pp);
}

/* They had no other path, and the time-out of their TCP may have grown to a minute. */
void moves_path_back(struct peer_path *pp)
{
	struct control *c = pp->peer->control;
	struct ctl_flow *f, *next;
	unsigned int n = 0;

	if (!flows_replay(c))
		return;
	FLOW_LIST_FOREACH(c, pp->on, f, next, on)
		if (f->tcp && f->tmpl && f->installed && !f->parked && f->state >= FLOW_OPEN && !flow_path_back(f) &&
		    ++n % MOVES_PER_KICK == 0)
			control_kick(c);
}

/* ---- client: the same path with fresh bytes ---- */

void moves_path_renewed(struct control *c, struct peer_path *pp)
{
	struct ctl_flow *f, *next;

	FLOW_LIST_FOREACH(pp->peer->control, pp->on, f, next, on) {
		struct tmpl *t;

		if (!f->tmpl || f->state < FLOW_OPENING)
			continue;
		t = flow_tmpl(f, pp->path, f->worker, f->tmpl->peer_port);
		if (!t || flow_set_tmpl(f, t) < 0)
			continue;
		c->n.renewals++;
		if (f->state >= FLOW_OPEN) /* FINs that were sent may be lost yet */
			announcing_alive(f); /* the server may have nothing to hear for hours, and all to send */
	}
}

/* ---- server: the same, by itself ---- */

/* The client's ALIVE may be lost, and if it has nothing to send nothing else tells that its path is renewed. */
void moves_set_renewed(struct control *c, const struct path_set *s)
{
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f)) {
		struct tmpl_infos infos; /* what the client's packets still look like */
		struct path *known;
		struct tmpl *t;

		if (!f->server || !f->tmpl || f->peer->addr.ia.v != s->ia.v)
			continue;
		known = path_set_match(s, f->tmpl->path);
		if (!known || known->expiry_unix_s <= f->tmpl->path->expiry_unix_s)
			continue;
		infos.len = f->tmpl->rx_infos_len;
		memcpy(infos.bytes, f->tmpl->rx_infos, sizeof(infos.bytes));
		t = flow_tmpl_expecting(f, known, f->tmpl->peer_port, &infos);
		if (t && !flow_set_tmpl(f, t))
			c->n.renewals++;
	}
}

/* ---- either side: following the other ---- */

static struct peer_path *own_path(const struct ctl_flow *f, const struct path *path)
{
	struct peer_path *pp = f->peer->paths;

	while (pp && !path_same_interfaces(pp->path, path))
		pp = pp->next;
	return pp;
}

static void adopt(struct ctl_flow *f, struct tmpl *t, uint8_t epoch)
{
	uint8_t before = f->epoch;
	bool moved = epoch != before || !f->tmpl || !path_same_interfaces(t->path, f->tmpl->path);
	char text[256];

	f->epoch = epoch;
	if ((moved ? flow_move_tmpl(f, t, PATH_FOLLOWED) : flow_set_tmpl(f, t)) < 0) {
		f->epoch = before; /* the worker asks again */
		return;
	}
	if (flow_conn(f) && moved)
		flow_use_path(f, own_path(f, t->path)); /* watched from here on as if it were its own choice */
	if (!moved) {
		f->control->n.renewals++;
		return;
	}
	flow_changed_path(f);
	event_flow(EVENT_FLOW_FOLLOWED, f);
	f->control->n.followed++;
	if (flow_may_log(f->control))
		log_info("%s: the peer moved it to another path (move %u)", flow_str(f, text), f->path_changes);
}

/*
 * Frames do not tell the MTU of the path they came on: only the path set can. The client told it of the path that it
 * opened the flow on; renewed bytes of that may take less than before.
 */
static struct tmpl *followed_tmpl(struct ctl_flow *f, const struct arrival *a)
{
	uint16_t before = f->tmpl ? f->tmpl->path->mtu_bytes : SCION_MIN_MTU, mtu;
	struct tmpl *t = control_reply_tmpl(f->control, a, a->udp.dst_port, before);
	const struct path *known = t ? path_known(f->control, a->peer.ia, t->path) : NULL;
	bool same = t && f->tmpl && path_same_interfaces(t->path, f->tmpl->path);

	mtu = known ? known->mtu_bytes : SCION_MIN_MTU;
	if (!t || mtu == t->mtu_bytes || (same && (!known || mtu > t->mtu_bytes)))
		return t;
	tmpl_put(t);
	return control_reply_tmpl(f->control, a, a->udp.dst_port, mtu);
}

static void send_probe(struct control *c, struct ctl_flow *f)
{
	const struct frame_probe p = { .id = f->move->id, .sent_us = f->move->sent_us };
	uint8_t frame[64];
	int len = frame_build_probe(frame, sizeof(frame), FRAME_PROBE, &p);

	if (len < 0)
		return;
	f->move->asked_us = control_now_us();
	control_send_frame(c, f->worker, f->move->tmpl, f->slot, frame, (size_t)len);
	c->n.probes_tx++;
}

static void probe_move(struct control *c, struct ctl_flow *f, struct tmpl *t, uint8_t epoch, size_t asked_by)
{
	struct move_probe *m = f->move;
	uint64_t now_us = control_now_us();

	if (asked_by < FRAME_PROBE_LEN) {
		tmpl_put(t);
		return;
	}
	/*
	 * Datagrams come faster than the answer: one question at a time, or none is ever answered. But the same one again, since
	 * it, or its answer, may be lost where thousands move.
	 */
	if (m && m->epoch == epoch && now_us - m->sent_us < MOVE_PROBE_US) {
		if (now_us - m->asked_us >= MOVE_AGAIN_US && path_same_interfaces(m->tmpl->path, t->path))
			send_probe(c, f);
		tmpl_put(t);
		return;
	}
	moves_forget_probe(f);
	m = calloc(1, sizeof(*m));
	if (m) {
		*m = (struct move_probe){ .id = ++c->next_probe, .epoch = epoch, .sent_us = now_us, .tmpl = t, .flow = f };
		HASH_ADD(hh, c->by_probe, id, sizeof(m->id), m);
	}
	if (!m || !m->hh.tbl) {
		free(m);
		tmpl_put(t);
		control_no_memory(c);
		return; /* the next frame on the new path asks again */
	}
	f->move = m;
	send_probe(c, f);
}

void moves_follow(struct control *c, struct ctl_flow *f, const struct arrival *a, const struct frame_hdr *h,
		  bool syn)
{
	int8_t newer = (int8_t)(h->epoch - f->epoch);
	/* The worker checked the TCP ack of DATA, but not in a SYN, nor before it knew the flow. */
	bool vouched = h->type == FRAME_DATA && a->verdict == VERDICT_CONTROL && !syn;
	struct tmpl *t;

	/* Equal epoch: the server takes renewed bytes of the same path; the client ignores. */
	if (newer < 0 || (!newer && !f->server)) {
		worker_asked_done(c->workers[f->worker], f->slot);
		return;
	}
	t = followed_tmpl(f, a);
	if (!t || a->socket != f->worker) {
		tmpl_put(t);
		worker_asked_done(c->workers[f->worker], f->slot);
		return;
	}
	if (!newer && f->tmpl && t->rx_infos_len == f->tmpl->rx_infos_len &&
	    !memcmp(t->rx_infos, f->tmpl->rx_infos, t->rx_infos_len) && path_same_interfaces(t->path, f->tmpl->path)) {
		tmpl_put(t); /* nothing new: a frame that crossed the opening of the flow */
		worker_asked_done(c->workers[f->worker], f->slot);
		return;
	}
	/* Other bytes of the same path: unless they are old; then the worker asks again, but not with every segment. */
	if (!newer && f->tmpl && path_same_interfaces(t->path, f->tmpl->path)) {
		if (t->path->expiry_unix_s >= f->tmpl->path->expiry_unix_s)
			adopt(f, t, f->epoch);
		else
			tmpl_put(t);
		return;
	}
	/* A newer epoch; or both sides moved at once, or the client changed the path while it opened the flow. */
	if (vouched)
		adopt(f, t, h->epoch);
	else
		probe_move(c, f, t, h->epoch, a->udp.len); /* the path itself must answer first */
}

bool moves_probe_reply(struct control *c, const struct peer *from, const struct frame_probe *p)
{
	struct move_probe *m;
	struct ctl_flow *f;
	struct tmpl *t;
	uint8_t epoch;

	HASH_FIND(hh, c->by_probe, &p->id, sizeof(p->id), m);
	if (!m || m->sent_us != p->sent_us || m->flow->peer != from)
		return false;
	f = m->flow;
	t = tmpl_get(m->tmpl);
	epoch = m->epoch;
	moves_forget_probe(f);
	if ((int8_t)(epoch - f->epoch) >= 0) {
		adopt(f, t, epoch);
		flow_send_alive(f); /* else the other side goes on announcing: we may have no data for it */
	} else {
		tmpl_put(t);
	}
	return true;
}

void moves_forget_probe(struct ctl_flow *f)
{
	struct move_probe *m = f->move;

	if (!m)
		return;
	f->move = NULL;
	HASH_DEL(f->control->by_probe, m);
	tmpl_put(m->tmpl);
	free(m);
}
