/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/subflow_plan.h"

#include "tests/unit/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A connection under simulated time: links that are up or not, subflows on them, a kernel that refuses or kills some. A
 * flow on a dead link goes to one that is alive, as moves do.
 */
#define LINKS 8

struct sim {
	uint64_t now_ms;
	bool up[LINKS];
	bool worse[LINKS];
	bool refuse; /* joins */
	struct {
		bool there, main, backup;
		int link;
		uint64_t since_ms;
	} flows[SUBFLOW_PLAN_MAX];
	unsigned int limit, links;
	bool always_backup;
	struct subflow_plan plan;
	unsigned int created, destroyed, priorities;
};

static int count(const struct sim *s)
{
	int n = 0;

	for (int i = 0; i < SUBFLOW_PLAN_MAX; i++)
		n += s->flows[i].there;
	return n;
}

static bool used(const struct sim *s, int link, int but)
{
	for (int i = 0; i < SUBFLOW_PLAN_MAX; i++)
		if (i != but && s->flows[i].there && s->flows[i].link == link)
			return true;
	return false;
}

static int free_link(const struct sim *s)
{
	for (unsigned int l = 0; l < s->links; l++)
		if (s->up[l] && !used(s, (int)l, -1))
			return (int)l;
	return -1;
}

static struct subflow_view view(const struct sim *s, int *index)
{
	struct subflow_view v = { .now_ms = s->now_ms, .ready = true, .limit = s->limit, .free_path = free_link(s) >= 0 };

	for (int i = 0; i < SUBFLOW_PLAN_MAX; i++) {
		if (!s->flows[i].there)
			continue;
		index[v.count] = i;
		v.flows[v.count++] = (struct subflow_seen){
			.main = s->flows[i].main,
			.alone = !used(s, s->flows[i].link, i),
			.dead = !s->up[s->flows[i].link],
			.worse = s->worse[s->flows[i].link],
			.backup = s->flows[i].backup,
			.always_backup = s->always_backup && !s->flows[i].main,
		};
	}
	return v;
}

static void create(struct sim *s)
{
	int i = 0;

	s->created++;
	if (s->refuse) {
		subflow_plan_lost(&s->plan, s->now_ms, 0);
		return;
	}
	while (s->flows[i].there)
		i++;
	s->flows[i].link = free_link(s);
	s->flows[i].there = true;
	s->flows[i].main = false;
	s->flows[i].backup = s->always_backup;
	s->flows[i].since_ms = s->now_ms;
}

/* All that is due now. Return: when to look again. */
static uint64_t look(struct sim *s)
{
	struct subflow_order o;
	int index[SUBFLOW_PLAN_MAX], steps = 0;

	for (;;) {
		struct subflow_view v = view(s, index);

		subflow_plan_next(&s->plan, &v, &o);
		if (o.step == SUBFLOW_NOTHING)
			break;
		if (++steps > 64) {
			CHECK("it comes to an end", false);
			break;
		}
		if (o.step == SUBFLOW_CREATE) {
			create(s);
		} else if (o.step == SUBFLOW_DESTROY) {
			CHECK("one that shares", !v.flows[o.flow].alone);
			CHECK("never the last", count(s) > 1);
			s->flows[index[o.flow]].there = false;
			s->destroyed++;
		} else {
			s->flows[index[o.flow]].backup = o.step == SUBFLOW_TO_BACKUP;
			s->priorities++;
		}
	}
	CHECK("later", o.again_ms == UINT64_MAX || o.again_ms > s->now_ms);
	return o.again_ms;
}

/* Time goes on, and nothing else happens. */
static void wait_ms(struct sim *s, uint64_t ms)
{
	uint64_t end = s->now_ms + ms, next = look(s);

	while (next <= end) {
		s->now_ms = next;
		next = look(s);
	}
	s->now_ms = end;
	look(s);
}

static void cut(struct sim *s, int link)
{
	s->up[link] = false;
	for (int i = 0; i < SUBFLOW_PLAN_MAX; i++) {
		if (!s->flows[i].there || s->flows[i].link != link)
			continue;
		for (unsigned int l = 0; l < s->links; l++)
			if (s->up[l] && (s->flows[i].link == link || !used(s, (int)l, i)))
				s->flows[i].link = (int)l;
	}
}

static void kill_flow(struct sim *s, int i)
{
	s->flows[i].there = false;
	subflow_plan_lost(&s->plan, s->now_ms, s->now_ms - s->flows[i].since_ms);
}

