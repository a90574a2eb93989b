/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/replay_pace.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

/* Flows that moved to a path, a link behind it with a rate and a queue, in steps of 100 us. */

#define FLOWS	 200
#define STEP_US	 100u
#define SEG	 1400u
#define TRAIN	 (10 * SEG)
#define MAX_SENT 20000

struct sent {
	uint32_t slot, end, len;
	uint64_t at_us;
	bool arrived;
};

static struct replay r;
static struct replay_pace pace;
static uint8_t packet[TRAIN_MAX_BYTES];
static struct sent sent[MAX_SENT];
static unsigned int num_sent;
static uint64_t now_us, due_us;
static uint64_t link_bytes_per_s, queue_bytes; /* 0: everything arrives */
static double queued;
static bool gone[FLOWS + 1];
static int path_a, path_b;

static void begin(void)
{
	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, 1 << 20, 64u << 20));
	replay_pace_init(&pace, &r);
	num_sent = 0;
	now_us = 1000000;
	due_us = UINT64_MAX;
	link_bytes_per_s = queue_bytes = 0;
	queued = 0;
	memset(gone, 0, sizeof(gone));
}

static void end(void)
{
	replay_fini(&r);
}

static void keep(uint32_t slot, unsigned int trains, uint32_t len)
{
	struct train t = { .pkt = packet, .len = len };

	for (unsigned int i = 1; i <= trains; i++)
		replay_keep(&r, slot, &t, i * len);
}

static bool take(void *ctx, uint32_t slot, const struct replay_train *t)
{
	(void)ctx;
	if (gone[slot])
		return false;
	CU_ASSERT_FATAL(num_sent < MAX_SENT);
	sent[num_sent] = (struct sent){ .slot = slot, .end = t->end, .len = t->len, .at_us = now_us, .arrived = true };
	if (queue_bytes && queued + t->len > (double)queue_bytes)
		sent[num_sent].arrived = false;
	else
		queued += t->len;
	num_sent++;
	return true;
}

static void run(bool oldest_only)
{
	replay_pace_run(&pace, now_us, oldest_only, take, NULL);
	due_us = replay_pace_due_us(&pace, now_us);
}

static void pass(uint64_t us)
{
	for (uint64_t until = now_us + us; now_us < until;) {
		now_us += STEP_US;
		queued -= (double)(link_bytes_per_s * STEP_US) / 1e6;
		queued = queued < 0 ? 0 : queued;
		if (due_us <= now_us)
			run(false);
	}
}

static unsigned int times(uint32_t slot, uint32_t train_end)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < num_sent; i++)
		n += sent[i].slot == slot && sent[i].end == train_end;
	return n;
}

static uint32_t bytes_between(uint64_t from_us, uint64_t until_us)
{
	uint32_t bytes = 0;

	for (unsigned int i = 0; i < num_sent; i++)
		if (sent[i].at_us >= from_us && sent[i].at_us < until_us)
			bytes += sent[i].len;
	return bytes;
}

static void test_alone(void)
{
	begin();
	keep(1, 70, TRAIN);
	CHECK("there is something", replay_pace_begin(&pace, 1, &path_a, 20000, false, now_us));
	run(true);
	CHECK("the oldest at once", num_sent == 1 && sent[0].end == TRAIN);
	pass(2000);
	CHECK("then a burst, and the share of 2 ms", bytes_between(0, now_us + 1) >= 64 * 1024 && bytes_between(0, now_us + 1) < 180 * 1024);
	pass(22000 * 100 / REPLAY_PACE_PERCENT);
	CHECK("all at a share of the speed that they had", num_sent == 70);
	for (unsigned int i = 0; i < num_sent; i++)
		CHECK("in order", sent[i].end == (i + 1) * TRAIN);
	replay_acked(&r, 1, TRAIN);
	pass(2000000);
	CHECK("an ACK came: the rest is TCP's matter", num_sent == 70 && due_us == UINT64_MAX);
	CHECK("nothing is kept of others", !replay_pace_begin(&pace, 2, &path_a, 20000, false, now_us));
	end();
}

