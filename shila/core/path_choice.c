/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Choosing k of n paths that share as little as possible is set packing, which is hard in general
 * and easy at our size if little is searched twice. The objectives, most important first:
 *
 *   1. as many paths as wanted, while no link carries more than `share` of them
 *   2. few links that carry more than one
 *   3. few inner ASes that carry more than one
 *   4. small sum of the metric, then of hops, then of flows that use the paths already
 *
 * Every link and every inner AS that at least two candidates cross is a group: the set of
 * candidates that cross it, as bits. Candidates are numbered by cost, so that the lowest bits of a
 * set are its cheapest members.
 *
 * solve() finds the cheapest set of exactly m paths within hard limits for the objectives 2 and 3,
 * by depth first search. What prunes it is a cover of the remaining candidates by groups from which
 * only so many can still be taken: the sum of these numbers bounds how many paths can be added, and
 * the cheapest so many members of each group bound the cost. When every path that the bound allows
 * is needed, a group that has to contribute is branched on, the smallest first.
 *
 * plan() then goes through the objectives in their order: the largest m that is possible; the
 * smallest limits, counted upwards from 0 (a tight limit makes the search short); and the cheapest
 * set within them. When the steps run out, the best set seen so far is the answer, made better by
 * exchanging single paths while that helps, and it is not called exact.
 */

#define SET_WORDS     (PATH_CHOICE_MAX_PATHS / 64)
#define DEFAULT_STEPS 30000 /* 10 ms on a core of 2020 */
#define GAIN_HARD     8
#define GAIN_SOFT     1
#define SLACK_OF_ALL  SCION_MAX_HOPS /* more than one path crosses */
#define NO_LIMIT      UINT32_MAX

/* Latencies are compared in steps, so that jitter does not decide where load could be spread. */
#define LATENCY_STEP_US 1000

typedef unsigned __int128 u128; /* metric, hops and flows of a set in one number, see cost_of() */

struct set {
	uint64_t w[SET_WORDS];
};

struct group {
	struct set members;
	uint32_t weight; /* links (or ASes) that exactly these candidates cross */
	bool is_as;
};

/* What the search decided about a group, beside what the chosen paths make of it. */
enum mode {
	UNDECIDED,
	MAY_SHARE, /* counted as shared already, whether or not it will be */
	NO_SHARE,
};

/* Objectives 1 to 4 of a set of paths. */
struct score {
	unsigned int count, shared_links, shared_ases;
	u128 cost;
};

struct answer {
	struct score score;
	uint16_t paths[PATH_CHOICE_MAX_K];
};

struct search {
	unsigned int n, words; /* candidates, words in use of a set */
	unsigned int share;
	u128 *cost;      /* by rank: the number of a candidate in the order of cost */
	uint32_t *order; /* rank to index of the caller */
	uint32_t *first; /* groups of candidate c: groups_of[first[c]] up to groups_of[first[c + 1]]
			  */
	uint32_t *groups_of;
	struct group *groups;
	uint8_t *use;  /* chosen paths in each group */
	uint8_t *mode; /* enum mode of each group */
	unsigned int num_groups;
	uint32_t *used_at, stamp; /* of each group: in which round of must_share() */

	/* of one solve() */
	unsigned int want;
	uint32_t max_links, max_ases; /* limits */
	uint32_t links, ases;         /* shared by the chosen, or set to MAY_SHARE */
	uint16_t chosen[PATH_CHOICE_MAX_K];
	bool any; /* the first set will do */
	bool found;
	struct answer best;

	uint64_t steps, max_steps;
	unsigned int step; /* what one look at the candidates counts: it takes longer with more of
			      them, and of groups */
	bool out_of_steps;
	bool proven; /* no search was given up */
};

/* ---- sets ---- */

static bool set_empty(const struct search *s, const struct set *a)
{
	for (unsigned int i = 0; i < s->words; i++)
		if (a->w[i])
			return false;
	return true;
}

static unsigned int set_lowest(const struct set *a)
{
	unsigned int i = 0;

	while (!a->w[i])
		i++;
	return 64 * i + __builtin_ctzll(a->w[i]);
}

static void set_add(struct set *a, unsigned int bit)
{
	a->w[bit / 64] |= 1ull << bit % 64;
}

static void set_remove(struct set *a, unsigned int bit)
{
	a->w[bit / 64] &= ~(1ull << bit % 64);
}

/* The builtin is a call on x86-64 without -mpopcnt. */
static unsigned int bits_count(uint64_t v)
{
	v -= v >> 1 & 0x5555555555555555;
	v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return v * 0x0101010101010101 >> 56;
}

