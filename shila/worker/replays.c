/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A path died, and its flows have another one: what they sent on the old one and was not acknowledged is sent again. The
 * first of it at once, the rest within about a round trip, as TCP would have sent it: a router's queue is short, and an ACK
 * for the first part may say that the rest has arrived.
 */
#include "shila/worker/state.h"

#include "shila/core/outbound.h"

#define FIRST_BYTES (64 * 1024)	 /* of a flow, at once */
#define TICK_MS	    2
#define TICK_BYTES  (256 * 1024) /* of all flows in a tick */
#define TICKS_MAX   100		 /* in which a flow sends all of it */
#define TICKS_UNKNOWN 10	 /* for a path without an RTT */

/* Return: bytes; less than @most: there is no more. */
static uint32_t send_some(struct worker *w, struct flow *f, uint32_t most)
{
	uint64_t now_ms = uv_now(&w->loop);
	const struct replay_train *t;
	uint32_t slot = flow_table_index(&w->table, f), bytes = 0, trains = 0;

	while (bytes < most && (t = replay_next(&w->replay, slot))) {
		outbound_again(f, t, now_ms, &w->batch);
		bytes += t->len;
		trains++;
	}
	flow_count(&w->stats.replayed_trains, trains);
	flow_count(&w->stats.replayed_bytes, bytes);
	up_look_at_flow(w, f);
	return bytes;
}

static void queue(struct worker *w, uint32_t slot)
{
	struct replay_flow *r = &w->replay.flows[slot];

	if (r->queued)
		return;
	r->queued = true;
	r->queue = 0;
	if (w->replay_last)
		w->replay.flows[w->replay_last].queue = slot;
	else
		w->replay_first = slot;
	w->replay_last = slot;
}

static void on_timer(uv_timer_t *timer)
{
	struct worker *w = timer->data;
	uint32_t last = w->replay_last, slot, bytes = 0;

	worker_look_at_clock(w);
	while ((slot = w->replay_first) && bytes < TICK_BYTES) {
		struct replay_flow *r = &w->replay.flows[slot];
		struct flow *f = flow_table_get(&w->table, slot);
		uint32_t sent = f && outbound_may_send(f) ? send_some(w, f, r->share) : 0;

		bytes += sent;
		w->replay_first = r->queue;
		if (!w->replay_first)
			w->replay_last = 0;
		r->queued = false;
		if (sent >= r->share)
			queue(w, slot);
		if (slot == last)
			break;
	}
	out_flush(w, &w->batch);
	if (w->replay_first)
		uv_timer_start(timer, on_timer, TICK_MS, 0);
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}

static uint32_t rtt_us(const struct liveness *l)
{
	return l ? atomic_load_explicit(&l->srtt_us, memory_order_relaxed) : 0;
}

/* As fast as it was acknowledged on the old path, queues included, if that was slower than the new one is. */
static uint32_t share(const struct flow *f, const struct liveness *old, uint32_t bytes)
{
	uint32_t before_us = rtt_us(old), now_us = rtt_us(f->tmpl->live), most_us = before_us > now_us ? before_us : now_us;
	uint32_t ticks = most_us ? most_us / (1000 * TICK_MS) + 1 : TICKS_UNKNOWN;

	return bytes / (ticks < TICKS_MAX ? ticks : TICKS_MAX) + 1;
}

/*
 * Who has nothing to send again tells of the move by its last ACK: the other side believes a number that it has sent, but an
 * ALIVE only once the path has answered.
 */
static void tell(struct worker *w, struct flow *f)
{
	const struct replay_ack *ack = replay_ack(&w->replay, flow_table_index(&w->table, f));

	if (f->server || !ack)
		return;
	outbound_again_ack(f, ack, uv_now(&w->loop), &w->batch);
	flow_count(&w->stats.replayed_acks, 1);
	up_look_at_flow(w, f);
}

void replays_begin(struct worker *w, struct flow *f, const struct liveness *old, bool lost)
{
	uint32_t slot = flow_table_index(&w->table, f), bytes;

	if (!w->batch.replay || !outbound_may_send(f))
		return;
	lost = lost || (old && liveness_silent(old, w->batch.now_us));
	bytes = lost ? replay_begin(&w->replay, slot) : 0;
	if (bytes) {
		w->replay.flows[slot].share = share(f, old, bytes);
		flow_count(&w->stats.replays, 1);
		if (send_some(w, f, FIRST_BYTES) >= FIRST_BYTES)
			queue(w, slot);
		if (w->replay_first && !uv_is_active((uv_handle_t *)&w->replay_timer))
			uv_timer_start(&w->replay_timer, on_timer, TICK_MS, 0);
	} else {
		tell(w, f);
	}
	out_flush(w, &w->batch);
}

void replays_publish(struct worker *w)
{
	const struct replay *r = &w->replay;

	atomic_store_explicit(&w->stats.replay_used, (r->touched - r->num_free) * (uint64_t)REPLAY_BLOCK_BYTES, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_worst, r->touched * (uint64_t)REPLAY_BLOCK_BYTES, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_lost_to_flow, r->lost_to_flow, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_lost_to_worker, r->lost_to_worker, memory_order_relaxed);
}
