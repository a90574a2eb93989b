/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include "shila/core/inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

/* The unused part of an address must be zero. */
static void clean_key(struct flow_key *out, const struct flow_key *key)
{
	memset(out, 0, sizeof(*out));
	out->side = key->side;
	out->proto = key->proto;
	out->local_port = key->local_port;
	out->remote_port = key->remote_port;
	memcpy(&out->local, &key->local, sizeof(key->local));
	memcpy(&out->remote, &key->remote, sizeof(key->remote));
}

/* A record starts its life as a flow. False: no memory, and it is back with the free ones. */
static bool enter(struct ctl_flow *f, const struct flow_key *key)
{
	struct control *c = f->control;

	clean_key(&f->key, key);
	f->tcp = key->proto == INET_PROTO_TCP;
	if (!index_add(&c->by_key, f)) {
		control_no_memory(c);
		record_give(c, f);
		return false;
	}
	c->flows_used[f->worker]++;
	if (c->flows_used[f->worker] - c->num_lingering[f->worker] > c->flows_peak)
		c->flows_peak = c->flows_used[f->worker] - c->num_lingering[f->worker];
	return true;
}

bool flow_room(const struct control *c, uint16_t port_a, uint16_t port_b)
{
	return c->flows_used[control_worker_of(c, port_a, port_b)] < c->cfg->limits.flows;
}

void flow_make_room(struct control *c, uint16_t port_a, uint16_t port_b)
{
	unsigned int w = control_worker_of(c, port_a, port_b);

	if (c->flows_used[w] >= c->cfg->limits.flows && c->lingering[w])
		flow_free(flow_of(c, c->lingering[w]));
}

bool flow_forget_lingering(struct control *c)
{
	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		if (c->lingering[w]) {
			flow_free(flow_of(c, c->lingering[w]));
			return true;
		}
	}
	return false;
}

struct ctl_flow *flow_new(struct control *c, const struct flow_key *key, uint16_t port_a, uint16_t port_b)
{
	unsigned int w = control_worker_of(c, port_a, port_b);
	uint64_t random = control_random();
	struct ctl_flow *f;

	if (c->flows_used[w] >= c->cfg->limits.flows) {
		c->drops[VERDICT_LIMIT_FLOWS]++;
		return NULL;
	}
	f = record_take(c, w);
	if (!f) {
		control_no_memory(c);
		return NULL;
	}
	f->state = FLOW_NEW;
	f->mine = (struct flow_name){ f->slot << 12 | (random & 0xfff), (uint16_t)(random >> 16) };
	f->created_ms = control_now_ms(c);
	if (!enter(f, key))
		return NULL;
	return f;
}

struct ctl_flow *flow_resume(struct control *c, const struct store_flow *s)
{
	unsigned int w = s->worker;
	struct ctl_flow *f;

	if (s->slot > c->cfg->limits.flows || flow_by_key(c, &s->key))
		return NULL;
	f = flow_record(c, w, s->slot);
	if (f && f->slot)
		return NULL;
	f = record_new(c, w, s->slot);
	if (!f)
		return NULL;
	if (c->next_slot[w] <= s->slot)
		c->next_slot[w] = s->slot + 1;
	f->mine = s->mine;
	f->state = (enum flow_state)s->state;
	f->kind = (enum flow_kind)s->kind;
	f->server = s->server;
	f->confirmed = s->confirmed;
	f->accepted = s->server;
	f->epoch = s->epoch;
	f->saw = s->saw;
	f->path_changes = s->path_changes;
	f->token = s->token;
	f->has_token = s->has_token;
	f->isn = s->isn;
	f->created_ms = s->created_ms;
	return enter(f, &s->key) ? f : NULL;
}