static void set_remove_all(const struct search *s, struct set *a, const struct set *b)
{
	for (unsigned int i = 0; i < s->words; i++)
		a->w[i] &= ~b->w[i];
}

static unsigned int set_count_and(const struct search *s, const struct set *a, const struct set *b)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < s->words; i++)
		n += bits_count(a->w[i] & b->w[i]);
	return n;
}

/* ---- what is taken and what may still be ---- */

/* count() - A group becomes shared, or is no more. */
static void count(struct search *s, uint32_t g, int by)
{
	if (s->groups[g].is_as)
		s->ases += by * (int)s->groups[g].weight;
	else
		s->links += by * (int)s->groups[g].weight;
}

static void take(struct search *s, unsigned int c, int by)
{
	for (uint32_t i = s->first[c]; i < s->first[c + 1]; i++) {
		uint32_t g = s->groups_of[i];
		bool was_shared = s->use[g] > 1;

		s->use[g] += by;
		if ((s->use[g] > 1) != was_shared && s->mode[g] != MAY_SHARE)
			count(s, g, by);
	}
}

/* fits() - Would one more path stay within share and limits? */
static bool fits(const struct search *s, unsigned int c)
{
	uint32_t links = s->links, ases = s->ases;

	for (uint32_t i = s->first[c]; i < s->first[c + 1]; i++) {
		uint32_t gi = s->groups_of[i];
		const struct group *g = &s->groups[gi];

		if (!g->is_as && s->use[gi] >= s->share)
			return false;
		if (s->use[gi] != 1 || s->mode[gi] == MAY_SHARE)
			continue;
		if (s->mode[gi] == NO_SHARE)
			return false;
		if (g->is_as)
			ases += g->weight;
		else
			links += g->weight;
	}
	return links <= s->max_links && ases <= s->max_ases;
}

/* fitting() - Those of @p that fit beside the @taken chosen ones. */
static struct set fitting(const struct search *s, const struct set *p, unsigned int taken)
{
	struct set out = *p, check = { { 0 } };

	for (unsigned int t = 0; t < taken; t++)
		for (uint32_t k = s->first[s->chosen[t]]; k < s->first[s->chosen[t] + 1]; k++) {
			uint32_t gi = s->groups_of[k];
			const struct group *g = &s->groups[gi];
			uint32_t slack = g->is_as ? s->max_ases - s->ases : s->max_links - s->links;
			unsigned int use = s->use[gi];

			if (!g->is_as && use >= s->share)
				set_remove_all(s, &out, &g->members);
			else if (use == 1 && s->mode[gi] != MAY_SHARE &&
				 (s->mode[gi] == NO_SHARE || g->weight > slack))
				set_remove_all(s, &out, &g->members);
			else if (use == 1 && s->mode[gi] != MAY_SHARE && slack < SLACK_OF_ALL)
				for (unsigned int i = 0; i < s->words; i++)
					check.w[i] |= g->members.w[i];
		}
	/* These would make something shared: together too much? */
	for (unsigned int i = 0; i < s->words; i++)
		for (uint64_t w = out.w[i] & check.w[i]; w; w &= w - 1)
			if (!fits(s, 64 * i + __builtin_ctzll(w)))
				set_remove(&out, 64 * i + __builtin_ctzll(w));
	return out;
}

/*
 * room_get() - How many more paths can be taken from a group, @size at most: so many if it becomes
 * (or stays) shared, of which @free if it does not become so. The limits allow only some groups to
 * become shared.
 */
static unsigned int room_get(const struct search *s, uint32_t gi, unsigned int size,
			     unsigned int *free)
{
	const struct group *g = &s->groups[gi];
	uint32_t slack = g->is_as ? s->max_ases - s->ases : s->max_links - s->links;
	unsigned int use = s->use[gi], room = g->is_as ? size : s->share - use;

	if (room > size)
		room = size;
	*free = room;
	if (use < 2 && *free > 1 - use && s->mode[gi] != MAY_SHARE)
		*free = 1 - use;
	return g->weight > slack || s->mode[gi] == NO_SHARE ? *free : room;
}

/* What the cover says about the remaining candidates. */
struct bound {
	unsigned int room; /* paths that can be added, at most */
	u128 cost;         /* of as many as are needed, at least */
	struct set branch; /* one of these has to be taken, or: any */
};

struct cover {
	struct set members;
	unsigned int size;
	unsigned int free;  /* can be taken without sharing */
	unsigned int extra; /* and so many more with */
	bool is_as;
};

/* extra_room() - The sum of the @slack largest extras of links or ASes; @least: the smallest of
 * them. */
