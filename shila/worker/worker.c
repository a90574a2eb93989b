/* SPDX-License-Identifier: Apache-2.0 */

/* The life of a worker. All memory is there before its thread starts. */
#include "shila/worker/state.h"

#include "shila/base/warm.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WARM_BYTES      (64 * 1024)   /* of queues, at the start */
#define PASS_RING_BYTES (1024 * 1024) /* a train has 64 KiB at most */

void worker_look_at_clock(struct worker *w)
{
	w->batch.now_us = w->in.now_us = uv_hrtime() / 1000;
}

void worker_publish_verdicts(struct worker *w)
{
	for (int i = 0; i < VERDICT_COUNT; i++) {
		if (w->verdicts[i]) {
			flow_count(&w->stats.verdicts[i], w->verdicts[i]);
			w->verdicts[i] = 0;
		}
	}
	replays_publish(w);
}

const struct flow_stats *worker_flow_stats(const struct worker *w, uint32_t slot)
{
	return &w->table.slots[slot].stats;
}

uint8_t worker_flow_rx_epoch(const struct worker *w, uint32_t slot)
{
	return flow_rx_epoch(&w->table.slots[slot]);
}

uint64_t worker_orders_lost(const struct worker *w)
{
	return w->orders_lost;
}

const struct worker_stats *worker_get_stats(const struct worker *w)
{
	return &w->stats;
}

/*
 * Sleeping and waking up take longer than carrying a packet. A worker looks for more before it
 * sleeps: longer if that, or a little more of it, found something, shorter if it was in vain.
 */
static void run_busy(struct worker *w)
{
	uint64_t most_ns = w->cfg.busy_poll_us * 1000ull, least_ns = most_ns / 64, for_ns = most_ns;
	int alive = 1;

	while (alive) {
		uint64_t slept = uv_hrtime(), now, end;

		w->carried = false;
		alive = uv_run(&w->loop, UV_RUN_ONCE);
		if (!w->carried)
			continue; /* an order, a timer */
		now = uv_hrtime();
		if (now - slept < most_ns)
			for_ns = 4 * for_ns < most_ns ? 4 * for_ns : most_ns;
		end = now + for_ns;
		w->carried = false;
		while (alive && uv_hrtime() < end) {
			alive = uv_run(&w->loop, UV_RUN_NOWAIT);
			if (w->carried) {
				w->carried = false;
				for_ns = 2 * for_ns < most_ns ? 2 * for_ns : most_ns;
				end = uv_hrtime() + for_ns;
			}
		}
		for_ns = for_ns / 2 > least_ns ? for_ns / 2
					       : least_ns; /* this time it was in vain */
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	sigset_t all;

	sigfillset(&all); /* signals are for the control thread */
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	/* Who is woken for a packet lets the one who sent it send the next: else every packet costs
	 * two switches. */
	sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){ 0 });
	if (w->cfg.busy_poll_us)
		run_busy(w);
	else
		uv_run(&w->loop, UV_RUN_DEFAULT);
	return NULL;
}

/* What the first packets need; the rest of these is touched by later ones. */
static void warm_up_worker(struct worker *w)
{
	warm_up_code();
	warm_up(w->trains, TRAINS_BYTES);
	warm_up(w->rx.bytes, UNDERLAY_RX_BUFFERS * UNDERLAY_RX_BYTES);
	warm_up(w->up.bytes, WARM_BYTES < w->up.size ? WARM_BYTES : w->up.size);
	warm_up(w->down.bytes, WARM_BYTES < w->down.size ? WARM_BYTES : w->down.size);
	flow_table_warm_up(&w->table);
}

static int poll_port(struct worker *w, unsigned int tun, int fd, struct worker_tun_port *first)
{
	struct worker_tun_port *port = &w->ports[w->num_ports];
	int err;

	*port = (struct worker_tun_port){
		.worker = w,
		.first = first,
		.fd = fd,
		.index = (uint8_t)tun,
		.side = w->cfg.tuns[tun].side,
		.batch = 1,
	};
	err = uv_poll_init(&w->loop, &port->poll, fd);
	if (err < 0)
		return err;
	w->num_ports++;
	port->poll.data = port;
	return uv_poll_start(&port->poll, UV_READABLE, out_on_tun);
}

static int start_polling(struct worker *w)
{
	int err = uv_loop_init(&w->loop);

	if (err < 0)
		return err;
	w->loop_up = true;
	err = wake_init(&w->loop, &w->wake, orders_on_wake);
	if (err < 0)
		return err;
	w->wake.data = w;
	uv_timer_init(&w->loop, &w->frag_timer);
	w->frag_timer.data = w;
	uv_timer_init(&w->loop, &w->tell_timer);
	w->tell_timer.data = w;
	uv_timer_init(&w->loop, &w->lives_timer);
	w->lives_timer.data = w;
	uv_timer_init(&w->loop, &w->replay_timer);
	w->replay_timer.data = w;
	w->lives.due_us = w->lives_at_us = UINT64_MAX;
	err = uv_poll_init(&w->loop, &w->underlay, w->cfg.underlay_fd);
	if (err < 0)
		return err;
	w->underlay.data = w;
	err = uv_poll_start(&w->underlay, UV_READABLE, in_on_underlay);
	for (unsigned int i = 0; err >= 0 && i < w->cfg.num_tuns; i++)
		err = poll_port(w, i, w->cfg.tuns[i].fd, NULL);
	for (unsigned int i = 0; err >= 0 && i < w->cfg.num_tuns; i++)
		if (w->cfg.tuns[i].bulk_fd >= 0)
			err = poll_port(w, i, w->cfg.tuns[i].bulk_fd, &w->ports[i]);
	return err;
}

