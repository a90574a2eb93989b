/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/core/path_net.h"

#include "tests/unit/check.h"

#include <stdio.h>

/* ---- a path that dies ---- */

/* Return: how long its flows stayed, in us. */
static uint64_t left_after(uint32_t seed, unsigned int paths, unsigned int flows, unsigned int dying, uint32_t rtt_us, int which,
			   bool stops)
{
	struct net *n = net_new(seed, paths, flows, rtt_us);
	uint64_t began_us, took_us;
	unsigned int left = 0;

	n->stops = stops;
	net_run(n, 1500 * MS + seed * 777);
	CHECK("nothing moves before", !n->moves);
	began_us = n->now_us;
	for (unsigned int i = 0; i < dying; i++)
		net_cut(n, i, which & 1, which & 2);
	net_run(n, 1000 * MS);
	took_us = n->moved_us - began_us;
	for (unsigned int f = 0; f < n->flows; f++)
		left += n->on[f] < dying;
	CHECK("all flows left", n->moves && !left);
	CHECK("none to another dead path", !n->wrong);
	CHECK("no other path died", n->deaths == dying);
	net_free(n);
	return took_us;
}

static void test_black_hole(void)
{
	static const struct {
		const char *why;
		unsigned int paths, flows, dying;
		uint32_t rtt_us, most_us, proven_us; /* proven_us: if the other side goes on sending, on a path whose other direction is dead */
	} rows[] = {
		{ "one flow, RTT 1 ms", 3, 1, 1, 1000, 55000, 115000 },
		{ "one flow, RTT 20 ms", 3, 1, 1, 20000, 70000, 130000 },
		{ "one flow, RTT 100 ms", 2, 1, 1, 100000, 210000, 245000 },
		{ "one of three, RTT 20 ms", 3, 3, 1, 20000, 70000, 130000 },
		{ "two of three, RTT 20 ms", 3, 3, 2, 20000, 70000, 130000 },
		{ "two of three, RTT 100 ms", 3, 3, 2, 100000, 210000, 245000 },
	};

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		uint64_t worst_us = 0, proven_us = 0;

		for (uint32_t seed = 1; seed <= 12; seed++) {
			int which = 1 + (int)seed % 3;
			uint64_t us = left_after(seed, rows[r].paths, rows[r].flows, rows[r].dying, rows[r].rtt_us, which,
						 seed % 2);

			if (which == 1 && seed % 2 == 0)
				proven_us = us > proven_us ? us : proven_us;
			else
				worst_us = us > worst_us ? us : worst_us;
		}
		CHECK("one direction", proven_us <= rows[r].proven_us);
		if (worst_us > rows[r].most_us)
			printf("%s: left after %llu us at most\n", rows[r].why, (unsigned long long)worst_us);
		CHECK(rows[r].why, worst_us <= rows[r].most_us);
	}
}

/* Nothing comes back from the moment of the cut on: no flow waits for a round trip over another path. */
static void test_far(void)
{
	uint64_t worst_us = 0;

	for (uint32_t seed = 1; seed <= 40; seed++) {
		uint64_t us = left_after(seed, 2 + seed % 2, 1, 1, 100000, 2 + (int)seed % 2, seed % 4 < 2);

		worst_us = us > worst_us ? us : worst_us;
	}
	if (worst_us > 80 * MS)
		printf("RTT 100 ms: left after %llu us at most\n", (unsigned long long)worst_us);
	CHECK("sooner than an answer would come", worst_us <= 80 * MS);
}

/* One flow, which could go either to a path that is as dead or to one that is well. */
static void test_dead_neighbour(void)
{
	for (uint32_t seed = 1; seed <= 40; seed++) {
		struct net *n = net_new(seed, 3, 1, seed % 2 ? 20000 : 100000);

		net_run(n, 1000 * MS + seed * 3333);
		net_cut(n, 0, true, true);
		net_cut(n, 1, true, true);
		net_run(n, 300 * MS);
		CHECK("it goes where an answer came from", n->moves == 1 && n->on[0] == 2 && !n->wrong);
		net_free(n);
	}
}

/* ---- a path that does not ---- */

struct trouble {
	const char *why;
	uint32_t jitter_us, loss_1000, burst_every, burst_frames, burst_loss_1000, every_us;
	bool in_order;
	unsigned int most; /* moves in a minute */
};