static unsigned int extra_room(const struct cover *cover, unsigned int n, bool is_as,
			       uint32_t slack, unsigned int *least)
{
	unsigned int count[PATH_CHOICE_MAX_PATHS + 1], sum = 0, max = 0;

	*least = 0;
	for (unsigned int i = 0; i < n; i++)
		if (cover[i].is_as == is_as && cover[i].extra > max)
			max = cover[i].extra;
	if (!max || !slack)
		return 0;
	memset(count, 0, (max + 1) * sizeof(*count));
	for (unsigned int i = 0; i < n; i++)
		if (cover[i].is_as == is_as)
			count[cover[i].extra]++;
	for (unsigned int e = max; e && slack; e--) {
		unsigned int k = count[e] < slack ? count[e] : slack;

		sum += k * e;
		slack -= k;
		*least = slack ? 0 : e;
	}
	return sum;
}

/* bound_get() - @p: remaining candidates; @need: paths still to be taken, 2 or more. */
static void bound_get(const struct search *s, const struct set *p, unsigned int need,
		      struct bound *out)
{
	unsigned int n = 0, best_size = UINT32_MAX, least[2];
	struct cover cover[PATH_CHOICE_MAX_PATHS];
	struct set left = *p, pool = { { 0 } };

	out->room = 0;
	for (; !set_empty(s, &left); n++) {
		unsigned int v = set_lowest(&left), gain = 0, room = 1;
		struct cover *cov = &cover[n];
		uint32_t chosen = UINT32_MAX;
		struct set m;

		*cov = (struct cover){ .size = 1, .free = 1 };
		for (uint32_t i = s->first[v]; i < s->first[v + 1]; i++) {
			uint32_t g = s->groups_of[i];
			unsigned int size = set_count_and(s, &s->groups[g].members, &left), free;
			unsigned int r = room_get(s, g, size, &free);
			uint32_t slack = s->groups[g].is_as ? s->max_ases - s->ases
							    : s->max_links - s->links;
			unsigned int spared =
				GAIN_HARD * (size - r) +
				(slack < need ? GAIN_SOFT * (r - free) / (1 + slack) : 0);

			if (spared > gain) {
				gain = spared;
				chosen = g;
				room = r;
				*cov = (struct cover){ .size = size,
						       .free = free,
						       .extra = r - free,
						       .is_as = s->groups[g].is_as };
			}
		}
		if (chosen == UINT32_MAX)
			set_add(&cov->members, v);
		for (unsigned int i = 0; chosen != UINT32_MAX && i < s->words; i++)
			cov->members.w[i] = s->groups[chosen].members.w[i] & left.w[i];
		for (unsigned int i = 0; i < s->words; i++)
			left.w[i] &= ~cov->members.w[i];
		out->room += cov->free;
		for (m = cov->members; room; room--) {
			unsigned int c = set_lowest(&m);

			set_remove(&m, c);
			set_add(&pool, c);
		}
	}
	out->room += extra_room(cover, n, false, s->max_links - s->links, &least[0]);
	out->room += extra_room(cover, n, true, s->max_ases - s->ases, &least[1]);

	out->cost = 0;
	out->branch = *p;
	if (out->room < need)
		return;
	for (unsigned int i = 0; i < need; i++) {
		unsigned int c = set_lowest(&pool);

		set_remove(&pool, c);
		out->cost += s->cost[c];
	}
	/* Without this group the others have not enough room: it has to contribute. */
	for (unsigned int i = 0; i < n; i++) {
		unsigned int lost = cover[i].free;

		if (cover[i].extra > least[cover[i].is_as])
			lost += cover[i].extra - least[cover[i].is_as];
		if (out->room - lost < need && cover[i].size < best_size) {
			out->branch = cover[i].members;
			best_size = cover[i].size;
		}
	}
}

/*
 * must_share() - Links (ASes) that become shared, at least, when @need more paths are taken from
 * @p; counts no further than beyond @enough. Covers by distinct groups, one after the other (the
 * links of one stage of the network, then those of the next), each tell how many of their groups
 * have to be shared.
 * @one: one of those of which at least one has to be, if there is any
 */
