/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_choice.h"

#include "tests/unit/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define IA(as) ((struct isd_as){ 1ull << 48 | (as) })

/* What the default of steps is to allow for; beyond PATH_CHOICE_EXACT candidates it may be reached.
 */
#define STEPS_10_MS 30000

/* ---- topologies ---- */

struct net {
	struct path_candidate c[PATH_CHOICE_MAX_PATHS];
	size_t n;
};

static struct net net; /* one at a time */
static uint64_t seed;

static unsigned int rnd(unsigned int below)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (seed >> 33) % below;
}

static void net_free(void)
{
	for (size_t i = 0; i < net.n; i++)
		path_put((struct path *)net.c[i].path);
	net.n = 0;
}

static void net_add(const struct path_hop *hops, unsigned int num_hops, uint32_t latency_us)
{
	struct path *p = path_new(hops, num_hops, NULL, 0);

	p->mtu_bytes = 1472;
	net.c[net.n++] = (struct path_candidate){ .path = p, .latency_us = latency_us };
}

/* Links are numbered; link l has interface l at its near and 1000 + l at its far end. */
static void net_add_links(const uint16_t *ases, const uint16_t *links, unsigned int num_links,
			  uint32_t latency_us)
{
	struct path_hop hops[16];

	for (unsigned int i = 0; i < num_links; i++) {
		hops[2 * i] = (struct path_hop){ IA(ases[i]), links[i] };
		hops[2 * i + 1] = (struct path_hop){ IA(ases[i + 1]), 1000 + links[i] };
	}
	net_add(hops, 2 * num_links, latency_us);
}

/* leaf - core - leaf, @up + @down parallel links, all combinations; @spread: random latencies up to
 * it */
static void net_leaf(unsigned int up, unsigned int down, unsigned int spread_ms)
{
	for (unsigned int u = 0; u < up; u++)
		for (unsigned int d = 0; d < down; d++)
			net_add_links((uint16_t[]){ 1, 2, 3 }, (uint16_t[]){ 1 + u, 101 + d }, 2,
				      spread_ms ? 1000 * rnd(spread_ms) : PATH_LATENCY_UNKNOWN);
}

/* leaf - core - core - leaf, n parallel links at each stage */
static void net_chain(unsigned int n, unsigned int spread_ms)
{
	for (unsigned int a = 0; a < n; a++)
		for (unsigned int b = 0; b < n; b++)
			for (unsigned int c = 0; c < n; c++)
				net_add_links((uint16_t[]){ 1, 2, 3, 4 },
					      (uint16_t[]){ 1 + a, 101 + b, 201 + c }, 3,
					      spread_ms ? 1000 * rnd(spread_ms)
							: PATH_LATENCY_UNKNOWN);
}

/* Two leaves, both at two cores that are joined, n links each: 2 n n short paths and 2 n n n long
 * ones. */
static void net_diamond(unsigned int n)
{
	for (unsigned int core = 0; core < 2; core++)
		for (unsigned int a = 0; a < n; a++)
			for (unsigned int b = 0; b < n; b++) {
				uint16_t up = 1 + 100 * core + a, down = 201 + 100 * core + b;

				net_add_links((uint16_t[]){ 1, 10 + core, 2 },
					      (uint16_t[]){ up, down }, 2, 10000);
				for (unsigned int m = 0; m < n; m++)
					net_add_links(
						(uint16_t[]){ 1, 10 + core, 11 - core, 2 },
						(uint16_t[]){ up, 401 + m, 201 + 100 * !core + b },
						3, 15000);
			}
}

/*
 * Random walks through @ases inner ASes; parallel links between each two (0: as many as there are
 * paths, so that only ASes are shared).
 */
