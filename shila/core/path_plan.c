/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_search.h"

/* The objectives of path_choice.c, one after the other, while there are steps left. */

bool path_score_better(const struct score *a, const struct score *b)
{
	if (a->count != b->count)
		return a->count > b->count;
	if (a->shared_links != b->shared_links)
		return a->shared_links < b->shared_links;
	if (a->shared_ases != b->shared_ases)
		return a->shared_ases < b->shared_ases;
	return a->cost < b->cost;
}

/* greedy() - Path by path, the cheapest that fits: an answer to begin with. */
static void greedy(struct search *s, unsigned int want, struct answer *out)
{
	unsigned int n = 0;
	u128 cost = 0;

	s->max_links = PATH_NO_LIMIT;
	s->max_ases = PATH_NO_LIMIT;
	for (unsigned int c = 0; c < s->n && n < want; c++) {
		if (!path_fits(s, c))
			continue;
		path_take(s, c, 1);
		cost += s->cost[c];
		out->paths[n++] = c;
	}
	out->score = (struct score){ n, s->links, s->ases, cost };
	for (unsigned int i = 0; i < n; i++)
		path_take(s, out->paths[i], -1);
}

/* exchange() - Replace one path by another, or add one, while that is better; a few rounds. */
static void exchange(struct search *s, unsigned int want, struct answer *a)
{
	bool again = true;

	s->max_links = PATH_NO_LIMIT;
	s->max_ases = PATH_NO_LIMIT;
	for (unsigned int i = 0; i < a->score.count; i++)
		path_take(s, a->paths[i], 1);
	for (int round = 0; again && round < 16; round++) {
		again = false;
		for (unsigned int i = 0; i <= a->score.count && i < want; i++) {
			bool add = i == a->score.count;
			unsigned int old = add ? 0 : a->paths[i], use = old;
			struct score best = a->score;

			if (!add)
				path_take(s, old, -1);
			for (unsigned int c = 0; c < s->n; c++) {
				struct score sc = { a->score.count + add, 0, 0,
						    a->score.cost + s->cost[c] };
				bool chosen = false;

				for (unsigned int j = 0; j < a->score.count; j++)
					chosen |= a->paths[j] == c;
				if (chosen || !path_fits(s, c))
					continue;
				path_take(s, c, 1);
				sc.shared_links = s->links;
				sc.shared_ases = s->ases;
				sc.cost -= add ? 0 : s->cost[old];
				path_take(s, c, -1);
				if (path_score_better(&sc, &best)) {
					best = sc;
					use = c;
					again = true;
				}
			}
			if (!add || best.count > a->score.count) {
				path_take(s, use, 1);
				a->paths[i] = use;
				a->score = best;
			}
		}
	}
	for (unsigned int i = 0; i < a->score.count; i++)
		path_take(s, a->paths[i], -1);
}

/* in_time() - False if the steps ran out since it was asked last; then nothing is proven any more.
 */
static bool in_time(struct search *s)
{
	bool in_time = !s->out_of_steps;

	s->proven &= in_time;
	s->out_of_steps = false;
	return in_time;
}

void path_plan(struct search *s, unsigned int k, struct answer *out)
{
	uint64_t max_steps = s->max_steps;
	unsigned int want = k < s->n ? k : s->n;
	uint32_t links, ases;

	s->proven = true;
	greedy(s, want, out);
	exchange(s, want, out);
	/* Half of the steps to find out how many are possible. */
	s->max_steps = max_steps / 2;
	for (; want > out->score.count; want--) {
		if (path_solve(s, want, PATH_NO_LIMIT, PATH_NO_LIMIT, NULL)) {
			*out = s->best;
			exchange(s, want, out);
		}
		if (!in_time(s))
			break;
	}
	want = out->score.count;
	if (want < 2)
		return; /* the cheapest alone */

	/* A quarter: how few shared links. */
	s->max_steps = max_steps / 4 * 3;
	for (links = path_least(s, want, false); links < out->score.shared_links; links++) {
		if (path_solve(s, want, links, PATH_NO_LIMIT, NULL)) {
			*out = s->best;
			exchange(s, want, out);
		}
		if (!in_time(s))
			break;
	}
	/* The rest: how few shared ASes, and at which cost. */
	s->max_steps = max_steps;
	for (ases = path_least(s, want, true); ases <= out->score.shared_ases; ases++) {
		if (path_solve(s, want, out->score.shared_links, ases, out))
			*out = s->best;
		if (!in_time(s))
			break;
	}
	if (!s->proven)
		exchange(s, want, out);
}