static uint32_t must_share(struct search *s, const struct set *p, unsigned int need, bool is_as,
			   uint32_t enough, uint32_t *one)
{
	unsigned int extras[PATH_CHOICE_MAX_PATHS];
	uint32_t sum = 0;

	s->stamp++;
	for (;;) {
		unsigned int n = 0, free_room = 0, least_weight = UINT32_MAX;
		uint32_t largest = UINT32_MAX;
		struct set left = *p;

		while (!set_empty(s, &left)) {
			unsigned int v = set_lowest(&left), best_gain = 0, extra = 0, free_best = 1,
				     at;
			uint32_t chosen = UINT32_MAX;

			for (uint32_t i = s->first[v]; i < s->first[v + 1]; i++) {
				uint32_t g = s->groups_of[i];
				unsigned int size, room, free;

				if (s->groups[g].is_as != is_as || s->used_at[g] == s->stamp)
					continue;
				size = set_count_and(s, &s->groups[g].members, &left);
				room = room_get(s, g, size, &free);
				if (size - free > best_gain) {
					best_gain = size - free;
					chosen = g;
					extra = room - free;
					free_best = free;
				}
			}
			free_room += free_best;
			if (chosen == UINT32_MAX) {
				set_remove(&left, v);
				continue;
			}
			s->used_at[chosen] = s->stamp;
			for (unsigned int i = 0; i < s->words; i++)
				left.w[i] &= ~s->groups[chosen].members.w[i];
			if (!extra)
				continue;
			if (s->groups[chosen].weight < least_weight)
				least_weight = s->groups[chosen].weight;
			if (!n || extra > extras[0])
				largest = chosen;
			at = n++;
			for (; at && extras[at - 1] < extra; at--) /* largest first */
				extras[at] = extras[at - 1];
			extras[at] = extra;
		}
		if (free_room >= need)
			return sum;
		if (!sum)
			*one = largest;
		for (unsigned int i = 0; free_room < need; i++) {
			if (i == n)
				return UINT32_MAX; /* not even then */
			free_room += extras[i];
			sum += least_weight;
		}
		if (sum > enough)
			return sum;
	}
}

static void record(struct search *s, u128 cost)
{
	uint32_t links = 0, ases = 0;

	/* What may be shared need not be. */
	for (unsigned int g = 0; g < s->num_groups; g++)
		if (s->use[g] > 1) {
			links += s->groups[g].is_as ? 0 : s->groups[g].weight;
			ases += s->groups[g].is_as ? s->groups[g].weight : 0;
		}
	s->found = true;
	s->best.score = (struct score){ s->want, links, ases, cost };
	memcpy(s->best.paths, s->chosen, sizeof(s->chosen));
}

/*
 * sharing_get() - Does what has to be shared exceed the limits?
 * @one: a group that can be decided upon: one of a cover that has to share one; or UINT32_MAX
 */
static bool sharing_get(struct search *s, const struct set *p, unsigned int need, uint32_t *one)
{
	uint32_t links = s->max_links - s->links, ases = s->max_ases - s->ases;

	*one = UINT32_MAX;
	if (s->share > 1 && s->max_links != NO_LIMIT &&
	    must_share(s, p, need, false, links, one) > links)
		return false;
	return s->max_ases == NO_LIMIT || must_share(s, p, need, true, ases, one) <= ases;
}

/* last() - One path is missing: the cheapest that fits. */
static void last(struct search *s, const struct set *p, unsigned int taken, u128 cost)
{
	unsigned int c;

	if (set_empty(s, p))
		return;
	c = set_lowest(p);
	cost += s->cost[c];
	if (s->found && cost >= s->best.score.cost)
		return;
	s->chosen[taken] = c;
	take(s, c, 1);
	record(s, cost);
	take(s, c, -1);
}

static void descend(struct search *s, struct set p, unsigned int taken, u128 cost);

/* decide() - Go on with a group that may be shared, then with the same group that may not. */
static void decide(struct search *s, const struct set *p, uint32_t g, unsigned int taken, u128 cost)
{
	s->mode[g] = MAY_SHARE;
	count(s, g, 1);
	descend(s, fitting(s, p, taken), taken, cost);
	count(s, g, -1);
	s->mode[g] = NO_SHARE;
	descend(s, fitting(s, p, taken), taken, cost);
	s->mode[g] = UNDECIDED;
}

/* descend() - @p: candidates that fit beside the @taken ones, whose cost is @cost. */
static void descend(struct search *s, struct set p, unsigned int taken, u128 cost)
{
	unsigned int need = s->want - taken;
	struct bound b;

	if (need == 1) {
		last(s, &p, taken, cost);
		return;
	}
	while (!set_empty(s, &p)) {
		uint32_t one;
		unsigned int c;

		s->steps += s->step;
		if (s->steps > s->max_steps)
			s->out_of_steps = true;
		if (s->out_of_steps || (s->any && s->found))
			return;
		bound_get(s, &p, need, &b);
		if (b.room < need || (s->found && cost + b.cost >= s->best.score.cost))
			return;
		if (!sharing_get(s, &p, need, &one))
			return;
		if (one != UINT32_MAX) {
			decide(s, &p, one, taken, cost);
			return;
		}

		c = set_lowest(&b.branch);
		set_remove(&p, c);
		s->chosen[taken] = c;
		take(s, c, 1);
		descend(s, fitting(s, &p, taken + 1), taken + 1, cost + s->cost[c]);
		take(s, c, -1);
	}
}

