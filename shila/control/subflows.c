/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The path manager of namespaces where we are it: the kernel tells which connections are established, which subflows
 * are lost and which connections are over; subflow_plan_next() decides what is missing or too much.
 *
 * Nothing needs to be kept over a restart: the kernel knows its token by any 4-tuple of the connection. Which sockets
 * were lost while nobody listened is asked then, and when there was no room for events.
 */
#include "shila/control/subflows.h"

#include "shila/control/pm_events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOST_MS	       50  /* a socket that was lost to a RST of the peer: so long that is on its way through us */
#define CHANGED_MS     20  /* changes of paths within that are looked at together */
#define RESUMED_MS     200 /* after a start paths must first have answered */
#define STEPS_AT_ONCE  (2 * SUBFLOW_PLAN_MAX)
#define LOOKS_AT_ONCE  64  /* connections in a turn of the loop */
#define SPREAD_PER_MS  16  /* connections whose sockets are asked for */
#define WORSE_MIN_SENT 32  /* probes before their loss means anything */

bool subflows_are_ours(const struct control *c, uint8_t side)
{
	return side && c->s.pm[side].commands > 0;
}

/* ---- when to look ---- */

static void arm(struct control *c);

static void soon(struct managed *m, uint64_t ms)
{
	struct control *c = m->control;
	uint64_t at = control_now_ms(c) + ms;

	if (m->over && !m->end_ms && !m->check && !m->reset)
		return;
	if (!wheel_timer_is_set(&m->timer) || at < m->timer.due)
		wheel_set(&c->subflows.timers, &m->timer, at);
	arm(c);
}

/* ---- connections ---- */

static struct managed *manage(struct control *c, struct conn *n)
{
	struct managed *m = n->managed;

	if (m)
		return m;
	m = calloc(1, sizeof(*m));
	if (!m) {
		control_no_memory(c);
		return NULL;
	}
	m->control = c;
	m->conn = n;
	n->managed = m;
	return m;
}

void subflows_forget(struct control *c, struct conn *n)
{
	struct managed *m = n->managed;

	if (!m)
		return;
	wheel_stop(&c->subflows.timers, &m->timer);
	if (m->has_token)
		HASH_DEL(c->subflows.all, m);
	n->managed = NULL;
	free(m);
}

static struct managed *by_token(struct control *c, uint8_t side, uint32_t token)
{
	struct managed *m, probe = { .key = { side, token } };

	HASH_FIND(hh, c->subflows.all, &probe.key, sizeof(probe.key), m);
	return m;
}

static void learn_token(struct managed *m, uint32_t token)
{
	struct control *c = m->control;
	struct managed *old = by_token(c, m->conn->side, token);

	if (old == m)
		return;
	if (old) { /* its end was not heard of */
		HASH_DEL(c->subflows.all, old);
		old->has_token = false;
		old->over = true;
	}
	if (m->has_token)
		HASH_DEL(c->subflows.all, m);
	m->key.side = m->conn->side;
	m->key.token = token;
	HASH_ADD(hh, c->subflows.all, key, sizeof(m->key), m);
	m->has_token = m->hh.tbl != NULL;
	if (!m->has_token)
		control_no_memory(c);
}

static int ask_socket(const struct ctl_flow *f, struct sock_diag_subflow *out)
{
	return sock_diag_mptcp(&f->control->s.diag[f->key.side], &f->key.local, f->key.local_port, &f->key.remote,
			       f->key.remote_port, f->control->s.tuns[f->tun].ifindex, out);
}

/* If the event was lost: any socket of the connection tells. */
static void ask_token(struct managed *m)
{
	struct control *c = m->control;
	struct sock_diag_subflow s;
	struct ctl_flow *f;

	CONN_FOREACH(c, m->conn, f)
		if (!m->has_token && (f->state == FLOW_OPEN || f->state == FLOW_CLOSING) && !ask_socket(f, &s))
			learn_token(m, s.token);
}

/* ---- what is there ---- */

static struct path *path_of(const struct ctl_flow *f)
{
	return f->path ? f->path->path : f->tmpl ? f->tmpl->path : NULL; /* parked: the last one */
}

static bool is_dead(const struct ctl_flow *f)
{
	return f->path && f->path->state == PATH_STATE_DOWN;
}