/* 84 flows with 42 kB each leave to a path of 20 Mbit/s whose queue holds 50 ms of it. */
static void test_crowd(void)
{
	uint32_t most = 0, heads_until;
	unsigned int lost = 0;
	bool fair = true;

	begin();
	link_bytes_per_s = 20000000 / 8;
	queue_bytes = link_bytes_per_s / 20;
	for (uint32_t slot = 1; slot <= 84; slot++)
		keep(slot, 3, TRAIN);
	for (uint32_t slot = 1; slot <= 84; slot++) {
		replay_pace_begin(&pace, slot, &path_a, 50000, false, now_us);
		if (slot % 7 == 0)
			run(true);
	}
	CHECK("one burst at once", bytes_between(0, now_us + 1) <= REPLAY_PACE_BURST_BYTES + TRAIN);
	pass(20000000);
	for (unsigned int i = 0; i < num_sent; i++) {
		uint32_t b = bytes_between(sent[i].at_us, sent[i].at_us + 10000);

		most = b > most ? b : most;
		lost += !sent[i].arrived;
	}
	CHECK("in 10 ms no more than a burst and the share of that time", most <= REPLAY_PACE_BURST_BYTES + 2 * TRAIN + 14000);
	CHECK("the link loses none", !lost);
	for (heads_until = 0; heads_until < 84; heads_until++)
		fair &= sent[heads_until].end == TRAIN;
	for (uint32_t slot = 1; slot <= 84; slot++)
		fair &= times(slot, TRAIN) && times(slot, 2 * TRAIN) == 1 && times(slot, 3 * TRAIN) == 1;
	CHECK("each its oldest train before anybody sends a second one", fair);
	end();
}

static void test_paths_apart(void)
{
	begin();
	for (uint32_t slot = 1; slot <= 40; slot++) {
		keep(slot, 1, TRAIN);
		replay_pace_begin(&pace, slot, slot % 2 ? &path_a : &path_b, 20000, false, now_us);
	}
	run(true);
	CHECK("each path has its own budget", num_sent == 2 * ((REPLAY_PACE_BURST_BYTES + TRAIN - 1) / TRAIN));
	pass(5000);
	replay_pace_end(&pace, 39);
	gone[40] = true;
	pass(200000);
	CHECK("who has ended sends nothing", !times(39, TRAIN) && !times(40, TRAIN) && times(38, TRAIN) && times(37, TRAIN));
	/* Those that wait move on to the other path. */
	for (uint32_t slot = 1; slot <= 38; slot++)
		replay_pace_begin(&pace, slot, &path_b, 20000, false, now_us);
	num_sent = 0;
	pass(200000 * 100 / REPLAY_PACE_PERCENT);
	for (uint32_t slot = 1; slot <= 38; slot++)
		CHECK("again from there", times(slot, TRAIN) == 1);
	end();
}

static void test_once_more(void)
{
	begin();
	keep(1, 3, TRAIN);
	keep(2, 1, 100);
	replay_pace_begin(&pace, 1, &path_a, 20000, false, now_us);
	replay_pace_begin(&pace, 2, &path_a, 20000, false, now_us);
	run(true);
	pass(90000);
	CHECK("no ACK yet", num_sent == 4);
	pass(30000);
	CHECK("the oldest once more", num_sent == 6 && times(1, TRAIN) == 2 && times(2, 100) == 2 && times(1, 2 * TRAIN) == 1);
	pass(180000);
	CHECK("twice as long", num_sent == 6);
	pass(40000);
	CHECK("again", num_sent == 8);
	replay_acked(&r, 2, 100);
	pass(10000000);
	CHECK("three times, and only without an ACK", times(1, TRAIN) == 4 && times(2, 100) == 3 && num_sent == 9);
	CHECK("then nothing is due", due_us == UINT64_MAX);
	replay_pace_begin(&pace, 1, &path_b, 20000, false, now_us);
	run(true);
	pass(10000000);
	CHECK("the next path is a new beginning", times(1, TRAIN) == 8);
	replay_drop(&r, 1);
	end();
}

