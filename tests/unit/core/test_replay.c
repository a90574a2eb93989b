/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/replay.h"

#include "tests/unit/check.h"

#include <stdlib.h>
#include <string.h>

#define FLOWS	   40
#define FLOW_BYTES (1024 * 1024)
#define BYTES	   (64u * 1024 * 1024)

static uint8_t packet[TRAIN_MAX_BYTES];
static uint64_t seed;

static uint32_t rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed * 0x2545F4914F6CDD1Dull >> 33) % n);
}

/* A train of @len bytes that all have the value @fill. */
static bool keep(struct replay *r, uint32_t slot, uint32_t len, uint32_t end, uint8_t fill)
{
	struct train t = { .pkt = packet, .len = len, .vnet = { .gso_size = fill } };

	memset(packet, fill, len);
	return replay_keep(r, slot, &t, end);
}

static bool is(const struct replay_train *t, uint32_t len, uint32_t end, uint8_t fill)
{
	if (!t || t->len != len || t->end != end || t->vnet.gso_size != fill)
		return false;
	for (uint32_t i = 0; i < len; i++)
		if (t->pkt[i] != fill)
			return false;
	return true;
}

static void test_what_is_kept(void)
{
	struct replay r;

	CHECK("a store has room for a few blocks", replay_init(&r, FLOWS, FLOW_BYTES, REPLAY_LEAST_BYTES - 1) < 0);
	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, FLOW_BYTES, BYTES));
	CHECK("nothing at the start", !replay_begin(&r, 1) && !replay_next(&r, 1) && !replay_acked(&r, 1, 77));

	CHECK("kept", keep(&r, 1, 1000, 1960, 1) && keep(&r, 1, 50000, 51900, 2) && keep(&r, 1, 60, 51901, 3));
	CHECK("bytes", replay_begin(&r, 1) == 1040 + 50032 + 96);
	CHECK("in order", is(replay_next(&r, 1), 1000, 1960, 1) && is(replay_next(&r, 1), 50000, 51900, 2) &&
				  is(replay_next(&r, 1), 60, 51901, 3) && !replay_next(&r, 1));
	CHECK("once", !replay_next(&r, 1));

	CHECK("TCP sends it again", keep(&r, 1, 50000, 51900, 2) && replay_begin(&r, 1) == 1040 + 50032 + 96);
	CHECK("an ACK within a train leaves it", replay_acked(&r, 1, 51899));
	CHECK("what was before is gone", replay_begin(&r, 1) == 50032 + 96 && is(replay_next(&r, 1), 50000, 51900, 2));
	CHECK("while it is sent again, too", replay_acked(&r, 1, 51900) && is(replay_next(&r, 1), 60, 51901, 3));
	CHECK("an old ACK changes nothing", replay_acked(&r, 1, 5));
	CHECK("all", !replay_acked(&r, 1, 51901) && !replay_begin(&r, 1));
	CHECK("other flows have none of it", !replay_begin(&r, 2));

	CHECK("sequence numbers wrap", keep(&r, 2, 100, 0xffffffff, 1) && keep(&r, 2, 100, 50, 2) && replay_acked(&r, 2, 0));
	CHECK("the newer one is left", replay_begin(&r, 2) && is(replay_next(&r, 2), 100, 50, 2));
	replay_drop(&r, 2);
	CHECK("dropped", !replay_begin(&r, 2) && !replay_next(&r, 2));
	CHECK("and no limit was met", !r.lost_to_flow && !r.lost_to_worker);
	replay_fini(&r);
}

/* What comes after replay_begin() is sent on the new path anyway. */
static void test_until(void)
{
	struct replay r;

	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, FLOW_BYTES, BYTES));
	keep(&r, 1, 100, 100, 1);
	keep(&r, 1, 100, 200, 2);
	replay_begin(&r, 1);
	keep(&r, 1, 100, 300, 3);
	CHECK("the two of before", is(replay_next(&r, 1), 100, 100, 1) && is(replay_next(&r, 1), 100, 200, 2));
	CHECK("not the third", !replay_next(&r, 1));
	CHECK("unless that path dies, too", replay_begin(&r, 1) && is(replay_next(&r, 1), 100, 100, 1));
	replay_acked(&r, 1, 200);
	CHECK("from where it is now", is(replay_next(&r, 1), 100, 300, 3) && !replay_next(&r, 1));
	replay_begin(&r, 1);
	replay_acked(&r, 1, 300);
	CHECK("all was acknowledged", !replay_next(&r, 1));
	replay_fini(&r);
}