static struct set all_of(const struct search *s)
{
	struct set all = { { 0 } };

	for (unsigned int c = 0; c < s->n; c++)
		set_add(&all, c);
	return all;
}

/*
 * solve() - The cheapest set of @want paths within the limits to s->best.
 * @known: a set to be beaten if it is within the limits itself; NULL: the first set found will do
 */
static bool solve(struct search *s, unsigned int want, uint32_t max_links, uint32_t max_ases,
		  const struct answer *known)
{
	s->want = want;
	s->max_links = max_links;
	s->max_ases = max_ases;
	s->any = !known;
	s->found = known && known->score.count == want && known->score.shared_links <= max_links &&
		   known->score.shared_ases <= max_ases;
	if (s->found)
		s->best = *known;
	descend(s, all_of(s), 0, 0);
	return s->found;
}

/* ---- the objectives, one after the other ---- */

static bool better(const struct score *a, const struct score *b)
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

	s->max_links = NO_LIMIT;
	s->max_ases = NO_LIMIT;
	for (unsigned int c = 0; c < s->n && n < want; c++) {
		if (!fits(s, c))
			continue;
		take(s, c, 1);
		cost += s->cost[c];
		out->paths[n++] = c;
	}
	out->score = (struct score){ n, s->links, s->ases, cost };
	for (unsigned int i = 0; i < n; i++)
		take(s, out->paths[i], -1);
}

/* exchange() - Replace one path by another, or add one, while that is better; a few rounds. */
static void exchange(struct search *s, unsigned int want, struct answer *a)
{
	bool again = true;

	s->max_links = NO_LIMIT;
	s->max_ases = NO_LIMIT;
	for (unsigned int i = 0; i < a->score.count; i++)
		take(s, a->paths[i], 1);
	for (int round = 0; again && round < 16; round++) {
		again = false;
		for (unsigned int i = 0; i <= a->score.count && i < want; i++) {
			bool add = i == a->score.count;
			unsigned int old = add ? 0 : a->paths[i], use = old;
			struct score best = a->score;

			if (!add)
				take(s, old, -1);
			for (unsigned int c = 0; c < s->n; c++) {
				struct score sc = { a->score.count + add, 0, 0,
						    a->score.cost + s->cost[c] };
				bool chosen = false;

				for (unsigned int j = 0; j < a->score.count; j++)
					chosen |= a->paths[j] == c;
				if (chosen || !fits(s, c))
					continue;
				take(s, c, 1);
				sc.shared_links = s->links;
				sc.shared_ases = s->ases;
				sc.cost -= add ? 0 : s->cost[old];
				take(s, c, -1);
				if (better(&sc, &best)) {
					best = sc;
					use = c;
					again = true;
				}
			}
			if (!add || best.count > a->score.count) {
				take(s, use, 1);
				a->paths[i] = use;
				a->score = best;
			}
		}
	}
	for (unsigned int i = 0; i < a->score.count; i++)
		take(s, a->paths[i], -1);
}