static void test_first_only(void)
{
	begin();
	keep(1, 3, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 20000, true, now_us);
	run(true);
	pass(350000);
	CHECK("nothing overtakes the first", num_sent == 3 && times(1, TRAIN) == 3);
	replay_acked(&r, 1, TRAIN);
	pass(1000000);
	CHECK("all once that is acknowledged", times(1, TRAIN) == 3 && times(1, 2 * TRAIN) >= 1 && times(1, 3 * TRAIN) == 1);
	replay_acked(&r, 1, 3 * TRAIN);
	pass(10000000);
	CHECK("and that was it", due_us == UINT64_MAX);
	end();
	begin();
	keep(1, 3, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 20000, true, now_us);
	run(true);
	pass(10000000);
	CHECK("bounded", num_sent == 4 && times(1, TRAIN) == 4 && due_us == UINT64_MAX);
	end();
}

/* Return: whether TCP's next train waits. */
static bool fresh(uint32_t slot, unsigned int number)
{
	struct train t = { .pkt = packet, .len = TRAIN };

	replay_keep(&r, slot, &t, number * TRAIN);
	return replay_holds(&r, slot, number * TRAIN);
}

/* An ACK that came with the move: TCP sends new trains while its old ones go again. They wait behind those. */
static void test_holds(void)
{
	unsigned int number, acked;
	bool in_order = true;

	begin();
	keep(1, 20, TRAIN);
	CHECK("begins", replay_pace_begin(&pace, 1, &path_a, 98000, false, now_us));
	due_us = now_us;
	for (number = 21; number <= 40; number++) { /* as much again, within 50 ms */
		CHECK("held", fresh(1, number));
		pass(2500);
	}
	CHECK("TCP repeats the last train: that does not wait", !fresh(1, 40));
	pass(200000 * 100 / REPLAY_PACE_PERCENT);
	for (unsigned int i = 0; i < num_sent; i++)
		in_order &= sent[i].end == (i + 1) * TRAIN;
	CHECK("all, once, in order", num_sent == 40 && in_order);
	CHECK("none waits any more", !fresh(1, number));
	end();

	/* Who sends two for each that was acknowledged, one RTT later, is not held back for long. */
	begin();
	keep(1, 20, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 98000, false, now_us);
	due_us = now_us;
	for (number = 21, acked = 0; now_us < 3000000 && num_sent < 1000; pass(STEP_US)) {
		while (acked < num_sent && sent[acked].at_us + 98000 <= now_us)
			replay_acked(&r, 1, ++acked * TRAIN);
		while (number <= 20 + 2 * acked && fresh(1, number))
			number++;
		if (number <= 20 + 2 * acked)
			break;
	}
	CHECK("not for long", number > 21 && now_us < 1000000 + 98000 * 6);
	end();

	/* Nor who is faster than trains are sent again, nor what would take the place of others that wait. */
	begin();
	keep(1, 20, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 500, false, now_us);
	due_us = now_us;
	for (number = 21; fresh(1, number) && number < 1000; number++) {
		pass(STEP_US);
		replay_acked(&r, 1, num_sent * TRAIN);
	}
	CHECK("fast", number > 21 && now_us < 1000000 + 20000);
	end();
	begin();
	keep(1, 30, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 98000, false, now_us);
	for (number = 31; fresh(1, number); number++)
		;
	CHECK("most of the room", number > 40 && number * TRAIN <= (3 << 18) + 2 * TRAIN && !r.lost_to_flow);
	end();

	/* TCP no longer waits for what is sent again: it sends it itself. */
	begin();
	keep(1, 20, TRAIN);
	replay_pace_begin(&pace, 1, &path_a, 98000, false, now_us);
	CHECK("held", fresh(1, 21));
	CHECK("TCP repeats an older one", !fresh(1, 5) && !fresh(1, 22));
	end();

	/* 84 flows of which each has as much to send anew: the link does not get to feel that there are so many. */
	begin();
	link_bytes_per_s = 20000000 / 8;
	queue_bytes = link_bytes_per_s / 20;
	for (uint32_t slot = 1; slot <= 84; slot++) {
		keep(slot, 3, TRAIN);
		replay_pace_begin(&pace, slot, &path_a, 50000, false, now_us);
	}
	run(true);
	for (number = 4; number <= 6; number++)
		for (uint32_t slot = 1; slot <= 84; slot++)
			CHECK("held", fresh(slot, number));
	pass(20000000);
	in_order = num_sent >= 6 * 84;
	for (unsigned int i = 0; i < num_sent; i++)
		in_order &= sent[i].arrived;
	CHECK("all, and none is lost", in_order);
	end();

	/* Nobody waits for a flow that cannot send, nor where the first train alone is tried. */
	begin();
	keep(1, 3, TRAIN);
	gone[1] = true;
	replay_pace_begin(&pace, 1, &path_a, 20000, false, now_us);
	run(true);
	CHECK("cannot send", !fresh(1, 4));
	keep(2, 3, TRAIN);
	replay_pace_begin(&pace, 2, &path_b, 20000, true, now_us);
	CHECK("the first alone", !fresh(2, 4));
	end();
}

