/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/control.h"

#include "shila/io/underlay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define REPLY_MTU_MIN 1000 /* what a peer may tell of its path; SCION's own least is above */
#define CLOSE_BURST   16 /* in a millisecond: a CLOSE is sent once, and routers drop what comes in bursts */
#define CLOSE_MS      2000 /* but a stop waits no longer for them: peers find the rest out when they send */

/* What getrandom() gives without waiting or being cut short is enough for many. */
uint64_t control_random(void)
{
	static uint64_t bytes[32];
	static unsigned int left;
	uint64_t v;

	while (!left)
		if (getrandom(bytes, sizeof(bytes), 0) == sizeof(bytes))
			left = sizeof(bytes) / sizeof(bytes[0]);
	v = bytes[--left];
	bytes[left] = 0;
	return v;
}

int control_fd(const struct control *c, unsigned int socket)
{
	return socket < c->s.num_workers ? c->s.worker_fds[socket] : c->s.contact_fd;
}

uint16_t control_port(const struct control *c, unsigned int socket)
{
	return socket < c->s.num_workers ? c->s.worker_ports[socket] : c->cfg->contact.port;
}

const struct path_policy *control_policy(const struct control *c, const struct config_route *route)
{
	return c->policies[route - c->cfg->routes];
}

unsigned int control_worker_of(const struct control *c, uint16_t port_a, uint16_t port_b)
{
	return steer_worker(port_a, port_b, c->s.num_workers);
}

void control_kick(struct control *c)
{
	bool left = false;

	for (unsigned int i = 0; i < c->s.num_workers; i++)
		if (c->workers[i]) /* else the start failed */
			left |= worker_kick(c->workers[i]);
	if (left)
		probing_wake(c); /* the tick flushes */
}

void control_flush(struct control *c)
{
	for (unsigned int i = 0; i < c->s.num_workers; i++)
		if (c->workers[i])
			worker_flush(c->workers[i]);
}

/* ---- sending ---- */

/* What a frame says of its path alone. */
static bool is_liveness(const uint8_t *frame, size_t len)
{
	enum frame_type type = len ? frame[0] & 15 : 0;

	return type == FRAME_ALIVE || type == FRAME_PROBE || type == FRAME_PROBE_REPLY;
}

enum verdict control_send_frame(struct control *c, unsigned int socket, const struct tmpl *t,
				uint32_t flow_id, const uint8_t *frame, size_t len)
{
	uint8_t pkt[SCION_MAX_HDR_LEN + SCION_UDP_HDR_LEN + 2048];
	uint8_t *big = NULL, *out = pkt;
	enum verdict v;

	if (t->len + len > sizeof(pkt)) {
		big = malloc(t->len + len); /* a datagram over a path with jumbo frames */
		if (!big) {
			control_no_memory(c);
			return VERDICT_NO_MEMORY;
		}
		out = big;
	}
	memcpy(out + t->len, frame, len);
	tmpl_write(t, out, flow_id, 0, (uint16_t)len, csum_add(0, frame, len));
	v = underlay_sendto(control_fd(c, socket), &t->next_hop, out, t->len + len);
	if (v != VERDICT_PASS)
		c->drops[v]++;
	else if (is_liveness(frame, len))
		c->n.liveness_bytes += t->outer_len + t->len + len;
	free(big);
	return v;
}

struct tmpl *control_reply_tmpl(struct control *c, const struct arrival *a, uint16_t port, uint16_t mtu)
{
	uint16_t limit = c->s.as.mtu_bytes;

	/* Who says that its path takes less than any SCION path must would get its data byte by byte. */
	if (mtu && mtu < REPLY_MTU_MIN)
		mtu = REPLY_MTU_MIN;
	return tmpls_back(c, a, port, mtu && mtu < limit ? mtu : limit);
}

void control_reply(struct control *c, const struct arrival *a, const uint8_t *frame, size_t len)
{
	struct tmpl *t = control_reply_tmpl(c, a, a->udp.dst_port, 0);

	if (t)
		control_send_frame(c, a->socket, t, a->pkt.flow_id, frame, len);
	tmpl_put(t);
}

/* ---- packets that wait ---- */

struct held_packet *control_hold(struct control *c, const struct up_msg *m)
{
	struct held_packet *h;

