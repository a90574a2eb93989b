/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/wall_clock.h"

#include "tests/unit/check.h"

#include <time.h>

#define HOUR 3600
#define T0   1000000000ll

static struct wall_clock at_start(void)
{
	return (struct wall_clock){
		.offset_s = T0 - 500, .believed_s = T0 - 500, .now_unix_s = T0, .boot_s = 500, .asleep_s = 100,
	};
}

/* One look @later seconds after the start, with a clock that is @wrong. */
static struct wall_clock_event look(struct wall_clock *w, int64_t later, int64_t wrong)
{
	return wall_clock_look_at(w, T0 + later + wrong, 500 + later, 400 + later);
}

static void test_forward(void)
{
	struct wall_clock w = at_start();

	CHECK("time passes, and that is all", !look(&w, 50, 0).jump_s && wall_clock_earliest(&w) == T0 + 50 &&
	      wall_clock_latest(&w) == T0 + 50);
	CHECK("slewed", !look(&w, 60, 5).jump_s);
	CHECK("an hour forward", look(&w, 100, HOUR).jump_s == HOUR);
	CHECK("both times may be right", wall_clock_earliest(&w) == T0 + 100 && wall_clock_latest(&w) == T0 + 100 + HOUR);
	CHECK("told once", !look(&w, 101, HOUR).jump_s);
	CHECK("and back", look(&w, 200, 0).jump_s == -HOUR);
	CHECK("all is as before", wall_clock_earliest(&w) == T0 + 200 && wall_clock_latest(&w) == T0 + 200);
}

static void test_back(void)
{
	struct wall_clock w = at_start();

	CHECK("an hour back", look(&w, 100, -HOUR).jump_s == -HOUR);
	CHECK("both times may be right", wall_clock_earliest(&w) == T0 + 100 - HOUR && wall_clock_latest(&w) == T0 + 100);
}

static void test_believed(void)
{
	struct wall_clock w = at_start();

	look(&w, 100, HOUR);
	look(&w, 100 + WALL_CLOCK_BELIEVE_S - 1, HOUR);
	CHECK("not yet", wall_clock_earliest(&w) == T0 + 100 + WALL_CLOCK_BELIEVE_S - 1);
	CHECK("an hour later it is believed, in silence", !look(&w, 100 + WALL_CLOCK_BELIEVE_S, HOUR).jump_s);
	CHECK("for good", wall_clock_earliest(&w) == wall_clock_latest(&w) && wall_clock_earliest(&w) == w.now_unix_s);
}

static void test_suspended(void)
{
	struct wall_clock w = at_start();
	struct wall_clock_event e = wall_clock_look_at(&w, T0 + 8 * HOUR, 500 + 8 * HOUR, 402);

	CHECK("eight hours asleep are no jump", !e.jump_s && e.slept_s == 8 * HOUR - 2);
	CHECK("and the time is known", wall_clock_earliest(&w) == T0 + 8 * HOUR && wall_clock_latest(&w) == T0 + 8 * HOUR);
	e = wall_clock_look_at(&w, T0 + 8 * HOUR + 1, 501 + 8 * HOUR, 403);
	CHECK("told once", !e.jump_s && !e.slept_s);
}

static void test_real(void)
{
	struct wall_clock w;
	struct wall_clock_event e;

	wall_clock_init(&w);
	e = wall_clock_look(&w);
	CHECK("nothing happens in between", !e.jump_s && !e.slept_s);
	CHECK("it is the time", wall_clock_earliest(&w) >= time(NULL) - 2 && wall_clock_latest(&w) <= time(NULL) + 2);
}

const struct unit_test unit_tests[] = {
	{ "set an hour forward, and back again", test_forward },
	{ "set an hour back", test_back },
	{ "a time that stays is believed", test_believed },
	{ "the machine was suspended", test_suspended },
	{ "the clocks of this machine", test_real },
	{ 0 },
};
