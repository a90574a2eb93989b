/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inbound.h"
#include "shila/core/outbound.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

/* What outbound keeps, inbound has done with, and is sent once more over another path. */

static struct end *cli, *srv;
static struct replay replay;
static struct pair p;
static uint8_t buf[70000], payload[60000];

static void begin(unsigned int hops)
{
	cli = end_new("1-64512,10.12.0.2", 31000);
	srv = end_new("1-64513,10.13.0.2", 31000);
	if (replay_init(&replay, 256, 1 << 20, REPLAY_LEAST_BYTES) < 0)
		abort();
	cli->batch.replay = cli->in.replay = srv->batch.replay = srv->in.replay = &replay;
	p = make_flow(cli, srv, 9, INET_PROTO_TCP, false, 1472);
	if (!hops) {
		tmpl_put(p.c->tmpl);
		p.c->tmpl = make_tmpl(cli, srv, 0, 1472);
	}
	p.c->keep = true;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7 + i / 256);
}

static void end(void)
{
	end_free(cli);
	end_free(srv);
	replay_fini(&replay);
}

static enum verdict send_tcp(uint8_t flags, uint32_t seq, uint32_t len)
{
	struct tcp_build b = { .seq = seq, .ack = 500, .flags = flags, .window = 77, .data = payload + (seq - 1000), .len = len };
	struct train t = tcp_train(buf, p.c, b, len > 1400 ? 1400 : 0);
	struct flow *f;
	enum verdict v = outbound_train(&cli->table, &t, 1000, &cli->batch, &f);

	end_flush(cli, &cli->batch);
	memset(buf, 0xee, sizeof(buf)); /* the buffer is used for other trains */
	return v;
}

static void ack(uint32_t number, uint8_t flags)
{
	static uint8_t packet[2000];
	struct thin_tcp thin = { .seq = 500, .ack = number, .flags = flags, .opts = payload };

	arrive(cli, packet, data_packet(packet, p.s, &thin, 0, payload, 0), NULL);
	inbound_flush(&cli->in);
}

/* All that was sent arrives. Return: whether it is the payload from @seq on. */
static bool arrives(uint32_t seq, uint32_t len, uint16_t mtu, uint8_t epoch)
{
	uint32_t at = 0;
	bool good = true;

	for (unsigned int i = 0; i < cli->num_sent; i++) {
		struct bytes *d = &cli->sent[i];

		good &= d->len <= mtu && d->p[p.c->tmpl->len + 2] == epoch;
		arrive(srv, d->p, d->len, NULL);
	}
	inbound_flush(&srv->in);
	for (unsigned int i = 0; i < srv->num_got; i++) {
		struct written *w = &srv->got[i];
		struct ip_pkt pkt;
		struct tcp_hdr tcp;

		if (ip_parse(w->pkt, w->len, &pkt) < 0 || tcp_parse(w->pkt + pkt.l4_off, w->len - pkt.l4_off, &tcp) < 0)
			return false;
		good &= tcp.seq == seq + at;
		good &= !memcmp(w->pkt + pkt.l4_off + tcp.hdr_len, payload + (seq - 1000) + at, w->len - pkt.l4_off - tcp.hdr_len);
		at += w->len - pkt.l4_off - tcp.hdr_len;
	}
	end_forget(cli);
	end_forget(srv);
	return good && at == len;
}

static void move(uint16_t mtu)
{
	tmpl_put(p.c->tmpl);
	p.c->tmpl = make_tmpl(cli, srv, 6, mtu);
	p.c->epoch++;
}

static unsigned int again(void)
{
	const struct replay_train *t;
	unsigned int n = 0;

	replay_begin(&replay, 9);
	for (; (t = replay_next(&replay, 9)); n++)
		outbound_again(p.c, t, 1000, &cli->batch);
	end_flush(cli, &cli->batch);
	return n;
}

static void test_data(void)
{
	begin(4);
	CHECK("sent", send_tcp(TCP_ACK, 1000, 30000) == VERDICT_PASS && send_tcp(TCP_ACK, 31000, 100) == VERDICT_PASS);
	CHECK("and kept", p.c->kept);
	CHECK("as ever", arrives(1000, 30100, 1472, 0));
	move(1200);
	CHECK("both once more", again() == 2 && arrives(1000, 30100, 1200, 1));
	ack(31000, TCP_ACK);
	CHECK("one is left", p.c->kept && again() == 1 && arrives(31000, 100, 1200, 1));
	CHECK("FIN counts", send_tcp(TCP_ACK | TCP_FIN, 31100, 0) == VERDICT_PASS);
	ack(31100, TCP_ACK);
	CHECK("it is not acknowledged yet", p.c->kept && again() == 1);
	ack(31101, TCP_ACK);
	CHECK("nothing is left", !p.c->kept && !again());
	end();
}

static void test_ack(void)
{
	const struct replay_ack *a;
	struct tcp_hdr tcp;
	struct ip_pkt pkt;

	begin(4);
	send_tcp(TCP_ACK, 1000, 0);
	CHECK("a bare ACK is no data", !p.c->kept && !again());
	end_forget(cli);
	move(1472);
	a = replay_ack(&replay, 9);
	CU_ASSERT_FATAL(a != NULL);
	outbound_again_ack(p.c, a, 1000, &cli->batch);
	end_flush(cli, &cli->batch);
	CHECK("one frame", cli->num_sent == 1);
	arrive(srv, cli->sent[0].p, cli->sent[0].len, NULL);
	inbound_flush(&srv->in);
	CHECK("is that ACK", srv->num_got == 1 && !ip_parse(srv->got[0].pkt, srv->got[0].len, &pkt) &&
				     !tcp_parse(srv->got[0].pkt + pkt.l4_off, srv->got[0].len - pkt.l4_off, &tcp) &&
				     tcp.seq == 1000 && tcp.ack == 500 && tcp.window == 77 && tcp.flags == TCP_ACK);
	end();
	begin(4);
	p.c->server = true;
	send_tcp(TCP_ACK, 1000, 0);
	CHECK("a server does not move flows", !replay_ack(&replay, 9));
	end();
}

static void test_not_kept(void)
{
	begin(0);
	send_tcp(TCP_ACK, 1000, 3000);
	CHECK("there is no other way than the empty path", !p.c->kept && !again());
	end();
	begin(4);
	p.c->keep = false;
	send_tcp(TCP_ACK, 1000, 3000);
	CHECK("replay: off", !p.c->kept && !again());
	end();
	begin(4);
	send_tcp(TCP_ACK, 1000, 3000);
	send_tcp(TCP_RST | TCP_ACK, 4000, 0);
	CHECK("after a RST there is nothing to come", !p.c->kept && !again());
	end();
	begin(4);
	send_tcp(TCP_ACK, 1000, 3000);
	ack(1000, TCP_RST | TCP_ACK);
	CHECK("nor after one of the other side", !p.c->kept && !again());
	end();
	begin(4);
	send_tcp(TCP_ACK, 1000, 3000);
	ack(4001, TCP_ACK);
	CHECK("an ack of what was never sent", p.c->kept && again() == 1);
	end();
}

const struct unit_test unit_tests[] = {
	{ "data, over a path with another MTU", test_data },
	{ "the last ACK", test_ack },
	{ "what is not kept", test_not_kept },
	{ NULL, NULL },
};
