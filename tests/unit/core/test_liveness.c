/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/core/liveness_world.h"

#include "tests/unit/check.h"

#include <stdio.h>

/* ---- steady ---- */

static void test_rtt(void)
{
	struct world *w = world_new(1, 10 * MS);

	w->side[0].every_us = 1000;
	w->side[1].every_us = 1000;
	run(w, 2000 * MS);
	for (int i = 0; i < 2; i++) {
		struct liveness *l = w->side[i].l;

		CHECK("smoothed RTT", l->srtt_us >= 20 * MS && l->srtt_us < 23 * MS);
		CHECK("the least one", l->min_us >= 20 * MS && l->min_us < 22 * MS);
		CHECK("hardly any variation", l->var_us < 3 * MS);
		CHECK("a number every 10 ms", l->asked >= 190 && l->asked <= 201);
		CHECK("nearly all answered", l->answered + 6 >= l->asked);
		CHECK("no loss", l->lost_16 < 655);
		CHECK("no suspicion", !w->side[i].suspects);
		CHECK("no ALIVE while frames go both ways", w->side[i].alives == 0);
	}
	world_free(w);
}

static void test_slow_path_is_asked_seldom(void)
{
	struct world *w = world_new(1, 100 * MS);

	w->side[0].every_us = 1000;
	run(w, 4000 * MS);
	CHECK("a quarter of the RTT apart", w->side[0].l->asked < 4000 / 50 + 25);
	CHECK("no suspicion", !w->side[0].suspects);
	world_free(w);
}

/* One direction only, as UDP may be: answers travel in ALIVEs, and the client asks in them. */
static void test_one_way_traffic(void)
{
	for (int from = 0; from < 2; from++) {
		struct world *w = world_new(7, 10 * MS);
		unsigned int alives;

		w->side[from].every_us = 5000;
		run(w, 1000 * MS);
		CHECK("numbers come back", w->side[from].l->answered > 80);
		CHECK("in ALIVEs", w->side[!from].alives > 80 && w->side[!from].alives < 120);
		CHECK("the client asks, too", from == 0 || w->side[0].l->answered > 80);
		w->side[from].every_us = 0;
		run(w, 300 * MS);
		alives = w->side[0].alives + w->side[1].alives;
		run(w, 5000 * MS);
		CHECK("then it is quiet", w->side[0].alives + w->side[1].alives == alives);
		CHECK("and nobody looks after it", !w->side[0].listed && !w->side[1].listed);
		CHECK("no suspicion", !w->side[0].suspects && !w->side[1].suspects);
		world_free(w);
	}
}

static void test_tail_of_a_burst(void)
{
	struct world *w = world_new(3, 10 * MS);

	w->side[0].every_us = w->side[1].every_us = 1000;
	run(w, 500 * MS);
	w->side[0].every_us = w->side[1].every_us = 0;
	w->side[0].alives = w->side[1].alives = 0;
	run(w, 1000 * MS);
	CHECK("some ALIVEs at the end of a burst", w->side[0].alives >= 1 && w->side[0].alives <= 8);
	CHECK("the last number is answered", liveness_state(w->side[0].l) == LIVENESS_REST && !w->side[0].listed);
	world_free(w);
}

static void test_older_peer(void)
{
	struct world *w = world_new(5, 10 * MS);

	w->side[1].deaf = true;
	w->side[0].every_us = 1000;
	run(w, 5000 * MS);
	w->side[0].every_us = 0;
	run(w, 500 * MS);
	CHECK("who never answered is not declared dead", !w->side[0].suspects);
	CHECK("nor asked in ALIVEs", !w->side[0].alives && !w->side[0].listed);
	w->side[1].deaf = false;
	w->side[0].every_us = 1000;
	run(w, 200 * MS);
	CHECK("it may learn to answer", w->side[0].l->answered > 10);
	world_free(w);
}

/* ---- numbers ---- */