	if (c->held >= c->cfg->limits.held_syns) {
		c->drops[VERDICT_LIMIT_HELD]++;
		return NULL;
	}
	h = malloc(sizeof(*h) + m->len);
	if (!h) {
		control_no_memory(c);
		return NULL;
	}
	*h = (struct held_packet){ .vnet = m->vnet, .tun = m->tun, .side = m->side, .len = m->len };
	memcpy(h->bytes, m->bytes, m->len);
	if (++c->held > c->held_peak)
		c->held_peak = c->held;
	return h;
}

void control_unhold(struct control *c, struct held_packet *h)
{
	if (h) {
		c->held--;
		free(h);
	}
}

/* ---- life ---- */

static int make_worker(struct control *c, unsigned int i)
{
	struct worker_config wc = {
		.index = i,
		.local = c->s.local,
		.port = c->s.worker_ports[i],
		.underlay_fd = c->s.worker_fds[i],
		.num_tuns = c->s.num_tuns,
		.max_flows = c->cfg->limits.flows,
		.queue_bytes = c->cfg->limits.control_queue * 2048,
		.datagram_trains = c->s.datagram_trains,
		.busy_poll_us = c->s.busy_poll_us,
		.num_rings = c->s.rings ? c->s.num_workers : 0,
		.hash_seed = control_random(),
		.replay_flow_bytes = c->cfg->limits.replay_kib_per_flow * 1024,
		.replay_bytes = flows_replay(c) ? c->cfg->limits.replay_mib_per_worker << 20 : 0,
		.control = &c->from_workers,
		.peers = &c->known,
		.rates = c->at_contact.rates,
	};

	for (unsigned int t = 0; t < c->s.num_tuns; t++) {
		wc.tuns[t].fd = c->s.tun_fds[t][i];
		wc.tuns[t].bulk_fd = c->s.tun_bulk_fds ? c->s.tun_bulk_fds[t][i] : -1;
		wc.tuns[t].side = c->s.tuns[t].side;
	}
	if (!records_init(c, i))
		return -ENOMEM;
	return worker_new(&wc, &c->workers[i]);
}

/* Nothing is received before the flows of the daemon before are in their places. */
static int start_workers(struct control *c)
{
	worker_connect(c->workers, c->s.num_workers);
	for (unsigned int i = 0; i < c->s.num_workers; i++) {
		int err = worker_start(c->workers[i]);

		if (err < 0)
			return err;
	}
	return 0;
}

static void resume(struct control *c)
{
	char why[STORE_WHY_LEN];

	if (c->s.saved)
		resume_flows(c, c->s.saved);
	c->s.saved = NULL;
	if (c->s.store && store_publish(c->s.store, why) < 0) {
		log_warn("state file: %s: connections will not survive a restart of shilad", why);
		c->s.store = NULL;
	}
}

static int know_peers(struct control *c)
{
	for (size_t i = 0; i < c->cfg->num_routes; i++) {
		for (size_t v = 0; v < c->cfg->routes[i].num_via; v++) {
			const struct scion_endpoint *e = &c->cfg->routes[i].via[v];
			struct peer *p = peer_get(c, &e->addr);

			if (!p && HASH_COUNT(c->peers) < c->cfg->limits.peers)
				return -ENOMEM;
			if (!p) {
				log_error("limits.peers: %u, fewer than the peers in routes", c->cfg->limits.peers);
				return -E2BIG;
			}
			p->configured = true;
			limits_peer_busy(c, p);
			p->contact_port = e->port;
			if (!p->set)
				path_set_join(path_set_get(c, e->addr.ia), p);
			if (!p->set)
				return -ENOMEM;
		}
	}
	return 0;
}

/* A route has the policy of the file unless it has its own; the configuration sees to that. */
static int parse_policies(struct control *c)
{
	size_t n = c->cfg->num_routes, bad;
	char why[128];

	c->policies = calloc(n ? n : 1, sizeof(*c->policies));
	if (!c->policies)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct config_paths *p = &c->cfg->routes[i].paths;
		int err = p->num_policy ? path_policy_parse(p->policy, p->num_policy, &c->policies[i], &bad, why) : 0;

		if (err == -ENOMEM)
			return err;
		if (err < 0) {
			log_error("routes[%zu].paths.policy[%zu]: %s", i, bad, why);
			return err;
		}
	}
	return 0;
}

