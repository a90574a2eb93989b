/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A path died, and its flows have another one: what they sent on the old one and was not acknowledged is sent again, as
 * core/replay_pace.c lets it go.
 */
#include "shila/worker/state.h"

#include "shila/core/outbound.h"

static bool send_again(void *ctx, uint32_t slot, const struct replay_train *t)
{
	struct worker *w = ctx;
	struct flow *f = flow_table_get(&w->table, slot);

	if (!f || !outbound_may_send(f))
		return false;
	outbound_again(f, t, uv_now(&w->loop), &w->batch);
	flow_count(&w->stats.replayed_trains, 1);
	flow_count(&w->stats.replayed_bytes, t->len);
	up_look_at_flow(w, f);
	return true;
}

static void on_timer(uv_timer_t *timer);

static void run(struct worker *w, bool oldest_only)
{
	uv_timer_t *timer = &w->replay_timer;
	uint64_t due_us, in_ms;

	w->replays_fresh = false;
	replay_pace_run(&w->replay_pace, w->batch.now_us, oldest_only, send_again, w);
	out_flush(w, &w->batch);
	due_us = replay_pace_due_us(&w->replay_pace, w->batch.now_us);
	if (due_us == UINT64_MAX)
		return;
	in_ms = due_us > w->batch.now_us ? (due_us - w->batch.now_us + 999) / 1000 : 0;
	/* Moves that come one after the other do not put it off. */
	if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > in_ms)
		uv_timer_start(timer, on_timer, in_ms, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct worker *w = timer->data;

	worker_look_at_clock(w);
	run(w, false);
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}

void replays_run(struct worker *w)
{
	if (w->replays_fresh)
		run(w, true);
}

void replays_end(struct worker *w, uint32_t slot)
{
	replay_pace_end(&w->replay_pace, slot);
	replay_drop(&w->replay, slot);
}

static uint32_t rtt_us(const struct liveness *l)
{
	return l ? atomic_load_explicit(&l->srtt_us, memory_order_relaxed) : 0;
}

/* As fast as it was acknowledged on the old path, queues included, if that was slower than the new one is. */
static uint32_t longer_rtt_us(const struct flow *f, const struct liveness *old)
{
	uint32_t before_us = rtt_us(old), now_us = rtt_us(f->tmpl->live);

	return before_us > now_us ? before_us : now_us;
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

void replays_tell(struct worker *w, struct flow *f)
{
	if (!w->batch.replay || !outbound_may_send(f))
		return;
	tell(w, f);
	out_flush(w, &w->batch);
}

void replays_begin(struct worker *w, struct flow *f, const struct liveness *old, enum path_change change)
{
	uint32_t slot = flow_table_index(&w->table, f);
	bool acked = f->server || f->hot->known & FLOW_KNOWS_ACK, lost;

	if (!w->batch.replay || !outbound_may_send(f))
		return;
	lost = change == PATH_FOLLOWED ? old && liveness_silent(old, w->batch.now_us) : change != PATH_MOVED;
	if (lost && replay_pace_begin(&w->replay_pace, slot, f->tmpl->live, longer_rtt_us(f, old), !acked, w->batch.now_us)) {
		flow_count(&w->stats.replays, 1);
		w->replays_fresh = true;
	} else if (change != PATH_BACK) {
		replays_tell(w, f);
	}
}

void replays_publish(struct worker *w)
{
	const struct replay *r = &w->replay;

	atomic_store_explicit(&w->stats.replay_used, (r->touched - r->num_free) * (uint64_t)REPLAY_BLOCK_BYTES, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_worst, r->touched * (uint64_t)REPLAY_BLOCK_BYTES, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_lost_to_flow, r->lost_to_flow, memory_order_relaxed);
	atomic_store_explicit(&w->stats.replay_lost_to_worker, r->lost_to_worker, memory_order_relaxed);
}
