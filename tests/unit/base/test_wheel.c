/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/wheel.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#define TIMERS 300u

/* The model: when each expires, 0: not set. */
static struct wheel_timer timers[TIMERS];
static uint64_t due[TIMERS];
static struct wheel w;
static uint64_t state = 1;

static uint64_t rnd(uint64_t below)
{
	state = state * 6364136223846793005ull + 1442695040888963407ull;
	return below ? (state >> 20) * 0x9E3779B97F4A7C15ull % below : 0;
}

static uint64_t first_due(void)
{
	uint64_t first = UINT64_MAX;

	for (uint32_t i = 0; i < TIMERS; i++)
		if (due[i] && due[i] < first)
			first = due[i];
	return first;
}

static size_t num_due(void)
{
	size_t n = 0;

	for (uint32_t i = 0; i < TIMERS; i++)
		n += due[i] != 0;
	return n;
}

/* From 1 tick to ages, also in the past, and many at one time. */
static uint64_t some_time(uint64_t now)
{
	uint64_t at = now + rnd(1ull << rnd(50));

	if (!rnd(8))
		at = now / 2;
	if (!rnd(8))
		at = (now | 0xfff) + 1;
	return at ? at : 1;
}

/* Up to @now, with at most @work timers touched a call. */
static bool expire_all(uint64_t now, unsigned int work)
{
	unsigned int rounds = 0;
	uint64_t last = 0;

	for (;;) {
		unsigned int left = work;
		struct wheel_timer *t = wheel_expire(&w, now, &left);
		size_t i = t ? (size_t)(t - timers) : 0;

		if (left > work)
			return false;
		if (t) {
			if (!due[i] || due[i] > now || (last && due[i] < last && due[i] >= w.now) || wheel_timer_is_set(t))
				return false;
			last = due[i];
			due[i] = 0;
		} else if (wheel_wake_at(&w) > now) {
			break;
		} else if (left || ++rounds > TIMERS * WHEEL_LEVELS) {
			return false; /* it stopped early, or goes on without end */
		}
	}
	return first_due() > now && wheel_wake_at(&w) > now && wheel_wake_at(&w) <= first_due() && w.num == num_due();
}

static bool one_step(uint64_t *now)
{
	uint32_t i = (uint32_t)rnd(TIMERS);

	switch (rnd(10)) {
	case 0:
		wheel_stop(&w, &timers[i]);
		due[i] = 0;
		break;
	case 1:
		*now += rnd(1ull << rnd(40));
		return expire_all(*now, 1 + (unsigned int)rnd(20));
	case 2:
		*now = wheel_wake_at(&w) == UINT64_MAX ? *now : wheel_wake_at(&w);
		return expire_all(*now, 1 + (unsigned int)rnd(3));
	case 3: /* a little work of much: the rest has to wait, and things go on meanwhile */
		*now += rnd(1ull << rnd(30));
		for (unsigned int left = (unsigned int)rnd(5); left;) {
			struct wheel_timer *t = wheel_expire(&w, *now, &left);

			if (!t)
				break;
			if (!due[t - timers] || due[t - timers] > *now)
				return false;
			due[t - timers] = 0;
		}
		break;
	default:
		due[i] = some_time(*now);
		wheel_set(&w, &timers[i], due[i]);
		break;
	}
	for (i = 0; i < TIMERS; i++)
		if (wheel_timer_is_set(&timers[i]) != (due[i] != 0))
			return false;
	return w.num == num_due() && wheel_wake_at(&w) <= (first_due() > w.now ? first_due() : w.now);
}

static void test_model(void)
{
	static const uint64_t starts[] = { 0, 1, 63, 4095, 0xffffffff, 1ull << 40, UINT64_MAX / 2, UINT64_MAX - (1ull << 57) };

	for (size_t s = 0; s < sizeof(starts) / sizeof(starts[0]); s++) {
		uint64_t now = starts[s];
		bool fine = true;

		memset(timers, 0, sizeof(timers));
		memset(due, 0, sizeof(due));
		wheel_init(&w, now);
		CHECK("nothing to wake up for", wheel_wake_at(&w) == UINT64_MAX);
		for (int i = 0; i < 20000 && fine; i++)
			fine = one_step(&now);
		CHECK("as the model says, after each of 20000 steps", fine && expire_all(now, 7));
		CHECK("all in the end", expire_all(UINT64_MAX - 1, 50) && !w.num && wheel_wake_at(&w) == UINT64_MAX);
	}
}

static void test_order(void)
{
	unsigned int work = 10000;
	uint64_t last = 0;
	bool fine = true;

	memset(timers, 0, sizeof(timers));
	wheel_init(&w, 1000);
	for (uint32_t i = 0; i < TIMERS; i++)
		wheel_set(&w, &timers[i], 1000 + rnd(100000));
	for (uint32_t i = 0; i < TIMERS; i++) {
		struct wheel_timer *t = wheel_expire(&w, 200000, &work);

		fine = fine && t && t->due >= last;
		last = t ? t->due : 0;
	}
	CHECK("by time, though the wheel comes late", fine && !w.num);
	CHECK("each was moved down a few times at most", work >= 10000 - TIMERS * 4);
}

/* A time-out that every packet puts off. */
static void test_put_off(void)
{
	struct wheel_timer t = { 0 };
	struct wheel_timer **at;
	unsigned int woken = 0;

	wheel_init(&w, 0);
	wheel_set(&w, &t, 1000);
	at = t.at;
	for (uint64_t now = 0; now < 1000000; now++) {
		unsigned int work = 100;

		wheel_set(&w, &t, now + 1000);
		if (wheel_wake_at(&w) > now)
			continue;
		woken++;
		CHECK("not yet", !wheel_expire(&w, now, &work) && work > 98);
	}
	CHECK("it stays where it is meanwhile", at && t.at);
	CHECK("a few looks in the time of a time-out", woken <= 3 * 1000);
	wheel_set(&w, &t, 5);
	CHECK("earlier is at once", wheel_wake_at(&w) <= 1000000 && wheel_expire(&w, 1000000, &(unsigned int){ 100 }) == &t);
}

static void test_far(void)
{
	struct wheel_timer t = { 0 };
	unsigned int woken = 0;
	uint64_t now = 7;

	wheel_init(&w, now);
	wheel_set(&w, &t, 7 + 30ull * 86400 * 1000);
	for (;;) {
		unsigned int work = 10;

		now = wheel_wake_at(&w);
		woken++;
		if (wheel_expire(&w, now, &work))
			break;
	}
	CHECK("a month in milliseconds: when it is due", now == 7 + 30ull * 86400 * 1000);
	CHECK("with one look a level", woken <= WHEEL_LEVELS);
	wheel_set(&w, &t, UINT64_MAX);
	CHECK("the end of time", wheel_wake_at(&w) > now && wheel_wake_at(&w) < UINT64_MAX);
	wheel_stop(&w, &t);
	wheel_stop(&w, &t);
	CHECK("nothing left", !w.num && !w.levels && wheel_wake_at(&w) == UINT64_MAX);
}

const struct unit_test unit_tests[] = {
	{ "random operations against a model", test_model },
	{ "expiry is in the order of time", test_order },
	{ "putting off moves nothing", test_put_off },
	{ "times far away", test_far },
	{ 0 },
};
