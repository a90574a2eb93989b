/* SPDX-License-Identifier: Apache-2.0 */

/* JSON for the control socket; docs/control-socket.md says what the keys mean. */
#include "shila/control/control.h"
#include "shila/control/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *isd_as_json(struct isd_as ia)
{
	char text[ISD_AS_STRLEN];

	return ia.v ? json_string(isd_as_str(ia, text)) : json_null();
}

static json_t *hops_json(const struct path *p)
{
	json_t *list = json_array();

	for (uint16_t i = 0; i < p->num_hops; i++)
		json_array_append_new(list, json_pack("{s:o, s:i}", "isd_as", isd_as_json(p->hops[i].ia),
						      "interface", p->hops[i].ifid));
	return list;
}

static json_t *path_json(const struct path *p)
{
	char fp[PATH_FINGERPRINT_STRLEN];

	return json_pack("{s:s, s:o, s:i}", "fingerprint", path_fingerprint_str(p, fp), "hops", hops_json(p),
			 "mtu_bytes", p->mtu_bytes);
}

/* ---- flows ---- */

/* A received path has no AS numbers; the set of paths to that AS may know it. */
static const struct path *known_path(const struct ctl_flow *f)
{
	const struct path *match;

	if (f->path)
		return f->path->path;
	match = f->peer ? path_known(f->control, f->peer->addr.ia, f->tmpl->path) : NULL;
	return match ? match : f->tmpl->path;
}

static json_t *token_json(const struct ctl_flow *f)
{
	return f->has_token ? json_sprintf("%08x", f->token.v) : json_null();
}

static json_t *flow_json(struct control *c, const struct ctl_flow *f)
{
	static const struct flow_stats none;
	const struct flow_stats *s =
		f->installed ? worker_flow_stats(c->workers[f->worker], f->slot) : &none;
	json_t *o = json_object();

	json_object_set_new(o, "id", json_sprintf("%u.%u", f->worker, f->slot));
	json_object_set_new(o, "peer", f->peer ? json_string(f->peer->text) : json_null());
	json_object_set_new(o, "protocol", json_protocol(f->key.proto));
	json_object_set_new(o, "role", json_role(f->kind));
	json_object_set_new(o, "side", json_string(f->server ? "server" : "client"));
	json_object_set_new(o, "token", token_json(f));
	json_object_set_new(o, "local", json_endpoint(&f->key.local, f->key.local_port));
	json_object_set_new(o, "remote", json_endpoint(&f->key.remote, f->key.remote_port));
	json_object_set_new(o, "client", f->server ? json_ip(&f->client) : json_null());
	json_object_set_new(o, "state", json_string(f->parked ? "parked" : flow_state_str(f->state)));
	json_object_set_new(o, "worker", json_integer(f->worker));
	json_object_set_new(o, "path", f->tmpl && !f->parked ? path_json(known_path(f)) : json_null());
	json_object_set_new(o, "srtt_us",
			    f->path && f->path->srtt_us ? json_integer(f->path->srtt_us) : json_null());
	json_object_set_new(o, "tx_bytes", json_integer((json_int_t)flow_counter(&s->tx_bytes)));
	json_object_set_new(o, "rx_bytes", json_integer((json_int_t)flow_counter(&s->rx_bytes)));
	json_object_set_new(o, "tx_wire_bytes", json_integer((json_int_t)flow_counter(&s->tx_wire_bytes)));
	json_object_set_new(o, "rx_wire_bytes", json_integer((json_int_t)flow_counter(&s->rx_wire_bytes)));
	json_object_set_new(o, "tx_segments", json_integer((json_int_t)flow_counter(&s->tx_segments)));
	json_object_set_new(o, "rx_segments", json_integer((json_int_t)flow_counter(&s->rx_segments)));
	json_object_set_new(o, "path_changes", json_integer(f->path_changes));
	json_object_set_new(o, "backup", json_boolean(f->backup));
	json_object_set_new(o, "age_ms", json_integer((json_int_t)(control_now_ms(c) - f->created_ms)));
	return o;
}

