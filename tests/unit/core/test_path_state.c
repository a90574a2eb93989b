/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_state.h"

#include "tests/unit/check.h"

#include <string.h>

#define MS	 1000ull
#define S	 1000000ull
#define EVERY_US (100 * MS) /* PROBEs of a path in use, */
#define DEAD_US	 (200 * MS) /* and of a dead one */

/* Written out a second time: rows are states, columns events in the order of the enum. */
static const char *const table[PATH_NUM_STATES] = {
	/*			 ANSWERED GOOD MISSED LOST LEFT LIVES DEAD */
	[PATH_STATE_UNKNOWN] = "uu?d?ud",
	[PATH_STATE_UP]	     = "uusdsud",
	[PATH_STATE_SUSPECT] = "uusdsud",
	[PATH_STATE_DOWN]    = "duddddd",
};

static void test_table(void)
{
	for (int s = 0; s < PATH_NUM_STATES; s++)
		for (int e = 0; e < PATH_NUM_EVENTS; e++)
			CHECK(path_state_str((enum path_state)s),
			      path_state_next((enum path_state)s, (enum path_event)e) == (enum path_state)(strchr("?usd", table[s][e]) - "?usd"));
}

static void test_round_trips(void)
{
	uint32_t srtt = 0, var = 0;

	CHECK("nothing is known", path_rtt_late_us(srtt, var, 1, 2, 500) == 500);
	path_rtt_learn(&srtt, &var, 20000);
	CHECK("the first", srtt == 20000 && var == 10000);
	CHECK("late", path_rtt_late_us(srtt, var, 100, 1000000, 0) == 60000);
	CHECK("not before", path_rtt_late_us(srtt, var, 100000, 1000000, 0) == 100000);
	CHECK("not after", path_rtt_late_us(srtt, var, 100, 50000, 0) == 50000);
	path_rtt_learn(&srtt, &var, 28000);
	CHECK("the next", srtt == 21000 && var == 9500);
	for (int i = 0; i < 100; i++)
		path_rtt_learn(&srtt, &var, 30000);
	CHECK("all the same", srtt > 29900 && srtt <= 30000 && var < 100);
	srtt = var = PATH_RTT_MOST_US;
	for (int i = 0; i < 100; i++)
		path_rtt_learn(&srtt, &var, i % 2 ? PATH_RTT_MOST_US : 1);
	CHECK("no overflow", srtt <= PATH_RTT_MOST_US && var <= PATH_RTT_MOST_US);
}

/* ---- one path in simulated time ---- */

struct prober {
	uint64_t now_us, since_us;
	enum path_state state;
	struct path_probes probes;
	struct path_damp damp;
	uint32_t rtt_us, srtt_us, var_us;
	bool dead, heard; /* the link; data came since the last PROBE */
	unsigned int loss_percent, answers; /* in a row */
	unsigned int downs, wrong; /* dead paths that were alive after fewer answers than that takes */
	uint32_t random;
};

static uint32_t rnd(struct prober *p)
{
	return (p->random = p->random * 1664525 + 1013904223) >> 8;
}

static void happened(struct prober *p, enum path_event event)
{
	enum path_state next = path_state_next(p->state, event);

	if (next == p->state)
		return;
	if (next == PATH_STATE_DOWN) {
		path_damp_down(&p->damp, p->now_us);
		p->downs++;
	} else if (p->state == PATH_STATE_DOWN) {
		path_damp_up(&p->damp, p->now_us);
		p->wrong += p->answers < PATH_PROBES_GOOD;
	}
	p->state = next;
	p->since_us = p->now_us;
}

static void run(struct prober *p, uint64_t for_us)
{
	uint64_t end_us = p->now_us + for_us;
	enum path_event event;

	while (p->now_us < end_us) {
		uint64_t sent_us = p->now_us;
		bool lost = p->dead || rnd(p) % 100 < p->loss_percent;

		if (!lost) {
			p->now_us += p->rtt_us;
			path_rtt_learn(&p->srtt_us, &p->var_us, p->rtt_us);
			p->answers++;
			happened(p, path_probes_answered(&p->probes, &p->damp, p->now_us));
		} else {
			p->now_us += path_rtt_late_us(p->srtt_us, p->var_us, 100 * MS, PATH_RTT_MOST_US, 500 * MS);
			p->answers = 0;
			if (path_probes_missed(&p->probes, p->heard, &event))
				happened(p, event);
		}
		if (p->state == PATH_STATE_SUSPECT)
			continue; /* at once */
		sent_us += p->state == PATH_STATE_DOWN ? DEAD_US : EVERY_US;
		p->now_us = p->now_us > sent_us ? p->now_us : sent_us;
	}
}