static void net_random(size_t n, unsigned int ases, unsigned int min_inner, unsigned int max_inner,
		       unsigned int parallel, unsigned int spread_ms)
{
	while (net.n < n) {
		unsigned int inner = min_inner + rnd(max_inner - min_inner + 1), num = 0;
		uint16_t as[8] = { 1 }, links[8];

		while (num < inner) {
			uint16_t next = 10 + rnd(ases);
			bool again = false;

			for (unsigned int i = 0; i <= num; i++)
				again |= as[i] == next;
			if (again) { /* no loops; with few ASes shorter */
				inner -= inner > 1;
				continue;
			}
			as[++num] = next;
		}
		as[num + 1] = 2;
		for (unsigned int i = 0; i <= num; i++) {
			/* The same pair of ASes gives the same interfaces. */
			unsigned int a = as[i] < as[i + 1] ? as[i] : as[i + 1];
			unsigned int b = as[i] < as[i + 1] ? as[i + 1] : as[i];

			links[i] = (a * 50 + b) * 8 + rnd(parallel ? parallel : 1);
			if (!parallel)
				links[i] = 1 + net.n * 8 + i;
		}
		/* Ends by direction, so that a link is the same both ways. */
		struct path_hop hops[16];
		for (unsigned int i = 0; i <= num; i++) {
			bool forth = as[i] < as[i + 1];

			hops[2 * i] =
				(struct path_hop){ IA(as[i]), forth ? links[i] : 20000 + links[i] };
			hops[2 * i + 1] = (struct path_hop){ IA(as[i + 1]),
							     forth ? 20000 + links[i] : links[i] };
		}
		net_add(hops, 2 * (num + 1), rnd(8) ? 1000 * rnd(spread_ms) : PATH_LATENCY_UNKNOWN);
		net.c[net.n - 1].in_use = rnd(3);
	}
}

/* ---- an independent judge ---- */

struct verdict_of {
	unsigned int count, shared_links, shared_ases;
	unsigned long long metric, hops, in_use;
	bool within_share;
};

static bool same_link(const struct path *a, unsigned int i, const struct path *b, unsigned int j)
{
	const struct path_hop *x = &a->hops[2 * i], *y = &b->hops[2 * j];

	return (x[0].ia.v == y[0].ia.v && x[0].ifid == y[0].ifid) ||
	       (x[0].ia.v == y[1].ia.v && x[0].ifid == y[1].ifid);
}

static void judge(const unsigned int *set, unsigned int n, const struct path_choice_params *p,
		  struct verdict_of *v)
{
	*v = (struct verdict_of){ .count = n, .within_share = true };
	for (unsigned int s = 0; s < n; s++) {
		const struct path_candidate *c = &net.c[set[s]];
		unsigned long long m = 0;

		/* Each link and AS is counted at the first path that crosses it. */
		for (unsigned int i = 0; i < c->path->num_hops / 2u; i++) {
			unsigned int before = 0, users = 1;

			for (unsigned int t = 0; t < n; t++)
				for (unsigned int j = 0;
				     t != s && j < net.c[set[t]].path->num_hops / 2u; j++)
					if (same_link(c->path, i, net.c[set[t]].path, j)) {
						users++;
						before += t < s;
						break;
					}
			v->shared_links += users > 1 && !before;
			v->within_share &= users <= (p->share ? p->share : 1);
			users = 1;
			before = 0;
			for (unsigned int t = 0; i && t < n; t++)
				for (unsigned int j = 1;
				     t != s && j < net.c[set[t]].path->num_hops / 2u; j++)
					if (c->path->hops[2 * i].ia.v ==
					    net.c[set[t]].path->hops[2 * j].ia.v) {
						users++;
						before += t < s;
						break;
					}
			v->shared_ases += users > 1 && !before;
		}
		switch (p->metric) {
		case PATH_BY_LATENCY:
			m = c->latency_us == PATH_LATENCY_UNKNOWN ? 1ull << 40
								  : c->latency_us / 1000;
			break;
		case PATH_BY_HOPS:
			m = c->path->num_hops;
			break;
		case PATH_BY_MTU:
			m = 65535 - c->path->mtu_bytes;
			break;
		case PATH_BY_BANDWIDTH:
			m = (1ull << 40) - c->path->bandwidth_kbps;
			break;
		}
		v->metric += m;
		v->hops += c->path->num_hops;
		v->in_use += c->in_use;
	}
}