/* Worker and slot: records stay where they are, whatever comes and goes in between. */
json_t *report_next_flow(struct control *c, struct rpc_cursor *at)
{
	for (; at->at[0] < c->s.num_workers; at->at[0]++, at->at[1] = 0) {
		while (at->at[1] < c->next_slot[at->at[0]]) {
			const struct ctl_flow *f = flow_record(c, (unsigned int)at->at[0], (uint32_t)at->at[1]++);

			if (f && f->state != FLOW_NONE)
				return flow_json(c, f);
		}
	}
	return NULL;
}

/* ---- peers and paths ---- */

static const struct peer_path *best_path(const struct peer *p)
{
	const struct peer_path *best = NULL;

	for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
		if (pp->srtt_us && (!best || pp->srtt_us < best->srtt_us))
			best = pp;
	return best;
}

static json_t *peer_json(const struct peer *p)
{
	static const char *const states[] = { "unknown", "up", "silent" };
	const struct peer_path *best = best_path(p);
	json_t *ports = json_array(), *o = json_object();
	size_t n = 0;

	for (unsigned int i = 0; i < p->num_workers; i++)
		json_array_append_new(ports, json_integer(p->worker_ports[i]));
	for (const struct peer_path *pp = p->paths; pp; pp = pp->next)
		n++;
	json_object_set_new(o, "isd_as", isd_as_json(p->addr.ia));
	json_object_set_new(o, "host", json_ip(&p->addr.host));
	json_object_set_new(o, "contact_port", json_integer(p->contact_port));
	json_object_set_new(o, "state", json_string(states[p->state]));
	json_object_set_new(o, "boot_id",
			    p->boot_id ? json_sprintf("%016llx", (unsigned long long)p->boot_id) : json_null());
	json_object_set_new(o, "worker_ports", ports);
	json_object_set_new(o, "flows", json_integer(p->flows));
	json_object_set_new(o, "paths", json_integer((json_int_t)n));
	json_object_set_new(o, "rtt_us", best ? json_integer(best->srtt_us) : json_null());
	json_object_set_new(o, "opens_tx", json_integer((json_int_t)p->opens_tx));
	json_object_set_new(o, "opens_rx", json_integer((json_int_t)p->opens_rx));
	return o;
}

/* By number: one that is forgotten in between makes us pass over another, at worst. */
json_t *report_next_peer(struct control *c, struct rpc_cursor *at)
{
	uint64_t i = 0;
	struct peer *p, *next;

	HASH_ITER(hh, c->peers, p, next) {
		if (i++ < at->at[0])
			continue;
		at->at[0] = i;
		return peer_json(p);
	}
	return NULL;
}

/* A path may serve several peers of its AS: up for one is up. NULL: none has it. */
static const struct peer_path *best_of(const struct path_set *s, const struct path *path, uint32_t *flows)
{
	static const int rank[] = { 1, 3, 2, 0 }; /* unknown, up, suspect, down */
	const struct peer_path *best = NULL;

	*flows = 0;
	for (const struct peer *p = s->peers; p; p = p->next_of_set) {
		for (const struct peer_path *pp = p->paths; pp; pp = pp->next) {
			if (!path_same(pp->path, path))
				continue;
			*flows += pp->flows;
			if (!best || rank[pp->state] >= rank[best->state])
				best = pp;
		}
	}
	return best;
}

/* Of PROBEs that were lost; negative: not known. */
static double loss_of(const struct peer_path *pp)
{
	uint32_t answered = pp->answered + !!pp->probe_id;

	if (pp->sent <= 1)
		return -1;
	return answered < pp->sent ? 1.0 - (double)answered / pp->sent : 0;
}

static const char *why_down(const struct peer_path *pp)
{
	if (probing_damped(pp))
		return "not used: it answers probes, but came and went, and has to be good for a while first";
	if (pp->tried)
		return "not used: neither its flows' frames nor probes were answered, while another path's were";
	return "not used: it does not answer probes";
}