static void test_numbers(void)
{
	struct liveness *l = liveness_new(0);
	uint64_t now = 1000 * MS;
	uint32_t answered;

	for (int i = 0; i < 2000; i++) {
		liveness_ask(l, now);
		now += 10 * MS;
	}
	CHECK("never 0", l->req != 0);
	CHECK("127 in flight", l->newest - l->known == LIVENESS_IN_FLIGHT);
	liveness_take_ans(l, (uint8_t)((l->newest - 127) % 255 + 1), now);
	CHECK("one that is waited for no more", !l->answered);
	liveness_take_ans(l, (uint8_t)((l->newest - 100) % 255 + 1), now);
	CHECK("one that is", l->answered == 1 && l->known == l->newest - 100);
	CHECK("its RTT", l->srtt_us == 1010 * MS);
	liveness_take_ans(l, (uint8_t)((l->newest - 101) % 255 + 1), now);
	CHECK("an older one says nothing new", l->answered == 1);
	liveness_take_ans(l, (uint8_t)(l->newest % 255 + 1), now);
	CHECK("the newest settles it", l->answered == 2 && liveness_state(l) == LIVENESS_REST);
	answered = l->answered;
	for (unsigned int ans = 0; ans < 256; ans++)
		liveness_take_ans(l, (uint8_t)ans, now);
	CHECK("what was never asked is no answer", l->answered == answered);
	liveness_put(l);
}

static void test_numbers_of_others(void)
{
	struct liveness *l = liveness_new(0);
	uint64_t now = 1000 * MS;
	uint8_t req, ans;

	liveness_heard(l, 1, 250, 0, false, now);
	liveness_heard(l, 1, 255, 0, false, now);
	liveness_heard(l, 1, 2, 0, false, now);
	CHECK("newest beyond the wrap", l->seen == 2 && l->owes);
	liveness_heard(l, 1, 254, 0, false, now);
	CHECK("an overtaken one", l->seen == 2);
	liveness_stamp(l, 1, now, &req, &ans);
	CHECK("answered in the next frame", ans == 2 && !l->owes);
	liveness_stamp(l, 1, now + 50 * MS, &req, &ans);
	CHECK("and repeated", ans == 2);
	liveness_stamp(l, 1, now + 150 * MS, &req, &ans);
	CHECK("not for ever", ans == 0);
	liveness_heard(l, 1, 100, 0, false, now);
	CHECK("a peer that begins anew", l->seen == 100 && l->owes);
	liveness_heard(l, 1, 99, 0, false, now + 300 * MS);
	CHECK("also a little behind", l->seen == 99);
	CHECK("what is owed has been for long", liveness_tick(l, now + 300 * MS, 0) & LIVENESS_DO_ANSWER);
	liveness_alive(l, false, false, now + 300 * MS, &req, &ans);
	CHECK("answered without a question", ans == 99 && !req && !l->owes);
	liveness_heard(l, 1, 101, 0, false, now + 300 * MS);
	CHECK("due after 2 ms", liveness_due_us(l, now + 300 * MS) <= now + 302 * MS);
	CHECK("not before", !(liveness_tick(l, now + 301 * MS, 0) & LIVENESS_DO_ANSWER));
	CHECK("then", liveness_tick(l, now + 302 * MS, 0) & LIVENESS_DO_ANSWER);
	liveness_alive(l, false, true, now + 302 * MS, &req, &ans);
	CHECK("a client asks with it", ans == 101 && req == l->req && req);
	liveness_heard(l, 1, 102, 0, true, now + 330 * MS);
	liveness_alive(l, false, true, now + 332 * MS, &req, &ans);
	CHECK("but not when it answers an ALIVE", ans == 102 && !req);
	liveness_put(l);
}

static void test_table(void)
{
	CHECK("asked", liveness_step(LIVENESS_REST, LIVENESS_EV_ASKED) == LIVENESS_ASKING);
	CHECK("what is at rest is not late", liveness_step(LIVENESS_REST, LIVENESS_EV_LATE) == LIVENESS_NONE);
	CHECK("late", liveness_step(LIVENESS_ASKING, LIVENESS_EV_LATE) == LIVENESS_SUSPECT);
	CHECK("more questions change nothing", liveness_step(LIVENESS_SUSPECT, LIVENESS_EV_ASKED) == LIVENESS_SUSPECT);
	CHECK("an answer does", liveness_step(LIVENESS_SUSPECT, LIVENESS_EV_ANSWERED) == LIVENESS_ASKING);
	CHECK("has names", !strcmp(liveness_state_str(LIVENESS_SUSPECT), "suspect"));
}

