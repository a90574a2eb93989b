/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_UNIT_CORE_PATH_NET_H
#define SHILA_TESTS_UNIT_CORE_PATH_NET_H

/*
 * A client with flows to one peer over some paths, in simulated time: what frames tell (liveness), the trial of a path that
 * they make suspect, and where its flows go. PROBEs have the fate of frames.
 */
#include "shila/core/path_beat.h"
#include "shila/core/path_damp.h"
#include "shila/core/path_trial.h"

#include "tests/unit/core/liveness_world.h"

#define PATHS	  4
#define FLOWS	  3
#define PROBES	  64
#define DOWN_US	  200000 /* between the PROBEs of a dead path */
#define BYTES_PER_US 4
#define GOOD	  3	 /* of which so many are answered in a row: it is up */

struct probe {
	uint64_t at_us, sent_us;
	unsigned int path;
	uint32_t id;
	bool back;
};

struct net {
	uint64_t now_us, look_us, stopped_us;
	unsigned int num, flows;
	struct world *w[PATHS];
	unsigned int seen[PATHS]; /* suspicions of the worker */
	uint32_t rtt_us[PATHS], var_us[PATHS];
	bool down[PATHS], left[PATHS];
	struct path_beat beat[PATHS];
	struct path_beat_asked asked[PATHS];
	uint64_t bytes[PATHS];
	unsigned int beats;
	uint64_t good_us[PATHS], next_us[PATHS];
	unsigned int good[PATHS];
	struct path_damp damp[PATHS];
	uint32_t probe_id;
	unsigned int num_probes;
	struct probe probes[PROBES];
	struct path_trial trial;
	bool trying;
	unsigned int on[FLOWS];
	uint32_t up_us, back_us; /* a flow sends so often, and is sent something */
	bool stops;		 /* TCP sends nothing more when nothing comes back */
	bool comes_back;	 /* flow i belongs on path i */
	unsigned int trials, deaths, moves, wrong; /* wrong: flows that went to a dead path */
	unsigned int alarms, false_alarms; /* paths that were left; those that lived */
	uint64_t moved_us;
};

static struct net *net_new(uint32_t seed, unsigned int paths, unsigned int flows, uint32_t rtt_us)
{
	struct net *n = calloc(1, sizeof(*n));

	n->num = paths;
	n->flows = flows;
	n->now_us = 1000 * MS;
	n->look_us = UINT64_MAX;
	n->up_us = n->back_us = 1000;
	for (unsigned int i = 0; i < paths; i++) {
		n->w[i] = world_new(seed * 16 + i, rtt_us / 2);
		n->rtt_us[i] = rtt_us;
	}
	for (unsigned int f = 0; f < flows; f++)
		n->on[f] = f % paths;
	return n;
}

static void net_free(struct net *n)
{
	for (unsigned int i = 0; i < n->num; i++)
		world_free(n->w[i]);
	free(n);
}

static unsigned int flows_on(const struct net *n, unsigned int path)
{
	unsigned int flows = 0;

	for (unsigned int f = 0; f < n->flows; f++)
		flows += n->on[f] == path;
	return flows;
}

static bool is_dead(const struct world *w)
{
	return w->way[0].dead || w->way[1].dead;
}

/* Path @i and no other: a path is named by where its number stands. */
static void *name(struct net *n, unsigned int i)
{
	return &n->rtt_us[i];
}

/* ---- PROBEs ---- */

static void send_probe(struct net *n, unsigned int path, uint32_t id, uint64_t sent_us, bool back)
{
	struct world *w = n->w[path];
	struct direction *d = &w->way[back];

	if (d->dead || is_lost(w, d) || n->num_probes == PROBES)
		return;
	n->probes[n->num_probes++] = (struct probe){
		.at_us = n->now_us + d->delay_us + (d->jitter_us ? rnd(w) % d->jitter_us : 0),
		.sent_us = sent_us, .path = path, .id = id, .back = back,
	};
}

static void ask(struct net *n, struct path_tried *x)
{
	path_trial_asked(x, ++n->probe_id, n->now_us);
	send_probe(n, (unsigned int)((const uint32_t *)x->path - n->rtt_us), n->probe_id, n->now_us, false);
}

static void add(struct net *n, unsigned int i)
{
	const struct liveness *l = n->w[i]->side[0].l;
	uint32_t late_us = path_trial_late_us(n->rtt_us[i], n->var_us[i]), frames_us = path_trial_late_us(l->srtt_us, l->var_us);
	struct path_tried *x;

	x = path_trial_add(&n->trial, name(n, i), n->rtt_us[i], n->var_us[i] > l->var_us ? n->var_us[i] : l->var_us, l->answer_us && frames_us > late_us ? frames_us : late_us, l->answered);
	if (x)
		ask(n, x);
}