static int compare(const struct verdict_of *a, const struct verdict_of *b)
{
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	if (a->shared_links != b->shared_links)
		return a->shared_links < b->shared_links ? -1 : 1;
	if (a->shared_ases != b->shared_ases)
		return a->shared_ases < b->shared_ases ? -1 : 1;
	if (a->metric != b->metric)
		return a->metric < b->metric ? -1 : 1;
	if (a->hops != b->hops)
		return a->hops < b->hops ? -1 : 1;
	return a->in_use < b->in_use ? -1 : a->in_use > b->in_use;
}

/* brute_force() - All sets of up to k of the candidates. */
static void brute_force(const struct path_choice_params *p, struct verdict_of *best)
{
	*best = (struct verdict_of){ 0 };
	for (unsigned int bits = 1; bits < 1u << net.n; bits++) {
		unsigned int set[16], n = 0;
		struct verdict_of v;

		if ((unsigned int)__builtin_popcount(bits) > p->k ||
		    (unsigned int)__builtin_popcount(bits) < best->count)
			continue;
		for (unsigned int i = 0; i < net.n; i++)
			if (bits >> i & 1)
				set[n++] = i;
		judge(set, n, p, &v);
		if (v.within_share && compare(&v, best) < 0)
			*best = v;
	}
}

static struct verdict_of choose(const struct path_choice_params *p, struct path_choice *res)
{
	unsigned int set[PATH_CHOICE_MAX_K];
	struct verdict_of v;

	CHECK("there is a choice", path_choice_plan(net.c, net.n, p, res) == 0);
	for (unsigned int i = 0; i < res->count; i++)
		set[i] = res->index[i];
	judge(set, res->count, p, &v);
	CHECK("within share", v.within_share);
	CHECK("says how much is shared",
	      v.shared_links == res->shared_links && v.shared_ases == res->shared_ases);
	for (unsigned int i = 0; i < res->count; i++)
		for (unsigned int j = 0; j < i; j++)
			CHECK("no path twice", set[i] != set[j]);
	return v;
}

static void test_against_brute_force(void)
{
	unsigned int wrong = 0, inexact = 0;

	for (seed = 1; seed <= 4000;) {
		uint64_t number = seed;
		struct path_choice_params p;
		struct path_choice res;
		struct verdict_of best, got;

		net_random(2 + rnd(9), 2 + rnd(6), 1, 1 + rnd(4), rnd(4), 1 + rnd(30));
		p = (struct path_choice_params){ .k = 1 + rnd(5),
						 .share = 1 + rnd(3),
						 .metric = rnd(4) };
		for (size_t i = 0; i < net.n; i++) {
			struct path *path = (struct path *)net.c[i].path;

			path->mtu_bytes = 1400 + rnd(5);
			path->bandwidth_kbps = rnd(4) * 1000;
		}
		brute_force(&p, &best);
		got = choose(&p, &res);
		wrong += compare(&best, &got) != 0;
		inexact += !res.exact;
		net_free();
		seed = number + 1;
	}
	CHECK("always as good as the best of all sets", wrong == 0);
	CHECK("and says so", inexact == 0);
}

static void test_short_path_that_blocks(void)
{
	/* A path over link 1 and link 4 is shortest, and meets both of the only two that are
	 * disjoint. */
	struct path_choice_params p = { .k = 2, .share = 1, .metric = PATH_BY_HOPS };
	struct path_choice res;
	char text[256];

	net_add_links((uint16_t[]){ 1, 10, 2 }, (uint16_t[]){ 1, 4 }, 2, 1000);
	net_add_links((uint16_t[]){ 1, 10, 11, 2 }, (uint16_t[]){ 1, 5, 6 }, 3, 9000);
	net_add_links((uint16_t[]){ 1, 12, 10, 2 }, (uint16_t[]){ 2, 3, 4 }, 3, 9000);
	CHECK("plans", path_choice_plan(net.c, net.n, &p, &res) == 0);
	CHECK("the two that are disjoint",
	      res.count == 2 && res.index[0] != 0 && res.index[1] != 0);
	CHECK("link-disjoint", res.shared_links == 0 && res.exact);
	p.k = 1;
	CHECK("plans", path_choice_plan(net.c, net.n, &p, &res) == 0);
	CHECK("alone, the short one", res.count == 1 && res.index[0] == 0);
	p.k = 3;
	CHECK("plans", path_choice_plan(net.c, net.n, &p, &res) == 0);
	CHECK("three are not possible", res.count == 2);
	path_choice_explain(net.c, net.n, &p, &res, text, sizeof(text));
	CHECK("and it says why",
	      strstr(text, "2 of 3 paths (3 wanted, but then a link would carry more than 1)"));
	p.share = 2;
	CHECK("plans", path_choice_plan(net.c, net.n, &p, &res) == 0);
	CHECK("three if a link may carry two", res.count == 3 && res.shared_links == 2);
	CHECK("cheapest first", res.index[0] == 0);
	net_free();
}