void flow_slots_resumed(struct control *c, unsigned int w)
{
	for (uint32_t i = 1; i < c->next_slot[w]; i++) {
		struct ctl_flow *f = flow_record(c, w, i);

		if (!f || !f->slot)
			f = record_new(c, w, i);

		if (!f) { /* no memory: what is above cannot be reached */
			log_error("no memory for flow records");
			return;
		}
		if (f->state == FLOW_NONE && !f->next_free && i != c->free_tail[w])
			record_give(c, f);
	}
}

struct ctl_flow *flow_by_key(struct control *c, const struct flow_key *key)
{
	uint32_t hash = flow_key_hash(key, c->by_key.seed), at = 0;
	struct ctl_flow *f;

	while ((f = index_next(c, &c->by_key, hash, &at)) && !flow_key_eq(&f->key, key))
		;
	return f;
}

struct ctl_flow *flow_by_name(struct control *c, const struct flow_name *mine)
{
	uint32_t slot = FLOW_ID_INDEX(mine->id);

	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		struct ctl_flow *f = slot && slot < c->next_slot[w] ? flow_record(c, w, slot) : NULL;

		if (f && f->state != FLOW_NONE && f->mine.id == mine->id && f->mine.tag == mine->tag)
			return f;
	}
	return NULL;
}

uint32_t flow_theirs_hash(const struct scion_addr *peer, const struct flow_name *name, uint64_t seed)
{
	struct flow_key k = { .remote = peer->host, .local_port = name->tag };

	memcpy(k.local.b, &peer->ia.v, sizeof(peer->ia.v));
	memcpy(k.local.b + 8, &name->id, sizeof(name->id));
	k.local.len = 16; /* all of it counts */
	return flow_key_hash(&k, seed);
}

struct ctl_flow *flow_by_theirs(struct control *c, const struct scion_addr *peer, const struct flow_name *name)
{
	uint32_t hash = flow_theirs_hash(peer, name, c->by_theirs.seed), at = 0;
	struct ctl_flow *f;

	while ((f = index_next(c, &c->by_theirs, hash, &at)) &&
	       (f->theirs.id != name->id || f->theirs.tag != name->tag || !scion_addr_eq(&f->peer->addr, peer)))
		;
	return f;
}

void flow_set_theirs(struct ctl_flow *f, const struct flow_name *name)
{
	struct control *c = f->control;

	if (f->in_theirs)
		index_remove(&c->by_theirs, f);
	f->theirs = *name;
	f->in_theirs = index_add(&c->by_theirs, f);
	if (!f->in_theirs)
		control_no_memory(c);
	flow_keep(f);
}

struct ctl_flow *flow_after(struct control *c, const struct ctl_flow *f)
{
	uint32_t slot = f ? f->slot + 1 : 1;

	for (unsigned int w = f ? f->worker : 0; w < c->s.num_workers; w++, slot = 1)
		for (; slot < c->next_slot[w]; slot++) {
			struct ctl_flow *next = flow_record(c, w, slot);

			if (next && next->state != FLOW_NONE)
				return next;
		}
	return NULL;
}

char *flow_str(const struct ctl_flow *f, char *buf)
{
	char local[IP_ADDR_STRLEN], remote[IP_ADDR_STRLEN];

	snprintf(buf, 256, "flow %u.%u %s %s:%u > %s:%u (%s)", f->worker, f->slot,
		 f->tcp ? "tcp" : "datagram", ip_addr_str(&f->key.local, local), f->key.local_port,
		 ip_addr_str(&f->key.remote, remote), f->key.remote_port, f->peer ? f->peer->text : "-");
	return buf;
}

#define LOGGED_PER_S 20

bool flow_may_log(struct control *c)
{
	uint64_t second = control_now_ms(c) / 1000;

	if (c->flow_log_s != second) {
		c->flow_log_s = second;
		c->flows_logged = 0;
	}
	return c->flows_logged++ < LOGGED_PER_S;
}

/* ---- state ---- */

static void leave_lingering(struct ctl_flow *f)
{
	if (!f->lingers)
		return;
	f->lingers = false;
	f->control->num_lingering[f->worker]--;
	FLOW_LIST_DEL(f->control->lingering[f->worker], f, linger);
}

