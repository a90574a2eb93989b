/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the client does about a path whose frames are not answered: core/path_trial.h decides, here it gets what it wants.
 */
#include "shila/control/control.h"

#include "shila/base/log.h"
#include "shila/core/path_trial.h"

#include <stdlib.h>

#define TIMER_EXACT_US	 2000	 /* timers are in ms, and rounded up */
#define STRAIN_FORGET_US 1000000 /* half of it */
#define STRAIN_WEIGHT	 4

struct trial {
	struct path_trial t;
	struct peer *peer;
	bool on;   /* in control->trials */
	bool died; /* a path: its flows went elsewhere */
	struct trial *prev, *next;
};

static void on_timer(uv_timer_t *timer);

static void arm(struct control *c, uint64_t at_us, uint64_t now_us)
{
	if (c->stopping || at_us >= c->trial_at_us)
		return;
	c->trial_at_us = at_us;
	uv_update_time(c->loop);
	uv_timer_start(&c->trial_timer, on_timer, at_us > now_us ? (at_us - now_us + 999) / 1000 : 0, 0);
}

/* ---- how busy this machine is ---- */

static uint64_t strain_us(const struct control *c, uint64_t now_us)
{
	uint64_t halves = (now_us - c->strained_us) / STRAIN_FORGET_US;

	return halves < 32 ? c->strain_us >> halves : 0;
}

void trials_late(struct control *c, uint64_t late_us, uint64_t now_us)
{
	if (late_us <= TIMER_EXACT_US || late_us - TIMER_EXACT_US < strain_us(c, now_us))
		return;
	c->strain_us = late_us - TIMER_EXACT_US;
	c->strained_us = now_us;
}

/* For how long flows stay on a path at least: it was silent before and came back, or nobody gets to do things in time. */
static uint64_t patience_us(struct control *c, const struct peer_path *pp, uint64_t now_us)
{
	uint64_t us = path_damp_patience_us(&pp->damp, now_us), strained_us = strain_us(c, now_us);

	strained_us = strained_us ? PATH_TRIAL_STAY_US + STRAIN_WEIGHT * strained_us : 0;
	return us > strained_us ? us : strained_us;
}

/* ---- asking ---- */

/* What frames tell by now. */
static void hear_frames(struct trial *tr)
{
	for (unsigned int i = 0; i < tr->t.num; i++) {
		const struct peer_path *pp = tr->t.tried[i].path;

		if (pp)
			path_trial_frames(&tr->t.tried[i], max_u64(living_answered_us(tr->peer, pp->path), pp->asked.answer_us),
					  living_heard_us(tr->peer, pp->path));
	}
}

static void ask(struct control *c, struct path_tried *x, uint64_t now_us)
{
	path_trial_asked(x, probing_send(c, x->path, now_us), now_us);
}

static bool add(struct control *c, struct trial *tr, struct peer_path *pp, uint64_t now_us)
{
	const struct liveness *l = living_newest(tr->peer, pp->path);
	uint32_t var_us = pp->var_us, late_us = path_trial_late_us(pp->srtt_us, pp->var_us), frames_us, frames_var_us, answers = 0;
	struct path_tried *x;

	/* Frames see a queue that grows sooner than PROBEs do. */
	if (l) {
		frames_var_us = atomic_load_explicit(&l->var_us, memory_order_relaxed);
		frames_us = path_trial_late_us(atomic_load_explicit(&l->srtt_us, memory_order_relaxed), frames_var_us);
		late_us = pp->srtt_us && late_us > frames_us ? late_us : frames_us;
		var_us = var_us > frames_var_us ? var_us : frames_var_us;
		answers = atomic_load_explicit(&l->answered, memory_order_relaxed);
	}
	x = path_trial_add(&tr->t, pp, pp->srtt_us, var_us, late_us, answers);
	if (x)
		ask(c, x, now_us);
	return x;
}

/* First the paths that flows use, since those are known best. */
static void ask_others(struct control *c, struct trial *tr, const struct peer_path *suspect, uint64_t now_us)
{
	for (int used = 1; used >= 0; used--)
		for (struct peer_path *pp = tr->peer->paths; pp; pp = pp->next)
			if (pp != suspect && pp->state != PATH_STATE_DOWN && !!pp->flows == used && !add(c, tr, pp, now_us))
				return;
}

/* Return: the path in the trial that goes on now, or in the last one, unless it answered there; or NULL. */
static struct path_tried *join(struct control *c, struct peer_path *pp, uint64_t now_us)
{
	struct peer *p = pp->peer;
	struct path_tried *x;

	if (!p->trial) {
		p->trial = calloc(1, sizeof(*p->trial));
		if (!p->trial) {
			control_no_memory(c);
			return NULL;
		}
		p->trial->peer = p;
	}
	if (!p->trial->on && path_trial_begin(&p->trial->t, now_us)) {
		p->trial->died = false;
		add(c, p->trial, pp, now_us);
		ask_others(c, p->trial, pp, now_us);
		c->n.trials++;
	}
	x = path_trial_find(&p->trial->t, pp);
	if (!x || x->answer_us)
		return NULL;
	if (!p->trial->on)
		DL_APPEND(c->trials, p->trial);
	p->trial->on = true;
	return x;
}

/* ---- the verdict ---- */