static void test_topologies(void)
{
	struct path_choice_params p = { .k = 8, .share = 1, .metric = PATH_BY_LATENCY };
	struct path_choice res;

	net_leaf(8, 8, 0);
	choose(&p, &res);
	CHECK("8 of 8 + 8: all disjoint", res.count == 8 && res.shared_links == 0 && res.exact);
	CHECK("the core is shared by all", res.shared_ases == 1);
	net_free();

	net_leaf(3, 3, 0);
	choose(&p, &res);
	CHECK("8 of 3 + 3: three", res.count == 3 && res.exact);
	net_free();

	net_leaf(1, 8, 0);
	choose(&p, &res);
	CHECK("one access link: one path", res.count == 1 && res.shared_links == 0 && res.exact);
	p.share = 4;
	choose(&p, &res);
	CHECK("four may share it", res.count == 4 && res.shared_links == 1 && res.exact);
	p.share = 1;
	net_free();

	net_diamond(1);
	choose(&p, &res);
	CHECK("diamond: the two short ones", res.count == 2 && !res.shared_ases &&
						     net.c[res.index[0]].path->num_hops == 4 &&
						     net.c[res.index[1]].path->num_hops == 4);
	net_free();

	net_diamond(2);
	choose(&p, &res);
	CHECK("diamond of two links each: four", res.count == 4 && !res.shared_links && res.exact);
	net_free();

	net_add(NULL, 0, PATH_LATENCY_UNKNOWN);
	choose(&p, &res);
	CHECK("the path inside one AS", res.count == 1 && res.index[0] == 0 && res.exact);
	net_free();
	CHECK("no candidates", path_choice_plan(net.c, 0, &p, &res) == -ENOENT);
}

static void test_many_candidates(void)
{
	struct path_choice_params p = { .k = 8, .share = 1, .metric = PATH_BY_LATENCY };
	struct path_choice res;

	net_leaf(16, 16, 0);
	choose(&p, &res);
	CHECK("8 of 256: easy ones are still exact",
	      res.count == 8 && !res.shared_links && res.exact);
	net_free();

	seed = 99;
	net_chain(8, 50);
	choose(&p, &res);
	CHECK("8 of 512: disjoint", res.count == 8 && !res.shared_links);
	CHECK("bounded", res.steps <= STEPS_10_MS + 64);
	p.share = 2;
	choose(&p, &res);
	CHECK("8 of 512: disjoint though they might share", res.count == 8 && !res.shared_links);
	CHECK("bounded", res.steps <= STEPS_10_MS + 64);
	net_free();
}

static void test_spread(void)
{
	struct path_choice_params p = { .k = 1, .share = 1, .metric = PATH_BY_LATENCY };
	struct path_choice res;

	for (unsigned int i = 0; i < 3; i++)
		net_add_links((uint16_t[]){ 1, 2 }, (uint16_t[]){ 1 + i }, 1, 5000 + 100 * i);
	net.c[0].in_use = 2;
	net.c[1].in_use = 1;
	net.c[2].in_use = 2;
	choose(&p, &res);
	CHECK("equal but for jitter: the least used", res.index[0] == 1);
	net.c[2].latency_us = 3000;
	choose(&p, &res);
	CHECK("a faster one is taken whoever uses it", res.index[0] == 2);
	net.c[2].latency_us = PATH_LATENCY_UNKNOWN;
	net.c[2].in_use = 0;
	choose(&p, &res);
	CHECK("unknown is slower than known", res.index[0] == 1);
	net_free();
}

