/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A TCP flow without traffic for long is parked: it has no path and is not probed for, but keeps its name, slot and
 * pool address. Its next packet, from either side, wakes it: out of the TUN it comes here because the
 * worker has no path for it, and so does a frame, which is given back to the worker once there is one. It ends as
 * others do, or when the kernel no longer has its socket, which is asked now and then.
 */
#include "shila/control/control.h"

#include <string.h>
#include <time.h>

#define ASK_MS	      60000
#define ASKED_PER_MS  64
#define TCP_IDLE_MS   (124 * 60 * 1000) /* where no local socket can be asked; RFC 5382 */
#define TRY_MS	      1000 /* server: without an answer it takes another path, the next time after twice as long */
#define TRIES	      5

static uint64_t park_ms(const struct control *c)
{
	return c->cfg->limits.park_after_s * 1000ull;
}

static uint64_t last_ms(const struct ctl_flow *f)
{
	const struct flow_stats *s = worker_flow_stats(f->control->workers[f->worker], f->slot);
	uint64_t tx = flow_counter(&s->tx_ms), rx = flow_counter(&s->rx_ms), last = tx > rx ? tx : rx;

	last = last < f->created_ms ? f->created_ms : last;
	return last < f->woken_ms ? f->woken_ms : last;
}

static uint64_t idle_ms(const struct ctl_flow *f)
{
	uint64_t last = last_ms(f), now = control_now_ms(f->control);

	return now > last ? now - last : 0;
}

static void end_flow(struct ctl_flow *f, const char *why)
{
	char text[256];

	log_debug("%s: %s", flow_str(f, text), why);
	flow_step(f, FLOW_EV_EXPIRED);
	flow_free(f);
}

/* ---- parking ---- */

static void park(struct ctl_flow *f)
{
	struct control *c = f->control;
	char text[256];

	if (worker_set_path(c->workers[f->worker], f->slot, NULL, f->epoch, PATH_RENEWED) < 0) {
		flow_timer(f, TRY_MS);
		return;
	}
	/* The template stays here: it tells the port of the peer, and which path it was. */
	f->parked = true;
	c->num_parked++;
	c->n.parked++;
	event_flow(EVENT_FLOW_PARKED, f);
	flow_use_path(f, NULL);
	log_debug("%s: parked", flow_str(f, text));
	flow_timer(f, min_u64(ASK_MS, park_ms(c)));
}

void parking_forget(struct ctl_flow *f)
{
	f->control->num_parked -= f->parked;
	f->parked = false;
}

static void check_parked(struct ctl_flow *f)
{
	struct control *c = f->control;
	uint64_t now = control_now_ms(c), every = min_u64(ASK_MS, park_ms(c));
	int there;

	if (c->asked_ms != now) {
		c->asked_ms = now;
		c->asked = 0;
	}
	if (c->asked++ >= ASKED_PER_MS) {
		flow_timer(f, 1 + c->asked / ASKED_PER_MS);
		return;
	}
	there = sock_diag_tcp(&c->s.diag[f->key.side], &f->key.local, f->key.local_port, &f->key.remote,
			      f->key.remote_port, c->s.tuns[f->tun].ifindex);
	if (!there)
		end_flow(f, "its socket is gone");
	else if (there < 0 && idle_ms(f) >= TCP_IDLE_MS)
		end_flow(f, "idle for too long, and its socket cannot be asked for");
	else
		flow_timer(f, every);
}

void parking_rest(struct ctl_flow *f)
{
	flow_timer(f, f->tcp ? park_ms(f->control) : FLOW_IDLE_MS);
}

void parking_timer(struct ctl_flow *f)
{
	uint64_t limit = f->tcp ? park_ms(f->control) : FLOW_IDLE_MS, idle = idle_ms(f);

	if (f->parked)
		check_parked(f);
	else if (idle < limit)
		flow_timer(f, limit - idle);
	else if (f->tcp)
		park(f);
	else
		end_flow(f, "idle");
}

/* ---- waking: a path ---- */

static bool usable(const struct peer_path *pp)
{
	return pp->state != PATH_STATE_DOWN && pp->path->expiry_unix_s > (int64_t)time(NULL);
}

/* Client: the one it was on, else what is free of the plan, else the best that there is. */
static struct peer_path *client_path(struct ctl_flow *f)
{
	struct peer_path *pp;