static void test_no_false_alarms(void)
{
	static const struct trouble rows[] = {
		{ .why = "5 % loss", .loss_1000 = 50, .every_us = 1000, .in_order = true },
		{ .why = "5 % loss, seldom a frame", .loss_1000 = 50, .every_us = 30000, .in_order = true, .most = 1 },
		{ .why = "bursts that lose 30 %", .burst_every = 200, .burst_frames = 20, .burst_loss_1000 = 300, .every_us = 1000,
		  .in_order = true },
		{ .why = "30 % of packets in bursts that lose all", .burst_every = 20, .burst_frames = 9, .burst_loss_1000 = 1000,
		  .every_us = 1000, .in_order = true, .most = 4 },
		{ .why = "30 % loss", .loss_1000 = 300, .every_us = 1000, .in_order = true, .most = 3 },
		{ .why = "20 ms jitter", .jitter_us = 20 * MS, .every_us = 1000, .in_order = true },
		{ .why = "20 ms jitter and reordering", .jitter_us = 20 * MS, .every_us = 1000 },
		{ .why = "all of it", .jitter_us = 20 * MS, .loss_1000 = 50, .every_us = 1000 },
	};

	for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
		unsigned int moves = 0, trials = 0;

		for (uint32_t seed = 1; seed <= 12; seed++) {
			struct net *n = net_new(seed, 3, 1, seed <= 6 ? 20000 : 100000);

			for (int i = 0; i < 2; i++) {
				struct direction *d = &n->w[0]->way[i];

				d->jitter_us = rows[r].jitter_us;
				d->loss_1000 = rows[r].loss_1000;
				d->burst_every = rows[r].burst_every;
				d->burst_frames = rows[r].burst_frames;
				d->burst_loss_1000 = rows[r].burst_loss_1000;
				d->in_order = rows[r].in_order;
			}
			n->var_us[0] = rows[r].jitter_us / 4;
			n->up_us = n->back_us = rows[r].every_us;
			n->comes_back = true;
			net_run(n, 10000 * MS);
			moves += n->moves;
			trials += n->trials;
			net_free(n);
			if (seed % 6)
				continue;
			if (moves > rows[r].most)
				printf("%s: %u trials, %u moves in a minute\n", rows[r].why, trials, moves);
			CHECK(rows[r].why, moves <= rows[r].most);
			moves = trials = 0;
		}
	}
}

/* A queue fills within some ms, and drops what is beyond it: PROBEs do not know of it yet. */
static void test_growing_queue(void)
{
	for (uint32_t seed = 1; seed <= 10; seed++) {
		struct net *n = net_new(seed, 3, 1, 2000);
		struct direction *d = &n->w[0]->way[0];

		d->in_order = true;
		n->up_us = 500;
		net_run(n, 100 * MS + seed * 1000);
		for (int i = 0; i < 100; i++) {
			d->delay_us += 200 + 30 * seed; /* 23 to 50 ms within 25, twice to three times what the link carries */
			net_run(n, 250);
		}
		d->loss_1000 = 500;
		net_run(n, 200 * MS);
		d->loss_1000 = 20;
		net_run(n, 500 * MS);
		CHECK("no move", !n->moves);
		net_free(n);
	}
}

static void test_thinking_times(void)
{
	struct net *n = net_new(21, 3, 1, 20000);

	n->up_us = n->back_us = 0;
	for (int i = 0; i < 300; i++) {
		send_frame(n->w[0], 0);
		net_run(n, 50 * MS + rnd(n->w[0]) % 400000);
	}
	CHECK("no trial", !n->trials && !n->moves);
	net_cut(n, 0, true, true);
	net_run(n, 300 * MS);
	CHECK("nobody asks while nothing is sent", !n->moves);
	send_frame(n->w[0], 0);
	net_run(n, 300 * MS);
	CHECK("the first key finds out", n->moves == 1);
	net_free(n);
}

/* All paths at once are silent: it is the peer, or we are. */
static void test_peer_is_gone(void)
{
	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct net *n = net_new(seed, 3, seed <= 20 ? 3 : 1 + seed % 3, seed <= 20 ? 20000 : 100000);

		n->stops = seed % 2;
		net_run(n, 1000 * MS + seed * 1111);
		for (unsigned int i = 0; i < 3; i++)
			net_cut(n, i, true, true);
		net_run(n, 3000 * MS);
		CHECK("nobody moves", !n->moves && !n->deaths);
		for (unsigned int i = 0; i < 3; i++)
			net_repair(n, i);
		n->stops = false;
		net_run(n, 1000 * MS);
		CHECK("nor afterwards", !n->moves && !n->deaths);
		net_free(n);
	}
}