/* While a path carries frames others without flows are asked, in turn. */
static void beat(struct net *n, unsigned int i)
{
	unsigned int other = n->num;
	uint64_t at_us;

	n->bytes[i] += n->w[i]->side[0].every_us ? n->w[0]->step_us * BYTES_PER_US : 0;
	if (!flows_on(n, i) || n->down[i] || n->left[i])
		return;
	for (unsigned int o = 0; o < n->num; o++)
		if (o != i && !n->down[o] && !n->left[o] && !flows_on(n, o) && path_beat_fits(n->rtt_us[o], n->rtt_us[i]) &&
		    (other == n->num || n->asked[o].asked_us < n->asked[other].asked_us))
			other = o;
	if (other == n->num || !path_beat_due(&n->beat[i], n->rtt_us[i], n->bytes[i], 150, n->now_us, &at_us))
		return;
	path_beat_asked(&n->asked[other], ++n->probe_id, n->now_us);
	send_probe(n, other, n->probe_id, n->now_us, false);
	n->beats++;
}

/* ---- moves ---- */

static void take_load(struct net *n)
{
	for (unsigned int i = 0; i < n->num; i++) {
		bool silent = n->stops && is_dead(n->w[i]) && n->now_us > n->stopped_us;

		n->w[i]->side[0].every_us = flows_on(n, i) && !silent ? n->up_us : 0;
		n->w[i]->side[1].every_us = flows_on(n, i) && !silent ? n->back_us : 0;
	}
}

static void move(struct net *n, unsigned int f, bool leaves)
{
	unsigned int from = n->on[f], best = n->num, best_cost = 1000;
	struct path_tried *x = path_trial_find(&n->trial, name(n, from));

	for (unsigned int i = 0; i < n->num; i++) {
		unsigned int cost = flows_on(n, i) + (path_trial_doubtful(&n->trial, name(n, i), n->now_us) ? 100 : 0);

		if (leaves && !path_trial_leads(&n->trial, x, name(n, i)))
			continue;
		if (!n->down[i] && !n->left[i] && i != from && cost < best_cost) {
			best = i;
			best_cost = cost;
		}
	}
	if (best == n->num)
		return;
	n->on[f] = best;
	n->moves++;
	n->wrong += is_dead(n->w[best]);
	n->moved_us = n->now_us;
	take_load(n);
}

static void died(struct net *n, unsigned int path)
{
	n->down[path] = true;
	n->left[path] = false;
	n->deaths++;
	n->good[path] = 0;
	n->next_us[path] = n->now_us;
	path_damp_down(&n->damp[path], n->now_us);
	for (unsigned int f = 0; f < n->flows; f++)
		if (n->on[f] == path)
			move(n, f, false);
}

static void leave(struct net *n, unsigned int path)
{
	n->left[path] = true;
	for (unsigned int f = 0; f < n->flows; f++)
		if (n->on[f] == path)
			move(n, f, true);
}

static void come_back(struct net *n, unsigned int path)
{
	for (unsigned int f = 0; f < n->flows && n->comes_back; f++)
		if (f == path && n->on[f] != path) {
			n->on[f] = path;
			n->moves++;
		}
	take_load(n);
}

static void lives(struct net *n, unsigned int path, uint64_t silent_us)
{
	n->false_alarms++;
	path_damp_alarm(&n->damp[path], silent_us, n->now_us);
	n->left[path] = false;
	come_back(n, path);
}

static void probe_answered(struct net *n, unsigned int i)
{
	if (!n->good[i]++)
		n->good_us[i] = n->now_us;
	if (!n->down[i] || n->good[i] < GOOD || !path_damp_good(&n->damp[i], n->good_us[i], n->now_us))
		return;
	n->down[i] = false;
	path_damp_up(&n->damp[i], n->now_us);
	come_back(n, i);
}

/* ---- the control thread ---- */

static void look(struct net *n, bool sure)
{
	n->look_us = UINT64_MAX;
	n->trying = false;
	for (unsigned int k = 0; k < n->trial.num; k++) {
		unsigned int i = (unsigned int)((const uint32_t *)n->trial.tried[k].path - n->rtt_us);
		uint64_t answer_us = n->w[i]->side[0].l->answer_us;

		path_trial_frames(&n->trial.tried[k], answer_us > n->asked[i].answer_us ? answer_us : n->asked[i].answer_us,
				  n->w[i]->side[0].l->frame_us);
	}
	for (unsigned int k = 0; k < n->trial.num; k++) {
		struct path_tried *x = &n->trial.tried[k];
		unsigned int i = (unsigned int)((const uint32_t *)x->path - n->rtt_us);
		enum path_trial_step step = PATH_TRIAL_ASK;
		uint64_t at_us = UINT64_MAX;

		while (x->suspect_us && !n->down[i] && (step == PATH_TRIAL_ASK || step == PATH_TRIAL_LEAVE)) {
			step = path_trial_look(&n->trial, x, n->w[i]->side[0].l->answer_us, n->now_us, sure, &at_us);
			if (step == PATH_TRIAL_ASK)
				ask(n, x);
			if (step == PATH_TRIAL_LEAVE) {
				x->left = true;
				n->alarms++;
				leave(n, i);
			}
		}
		if (step == PATH_TRIAL_ASK_ALL) {
			path_trial_round(&n->trial);
			for (unsigned int o = 0; o < n->trial.num; o++)
				ask(n, &n->trial.tried[o]);
			step = PATH_TRIAL_WAIT;
			at_us = n->now_us + PATH_TRIAL_AGAIN_US;
		}
		if (step == PATH_TRIAL_DEAD)
			died(n, i);
		if (step == PATH_TRIAL_OVER && x->left && (x->answer_us || n->w[i]->side[0].l->answer_us > x->suspect_us))
			lives(n, i, n->now_us - x->frames_us);
		if (step == PATH_TRIAL_OVER)
			path_trial_over(x, n->w[i]->side[0].l->answer_us);
		if (step != PATH_TRIAL_WAIT)
			continue;
		n->trying = true;
		n->look_us = at_us < n->look_us ? at_us : n->look_us;
	}
}