static void test_acks(void)
{
	struct tcp_hdr tcp = { .seq = 5, .ack = 6, .window = 7, .opts = packet, .opts_len = 40 };
	const struct replay_ack *a;
	struct replay r;

	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, FLOW_BYTES, BYTES));
	memset(packet, 1, 40);
	CHECK("none", !replay_ack(&r, 3));
	replay_keep_ack(&r, 3, &tcp, 9);
	a = replay_ack(&r, 3);
	CHECK("as it was", a && a->seq == 5 && a->ack == 6 && a->window == 7 && a->traffic_class == 9 && a->opts_len_1 == 41 &&
				   !memcmp(a->opts, packet, 40));
	tcp.opts_len = 0;
	tcp.ack = 8;
	replay_keep_ack(&r, 3, &tcp, 0);
	CHECK("the last one, without options", replay_ack(&r, 3)->ack == 8 && replay_ack(&r, 3)->opts_len_1 == 1);
	replay_acked(&r, 3, 8);
	CHECK("it stays", replay_ack(&r, 3));
	replay_drop(&r, 3);
	CHECK("as long as the flow", !replay_ack(&r, 3));
	replay_fini(&r);
}

static void test_limits(void)
{
	uint32_t end = 1, n;
	struct replay r;

	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, FLOW_BYTES, REPLAY_LEAST_BYTES));
	for (n = 0; n < 40; n++)
		keep(&r, 1, 50000, end += 49960, (uint8_t)n);
	CHECK("a flow has 1 MiB", replay_begin(&r, 1) == 20 * 50032 && r.lost_to_flow == 20 && !r.lost_to_worker);
	CHECK("the newest", is(replay_next(&r, 1), 50000, 1 + 21 * 49960, 20));
	for (uint32_t slot = 2; slot <= 4; slot++)
		for (n = 0; n < 20; n++)
			keep(&r, slot, 50000, (n + 1) * 49960, (uint8_t)n);
	CHECK("then the oldest goes, whose it ever is", !replay_begin(&r, 1) && r.lost_to_worker >= 20);
	CHECK("the newest is there", replay_begin(&r, 4) == 20 * 50032);
	CHECK("blocks", r.touched == r.num_blocks);
	for (uint32_t slot = 1; slot <= 4; slot++)
		replay_drop(&r, slot);
	CHECK("all of them are free, but the one that is filled", r.num_free == r.num_blocks - 1);
	replay_fini(&r);
}

/* A small train that is never acknowledged does not keep large ones. */
static void test_small_apart(void)
{
	uint32_t end = 0;
	struct replay r;

	CU_ASSERT_FATAL(!replay_init(&r, FLOWS, FLOW_BYTES, BYTES));
	for (uint32_t slot = 2; slot < FLOWS; slot++) {
		keep(&r, slot, 200, 100, 9);
		for (int n = 0; n < 10; n++) {
			keep(&r, 1, 57000, end += 56960, 1);
			replay_acked(&r, 1, end);
		}
	}
	CHECK("two blocks are enough", r.touched == 2);
	replay_fini(&r);
}

/* ---- against a model ---- */

struct known {
	uint32_t len, end;
	uint8_t fill;
};

struct model_flow {
	struct known trains[4096];
	uint32_t num, seq;
};

static void model_shift(struct model_flow *m, uint32_t n)
{
	m->num -= n;
	memmove(m->trains, m->trains + n, m->num * sizeof(m->trains[0]));
}

static uint32_t occupied(uint32_t len)
{
	return (32 + len + 15) & ~15u;
}