static void test_stands_still(void)
{
	unsigned int moves = 0;

	for (uint32_t seed = 1; seed <= 60; seed++) {
		struct net *n = net_new(seed, 3, 1 + seed % 3, seed > 40 ? 100000 : seed % 2 ? 1000 : 20000);

		net_run(n, 1000 * MS);
		for (int i = 0; i < 20; i++) {
			stand_still(n, (int)(rnd(n->w[0]) % 2), 5 * MS + rnd(n->w[0]) % (i % 4 ? 60000 : 400000));
			net_run(n, 20 * MS + rnd(n->w[0]) % 500000);
		}
		moves += n->moves;
		net_free(n);
	}
	if (moves)
		printf("%u moves of 1200 times that a machine stood still\n", moves);
	CHECK("no move", !moves);
}

/* ---- a path that comes and goes ---- */

static void test_flapping(void)
{
	struct net *n = net_new(5, 3, 3, 20000);
	unsigned int moves;

	n->comes_back = true;
	net_run(n, 1000 * MS);
	for (int i = 0; i < 30; i++) {
		net_cut(n, 0, true, true);
		net_run(n, 1000 * MS);
		net_repair(n, 0);
		net_run(n, 1000 * MS);
	}
	if (n->moves > 4)
		printf("%u moves in a minute\n", n->moves);
	CHECK("its flow does not go to and fro", n->moves >= 1 && n->moves <= 4);
	CHECK("others stay", n->on[1] == 1 && n->on[2] == 2);
	moves = n->moves;
	net_run(n, 3000 * MS);
	CHECK("it is used again when it is stable", n->on[0] == 0 && n->moves == moves + 1);
	net_free(n);
}

static void test_repair(void)
{
	struct net *n = net_new(6, 3, 3, 20000);

	n->comes_back = true;
	net_run(n, 1000 * MS);
	net_cut(n, 0, true, true);
	net_run(n, 3000 * MS);
	CHECK("it is left", n->on[0] != 0);
	net_repair(n, 0);
	net_run(n, 1000 * MS);
	CHECK("and back within a second", n->on[0] == 0 && n->moves == 2);
	net_free(n);
}

/* ---- random scenarios ---- */

struct result {
	unsigned int alarms, stayed, wrong, cuts;
};

static void one_scenario(uint32_t seed, bool far, struct result *r)
{
	struct net *n = net_new(seed, 2 + seed % 3, 1 + seed / 3 % FLOWS, 0);
	struct world *w = n->w[0];
	unsigned int dying = 0, what = rnd(w) % 4, before, died_now = 0;
	uint32_t slowest_us = 0;

	for (unsigned int i = 0; i < n->num; i++) {
		uint32_t delay_us = far ? 20000 + rnd(w) % 80000 : 200 + rnd(w) % 50000;

		for (int k = 0; k < 2; k++) {
			struct direction *d = &n->w[i]->way[k];

			d->delay_us = delay_us + rnd(w) % (delay_us / 4);
			d->jitter_us = rnd(w) % 3 ? 0 : rnd(w) % 10000;
			d->in_order = rnd(w) % 2;
			d->loss_1000 = rnd(w) % 3 ? 0 : rnd(w) % 20;
			n->rtt_us[i] += d->delay_us + d->jitter_us / 2;
			n->var_us[i] += d->jitter_us / 4;
		}
		n->w[i]->step_us = 1000;
		slowest_us = n->rtt_us[i] > slowest_us ? n->rtt_us[i] : slowest_us;
	}
	n->up_us = 1000 + rnd(w) % 5000;
	n->back_us = rnd(w) % 4 ? 1000 + rnd(w) % 5000 : 0;
	n->stops = rnd(w) % 2;
	net_run(n, (far ? 1500 * MS : 300 * MS) + rnd(w) % 50000);
	before = n->deaths;
	if (what == 1) { /* the peer is gone */
		for (unsigned int i = 0; i < n->num; i++)
			net_cut(n, i, true, true);
	} else if (what == 2) { /* somebody stands still */
		stand_still(n, (int)(rnd(w) % 2), rnd(w) % 200000);
	} else if (what == 3) {
		uint32_t which = 1 + rnd(w) % 3;

		dying = 1 + rnd(w) % (n->num - 1);
		for (unsigned int i = 0; i < dying; i++) {
			died_now += n->down[i];
			net_cut(n, i, which & 1, which & 2);
		}
	}
	net_run(n, what == 3 ? 4 * slowest_us + 300 * MS : 300 * MS);
	r->alarms += before;
	if (what != 3)
		r->alarms += n->deaths - before;
	for (unsigned int i = dying; i < n->num && what == 3; i++)
		r->alarms += n->down[i];
	if (what == 3 && !before) {
		r->cuts++;
		for (unsigned int f = 0; f < n->flows; f++)
			r->stayed += n->on[f] < dying;
		r->wrong += n->wrong;
	}
	net_free(n);
}

