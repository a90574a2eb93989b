/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Connections at the client: an MPTCP connection is planned as a whole, a set of paths when its main flow
 * starts, and found again by the token of its joins. Plain TCP and DATAGRAM flows are connections of one.
 */
#include "shila/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t interfaces_of_side(const struct control *c, uint8_t side)
{
	return side ? c->cfg->egress[side - 1].interfaces : 1;
}

/* How many paths an MPTCP connection has at most. */
static uint32_t wanted_paths(const struct control *c, const struct config_route *route, uint8_t side)
{
	return route->subflows ? route->subflows : interfaces_of_side(c, side);
}

/* ---- by token ---- */

#define TOKEN_BITS 6 /* chains of a table that is not empty */

/* Servers choose their tokens, but not which of them share a chain. */
static struct conn **token_chain(const struct control *c, struct mptcp_token token)
{
	return &c->by_token.chains[(token.v * (c->by_token.seed | 1)) >> (64 - c->by_token.bits)];
}

static void token_link(struct control *c, struct conn *n)
{
	struct conn **chain = token_chain(c, n->token);

	n->token_next = *chain;
	*chain = n;
}

static bool token_add(struct control *c, struct conn *n)
{
	struct conn **old = c->by_token.chains, **more, *at, *next;
	unsigned int bits = c->by_token.bits;

	if (!old || c->by_token.used >> bits) {
		more = calloc(old ? 2ul << bits : 1ul << TOKEN_BITS, sizeof(struct conn *));
		if (!more && !old)
			return false; /* else the chains grow longer */
		if (more) {
			c->by_token.chains = more;
			c->by_token.bits = old ? bits + 1 : TOKEN_BITS;
			for (size_t i = 0; old && i < 1ul << bits; i++) {
				for (at = old[i]; at; at = next) {
					next = at->token_next;
					token_link(c, at);
				}
			}
			free(old);
		}
	}
	token_link(c, n);
	c->by_token.used++;
	return true;
}

static void token_del(struct control *c, struct conn *n)
{
	struct conn **at = token_chain(c, n->token);

	while (*at != n)
		at = &(*at)->token_next;
	*at = n->token_next;
	c->by_token.used--;
}

struct conn *conn_after(const struct control *c, const struct conn *n)
{
	size_t i = n ? (size_t)(token_chain(c, n->token) - c->by_token.chains) + 1 : 0;

	if (n && n->token_next)
		return n->token_next;
	for (; c->by_token.chains && i < 1ul << c->by_token.bits; i++)
		if (c->by_token.chains[i])
			return c->by_token.chains[i];
	return NULL;
}

/* ---- life ---- */

struct conn *conn_new(struct ctl_flow *f, const struct config_route *route)
{
	uint32_t room = f->kind == FLOW_MAIN || f->kind == FLOW_SUB ? wanted_paths(f->control, route, f->key.side) : 1;
	struct conn *n = calloc(1, sizeof(*n) + room * sizeof(n->planned[0]));

	if (!n)
		return NULL;
	n->room = (uint8_t)room;
	n->side = f->key.side;
	n->route = (uint16_t)(route - f->control->cfg->routes);
	return n;
}

void conn_add(struct conn *n, struct ctl_flow *f)
{
	f->conn = n;
	f->conn_next = n->flows;
	n->flows = flow_ref(f);
}

/* In place of the plan before. */
static void set_plan(struct conn *n, struct peer_path *const *paths, unsigned int count)
{
	for (unsigned int i = 0; i < n->num_planned; i++)
		if (n->planned[i].path)
			DL_DELETE(n->planned[i].path->planners, &n->planned[i]);
	n->num_planned = (uint8_t)count;
	for (unsigned int i = 0; i < count; i++) {
		struct planned *p = &n->planned[i];

		p->path = paths[i];
		DL_APPEND(p->path->planners, p);
	}
}

