/* SPDX-License-Identifier: Apache-2.0 */

/*
 * PROBE and PROBE-REPLY on the contact port: which path of a peer is up, with which RTT. Paths that carry
 * flows are probed often while these say something, the other paths of a peer with flows seldom, dead ones
 * until they are back, and a peer without flows hardly ever.
 */
#include "shila/control/control.h"

#include <stdlib.h>
#include <string.h>

#define TICK_US		   20000 /* what is due closer together is done together */
#define PROBE_USED_US	   100000
#define PROBE_RESTING_US   1000000 /* flows that say nothing: their next frames ask by themselves */
#define PROBE_IDLE_US	   2000000
#define PROBE_QUIET_US	   30000000 /* a peer without flows */
#define PROBE_DOWN_US	   200000
#define PROBE_TIMEOUT_MIN_US 100000
#define PROBE_TIMEOUT_UNKNOWN_US 500000
#define PROBE_BURST	   64	  /* probes of one tick */
#define REGROUP_US	   400000
#define WINDOW		   256	  /* probes that the loss ratio looks back on */

void peer_path_free(struct peer_path *pp)
{
	for (struct peer_path **at = &pp->peer->paths; *at; at = &(*at)->next) {
		if (*at == pp) {
			*at = pp->next;
			break;
		}
	}
	conn_forget_path(pp);
	trials_forget_path(pp);
	tmpl_put(pp->tmpl);
	path_put(pp->path);
	free(pp);
}

/* ---- states ---- */

/* Flows that found no living path when theirs died. */
static bool has_stranded(const struct peer *p)
{
	for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
		if (pp->state == PATH_STATE_DOWN && pp->flows)
			return true;
	return false;
}

static bool all_down(const struct peer *p)
{
	for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
		if (pp->state != PATH_STATE_DOWN)
			return false;
	return true;
}

/*
 * After an outage of the peer itself (a restart) its paths come back within moments of each other: flows wait for
 * their own, instead of crowding on the first one and moving back.
 */
static void came_up(struct peer_path *pp)
{
	struct peer *p = pp->peer;

	if (p->outage) {
		p->outage = false;
		p->regroup_us = control_now_us() + REGROUP_US;
	}
	if (!p->regroup_us)
		moves_path_up(pp);
}

static void regroup(struct peer *p)
{
	p->regroup_us = 0;
	for (struct peer_path *pp = p->paths; pp && has_stranded(p); pp = pp->next)
		if (pp->state == PATH_STATE_UP)
			moves_path_up(pp);
}

/* None of its paths is left: what comes back first is used at once. */
static void peer_lost(struct peer *p)
{
	p->outage = true;
	for (struct peer_path *pp = p->paths; pp; pp = pp->next)
		pp->damp = (struct path_damp){ 0 };
}

static void set_state(struct peer_path *pp, enum path_state state)
{
	enum path_state old = pp->state;
	bool left;
	char fp[PATH_FINGERPRINT_STRLEN];

	if (old == state)
		return;
	pp->state = state;
	if (state != PATH_STATE_UP)
		witness_doubt(&pp->witness, control_now_us());
	pp->since_us = control_now_us();
	left = pp->left;
	pp->tried = pp->left = false;
	if (state == PATH_STATE_DOWN)
		path_damp_down(&pp->damp, control_now_us());
	else if (old == PATH_STATE_DOWN)
		path_damp_up(&pp->damp, control_now_us());
	event_path(state == PATH_STATE_UP ? EVENT_PATH_UP : state == PATH_STATE_DOWN ? EVENT_PATH_DOWN : EVENT_PATH_SUSPECT, pp);
	if (state == PATH_STATE_UP || state == PATH_STATE_DOWN)
		subflows_paths_changed(pp->peer);
	path_fingerprint_str(pp->path, fp);
	fp[8] = '\0';
	if (state == PATH_STATE_DOWN) {
		bool stay = witness_blames_peer(pp);

		log_warn("path %s to %s is down%s", fp, pp->peer->text, pp->flows && !stay ? ", its flows move" : "");
		if (all_down(pp->peer))
			peer_lost(pp->peer);
		if (!stay)
			moves_path_died(pp);
		if (pp->peer->set)
			path_set_look(pp->peer->set);
	} else if (state == PATH_STATE_UP) {
		witness_trust(&pp->witness);
		witness_know(&pp->witness);
		if (old == PATH_STATE_DOWN) {
			log_info("path %s to %s is up again", fp, pp->peer->text);
			pp->sent = pp->answered = 0; /* the outage says nothing about how lossy it is now */
			moves_path_back(pp);
		}
		if (old == PATH_STATE_DOWN || left || has_stranded(pp->peer))
			came_up(pp);
	}
}