int worker_new(const struct worker_config *cfg, struct worker **out)
{
	struct worker *w = aligned_alloc(64, (sizeof(*w) + 63) & ~(size_t)63);
	int err;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->cfg = *cfg;
	w->wake.fd = -1;
	w->in = (struct inbound){
		.table = &w->table,
		.local = cfg->local,
		.port = cfg->port,
		.admit = cfg->peers ? &w->admit : NULL,
		.write = in_write,
		.ctx = w,
		.verdicts = w->verdicts,
	};
	w->in.runs.on = cfg->datagram_trains;
	w->send_fd = underlay_twin(cfg->underlay_fd);
	if (w->send_fd < 0)
		w->send_fd = cfg->underlay_fd;
	w->batch.flush = out_flush;
	w->batch.ctx = w;
	w->trains = malloc(TRAINS_BYTES);
	w->pieces = malloc(PIECES_BYTES);
	err = w->trains && w->pieces ? 0 : -ENOMEM;
	if (!err && cfg->peers)
		err = admit_init(&w->admit, cfg->peers, &cfg->rates);
	if (!err)
		err = flow_table_init(&w->table, cfg->max_flows, cfg->hash_seed);
	if (!err)
		err = inbound_init(&w->in);
	if (!err && cfg->replay_bytes) {
		err = replay_init(&w->replay, cfg->max_flows, cfg->replay_flow_bytes, cfg->replay_bytes);
		w->batch.replay = w->in.replay = &w->replay;
		replay_pace_init(&w->replay_pace, &w->replay);
	}
	if (!err)
		err = underlay_rx_init(&w->rx);
	if (!err)
		err = ring_init(&w->up, cfg->queue_bytes);
	if (!err)
		err = ring_init(&w->down, cfg->queue_bytes);
	for (unsigned int i = 0; !err && i < cfg->num_rings; i++)
		if (i != cfg->index)
			err = ring_init(&w->passed[i], PASS_RING_BYTES);
	if (!err)
		warm_up_worker(w);
	if (!err)
		err = start_polling(w);
	if (err < 0) {
		worker_free(w);
		return err;
	}
	*out = w;
	return 0;
}

void worker_adopt(struct worker *w, uint32_t slot, const struct flow *f)
{
	flow_table_insert(&w->table, slot, f);
}

void worker_connect(struct worker *const *all, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		for (unsigned int k = 0; k < n; k++)
			all[i]->others[k] = all[k];
}

int worker_start(struct worker *w)
{
	int err = -pthread_create(&w->thread, NULL, worker_main, w);

	if (!err) {
		char name[16];

		w->running = true;
		snprintf(name, sizeof(name), "worker %u", w->cfg.index);
		pthread_setname_np(w->thread, name);
	}
	return err;
}

static void close_handle(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

/* Orders that were never carried out hold templates, and so do messages that nobody took. */
static void drop_queues(struct worker *w)
{
	const struct up_msg *m;
	struct order *o;
	uint32_t len;

	while (w->up.bytes && (m = ring_peek(&w->up, &len))) {
		if (m->type == UP_TMPL)
			tmpl_put(worker_up_tmpl(m));
		ring_release(&w->up);
	}

	while (w->down.bytes && (o = ring_peek(&w->down, &len))) {
		if (o->type == ORDER_SET_PATH)
			tmpl_put(o->tmpl);
		if (o->type == ORDER_INSTALL)
			tmpl_put(((const struct flow *)o->bytes)->tmpl);
		ring_release(&w->down);
	}
}

void workers_quiet(struct worker *const *all, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (all[i] && all[i]->running)
			order_insist(all[i], ORDER_QUIET);
	for (unsigned int i = 0; i < n; i++)
		while (all[i] && all[i]->running && !atomic_load(&all[i]->quiet))
			usleep(100);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	if (w->running) {
		order_insist(w, ORDER_STOP);
		pthread_join(w->thread, NULL);
	}
	if (w->loop_up) {
		uv_walk(&w->loop, close_handle, NULL);
		uv_run(&w->loop, UV_RUN_DEFAULT);
		uv_loop_close(&w->loop);
	}
	wake_fini(&w->wake);
	if (w->send_fd != w->cfg.underlay_fd)
		close(w->send_fd);
	liveness_list_fini(&w->lives);
	drop_queues(w);
	flow_table_fini(&w->table);
	inbound_fini(&w->in);
	admit_fini(&w->admit);
	underlay_rx_fini(&w->rx);
	replay_fini(&w->replay);
	ring_fini(&w->up);
	ring_fini(&w->down);
	for (unsigned int i = 0; i < WORKER_MAX; i++)
		ring_fini(&w->passed[i]);
	free(w->trains);
	free(w->pieces);
	free(w);
}