bool flow_step(struct ctl_flow *f, enum flow_event ev)
{
	enum flow_state next = flow_state_next(f->state, ev);
	char text[256];

	if (next == FLOW_NONE) {
		log_debug("%s: event %d refused in state %s", flow_str(f, text), ev, flow_state_str(f->state));
		return false;
	}
	if (next != f->state && f->state == FLOW_WAITING)
		FLOW_LIST_DEL(f->peer->waiting, f, wait);
	else if (next != f->state && next == FLOW_WAITING)
		FLOW_LIST_ADD(f->peer->waiting, f, wait);
	if (next != FLOW_LINGER)
		leave_lingering(f); /* before it is in another list */
	if (next != f->state)
		log_debug("%s: %s > %s", flow_str(f, text), flow_state_str(f->state), flow_state_str(next));
	if (next == FLOW_OPEN && f->state < FLOW_OPEN) {
		event_flow(EVENT_FLOW_OPEN, f);
		subflows_opened(f);
	} else if (next > FLOW_CLOSING && f->state <= FLOW_CLOSING && f->state >= FLOW_OPEN) {
		event_flow(EVENT_FLOW_CLOSED, f);
		if (ev == FLOW_EV_RST)
			subflows_reset(f);
	}
	f->state = next;
	limits_count(f);
	flow_keep(f);
	return true;
}

bool flow_write_packet(struct ctl_flow *f, const uint8_t *bytes, size_t len)
{
	struct control *c = f->control;
	struct ip_pkt ip;

	if (len > sizeof(c->packet))
		return false;
	memcpy(c->packet, bytes, len);
	if (ip_parse(c->packet, len, &ip) < 0 || inner_of(&f->key, f->server, c->packet, &ip) == INNER_FOREIGN)
		return false;
	if (inet_rewrite(c->packet, &ip, &f->key.remote, &f->key.local) < 0)
		return false;
	return !worker_write(c->workers[f->worker], f->tun, NULL, c->packet, (uint32_t)len);
}

bool flows_replay(const struct control *c)
{
	bool any = c->cfg->paths.replay;

	for (size_t i = 0; i < c->cfg->num_routes; i++)
		any |= c->cfg->routes[i].paths.replay;
	return any;
}

/* Its worker keeps what it sends. */
static bool is_kept(const struct ctl_flow *f)
{
	const struct conn *n = flow_conn(f);

	return f->tcp && (n ? conn_route(f->control, n)->paths.replay : f->control->cfg->paths.replay);
}

int flow_install(struct ctl_flow *f, struct tmpl *t)
{
	struct flow w = {
		.mine = f->mine,
		.theirs = f->theirs,
		.tmpl = tmpl_get(t),
		.tcp = f->tcp,
		.keep = is_kept(f),
		.slow = true,
		.server = f->server,
		.unheard = f->server && !f->confirmed,
		.credit = f->server ? f->credit : 0,
		.epoch = f->epoch,
		.tun = f->tun,
		.hot = flow_kept_hot(f),
	};
	int err;

	w.key = f->key;
	if (f->first_bytes) { /* no worker sees it */
		flow_count(f->server ? &w.stats.rx_bytes : &w.stats.tx_bytes, f->first_bytes);
		flow_count(f->server ? &w.stats.rx_segments : &w.stats.tx_segments, 1);
	}
	err = worker_install(f->control->workers[f->worker], f->slot, &w);
	if (err < 0) {
		tmpl_put(t);
		f->control->drops[VERDICT_CONTROL_FULL]++;
		return err;
	}
	f->installed = true;
	if (f->server && !f->tcp)
		datagrams_add(f);
	tmpl_put(f->tmpl);
	f->tmpl = tmpl_get(t);
	f->path_kept = false;
	return 0;
}

