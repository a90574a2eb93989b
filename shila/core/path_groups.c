/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_search.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_STEPS 30000 /* 10 ms on a core of 2020 */

/* Latencies are compared in steps, so that jitter does not decide where load could be spread. */
#define LATENCY_STEP_US 1000

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

bool path_same_link(const struct path_hop *a, const struct path_hop *b)
{
	struct crossing x = link_of(a, a + 1, 0), y = link_of(b, b + 1, 0);

	return !crossing_cmp(&x, &y);
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

struct ranked path_ranked(const struct path_candidate *c, uint32_t index, enum path_metric metric)
{
	return (struct ranked){ cost_of(c, metric), c, index };
}

int path_ranked_cmp(const void *a, const void *b)
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

int path_search_init(struct search *s, const struct path_candidate *c, size_t n, const struct path_choice_params *p)
{
	struct ranked *ranked = calloc(n, sizeof(*ranked));
	struct crossing *x = NULL;
	size_t crossings = 0, num = 0;
	int err = 0;

	memset(s, 0, sizeof(*s));
	if (!ranked)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		ranked[i] = path_ranked(&c[i], (uint32_t)i, p->metric);
	qsort(ranked, n, sizeof(*ranked), path_ranked_cmp);
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

void path_search_fini(struct search *s)
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
