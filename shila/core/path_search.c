/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_search.h"

#include <string.h>

#define GAIN_HARD     8
#define GAIN_SOFT     1
#define SLACK_OF_ALL  SCION_MAX_HOPS /* more than one path crosses */

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

void path_take(struct search *s, unsigned int c, int by)
{
	for (uint32_t i = s->first[c]; i < s->first[c + 1]; i++) {
		uint32_t g = s->groups_of[i];
		bool was_shared = s->use[g] > 1;

		s->use[g] += by;
		if ((s->use[g] > 1) != was_shared && s->mode[g] != MAY_SHARE)
			count(s, g, by);
	}
}

bool path_fits(const struct search *s, unsigned int c)
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
			if (!path_fits(s, 64 * i + __builtin_ctzll(w)))
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
	if (s->share > 1 && s->max_links != PATH_NO_LIMIT &&
	    must_share(s, p, need, false, links, one) > links)
		return false;
	return s->max_ases == PATH_NO_LIMIT || must_share(s, p, need, true, ases, one) <= ases;
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
	path_take(s, c, 1);
	record(s, cost);
	path_take(s, c, -1);
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
		path_take(s, c, 1);
		descend(s, fitting(s, &p, taken + 1), taken + 1, cost + s->cost[c]);
		path_take(s, c, -1);
	}
}

static struct set all_of(const struct search *s)
{
	struct set all = { { 0 } };

	for (unsigned int c = 0; c < s->n; c++)
		set_add(&all, c);
	return all;
}

bool path_solve(struct search *s, unsigned int want, uint32_t max_links, uint32_t max_ases, const struct answer *known)
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

uint32_t path_least(struct search *s, unsigned int want, bool is_as)
{
	struct set all = all_of(s);
	uint32_t one;

	s->max_links = PATH_NO_LIMIT;
	s->max_ases = PATH_NO_LIMIT;
	return must_share(s, &all, want, is_as, PATH_NO_LIMIT, &one);
}