static json_t *why_json(const struct path_set *s, const struct path *path, const struct peer_path *pp)
{
	enum path_state state = pp ? pp->state : PATH_STATE_UNKNOWN;
	unsigned int disjoint = 0, others = 0;
	const char *use = state == PATH_STATE_DOWN    ? why_down(pp) :
			  state == PATH_STATE_UP      ? "usable: it answers probes" :
			  pp && pp->left ? "not used: its flows' frames are not answered, while those of another path are" :
			  state == PATH_STATE_SUSPECT ? "usable: its last probe was not answered" :
							"usable: not probed yet";

	for (size_t i = 0; i < s->num_paths; i++) {
		if (path_same(s->paths[i], path))
			continue;
		others++;
		disjoint += !path_shared_links(s->paths[i], path);
	}
	return json_sprintf("%s%s; link-disjoint from %u of the %u others; %u link%s", use,
			    state == PATH_STATE_DOWN && !probing_damped(pp) ? witness_why(s, path) : "", disjoint, others, path->num_hops / 2u, path->num_hops == 2 ? "" : "s");
}

/* What the frames of flows on the path tell, of the peer whose did so last; null: nothing yet. */
static json_t *frames_json(const struct path_set *s, const struct path *path)
{
	const struct liveness *best = NULL;

	for (const struct peer *p = s->peers; p; p = p->next_of_set) {
		const struct liveness *l = living_newest(p, path);

		if (l && (!best || atomic_load_explicit(&l->answer_us, memory_order_relaxed) >
					   atomic_load_explicit(&best->answer_us, memory_order_relaxed)))
			best = l;
	}
	if (!best)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "state", liveness_state_str(liveness_state(best)),
			 "srtt_us", (json_int_t)atomic_load_explicit(&best->srtt_us, memory_order_relaxed),
			 "variation_us", (json_int_t)atomic_load_explicit(&best->var_us, memory_order_relaxed),
			 "min_rtt_us", (json_int_t)atomic_load_explicit(&best->min_us, memory_order_relaxed),
			 "asked", (json_int_t)atomic_load_explicit(&best->asked, memory_order_relaxed),
			 "answered", (json_int_t)atomic_load_explicit(&best->answered, memory_order_relaxed));
}

static json_t *set_path_json(const struct path_set *s, const struct path *p, bool why)
{
	uint32_t flows;
	const struct peer_path *pp = best_of(s, p, &flows);
	double loss = pp ? loss_of(pp) : -1;
	json_t *o = path_json(p);

	json_object_set_new(o, "isd_as", isd_as_json(s->ia));
	json_object_set_new(o, "expiry_unix_s",
			    p->expiry_unix_s == INT64_MAX ? json_null() : json_integer(p->expiry_unix_s));
	json_object_set_new(o, "state", json_string(path_state_str(pp ? pp->state : PATH_STATE_UNKNOWN)));
	json_object_set_new(o, "since_s", pp && pp->since_us ? json_integer((json_int_t)((control_now_us() - pp->since_us) / 1000000)) :
							 json_null());
	json_object_set_new(o, "witness", pp && pp->state == PATH_STATE_DOWN && witness_str(s, p) ? json_string(witness_str(s, p)) :
											 json_null());
	json_object_set_new(o, "srtt_us", pp && pp->srtt_us ? json_integer(pp->srtt_us) : json_null());
	json_object_set_new(o, "loss_ratio", loss >= 0 ? json_real(loss) : json_null());
	json_object_set_new(o, "flows", json_integer(flows));
	json_object_set_new(o, "frames", frames_json(s, p));
	if (why)
		json_object_set_new(o, "why", why_json(s, p, pp));
	return o;
}

/* Number of the set, which stays, and number in it. */
json_t *report_next_path(struct control *c, struct isd_as only, bool why, struct rpc_cursor *at)
{
	uint64_t i = 0;
	struct path_set *s, *next;

	HASH_ITER(hh, c->sets, s, next) {
		if (i++ < at->at[0])
			continue;
		if ((!only.v || only.v == s->ia.v) && at->at[1] < s->num_paths)
			return set_path_json(s, s->paths[at->at[1]++], why);
		*at = (struct rpc_cursor){ { i, 0 } };
	}
	return NULL;
}