static void happened(struct peer_path *pp, enum path_event event)
{
	set_state(pp, path_state_next(pp->state, event));
}

static uint64_t timeout_us(const struct peer_path *pp)
{
	return path_rtt_late_us(pp->srtt_us, pp->var_us, PROBE_TIMEOUT_MIN_US, PATH_RTT_MOST_US, PROBE_TIMEOUT_UNKNOWN_US);
}

/* DATA that came on the path since the probe was sent is as good as an answer. */
static bool heard_since(struct control *c, const struct peer_path *pp, uint64_t since_us)
{
	const struct ctl_flow *f, *next;
	uint64_t now_us = control_now_us(), age_ms = (now_us - since_us) / 1000, now_ms = uv_now(c->loop);

	if (pp->heard_us >= since_us)
		return true;
	FLOW_LIST_FOREACH(c, pp->on, f, next, on) {
		uint64_t rx_ms;

		if (f->state < FLOW_OPEN)
			continue;
		rx_ms = flow_counter(&worker_flow_stats(c->workers[f->worker], f->slot)->rx_ms);
		if (rx_ms && now_ms >= rx_ms && now_ms - rx_ms < age_ms)
			return true;
	}
	return false;
}

/*
 * A path that has become slower than its time-out must not stay down for that: of the probes that were given up the
 * first one is remembered, for as long as an answer may take.
 */
static void remember_late(struct peer_path *pp)
{
	if (control_now_us() - pp->late_sent_us <= PATH_RTT_MOST_US)
		return;
	pp->late_id = pp->probe_id;
	pp->late_sent_us = pp->probe_sent_us;
}

static void missed(struct control *c, struct peer_path *pp)
{
	enum path_event event;

	remember_late(pp);
	pp->probe_id = 0;
	c->probes_out -= !!c->probes_out;
	if (!path_probes_missed(&pp->probes, heard_since(c, pp, pp->probe_sent_us), &event))
		return;
	if (pp->state == PATH_STATE_DOWN && pp->move_again) {
		pp->move_again = false;
		moves_path_died(pp);
	}
	happened(pp, event);
	if (pp->state == PATH_STATE_SUSPECT)
		pp->next_probe_us = 0; /* at once */
}

static void learn_rtt(struct peer_path *pp, uint64_t rtt_us)
{
	/* The time for which this process was stopped would be the time-out from then on. */
	if (rtt_us > PATH_RTT_MOST_US)
		log_debug("a PROBE was answered after %llu ms: not taken for the RTT", (unsigned long long)rtt_us / 1000);
	else
		path_rtt_learn(&pp->srtt_us, &pp->var_us, (uint32_t)rtt_us);
	pp->answered++;
}

static void answered(struct peer_path *pp, uint64_t rtt_us)
{
	learn_rtt(pp, rtt_us);
	pp->heard_us = control_now_us();
	happened(pp, path_probes_answered(&pp->probes, &pp->damp, pp->heard_us));
	if (pp->peer->outage && pp->state == PATH_STATE_UP)
		came_up(pp); /* it was never down, but the peer was away */
}

/* ---- sending ---- */