/* 84 flows leave one after the other: they do not crowd on the one path that was the fastest a moment ago. */
static void test_spread_of_many_that_leave(void)
{
	struct path_choice_params p = { .k = 1, .share = 1, .metric = PATH_BY_LATENCY };
	static const uint32_t latency_us[] = { 20000, 23000, 24900, 26000, PATH_LATENCY_UNKNOWN };
	struct path_candidate c[5];

	for (unsigned int i = 0; i < 5; i++)
		net_add_links((uint16_t[]){ 1, 2 }, (uint16_t[]){ 1 + i }, 1, latency_us[i]);
	for (unsigned int flow = 0; flow < 84; flow++) {
		int i;

		memcpy(c, net.c, sizeof(c));
		path_choice_level(c, 5);
		i = path_choice_one(c, 5, NULL, 0, &p, true);
		CU_ASSERT_FATAL(i >= 0);
		net.c[i].in_use++;
	}
	CHECK("evenly over those that are about as fast",
	      net.c[0].in_use == 28 && net.c[1].in_use == 28 && net.c[2].in_use == 28 && !net.c[3].in_use && !net.c[4].in_use);
	net.c[0].latency_us = 1000;
	net.c[1].latency_us = 6000;
	net.c[2].latency_us = 6001;
	memcpy(c, net.c, sizeof(c));
	path_choice_level(c, 5);
	CHECK("5 ms at least", c[0].latency_us == 1000 && c[1].latency_us == 1000 && c[2].latency_us == 6001);
	for (unsigned int i = 0; i < 5; i++)
		c[i].latency_us = PATH_LATENCY_UNKNOWN;
	path_choice_level(c, 5);
	path_choice_level(c, 0);
	CHECK("unknown stays unknown", c[0].latency_us == PATH_LATENCY_UNKNOWN);
	net_free();
}

static void test_order_does_not_matter(void)
{
	struct path_choice_params p = { .k = 4, .share = 1, .metric = PATH_BY_LATENCY };
	struct path_choice res, again;
	unsigned int differ = 0;

	for (int round = 0; round < 200; round++) {
		const struct path *chosen[PATH_CHOICE_MAX_K];

		seed = 777 + round;
		net_random(40, 8, 1, 3, 2, 5);
		choose(&p, &res);
		for (unsigned int i = 0; i < res.count; i++)
			chosen[i] = net.c[res.index[i]].path;
		for (size_t i = net.n; i > 1; i--) {
			size_t j = rnd(i);
			struct path_candidate c = net.c[j];

			net.c[j] = net.c[i - 1];
			net.c[i - 1] = c;
		}
		choose(&p, &again);
		differ += again.count != res.count;
		for (unsigned int i = 0; i < res.count && i < again.count; i++)
			differ += !path_same(net.c[again.index[i]].path, chosen[i]);
		net_free();
	}
	CHECK("the same paths whatever the order of the candidates", differ == 0);
}