void conn_leave(struct ctl_flow *f)
{
	struct conn *n = flow_conn(f);
	struct ctl_flow *o;

	if (!n)
		return;
	if (n->flows == flow_ref(f))
		n->flows = f->conn_next;
	else
		CONN_FOREACH(f->control, n, o)
			if (o->conn_next == flow_ref(f))
				o->conn_next = f->conn_next;
	f->conn = NULL;
	f->conn_next = 0;
	if (n->flows) {
		subflows_left(n, f);
		return;
	}
	if (n->has_token)
		token_del(f->control, n);
	subflows_forget(f->control, n);
	set_plan(n, NULL, 0);
	free(n);
}

struct conn *conn_by_token(struct control *c, uint8_t side, struct mptcp_token token)
{
	struct conn *n = c->by_token.chains ? *token_chain(c, token) : NULL;

	while (n && (n->side != side || n->token.v != token.v))
		n = n->token_next;
	return n;
}

/* The token must be known before the SYN/ACK reaches the kernel: a join may follow at once. */
void conn_learn_token(struct ctl_flow *f, const uint8_t *opts, size_t len)
{
	struct control *c = f->control;
	struct tcp_options o;

	if (f->kind != FLOW_MAIN || !flow_conn(f) || f->conn->has_token || tcp_options_parse(opts, len, &o) < 0)
		return;
	if (o.mptcp != MPTCP_CAPABLE || !o.has_sender_key)
		return; /* the server fell back to plain TCP */
	f->token = mptcp_token_of_key(o.sender_key);
	f->has_token = true;
	conn_set_token(c, f->conn, f->token);
	flow_keep(f);
}

void conn_set_token(struct control *c, struct conn *n, struct mptcp_token token)
{
	struct conn *old = conn_by_token(c, n->side, token);

	if (n->has_token || old == n)
		return;
	if (old) {
		token_del(c, old);
		old->has_token = false;
	}
	n->token = token;
	n->has_token = token_add(c, n);
	if (!n->has_token)
		control_no_memory(c); /* it stays without subflows */
}

void conn_forget_path(struct peer_path *pp)
{
	struct planned *p, *next;

	DL_FOREACH_SAFE(pp->planners, p, next)
		p->path = NULL;
	pp->planners = NULL;
}

/* ---- choice of paths ---- */

/* Largest inner segment over a path, without IP and TCP header but with TCP options. */
static uint16_t path_mss(const struct control *c, const struct peer_path *pp)
{
	size_t hdr = scion_hdr_len(&pp->peer->addr, &c->s.local, pp->path->raw_len) + SCION_UDP_HDR_LEN;
	size_t frame = FRAME_HDR_LEN + FRAME_THIN_LEN;

	return pp->path->mtu_bytes > hdr + frame + 88 ? (uint16_t)(pp->path->mtu_bytes - hdr - frame) : 88;
}

void conn_resume(struct conn *n)
{
	n->num_planned = n->room;
}

bool conn_has_hole(const struct conn *n)
{
	for (unsigned int i = 0; i < n->num_planned; i++)
		if (!n->planned[i].path)
			return true;
	return false;
}

/* The set of paths for a new connection. Return: 0, -ENOENT there is none, -ENOMEM. */
int conn_plan(struct control *c, struct conn *n, const struct ctl_flow *f)
{
	struct path_candidate cand[PATH_CHOICE_MAX_PATHS];
	struct peer_path *pps[PATH_CHOICE_MAX_PATHS];
	const struct config_route *route = conn_route(c, n);
	struct path_choice_params params = {
		.k = f->kind == FLOW_MAIN ? n->room : 1,
		.share = route->paths.share,
		.metric = (enum path_metric)route->paths.metric,
	};
	struct peer_path *chosen[PATH_CHOICE_MAX_K];
	struct path_choice choice;
	size_t count = peer_candidates(c, f->peer, control_policy(c, route), cand, pps, PATH_CHOICE_MAX_PATHS);

	int err = count ? path_choice_plan(cand, count, &params, &choice) : -ENOENT;

	if (err == -ENOMEM)
		control_no_memory(c);
	if (err < 0 || !choice.count)
		return err == -ENOMEM ? err : -ENOENT;
	n->mss = UINT16_MAX;
	for (unsigned int i = 0; i < choice.count; i++) {
		chosen[i] = pps[choice.index[i]];
		if (path_mss(c, chosen[i]) < n->mss)
			n->mss = path_mss(c, chosen[i]);
	}
	set_plan(n, chosen, choice.count);
	return 0;
}

