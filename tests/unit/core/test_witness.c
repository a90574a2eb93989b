/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/witness.h"

#include "tests/unit/check.h"

#define LATE 100000u
#define S    1000000ull

static void ask(struct witness *w, uint16_t seq, uint64_t now_us)
{
	CHECK("it is due", witness_due(w, LATE, now_us));
	witness_asked(w, 7, seq, now_us);
}

static void test_nobody_doubts(void)
{
	struct witness w = { 0 };

	CHECK("nothing to ask", !witness_due(&w, LATE, S));
	CHECK("no answer to nothing", !witness_answered(&w, 0, 0, S));
	CHECK("nothing said", witness_says(&w, LATE, S) == WITNESS_NOTHING);
	witness_know(&w);
	ask(&w, 1, S);
	CHECK("once", !witness_due(&w, LATE, 2 * S));
	CHECK("nothing said of a path that nobody doubts", witness_says(&w, LATE, 3 * S) == WITNESS_NOTHING);
}

static void test_peer_silent(void)
{
	struct witness w = { 0 };

	witness_doubt(&w, S);
	ask(&w, 1, S);
	CHECK("another FlowID", !witness_answered(&w, 8, 1, S + 10));
	CHECK("another number", !witness_answered(&w, 7, 2, S + 10));
	CHECK("nothing yet", witness_says(&w, LATE, S + 10) == WITNESS_NOTHING);
	CHECK("the answer", witness_answered(&w, 7, 1, S + 20000) && w.rtt_us == 20000);
	CHECK("the path works", witness_says(&w, LATE, S + 20000) == WITNESS_PATH_WORKS);
	CHECK("the same once more", !witness_answered(&w, 7, 1, S + 20001));
	witness_doubt(&w, S + 30000);
	CHECK("the doubt is the same", w.doubt_us == S);
	witness_trust(&w);
	CHECK("the peer answers", witness_says(&w, LATE, S + 40000) == WITNESS_NOTHING);
	witness_doubt(&w, 2 * S);
	CHECK("an answer of before tells nothing", witness_says(&w, LATE, 2 * S) == WITNESS_NOTHING);
}

static void test_path_dead(void)
{
	struct witness w = { 0 };

	witness_know(&w);
	ask(&w, 1, S);
	CHECK("it speaks", witness_answered(&w, 7, 1, S + 20000));
	witness_know(&w);
	CHECK("which is known from now on", !witness_due(&w, LATE, 2 * S));
	witness_doubt(&w, 3 * S);
	ask(&w, 2, 3 * S);
	CHECK("one lost is not enough", witness_says(&w, LATE, 3 * S + 2 * LATE) == WITNESS_NOTHING);
	CHECK("not at once again", !witness_due(&w, LATE, 3 * S + 2 * LATE));
	ask(&w, 3, 3 * S + WITNESS_AGAIN_US);
	CHECK("the second is not late yet", witness_says(&w, LATE, 3 * S + WITNESS_AGAIN_US + LATE) == WITNESS_NOTHING);
	CHECK("two are", witness_says(&w, LATE, 3 * S + WITNESS_AGAIN_US + LATE + 1) == WITNESS_PATH_DEAD);
	CHECK("too late is not too late to tell", witness_answered(&w, 7, 3, 3 * S + WITNESS_AGAIN_US + 2 * LATE));
	CHECK("that it works", witness_says(&w, LATE, 4 * S) == WITNESS_PATH_WORKS);
}

static void test_mute(void)
{
	struct witness w = { 0 };

	witness_doubt(&w, S);
	ask(&w, 1, S);
	ask(&w, 2, S + WITNESS_AGAIN_US);
	CHECK("it never spoke", witness_says(&w, LATE, 2 * S) == WITNESS_MUTE);
	CHECK("an answer after seconds is none", !witness_answered(&w, 7, 2, S + WITNESS_AGAIN_US + WITNESS_LATEST_US + 1));
}

static void test_rate(void)
{
	struct witness w = { 0 };
	unsigned int n = 0, first_second = 0;

	witness_doubt(&w, S);
	for (uint64_t t = S; t < 61 * S; t += 1000) {
		if (!witness_due(&w, LATE, t))
			continue;
		witness_asked(&w, 7, (uint16_t)n++, t);
		first_second += t < 2 * S;
	}
	CHECK("a few in the first second", first_second >= 3 && first_second <= 4);
	CHECK("and seldom in the rest of the minute", n <= WITNESS_EAGER + 13);
	CHECK("but they go on", n >= WITNESS_EAGER + 10);
}

/* A path that flaps, or frames that are lost, do not make more of them. */
static void test_rate_of_doubts(void)
{
	struct witness w = { 0 };
	unsigned int n = 0;

	for (uint64_t t = S; t < 11 * S; t += 10000) {
		witness_doubt(&w, t);
		if (witness_due(&w, LATE, t)) {
			witness_asked(&w, 7, (uint16_t)n++, t);
			witness_answered(&w, 7, (uint16_t)(n - 1), t + 1000);
		}
		witness_trust(&w);
		witness_know(&w);
	}
	CHECK("not faster for it", n >= 30 && n <= 10 * S / WITNESS_AGAIN_US + 1);
}

const struct unit_test unit_tests[] = {
	{ "nobody doubts", test_nobody_doubts },
	{ "the peer is silent", test_peer_silent },
	{ "the path is dead", test_path_dead },
	{ "a witness that never speaks", test_mute },
	{ "how often it is asked", test_rate },
	{ "how often by doubts that come and go", test_rate_of_doubts },
	{ 0 },
};
