/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_beat.h"

#include "tests/unit/check.h"

#define MS 1000ull

static void test_due(void)
{
	struct path_beat b = { 0 };
	uint64_t now = 1000 * MS, at_us = 0, price = 150 * PATH_BEAT_SHARE;

	CHECK("short round trips are waited for", !path_beat_due(&b, PATH_BEAT_FAR_US - 1, 100 * price, 150, now, &at_us) && at_us == UINT64_MAX);
	CHECK("too little was carried", !path_beat_due(&b, 100000, price / 2 - 1, 150, now, &at_us) && at_us == now + PATH_BEAT_LOOK_US);
	CHECK("that is not looked at all the time", !path_beat_due(&b, 100000, 5 * price, 150, at_us - 1, &at_us) &&
		      at_us == now + PATH_BEAT_LOOK_US);
	now = at_us;
	CHECK("soon it is enough", !path_beat_due(&b, 100000, price - 1, 150, now, &at_us) && at_us == now + PATH_BEAT_EVERY_US);
	now = at_us;
	CHECK("now it is enough", path_beat_due(&b, 100000, price, 150, now, &at_us) && at_us == now + PATH_BEAT_EVERY_US);
	CHECK("not sooner", !path_beat_due(&b, 100000, 9 * price, 150, at_us - 1, &at_us) && at_us == now + PATH_BEAT_EVERY_US);
	now = at_us;
	CHECK("it is paid", !path_beat_due(&b, 100000, 2 * price - 1, 150, now, &at_us));
	now = at_us;
	CHECK("longer round trips are measured less often", path_beat_due(&b, 400000, 1000 * price, 150, now, &at_us) && at_us == now + 50 * MS);
	for (unsigned int i = 1; i < PATH_BEAT_SAVED; i++) {
		now = at_us;
		CHECK("what was saved lasts for a while", path_beat_due(&b, 100000, 1000 * price, 150, now, &at_us));
	}
	now = at_us;
	CHECK("not for ever", !path_beat_due(&b, 100000, 1000 * price, 150, now, &at_us));
	now = at_us;
	CHECK("flows that left have carried nothing", !path_beat_due(&b, 100000, 10 * price, 150, now, &at_us));
	now = at_us;
	CHECK("what others carry counts", path_beat_due(&b, 100000, 11 * price, 150, now, &at_us));
}

static void test_share(void)
{
	struct path_beat b = { 0 };
	uint64_t bytes = 0, at_us, end = 61000 * MS, sent = 0;

	for (uint64_t now = 1000 * MS; now < end; now += 1 * MS)
		sent += path_beat_due(&b, 100000, bytes += 1000, 150, now, &at_us) ? 150 : 0;
	CHECK("a share of the bytes", sent * PATH_BEAT_SHARE <= bytes);
	CHECK("not much less", sent * PATH_BEAT_SHARE > bytes / 2);
	for (uint64_t now = end; now < end + 60000 * MS; now += 1 * MS)
		sent += path_beat_due(&b, 100000, bytes += 100000, 150, now, &at_us) ? 150 : 0;
	CHECK("less if much is carried", sent * PATH_BEAT_SHARE < bytes / 20);
}

static void test_fits(void)
{
	CHECK("about as fast", path_beat_fits(110000, 100000));
	CHECK("twice as slow", path_beat_fits(200000, 100000));
	CHECK("slower: that is not much better than silence", !path_beat_fits(202000, 100000));
	CHECK("never measured", !path_beat_fits(0, 100000));
}

static void test_answers(void)
{
	struct path_beat_asked a = { 0 };

	CHECK("nothing was asked", !path_beat_answered(&a, 7, 0, 100000, 50 * MS) && !path_beat_answered(&a, 0, 0, 100000, 50 * MS));
	path_beat_asked(&a, 1, 1000 * MS);
	path_beat_asked(&a, 2, 1040 * MS);
	path_beat_asked(&a, 0, 1080 * MS);
	CHECK("what could not be sent", !path_beat_answered(&a, 0, 1080 * MS, 100000, 1100 * MS) && a.asked_us == 1080 * MS);
	CHECK("another time", !path_beat_answered(&a, 1, 1001 * MS, 100000, 1100 * MS));
	CHECK("it came in time", path_beat_answered(&a, 2, 1040 * MS, 100000, 1130 * MS) && a.answer_us == 1130 * MS);
	CHECK("once", !path_beat_answered(&a, 2, 1040 * MS, 100000, 1130 * MS));
	CHECK("one that was overtaken tells nothing new", path_beat_answered(&a, 1, 1000 * MS, 100000, 1131 * MS) &&
		      a.answer_us == 1130 * MS);
	for (uint32_t i = 0; i < PATH_BEAT_OUT; i++)
		path_beat_asked(&a, 10 + i, 2000 * MS + i);
	CHECK("late: as if it had come in time", path_beat_answered(&a, 10, 2000 * MS, 100000, 2500 * MS) && a.answer_us == 2100 * MS);
	path_beat_asked(&a, 99, 3000 * MS);
	path_beat_asked(&a, 100, 3000 * MS);
	CHECK("too old", !path_beat_answered(&a, 11, 2000 * MS + 1, 100000, 3000 * MS));
	CHECK("the newest", path_beat_answered(&a, 100, 3000 * MS, 100000, 3100 * MS));
}

const struct unit_test unit_tests[] = {
	{ "due", test_due },
	{ "a share of the bytes", test_share },
	{ "which paths", test_fits },
	{ "answers", test_answers },
	{ 0 },
};