static struct path_choice_params params_of(const struct managed *m)
{
	const struct config_route *route = conn_route(m->control, m->conn);

	return (struct path_choice_params){ .k = 1, .share = route->paths.share, .metric = (enum path_metric)route->paths.metric };
}

/* Whether no link of @path is crossed too often beside the other flows. */
static bool fits(const struct managed *m, struct path *path, const struct ctl_flow *but)
{
	const struct path_choice_params params = params_of(m);
	const struct path_candidate cand = { .path = path };
	const struct path *used[SUBFLOW_PLAN_MAX];
	const struct ctl_flow *f;
	size_t count = 0;

	CONN_FOREACH(m->control, m->conn, f)
		if (count < SUBFLOW_PLAN_MAX && f != but && subflow_is_there(f) && !is_dead(f) && path_of(f))
			used[count++] = path_of(f);
	return path_choice_one(&cand, 1, used, count, &params, false) >= 0;
}

static bool is_planned(const struct conn *n, const struct peer_path *pp)
{
	for (unsigned int i = 0; i < n->num_planned; i++)
		if (n->planned[i].path == pp)
			return true;
	return false;
}

/* A path for one more subflow: of the plan, or another one that is up; NULL: there is none. */
static struct peer_path *free_path(const struct managed *m)
{
	struct path_candidate cand[PATH_CHOICE_MAX_PATHS];
	struct peer_path *pps[PATH_CHOICE_MAX_PATHS], *best = NULL;
	const struct conn *n = m->conn;
	const struct path_choice_params params = params_of(m);
	size_t count = peer_candidates(m->control, conn_peer(m->control, n), control_policy(m->control, conn_route(m->control, n)), cand, pps,
				       PATH_CHOICE_MAX_PATHS), kept = 0;
	int i;

	for (size_t k = 0; k < count; k++) {
		bool planned = is_planned(n, pps[k]);

		if (pps[k]->gone || (pps[k]->state != PATH_STATE_UP && !(planned && pps[k]->state == PATH_STATE_UNKNOWN)) ||
		    !fits(m, pps[k]->path, NULL))
			continue;
		if (planned)
			return pps[k];
		cand[kept] = cand[k];
		pps[kept++] = pps[k];
	}
	i = path_choice_one(cand, kept, NULL, 0, &params, false);
	if (i >= 0)
		best = pps[i];
	return best;
}

static void see(struct managed *m, struct subflow_view *v, struct ctl_flow **flows, struct peer_path **free)
{
	const struct conn *n = m->conn;
	struct ctl_flow *f;

	*v = (struct subflow_view){
		.now_ms = control_now_ms(m->control),
		.ready = m->has_token && !m->over && !m->no_joins,
		.limit = n->room,
	};
	CONN_FOREACH(m->control, n, f) {
		if (!subflow_is_there(f))
			continue;
		if (v->count == SUBFLOW_PLAN_MAX)
			break;
		flows[v->count] = f;
		v->flows[v->count++] = (struct subflow_seen){
			.main = subflow_is_main(f),
			.opening = f->state < FLOW_OPEN,
			.alone = !path_of(f) || fits(m, path_of(f), f),
			.dead = is_dead(f),
			.worse = f->path && f->path->worse,
			.backup = f->backup,
			.always_backup = !subflow_is_main(f) && conn_route(m->control, n)->backup,
		};
	}
	*free = v->ready && v->count < v->limit ? free_path(m) : NULL;
	v->free_path = *free != NULL;
}

/* ---- what is gone ---- */

/* A server that takes no more subflows says so after the handshake. */
static uint64_t lived_ms(const struct ctl_flow *f, uint64_t now)
{
	uint64_t age = now - f->created_ms, handshake = f->path ? 4ull * f->path->srtt_us / 1000 : 0;

	return age > handshake ? age - handshake : 0;
}

/* @error: errno; 0: by FIN, and its path is free as soon as the kernel says so, not only when both FINs went by us */
static void lost(struct managed *m, struct ctl_flow *f, int error)
{
	struct control *c = m->control;
	uint64_t now = control_now_ms(c);
	char text[256];

	c->n.subflows_lost++;
	m->missing++;
	subflow_plan_lost(&m->plan, now, lived_ms(f, now));
	event_subflow_lost(f, (uint8_t)error);
	if (flow_may_log(c))
		log_info("%s: subflow lost (%s)", flow_str(f, text), error ? strerror(error) : "closed by the peer");
	if (!error) {
		f->given_up = true;
		return;
	}
	f->socket_lost = true;
	if (f->state != FLOW_LINGER)
		m->end_ms = now + LOST_MS;
}