static struct sim begin(unsigned int links, unsigned int limit)
{
	struct sim s = { .now_ms = 1000000, .limit = limit, .links = links };

	for (unsigned int l = 0; l < links; l++)
		s.up[l] = true;
	s.flows[0].there = s.flows[0].main = true;
	s.flows[0].since_ms = s.now_ms;
	return s;
}

static void test_as_many_as_paths(void)
{
	struct sim s = begin(3, 5);

	look(&s);
	CHECK("three paths, room for five: three at once", count(&s) == 3);
	wait_ms(&s, 60000);
	CHECK("and so it stays", count(&s) == 3 && s.created == 2 && !s.destroyed);
	s = begin(5, 2);
	look(&s);
	CHECK("room for two", count(&s) == 2);
	s = begin(3, 3);
	s.links = 2;
	look(&s);
	s.links = 3;
	look(&s);
	CHECK("a new path gets one", count(&s) == 3);
}

static void test_not_ready(void)
{
	struct sim s = begin(3, 3);
	struct subflow_view v;
	struct subflow_order o;
	int index[SUBFLOW_PLAN_MAX];

	v = view(&s, index);
	v.ready = false;
	subflow_plan_next(&s.plan, &v, &o);
	CHECK("nothing, until something happens", o.step == SUBFLOW_NOTHING && o.again_ms == UINT64_MAX);
}

static void test_killed(void)
{
	struct sim s = begin(3, 3);

	look(&s);
	wait_ms(&s, 10000);
	for (int i = 0; i < 3; i++) {
		kill_flow(&s, i);
		look(&s);
		CHECK("back at once, the main flow too", count(&s) == 3);
		wait_ms(&s, 5000);
	}
	for (int i = 0; i < 3; i++)
		kill_flow(&s, i);
	look(&s);
	CHECK("all of them", count(&s) == 3);
	kill_flow(&s, 0);
	wait_ms(&s, 900);
	CHECK("one that was young, within a second", count(&s) == 3);
}

/* As soon as it is there again: three times within two seconds. */
static void test_killed_young(void)
{
	struct sim s = begin(3, 3);

	look(&s);
	for (int i = 0; i < 3; i++) {
		wait_ms(&s, 50);
		kill_flow(&s, 1);
		wait_ms(&s, 450);
		CHECK("back within half a second", count(&s) == 3);
	}
	wait_ms(&s, 1000);
	for (int i = 0; i < 3; i++)
		kill_flow(&s, i);
	look(&s);
	CHECK("all at once, and none was young", count(&s) == 3);
}

/* The main flow is lost where subflows are for backup: what is made in its place is not; the others stay what they are. */
static void test_backup_in_place_of_main(void)
{
	struct sim s = begin(3, 3);
	unsigned int normal = 0;

	s.always_backup = true;
	look(&s);
	wait_ms(&s, 5000);
	s.priorities = 0;
	kill_flow(&s, 0);
	look(&s);
	s.flows[0].main = true; /* it stands in */
	s.flows[0].backup = false;
	look(&s);
	for (int i = 0; i < 3; i++)
		normal += s.flows[i].there && !s.flows[i].backup;
	CHECK("one carries data", count(&s) == 3 && normal == 1 && !s.priorities);
}

static void test_refused(void)
{
	struct sim s = begin(2, 2);

	s.refuse = true;
	wait_ms(&s, 3600000);
	CHECK("not again and again", s.created > 60 && s.created < 90);
	s.refuse = false;
	wait_ms(&s, 60000);
	CHECK("but not never", count(&s) == 2);
	wait_ms(&s, 5000);
	s.created = 0;
	kill_flow(&s, 1);
	look(&s);
	CHECK("who lived is wanted", s.created == 1 && count(&s) == 2);
}

static void test_cut_and_restored(void)
{
	struct sim s = begin(3, 3);

	look(&s);
	cut(&s, 1);
	wait_ms(&s, 1000);
	CHECK("not at once: it may come back", count(&s) == 3);
	wait_ms(&s, 3000);
	CHECK("two paths, two subflows", count(&s) == 2 && s.destroyed == 1 && s.flows[0].there);
	s.up[1] = true;
	look(&s);
	CHECK("three again", count(&s) == 3);
	s.destroyed = 0;
	for (int i = 0; i < 30; i++) { /* up and down each second */
		cut(&s, 1);
		wait_ms(&s, 1000);
		s.up[1] = true;
		for (int k = 1; k < 3; k++)
			if (s.flows[k].there && used(&s, s.flows[k].link, k) && !used(&s, 1, k))
				s.flows[k].link = 1; /* moved back */
		wait_ms(&s, 1000);
	}
	CHECK("a link that flaps destroys none", !s.destroyed && count(&s) == 3);
	cut(&s, 0);
	cut(&s, 1);
	cut(&s, 2);
	wait_ms(&s, 60000);
	CHECK("with no path at all they wait", count(&s) == 3 && !s.destroyed);
}