/* ---- events ---- */

json_t *report_next_event(struct control *c, struct rpc_cursor *at)
{
	const struct event *e;

	if (at->at[0] > c->events.num) /* of a daemon before this one */
		at->at[0] = 0;
	e = events_next(&c->events, at);

	return e ? event_json(e) : NULL;
}

/* ---- drops ---- */

static uint64_t drop_count(struct control *c, enum verdict v)
{
	uint64_t n = c->drops[v] + admission_dropped(c, v);

	for (unsigned int w = 0; w < c->s.num_workers; w++)
		n += flow_counter(&worker_get_stats(c->workers[w])->verdicts[v]);
	if (v == VERDICT_SOCKET_FULL)
		n += control_socket_drops(c);
	return n;
}

json_t *report_drops(struct control *c)
{
	json_t *list = json_array();

	for (int v = VERDICT_CONTROL + 1; v < VERDICT_COUNT; v++)
		json_array_append_new(list, json_pack("{s:s, s:I, s:s}", "name", verdict_name(v), "count",
						      (json_int_t)drop_count(c, v), "meaning",
						      verdict_sentence(v)));
	return list;
}

/* ---- status ---- */

static json_t *egress_json(struct control *c)
{
	json_t *list = json_array();

	for (size_t e = 0; e < c->cfg->num_egress; e++) {
		json_t *ifs = json_array();

		for (unsigned int t = 0; t < c->s.num_tuns; t++) {
			const struct control_tun *tun = &c->s.tuns[t];
			json_t *addrs = json_array();

			for (unsigned int i = 0; i < tun->num_addresses; i++)
				json_array_append_new(addrs, json_ip(&tun->addresses[i]));
			if (tun->side == e + 1)
				json_array_append_new(ifs, json_pack("{s:s, s:o}", "name", tun->name,
								     "addresses", addrs));
			else
				json_decref(addrs);
		}
		json_array_append_new(list, json_pack("{s:s, s:o, s:s}", "namespace", c->cfg->egress[e].namespace,
						      "interfaces", ifs, "path_manager",
						      subflows_are_ours(c, (uint8_t)(e + 1)) ? "own" : "kernel"));
	}
	return list;
}

static json_t *ingress_json(struct control *c)
{
	json_t *addrs = json_array();
	const char *name = "";

	if (!c->cfg->ingress.enabled) {
		json_decref(addrs);
		return json_null();
	}
	for (size_t i = 0; i < c->cfg->ingress.num_addresses; i++)
		json_array_append_new(addrs, json_ip(&c->cfg->ingress.addresses[i]));
	for (unsigned int t = 0; t < c->s.num_tuns; t++)
		if (!c->s.tuns[t].side)
			name = c->s.tuns[t].name;
	return json_pack("{s:s, s:s, s:o, s:I, s:I}", "namespace", c->cfg->ingress.namespace, "interface", name,
			 "addresses", addrs, "pool_used", (json_int_t)pool_used(c->pool), "pool_size",
			 (json_int_t)pool_size(c->pool));
}

static json_t *routes_json(struct control *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->cfg->num_routes; i++) {
		const struct config_route *r = &c->cfg->routes[i];
		char text[SCION_ENDPOINT_STRLEN];
		json_t *via = json_array();

		for (size_t v = 0; v < r->num_via; v++)
			json_array_append_new(via, json_string(scion_endpoint_str(&r->via[v], text)));
		json_array_append_new(list, json_pack("{s:s, s:o}", "to", ip_prefix_str(&r->to, text), "via", via));
	}
	return list;
}

json_t *report_limit(const char *name, uint64_t limit, uint64_t used, uint64_t worst, uint64_t refused)
{
	return json_pack("{s:s, s:I, s:I, s:I, s:I}", "name", name, "limit", (json_int_t)limit, "used",
			 (json_int_t)used, "worst", (json_int_t)worst, "refused", (json_int_t)refused);
}