/* No more than so many false alarms, flows that stayed on a dead path, flows that went to one. */
static void check_scenarios(uint32_t count, bool far, unsigned int alarms, unsigned int stayed, unsigned int wrong)
{
	struct result r = { 0 };

	for (uint32_t seed = 1; seed <= count; seed++)
		one_scenario(seed, far, &r);
	if (r.alarms > alarms || r.stayed > stayed || r.wrong > wrong)
		printf("%u scenarios: %u false alarms; in %u with cuts %u flows stayed, %u went to a dead path\n", count, r.alarms,
		       r.cuts, r.stayed, r.wrong);
	CHECK("hardly a false alarm", r.alarms <= alarms);
	CHECK("flows leave dead paths", r.stayed <= stayed);
	CHECK("for living ones", r.wrong <= wrong);
}

static void test_random(void)
{
	check_scenarios(10000, false, 5, 10, 10);
}

/* Round trips of 40 to 250 ms: flows do not wait for one more. */
static void test_random_far(void)
{
	check_scenarios(2000, true, 1, 2, 2);
}

/* ---- alone ---- */

static void test_alone(void)
{
	struct path_trial t = { 0 }, again;
	struct path_tried *x, *y;
	uint64_t at_us = 0, now = 5000 * MS;
	int paths[PATH_TRIAL_MAX + 1];

	CHECK("begins", path_trial_begin(&t, now));
	for (int i = 0; i < PATH_TRIAL_MAX; i++) {
		x = path_trial_add(&t, &paths[i], 20000, 500, path_trial_late_us(20000, 500), 100);
		CHECK("there is room", x);
		if (x)
			path_trial_asked(x, 100 + (uint32_t)i, now);
	}
	CHECK("16 paths at most", !path_trial_add(&t, &paths[PATH_TRIAL_MAX], 20000, 500, 30000, 100));
	CHECK("soon again: no", !path_trial_begin(&t, now + 99 * MS));
	x = path_trial_find(&t, &paths[3]);
	CHECK("found", x && x->late_us == 50000 && !path_trial_find(&t, &paths[PATH_TRIAL_MAX]));
	path_trial_suspect(x, 0, 0, now);
	CHECK("it is to be asked again", path_trial_look(&t, x, 0, now + 1 * MS, true, &at_us) == PATH_TRIAL_WAIT && at_us == now + 5 * MS);
	CHECK("now", path_trial_look(&t, x, 0, now + 5 * MS, true, &at_us) == PATH_TRIAL_ASK);
	path_trial_asked(x, 200, now + 5 * MS);
	CHECK("not late yet", path_trial_look(&t, x, 0, now + 49 * MS, true, &at_us) == PATH_TRIAL_WAIT && at_us == now + 50 * MS);
	CHECK("nobody answers: once more", path_trial_look(&t, x, 0, now + 50 * MS, true, &at_us) == PATH_TRIAL_ASK_ALL);
	again = t;
	path_trial_round(&again);
	y = path_trial_find(&again, x->path);
	path_trial_asked(y, 300, now + 50 * MS);
	CHECK("the same again", path_trial_look(&again, y, 0, now + 55 * MS, true, &at_us) == PATH_TRIAL_ASK);
	path_trial_asked(y, 301, now + 55 * MS);
	CHECK("nobody answers: no proof", path_trial_look(&again, y, 0, now + 500 * MS, true, &at_us) == PATH_TRIAL_WAIT);
	CHECK("until it is over", at_us == now + PATH_TRIAL_US && path_trial_look(&again, y, 0, at_us, true, &at_us) == PATH_TRIAL_OVER);
	CHECK("an answer to its first question", path_trial_answered(&again, 200, now + 5 * MS, now + 90 * MS) == y);
	CHECK("proves the contrary", path_trial_look(&again, y, 0, now + 90 * MS, true, &at_us) == PATH_TRIAL_OVER);
	CHECK("an answer of somewhere else", !path_trial_answered(&t, 77, now, now + 20 * MS));
	CHECK("one with another time", !path_trial_answered(&t, 105, now + 1, now + 20 * MS));
	CHECK("another path answers", path_trial_answered(&t, 105, now, now + 35 * MS));
	CHECK("once", !path_trial_answered(&t, 105, now, now + 35 * MS));
	CHECK("15 ms later than usual: so we are waited for", path_trial_look(&t, x, 0, now + 49 * MS, true, &at_us) == PATH_TRIAL_WAIT &&
		      at_us == now + 53 * MS);
	CHECK("flows leave then", path_trial_look(&t, x, 0, now + 53 * MS, true, &at_us) == PATH_TRIAL_LEAVE &&
		      path_trial_leads(&t, x, &paths[5]) && !path_trial_leads(&t, x, &paths[4]) && !path_trial_leads(&t, x, &paths[3]));
	CHECK("not if answers may lie unread", path_trial_look(&t, x, 0, now + 53 * MS, false, &at_us) == PATH_TRIAL_WAIT &&
		      at_us == now + 57 * MS);
	x->left = true;
	CHECK("once", path_trial_look(&t, x, 0, now + 53 * MS, true, &at_us) == PATH_TRIAL_WAIT && at_us == now + 60 * MS);
	CHECK("then it is dead", path_trial_look(&t, x, 0, now + 60 * MS, true, &at_us) == PATH_TRIAL_DEAD);
	CHECK("unless answers may lie unread", path_trial_look(&t, x, 0, now + 60 * MS, false, &at_us) == PATH_TRIAL_WAIT &&
		      at_us == now + 64 * MS);
	CHECK("or a frame was answered since", path_trial_look(&t, x, now + 1, now + 60 * MS, true, &at_us) == PATH_TRIAL_OVER);
	CHECK("it is no place to go to", path_trial_doubtful(&t, &paths[3], now + 50 * MS));
	CHECK("nor who is as silent", path_trial_doubtful(&t, &paths[4], now + 50 * MS));
	CHECK("who answered is", !path_trial_doubtful(&t, &paths[5], now + 50 * MS));
	CHECK("nobody knows about others", !path_trial_doubtful(&t, &paths[PATH_TRIAL_MAX], now + 50 * MS));
	CHECK("after a while that is old", !path_trial_doubtful(&t, &paths[3], now + 1001 * MS));
	CHECK("its second PROBE is answered", path_trial_answered(&t, 200, now + 5 * MS, now + 51 * MS));
	CHECK("it lives", path_trial_look(&t, x, 0, now + 51 * MS, true, &at_us) == PATH_TRIAL_OVER);
	x = path_trial_find(&t, &paths[6]);
	path_trial_suspect(x, now - 10 * MS, 40 * MS, now);
	path_trial_asked(x, 201, now + 5 * MS);
	CHECK("it was silent for 27 ms before", path_trial_look(&t, x, now - 10 * MS, now + 29 * MS, true, &at_us) == PATH_TRIAL_WAIT &&
		      at_us == now + 33 * MS);
	CHECK("so long flows stay, and while others are as silent", path_trial_look(&t, x, now - 10 * MS, now + 33 * MS, true, &at_us) ==
		      PATH_TRIAL_WAIT && at_us == now + 37 * MS);
	path_trial_frames(path_trial_find(&t, &paths[8]), now + 10 * MS, now + 30 * MS);
	CHECK("who was heard not long after may be as silent now", path_trial_look(&t, x, now - 10 * MS, now + 37 * MS, true, &at_us) ==
		      PATH_TRIAL_WAIT);
	path_trial_frames(path_trial_find(&t, &paths[8]), now + 11 * MS, now + 30 * MS);
	x->heard_us = now;
	CHECK("it was, too, though nothing was answered", path_trial_look(&t, x, now - 10 * MS, now + 37 * MS, true, &at_us) ==
		      PATH_TRIAL_WAIT && at_us == now + 40 * MS);
	x->heard_us = now - 3 * MS;
	CHECK("now another was heard", path_trial_look(&t, x, now - 10 * MS, now + 37 * MS, false, &at_us) == PATH_TRIAL_WAIT &&
		      path_trial_look(&t, x, now - 10 * MS, now + 37 * MS, true, &at_us) == PATH_TRIAL_LEAVE &&
		      path_trial_leads(&t, x, &paths[8]));
	x->left = true;
	CHECK("a frame was answered not long before", path_trial_look(&t, x, now - 10 * MS, now + 60 * MS, true, &at_us) ==
		      PATH_TRIAL_WAIT && at_us == now + 98 * MS);
	path_trial_over(x, now + 61 * MS);
	CHECK("a frame is as good as a PROBE", x->answer_us && !x->suspect_us && !path_trial_doubtful(&t, x->path, now + 62 * MS));
	x = path_trial_find(&t, &paths[7]);
	path_trial_suspect(x, 0, 0, now);
	path_trial_asked(x, 0, now + 5 * MS);
	CHECK("who could not ask knows nothing", path_trial_look(&t, x, 0, now + 60 * MS, true, &at_us) == PATH_TRIAL_OVER);
	x = path_trial_find(&t, &paths[5]);
	x->path = NULL;
	CHECK("a path that is gone", !path_trial_find(&t, &paths[5]) && path_trial_look(&t, x, 0, now, true, &at_us) == PATH_TRIAL_OVER);
	CHECK("again", path_trial_begin(&t, now + 100 * MS) && !t.num);
	CHECK("an unknown path is never late", path_trial_late_us(0, 0) == PATH_TRIAL_US);
}