/* ---- the verdict ---- */

static uint64_t detected_us(uint32_t delay_us, bool first, bool second, uint32_t up_us, uint32_t down_us, int who, uint32_t seed)
{
	struct world *w = world_new(seed, delay_us);
	uint64_t began, result;

	w->side[0].every_us = up_us;
	w->side[1].every_us = down_us;
	run(w, 1000 * MS + seed * 777);
	CHECK("no suspicion before", !w->side[0].suspects && !w->side[1].suspects);
	cut(w, first, second);
	began = w->now_us;
	run(w, 1500 * MS);
	result = w->side[who].suspects ? w->side[who].suspect_us - began : UINT64_MAX;
	world_free(w);
	return result;
}

static void test_black_hole(void)
{
	/* RTT 20 ms; both directions, each alone; upload, download, UDP one way: the client notices. */
	for (uint32_t seed = 1; seed < 40; seed++) {
		CHECK("both", detected_us(10 * MS, true, true, 1000, 1000, 0, seed) <= 50 * MS);
		CHECK("up", detected_us(10 * MS, true, false, 1000, 1000, 0, seed) <= 50 * MS);
		CHECK("down", detected_us(10 * MS, false, true, 1000, 1000, 0, seed) <= 50 * MS);
		CHECK("the server, too", detected_us(10 * MS, true, true, 1000, 1000, 1, seed) <= 50 * MS);
		CHECK("UDP up", detected_us(10 * MS, true, true, 1000, 0, 0, seed) <= 50 * MS);
		CHECK("UDP down", detected_us(10 * MS, true, true, 0, 1000, 0, seed) <= 70 * MS);
		CHECK("RTT 1 ms", detected_us(500, true, true, 1000, 1000, 0, seed) <= 30 * MS);
		CHECK("RTT 100 ms", detected_us(50 * MS, true, true, 1000, 1000, 0, seed) <= 175 * MS);
	}
}

/* Who follows another's move asks itself whether the old path was silent: before its own verdict, and not while it lives. */
static void test_silent(void)
{
	for (uint32_t seed = 1; seed < 40; seed++) {
		struct world *w = world_new(seed, 10 * MS);
		unsigned int false_alarms = 0;

		w->way[0].jitter_us = w->way[1].jitter_us = 2 * MS;
		w->side[0].every_us = w->side[1].every_us = 1000;
		run(w, 300 * MS);
		for (int i = 0; i < 300; i++) {
			run(w, MS);
			false_alarms += liveness_silent(w->side[1].l, w->now_us);
		}
		CHECK("not while answers come", !false_alarms);
		cut(w, true, true);
		run(w, 55 * MS);
		CHECK("a while after they stopped", liveness_silent(w->side[1].l, w->now_us));
		w->side[0].every_us = w->side[1].every_us = 0;
		run(w, 600 * MS);
		CHECK("as long as nothing proves the contrary", liveness_silent(w->side[1].l, w->now_us));
		world_free(w);
	}
	for (uint32_t seed = 1; seed < 10; seed++) {
		struct world *w = world_new(seed, 10 * MS);

		w->side[0].every_us = w->side[1].every_us = 1000;
		run(w, 300 * MS);
		w->side[0].every_us = w->side[1].every_us = 0;
		run(w, 600 * MS);
		CHECK("nor when nothing is said", !liveness_silent(w->side[1].l, w->now_us));
		world_free(w);
	}
}

/* The server's data stop at once, and with them the client's ACKs: what follows is asked in ALIVEs. */
static void test_silence_after_cut(void)
{
	struct world *w = world_new(11, 500);
	uint64_t began;

	w->side[0].every_us = w->side[1].every_us = 1000;
	run(w, 1003 * MS);
	cut(w, true, true);
	w->side[0].every_us = w->side[1].every_us = 0;
	began = w->now_us;
	run(w, 1000 * MS);
	CHECK("noticed", w->side[0].suspects && w->side[0].suspect_us - began < 45 * MS);
	CHECK("with few ALIVEs", w->side[0].alives <= LIVENESS_TAIL);
	CHECK("then it is quiet", !w->side[0].listed);
	world_free(w);
}