static int set_tmpl(struct ctl_flow *f, struct tmpl *t, enum path_change change)
{
	if (f->installed && !f->parked &&
	    worker_set_path(f->control->workers[f->worker], f->slot, tmpl_get(t), f->epoch, change) < 0) {
		tmpl_put(t);
		tmpl_put(t);
		return -ENOBUFS;
	}
	tmpl_put(f->tmpl);
	f->tmpl = t;
	f->path_kept = false;
	flow_keep(f);
	return 0;
}

int flow_set_tmpl(struct ctl_flow *f, struct tmpl *t)
{
	return set_tmpl(f, t, PATH_RENEWED);
}

int flow_move_tmpl(struct ctl_flow *f, struct tmpl *t, enum path_change change)
{
	return set_tmpl(f, t, change);
}

int flow_path_back(struct ctl_flow *f)
{
	return set_tmpl(f, tmpl_get(f->tmpl), PATH_BACK);
}

static void linger(struct ctl_flow *f)
{
	leave_lingering(f);
	f->announce_left = 0;
	f->lingers = true;
	f->control->num_lingering[f->worker]++;
	FLOW_LIST_ADD(f->control->lingering[f->worker], f, linger);
	flow_timer(f, f->control->cfg->limits.linger_s * 1000ull);
}

void flow_adopt(struct ctl_flow *f, struct tmpl *t, const struct flow_hot *hot)
{
	struct flow w = {
		.key = f->key,
		.mine = f->mine,
		.theirs = f->theirs,
		.tmpl = tmpl_get(t),
		.tcp = f->tcp,
		.keep = is_kept(f),
		.server = f->server,
		.epoch = f->epoch,
		.tun = f->tun,
		.saw = f->saw,
		.told = f->saw,
		.hot = flow_kept_hot(f),
		.own_hot = *hot,
	};
	uint64_t now = control_now_ms(f->control), last = hot->last_s * 1000ull;
	uint64_t idle = last && last < now ? now - last : 0;

	/* A daemon of before last_s did not keep how long it had been idle: it starts anew. */
	atomic_init(&w.stats.tx_ms, now - idle);
	worker_adopt(f->control->workers[f->worker], f->slot, &w);
	f->installed = true;
	if (f->server && !f->tcp)
		datagrams_add(f);
	f->tmpl = t;
	if (f->state == FLOW_LINGER)
		linger(f);
	else if (f->state == FLOW_OPEN && f->tcp && !f->server && !(hot->known & FLOW_KNOWS_IN))
		establishing_resumed(f);
	else
		flow_timer(f, f->server && !f->confirmed ? OFFER_DEADLINE_MS : idle < FLOW_IDLE_MS ? FLOW_IDLE_MS - idle : 1);
}

void flow_saw(struct control *c, const struct up_msg *m)
{
	static const struct {
		uint8_t bit;
		enum flow_event ev;
	} events[] = {
		{ FLOW_SAW_FIN_OUT, FLOW_EV_FIN_OUT },
		{ FLOW_SAW_FIN_IN, FLOW_EV_FIN_IN },
		{ FLOW_SAW_RST_OUT, FLOW_EV_RST },
		{ FLOW_SAW_RST_IN, FLOW_EV_RST },
	};
	struct ctl_flow *f = flow_by_name(c, &m->flow);
	uint8_t fresh;

	if (!f)
		return;
	fresh = m->saw & ~f->saw;
	f->saw |= m->saw;
	if (fresh & FLOW_SAW_HEARD && f->server && !f->confirmed)
		offering_confirmed(f);
	if (f->state < FLOW_OPEN)
		return; /* a RST before that is handled where it is read */
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (fresh & events[i].bit)
			flow_step(f, events[i].ev);
	if (f->state == FLOW_LINGER && fresh & ~FLOW_SAW_HEARD) {
		uint8_t announce = fresh & (FLOW_SAW_RST_OUT | FLOW_SAW_RST_IN) ? 0 : f->announce_left;

		linger(f);
		/* What the other side has not heard it repeats, the old way: it still has to learn of the move. */
		f->announce_left = announce;
		if (announce)
			announcing_timer(f);
	}
}