static struct prober begin(uint32_t rtt_us, uint32_t seed)
{
	return (struct prober){ .now_us = 10 * S, .rtt_us = rtt_us, .random = seed };
}

static void test_death(void)
{
	struct prober p = begin(20 * MS, 1);

	run(&p, S);
	CHECK("up", p.state == PATH_STATE_UP && p.since_us == 10 * S + 20 * MS);
	p.dead = true;
	run(&p, 110 * MS);
	CHECK("suspect", p.state == PATH_STATE_SUSPECT);
	run(&p, 300 * MS);
	CHECK("dead after three", p.state == PATH_STATE_DOWN && p.downs == 1);
	p.dead = false;
	run(&p, 2 * DEAD_US);
	CHECK("two answers are not enough", p.state == PATH_STATE_DOWN && p.probes.good == 2);
	run(&p, DEAD_US);
	CHECK("alive", p.state == PATH_STATE_UP && !p.wrong);
}

static void test_refused(void)
{
	struct prober p = begin(20 * MS, 1);

	run(&p, S);
	p.dead = true;
	path_probes_refused(&p.probes);
	run(&p, 50 * MS);
	CHECK("one more is enough", p.state == PATH_STATE_DOWN);
}

/* What comes excuses PROBEs that are lost, but not all of them: the other direction may be dead. */
static void test_excused(void)
{
	struct prober p = begin(20 * MS, 1);

	run(&p, S);
	p.heard = true;
	p.loss_percent = 10;
	run(&p, 3600 * S);
	CHECK("an hour of loss", p.state == PATH_STATE_UP && !p.downs);
	p.loss_percent = 0;
	run(&p, S);
	p.dead = true;
	run(&p, PATH_PROBES_EXCUSED * 100 * MS);
	CHECK("excused", p.state == PATH_STATE_UP);
	run(&p, 500 * MS);
	CHECK("one way is dead", p.state == PATH_STATE_DOWN);
}

/* A second up, a second down: it is left alone, and used again when it is calm. */
static void test_flapping(void)
{
	struct prober p = begin(2 * MS, 1);

	run(&p, S);
	for (int i = 0; i < 60; i++) {
		p.dead = !p.dead;
		run(&p, S);
	}
	CHECK("not each time", p.downs >= 2 && p.downs <= 6);
	p.dead = false;
	run(&p, PATH_DAMP_MOST_US + S);
	CHECK("calm", p.state == PATH_STATE_UP && !p.wrong);
}

static void test_random(void)
{
	for (uint32_t seed = 0; seed < 10000; seed++) {
		struct prober p = begin(1 + rnd(&(struct prober){ .random = seed }) % (200 * MS), seed);

		p.loss_percent = rnd(&p) % 10;
		p.heard = rnd(&p) % 2;
		for (unsigned int i = 0, n = rnd(&p) % 12; i < n; i++) {
			p.dead = rnd(&p) % 2;
			run(&p, rnd(&p) % (3 * S));
		}
		p.dead = true;
		run(&p, 15 * S);
		CHECK("dead", p.state == PATH_STATE_DOWN);
		p.dead = false;
		p.loss_percent = 0;
		run(&p, PATH_DAMP_MOST_US + 10 * S);
		CHECK("alive", p.state == PATH_STATE_UP);
		CHECK("answers", !p.wrong);
	}
}

const struct unit_test unit_tests[] = {
	{ "table", test_table },
	{ "round trips", test_round_trips },
	{ "death and return", test_death },
	{ "refused", test_refused },
	{ "excused", test_excused },
	{ "flapping", test_flapping },
	{ "random", test_random },
	{ 0 },
};