static void test_damp(void)
{
	struct path_damp d = { 0 };
	uint64_t now = 1000 * MS;

	CHECK("at first it has not to wait", path_damp_good(&d, now, now));
	path_damp_up(&d, now);
	path_damp_down(&d, now + 5000 * MS);
	CHECK("nor when it was up for some time", path_damp_good(&d, now, now));
	for (uint32_t hold_ms = 1000; hold_ms < 60000; hold_ms *= 2) {
		uint32_t most_ms = PATH_DAMP_MOST_US / 1000;

		path_damp_up(&d, now);
		path_damp_down(&d, now + 500 * MS);
		CHECK("longer and longer", d.hold_us == (hold_ms < most_ms ? hold_ms : most_ms) * 1000);
		CHECK("not yet", !path_damp_good(&d, now, now + d.hold_us - 1) && path_damp_good(&d, now, now + d.hold_us));
	}
	path_damp_up(&d, now);
	path_damp_down(&d, now + 5000 * MS);
	CHECK("some seconds change nothing", d.hold_us == PATH_DAMP_MOST_US);
	path_damp_up(&d, now);
	path_damp_down(&d, now + 10000 * MS);
	CHECK("more forgive it", !d.hold_us);
	path_damp_down(&d, now + 10100 * MS);
	CHECK("who was not up cannot flap", !d.hold_us);
}

