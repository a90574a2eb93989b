/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/repeats.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

#define ALL (FLOW_KNOWS_OUT | FLOW_KNOWS_IN | FLOW_KNOWS_ACK)

/* The local kernel acknowledged up to 10000 (+ @turn), what came reaches to 12000; of what it sent 5000 is acknowledged. */
static const struct row {
	const char *why;
	uint32_t seq, len, ack;
	uint8_t flags, known;
	bool want;
} rows[] = {
	{ "long ago", 1000, 1400, 3000, TCP_ACK, ALL, true },
	{ "long ago, with PSH", 1000, 1400, 3000, TCP_ACK | TCP_PSH, ALL, true },
	{ "up to the byte before the last one", 8599, 1400, 5000, TCP_ACK, ALL, true },
	{ "the last bytes: the sender waits for their ACK, or probes the end of its window", 8600, 1400, 5000, TCP_ACK, ALL, false },
	{ "a keep-alive with a byte", 9999, 1, 5000, TCP_ACK, ALL, false },
	{ "a byte of it is new", 8601, 1400, 5000, TCP_ACK, ALL, false },
	{ "new", 10000, 1400, 5000, TCP_ACK, ALL, false },
	{ "behind a hole", 10600, 1400, 5000, TCP_ACK, ALL, false },
	{ "as far ahead as can be", 10000 + (1u << 28) - 1400, 1400, 5000, TCP_ACK, ALL, false },
	{ "3.75 GiB behind, which is not ahead", 10001 + (1u << 28) - 1400, 1400, 5000, TCP_ACK, ALL, true },
	{ "2 GiB behind", 10000 + (1u << 31), 1400, 5000, TCP_ACK, ALL, true },
	{ "acknowledges more", 1000, 1400, 5001, TCP_ACK, ALL, false },
	{ "FIN", 1000, 1400, 3000, TCP_ACK | TCP_FIN, ALL, false },
	{ "RST", 1000, 1400, 3000, TCP_ACK | TCP_RST, ALL, false },
	{ "URG", 1000, 1400, 3000, TCP_ACK | TCP_URG, ALL, false },
	{ "SYN", 1000, 1400, 3000, TCP_ACK | TCP_SYN, ALL, false },
	{ "nothing was sent yet, so no ACK", 1000, 1400, 3000, TCP_ACK, ALL & ~FLOW_KNOWS_OUT, false },
	{ "nothing came yet", 1000, 1400, 3000, TCP_ACK, ALL & ~FLOW_KNOWS_IN, false },
	{ "nothing was acknowledged yet", 1000, 1400, 3000, TCP_ACK, ALL & ~FLOW_KNOWS_ACK, false },
};

static void test_known(void)
{
	static const uint32_t turns[] = { 0, 0x7fffff00, 0x80000000, 0u - 10000, 0u - 9000, 0u - 2000 };

	for (size_t t = 0; t < sizeof(turns) / sizeof(turns[0]); t++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const struct row *r = &rows[i];
			struct flow_hot hot = {
				.out_ack = 10000 + turns[t], .in_next = 12000 + turns[t], .in_ack = 5000 - turns[t],
				.out_next = 6000 - turns[t], .known = r->known,
			};
			uint32_t end = r->seq + r->len + turns[t], ack = r->ack - turns[t];

			CHECK(r->why, repeats_known(&hot, end, ack, r->flags) == r->want);
			hot.out_ack = hot.in_next + 1 + (uint32_t)i;
			CHECK("acknowledged more than came: a number of something else", !repeats_known(&hot, end, ack, r->flags));
		}
	}
}

static unsigned int take(struct repeats *r, uint64_t now_ms, unsigned int n)
{
	unsigned int taken = 0;

	while (n--)
		taken += repeats_take(r, now_ms);
	return taken;
}

static void test_bucket(void)
{
	struct repeats r = { 0 };
	uint64_t now_ms = 0xffffffffull - 10000; /* beyond the turn of 32 bits */
	unsigned int n = 0;

	CHECK("a burst", take(&r, now_ms, 1000) == REPEATS_BURST);
	CHECK("and no more", !take(&r, now_ms, 1000));
	CHECK("a tenth of a second later", take(&r, now_ms + 100, 1000) == REPEATS_PER_SECOND / 10);
	for (int i = 0; i < 100000; i++) /* 10 a millisecond, for 10 s */
		n += repeats_take(&r, now_ms + 100 + (uint64_t)i / 10);
	CHECK("for long", n >= 10 * REPEATS_PER_SECOND - 10 && n <= 10 * REPEATS_PER_SECOND + 10);
	n = 0;
	for (int i = 0; i < 10000; i++) /* a lost ACK at the shortest time-out, 200 ms, with some spurious ones */
		n += take(&r, now_ms + 20000 + (uint64_t)i * 200, 50);
	CHECK("who asks now and then is always answered", n == 500000);
	CHECK("and a burst is there again", take(&r, now_ms + 20000 + 10000 * 200 + 60000, 1000) == REPEATS_BURST);
}

