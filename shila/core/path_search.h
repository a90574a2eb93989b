/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_SEARCH_H
#define SHILA_CORE_PATH_SEARCH_H

#include "shila/core/path_choice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the files behind path_choice.h share: candidates as numbers and sets of them as bits (path_groups.c), the search for
 * the cheapest set within limits (path_search.c), and the objectives one after the other (path_plan.c).
 */

#define SET_WORDS     (PATH_CHOICE_MAX_PATHS / 64)
#define PATH_NO_LIMIT UINT32_MAX

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
	uint32_t *first; /* groups of candidate c: groups_of[first[c]] up to groups_of[first[c + 1]] */
	uint32_t *groups_of;
	struct group *groups;
	uint8_t *use;  /* chosen paths in each group */
	uint8_t *mode; /* enum mode of each group */
	unsigned int num_groups;
	uint32_t *used_at, stamp; /* of each group: in which round of must_share() */

	/* of one path_solve() */
	unsigned int want;
	uint32_t max_links, max_ases; /* limits */
	uint32_t links, ases;         /* shared by the chosen, or set to MAY_SHARE */
	uint16_t chosen[PATH_CHOICE_MAX_K];
	bool any; /* the first set will do */
	bool found;
	struct answer best;

	uint64_t steps, max_steps;
	unsigned int step; /* what one look at the candidates counts: it takes longer with more of them, and of groups */
	bool out_of_steps;
	bool proven; /* no search was given up */
};

static inline void set_add(struct set *a, unsigned int bit)
{
	a->w[bit / 64] |= 1ull << bit % 64;
}

/* ---- path_groups.c ---- */

/* What a path costs, beside its number: the order of the candidates. */
struct ranked {
	u128 cost;
	const struct path_candidate *c;
	uint32_t index;
};

struct ranked path_ranked(const struct path_candidate *c, uint32_t index, enum path_metric metric);
/* path_ranked_cmp() - Equal costs: by identity, so that the order of the candidates decides nothing. */
int path_ranked_cmp(const void *a, const void *b);
/* path_same_link() - Between hops @a and the one after it, and @b and the one after it, in either direction. */
bool path_same_link(const struct path_hop *a, const struct path_hop *b);

/* path_search_init() - Candidates, costs, groups. 0 or -ENOMEM; path_search_fini() in both cases. */
int path_search_init(struct search *s, const struct path_candidate *c, size_t n, const struct path_choice_params *p);
void path_search_fini(struct search *s);

/* ---- path_search.c ---- */

/* path_take() - @by 1: candidate @c is chosen; -1: no more. */
void path_take(struct search *s, unsigned int c, int by);
/* path_fits() - Would one more path stay within share and limits? */
bool path_fits(const struct search *s, unsigned int c);
/**
 * path_solve() - The cheapest set of @want paths within the limits to s->best.
 * @known: a set to be beaten if it is within the limits itself; NULL: the first set found will do
 */
bool path_solve(struct search *s, unsigned int want, uint32_t max_links, uint32_t max_ases, const struct answer *known);
/* path_least() - No set of @want paths shares fewer links (ASes). */
uint32_t path_least(struct search *s, unsigned int want, bool is_as);

/* ---- path_plan.c ---- */

/* path_score_better() - Is @a? */
bool path_score_better(const struct score *a, const struct score *b);
/* path_plan() - The best set of at most @k, as the steps allow. */
void path_plan(struct search *s, unsigned int k, struct answer *out);

#endif