/* The kernel tells of no subflow that ends before it has taken it in, and of none while nobody listens. */
static void count_resets(struct managed *m)
{
	struct ctl_flow *f;

	if (!m->reset)
		return;
	m->reset = false;
	CONN_FOREACH(m->control, m->conn, f) {
		if (f->reset_seen && !m->over && !f->given_up && !f->socket_lost)
			lost(m, f, ECONNRESET);
		f->reset_seen = false;
	}
}

/* Its main flow was lost before we came: whose place was taken by whom is told by the priorities. */
static void find_stand_in(struct managed *m)
{
	struct ctl_flow *f, *best = NULL;

	if (subflows_have_main(m->control, m->conn))
		return;
	CONN_FOREACH(m->control, m->conn, f)
		if (subflow_is_there(f) && (!best || (best->backup && !f->backup)))
			best = f;
	if (best)
		best->stands_in = true;
}

/* What happened to the sockets while nobody listened. */
static void check_sockets(struct managed *m)
{
	struct sock_diag_subflow s;
	struct ctl_flow *f;
	int err;

	if (!m->check)
		return;
	m->check = false;
	CONN_FOREACH(m->control, m->conn, f) {
		if (f->state != FLOW_OPEN || !subflow_is_there(f))
			continue;
		err = ask_socket(f, &s);
		if (err == -ENOENT)
			lost(m, f, ENOTCONN);
		if (err)
			continue;
		learn_token(m, s.token);
		f->backup = s.backup;
		if (f->kind == FLOW_SUB)
			f->address_id = s.id;
	}
	find_stand_in(m);
}

/* ---- looking ---- */

/* Sockets that a RST ended which did not come through us. */
static void end_lost(struct managed *m)
{
	struct ctl_flow *f, *next;

	if (!m->end_ms || control_now_ms(m->control) < m->end_ms)
		return;
	m->end_ms = 0;
	for (f = flow_of(m->control, m->conn->flows); f; f = next) {
		next = flow_of(m->control, f->conn_next);
		if (f->socket_lost)
			flow_socket_lost(f);
	}
}

static void look(struct managed *m)
{
	struct ctl_flow *flows[SUBFLOW_PLAN_MAX];
	struct subflow_order o = { .again_ms = UINT64_MAX };
	struct subflow_view v;
	struct peer_path *free;
	uint64_t now = control_now_ms(m->control);

	check_sockets(m);
	count_resets(m);
	end_lost(m);
	if (!m->has_token && !m->over)
		ask_token(m);
	for (int i = 0; i < STEPS_AT_ONCE; i++) {
		see(m, &v, flows, &free);
		subflow_plan_next(&m->plan, &v, &o);
		if (o.step == SUBFLOW_NOTHING)
			break;
		if (o.step == SUBFLOW_CREATE)
			subflow_create(m, free);
		else if (o.step == SUBFLOW_DESTROY)
			subflow_destroy(m, flows[o.flow]);
		else
			subflow_set_priority(m, flows[o.flow], o.step == SUBFLOW_TO_BACKUP);
	}
	if (o.again_ms != UINT64_MAX)
		soon(m, o.again_ms > now ? o.again_ms - now : 0);
	if (m->end_ms)
		soon(m, m->end_ms > now ? m->end_ms - now : 0);
}

/* Of connections that the kernel spoke of, or that were there before us. */
static void look_at_changed(struct control *c)
{
	struct managed *m, *next;
	struct peer *p, *next_peer;

	c->subflows.peers_changed = false;
	HASH_ITER(hh, c->subflows.all, m, next)
		if (conn_peer(c, m->conn)->paths_changed)
			soon(m, 0);
	HASH_ITER(hh, c->peers, p, next_peer)
		p->paths_changed = false;
}

