/* SPDX-License-Identifier: Apache-2.0 */

/* What the next daemon needs of flows, peers and paths, kept in the state file while they exist. */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

/* ---- peers ---- */

static struct store_peer peer_record(const struct peer *p)
{
	struct store_peer r = {
		.addr = p->addr, .boot_id = p->boot_id, .contact_port = p->contact_port,
		.num_workers = (uint8_t)p->num_workers,
	};

	memcpy(r.worker_ports, p->worker_ports, sizeof(r.worker_ports));
	return r;
}

void peer_keep(struct control *c, struct peer *p)
{
	struct store_peer r;
	uint32_t index;

	if (!c->s.store)
		return;
	r = peer_record(p);
	if (p->kept) {
		store_peer_update(c->s.store, p->kept - 1, &r);
		return;
	}
	index = store_peer_put(c->s.store, &r);
	p->kept = index == STORE_NONE ? 0 : index + 1;
}

void peer_keep_no_more(struct control *c, struct peer *p)
{
	if (c->s.store && p->kept)
		store_peer_drop(c->s.store, p->kept - 1);
	p->kept = 0;
}

/* ---- paths ---- */

void path_set_keep(struct path_set *s)
{
	struct store *store = s->control->s.store;

	if (!store || !s->num_paths)
		return;
	s->kept = malloc(s->num_paths * sizeof(*s->kept));
	for (size_t i = 0; s->kept && i < s->num_paths; i++)
		s->kept[i] = store_path_put(store, s->paths[i], true);
}

void path_set_keep_no_more(struct path_set *s)
{
	struct store *store = s->control->s.store;

	for (size_t i = 0; store && s->kept && i < s->num_paths; i++)
		store_path_drop(store, s->kept[i], true);
	free(s->kept);
	s->kept = NULL;
}

/* ---- flows ---- */

static struct store_flow store_record_of(const struct ctl_flow *f)
{
	return (struct store_flow){
		.worker = (uint8_t)f->worker,
		.slot = f->slot,
		.key = f->key,
		.mine = f->mine,
		.theirs = f->theirs,
		.state = (uint8_t)f->state,
		.kind = (uint8_t)f->kind,
		.server = f->server,
		.confirmed = f->confirmed,
		.has_token = f->has_token,
		.epoch = f->epoch,
		.tun = f->tun,
		.saw = f->saw,
		.peer_port = f->tmpl ? f->tmpl->peer_port : f->peer->contact_port,
		.mss = flow_conn(f) ? f->conn->mss : 0,
		.path_changes = (uint16_t)f->path_changes,
		.peer = f->peer->kept - 1,
		.path = f->kept_path,
		.token = f->token,
		.isn = f->isn,
		.created_ms = f->created_ms,
		.client = f->server ? f->client : (struct ip_addr){ 0 },
	};
}

static bool worth_keeping(const struct ctl_flow *f)
{
	return f->state == FLOW_OPEN || f->state == FLOW_CLOSING || f->state == FLOW_LINGER;
}

void flow_keep(struct ctl_flow *f)
{
	struct control *c = f->control;
	struct store *store = c->s.store;
	uint32_t old = f->kept ? f->kept_path : STORE_NONE;
	bool same_path = f->kept && f->path_kept;
	struct store_flow r;

	if (!store || !worth_keeping(f))
		return;
	if (!f->peer->kept)
		peer_keep(c, f->peer);
	if (!f->peer->kept)
		return; /* no room: the store counts it */
	if (!same_path)
		f->kept_path = f->tmpl ? store_path_put(store, f->tmpl->path, false) : STORE_NONE;
	r = store_record_of(f);
	if (store_flow_put(store, &r)) {
		f->kept = true;
		f->path_kept = f->kept_path != STORE_NONE; /* else there may be room the next time */
		if (!same_path)
			store_path_drop(store, old, false);
	} else if (!same_path) {
		store_path_drop(store, f->kept_path, false);
		f->kept_path = old;
	}
}

void flow_keep_no_more(struct ctl_flow *f)
{
	struct store *store = f->control->s.store;

	if (!store || !f->kept)
		return;
	store_flow_clear(store, (uint8_t)f->worker, f->slot);
	store_path_drop(store, f->kept_path, false);
	f->kept = false;
}

struct flow_hot *flow_kept_hot(struct ctl_flow *f)
{
	struct store *store = f->control->s.store;

	return store ? store_flow_hot(store, (uint8_t)f->worker, f->slot) : NULL;
}

/* ---- no room ---- */

#define RETRY_MS 2000

void keeping_tick(struct control *c)
{
	struct store *store = c->s.store;
	uint64_t now = control_now_ms(c);

	if (!store || !store_lacks(store) || now - c->keep_tried_ms < RETRY_MS)
		return;
	c->keep_tried_ms = now;
	if (!c->keep_warned)
		log_warn("state file: %s: some connections would not survive a restart of shilad (state)",
			 store_lack_error(store) == -E2BIG ? "a table is full (limits)" :
							     strerror(-store_lack_error(store)));
	c->keep_warned = true;
	if (!store_retry(store))
		return;
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f))
		flow_keep(f);
	if (store_lacks(store))
		return;
	log_info("state file: there is room again, all connections are kept");
	c->keep_warned = false;
}
