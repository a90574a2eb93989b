/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Flows of the daemon before: same names, slots, ports, pool addresses and paths, so that neither the kernel nor
 * the peer notices more than a pause. What the configuration no longer allows is let go: its peer gets UNKNOWN
 * and the local kernel a RST with the next packet.
 */
#include "shila/control/control.h"

#include <errno.h>
#include <string.h>

struct resume {
	struct control *c;
	const struct store_saved *saved;
	uint8_t side[STORE_MAX_SIDES]; /* number of an old side now, or SIDE_GONE */
};

#define SIDE_GONE UINT8_MAX

/* ---- paths ---- */

void resume_paths(struct control *c, const struct store_saved *saved)
{
	for (size_t i = 0; i < saved->num_paths; i++) {
		const struct store_saved_path *p = &saved->paths[i];

		if (p->path && p->in_set)
			path_set_resume(path_set_get(c, p->path->dst_ia), p->path);
	}
}

/* The path of the peer with these interfaces; one that left the set is kept while flows use it. */
static struct peer_path *path_of_peer(struct control *c, struct peer *peer, struct path *path)
{
	struct peer_path **at = &peer->paths;

	for (; *at; at = &(*at)->next)
		if (path_same((*at)->path, path))
			return *at;
	*at = peer_path_new(c, peer, path);
	if (*at)
		(*at)->gone = true;
	return *at;
}

/* ---- what the configuration says now ---- */

static void map_sides(struct resume *r)
{
	const struct config *cfg = r->c->cfg;
	const struct store_host *h = &r->saved->host;

	memset(r->side, SIDE_GONE, sizeof(r->side));
	if (h->num_sides && cfg->ingress.enabled && !strcmp(h->sides[0], cfg->ingress.namespace))
		r->side[0] = 0;
	for (uint8_t i = 1; i < h->num_sides; i++)
		for (size_t e = 0; e < cfg->num_egress; e++)
			if (!strcmp(h->sides[i], cfg->egress[e].namespace))
				r->side[i] = (uint8_t)(e + 1);
}

/* The TUN with the local address; else the same one, if it is of that side. -1: the side has none. */
static int tun_of(const struct control *c, const struct flow_key *key, uint8_t before)
{
	int any = -1;

	for (unsigned int t = 0; t < c->s.num_tuns; t++) {
		const struct control_tun *tun = &c->s.tuns[t];

		if (tun->side != key->side)
			continue;
		for (unsigned int a = 0; a < tun->num_addresses; a++)
			if (ip_addr_eq(&tun->addresses[a], &key->local))
				return (int)t;
		any = any < 0 || t == before ? (int)t : any;
	}
	return any;
}

static const struct config_route *route_of(const struct control *c, const struct store_flow *s,
					   const struct scion_addr *peer)
{
	const struct config_route *route = config_route_find(c->cfg, &s->key.remote);

	for (size_t i = 0; route && i < route->num_via; i++)
		if (scion_addr_eq(&route->via[i].addr, peer))
			return route;
	return NULL;
}

static bool still_served(const struct control *c, const struct store_flow *s, const struct scion_addr *peer)
{
	bool fragments = s->key.proto != INET_PROTO_TCP && !s->key.local_port && !s->key.remote_port;

	return config_peer_allowed(c->cfg, peer) &&
	       (fragments ? config_proto_served(c->cfg, s->key.proto, &s->key.local) :
			    config_port_served(c->cfg, s->key.proto, s->key.local_port, &s->key.local));
}

/* ---- flows ---- */

static struct peer *resume_peer(struct control *c, const struct store_peer *s)
{
	struct peer *p = peer_get(c, &s->addr);

	if (!p || p->num_workers)
		return p;
	if (!p->configured)
		p->contact_port = s->contact_port;
	p->boot_id = s->boot_id;
	p->num_workers = s->num_workers;
	memcpy(p->worker_ports, s->worker_ports, sizeof(p->worker_ports));
	return p;
}