static void on_timers(uv_timer_t *uv)
{
	struct control *c = uv->data;
	unsigned int work = LOOKS_AT_ONCE;
	struct wheel_timer *t;

	c->subflows.at = UINT64_MAX;
	if (c->subflows.peers_changed)
		look_at_changed(c);
	while ((t = wheel_expire(&c->subflows.timers, control_now_ms(c), &work)))
		look((struct managed *)(void *)((char *)t - offsetof(struct managed, timer)));
	arm(c);
	control_kick(c);
}

static void start_timer(struct control *c, uint64_t at)
{
	uint64_t now = control_now_ms(c);

	if (at >= c->subflows.at || c->stopping || !c->subflows.polling)
		return;
	c->subflows.at = at;
	uv_timer_start(&c->subflows.uv, on_timers, at > now ? at - now : 0, 0);
}

static void arm(struct control *c)
{
	start_timer(c, wheel_wake_at(&c->subflows.timers));
}

void subflows_paths_changed(struct peer *p)
{
	struct control *c = p->set ? p->set->control : NULL;

	if (!c || !c->subflows.polling || !p->flows)
		return;
	p->paths_changed = true;
	c->subflows.peers_changed = true;
	start_timer(c, control_now_ms(c) + CHANGED_MS);
}

/* ---- paths that are worse than others ---- */

static struct subflow_path quality(const struct peer_path *pp)
{
	return (struct subflow_path){
		.srtt_us = pp->srtt_us,
		.loss_permille = pp->sent >= WORSE_MIN_SENT && pp->answered < pp->sent ?
					 (pp->sent - pp->answered) * 1000 / pp->sent : 0,
	};
}

void subflows_measured(struct peer_path *pp)
{
	struct subflow_path mine = quality(pp), best = mine, other;
	bool worse;

	if (!pp->flows && !pp->worse)
		return;
	for (const struct peer_path *o = pp->peer->paths; o; o = o->next) {
		if (o == pp || !o->flows || o->state != PATH_STATE_UP || !o->srtt_us)
			continue;
		other = quality(o);
		if (other.srtt_us < best.srtt_us && other.loss_permille <= best.loss_permille + 50)
			best.srtt_us = other.srtt_us;
		if (other.loss_permille < best.loss_permille)
			best.loss_permille = other.loss_permille;
	}
	worse = subflow_path_is_worse(pp->worse, &mine, &best);
	if (worse == pp->worse)
		return;
	pp->worse = worse;
	subflows_paths_changed(pp->peer);
}

/* ---- what happens to flows ---- */

bool subflows_syn(struct ctl_flow *f, const struct up_msg *m, const struct tcp_hdr *tcp)
{
	struct control *c = f->control;
	struct tcp_options o;

	if (tcp->flags & TCP_ACK || tcp_options_parse(tcp->opts, tcp->opts_len, &o) < 0 || o.mptcp != MPTCP_JOIN ||
	    !o.has_token || o.token.v != f->token.v)
		return false;
	f->expected = false;
	f->isn = tcp->seq;
	f->tun = m->tun;
	f->deadline_ms = control_now_ms(c) + c->cfg->contact.open_deadline_ms;
	c->n.subflows++;
	flow_hold(f, m);
	if (f->num_held)
		opening_start(f);
	else
		flow_free(f); /* limit of held packets: counted; the kernel repeats its SYN */
	return true;
}

void subflows_expire(struct ctl_flow *f)
{
	if (f->expected)
		flow_free(f);
}

void subflows_opened(const struct ctl_flow *f)
{
	if (f->kind == FLOW_SUB && f->address_id)
		event_flow(f->replaces ? EVENT_SUBFLOW_RECREATED : EVENT_SUBFLOW_ADDED, f);
}

void subflows_reset(struct ctl_flow *f)
{
	struct managed *m = flow_conn(f) ? f->conn->managed : NULL;

	if (!m || m->over || f->control->stopping)
		return;
	f->reset_seen = m->reset = true;
	soon(m, LOST_MS);
}

void subflows_left(struct conn *n, const struct ctl_flow *f)
{
	struct managed *m = n->managed;

	if (!m || f->control->stopping || f->given_up || f->was_open || !f->address_id)
		return;
	f->control->n.subflows_failed++;
	m->missing += f->replaces;
	event_flow(EVENT_SUBFLOW_FAILED, f);
	subflow_plan_lost(&m->plan, control_now_ms(f->control), 0);
	soon(m, 0);
}

