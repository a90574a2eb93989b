/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/admit.h"

#include "shila/wire/frame.h"
#include "tests/unit/check.h"

#include <string.h>

static const uint8_t HOST[2][16] = { { 10, 1, 0, 1 }, { 0xfd, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 } };

static struct scion_addr addr(uint64_t ia, int host, uint8_t len)
{
	struct scion_addr a = { .ia = { ia }, .host = { .len = len } };

	memcpy(a.host.b, HOST[host], len);
	return a;
}

static enum admit_who who(const struct admit_set *s, uint64_t ia, int host, uint8_t len)
{
	struct scion_pkt p = { .src_ia = { ia }, .src_host = HOST[host], .src_len = len };

	return admit_who(s, &p);
}

static void test_who(void)
{
	struct admit_set s;
	struct scion_addr a;

	CHECK("room", !admit_set_init(&s, 1000));
	for (uint64_t ia = 1; ia <= 400; ia++) {
		a = addr(ia, ia & 1, ia & 1 ? 16 : 4);
		admit_set_add(&s, &a);
		admit_set_add(&s, &a);
	}
	for (uint64_t ia = 201; ia <= 600; ia++) {
		a = addr(ia, 0, 0);
		admit_set_add(&s, &a);
	}
	CHECK("a host that is named, IPv4", who(&s, 2, 0, 4) == ADMIT_PEER);
	CHECK("a host that is named, IPv6", who(&s, 3, 1, 16) == ADMIT_PEER);
	CHECK("another host of its AS", who(&s, 2, 1, 4) == ADMIT_STRANGER);
	CHECK("the first bytes of its address", who(&s, 3, 1, 4) == ADMIT_STRANGER);
	CHECK("both the host and its AS", who(&s, 202, 0, 4) == ADMIT_PEER);
	CHECK("another host of an AS that is named", who(&s, 202, 1, 16) == ADMIT_AS);
	CHECK("an AS that is named alone", who(&s, 600, 0, 4) == ADMIT_AS);
	CHECK("an AS that is not", who(&s, 601, 0, 4) == ADMIT_STRANGER);
	admit_set_fini(&s);
}

static struct admit_set set;
static struct admit a;

static void begin(uint32_t peers, uint32_t as, uint32_t strangers)
{
	struct admit_rates rates = { { peers, as, strangers }, 10 };
	struct scion_addr peer = addr(1, 0, 4), any = addr(2, 0, 0);

	CHECK("set-up", !admit_set_init(&set, 2) && !admit_init(&a, &set, &rates));
	admit_set_add(&set, &peer);
	admit_set_add(&set, &any);
}

static void end(void)
{
	admit_fini(&a);
	admit_set_fini(&set);
}

static uint32_t name;

/* One frame of a host in that AS; an OPEN with that name. */
static enum verdict frame(uint64_t ia, uint8_t type, uint32_t id, uint64_t now_ms)
{
	struct scion_pkt p = { .src_ia = { ia }, .src_host = HOST[0], .src_len = 4 };
	uint8_t f[76] = { (uint8_t)(0x10 | type) };

	memcpy(f + FRAME_HDR_LEN, &id, 4);
	return admit_frame(&a, &p, f, sizeof(f), now_ms);
}

/* How many of @n pass, each with a name of its own. */
static unsigned int passes(uint64_t ia, uint8_t type, uint64_t now_ms, unsigned int n)
{
	unsigned int passed = 0;

	while (n--)
		passed += frame(ia, type, ++name, now_ms) == VERDICT_PASS;
	return passed;
}

static void test_rates(void)
{
	begin(1000, 100, 0);
	CHECK("a second's worth at once", passes(1, FRAME_ACCEPT, 5000, 5000) == 1000);
	CHECK("OPENs have their own share, and are in a flood then",
	      passes(1, FRAME_OPEN, 5000, 5000) == 1000 + 125);
	CHECK("others too", passes(2, FRAME_OPEN, 5000, 500) == 100 + 12 && passes(2, FRAME_HELLO, 5000, 500) == 100);
	CHECK("nothing for strangers", !passes(3, FRAME_OPEN, 5000, 10) && !passes(3, FRAME_PROBE, 5000, 10));
	CHECK("the reason", frame(1, FRAME_OPEN, ++name, 5000) == VERDICT_LIMIT_FRAMES_PEERS &&
			    frame(2, FRAME_OPEN, ++name, 5000) == VERDICT_LIMIT_FRAMES_AS &&
			    frame(3, FRAME_OPEN, ++name, 5000) == VERDICT_LIMIT_FRAMES_STRANGERS);
	CHECK("after 10 ms", passes(1, FRAME_ACCEPT, 5010, 5000) == 10);
	CHECK("in a flood an eighth of it", passes(1, FRAME_OPEN, 5400, 5000) == 50 && passes(1, FRAME_OPEN, 6200, 5000) == 100);
	CHECK("until it is over", passes(1, FRAME_OPEN, 7201, 900) == 900);
	CHECK("a clock that stands", !passes(1, FRAME_ACCEPT, 5010, 5000));
	CHECK("a slow rate adds up", passes(2, FRAME_HELLO, 5005, 1) == 0 && passes(2, FRAME_HELLO, 5010, 5) == 1);
	CHECK("never more than a second's worth", passes(1, FRAME_ACCEPT, 500000, 5000) == 1000);
	for (int i = 0; i < 10; i++)
		CHECK("SCMP", admit_scmp(&a, 1) == VERDICT_PASS);
	CHECK("too many SCMP", admit_scmp(&a, 1) == VERDICT_LIMIT_SCMP);
	CHECK("strangers had no flow", !admit_unknown(&a, ADMIT_STRANGER, 1) && admit_unknown(&a, ADMIT_PEER, 1));
	end();
}

static void test_repeated(void)
{
	uint32_t mine = 0x12345678;
	unsigned int lost = 0, dropped = 0;
	bool again[100];

	begin(800, 800, 800);
	passes(1, FRAME_OPEN, 1000, 1000);
	CHECK("in a flood the first is dropped", frame(1, FRAME_OPEN, mine, 1001) != VERDICT_PASS);
	CHECK("another host may have that name", frame(2, FRAME_OPEN, mine, 1001) == VERDICT_PASS);
	passes(1, FRAME_OPEN, 1002, 5000);
	CHECK("the repeated one passes", frame(1, FRAME_OPEN, mine, 1002) == VERDICT_PASS);
	for (uint32_t i = 0; i < 100; i++) {
		passes(1, FRAME_OPEN, 2000 + i * 10, 30);
		again[i] = frame(1, FRAME_OPEN, 0x50000000 + i, 2000 + i * 10) != VERDICT_PASS;
		dropped += again[i];
	}
	for (uint32_t i = 0; i < 100; i++)
		lost += again[i] && frame(1, FRAME_OPEN, 0x50000000 + i, 3000) != VERDICT_PASS;
	CHECK("nearly all, in 3000 others", dropped > 50 && lost < dropped / 6);
	passes(3, FRAME_OPEN, 4000, 1000);
	CHECK("strangers may repeat themselves", frame(3, FRAME_OPEN, mine, 4000) != VERDICT_PASS &&
						 frame(3, FRAME_OPEN, mine, 4000) != VERDICT_PASS);
	end();
}

const struct unit_test unit_tests[] = {
	{ "who", test_who },
	{ "rates", test_rates },
	{ "repeated OPENs", test_repeated },
	{ 0 },
};