/* Trains that are kept for paths.replay: what the fullest worker uses now and ever used, and what found no room. */
static void report_replay_limits(struct control *c, json_t *list)
{
	const struct config_limits *l = &c->cfg->limits;
	uint64_t used = 0, worst = 0, flow = 0, worker = 0;

	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		const struct worker_stats *s = worker_get_stats(c->workers[w]);
		uint64_t now = flow_counter(&s->replay_used), ever = flow_counter(&s->replay_worst);

		used = now > used ? now : used;
		worst = ever > worst ? ever : worst;
		flow += flow_counter(&s->replay_lost_to_flow);
		worker += flow_counter(&s->replay_lost_to_worker);
	}
	json_array_append_new(list, report_limit("replay_kib_per_flow", l->replay_kib_per_flow, 0, 0, flow));
	json_array_append_new(list, report_limit("replay_mib_per_worker", l->replay_mib_per_worker, (used + 0xfffff) >> 20,
						 (worst + 0xfffff) >> 20, worker));
}

static json_t *limits_json(struct control *c)
{
	const struct config_limits *l = &c->cfg->limits;
	json_t *list = json_array();
	uint64_t flows = 0, paths = 0, left_out = 0;
	struct path_set *s, *s_next;
	struct limit_use use;

	for (unsigned int w = 0; w < c->s.num_workers; w++)
		if (c->flows_used[w] - c->num_lingering[w] > flows)
			flows = c->flows_used[w] - c->num_lingering[w];
	HASH_ITER(hh, c->sets, s, s_next) {
		paths = s->num_paths > paths ? s->num_paths : paths;
		left_out += s->left_out;
	}
	json_array_append_new(list, report_limit("flows", l->flows, flows, c->flows_peak, drop_count(c, VERDICT_LIMIT_FLOWS)));
	for (size_t i = 0; limits_next(c, i, &use); i++)
		json_array_append_new(list, report_limit(use.name, use.limit, use.used,
							 use.worst > use.used ? use.worst : use.used,
							 drop_count(c, use.verdict)));
	json_array_append_new(list, report_limit("frames_per_second_peers", l->frames_per_second_peers, 0, 0,
						 drop_count(c, VERDICT_LIMIT_FRAMES_PEERS)));
	json_array_append_new(list, report_limit("frames_per_second_as", l->frames_per_second_as, 0, 0,
						 drop_count(c, VERDICT_LIMIT_FRAMES_AS)));
	json_array_append_new(list, report_limit("frames_per_second_strangers", l->frames_per_second_strangers, 0, 0,
						 drop_count(c, VERDICT_LIMIT_FRAMES_STRANGERS)));
	json_array_append_new(list, report_limit("scmp_per_second", l->scmp_per_second, 0, 0,
						 drop_count(c, VERDICT_LIMIT_SCMP)));
	json_array_append_new(list, report_limit("control_queue", l->control_queue, 0, 0, drop_count(c, VERDICT_CONTROL_FULL)));
	json_array_append_new(list, report_limit("held_syns", l->held_syns, c->held, c->held_peak,
						 drop_count(c, VERDICT_LIMIT_HELD)));
	json_array_append_new(list, report_limit("paths_per_as", l->paths_per_as, paths, paths, left_out));
	report_replay_limits(c, list);
	json_array_append_new(list, report_limit("park_after_s", l->park_after_s, c->num_parked, c->num_parked, 0));
	paths = c->s.store ? store_paths_used(c->s.store) : 0;
	json_array_append_new(list, report_limit("kept_paths", l->kept_paths, paths, paths,
					       c->s.store ? store_lacks(c->s.store) : 0));
	return list;
}