static void test_told_again_and_back(void)
{
	struct world *w = world_new(12, 10 * MS);

	w->side[0].every_us = w->side[1].every_us = 1000;
	run(w, 1000 * MS);
	cut(w, true, true);
	run(w, 1000 * MS);
	CHECK("told again while it lasts", w->side[0].suspects >= 3 && w->side[0].suspects <= 6);
	CHECK("it is suspect", liveness_state(w->side[0].l) == LIVENESS_SUSPECT);
	w->way[0].dead = w->way[1].dead = false;
	run(w, 100 * MS);
	CHECK("it answers again", liveness_state(w->side[0].l) == LIVENESS_ASKING || liveness_state(w->side[0].l) == LIVENESS_REST);
	world_free(w);
}

static void test_caller_was_late(void)
{
	struct liveness *l = liveness_new(1);
	uint64_t now = 1000 * MS;

	liveness_ask(l, now);
	liveness_take_ans(l, l->req, now + 20 * MS);
	for (int i = 0; i < 4; i++)
		liveness_ask(l, now + (30 + 10 * i) * MS);
	CHECK("who comes late judges nobody", !(liveness_tick(l, now + 500 * MS, 400 * MS) & LIVENESS_DO_SUSPECT));
	CHECK("but then", liveness_tick(l, now + 501 * MS, 0) & LIVENESS_DO_SUSPECT);
	liveness_put(l);
}

/* False alarms in a minute of bulk traffic: at most @most. */
static void no_false_alarm(const char *why, uint32_t delay_us, uint32_t jitter_us, bool in_order, uint32_t loss_1000,
			   uint32_t every_us, unsigned int most)
{
	unsigned int suspects = 0;

	for (uint32_t seed = 1; seed <= 6; seed++) {
		struct world *w = world_new(seed, delay_us);

		for (int i = 0; i < 2; i++) {
			w->way[i].jitter_us = jitter_us;
			w->way[i].in_order = in_order;
			w->way[i].loss_1000 = loss_1000;
			w->side[i].every_us = every_us + (uint32_t)i;
		}
		run(w, 10000 * MS);
		suspects += w->side[0].suspects;
		world_free(w);
	}
	if (suspects > most)
		printf("%s: %u false alarms in a minute\n", why, suspects);
	CHECK(why, suspects <= most);
}

static void test_no_false_alarms(void)
{
	no_false_alarm("nothing special", 10 * MS, 0, true, 0, 1000, 0);
	no_false_alarm("20 ms jitter", 10 * MS, 20 * MS, true, 0, 1000, 0);
	no_false_alarm("20 ms jitter and reordering", 10 * MS, 20 * MS, false, 0, 1000, 0);
	no_false_alarm("50 ms jitter", 10 * MS, 50 * MS, true, 0, 1000, 0);
	no_false_alarm("5 % loss, bulk", 10 * MS, 0, true, 50, 1000, 0);
	no_false_alarm("5 % loss, seldom a frame", 10 * MS, 0, true, 50, 30000, 4);
	no_false_alarm("30 % loss, bulk", 10 * MS, 0, true, 300, 1000, 6);
}

/* Slow start fills a queue: each answer comes later than the one before. */
static void test_growing_queue(void)
{
	struct world *w = world_new(31, 10 * MS);

	w->way[0].in_order = true;
	w->side[0].every_us = w->side[1].every_us = 500;
	run(w, 100 * MS);
	for (int i = 0; i < 200; i++) {
		w->way[0].delay_us += 750; /* 150 ms in 100 */
		run(w, 500);
	}
	run(w, 500 * MS);
	CHECK("no suspicion", !w->side[0].suspects && !w->side[1].suspects);
	world_free(w);
}

