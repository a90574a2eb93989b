/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/send_group.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

#define FLOWS	 70 /* some share their place in the batch's memory */
#define SEGMENTS 60

static struct end *cli, *srv;
static struct pair flows[FLOWS];
static uint8_t bufs[SEGMENTS][8192], data[8192];

static void begin(void)
{
	cli = end_new("1-64512,10.0.0.1", 31000);
	srv = end_new("1-64513,10.13.0.2", 31002);
	for (uint32_t i = 0; i < FLOWS; i++)
		flows[i] = make_flow(cli, srv, i + 1, INET_PROTO_TCP, false, 1472);
	end_flush(cli, &cli->batch);
}

static void finish(void)
{
	end_free(cli);
	end_free(srv);
}

static void give(unsigned int i, unsigned int flow, uint32_t seq, uint32_t len)
{
	struct tcp_build b = { .seq = seq, .ack = 1, .flags = TCP_ACK | TCP_PSH, .data = data, .len = len };
	struct train t = tcp_train(bufs[i], flows[flow].c, b, 1000);
	struct flow *f;

	CHECK("passes", outbound_train(&cli->table, &t, 1, &cli->batch, &f) == VERDICT_PASS);
}

static void test_equal(void)
{
	begin();
	for (unsigned int i = 0; i < 40; i++)
		give(i, i, i, i % 2 ? 1 : 20);
	CHECK("each has a message", cli->batch.num_msgs == 40);
	send_group(&cli->batch);
	CHECK("one for each length", cli->batch.num_msgs == 2 && cli->batch.msgs[0].num_segs == 20);
	send_group(&cli->batch);
	CHECK("once more changes nothing", cli->batch.num_msgs == 2);
	end_flush(cli, &cli->batch);
	CHECK("all are sent", cli->num_sent == 40 && !cli->bad_msgs);
	finish();
}

static void test_one_flow(void)
{
	static const uint32_t lens[] = { 1, 20, 1, 1, 20 };

	begin();
	for (unsigned int i = 0; i < 5; i++)
		give(i, 3, i, lens[i]);
	send_group(&cli->batch);
	CHECK("only neighbours", cli->batch.num_msgs == 4 && cli->batch.msgs[2].num_segs == 2);
	end_flush(cli, &cli->batch);
	finish();
}

/* Whatever is sent, nothing of a flow overtakes what was before. */
static void test_order(void)
{
	unsigned int fewer = 0;
	bool fine = true;

	begin();
	for (unsigned int round = 0; round < 400; round++) {
		uint32_t next[FLOWS] = { 0 }, seen[FLOWS] = { 0 };
		unsigned int used = 1 + rnd(FLOWS), segments = 0, msgs;

		end_forget(cli);
		for (unsigned int i = 0; i < SEGMENTS; i++) {
			unsigned int flow = rnd(used);
			uint32_t len = rnd(10) ? 1 + rnd(3) : 1500 + rnd(3) * 500;

			if (cli->batch.num_msgs > SEND_MAX_MSGS - 4)
				break;
			give(i, flow, next[flow], len);
			next[flow] += len;
			segments += len > 2000 ? 3 : len > 1000 ? 2 : 1;
		}
		msgs = cli->batch.num_msgs;
		send_group(&cli->batch);
		fewer += cli->batch.num_msgs < msgs;
		end_flush(cli, &cli->batch);
		fine &= cli->num_sent == segments && !cli->bad_msgs;
		for (unsigned int i = 0; i < cli->num_sent; i++) {
			struct scion_pkt pkt;
			struct scion_udp udp;
			struct thin_tcp t = { 0 };
			struct frame_hdr h;
			struct rd r;
			uint32_t flow;

			fine &= !scion_parse(cli->sent[i].p, cli->sent[i].len, &pkt) && !scion_udp_parse(&pkt, &udp);
			r = rd_init(udp.data, udp.len);
			fine &= !frame_parse_hdr(&r, &h) && !frame_parse_thin(&r, &t);
			flow = FLOW_ID_INDEX(h.to.id) - 1;
			fine &= flow < FLOWS && t.seq == seen[flow];
			if (flow < FLOWS)
				seen[flow] += (uint32_t)r.left;
		}
		fine &= !memcmp(next, seen, sizeof(next));
	}
	CHECK("in order", fine);
	CHECK("and many in one", fewer > 300);
	finish();
}

const struct unit_test unit_tests[] = {
	{ "equal segments of many flows", test_equal },
	{ "segments of one flow", test_one_flow },
	{ "no flow overtakes itself", test_order },
	{ 0 },
};