int control_new(const struct control_setup *setup, struct control **out)
{
	struct control *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->s = *setup;
	c->loop = setup->loop;
	c->cfg = setup->cfg;
	c->start_ms = uv_now(c->loop);
	c->next_probe = (uint32_t)control_random();
	c->by_key.seed = control_random();
	c->by_token.seed = control_random();
	c->by_theirs = (struct name_index){ .seed = control_random(), .by_name = true };
	faults_start(c);
	flow_timers_start(c);
	uv_timer_init(c->loop, &c->tick);
	c->tick.data = c;
	trials_start(c);
	uv_timer_init(c->loop, &c->announcer);
	c->announcer.data = c;
	*out = c;
	err = wake_init(c->loop, &c->from_workers, dispatch_workers);
	c->from_workers.data = c;
	if (!err)
		err = events_init(&c->events);
	if (!err)
		err = parse_policies(c);
	if (!err)
		err = admission_start(c);
	if (!err)
		err = underlay_rx_init(&c->rx);
	if (err < 0)
		return err;
	c->pool = pool_new(c->cfg->ingress.pool, c->cfg->ingress.num_pool);
	if (!c->pool)
		return -ENOMEM;
	for (unsigned int i = 0; i < c->s.num_workers; i++) {
		err = make_worker(c, i);
		if (err < 0)
			return err;
	}
	err = uv_poll_init(c->loop, &c->contact, c->s.contact_fd);
	if (err < 0)
		return err;
	c->contact.data = c;
	uv_poll_start(&c->contact, UV_READABLE, dispatch_contact);
	if (c->s.saved)
		resume_paths(c, c->s.saved);
	err = know_peers(c);
	if (err < 0)
		return err;
	resume(c);
	err = start_workers(c);
	if (err < 0)
		return err;
	probing_start(c);
	err = lost_sockets_start(c);
	return err < 0 ? err : subflows_start(c);
}

void control_set_as(struct control *c, const struct local_as *as)
{
	c->s.as = *as;
}

static void on_stop_closed(uv_handle_t *h)
{
	struct control *c = h->data;

	c->stop.done(c->stop.ctx);
}

/* All other handles were closed before this one: their callbacks have run. */
static void on_stop_timer(uv_timer_t *t)
{
	uv_close((uv_handle_t *)t, on_stop_closed);
}

static void close_flows(struct control *c)
{
	unsigned int closed = 0, flows = 0, burst;

	for (unsigned int w = 0; w < c->s.num_workers; w++)
		flows += c->flows_used[w];
	burst = flows / CLOSE_MS > CLOSE_BURST ? flows / CLOSE_MS : CLOSE_BURST;
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f)) {
		flow_close(f, REASON_STOPPED, true, false);
		if (++closed % burst == 0)
			uv_sleep(1);
	}
	control_kick(c);
}

/* What the file says from here on is for the next daemon. */
static void leave_flows(struct control *c)
{
	c->s.store = NULL;
	for (struct ctl_flow *f = flow_after(c, NULL); f; f = flow_after(c, f))
		flow_free(f);
}

void control_stop(struct control *c, bool detach, void (*done)(void *ctx), void *ctx)
{
	c->stopping = true;
	if (!detach)
		close_flows(c);
	workers_quiet(c->workers, c->s.num_workers);
	for (unsigned int w = 0; w < c->s.num_workers; w++) {
		worker_free(c->workers[w]);
		c->workers[w] = NULL;
	}
	leave_flows(c);
	tmpls_forget(c);
	probing_stop(c);
	peers_free(c);
	path_sets_stop(c);
	flow_timers_stop(c);
	subflows_stop(c);
	lost_sockets_stop(c);
	wake_close(&c->from_workers);
	uv_close((uv_handle_t *)&c->tick, NULL);
	uv_close((uv_handle_t *)&c->trial_timer, NULL);
	uv_close((uv_handle_t *)&c->announcer, NULL);
	if (c->contact.data)
		uv_close((uv_handle_t *)&c->contact, NULL);
	c->stop.done = done;
	c->stop.ctx = ctx;
	uv_timer_init(c->loop, &c->stop.poll);
	c->stop.poll.data = c;
	uv_timer_start(&c->stop.poll, on_stop_timer, 0, 0);
}

void control_free(struct control *c)
{
	if (!c)
		return;
	records_fini(c);
	index_fini(&c->by_key);
	index_fini(&c->by_theirs);
	free(c->by_token.chains);
	path_sets_free(c);
	pool_free(c->pool);
	admission_free(c);
	wake_fini(&c->from_workers);
	underlay_rx_fini(&c->rx);
	datagrams_free(c);
	events_fini(&c->events);
	for (size_t i = 0; c->policies && i < c->cfg->num_routes; i++)
		path_policy_free(c->policies[i]);
	free(c->policies);
	free(c);
}