/* A key is pressed now and then. */
static void test_thinking_times(void)
{
	struct world *w = world_new(21, 10 * MS);

	for (int i = 0; i < 300; i++) {
		send_frame(w, 0);
		run(w, 50 * MS + rnd(w) % 400000);
	}
	CHECK("no suspicion", !w->side[0].suspects && !w->side[1].suspects);
	CHECK("few ALIVEs a key", w->side[0].alives < 4 * 300);
	cut(w, true, true);
	send_frame(w, 0);
	run(w, 500 * MS);
	CHECK("noticed by the first key", w->side[0].suspects == 1);
	world_free(w);
}

/* ---- random scenarios ---- */

/* Missed: [0] cuts while the client sends, [1] while it only receives. */
static void one_scenario(uint32_t seed, unsigned int *alarms, unsigned int missed[2])
{
	struct world *w = world_new(seed, 100);
	uint32_t rtt_us;
	bool sends;

	for (int i = 0; i < 2; i++) {
		struct direction *d = &w->way[i];

		d->delay_us = 100 + rnd(w) % 60000;
		d->jitter_us = rnd(w) % 3 ? 0 : rnd(w) % 20000;
		d->in_order = rnd(w) % 2;
		d->loss_1000 = rnd(w) % 3 ? 0 : rnd(w) % 30;
		d->dup_1000 = rnd(w) % 3 ? 0 : rnd(w) % 100;
		w->side[i].every_us = rnd(w) % 4 ? 500 + rnd(w) % 8000 : 0;
	}
	rtt_us = w->way[0].delay_us + w->way[1].delay_us + w->way[0].jitter_us + w->way[1].jitter_us;
	sends = w->side[0].every_us || w->side[1].every_us;
	run(w, 600 * MS + rnd(w) % 100000);
	*alarms += w->side[0].suspects;
	CHECK("states are of the table", liveness_state(w->side[0].l) != LIVENESS_NONE);
	CHECK("no more in flight than there may be", w->side[0].l->newest - w->side[0].l->known <= LIVENESS_IN_FLIGHT);
	if (rnd(w) % 3 == 0) { /* everybody falls silent */
		w->side[0].every_us = w->side[1].every_us = 0;
		run(w, 600 * MS);
		CHECK("silence is no death", w->side[0].listed == false);
	}
	if (rnd(w) % 2) {
		uint32_t which = 1 + rnd(w) % 3;
		bool sending = w->side[0].every_us || w->side[1].every_us;

		cut(w, which & 1, which & 2);
		run(w, 2 * rtt_us + 400 * MS);
		if (sends && sending && w->side[0].l->answered)
			missed[!w->side[0].every_us] += !w->side[0].suspects;
		if (!sending && !w->side[0].listed)
			CHECK("who sent nothing since knows nothing", !w->side[0].suspects || sends);
	}
	world_free(w);
}

static void test_random(void)
{
	unsigned int alarms = 0, missed[2] = { 0, 0 };

	for (uint32_t seed = 1; seed <= 10000; seed++)
		one_scenario(seed, &alarms, missed);
	if (alarms > 30 || missed[0] || missed[1] > 60)
		printf("%u false alarms, %u and %u cuts not noticed in 10000 scenarios\n", alarms, missed[0], missed[1]);
	CHECK("hardly a false alarm", alarms <= 30);
	CHECK("every cut while the client sends is noticed", !missed[0]);
	/* Its last question was answered, and the next frame of the server never came: PROBE notices that. */
	CHECK("nearly every cut while it only receives", missed[1] <= 60);
}

const struct unit_test unit_tests[] = {
	{ "RTT", test_rtt },
	{ "slow path", test_slow_path_is_asked_seldom },
	{ "one-way traffic", test_one_way_traffic },
	{ "tail of a burst", test_tail_of_a_burst },
	{ "older peer", test_older_peer },
	{ "numbers", test_numbers },
	{ "numbers of others", test_numbers_of_others },
	{ "table", test_table },
	{ "black hole", test_black_hole },
	{ "silent, before it is late", test_silent },
	{ "silence after a cut", test_silence_after_cut },
	{ "told again, and back", test_told_again_and_back },
	{ "caller was late", test_caller_was_late },
	{ "no false alarms", test_no_false_alarms },
	{ "growing queue", test_growing_queue },
	{ "thinking times", test_thinking_times },
	{ "10000 random scenarios", test_random },
	{ 0 },
};
