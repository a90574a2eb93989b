/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_CHOICE_H
#define SHILA_CORE_PATH_CHOICE_H

#include "shila/wire/path.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which k paths a connection uses, planned as a set: most link-disjoint, then AS-disjoint, then
 * the metric (its sum; latencies in steps of 1 ms, so that jitter decides nothing; then fewer
 * hops), then spread over connections. The order of the candidates makes no difference. Pure: no
 * clock (the search counts its steps), no I/O.
 */

#define PATH_CHOICE_MAX_K     8
#define PATH_CHOICE_MAX_PATHS 512
#define PATH_CHOICE_EXACT     64 /* up to so many candidates the result is exact, often for more */

enum path_metric { PATH_BY_LATENCY, PATH_BY_HOPS, PATH_BY_MTU, PATH_BY_BANDWIDTH };

struct path_candidate {
	const struct path *path;
	uint32_t latency_us; /* measured or announced, PATH_LATENCY_UNKNOWN */
	uint32_t in_use;     /* flows of other connections on it: spread */
};

struct path_choice_params {
	unsigned int k;     /* 1..8: wanted */
	unsigned int share; /* paths of the set that may cross one link, 1.. */
	enum path_metric metric;
	uint64_t max_steps; /* search nodes before it gives up on exactness; 0: default */
};

struct path_choice {
	unsigned int count; /* paths chosen; fewer than k if the share limit allows no more */
	uint16_t index[PATH_CHOICE_MAX_K]; /* into the candidates; best by metric first */
	unsigned int shared_links;         /* links crossed by more than one chosen path */
	unsigned int shared_ases;          /* inner ASes likewise */
	bool exact;                        /* proven best */
	uint64_t steps;                    /* that the search took */
};

/**
 * path_choice_plan() - Choose a set.
 * @n: at most PATH_CHOICE_MAX_PATHS; more are cut after sorting by the metric
 * Return: 0, -ENOENT without candidates, -ENOMEM.
 */
int path_choice_plan(const struct path_candidate *c, size_t n, const struct path_choice_params *p,
		     struct path_choice *out);

/**
 * path_choice_one() - The best candidate for one more subflow (or a repair) beside paths already in
 * use.
 * @used: paths of the connection's other flows
 * @may_share: accept a link that is crossed too often rather than none (fewest such links first, a
 * path that is used already last) Return: index, or -ENOENT.
 */
int path_choice_one(const struct path_candidate *c, size_t n, const struct path *const *used,
		    size_t num_used, const struct path_choice_params *p, bool may_share);

/**
 * path_choice_level() - For flows that leave a path, many at once: candidates that are little slower than the fastest, by a quarter or
 * by 5 ms, count as just as good, so that who uses them decides. What is measured differs by more than that while queues move.
 */
void path_choice_level(struct path_candidate *c, size_t n);

/* Path policy: an access control list in SCION's notation ("+ 1-64512#0", "- 1-64513#2", "+"). */
struct path_policy;

/**
 * path_policy_parse() - @entries in order; the last must be a default ("+" or "-").
 * @why: sentence (128 bytes) and @bad the index of the wrong entry on failure
 */
int path_policy_parse(char *const *entries, size_t n, struct path_policy **out, size_t *bad,
		      char *why);
void path_policy_free(struct path_policy *pol);
bool path_policy_allows(const struct path_policy *pol, const struct path *p); /* NULL allows all */

/* path_choice_explain() - Why the set is as it is: one line into @buf. Returns @buf. */
char *path_choice_explain(const struct path_candidate *c, size_t n,
			  const struct path_choice_params *p, const struct path_choice *res,
			  char *buf, size_t cap);

#endif
