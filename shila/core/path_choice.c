/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"

#include "shila/core/path_search.h"

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
 * path_solve() finds the cheapest set of exactly m paths within hard limits for the objectives 2 and 3,
 * by depth first search. What prunes it is a cover of the remaining candidates by groups from which
 * only so many can still be taken: the sum of these numbers bounds how many paths can be added, and
 * the cheapest so many members of each group bound the cost. When every path that the bound allows
 * is needed, a group that has to contribute is branched on, the smallest first.
 *
 * path_plan() then goes through the objectives in their order: the largest m that is possible; the
 * smallest limits, counted upwards from 0 (a tight limit makes the search short); and the cheapest
 * set within them. When the steps run out, the best set seen so far is the answer, made better by
 * exchanging single paths while that helps, and it is not called exact.
 */

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
	err = path_search_init(&s, c, n, p);
	if (!err) {
		path_plan(&s, k, &a);
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
	path_search_fini(&s);
	return err;
}

/* ---- one more path ---- */

/* Links of @p that the used paths already cross, and those that would then be crossed too often. */
static void links_beside(const struct path *p, const struct path *const *used, size_t num_used,
			 unsigned int share, unsigned int *shared, unsigned int *over)
{
	*shared = *over = 0;
	for (uint16_t i = 0; i + 1 < p->num_hops; i += 2) {
		unsigned int n = 0;

		for (size_t u = 0; u < num_used; u++)
			for (uint16_t j = 0; j + 1 < used[u]->num_hops; j += 2)
				n += path_same_link(&p->hops[i], &used[u]->hops[j]);
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
		struct ranked rank = path_ranked(&c[i], (uint32_t)i, p->metric);
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
				       : path_score_better(&best, &sc) || (!path_score_better(&sc, &best) &&
								path_ranked_cmp(&best_rank, &rank) < 0)))
			continue;
		best_over = over;
		best = sc;
		best_rank = rank;
		found = i;
	}
	return found;
}

#define LEVEL_US 5000u

void path_choice_level(struct path_candidate *c, size_t n)
{
	uint32_t best_us = PATH_LATENCY_UNKNOWN, until_us;

	for (size_t i = 0; i < n; i++)
		if (c[i].latency_us < best_us)
			best_us = c[i].latency_us;
	if (best_us == PATH_LATENCY_UNKNOWN)
		return;
	until_us = best_us + (best_us / 4 > LEVEL_US ? best_us / 4 : LEVEL_US);
	for (size_t i = 0; i < n; i++)
		if (c[i].latency_us <= until_us)
			c[i].latency_us = best_us;
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
