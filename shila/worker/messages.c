/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/worker/state.h"

#include <string.h>

#define TELL_MS 5 /* what flows saw is told in so long: nobody waits for it */

struct up_msg *up_reserve(struct worker *w, enum up_type type, const struct flow *f, uint32_t len)
{
	struct up_msg *m = ring_reserve(&w->up, sizeof(*m) + len);

	if (!m)
		return NULL;
	memset(m, 0, sizeof(*m));
	m->type = type;
	if (f)
		m->flow = f->mine;
	m->len = len;
	return m;
}

void up_commit(struct worker *w)
{
	ring_commit(&w->up);
	w->up_fresh = true;
}

/* A connection that opens and closes would wake control for each of its FINs. */
static void up_commit_late(struct worker *w)
{
	ring_commit(&w->up);
	w->up_late = true;
}

static void on_tell_timer(uv_timer_t *t)
{
	struct worker *w = t->data;

	if (ring_filled(&w->up))
		wake_send(w->cfg.control);
}

void up_wake(struct worker *w)
{
	if (w->up_fresh)
		wake_send(w->cfg.control);
	else if (w->up_late && !uv_is_active((uv_handle_t *)&w->tell_timer))
		uv_timer_start(&w->tell_timer, on_tell_timer, TELL_MS, 0);
	w->up_fresh = w->up_late = false;
}

/* What a flow saw is told once; if the queue is full it stays in @saw and is told the next time. */
static void tell_flow(struct worker *w, struct flow *f)
{
	struct up_msg *m;

	if (f->saw == f->told)
		return;
	m = up_reserve(w, UP_FLOW, f, 0);
	if (!m)
		return;
	m->saw = f->saw;
	f->told = f->saw;
	up_commit_late(w);
}

/* After each train and segment. */
void up_look_at_flow(struct worker *w, struct flow *f)
{
	tell_flow(w, f);
	if (f->tmpl)
		liveness_list_look(&w->lives, f->tmpl->live, w->batch.now_us);
}

enum verdict up_tun(struct worker *w, const struct train *t, const struct flow *f)
{
	struct up_msg *m = up_reserve(w, UP_TUN, f, t->len);

	if (!m)
		return VERDICT_CONTROL_FULL;
	m->tun = t->tun;
	m->side = t->side;
	m->vnet = t->vnet;
	memcpy(m->bytes, t->pkt, t->len);
	up_commit(w);
	return VERDICT_CONTROL;
}

enum verdict up_underlay(struct worker *w, const uint8_t *p, size_t len,
			 const union sock_addr *from, const struct flow *f, enum verdict why)
{
	struct up_msg *m = up_reserve(w, UP_UNDERLAY, f, (uint32_t)len);

	if (!m)
		return VERDICT_CONTROL_FULL;
	m->verdict = (uint8_t)why;
	m->from = *from;
	memcpy(m->bytes, p, len);
	up_commit(w);
	return why;
}

/* Freeing is not for workers; only if control is too busy to take it. */
void up_give_back(struct worker *w, struct tmpl *t)
{
	struct up_msg *m = t ? up_reserve(w, UP_TMPL, NULL, sizeof(t)) : NULL;

	if (!m) {
		tmpl_put(t);
		return;
	}
	memcpy(m->bytes, &t, sizeof(t));
	up_commit_late(w);
}