uint32_t probing_send(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	struct frame_probe p = { .id = ++c->next_probe, .sent_us = now_us };
	uint8_t frame[2 * FRAME_PROBE_LEN + SCION_MAX_HDR_LEN + SCION_UDP_HDR_LEN] = { 0 };
	int len;

	if (!pp->tmpl)
		return 0;
	if (!p.id)
		p.id = ++c->next_probe;
	len = frame_build_probe(frame, sizeof(frame), FRAME_PROBE, &p);
	if (len <= 0)
		return 0;
	/* Who may not know either whether the path is up may send a reply and a probe of its own. */
	if (pp->state != PATH_STATE_UP)
		len = 2 * FRAME_PROBE_LEN + pp->tmpl->len;
	if (control_send_frame(c, c->s.num_workers, pp->tmpl, 1, frame, (size_t)len) != VERDICT_PASS)
		return 0;
	c->n.probes_tx++;
	return p.id;
}

static void send_probe(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	uint32_t id = probing_send(c, pp, now_us);

	if (!pp->tmpl)
		return;
	c->probes_out++;
	pp->probe_id = id ? id : c->next_probe; /* what could not be sent is missed like one that was lost */
	pp->probe_sent_us = now_us;
	if (++pp->sent > WINDOW) {
		pp->sent /= 2;
		pp->answered /= 2;
	}
}

/* How often, by what hangs on it. A peer without flows is only kept an eye on. */
static uint64_t interval_us(const struct peer_path *pp)
{
	if (pp->state == PATH_STATE_DOWN)
		return pp->peer->flows || pp->probes.good ? PROBE_DOWN_US : PROBE_IDLE_US;
	if (!pp->peer->flows)
		return pp->state == PATH_STATE_UP ? PROBE_QUIET_US : PROBE_IDLE_US;
	if (!pp->flows && !pp->left)
		return PROBE_IDLE_US;
	return pp->resting ? PROBE_RESTING_US : PROBE_USED_US;
}

/* The interval may have become shorter since the last one: an idle path that carries a flow now. */
static uint64_t probe_at_us(const struct peer_path *pp)
{
	return min_u64(pp->next_probe_us, pp->probe_sent_us + interval_us(pp));
}

/* ---- when ---- */

static void on_tick(uv_timer_t *t);