/* Return: when to look again; UINT64_MAX: not at all. */
static uint64_t look_at(struct control *c, struct trial *tr, struct path_tried *x, uint64_t now_us, bool sure)
{
	struct peer_path *pp = x->path;
	uint64_t at_us = UINT64_MAX, heard_us;
	bool answers;

	if (!x->suspect_us || !pp || pp->state == PATH_STATE_DOWN)
		return UINT64_MAX;
	heard_us = living_answered_us(tr->peer, pp->path);
	switch (path_trial_look(&tr->t, x, heard_us, now_us, sure, &at_us)) {
	case PATH_TRIAL_WAIT:
		return at_us;
	case PATH_TRIAL_ASK:
		ask(c, x, now_us);
		return look_at(c, tr, x, now_us, sure);
	case PATH_TRIAL_ASK_ALL:
		path_trial_round(&tr->t);
		for (unsigned int i = 0; i < tr->t.num; i++)
			if (tr->t.tried[i].path)
				ask(c, &tr->t.tried[i], now_us);
		return now_us + PATH_TRIAL_AGAIN_US;
	case PATH_TRIAL_LEAVE:
		x->left = true;
		tr->died = true;
		c->n.left++;
		log_debug("path to %s is silent for %llu ms (RTT %u us), another is not: its flows leave", tr->peer->text,
			  (unsigned long long)(now_us - x->heard_us) / 1000, x->rtt_us);
		probing_leave(c, pp);
		return look_at(c, tr, x, now_us, sure);
	case PATH_TRIAL_DEAD:
		tr->died = true;
		probing_dead(c, pp);
		return UINT64_MAX;
	case PATH_TRIAL_OVER:
		break;
	}
	answers = x->answer_us || heard_us > x->suspect_us;
	if (x->left && answers) {
		path_damp_alarm(&pp->damp, now_us - x->frames_us, now_us);
		c->n.false_alarms++;
		log_debug("path to %s answers after %llu ms: it was left for nothing", tr->peer->text,
			  (unsigned long long)(now_us - x->frames_us) / 1000);
	}
	path_trial_over(x, heard_us);
	if (answers)
		probing_lives(pp);
	return UINT64_MAX;
}

static void look(struct control *c, struct trial *tr, uint64_t now_us, bool sure)
{
	uint64_t next_us = UINT64_MAX;

	hear_frames(tr);
	for (unsigned int i = 0; i < tr->t.num; i++)
		next_us = min_u64(next_us, look_at(c, tr, &tr->t.tried[i], now_us, sure));
	if (next_us != UINT64_MAX) {
		arm(c, next_us, now_us);
	} else {
		tr->on = false;
		DL_DELETE(c->trials, tr);
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct control *c = timer->data;
	uint64_t now_us = control_now_us();
	uint64_t late_us = now_us > c->trial_at_us ? now_us - c->trial_at_us : 0;
	bool sure = late_us < PATH_TRIAL_STOOD_US;
	struct trial *tr, *next;

	trials_late(c, late_us, now_us);
	c->trial_at_us = UINT64_MAX;
	DL_FOREACH_SAFE(c->trials, tr, next)
		look(c, tr, now_us, sure);
	control_kick(c);
}

/* ---- what happens ---- */

void trials_suspect(struct control *c, struct peer_path *pp)
{
	uint64_t now_us = control_now_us();
	struct path_tried *x = NULL;
	bool others = false;

	for (const struct peer_path *o = pp->peer->paths; o; o = o->next)
		others |= o != pp && o->state != PATH_STATE_DOWN;
	/* Without flows of ours, or another path for them, there is no hurry. */
	if (pp->flows && others && pp->state != PATH_STATE_DOWN)
		x = join(c, pp, now_us);
	if (!x) {
		probing_suspect(c, pp);
		return;
	}
	path_trial_suspect(x, living_answered_us(pp->peer, pp->path), patience_us(c, pp, now_us), now_us);
	look(c, pp->peer->trial, now_us, false);
}

bool trials_reply(struct control *c, struct peer *p, const struct frame_probe *reply)
{
	uint64_t now_us = control_now_us();
	struct path_tried *x = p->trial ? path_trial_answered(&p->trial->t, reply->id, reply->sent_us, now_us) : NULL;
	struct peer_path *pp = x ? x->path : NULL;

	if (!x)
		return false;
	peer_heard(p);
	if (p->trial->on)
		look(c, p->trial, now_us, false); /* there may be more to read */
	/* Flows of a dead path may have gone to one that is used already, since this one had not answered yet, or stayed. */
	if (p->trial->died && pp && pp->state == PATH_STATE_UP && !pp->flows)
		moves_path_up(pp);
	for (struct peer_path *o = p->paths; o; o = o->next)
		if (o->left && o->flows)
			moves_path_left(o);
	return true;
}

bool trials_leads(const struct peer_path *from, const struct peer_path *to)
{
	struct path_tried *x = from->peer->trial ? path_trial_find(&from->peer->trial->t, from) : NULL;

	return x && path_trial_leads(&from->peer->trial->t, x, to);
}

bool trials_doubtful(const struct peer_path *pp)
{
	return pp->peer->trial && path_trial_doubtful(&pp->peer->trial->t, pp, control_now_us());
}

/* ---- life ---- */

void trials_forget_path(struct peer_path *pp)
{
	struct path_tried *x = pp->peer->trial ? path_trial_find(&pp->peer->trial->t, pp) : NULL;

	if (x)
		x->path = NULL;
}

void trials_free(struct peer *p)
{
	if (p->trial && p->trial->on)
		DL_DELETE(p->control->trials, p->trial);
	free(p->trial);
	p->trial = NULL;
}

void trials_start(struct control *c)
{
	uv_timer_init(c->loop, &c->trial_timer);
	c->trial_timer.data = c;
	c->trial_at_us = UINT64_MAX;
}