	for (pp = f->peer->paths; pp; pp = pp->next)
		if (path_same(pp->path, f->tmpl->path) && usable(pp) && !conn_uses_path(f->control, f->conn, pp))
			return pp;
	pp = conn_next_path(f->control, f->conn);
	if (pp && usable(pp))
		return pp;
	pp = conn_other_path(f, OTHER_LIVING);
	return pp ? pp : conn_other_path(f, OTHER_UNUSED);
}

/* Takes @t. @same: with the path that it was on, else a new epoch begins. */
static bool go_on_with(struct ctl_flow *f, struct tmpl *t, bool same)
{
	f->epoch += !same;
	if (flow_set_tmpl(f, t) == 0)
		return true;
	f->epoch -= !same;
	return false;
}

static bool wake_client(struct ctl_flow *f)
{
	struct peer_path *pp = flow_conn(f) ? client_path(f) : NULL;
	bool same = pp && path_same(pp->path, f->tmpl->path);
	struct tmpl *t = pp ? flow_tmpl(f, pp->path, f->worker, f->tmpl->peer_port) : NULL;

	if (!pp && f->peer->set)
		path_set_ask(f->peer->set, false);
	if (!t || !go_on_with(f, t, same))
		return false;
	flow_use_path(f, pp);
	if (!same)
		flow_changed_path(f);
	return true;
}

/*
 * Server: a path of the set to the client's AS. The first time the one that it was on, or its renewed bytes; if
 * nothing was heard of the client then, each time the next one, since nobody probes them for a parked flow.
 */
static struct path *server_path(struct ctl_flow *f)
{
	int64_t now = (int64_t)time(NULL);
	const struct path *known;
	struct path *p;

	if (!f->wake_tries) {
		known = path_known(f->control, f->peer->addr.ia, f->tmpl->path);
		if (known && known->expiry_unix_s > now)
			return (struct path *)(uintptr_t)known;
		if (f->tmpl->path->expiry_unix_s > now)
			return f->tmpl->path;
	}
	p = path_set_nth(f->control, f->peer->addr.ia, f->wake_next++);
	return p && p->expiry_unix_s > now ? p : NULL;
}

static bool wake_server(struct ctl_flow *f)
{
	struct path *p = server_path(f);
	struct tmpl_infos infos = p ? flow_infos(p) : (struct tmpl_infos){ 0 };
	struct tmpl *t = p ? flow_tmpl_expecting(f, p, f->tmpl->peer_port, &infos) : NULL;
	bool same = p && path_same_interfaces(p, f->tmpl->path);

	if (!t || !go_on_with(f, t, same))
		return false;
	if (!same)
		flow_changed_path(f);
	return true;
}

bool parking_wake(struct ctl_flow *f)
{
	char text[256];

	if (!f->parked)
		return true;
	f->wake_tries = 0;
	f->parked = false; /* so that flow_set_tmpl() tells the worker */
	if (!(f->server ? wake_server(f) : wake_client(f))) {
		f->parked = true;
		f->control->drops[VERDICT_NO_PATH]++;
		return false;
	}
	f->woken_ms = control_now_ms(f->control);
	f->control->num_parked--;
	f->control->n.woken++;
	event_flow(EVENT_FLOW_WOKEN, f);
	log_debug("%s: awake", flow_str(f, text));
	f->wake_tries = f->server ? TRIES : 0;
	if (f->server)
		flow_timer(f, TRY_MS);
	else
		parking_rest(f);
	return true;
}

void parking_try(struct ctl_flow *f)
{
	const struct flow_stats *s = worker_flow_stats(f->control->workers[f->worker], f->slot);
	unsigned int tried = TRIES - f->wake_tries + 1;

	/* What is heard with an older epoch came before the client followed. */
	if (flow_counter(&s->rx_ms) >= f->woken_ms &&
	    worker_flow_rx_epoch(f->control->workers[f->worker], f->slot) == f->epoch) {
		f->wake_tries = 0;
		parking_rest(f);
		return;
	}
	/* Without data of ours there is nothing to be answered. */
	if (flow_counter(&s->tx_ms) >= f->woken_ms && wake_server(f))
		announcing_alive(f);
	f->wake_tries--;
	if (f->wake_tries)
		flow_timer(f, (uint64_t)TRY_MS << (tried < 4 ? tried : 4));
	else
		parking_rest(f);
}