static void suspect(struct net *n, unsigned int path)
{
	struct path_tried *x;
	unsigned int others = 0;

	for (unsigned int i = 0; i < n->num; i++)
		others += i != path && !n->down[i];
	if (!others || n->down[path] || !flows_on(n, path))
		return;
	if (!n->trying && path_trial_begin(&n->trial, n->now_us)) {
		n->trials++;
		add(n, path);
		for (unsigned int i = 0; i < n->num; i++)
			if (i != path && !n->down[i])
				add(n, i);
	}
	x = path_trial_find(&n->trial, name(n, path));
	if (!x)
		return;
	path_trial_suspect(x, n->w[path]->side[0].l->answer_us, path_damp_patience_us(&n->damp[path], n->now_us), n->now_us);
	look(n, false);
}

static void answered(struct net *n, unsigned int path)
{
	if (n->trying)
		look(n, false);
	/* A flow that went to a path that is used already, because this one had not answered yet. */
	for (unsigned int f = 0; f < n->flows; f++) {
		if (!(n->down[f % n->num] || n->left[f % n->num]) || n->on[f] == f || flows_on(n, n->on[f]) < 2 || flows_on(n, path) || n->down[path])
			continue;
		n->on[f] = path;
		n->moves++;
		n->wrong += is_dead(n->w[path]);
		take_load(n);
	}
}

static void take_probes(struct net *n)
{
	for (unsigned int k = 0; k < n->num_probes;) {
		struct probe p = n->probes[k];

		if (p.at_us > n->now_us || n->now_us < n->w[0]->side[!p.back].still_us) {
			k++;
			continue;
		}
		n->probes[k] = n->probes[--n->num_probes];
		if (!p.back)
			send_probe(n, p.path, p.id, p.sent_us, true);
		else if (path_beat_answered(&n->asked[p.path], p.id, p.sent_us, n->rtt_us[p.path], n->now_us))
			continue;
		else if (!path_trial_answered(&n->trial, p.id, p.sent_us, n->now_us))
			probe_answered(n, p.path);
		else
			answered(n, p.path);
	}
}

static void net_step(struct net *n)
{
	for (unsigned int i = 0; i < n->num; i++)
		world_step(n->w[i]);
	n->now_us += n->w[0]->step_us;
	take_load(n);
	if (n->now_us >= n->w[0]->side[0].still_us) {
		/* A timer comes before what is to be read. */
		if (n->trying && n->now_us >= n->look_us)
			look(n, n->now_us < n->look_us + PATH_TRIAL_STOOD_US);
	}
	take_probes(n);
	if (n->now_us < n->w[0]->side[0].still_us)
		return;
	for (unsigned int i = 0; i < n->num; i++) {
		if (n->w[i]->side[0].suspects != n->seen[i]) {
			n->seen[i] = n->w[i]->side[0].suspects;
			suspect(n, i);
		}
		beat(n, i);
		if (n->down[i] && n->now_us >= n->next_us[i]) {
			n->next_us[i] = n->now_us + DOWN_US;
			send_probe(n, i, 0, 0, false);
			if (is_dead(n->w[i]))
				n->good[i] = 0;
		}
	}
}

static void net_run(struct net *n, uint64_t us)
{
	uint64_t end_us = n->now_us + us;

	while (n->now_us < end_us)
		net_step(n);
}

static void net_cut(struct net *n, unsigned int path, bool first, bool second)
{
	cut(n->w[path], first, second);
	for (unsigned int k = 0; k < n->num_probes;)
		if (n->probes[k].path == path && (n->probes[k].back ? second : first))
			n->probes[k] = n->probes[--n->num_probes];
		else
			k++;
	n->seen[path] = 0;
	n->stopped_us = n->now_us + n->rtt_us[path];
}

static void net_repair(struct net *n, unsigned int path)
{
	n->w[path]->way[0].dead = n->w[path]->way[1].dead = false;
}

static void stand_still(struct net *n, int side, uint64_t us)
{
	for (unsigned int i = 0; i < n->num; i++)
		n->w[i]->side[side].still_us = n->now_us + us;
}

#endif