static void send_alive(struct ctl_flow *f, size_t len)
{
	struct frame_hdr h = { .type = FRAME_ALIVE, .epoch = f->epoch, .to = f->theirs };
	uint8_t frame[FRAME_PROBE_LEN] = { 0 };
	struct wr w = wr_init(frame, sizeof(frame));

	frame_build_hdr(&w, &h);
	control_send_frame(f->control, f->worker, f->tmpl, f->slot, frame, len);
}

void flow_send_alive(struct ctl_flow *f)
{
	send_alive(f, FRAME_PROBE_LEN); /* the peer may answer with a PROBE: not larger than this */
}

void flow_send_confirm(struct ctl_flow *f)
{
	send_alive(f, FRAME_HDR_LEN);
}

struct tmpl *flow_tmpl(const struct ctl_flow *f, struct path *path, unsigned int socket, uint16_t peer_port)
{
	struct control *c = f->control;

	return tmpls_over(c, path, control_port(c, socket), &f->peer->addr, peer_port, &(struct tmpl_infos){ 0 });
}

struct tmpl *flow_tmpl_expecting(const struct ctl_flow *f, struct path *path, uint16_t peer_port,
				 const struct tmpl_infos *infos)
{
	struct control *c = f->control;

	return tmpls_over(c, path, control_port(c, f->worker), &f->peer->addr, peer_port, infos);
}

struct tmpl_infos flow_infos(const struct path *p)
{
	uint8_t back[SCION_MAX_PATH_LEN];
	struct tmpl_infos infos = { 0 };
	struct scion_path_meta meta;

	if (!p->raw_len || scion_path_reverse(p->raw, p->raw_len, back) < 0 || scion_path_check(back, p->raw_len, &meta) < 0)
		return infos;
	infos.len = (uint8_t)(8 * meta.num_inf);
	memcpy(infos.bytes, back + 4, infos.len);
	return infos;
}

/* ---- timers ---- */

#define TIMERS_BATCH 1024 /* of one turn of the loop */

static void arm(struct control *c);

void flow_timer(struct ctl_flow *f, uint64_t ms)
{
	struct control *c = f->control;

	wheel_set(&c->timers, &f->timer, control_now_ms(c) + ms);
	arm(c);
}

static void on_timer(struct ctl_flow *f)
{
	switch (f->state) {
	case FLOW_WAITING:
	case FLOW_OPENING:
		opening_timer(f);
		break;
	case FLOW_OFFERED:
		offering_timer(f);
		break;
	case FLOW_OPEN:
	case FLOW_CLOSING:
		if (f->server && f->socket_lost)
			flow_socket_lost(f);
		else if (f->announce_left)
			announcing_timer(f);
		else if (f->server && !f->confirmed)
			offering_timer(f);
		else if (f->confirm_left)
			establishing_confirm(f);
		else if (f->wake_tries)
			parking_try(f);
		else
			parking_timer(f);
		break;
	case FLOW_LINGER:
		if (f->announce_left) {
			announcing_timer(f);
			break;
		}
		flow_step(f, FLOW_EV_EXPIRED);
		flow_free(f);
		break;
	case FLOW_NEW:
		subflows_expire(f);
		break;
	case FLOW_NONE:
	case FLOW_CLOSED:
	case FLOW_NUM_STATES:
		break;
	}
}

static void on_timers(uv_timer_t *uv)
{
	struct control *c = uv->data;
	unsigned int work = TIMERS_BATCH;
	struct wheel_timer *t;

	c->timers_at = UINT64_MAX;
	while ((t = wheel_expire(&c->timers, control_now_ms(c), &work)))
		on_timer((struct ctl_flow *)(void *)((char *)t - offsetof(struct ctl_flow, timer)));
	arm(c);
	control_kick(c);
}

