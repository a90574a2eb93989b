/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_trial.h"

uint32_t path_trial_late_us(uint32_t rtt_us, uint32_t var_us)
{
	uint64_t late_us = rtt_us + (4ull * var_us > PATH_TRIAL_LEAST_US ? 4ull * var_us : PATH_TRIAL_LEAST_US);

	return !rtt_us || late_us > PATH_TRIAL_US ? PATH_TRIAL_US : (uint32_t)late_us;
}

/* ---- asking ---- */

bool path_trial_begin(struct path_trial *t, uint64_t now_us)
{
	if (t->began_us && now_us - t->began_us < PATH_TRIAL_REST_US)
		return false;
	t->began_us = now_us;
	t->num = 0;
	t->rounds = 1;
	return true;
}

struct path_tried *path_trial_add(struct path_trial *t, void *path, uint32_t rtt_us, uint32_t var_us, uint32_t late_us,
				  uint32_t answers)
{
	struct path_tried *x = &t->tried[t->num];

	if (t->num == PATH_TRIAL_MAX)
		return NULL;
	t->num++;
	*x = (struct path_tried){ .path = path, .rtt_us = rtt_us, .late_us = late_us };
	var_us = var_us < PATH_TRIAL_US / 16 ? var_us : PATH_TRIAL_US / 16;
	x->silent_us = PATH_TRIAL_SILENT_US + 16 * var_us;
	x->stay_us = (rtt_us / 2 > PATH_TRIAL_STAY_US ? rtt_us / 2 : PATH_TRIAL_STAY_US) + var_us +
		     (answers < (rtt_us / 4 > PATH_TRIAL_ASKS_US ? PATH_TRIAL_YOUNG_FAR : PATH_TRIAL_YOUNG) ? PATH_TRIAL_YOUNG_US : 0);
	return x;
}

struct path_tried *path_trial_find(struct path_trial *t, const void *path)
{
	for (unsigned int i = 0; i < t->num; i++)
		if (t->tried[i].path == path)
			return &t->tried[i];
	return NULL;
}

void path_trial_suspect(struct path_tried *x, uint64_t heard_us, uint64_t patience_us, uint64_t now_us)
{
	if (x->suspect_us)
		return;
	x->suspect_us = now_us;
	x->frames_us = heard_us;
	x->patience_us = patience_us;
	x->left = false;
}

void path_trial_frames(struct path_tried *x, uint64_t answer_us, uint64_t heard_us)
{
	x->heard_us = heard_us;
	if (!x->suspect_us)
		x->frames_us = answer_us;
}

void path_trial_round(struct path_trial *t)
{
	t->rounds++;
	for (unsigned int i = 0; i < t->num; i++)
		t->tried[i].first = t->tried[i].asked;
}

void path_trial_asked(struct path_tried *x, uint32_t probe_id, uint64_t now_us)
{
	if (x->asked == x->first + 2)
		return;
	x->unsent |= !probe_id;
	x->probe_id[x->asked] = probe_id;
	x->sent_us[x->asked++] = now_us;
}

struct path_tried *path_trial_answered(struct path_trial *t, uint32_t probe_id, uint64_t sent_us, uint64_t now_us)
{
	for (unsigned int i = 0; i < t->num; i++) {
		struct path_tried *x = &t->tried[i];

		for (unsigned int k = 0; k < x->asked; k++) {
			if (!probe_id || x->probe_id[k] != probe_id || x->sent_us[k] != sent_us)
				continue;
			x->probe_id[k] = 0; /* counts once */
			if (!x->answer_us) {
				x->answer_us = now_us;
				x->took_us = now_us - sent_us;
			}
			return x;
		}
	}
	return NULL;
}

/* ---- the verdict ---- */

/* Of a path that was asked twice in this round. */
static uint64_t late_at_us(const struct path_tried *x)
{
	uint64_t first_us = x->sent_us[x->first], second_us = x->sent_us[x->first + 1] - PATH_TRIAL_AGAIN_US;

	return (first_us > second_us ? first_us : second_us) + x->late_us;
}

/* When the answer of @o to a PROBE tells something about the silence of @x; UINT64_MAX: it is as silent. */
static uint64_t told_at_us(const struct path_tried *x, const struct path_tried *o, uint32_t slack_us)
{
	if (o == x || !o->path || !o->answer_us)
		return UINT64_MAX;
	/* What made that answer later than usual would make ours as late, and perhaps a little more. */
	return o->answer_us + slack_us + (o->took_us > o->rtt_us ? o->took_us - o->rtt_us : 0) +
	       (x->rtt_us > o->rtt_us ? x->rtt_us - o->rtt_us : 0);
}

/* When an answer of others makes its silence proof; UINT64_MAX: they are as silent. */
static uint64_t proof_at_us(const struct path_trial *t, const struct path_tried *x)
{
	uint64_t proof_us = UINT64_MAX;

	for (unsigned int i = 0; i < t->num; i++) {
		uint64_t at_us = told_at_us(x, &t->tried[i], PATH_TRIAL_SLACK_US);

		if (at_us < proof_us)
			proof_us = at_us;
	}
	return proof_us;
}