static void test_priorities(void)
{
	struct sim s = begin(3, 3);

	look(&s);
	s.worse[1] = true;
	look(&s);
	CHECK("the one on the bad path", s.priorities == 1 && s.flows[1].backup && !s.flows[0].backup && !s.flows[2].backup);
	s.worse[1] = false;
	look(&s);
	CHECK("while it lasts", s.priorities == 2 && !s.flows[1].backup);
	s.worse[0] = s.worse[1] = s.worse[2] = true;
	look(&s);
	CHECK("never all of them", !s.flows[0].backup && !s.flows[1].backup && !s.flows[2].backup);
	s = begin(3, 3);
	s.always_backup = true;
	look(&s);
	CHECK("as configured", count(&s) == 3 && !s.flows[0].backup && s.flows[1].backup && s.flows[2].backup);
	s.worse[0] = true;
	look(&s);
	CHECK("the main flow goes on carrying", !s.flows[0].backup);
}

static void test_worse(void)
{
	struct subflow_path best = { 10000, 0 }, p = { 200000, 20 };

	CHECK("slow paths add up", !subflow_path_is_worse(false, &p, &best));
	p.srtt_us = 700000;
	CHECK("too slow", subflow_path_is_worse(false, &p, &best));
	p.srtt_us = 400000;
	CHECK("it must become clearly better", subflow_path_is_worse(true, &p, &best) && !subflow_path_is_worse(false, &p, &best));
	p.srtt_us = 200000;
	CHECK("as now", !subflow_path_is_worse(true, &p, &best));
	best.srtt_us = 300000;
	p.srtt_us = 900000;
	CHECK("all are slow", !subflow_path_is_worse(false, &p, &best));
	p = (struct subflow_path){ 10000, 400 };
	CHECK("lossy", subflow_path_is_worse(false, &p, &best));
	p.loss_permille = 200;
	CHECK("still", subflow_path_is_worse(true, &p, &best) && !subflow_path_is_worse(false, &p, &best));
	best.loss_permille = 180;
	CHECK("all are lossy", !subflow_path_is_worse(true, &p, &best));
	best = (struct subflow_path){ 0, 0 };
	p = (struct subflow_path){ 5000000, 0 };
	CHECK("nothing is known of the others", !subflow_path_is_worse(false, &p, &best));
}

/* Whatever happens: within the limits; and when it stops, there are as many as there are paths. */
static void test_random(void)
{
	srand(1);
	for (int run = 0; run < 10000; run++) {
		struct sim s = begin(1 + (unsigned int)rand() % LINKS, 1 + (unsigned int)rand() % LINKS);
		unsigned int want;

		for (int step = 0; step < 40; step++) {
			int l = rand() % (int)s.links, i = rand() % SUBFLOW_PLAN_MAX;

			switch (rand() % 6) {
			case 0:
				cut(&s, l);
				break;
			case 1:
				s.up[l] = true;
				break;
			case 2:
				if (s.flows[i].there)
					kill_flow(&s, i);
				break;
			case 3:
				s.refuse = !s.refuse;
				break;
			case 4:
				s.worse[l] = !s.worse[l];
				break;
			}
			wait_ms(&s, (uint64_t)(rand() % 2000));
			if (count(&s) > (int)s.limit)
				break;
		}
		CHECK("within the limit", count(&s) <= (int)s.limit);
		s.refuse = false;
		for (unsigned int k = 0; k < s.links; k++)
			s.up[k] = true;
		wait_ms(&s, 120000);
		want = s.limit < s.links ? s.limit : s.links;
		if (count(&s) != (int)want) {
			CHECK("as many as paths", count(&s) == (int)want);
			break;
		}
	}
}

const struct unit_test unit_tests[] = {
	{ "as many as paths", test_as_many_as_paths },
	{ "not ready", test_not_ready },
	{ "killed", test_killed },
	{ "killed young", test_killed_young },
	{ "backup, in place of the main flow", test_backup_in_place_of_main },
	{ "refused", test_refused },
	{ "cut and restored", test_cut_and_restored },
	{ "priorities", test_priorities },
	{ "much worse", test_worse },
	{ "random", test_random },
	{ 0 },
};
