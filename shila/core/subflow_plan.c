/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/subflow_plan.h"

#define CROWDED_MS   3000 /* two on one path: so long as its own may come back */
#define STABLE_MS    500  /* who lives so long was wanted */
#define BACK_OFF_MS  100  /* after the first failure, then doubled */
#define BACK_OFF_MAX 10   /* times: 51 s */

/*
 * A slow path adds its rate, and a receiver holds what overtakes it: that pays up to a point. In
 * microseconds and permille of the probes.
 */
#define WORSE_RTT_TIMES	 10
#define WORSE_RTT_US	 500000
#define WORSE_LOSS	 300
#define BETTER_RTT_TIMES 6
#define BETTER_RTT_US	 300000
#define BETTER_LOSS	 150

bool subflow_path_is_worse(bool was, const struct subflow_path *path, const struct subflow_path *best)
{
	uint64_t times = was ? BETTER_RTT_TIMES : WORSE_RTT_TIMES, more = was ? BETTER_RTT_US : WORSE_RTT_US;
	uint32_t loss = was ? BETTER_LOSS : WORSE_LOSS;

	if (path->loss_permille > best->loss_permille + loss)
		return true;
	return best->srtt_us && path->srtt_us > times * best->srtt_us && path->srtt_us > best->srtt_us + more;
}

void subflow_plan_lost(struct subflow_plan *plan, uint64_t now_ms, uint64_t lived_ms)
{
	if (lived_ms >= STABLE_MS) {
		plan->failures = 0;
		plan->not_before_ms = now_ms;
		return;
	}
	if (now_ms < plan->not_before_ms)
		return; /* with another one: that counts once */
	plan->not_before_ms = now_ms + ((uint64_t)BACK_OFF_MS << plan->failures);
	if (plan->failures + 1 < BACK_OFF_MAX)
		plan->failures++;
}

/* The one that goes if there is one too many: rather a subflow than the main flow, the last one told of. */
static int crowded(const struct subflow_view *v)
{
	bool others = false;
	int found = -1;

	for (unsigned int i = 0; i < v->count; i++) {
		const struct subflow_seen *s = &v->flows[i];

		/* What is opening may yet change its path; and on a dead one a FIN would not arrive. */
		if (s->alone || s->opening || s->dead)
			continue;
		if (found < 0 || !s->main)
			found = (int)i;
	}
	for (unsigned int i = 0; i < v->count; i++)
		others |= (int)i != found && !v->flows[i].opening && !v->flows[i].dead;
	return others ? found : -1;
}

/* A subflow whose priority is not what it should be. One at least is not for backup. */
static bool priority(const struct subflow_view *v, struct subflow_order *out)
{
	bool good = false;

	for (unsigned int i = 0; i < v->count; i++)
		good |= !v->flows[i].worse && !v->flows[i].dead && !v->flows[i].opening && !v->flows[i].always_backup;
	for (unsigned int i = 0; i < v->count; i++) {
		const struct subflow_seen *s = &v->flows[i];
		bool backup = s->always_backup || (s->worse && good);

		if (s->opening || backup == s->backup)
			continue;
		out->step = backup ? SUBFLOW_TO_BACKUP : SUBFLOW_TO_NORMAL;
		out->flow = i;
		return true;
	}
	return false;
}

void subflow_plan_next(struct subflow_plan *plan, const struct subflow_view *v, struct subflow_order *out)
{
	int extra;

	*out = (struct subflow_order){ .again_ms = UINT64_MAX };
	if (!v->ready)
		return;
	extra = crowded(v);
	if (extra < 0)
		plan->crowded_ms = 0;
	else if (!plan->crowded_ms)
		plan->crowded_ms = v->now_ms;
	if (extra >= 0 && v->now_ms - plan->crowded_ms >= CROWDED_MS) {
		plan->crowded_ms = 0;
		out->step = SUBFLOW_DESTROY;
		out->flow = (unsigned int)extra;
		return;
	}
	if (extra >= 0)
		out->again_ms = plan->crowded_ms + CROWDED_MS;
	if (priority(v, out))
		return;
	if (!v->free_path || v->count >= v->limit || v->count >= SUBFLOW_PLAN_MAX)
		return;
	if (v->now_ms >= plan->not_before_ms)
		out->step = SUBFLOW_CREATE;
	else if (plan->not_before_ms < out->again_ms)
		out->again_ms = plan->not_before_ms;
}
