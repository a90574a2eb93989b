/* SPDX-License-Identifier: Apache-2.0 */

/* Whether the paths of the flows are alive: asked when core/liveness.h says so, answered, told to
 * control. */
#include "shila/worker/state.h"

#include "shila/core/outbound.h"

#define LIVES_LATE_US 4000 /* a timer that is later than this says that we stood still */

/* Return: false: no flow that may say something is on the path any more. */
static bool act_on_path(void *ctx, struct liveness *l, unsigned int todo)
{
	struct worker *w = ctx;
	struct flow *f = flow_table_get(&w->table, l->flow);
	struct up_msg *m;

	if (!f)
		return false;
	if (todo & (LIVENESS_DO_ANSWER | LIVENESS_DO_ASK)) {
		if (!outbound_alive(f, l, todo & LIVENESS_DO_ASK, &w->batch))
			return false;
		flow_count(&w->stats.alives, 1);
		flow_count(&w->stats.alive_bytes, f->tmpl->outer_len + f->tmpl->len + FRAME_HDR_LEN);
	}
	if (todo & LIVENESS_DO_SUSPECT && f->tmpl && f->tmpl->live == l) {
		flow_count(&w->stats.suspects, 1);
		m = up_reserve(w, UP_SUSPECT, f, 0);
		if (m) {
			m->saw = f->epoch;
			up_commit(w);
		}
	}
	return true;
}

static void on_lives_timer(uv_timer_t *t)
{
	struct worker *w = t->data;
	uint64_t wanted_us = w->lives_at_us, late_us;

	w->lives_at_us = UINT64_MAX;
	worker_look_at_clock(w);
	late_us = w->batch.now_us > wanted_us + LIVES_LATE_US ? w->batch.now_us - wanted_us : 0;
	/* What would prove the contrary may have come already. */
	if (liveness_list_late(&w->lives, w->batch.now_us))
		in_take_all(w);
	liveness_list_tick(&w->lives, w->batch.now_us, late_us, act_on_path, w);
	out_flush(w, &w->batch);
	if (late_us && w->lives.first)
		w->lives.due_us = w->batch.now_us + LIVES_LATE_US;
	lives_arm(w);
	worker_publish_verdicts(w);
	up_wake(w);
}

void lives_arm(struct worker *w)
{
	uint64_t now_us = w->batch.now_us;

	if (w->lives.due_us >= w->lives_at_us || w->stopping)
		return;
	w->lives_at_us = w->lives.due_us;
	uv_timer_start(&w->lives_timer, on_lives_timer,
		       w->lives.due_us > now_us ? (w->lives.due_us - now_us + 999) / 1000 : 0, 0);
}