static bool join_conn(struct ctl_flow *f, const struct store_flow *s, const struct config_route *route)
{
	struct control *c = f->control;
	bool mptcp = s->has_token && (s->kind == FLOW_MAIN || s->kind == FLOW_SUB);
	struct conn *n = mptcp ? conn_by_token(c, f->key.side, s->token) : NULL;

	if (!n)
		n = conn_new(f, route);
	if (!n)
		return false;
	conn_add(n, f);
	if (s->mss > n->mss)
		n->mss = s->mss;
	if (mptcp)
		conn_set_token(c, n, s->token);
	conn_resume(n);
	return true;
}

static struct tmpl *client_tmpl(struct ctl_flow *f, const struct store_flow *s, struct path *path)
{
	struct peer_path *pp = path_of_peer(f->control, f->peer, path);

	if (!pp)
		return NULL;
	flow_use_path(f, pp);
	return flow_tmpl(f, pp->path, f->worker, s->peer_port);
}

static struct tmpl *server_tmpl(struct ctl_flow *f, const struct store_flow *s, struct path *path)
{
	struct tmpl_infos infos = flow_infos(path);

	return flow_tmpl_expecting(f, path, s->peer_port, &infos);
}

static const char *resume_flow(struct resume *r, const struct store_flow *saved)
{
	struct control *c = r->c;
	const struct store_peer *sp = &r->saved->peers[saved->peer];
	struct path *path = saved->path == STORE_NONE ? NULL : r->saved->paths[saved->path].path;
	const struct config_route *route = NULL;
	struct store_flow s = *saved;
	struct ctl_flow *f;
	struct peer *peer;
	struct tmpl *t;
	int tun;

	s.key.side = saved->key.side < STORE_MAX_SIDES ? r->side[saved->key.side] : SIDE_GONE;
	tun = tun_of(c, &s.key, saved->tun);
	if (s.key.side == SIDE_GONE || tun < 0)
		return "its namespace is no longer in the configuration";
	if (s.server ? !still_served(c, &s, &sp->addr) : !(route = route_of(c, &s, &sp->addr)))
		return "the configuration no longer allows it";
	if (!path)
		return "its path could not be kept";
	peer = resume_peer(c, sp);
	if (!peer)
		return "limits.peers is reached";
	if (s.server && limits_pool_restore(c, peer, &s.client, &s.key.remote) < 0)
		return "its address is no longer in ingress.pool";
	f = flow_resume(c, &s);
	if (!f) {
		if (s.server)
			limits_pool_put(c, peer, &s.key.remote);
		return "no memory, or limits.flows is smaller now";
	}
	f->tun = (uint8_t)tun;
	f->peer = peer;
	limits_count(f);
	if (f->server) {
		f->pooled = true;
		f->client = s.client;
	} else if (!join_conn(f, &s, route)) {
		flow_free(f);
		return "no memory";
	}
	flow_set_theirs(f, &s.theirs);
	t = f->server ? server_tmpl(f, &s, path) : client_tmpl(f, &s, path);
	if (!t) {
		flow_free(f);
		return "its path cannot be used";
	}
	flow_adopt(f, t, &s.hot);
	flow_keep(f);
	c->n.resumed++;
	return NULL;
}

void resume_flows(struct control *c, const struct store_saved *saved)
{
	struct resume r = { .c = c, .saved = saved };
	const char *first = NULL;

	map_sides(&r);
	for (size_t i = 0; i < saved->num_flows; i++) {
		const char *why = resume_flow(&r, &saved->flows[i]);

		if (!why)
			continue;
		first = first ? first : why;
		c->n.lost++;
	}
	for (unsigned int w = 0; w < c->s.num_workers; w++)
		flow_slots_resumed(c, w);
	if (c->n.resumed)
		log_info("%llu connection%s of the daemon before go%s on", (unsigned long long)c->n.resumed,
			 c->n.resumed == 1 ? "" : "s", c->n.resumed == 1 ? "es" : "");
	if (c->n.lost)
		log_warn("%llu connection%s of the daemon before cannot go on, and will be reset: %s",
			 (unsigned long long)c->n.lost, c->n.lost == 1 ? "" : "s", first);
}