/* least() - No set of @want paths shares fewer links (ASes). */
static uint32_t least(struct search *s, unsigned int want, bool is_as)
{
	struct set all = all_of(s);
	uint32_t one;

	s->max_links = NO_LIMIT;
	s->max_ases = NO_LIMIT;
	return must_share(s, &all, want, is_as, NO_LIMIT, &one);
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

static void plan(struct search *s, unsigned int k, struct answer *out)
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
		if (solve(s, want, NO_LIMIT, NO_LIMIT, NULL)) {
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
	for (links = least(s, want, false); links < out->score.shared_links; links++) {
		if (solve(s, want, links, NO_LIMIT, NULL)) {
			*out = s->best;
			exchange(s, want, out);
		}
		if (!in_time(s))
			break;
	}
	/* The rest: how few shared ASes, and at which cost. */
	s->max_steps = max_steps;
	for (ases = least(s, want, true); ases <= out->score.shared_ases; ases++) {
		if (solve(s, want, out->score.shared_links, ases, out))
			*out = s->best;
		if (!in_time(s))
			break;
	}
	if (!s->proven)
		exchange(s, want, out);
}

/* ---- from candidates to groups ---- */

struct crossing {
	uint64_t ia;
	uint32_t ifid; /* UINT32_MAX: the AS itself */
	uint32_t path;
};

static int crossing_cmp(const void *a, const void *b)
{
	const struct crossing *x = a, *y = b;

	if (x->ifid == UINT32_MAX || y->ifid == UINT32_MAX)
		if ((x->ifid == UINT32_MAX) != (y->ifid == UINT32_MAX))
			return x->ifid == UINT32_MAX ? 1 : -1;
	if (x->ia != y->ia)
		return x->ia < y->ia ? -1 : 1;
	if (x->ifid != y->ifid)
		return x->ifid < y->ifid ? -1 : 1;
	return x->path < y->path ? -1 : x->path > y->path;
}

static int group_cmp(const void *a, const void *b)
{
	const struct group *x = a, *y = b;
	int diff = memcmp(&x->members, &y->members, sizeof(x->members));

	return diff ? diff : x->is_as - y->is_as;
}

/* One end names a link, as interface ids are unique in their AS: the smaller, for both directions.
 */
static struct crossing link_of(const struct path_hop *a, const struct path_hop *b, uint32_t path)
{
	bool first = a->ia.v != b->ia.v ? a->ia.v < b->ia.v : a->ifid < b->ifid;
	const struct path_hop *end = first ? a : b;

	return (struct crossing){ end->ia.v, end->ifid, path };
}

static size_t crossings_get(const struct path *p, uint32_t rank, struct crossing *out)
{
	size_t n = 0;

	for (uint16_t i = 0; i + 1 < p->num_hops; i += 2) {
		out[n++] = link_of(&p->hops[i], &p->hops[i + 1], rank);
		if (i)
			out[n++] = (struct crossing){ p->hops[i].ia.v, UINT32_MAX, rank };
	}
	return n;
}

/* groups_find() - Groups from sorted crossings; equal groups become one. */
static void groups_find(struct search *s, const struct crossing *x, size_t num)
{
	unsigned int n = 0, kept = 0;

	for (size_t i = 0, end; i < num; i = end) {
		struct group *g = &s->groups[n];
		unsigned int paths = 0;

		memset(g, 0, sizeof(*g));
		for (end = i; end < num && x[end].ia == x[i].ia && x[end].ifid == x[i].ifid; end++)
			if (end == i || x[end].path != x[end - 1].path) {
				set_add(&g->members, x[end].path);
				paths++;
			}
		g->weight = 1;
		g->is_as = x[i].ifid == UINT32_MAX;
		n += paths > 1; /* what one path crosses alone is never shared */
	}
	qsort(s->groups, n, sizeof(*s->groups), group_cmp);
	for (unsigned int i = 0; i < n; i++) {
		if (kept && !group_cmp(&s->groups[kept - 1], &s->groups[i]))
			s->groups[kept - 1].weight++;
		else
			s->groups[kept++] = s->groups[i];
	}
	s->num_groups = kept;
}

/* groups_index() - The groups of each candidate. */
static void groups_index(struct search *s)
{
	uint32_t at = 0;

	/* Count, sum up to where each candidate's groups end, then fill from behind. */
	for (int fill = 0; fill <= 1; fill++) {
		for (unsigned int g = s->num_groups; g--;)
			for (unsigned int i = 0; i < s->words; i++)
				for (uint64_t w = s->groups[g].members.w[i]; w; w &= w - 1) {
					unsigned int c = 64 * i + __builtin_ctzll(w);

					if (fill)
						s->groups_of[--s->first[c]] = g;
					else
						s->first[c]++;
				}
		for (unsigned int c = 0; !fill && c <= s->n; c++)
			s->first[c] = at += s->first[c];
	}
}

/* ---- costs ---- */

#define METRIC_UNKNOWN                                                                             \
	(1ull << 40) /* worse than anything known, and eight of it fit in 44 bits                  \
		      */

static uint64_t metric_of(const struct path_candidate *c, enum path_metric metric)
{
	switch (metric) {
	case PATH_BY_LATENCY:
		return c->latency_us == PATH_LATENCY_UNKNOWN ? METRIC_UNKNOWN
							     : c->latency_us / LATENCY_STEP_US;
	case PATH_BY_HOPS:
		return c->path->num_hops;
	case PATH_BY_MTU:
		return UINT16_MAX - c->path->mtu_bytes;
	case PATH_BY_BANDWIDTH:
		return c->path->bandwidth_kbps < METRIC_UNKNOWN
			       ? METRIC_UNKNOWN - c->path->bandwidth_kbps
			       : 0;
	}
	return 0;
}

/* metric(48) hops(16) flows(24): sums of eight stay in their fields, so a sum of costs compares as
 * three sums. */
static u128 cost_of(const struct path_candidate *c, enum path_metric metric)
{
	uint32_t in_use = c->in_use < 1u << 20 ? c->in_use : 1u << 20;

	return (u128)metric_of(c, metric) << 40 | (u128)c->path->num_hops << 24 | in_use;
}

struct ranked {
	u128 cost;
	const struct path_candidate *c;
	uint32_t index;
};

/* Equal costs: by identity, so that the order of the candidates decides nothing. */
static int ranked_cmp(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int diff;

	if (x->cost != y->cost)
		return x->cost < y->cost ? -1 : 1;
	if (x->c->latency_us != y->c->latency_us)
		return x->c->latency_us < y->c->latency_us ? -1 : 1;
	diff = memcmp(x->c->path->fingerprint, y->c->path->fingerprint, PATH_FINGERPRINT_LEN);
	if (diff)
		return diff;
	return x->index < y->index ? -1 : x->index > y->index;
}

static int search_init(struct search *s, const struct path_candidate *c, size_t n,
		       const struct path_choice_params *p)
{
	struct ranked *ranked = calloc(n, sizeof(*ranked));
	struct crossing *x = NULL;
	size_t crossings = 0, num = 0;
	int err = 0;

	memset(s, 0, sizeof(*s));
	if (!ranked)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ranked[i] = (struct ranked){ cost_of(&c[i], p->metric), &c[i], i };
	qsort(ranked, n, sizeof(*ranked), ranked_cmp);
	s->n = n < PATH_CHOICE_MAX_PATHS ? n : PATH_CHOICE_MAX_PATHS;
	s->words = (s->n + 63) / 64;
	s->share = p->share ? p->share : 1;
	s->max_steps = p->max_steps ? p->max_steps : DEFAULT_STEPS;
	for (unsigned int i = 0; i < s->n; i++)
		crossings += ranked[i].c->path->num_hops; /* a link and an AS for two hops */

	s->cost = calloc(s->n, sizeof(*s->cost));
	s->order = calloc(s->n, sizeof(*s->order));
	s->first = calloc(s->n + 1, sizeof(*s->first));
	s->groups_of = calloc(crossings + 1, sizeof(*s->groups_of));
	s->groups = calloc(crossings + 1, sizeof(*s->groups));
	s->use = calloc(crossings + 1, 1);
	s->mode = calloc(crossings + 1, 1);
	s->used_at = calloc(crossings + 1, sizeof(*s->used_at));
	x = calloc(crossings + 1, sizeof(*x));
	if (s->cost && s->order && s->first && s->groups_of && s->groups && s->use && s->mode &&
	    s->used_at && x) {
		for (unsigned int i = 0; i < s->n; i++) {
			s->cost[i] = ranked[i].cost;
			s->order[i] = ranked[i].index;
			num += crossings_get(ranked[i].c->path, i, x + num);
		}
		qsort(x, num, sizeof(*x), crossing_cmp);
		groups_find(s, x, num);
		groups_index(s);
		s->step = s->words * (1 + s->first[s->n] / s->n / 4);
	} else {
		err = -ENOMEM;
	}
	free(x);
	free(ranked);
	return err;
}

static void search_fini(struct search *s)
{
	free(s->cost);
	free(s->order);
	free(s->first);
	free(s->groups_of);
	free(s->groups);
	free(s->use);
	free(s->mode);
	free(s->used_at);
}

static int rank_cmp(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

int path_choice_plan(const struct path_candidate *c, size_t n, const struct path_choice_params *p,
		     struct path_choice *out)
{
	unsigned int k = p->k < PATH_CHOICE_MAX_K ? p->k : PATH_CHOICE_MAX_K;
	struct answer a = { 0 };
	struct search s;
	int err;

	if (!n || !k)
		return -ENOENT;
	err = search_init(&s, c, n, p);
	if (!err) {
		plan(&s, k, &a);
		memset(out, 0, sizeof(*out));
		qsort(a.paths, a.score.count, sizeof(*a.paths), rank_cmp);
		for (unsigned int i = 0; i < a.score.count; i++)
			out->index[i] = s.order[a.paths[i]];
		out->count = a.score.count;
		out->shared_links = a.score.shared_links;
		out->shared_ases = a.score.shared_ases;
		out->exact = s.proven && s.n == n;
		out->steps = s.steps;
	}
	search_fini(&s);
	return err;
}

/* ---- one more path ---- */

/* Links of @p that the used paths already cross, and those that would then be crossed too often. */
static void links_beside(const struct path *p, const struct path *const *used, size_t num_used,
			 unsigned int share, unsigned int *shared, unsigned int *over)
{
	*shared = *over = 0;
	for (uint16_t i = 0; i + 1 < p->num_hops; i += 2) {
		struct crossing x = link_of(&p->hops[i], &p->hops[i + 1], 0);
		unsigned int n = 0;

		for (size_t u = 0; u < num_used; u++)
			for (uint16_t j = 0; j + 1 < used[u]->num_hops; j += 2) {
				struct crossing y =
					link_of(&used[u]->hops[j], &used[u]->hops[j + 1], 0);

				n += !crossing_cmp(&x, &y);
			}
		*shared += n > 0;
		*over += n + 1 > share;
	}
}

static unsigned int ases_beside(const struct path *p, const struct path *const *used,
				size_t num_used)
{
	unsigned int shared = 0;

	for (uint16_t i = 2; i + 1 < p->num_hops; i += 2) {
		bool found = false;

		for (size_t u = 0; u < num_used && !found; u++)
			for (uint16_t j = 2; j + 1 < used[u]->num_hops && !found; j += 2)
				found = used[u]->hops[j].ia.v == p->hops[i].ia.v;
		shared += found;
	}
	return shared;
}

int path_choice_one(const struct path_candidate *c, size_t n, const struct path *const *used,
		    size_t num_used, const struct path_choice_params *p, bool may_share)
{
	unsigned int share = p->share ? p->share : 1, best_over = 0;
	struct score best = { 0 };
	struct ranked best_rank = { 0 };
	int found = -ENOENT;

	for (size_t i = 0; i < n; i++) {
		struct ranked rank = { cost_of(&c[i], p->metric), &c[i], i };
		struct score sc = { 1, 0, 0, 0 };
		unsigned int over;
		bool same = false;

		for (size_t u = 0; u < num_used; u++)
			same |= path_same(c[i].path, used[u]);
		links_beside(c[i].path, used, num_used, share, &sc.shared_links, &over);
		if (!may_share && (over || same))
			continue;
		over += same; /* the same path again comes last */
		sc.shared_ases = ases_beside(c[i].path, used, num_used);
		if (found >= 0 &&
		    (over != best_over ? over > best_over
				       : better(&best, &sc) || (!better(&sc, &best) &&
								ranked_cmp(&best_rank, &rank) < 0)))
			continue;
		best_over = over;
		best = sc;
		best_rank = rank;
		found = i;
	}
	return found;
}

/* ---- in words ---- */

/* say() - Append to a text that may be full already. */
__attribute__((format(printf, 4, 5))) static size_t say(char *buf, size_t cap, size_t at,
							const char *fmt, ...)
{
	va_list ap;
	int n;

	if (at >= cap)
		return at;
	va_start(ap, fmt);
	n = vsnprintf(buf + at, cap - at, fmt, ap);
	va_end(ap);
	return n < 0 ? at : at + n;
}

static size_t say_metric(char *buf, size_t cap, size_t at, const struct path_candidate *c,
			 enum path_metric metric)
{
	switch (metric) {
	case PATH_BY_LATENCY:
		if (c->latency_us == PATH_LATENCY_UNKNOWN)
			return say(buf, cap, at, "? ms");
		return say(buf, cap, at, "%.1f ms", c->latency_us / 1000.0);
	case PATH_BY_HOPS:
		return say(buf, cap, at, "%u links", c->path->num_hops / 2u);
	case PATH_BY_MTU:
		return say(buf, cap, at, "MTU %u", c->path->mtu_bytes);
	case PATH_BY_BANDWIDTH:
		if (!c->path->bandwidth_kbps)
			return say(buf, cap, at, "? kbit/s");
		return say(buf, cap, at, "%llu kbit/s",
			   (unsigned long long)c->path->bandwidth_kbps);
	}
	return at;
}

char *path_choice_explain(const struct path_candidate *c, size_t n,
			  const struct path_choice_params *p, const struct path_choice *res,
			  char *buf, size_t cap)
{
	static const char *const metrics[] = { "latency", "hops", "mtu", "bandwidth" };
	unsigned int share = p->share ? p->share : 1;
	size_t at = 0;

	if (!cap)
		return buf;
	buf[0] = '\0';
	at = say(buf, cap, at, "%u of %zu paths", res->count, n);
	if (res->count < p->k && res->count == n)
		at = say(buf, cap, at, " (%u wanted, there are no more)", p->k);
	else if (res->count < p->k)
		at = say(buf, cap, at, " (%u wanted, but then a link would carry more than %u)",
			 p->k, share);
	if (res->count > 1)
		at = say(buf, cap, at, "; shared by some of them: %u links, %u inner ASes",
			 res->shared_links, res->shared_ases);
	at = say(buf, cap, at, "; by %s:", metrics[p->metric]);
	for (unsigned int i = 0; i < res->count; i++) {
		at = say(buf, cap, at, i ? ", " : " ");
		at = say_metric(buf, cap, at, &c[res->index[i]], p->metric);
	}
	say(buf, cap, at,
	    res->exact ? "; no better set exists" : "; the best set found in the time given");
	return buf;
}