/* Whether frames on @o were answered while those on @x were not: if the peer had stopped, both would be silent. */
static bool heard_beside(const struct path_tried *x, const struct path_tried *o)
{
	uint32_t rtt_us = o->rtt_us > x->rtt_us ? o->rtt_us : x->rtt_us;
	uint64_t asks_us = rtt_us / 4 > PATH_TRIAL_ASKS_US ? rtt_us / 4 : PATH_TRIAL_ASKS_US;
	uint64_t longer_us = o->rtt_us > x->rtt_us ? (o->rtt_us - x->rtt_us) / 2 : 0;

	return o != x && o->path && !o->suspect_us && x->frames_us && o->frames_us > x->frames_us + 2 * asks_us + longer_us;
}

/* When its flows may go elsewhere; 0: at once; UINT64_MAX: nobody is better off as far as is known. */
static uint64_t leave_at_us(const struct path_trial *t, const struct path_tried *x)
{
	uint64_t leave_us = UINT64_MAX, stay_us = x->suspect_us - x->rtt_us - PATH_TRIAL_ASKS_US; /* about when it was asked */

	for (unsigned int i = 0; i < t->num; i++) {
		const struct path_tried *o = &t->tried[i];
		uint64_t at_us = heard_beside(x, o) ? 0 : told_at_us(x, o, PATH_TRIAL_HASTE_US);

		if (at_us < leave_us)
			leave_us = at_us;
	}
	stay_us = (x->heard_us > stay_us ? x->heard_us : stay_us) + (x->patience_us > x->stay_us ? x->patience_us : x->stay_us);
	return leave_us > stay_us ? leave_us : stay_us;
}

bool path_trial_leads(const struct path_trial *t, const struct path_tried *x, const void *path)
{
	for (unsigned int i = 0; i < t->num; i++) {
		const struct path_tried *o = &t->tried[i];

		if (o->path == path)
			return o != x && (o->answer_us || heard_beside(x, o));
	}
	return false;
}

enum path_trial_step path_trial_look(const struct path_trial *t, const struct path_tried *x, uint64_t heard_us,
				     uint64_t now_us, bool sure, uint64_t *at_us)
{
	uint64_t end_us = t->began_us + PATH_TRIAL_US, look_us, proof_us, leave_us;
	unsigned int asked = x->asked - x->first;

	if (!x->path || !x->suspect_us || !asked || x->unsent || x->answer_us || heard_us > x->suspect_us || now_us >= end_us)
		return PATH_TRIAL_OVER;
	leave_us = x->left ? UINT64_MAX : leave_at_us(t, x);
	if (leave_us <= now_us && sure)
		return PATH_TRIAL_LEAVE;
	if (leave_us <= now_us)
		leave_us = now_us + PATH_TRIAL_STOOD_US;
	if (!x->left && x->frames_us && leave_us > now_us + PATH_TRIAL_STOOD_US)
		leave_us = now_us + PATH_TRIAL_STOOD_US; /* frames of others may be answered meanwhile */
	if (asked == 1) {
		look_us = x->sent_us[x->first] + PATH_TRIAL_AGAIN_US;
		if (now_us >= look_us)
			return PATH_TRIAL_ASK;
	} else {
		look_us = late_at_us(x);
		proof_us = proof_at_us(t, x);
		if (now_us >= look_us && proof_us == UINT64_MAX && t->rounds < PATH_TRIAL_ROUNDS)
			return PATH_TRIAL_ASK_ALL;
		if (proof_us > look_us && (now_us >= look_us || proof_us != UINT64_MAX))
			look_us = proof_us;
		if (heard_us && look_us < heard_us + x->silent_us)
			look_us = heard_us + x->silent_us;
		if (look_us <= now_us && sure)
			return PATH_TRIAL_DEAD;
		if (look_us <= now_us)
			look_us = now_us + PATH_TRIAL_STOOD_US;
	}
	if (look_us > leave_us)
		look_us = leave_us;
	*at_us = look_us < end_us ? look_us : end_us;
	return PATH_TRIAL_WAIT;
}

void path_trial_over(struct path_tried *x, uint64_t heard_us)
{
	if (heard_us > x->suspect_us && x->asked && !x->answer_us) {
		x->answer_us = heard_us;
		x->took_us = heard_us - x->sent_us[0];
	}
	x->suspect_us = 0;
	x->frames_us = heard_us;
}

/* ---- choosing ---- */

bool path_trial_doubtful(struct path_trial *t, const void *path, uint64_t now_us)
{
	const struct path_tried *x = NULL;

	if (t->began_us && now_us - t->began_us < PATH_TRIAL_FRESH_US)
		x = path_trial_find(t, path);
	return x && !x->answer_us;
}