/* Return: how many the store has forgotten by itself of what the model has: always the oldest. -1: it is wrong. */
static int compare(struct replay *r, uint32_t slot, struct model_flow *m)
{
	const struct replay_train *t;
	uint32_t bytes = replay_begin(r, slot), sum = 0, n = 0, missing = 0;

	t = replay_next(r, slot);
	while (missing < m->num && !(t && t->end == m->trains[missing].end))
		missing++;
	for (n = missing; n < m->num; n++) {
		if (!is(t, m->trains[n].len, m->trains[n].end, m->trains[n].fill))
			return -1;
		sum += occupied(t->len);
		t = replay_next(r, slot);
	}
	return t || sum != bytes ? -1 : (int)missing;
}

static void run_random(uint32_t bytes, uint32_t flows, uint32_t steps, bool may_lose)
{
	struct model_flow *m = calloc(flows + 1, sizeof(*m));
	uint64_t lost = 0, lost_by_limit = 0;
	struct replay r;
	bool good = true;

	CU_ASSERT_FATAL(m && !replay_init(&r, flows, 256 * 1024, bytes));
	for (uint32_t slot = 1; slot <= flows; slot++)
		m[slot].seq = rnd(UINT32_MAX);
	for (uint32_t i = 0; i < steps && good; i++) {
		uint32_t slot = 1 + rnd(flows), sum = 0;
		struct model_flow *f = &m[slot];
		int missing = compare(&r, slot, f);

		good = missing >= 0;
		if (missing > 0) {
			lost += (uint32_t)missing;
			model_shift(f, (uint32_t)missing);
		}
		switch (rnd(8)) {
		default: {
			struct known k = { .len = rnd(4) ? 40 + rnd(3000) : 40 + rnd(57000), .fill = (uint8_t)rnd(256) };

			if (f->num == 4096)
				break;
			k.end = f->seq += k.len - 20;
			for (uint32_t n = 0; n < f->num; n++)
				sum += occupied(f->trains[n].len);
			while (f->num && sum + occupied(k.len) > 256 * 1024) {
				sum -= occupied(f->trains[0].len);
				model_shift(f, 1);
				lost_by_limit++;
			}
			good &= keep(&r, slot, k.len, k.end, k.fill);
			f->trains[f->num++] = k;
			break;
		}
		case 5: /* TCP sends again */
			if (f->num) {
				struct known *k = &f->trains[rnd(f->num)];

				good &= keep(&r, slot, k->len, k->end, 0);
			}
			break;
		case 6: /* an ACK, of a train or within one */
			if (f->num) {
				uint32_t n = rnd(f->num), ack = f->trains[n].end - (rnd(2) ? 0 : 1 + rnd(19));

				n += ack == f->trains[n].end;
				good &= replay_acked(&r, slot, ack) == (n < f->num);
				model_shift(f, n);
			}
			break;
		case 7:
			if (!rnd(20)) {
				replay_drop(&r, slot);
				f->num = 0;
			}
			break;
		}
	}
	CHECK("it is what the model says", good);
	for (uint32_t slot = 1; slot <= flows; slot++) {
		int missing = compare(&r, slot, &m[slot]);

		good &= missing >= 0;
		lost += missing > 0 ? (uint32_t)missing : 0;
		replay_drop(&r, slot);
	}
	CHECK("to the end", good);
	CHECK("what is missing was counted", r.lost_to_flow + r.lost_to_worker == lost + lost_by_limit);
	CHECK("all is free again", r.num_free + (r.open[0] != REPLAY_NO_BLOCK) + (r.open[1] != REPLAY_NO_BLOCK) == r.touched);
	CHECK("limit of all", may_lose == !!r.lost_to_worker);
	replay_fini(&r);
	free(m);
}

static void test_random(void)
{
	for (seed = 1; seed < 200; seed += 100) {
		uint64_t first = seed;

		run_random(64u << 20, 8, 2500, false);
		run_random(REPLAY_LEAST_BYTES, 30, 4000, true);
		seed = first;
	}
}

const struct unit_test unit_tests[] = {
	{ "what is kept, and until when", test_what_is_kept },
	{ "what is sent again, and what is not", test_until },
	{ "the last bare ACK", test_acks },
	{ "limits", test_limits },
	{ "small trains do not keep large ones", test_small_apart },
	{ "random steps against a model", test_random },
	{ NULL, NULL },
};