/* Of all timers the loop has the first one alone. */
static void arm(struct control *c)
{
	uint64_t at = wheel_wake_at(&c->timers), now = control_now_ms(c);

	if (at >= c->timers_at || c->stopping)
		return;
	c->timers_at = at;
	uv_timer_start(&c->timers_uv, on_timers, at > now ? at - now : 0, 0);
}

void flow_timers_start(struct control *c)
{
	wheel_init(&c->timers, control_now_ms(c));
	uv_timer_init(c->loop, &c->timers_uv);
	c->timers_uv.data = c;
	c->timers_at = UINT64_MAX;
}

void flow_timers_stop(struct control *c)
{
	uv_close((uv_handle_t *)&c->timers_uv, NULL);
}

/* ---- the end ---- */

void flow_drop_held(struct ctl_flow *f)
{
	struct held_packet *h, *next;

	LL_FOREACH_SAFE(f->held, h, next)
		control_unhold(f->control, h);
	f->held = NULL;
	f->num_held = 0;
}

void flow_free(struct ctl_flow *f)
{
	struct control *c = f->control;

	wheel_stop(&c->timers, &f->timer);
	if (f->installed && c->workers[f->worker])
		while (worker_remove(c->workers[f->worker], f->slot) < 0) {
			/* Its queue is full: it is being emptied at this moment. */
			worker_kick(c->workers[f->worker]);
			uv_sleep(1);
		}
	flow_drop_held(f);
	flow_keep_no_more(f);
	if (f->server) {
		datagrams_remove(f);
		offering_forget_synack(f);
	}
	index_remove(&c->by_key, f);
	if (f->in_theirs)
		index_remove(&c->by_theirs, f);
	if (f->pooled)
		limits_pool_put(c, f->peer, &f->key.remote);
	if (f->state == FLOW_WAITING)
		FLOW_LIST_DEL(f->peer->waiting, f, wait);
	leave_lingering(f);
	limits_uncount(f);
	flow_use_path(f, NULL);
	conn_leave(f);
	tmpl_put(f->tmpl);
	moves_forget_probe(f);
	announcing_forget(f);
	parking_forget(f);
	c->flows_used[f->worker]--;
	record_give(c, f);
}

static void send_close(struct ctl_flow *f, enum frame_reason reason)
{
	struct control *c = f->control;
	struct frame_end e = { .from = f->mine, .reason = (uint8_t)reason };
	uint8_t frame[64];
	int len;

	if (!f->theirs.id || !f->tmpl)
		return;
	len = frame_build_end(frame, sizeof(frame), FRAME_CLOSE, &f->theirs, &e);
	if (len > 0) {
		control_send_frame(c, f->worker, f->tmpl, f->slot, frame, (size_t)len);
		c->n.closes_tx++;
	}
}

void flow_socket_lost(struct ctl_flow *f)
{
	if (f->state != FLOW_OPEN && f->state != FLOW_CLOSING)
		return;
	send_close(f, REASON_CLOSED);
	flow_step(f, FLOW_EV_RST);
	linger(f);
}

void flow_lost_there(struct ctl_flow *f)
{
	if (f->installed)
		worker_reset_local(f->control->workers[f->worker], f->slot);
	flow_step(f, FLOW_EV_RST);
	linger(f);
}

bool flow_counts(const struct ctl_flow *f)
{
	return f->state < FLOW_LINGER && !f->given_up && !f->socket_lost;
}

void flow_close(struct ctl_flow *f, enum frame_reason reason, bool tell_peer, bool reset_local)
{
	struct control *c = f->control;

	if (tell_peer)
		send_close(f, reason);
	if (reset_local && f->installed)
		worker_reset_local(c->workers[f->worker], f->slot);
	offering_ended(f, REASON_NONE);
	flow_step(f, FLOW_EV_REFUSED);
	flow_free(f);
}