static json_t *counters_json(struct control *c)
{
	json_t *o = json_object();
	uint64_t lost = 0, trains_out = 0, trains_in = 0, segments_in = 0, passed = 0, acks = 0, spared = 0, replays = 0, again = 0, again_bytes = 0, again_acks = 0, alives = 0, liveness = c->n.liveness_bytes, reads = 0, writes = 0, sends = 0, messages = 0, recvs = 0;

	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		const struct worker_stats *s = worker_get_stats(c->workers[w]);

		lost += worker_orders_lost(c->workers[w]);
		trains_out += flow_counter(&s->trains_out);
		trains_in += flow_counter(&s->trains_in);
		segments_in += flow_counter(&s->segments_in);
		passed += flow_counter(&s->trains_passed);
		acks += flow_counter(&s->acks_merged);
		spared += flow_counter(&s->acks_spared);
		replays += flow_counter(&s->replays);
		again += flow_counter(&s->replayed_trains);
		again_bytes += flow_counter(&s->replayed_bytes);
		again_acks += flow_counter(&s->replayed_acks);
		messages += flow_counter(&s->underlay_messages);
		alives += flow_counter(&s->alives);
		liveness += flow_counter(&s->alive_bytes);
		reads += flow_counter(&s->tun_reads);
		writes += flow_counter(&s->tun_writes);
		sends += flow_counter(&s->underlay_sends);
		recvs += flow_counter(&s->underlay_receives);
	}
#define COUNT(name, value) json_object_set_new(o, name, json_integer((json_int_t)(value)))
	COUNT("tun_trains_out", trains_out);
	COUNT("tun_trains_in", trains_in);
	COUNT("underlay_segments_in", segments_in);
	COUNT("trains_passed_on", passed);
	COUNT("acks_merged", acks);
	COUNT("acks_spared", spared);
	COUNT("replays", replays);
	COUNT("replayed_trains", again);
	COUNT("replayed_bytes", again_bytes);
	COUNT("replayed_acks", again_acks);
	COUNT("alives", alives);
	COUNT("liveness_wire_bytes", liveness);
	COUNT("suspects", c->n.suspects);
	COUNT("trials", c->n.trials);
	COUNT("left", c->n.left);
	COUNT("false_alarms", c->n.false_alarms);
	COUNT("probes_beforehand", c->n.beats);
	COUNT("tun_read_calls", reads);
	COUNT("tun_write_calls", writes);
	COUNT("underlay_send_calls", sends);
	COUNT("underlay_messages_out", messages);
	COUNT("underlay_receive_calls", recvs);
	COUNT("worker_orders_lost", lost);
	COUNT("connections", c->n.connections);
	COUNT("subflows", c->n.subflows);
	COUNT("subflows_created", c->n.subflows_created);
	COUNT("subflows_failed", c->n.subflows_failed);
	COUNT("subflows_lost", c->n.subflows_lost);
	COUNT("subflows_destroyed", c->n.subflows_destroyed);
	COUNT("subflow_priorities", c->n.priorities);
	COUNT("subflow_events_missed", c->n.pm_missed);
	COUNT("datagram_flows", c->n.datagrams);
	COUNT("opens_tx", c->n.opens_tx);
	COUNT("opens_rx", c->n.opens_rx);
	COUNT("opens_again", c->n.opens_again);
	COUNT("accepts_tx", c->n.accepts_tx);
	COUNT("accepts_rx", c->n.accepts_rx);
	COUNT("rejects_tx", c->n.rejects_tx);
	COUNT("rejects_rx", c->n.rejects_rx);
	COUNT("hellos_tx", c->n.hellos_tx);
	COUNT("hellos_rx", c->n.hellos_rx);
	COUNT("probes_tx", c->n.probes_tx);
	COUNT("probes_rx", c->n.probes_rx);
	COUNT("probe_replies_rx", c->n.probe_replies_rx);
	COUNT("closes_tx", c->n.closes_tx);
	COUNT("closes_rx", c->n.closes_rx);
	COUNT("unknowns_tx", c->n.unknowns_tx);
	COUNT("unknowns_rx", c->n.unknowns_rx);
	COUNT("moves", c->n.moves);
	COUNT("moves_followed", c->n.followed);
	COUNT("path_renewals", c->n.renewals);
	COUNT("flows_parked", c->n.parked);
	COUNT("flows_woken", c->n.woken);
	COUNT("flows_resumed", c->n.resumed);
	COUNT("flows_not_resumed", c->n.lost);
	COUNT("scmp_rx", c->n.scmp_rx);
	COUNT("scmp_hints", c->n.scmp_hints);
	COUNT("traceroutes_tx", c->n.traceroutes_tx);
	COUNT("traceroute_replies_rx", c->n.traceroute_replies_rx);
	COUNT("clock_jumps", c->n.clock_jumps);
	COUNT("resets_to_programs", c->n.resets);
	COUNT("unreachables_to_programs", c->n.unreachables);