/* As the worker uses it: what is dropped changes nothing, what is new passes beside it. */
static void test_inbound(void)
{
	static uint8_t pkt[2000], payload[1000], in_order[400][1200];
	struct end *cli = end_new("1-64512,10.0.0.1", 31000), *srv = end_new("1-64513,10.13.0.2", 31002);
	struct pair p = make_flow(cli, srv, 9, INET_PROTO_TCP, false, 1472);
	struct flow *s = p.s, *got;
	unsigned int passed = 0, dropped = 0;
	uint64_t rx;
	size_t len;

	*s->hot = (struct flow_hot){ .out_ack = 100000, .in_next = 100000, .in_ack = 500, .out_next = 500, .known = ALL };
	for (unsigned int i = 0; i < 400; i++) {
		struct thin_tcp thin = { .seq = 1000 * (i % 50), .ack = 400, .flags = TCP_ACK, .opts = payload };
		enum verdict v;

		len = data_packet(in_order[i], p.c, &thin, 0, payload, sizeof(payload));
		rx = flow_counter(&s->stats.rx_bytes);
		v = inbound_packet(&srv->in, in_order[i], len, 28, 1000, &got);
		CHECK("of that flow", got == s);
		CHECK("counted if it passed", flow_counter(&s->stats.rx_bytes) == rx + (v == VERDICT_PASS ? sizeof(payload) : 0));
		passed += v == VERDICT_PASS;
		dropped += v == VERDICT_REPEATED;
	}
	CHECK("some pass, the rest is dropped", passed == REPEATS_BURST && dropped == 400 - REPEATS_BURST);
	inbound_flush(&srv->in);
	end_forget(srv);

	/* A train of new data, each segment with an old one behind it. */
	for (unsigned int i = 0; i < 20; i++) {
		struct thin_tcp thin = { .seq = 100000 + 1000 * i, .ack = 500, .flags = TCP_ACK, .opts = payload };
		struct thin_tcp old = { .seq = 3000, .ack = 400, .flags = TCP_ACK, .opts = payload };

		len = data_packet(in_order[i], p.c, &thin, 0, payload, sizeof(payload));
		CHECK("new", inbound_packet(&srv->in, in_order[i], len, 28, 1000, &got) == VERDICT_PASS);
		len = data_packet(pkt, p.c, &old, 0, payload, sizeof(payload));
		CHECK("old", inbound_packet(&srv->in, pkt, len, 28, 1000, &got) == VERDICT_REPEATED);
	}
	inbound_flush(&srv->in);
	CHECK("the train is one", srv->num_got == 1 && srv->got[0].len == 40 + 20000);
	CHECK("and is what was delivered", s->hot->in_next == 120000 && s->hot->in_ack == 500);
	struct thin_tcp far = { .seq = 120000 + (1u << 30), .ack = 400, .flags = TCP_ACK, .opts = payload };

	s->hot->out_ack = 120000;
	len = data_packet(pkt, p.c, &far, 0, payload, sizeof(payload));
	CHECK("of 3 GiB ago", inbound_packet(&srv->in, pkt, len, 28, 1000, &got) == VERDICT_REPEATED && s->hot->in_next == 120000);
	CHECK("when some may pass", inbound_packet(&srv->in, pkt, len, 28, 3000, &got) == VERDICT_PASS && s->hot->in_next == 120000);
	inbound_flush(&srv->in);
	for (int i = 0; i < REPEATS_BURST; i++)
		inbound_packet(&srv->in, pkt, len, 28, 3000, &got);
	p.c->epoch = 1;
	struct thin_tcp moved = { .seq = 3000, .ack = 400, .flags = TCP_ACK, .opts = payload };

	len = data_packet(pkt, p.c, &moved, 0, payload, sizeof(payload));
	CHECK("old, but the first one on another path", inbound_packet(&srv->in, pkt, len, 28, 3000, &got) == VERDICT_CONTROL);
	CHECK("the second", inbound_packet(&srv->in, pkt, len, 28, 3000, &got) == VERDICT_REPEATED);
	inbound_flush(&srv->in);
	end_free(cli);
	end_free(srv);
}

const struct unit_test unit_tests[] = {
	{ "what the kernel knows", test_known },
	{ "how many", test_bucket },
	{ "between what is new", test_inbound },
	{ NULL, NULL },
};
