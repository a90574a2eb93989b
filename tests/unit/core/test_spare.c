/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/spare.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

#define TS(v)	1, 1, 8, 10, 0, 0, 0, v, 0, 0, 0, 1
#define DACK(a) 30, 12, 0x20, 0x03, 0, 0, 0, 0, 0, 0, 0, a
#define DFIN(a) 30, 12, 0x20, 0x13, 0, 0, 0, 0, 0, 0, 0, a

static const uint8_t ts[12] = { TS(1) }, ts_later[12] = { TS(2) };
static const uint8_t dack[24] = { TS(1), DACK(1) }, dack_later[24] = { TS(2), DACK(2) }, dfin[24] = { TS(1), DFIN(1) },
		     dfin_later[24] = { TS(2), DFIN(1) };

static const struct row {
	const char *why;
	struct thin_tcp first, second;
	uint32_t bytes; /* of the first */
	unsigned int sent;
} rows[] = {
#define SEG(s, a, f, o) { .seq = s, .ack = a, .flags = f, .window = 300, .opts = o, .opts_len = sizeof(o) }
	{ "a later ACK", SEG(9, 1, TCP_ACK, ts), SEG(9, 2, TCP_ACK, ts_later), 0, 1 },
	{ "a repeated one", SEG(9, 1, TCP_ACK, ts), SEG(9, 1, TCP_ACK, ts_later), 0, 2 },
	{ "an earlier one", SEG(9, 2, TCP_ACK, ts), SEG(9, 1, TCP_ACK, ts_later), 0, 2 },
	{ "a later data ACK alone", SEG(9, 1, TCP_ACK, dack), SEG(9, 1, TCP_ACK, dack_later), 0, 1 },
	{ "the data ACK goes back", SEG(9, 1, TCP_ACK, dack_later), SEG(9, 2, TCP_ACK, dack), 0, 2 },
	{ "a DATA_FIN stays", SEG(9, 1, TCP_ACK, dfin), SEG(9, 2, TCP_ACK, dack_later), 0, 2 },
	{ "the same behind a FIN", SEG(9, 1, TCP_ACK | TCP_FIN, dack), SEG(10, 1, TCP_ACK, dack), 0, 1 },
	{ "behind a FIN with data", SEG(9, 1, TCP_ACK | TCP_FIN, dack), SEG(12, 1, TCP_ACK, dack), 2, 1 },
	{ "behind a FIN, more", SEG(9, 1, TCP_ACK | TCP_FIN, dack), SEG(10, 1, TCP_ACK, dack_later), 0, 2 },
	{ "behind data", SEG(9, 1, TCP_ACK, dack), SEG(10, 1, TCP_ACK, dack), 1, 2 },
	{ "behind data, a later ACK", SEG(9, 1, TCP_ACK, ts), SEG(10, 2, TCP_ACK, ts_later), 1, 2 },
	{ "a DATA_FIN twice", SEG(9, 1, TCP_ACK, dfin), SEG(9, 1, TCP_ACK, dfin), 0, 1 },
	{ "a DATA_FIN again, later", SEG(9, 1, TCP_ACK, dfin), SEG(9, 1, TCP_ACK, dfin_later), 0, 2 },
	{ "a FIN is none", SEG(9, 1, TCP_ACK, ts), SEG(9, 2, TCP_ACK | TCP_FIN, ts_later), 0, 2 },
	{ "nor a RST", SEG(9, 1, TCP_ACK, ts), SEG(9, 2, TCP_ACK | TCP_RST, ts_later), 0, 2 },
#undef SEG
};

static struct end *cli, *srv;
static uint8_t buf[2][4096];

static bool give(unsigned int i, struct flow *f, const struct thin_tcp *t, uint32_t bytes)
{
	static const uint8_t payload[16];
	struct tcp_build b = {
		.seq = t->seq, .ack = t->ack, .flags = t->flags, .window = t->window, .opts = t->opts, .opts_len = t->opts_len,
		.data = payload, .len = bytes,
	};
	struct train train = tcp_train(buf[i], f, b, 0);
	struct flow *found;

	return outbound_train(&cli->table, &train, 1234, &cli->batch, &found) == VERDICT_PASS && found == f;
}

static bool is(unsigned int i, const struct thin_tcp *want)
{
	struct scion_pkt pkt;
	struct scion_udp udp;
	struct thin_tcp t;
	struct frame_hdr h;
	struct rd r;

	if (scion_parse(cli->sent[i].p, cli->sent[i].len, &pkt) || scion_udp_parse(&pkt, &udp))
		return false;
	r = rd_init(udp.data, udp.len);
	return !frame_parse_hdr(&r, &h) && !frame_parse_thin(&r, &t) && t.seq == want->seq && t.ack == want->ack &&
	       t.flags == want->flags && t.opts_len == want->opts_len && !memcmp(t.opts, want->opts, t.opts_len);
}

static void test_rows(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *row = &rows[i];
		bool older = row->sent == 1 && spare_older(&row->first, &row->second);
		struct pair p, other;

		cli = end_new("1-64512,10.0.0.1", 31000);
		srv = end_new("1-64513,10.13.0.2", 31002);
		p = make_flow(cli, srv, 7, INET_PROTO_TCP, false, 1472);
		other = make_flow(cli, srv, 8, INET_PROTO_TCP, false, 1472);
		end_flush(cli, &cli->batch);
		CHECK(row->why, give(0, p.c, &row->first, row->bytes) && give(1, p.c, &row->second, 0));
		end_flush(cli, &cli->batch);
		CHECK(row->why, cli->num_sent == row->sent && cli->batch.acks_spared == 2 - row->sent && !cli->bad_msgs);
		CHECK("the first, or what takes its place", is(0, older ? &row->second : &row->first));
		CHECK("the second", row->sent == 1 || is(1, &row->second));
		CHECK("only what is sent counts", flow_counter(&p.c->stats.tx_segments) == row->sent);
		end_forget(cli);
		CHECK(row->why, give(0, p.c, &row->first, row->bytes));
		end_flush(cli, &cli->batch);
		CHECK(row->why, give(1, p.c, &row->second, 0));
		end_flush(cli, &cli->batch);
		CHECK("in two batches both are sent", cli->num_sent == 2 && is(0, &row->first) && is(1, &row->second));
		end_forget(cli);
		CHECK(row->why, give(0, p.c, &row->first, row->bytes) && give(1, other.c, &row->second, 0));
		end_flush(cli, &cli->batch);
		CHECK("of two flows both are sent", cli->num_sent == 2);
		end_free(cli);
		end_free(srv);
	}
}

const struct unit_test unit_tests[] = {
	{ "ACKs in one batch", test_rows },
	{ 0 },
};