static unsigned long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Steps, not time: the same on every machine. scripts/micro/path_choice tells what they cost. */
static void test_effort(void)
{
	static const struct {
		const char *why;
		unsigned int shape, a, b, k, share, inner, unproven; /* inner ASes, or one more */
	} rows[] = {
		{ "leaf 8 + 8, latencies unknown", 0, 8, 8, 8, 1 },
		{ "leaf 8 + 8, random latencies", 1, 8, 8, 8, 1 },
		{ "leaf 4 + 16", 1, 4, 16, 8, 1 },
		{ "leaf 4 + 16, two may share", 1, 4, 16, 8, 2 },
		{ "leaf 2 + 32, four may share", 1, 2, 32, 8, 4 },
		{ "leaf 8 + 8, three may share", 1, 8, 8, 8, 3 },
		{ "chain 4 + 4 + 4", 2, 4, 0, 8, 1 },
		{ "chain 4 + 4 + 4, two may share", 2, 4, 0, 8, 2 },
		{ "diamond of 2", 3, 2, 0, 8, 1 },
		{ "diamond of 2, two may share", 3, 2, 0, 8, 2 },
		/* Made to be hard: up to so many of the 40 run out of steps. */
		{ "random, 6 ASes, 2 links each", 4, 6, 2, 8, 1, 1, 3 },
		{ "random, 12 ASes, 2 links each", 4, 12, 2, 8, 1, 1 },
		{ "random, 12 ASes, only ASes are shared", 4, 12, 0, 8, 1, 1 },
		{ "random long, 6 ASes, 2 links each", 4, 6, 2, 8, 1, 2 },
		{ "random long, 8 ASes, 3 links each", 4, 8, 3, 8, 1, 2 },
		{ "random long, 12 ASes, 2 links each", 4, 12, 2, 8, 1, 2 },
		{ "random long, 16 ASes, 2 links each", 4, 16, 2, 8, 1, 2 },
		{ "random long, 12 ASes, only ASes are shared", 4, 12, 0, 8, 1, 2 },
		{ "random long, 24 ASes, only ASes are shared", 4, 24, 0, 8, 1, 2 },
		{ "random long, 8 ASes, two may share", 4, 8, 2, 8, 2, 2 },
		{ "random long, 8 ASes, 1 link each, three may share", 4, 8, 1, 8, 3, 2, 12 },
		{ "random very long, 10 ASes", 4, 10, 2, 8, 1, 4 },
		{ "random very long, 16 ASes", 4, 16, 3, 8, 1, 4, 4 },
	};
	const char *bench = getenv(
		"PATH_CHOICE_BENCH"); /* rounds; then times are printed and nothing is checked */
	int rounds = bench ? atoi(bench) : 40;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		unsigned long long worst = 0, sum = 0, ns, worst_ns = 0, sum_ns = 0;
		unsigned int inexact = 0;

		for (int round = 0; round < rounds; round++) {
			struct path_choice_params p = { rows[i].k, rows[i].share, PATH_BY_LATENCY,
							0 };
			struct path_choice res;

			seed = 4242 + round;
			switch (rows[i].shape) {
			case 0:
			case 1:
				net_leaf(rows[i].a, rows[i].b, rows[i].shape ? 50 : 0);
				break;
			case 2:
				net_chain(rows[i].a, 50);
				break;
			case 3:
				net_diamond(rows[i].a);
				break;
			case 4:
				net_random(64, rows[i].a, rows[i].inner, rows[i].inner + 1,
					   rows[i].b, 50);
				break;
			}
			ns = now_ns();
			if (bench)
				path_choice_plan(net.c, net.n, &p, &res);
			else
				choose(&p, &res);
			ns = now_ns() - ns;
			sum_ns += ns;
			worst_ns = ns > worst_ns ? ns : worst_ns;
			inexact += !res.exact;
			sum += res.steps;
			worst = res.steps > worst ? res.steps : worst;
			net_free();
		}
		if (bench) {
			printf("%-45s steps %7llu, worst %7llu; ms %6.3f, worst %6.3f; not proven "
			       "%u of %d\n",
			       rows[i].why, sum / rounds, worst, sum_ns / 1e6 / rounds,
			       worst_ns / 1e6, inexact, rounds);
			continue;
		}
		CHECK(rows[i].why, inexact <= rows[i].unproven);
		CHECK(rows[i].why, worst <= STEPS_10_MS + 64);
	}
}

const struct unit_test unit_tests[] = {
	{ "against brute force", test_against_brute_force },
	{ "a short path that blocks", test_short_path_that_blocks },
	{ "topologies", test_topologies },
	{ "many candidates", test_many_candidates },
	{ "spread", test_spread },
	{ "many that leave a path spread", test_spread_of_many_that_leave },
	{ "the order of candidates", test_order_does_not_matter },
	{ "effort", test_effort },
	{ 0 },
};