static void test_patience(void)
{
	struct path_damp d = { 0 };
	uint64_t now = 50000 * MS;

	CHECK("none at first", !path_damp_patience_us(&d, now));
	path_damp_alarm(&d, 80 * MS, now);
	CHECK("half as much again", path_damp_patience_us(&d, now) == 120 * MS);
	path_damp_alarm(&d, 60 * MS, now + 1000 * MS);
	CHECK("less changes nothing", path_damp_patience_us(&d, now + 1000 * MS) == 120 * MS);
	CHECK("half of it is forgotten", path_damp_patience_us(&d, now + 11000 * MS) == 60 * MS);
	CHECK("all of it", !path_damp_patience_us(&d, now + 1000000 * MS));
	path_damp_alarm(&d, 5000 * MS, now + 12000 * MS);
	CHECK("there is an end", path_damp_patience_us(&d, now + 12000 * MS) == PATH_DAMP_PATIENCE_MOST_US);
}

const struct unit_test unit_tests[] = {
	{ "a trial alone", test_alone },
	{ "damping alone", test_damp },
	{ "patience alone", test_patience },
	{ "black hole", test_black_hole },
	{ "far away", test_far },
	{ "dead neighbour", test_dead_neighbour },
	{ "no false alarms", test_no_false_alarms },
	{ "growing queue", test_growing_queue },
	{ "thinking times", test_thinking_times },
	{ "peer is gone", test_peer_is_gone },
	{ "stands still", test_stands_still },
	{ "flapping", test_flapping },
	{ "repair", test_repair },
	{ "10000 random scenarios", test_random },
	{ "2000 random scenarios over long round trips", test_random_far },
	{ 0 },
};