#undef COUNT
	return o;
}

static json_t *source_json(struct control *c)
{
	struct path_set *s, *next, *bad = NULL;
	char ip[IP_ADDR_STRLEN];
	struct ip_addr a = sock_addr_ip(&c->cfg->scion.daemon);
	json_t *address;

	HASH_ITER(hh, c->sets, s, next)
		if (s->err)
			bad = s;
	address = json_sprintf(a.len == 16 ? "[%s]:%u" : "%s:%u", ip_addr_str(&a, ip),
			       sock_addr_port(&c->cfg->scion.daemon));
	return json_pack("{s:o, s:s, s:o}", "address", address, "state", bad ? "down" : "up", "error",
			 bad ? json_string(bad->why) : json_null());
}

static json_t *state_json(struct control *c)
{
	struct store *s = c->s.store;
	const char *why = !s		 ? "it could not be made" :
			  !store_lacks(s) ? NULL :
			  store_lack_error(s) == -E2BIG ? "a table is full" :
							  strerror(-store_lack_error(s));

	return json_pack("{s:s, s:o}", "directory", c->cfg->state, "error", why ? json_string(why) : json_null());
}

json_t *report_status(struct control *c)
{
	json_t *o = json_object(), *ports = json_array(), *drops = json_object();

	for (unsigned int w = 0; w < c->s.num_workers; w++)
		json_array_append_new(ports, json_integer(c->s.worker_ports[w]));
	for (int v = VERDICT_CONTROL + 1; v < VERDICT_COUNT; v++)
		if (drop_count(c, v))
			json_object_set_new(drops, verdict_name(v), json_integer((json_int_t)drop_count(c, v)));
	json_object_set_new(o, "version", json_string(SHILA_VERSION));
	json_object_set_new(o, "pid", json_integer(getpid()));
	json_object_set_new(o, "uptime_ms", json_integer((json_int_t)(control_now_ms(c) - c->start_ms)));
	json_object_set_new(o, "boot_id", json_sprintf("%016llx", (unsigned long long)c->s.boot_id));
	json_object_set_new(o, "state", json_string("running"));
	json_object_set_new(o, "isd_as", isd_as_json(c->s.local.ia));
	json_object_set_new(o, "address", json_ip(&c->s.local.host));
	json_object_set_new(o, "contact_port", json_integer(c->cfg->contact.port));
	json_object_set_new(o, "worker_ports", ports);
	json_object_set_new(o, "workers", json_integer(c->s.num_workers));
	json_object_set_new(o, "steering", json_string(c->s.num_workers < 2 ? "none" : c->s.rings ? "rings" : "program"));
	json_object_set_new(o, "receive_buffer_bytes", json_integer(underlay_receive_bytes(c->s.contact_fd)));
	json_object_set_new(o, "scion_daemon", source_json(c));
	json_object_set_new(o, "state_file", state_json(c));
	json_object_set_new(o, "egress", egress_json(c));
	json_object_set_new(o, "ingress", ingress_json(c));
	json_object_set_new(o, "flows", json_integer(c->by_key.used));
	json_object_set_new(o, "routes", routes_json(c));
	json_object_set_new(o, "limits", limits_json(c));
	json_object_set_new(o, "counters", counters_json(c));
	json_object_set_new(o, "drops", drops);
	return o;
}