/* Things that are due within TICK_US of each other share a tick: its cost grows with the number of paths. */
static void arm(struct control *c, uint64_t at_us)
{
	uint64_t first_us = c->ticked_us + TICK_US, at_ms, now_ms;

	if (c->stopping)
		return;
	if (at_us < first_us)
		at_us = first_us;
	c->tick_us = at_us;
	uv_update_time(c->loop);
	now_ms = control_now_ms(c);
	at_ms = (at_us + 999) / 1000; /* not too early: then it would have to come again */
	uv_timer_start(&c->tick, on_tick, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void arm_before(struct control *c, uint64_t at_us)
{
	c->tick_rest_us = min_u64(c->tick_rest_us, at_us);
	if (at_us < c->tick_us)
		arm(c, at_us);
}

/* An answer came: after the last one that was waited for nothing is due before the next probe. */
static void arm_after(struct control *c, const struct peer_path *pp)
{
	arm_before(c, probe_at_us(pp));
	if (pp->peer->regroup_us)
		arm_before(c, pp->peer->regroup_us);
	if (c->probes_out && !--c->probes_out && c->tick_rest_us > c->tick_us)
		arm(c, c->tick_rest_us);
}

static void tick_path(struct control *c, struct peer_path *pp, uint64_t now_us, unsigned int *budget)
{
	pp->resting = pp->flows && living_rests(pp->peer, pp->path, now_us);
	if (pp->probe_id && now_us - pp->probe_sent_us > timeout_us(pp))
		missed(c, pp);
	if (!pp->probe_id && *budget && now_us >= probe_at_us(pp)) {
		pp->next_probe_us = now_us + interval_us(pp);
		send_probe(c, pp, now_us);
		--*budget;
	}
	if (pp->state != PATH_STATE_UP || pp->witness.wanted)
		witness_look(c, pp, now_us);
	arm_before(c, beats_look(c, pp, now_us));
}

static void on_tick(uv_timer_t *t)
{
	struct control *c = t->data;
	uint64_t now_us = control_now_us(), at_us = UINT64_MAX;
	unsigned int budget = PROBE_BURST, out = 0;
	struct peer *p, *next;

	if (now_us > c->tick_us)
		trials_late(c, now_us - c->tick_us, now_us);
	c->ticked_us = now_us;
	c->tick_us = c->tick_rest_us = UINT64_MAX; /* what follows may make something due */
	HASH_ITER(hh, c->peers, p, next) {
		if (p->regroup_us && now_us >= p->regroup_us)
			regroup(p);
		if (p->regroup_us)
			arm_before(c, p->regroup_us);
		for (struct peer_path *pp = p->paths, *pp_next; pp; pp = pp_next) {
			pp_next = pp->next;
			if (pp->gone && !pp->flows) {
				peer_path_free(pp);
				continue;
			}
			tick_path(c, pp, now_us, &budget);
			c->tick_rest_us = min_u64(c->tick_rest_us, probe_at_us(pp));
			at_us = min_u64(at_us, pp->probe_id ? pp->probe_sent_us + timeout_us(pp) + 1 : probe_at_us(pp));
			out += !!pp->probe_id;
		}
	}
	c->probes_out = out;
	keeping_tick(c);
	faults_look(c);
	control_flush(c);
	arm_before(c, now_us + faults_due_us(c));
	if (at_us < c->tick_us)
		arm(c, at_us);
}

void probing_wake(struct control *c)
{
	arm_before(c, control_now_us() + TICK_US);
}

void probing_now(struct control *c, struct peer *p)
{
	for (struct peer_path *pp = p->paths; pp; pp = pp->next)
		if (!pp->srtt_us)
			pp->next_probe_us = 0;
	probing_wake(c);
}

/* A peer gives a sign of life that proves nothing: one path that is not up is looked at. */
void probing_look(struct control *c, struct peer *p)
{
	uint64_t now_us = control_now_us();

	for (struct peer_path *pp = p->paths; pp; pp = pp->next) {
		if (pp->state == PATH_STATE_UP || pp->probe_id || now_us - pp->probe_sent_us < PROBE_DOWN_US)
			continue;
		pp->next_probe_us = 0;
		probing_wake(c);
		return;
	}
}

/* One probe a tick at most, however many hints come, and at once no more bytes than the hint has. */
static void hinted(struct control *c, struct peer_path *pp, uint64_t now_us, size_t *bytes)
{
	size_t cost = pp->tmpl ? pp->tmpl->len + 2u * FRAME_PROBE_LEN + pp->tmpl->len : SIZE_MAX;

	if (pp->state == PATH_STATE_DOWN || pp->probe_id || now_us - pp->probe_sent_us <= TICK_US)
		return;
	if (*bytes >= cost) {
		*bytes -= cost;
		send_probe(c, pp, now_us);
	} else {
		pp->next_probe_us = 0;
	}
	probing_wake(c);
}

void probing_hint(struct control *c, struct peer_path *first, struct isd_as ia, uint64_t ifid, size_t bytes)
{
	uint64_t now_us = control_now_us();
	struct peer *p, *next;

	hinted(c, first, now_us, &bytes);
	HASH_ITER(hh, c->peers, p, next)
		for (struct peer_path *pp = p->paths; pp; pp = pp->next)
			if (pp != first && path_has_interface(pp->path, ia, ifid))
				hinted(c, pp, now_us, &bytes);
}

void probing_refused(struct control *c, struct peer_path *pp, const struct frame_probe *probe, bool link)
{
	if (!pp->probe_id || pp->probe_id != probe->id || pp->probe_sent_us != probe->sent_us)
		return;
	/* Who has seen it is on the path, and could as well have dropped it. Links that were up and are down stay so for a while. */
	if (link && pp->state != PATH_STATE_UNKNOWN)
		path_probes_refused(&pp->probes);
	missed(c, pp);
}

/* ---- frames that are not answered ---- */

void probing_suspect(struct control *c, struct peer_path *pp)
{
	if (pp->probe_id || pp->state == PATH_STATE_DOWN || control_now_us() - pp->probe_sent_us < TICK_US)
		return;
	pp->next_probe_us = 0;
	probing_wake(c);
}

void probing_leave(struct control *c, struct peer_path *pp)
{
	happened(pp, PATH_EV_LEFT);
	pp->left = true;
	moves_path_left(pp);
	probing_suspect(c, pp);
}

void probing_lives(struct peer_path *pp)
{
	if (pp->left)
		happened(pp, PATH_EV_LIVES);
}

void probing_dead(struct control *c, struct peer_path *pp)
{
	pp->probes.good = 0;
	happened(pp, PATH_EV_DEAD);
	pp->tried = true;
	probing_wake(c);
}

bool probing_damped(const struct peer_path *pp)
{
	return pp->state == PATH_STATE_DOWN && pp->probes.good >= PATH_PROBES_GOOD;
}

/* ---- receiving ---- */

void probing_request(struct control *c, const struct arrival *a, struct rd *r)
{
	struct frame_probe probe;
	struct peer *p;
	uint8_t frame[64];
	int len;

	if (frame_parse_probe(r, &probe) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.probes_rx++;
	p = peer_find(c, &a->peer);
	if (!p && !config_peer_allowed(c->cfg, &a->peer)) {
		c->drops[VERDICT_NOT_ALLOWED]++;
		return;
	}
	/* It has come back, perhaps. Its probe must have paid for the reply and for ours. */
	if (p && a->len >= 2 * (a->len - a->udp.len + FRAME_PROBE_LEN))
		probing_look(c, p);
	if (c->contact_backlog) {
		/* Hundreds of late answers at once help nobody, and make routers drop what is sent beside them. */
		c->drops[VERDICT_PROBE_LATE]++;
		return;
	}
	len = frame_build_probe(frame, sizeof(frame), FRAME_PROBE_REPLY, &probe);
	if (len > 0 && (size_t)len <= a->udp.len)
		control_reply(c, a, frame, (size_t)len);
}

void probing_reply(struct control *c, const struct arrival *a, struct rd *r)
{
	struct peer *p = peer_find(c, &a->peer);
	struct frame_probe reply;

	if (frame_parse_probe(r, &reply) < 0) {
		c->drops[VERDICT_FRAME_MALFORMED]++;
		return;
	}
	c->n.probe_replies_rx++;
	if (!p || !reply.id) {
		c->drops[VERDICT_FRAME_STATE]++;
		return;
	}
	for (struct peer_path *pp = p->paths; pp; pp = pp->next) {
		if (pp->probe_id != reply.id || pp->probe_sent_us != reply.sent_us)
			continue;
		pp->probe_id = 0;
		peer_heard(p);
		answered(pp, control_now_us() - reply.sent_us);
		subflows_measured(pp);
		arm_after(c, pp);
		if ((!p->num_workers || p->ask_boot_id) && p->configured)
			peer_hello(c, p);
		return;
	}
	if (beats_reply(p, &reply) || trials_reply(c, p, &reply) || moves_probe_reply(c, p, &reply))
		return;
	for (struct peer_path *pp = p->paths; pp; pp = pp->next) {
		if (pp->late_id != reply.id || pp->late_sent_us != reply.sent_us || c->contact_backlog)
			continue;
		pp->late_id = 0;
		learn_rtt(pp, control_now_us() - reply.sent_us);
		return;
	}
	c->drops[VERDICT_FRAME_STATE]++; /* too late */
}

void probing_start(struct control *c)
{
	arm(c, control_now_us() + TICK_US);
}

void probing_stop(struct control *c)
{
	uv_timer_stop(&c->tick);
}
