/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inbound.h"
#include "shila/core/outbound.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

/*
 * Every path MTU from 1280 to 9000: a train leaves in segments that fill the path's packets, whatever the segments
 * of the kernel were, in as few messages as the kernel takes, and arrives as one train.
 */

#define MTU_MIN	   1280
#define MTU_MAX	   9000
#define TRAIN_LEN  57000 /* gso_max_size of the TUNs */

static const uint8_t dss[20] = { 30, 20, 0x20, 0x05, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct end *cli, *srv;
static struct pair p;
static uint8_t buf[70000], data[66000], rx[WORLD_MAX_DGRAMS][MTU_MAX];
static uint32_t seq = 0xfffff000;
static unsigned int num_msgs;
static uint16_t at_mtu; /* of the first that was wrong */

static void on_flush(void *ctx, struct send_batch *b)
{
	num_msgs += b->num_msgs;
	end_flush(ctx, b);
}

/* How many messages carry the train: 64 segments and 65507 bytes are the most of one. */
static unsigned int least_msgs(uint32_t seg, uint32_t hdr)
{
	unsigned int msgs = 1;

	for (uint32_t at = 0, n = 0, bytes = 0; at < TRAIN_LEN; at += seg, n++) {
		uint32_t packet = hdr + (TRAIN_LEN - at < seg ? TRAIN_LEN - at : seg);

		if (n == 64 || bytes + packet > 65507) {
			msgs++;
			n = bytes = 0;
		}
		bytes += packet;
	}
	return msgs;
}

/* One train with segments of @gso bytes, and what becomes of it when the path takes @room of payload. */
static bool train_fits(uint16_t mtu, uint16_t gso, uint32_t room)
{
	uint32_t seg = gso < room ? gso : room, wire = (uint32_t)mtu - room + seg;
	uint32_t segments = (TRAIN_LEN + seg - 1) / seg, at = 0;
	struct tcp_build b = { .seq = seq, .ack = 77, .flags = TCP_ACK, .window = 500, .opts = dss,
			       .opts_len = sizeof(dss), .data = data, .len = TRAIN_LEN };
	struct train t = tcp_train(buf, p.c, b, gso);
	bool fine;
	struct flow *f;

	end_forget(cli);
	end_forget(srv);
	num_msgs = 0;
	seq += TRAIN_LEN;
	fine = outbound_train(&cli->table, &t, 1234, &cli->batch, &f) == VERDICT_PASS;
	on_flush(cli, &cli->batch);
	fine &= !cli->bad_msgs && cli->num_sent == segments && num_msgs == least_msgs(seg, wire - seg);
	for (unsigned int i = 0; i < cli->num_sent; i++) {
		bool last = i + 1 == cli->num_sent;

		fine &= last ? cli->sent[i].len <= wire : cli->sent[i].len == wire;
		memcpy(rx[i], cli->sent[i].p, cli->sent[i].len);
		fine &= arrive(srv, rx[i], cli->sent[i].len, NULL) == VERDICT_PASS;
	}
	inbound_flush(&srv->in);
	fine &= srv->num_got == 1 && srv->got[0].vnet.gso_size == seg;
	for (unsigned int i = 0; i < srv->num_got; i++) {
		uint32_t head = srv->got[i].vnet.hdr_len, len = srv->got[i].len - head;

		fine &= at + len <= TRAIN_LEN && !memcmp(srv->got[i].pkt + head, data + at, len);
		at += len;
	}
	return fine && at == TRAIN_LEN;
}

static void note(uint16_t mtu, bool fine)
{
	if (!fine && !at_mtu) {
		at_mtu = mtu;
		printf("MTU %u: %u segments, %u messages, %u trains\n", mtu, cli->num_sent, num_msgs, srv->num_got);
	}
}

static void begin(bool v6)
{
	cli = end_new("1-64512,10.0.0.1", 31000);
	srv = end_new("1-64513,10.13.0.2", 31002);
	cli->batch.flush = on_flush;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
	p = make_flow(cli, srv, 7, INET_PROTO_TCP, v6, 1472);
	at_mtu = 0;
}

static void finish(void)
{
	end_free(cli);
	end_free(srv);
}

static uint32_t set_mtu(uint16_t mtu)
{
	p.c->tmpl->mtu_bytes = mtu;
	return tmpl_budget(p.c->tmpl) - 12u - 12u - (uint32_t)sizeof(dss);
}

/* Segments as the clamped SYN asks for: they fill the packets to the byte. */
static void test_own(void)
{
	begin(false);
	for (uint16_t mtu = MTU_MIN; mtu <= MTU_MAX; mtu++)
		note(mtu, train_fits(mtu, (uint16_t)set_mtu(mtu), set_mtu(mtu)));
	CHECK("trains of a connection that began on the path", !at_mtu);
	finish();
}

/* After a move the kernel still has the MSS of the path before. */
static void test_smaller(void)
{
	static const uint16_t before[] = { 1392, 1448, 8908 };

	begin(true);
	for (uint16_t mtu = MTU_MIN; mtu <= MTU_MAX; mtu++)
		note(mtu, train_fits(mtu, before[mtu % 3], set_mtu(mtu)));
	CHECK("trains of a connection that began on another path", !at_mtu);
	finish();
}

/* Longer paths: the headers take more of the same MTU. */
static void test_long_paths(void)
{
	for (unsigned int hops = 0; hops <= 40; hops += 5) {
		begin(false);
		tmpl_put(p.c->tmpl);
		p.c->tmpl = make_tmpl(cli, srv, hops, 1472);
		for (uint16_t mtu = MTU_MIN; mtu <= MTU_MAX; mtu = (uint16_t)(mtu + 61))
			note(mtu, train_fits(mtu, 1392, set_mtu(mtu)));
		CHECK("any number of hops", !at_mtu);
		finish();
	}
}

const struct unit_test unit_tests[] = {
	{ "segments of the path", test_own },
	{ "segments of the path before", test_smaller },
	{ "long paths", test_long_paths },
	{ 0 },
};