/* ---- what the kernel tells ---- */

static struct ctl_flow *flow_of_event(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct ctl_flow *f = pm_event_flow(c, side, e);

	return f && flow_conn(f) ? f : NULL;
}

static void on_established(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct ctl_flow *f = flow_of_event(c, side, e);
	struct managed *m = f && f->conn->has_token ? manage(c, f->conn) : NULL;

	if (!m)
		return;
	learn_token(m, e->token);
	m->no_joins = e->no_joins;
	m->over = false;
	m->not_connected = 0;
	look(m);
}

static void on_subflow_closed(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct ctl_flow *f = flow_of_event(c, side, e);
	struct managed *m = f ? f->conn->managed : by_token(c, side, e->token);

	if (!m)
		return;
	learn_token(m, e->token);
	if (f && f->state >= FLOW_OPEN && !f->given_up && !f->socket_lost) {
		lost(m, f, e->error);
	} else if (f && f->state < FLOW_OPEN && e->error) {
		flow_close(f, REASON_CLOSED, true, false);
		m = by_token(c, side, e->token); /* it was the last flow */
	}
	if (m)
		look(m);
}

static void on_event(struct control *c, uint8_t side, const struct mptcp_pm_event *e)
{
	struct managed *m;

	if (e->server_side)
		return;
	switch (e->type) {
	case MPTCP_PM_ESTABLISHED:
		on_established(c, side, e);
		break;
	case MPTCP_PM_SUBFLOW_CLOSED:
		on_subflow_closed(c, side, e);
		break;
	case MPTCP_PM_CLOSED:
		m = by_token(c, side, e->token);
		if (m)
			m->over = true;
		break;
	case MPTCP_PM_OTHER:
		break;
	}
}

/* Thousands of connections are not looked at all at once. */
static uint64_t spread_ms(const struct control *c)
{
	return RESUMED_MS + c->by_token.used / SPREAD_PER_MS;
}

/* Whatever nobody told is seen by looking: after a start, and where events were lost. */
static void look_at_all(struct control *c, uint8_t side, uint64_t wait_ms)
{
	struct conn *n, *next;
	struct managed *m;

	for (n = conn_after(c, NULL); n; n = next) {
		next = conn_after(c, n);
		m = n->side == side ? manage(c, n) : NULL;
		if (!m)
			continue;
		m->check = true;
		soon(m, wait_ms + control_random() % spread_ms(c));
	}
}

static void on_missed(struct control *c, uint8_t side)
{
	c->n.pm_missed++;
	look_at_all(c, side, 0);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
	static const struct pm_listener listener = { .what = "subflows", .event = on_event, .missed = on_missed };
	struct control *c = poll->data;

	(void)status;
	(void)events;
	pm_events_read(poll, (uint8_t)(poll - c->subflows.events), &listener);
	control_kick(c);
}

/* ---- life ---- */

int subflows_start(struct control *c)
{
	int err;

	wheel_init(&c->subflows.timers, control_now_ms(c));
	c->subflows.at = UINT64_MAX;
	for (size_t e = 0; e < c->cfg->num_egress; e++) {
		uint8_t side = (uint8_t)(e + 1);

		if (!subflows_are_ours(c, side))
			continue;
		if (!c->subflows.polling) {
			uv_timer_init(c->loop, &c->subflows.uv);
			c->subflows.uv.data = c;
			c->subflows.polling = true;
		}
		err = uv_poll_init(c->loop, &c->subflows.events[side], c->s.pm[side].events);
		if (err < 0)
			return err;
		c->subflows.events[side].data = c;
		uv_poll_start(&c->subflows.events[side], UV_READABLE, on_readable);
		look_at_all(c, side, RESUMED_MS); /* the flows of the daemon before */
	}
	return 0;
}

void subflows_stop(struct control *c)
{
	if (!c->subflows.polling)
		return;
	c->subflows.polling = false;
	uv_close((uv_handle_t *)&c->subflows.uv, NULL);
	for (unsigned int side = 0; side <= CONFIG_MAX_EGRESS; side++)
		if (c->subflows.events[side].data)
			uv_close((uv_handle_t *)&c->subflows.events[side], NULL);
}