void conn_plan_also(const struct control *c, struct conn *n, struct peer_path *pp)
{
	struct planned *p = NULL;

	for (unsigned int i = 0; i < n->num_planned; i++) {
		if (n->planned[i].path == pp)
			return;
		if (!n->planned[i].path && !p)
			p = &n->planned[i];
	}
	if (!p && n->num_planned < n->room) {
		p = &n->planned[n->num_planned++];
		p->path = NULL;
	}
	if (p) {
		p->path = pp;
		DL_APPEND(pp->planners, p);
	}
	if (path_mss(c, pp) < n->mss)
		n->mss = path_mss(c, pp);
}

bool conn_uses_path(const struct control *c, const struct conn *n, const struct peer_path *pp)
{
	const struct ctl_flow *f;

	CONN_FOREACH(c, n, f)
		if (f->path == pp && flow_counts(f))
			return true;
	return false;
}

unsigned int conn_live_flows(const struct control *c, const struct conn *n)
{
	const struct ctl_flow *f;
	unsigned int live = 0;

	CONN_FOREACH(c, n, f)
		live += flow_counts(f);
	return live;
}

/* The planned path that no flow of the connection has yet; dead ones last. NULL: all are taken. */
struct peer_path *conn_next_path(const struct control *c, const struct conn *n)
{
	struct peer_path *dead = NULL;

	for (unsigned int i = 0; i < n->num_planned; i++) {
		struct peer_path *pp = n->planned[i].path;

		if (!pp || conn_uses_path(c, n, pp))
			continue;
		if (pp->state != PATH_STATE_DOWN)
			return pp;
		dead = dead ? dead : pp;
	}
	return dead;
}

/* Another path than the flow's own, as disjoint as can be from those of the connection's other flows. */
struct peer_path *conn_other_path(const struct ctl_flow *f, enum other_path which)
{
	struct path_candidate cand[PATH_CHOICE_MAX_PATHS];
	struct peer_path *pps[PATH_CHOICE_MAX_PATHS];
	const struct path *used[PATH_CHOICE_MAX_K];
	const struct config_route *route = conn_route(f->control, f->conn);
	const struct ctl_flow *o;
	size_t count, kept = 0, num_used = 0;
	struct path_choice_params params = {
		.k = 1, .share = route->paths.share, .metric = (enum path_metric)route->paths.metric,
	};
	int i;

	count = peer_candidates(f->control, f->peer, control_policy(f->control, route), cand, pps, PATH_CHOICE_MAX_PATHS);
	/* Paths that have not answered lately only if there is no other. */
	for (int any = 0; any < (which == OTHER_LIVING ? 2 : 1) && !kept; any++) {
		for (size_t k = 0; k < count; k++) {
			bool bad = pps[k]->state == PATH_STATE_DOWN || pps[k]->state == PATH_STATE_SUSPECT;

			if (pps[k] == f->path || (which == OTHER_UNUSED ? conn_uses_path(f->control, f->conn, pps[k]) : bad) ||
			    (which == OTHER_LIVING && !any && trials_doubtful(pps[k])) ||
			    (which == OTHER_HEARD && !trials_leads(f->path, pps[k])))
				continue;
			cand[kept] = cand[k];
			pps[kept++] = pps[k];
		}
	}
	CONN_FOREACH(f->control, f->conn, o)
		if (num_used < PATH_CHOICE_MAX_K && o != f && o->path && o->path->state != PATH_STATE_DOWN)
			used[num_used++] = o->path->path;
	path_choice_level(cand, kept);
	i = path_choice_one(cand, kept, used, num_used, &params, true);
	return i < 0 ? NULL : pps[i];
}