/* More paths than there are budgets, flows that move, end, are acknowledged: no queue is ever wrong, and all comes to an end. */
static void test_random(void)
{
	static int keys[2 * REPLAY_PACE_PATHS];

	begin();
	srand(1);
	for (int i = 0; i < 30000; i++) {
		uint32_t slot = 1 + (uint32_t)rand() % FLOWS;

		switch (rand() % 7) {
		case 0:
			if (!r.flows[slot].oldest)
				keep(slot, 1 + (unsigned int)rand() % 5, 100 + (uint32_t)rand() % 3000);
			break;
		case 1:
			replay_pace_begin(&pace, slot, &keys[rand() % (2 * REPLAY_PACE_PATHS)], (uint32_t)rand() % 300000, rand() % 2, now_us);
			break;
		case 2:
			if (r.flows[slot].oldest)
				replay_acked(&r, slot, replay_oldest_end(&r, slot));
			break;
		case 3:
			if (rand() % 2)
				replay_pace_end(&pace, slot);
			replay_drop(&r, slot);
			break;
		case 4:
			gone[slot] = rand() % 4 == 0;
			break;
		case 5:
			if (r.flows[slot].oldest) {
				struct train next = { .pkt = packet, .len = 100 + (uint32_t)rand() % 3000 };
				uint32_t end = ((const struct replay_train *)(r.bytes + r.flows[slot].newest))->end + next.len;

				replay_keep(&r, slot, &next, end);
				replay_holds(&r, slot, end);
			}
			break;
		default:
			run(rand() % 2);
			pass((uint64_t)rand() % 20 * STEP_US);
		}
		num_sent = 0;
	}
	for (int i = 0; i < 100 && due_us != UINT64_MAX; i++) {
		num_sent = 0;
		pass(1000000);
	}
	CHECK("it ends", due_us == UINT64_MAX);
	for (uint32_t slot = 1; slot <= FLOWS; slot++)
		CHECK("and nobody is left", !r.flows[slot].place);
	end();
}

const struct unit_test unit_tests[] = {
	{ "one flow", test_alone },
	{ "many flows share one budget", test_crowd },
	{ "paths apart, flows that end or move on", test_paths_apart },
	{ "the oldest once more", test_once_more },
	{ "nothing before the handshake", test_first_only },
	{ "new data waits behind", test_holds },
	{ "random steps", test_random },
	{ NULL, NULL },
};
