/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/outbound.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

static struct end *cli, *srv;
static uint8_t buf[70000], data[66000];

static const uint8_t dss[20] = { 30, 20, 0x20, 0x05, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static struct pair begin(bool v6, uint16_t mtu)
{
	cli = end_new("1-64512,10.0.0.1", 31000);
	srv = end_new("1-64513,10.13.0.2", 31002);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
	return make_flow(cli, srv, 7, INET_PROTO_TCP, v6, mtu);
}

static void finish(void)
{
	end_free(cli);
	end_free(srv);
}

static enum verdict out(struct train *t)
{
	struct flow *f;
	enum verdict v = outbound_train(&cli->table, t, 1234, &cli->batch, &f);

	end_flush(cli, &cli->batch);
	return v;
}

/* The @i-th datagram that was sent, taken apart. */
static struct thin_tcp sent(unsigned int i, struct scion_pkt *pkt, struct frame_hdr *h, struct rd *r)
{
	struct scion_udp udp;
	struct thin_tcp thin = { 0 };

	if (i >= cli->num_sent || scion_parse(cli->sent[i].p, cli->sent[i].len, pkt) ||
	    scion_udp_parse(pkt, &udp)) {
		*r = (struct rd){ .bad = true };
		return thin;
	}
	*r = rd_init(udp.data, udp.len);
	if (frame_parse_hdr(r, h) || h->type != FRAME_DATA || frame_parse_thin(r, &thin))
		r->bad = true;
	return thin;
}

struct split_case {
	const char *why;
	uint16_t gso;
	uint32_t len;
	unsigned int segments;
	uint32_t first; /* payload bytes of the first */
};

static void test_split(void)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct pair p = begin(v6, 1472);
		uint32_t most = tmpl_budget(p.c->tmpl) - 12u - 12u - sizeof(dss);
		const struct split_case cases[] = {
			{ "pure ACK", 0, 0, 1, 0 },
			{ "one byte", 0, 1, 1, 1 },
			{ "exactly what fits", 0, most, 1, most },
			{ "one byte more: a single segment is split", 0, most + 1, 2, most },
			{ "segments of the train fit", 1000, 10001, 11, 1000 },
			{ "segments of the train are too large for the path", 1460, 14600, (14600 + most - 1) / most, most },
			{ "64 KiB", (uint16_t)most, 65000, (65000 + most - 1) / most, most },
			{ "a single segment of 64 KiB", 0, 65000, (65000 + most - 1) / most, most },
			{ "segments of one byte", 1, 3000, 3000, 1 },
		};

		for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			const struct split_case *c = &cases[i];
			struct tcp_build b = { .seq = 0xfffff000, .ack = 77, .flags = TCP_ACK | TCP_PSH,
					       .window = 500, .opts = dss, .opts_len = sizeof(dss),
					       .data = data, .len = c->len, .traffic_class = 0xba };
			struct train t = tcp_train(buf, p.c, b, c->gso);
			uint64_t before = flow_counter(&p.c->stats.tx_segments), wire = 0;
			uint32_t at = 0;
			bool fine = true;

			end_forget(cli);
			CHECK(c->why, out(&t) == VERDICT_PASS);
			CHECK("number of segments", cli->num_sent == c->segments && !cli->bad_msgs);
			for (unsigned int k = 0; k < cli->num_sent; k++) {
				struct scion_pkt pkt;
				struct frame_hdr h;
				struct rd r;
				struct thin_tcp thin = sent(k, &pkt, &h, &r);
				bool last = k + 1 == cli->num_sent;

				fine &= !r.bad && cli->sent[k].len <= 1472 && pkt.traffic_class == 0xba &&
					pkt.flow_id == FLOW_ID_INDEX(p.c->mine.id);
				fine &= h.to.id == p.c->theirs.id && h.to.tag == p.c->theirs.tag;
				fine &= thin.seq == 0xfffff000 + at && thin.ack == 77 && thin.window == 500;
				fine &= thin.flags == (last ? TCP_ACK | TCP_PSH : TCP_ACK);
				fine &= thin.opts_len == sizeof(dss) && !memcmp(thin.opts, dss, sizeof(dss));
				fine &= last ? r.left <= c->first : r.left == c->first;
				fine &= at + r.left <= c->len && !memcmp(r.p, data + at, r.left);
				at += (uint32_t)r.left;
				wire += cli->sent[k].len + 28;
			}
			CHECK("every piece is right", fine && at == c->len);
			CHECK("counted", flow_counter(&p.c->stats.tx_segments) == before + c->segments);
			CHECK("counted on the wire", flow_counter(&p.c->stats.tx_wire_bytes) == wire);
			atomic_store(&p.c->stats.tx_wire_bytes, 0);
		}
		CHECK("one beyond the last byte that was sent",
		      p.c->hot->known & FLOW_KNOWS_OUT && p.c->hot->out_next == 0xfffff000 + 65000);
		CHECK("when, in seconds", p.c->hot->last_s == 1);
		finish();
	}
}

/* Flags of three pieces: FIN and PSH last, CWR first, URG as long as the urgent byte is to come. */
static void test_flags(void)
{
	static const struct {
		const char *why;
		uint8_t flags;
		uint16_t urgent;
		uint8_t want[3];
		uint16_t want_urgent[3];
	} cases[] = {
		{ "ACK", TCP_ACK, 0, { TCP_ACK, TCP_ACK, TCP_ACK }, { 0 } },
		{ "PSH", TCP_ACK | TCP_PSH, 0, { TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH }, { 0 } },
		{ "FIN", TCP_ACK | TCP_FIN, 0, { TCP_ACK, TCP_ACK, TCP_ACK | TCP_FIN }, { 0 } },
		{ "CWR", TCP_ACK | TCP_CWR, 0, { TCP_ACK | TCP_CWR, TCP_ACK, TCP_ACK }, { 0 } },
		{ "ECE", TCP_ACK | TCP_ECE, 0, { TCP_ACK | TCP_ECE, TCP_ACK | TCP_ECE, TCP_ACK | TCP_ECE }, { 0 } },
		{ "urgent byte in the first", TCP_ACK | TCP_URG, 1000, { TCP_ACK | TCP_URG, TCP_ACK, TCP_ACK }, { 1000 } },
		{ "in the second", TCP_ACK | TCP_URG, 1001,
		  { TCP_ACK | TCP_URG, TCP_ACK | TCP_URG, TCP_ACK }, { 1001, 1 } },
		{ "beyond all", TCP_ACK | TCP_URG, 5000,
		  { TCP_ACK | TCP_URG, TCP_ACK | TCP_URG, TCP_ACK | TCP_URG }, { 5000, 4000, 3000 } },
	};
	struct pair p = begin(false, 1472);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct train t = tcp_train(buf, p.c, (struct tcp_build){ .seq = 1, .flags = cases[i].flags, .urgent = cases[i].urgent,
				.data = data, .len = 2500 }, 1000);
		bool fine = true;

		end_forget(cli);
		CHECK(cases[i].why, out(&t) == VERDICT_PASS && cli->num_sent == 3 && !cli->bad_msgs);
		for (unsigned int k = 0; k < 3; k++) {
			struct scion_pkt pkt;
			struct frame_hdr h;
			struct rd r;
			struct thin_tcp thin = sent(k, &pkt, &h, &r);

			fine &= !r.bad && thin.flags == cases[i].want[k] && thin.urgent == cases[i].want_urgent[k];
			fine &= r.left == (k == 2 ? 500 : 1000) && !memcmp(r.p, data + 1000 * k, r.left);
		}
		CHECK(cases[i].why, fine);
	}
	finish();
}

/* Linux repeats DATA_FIN in ACKs, and with data it may hang a receiver that has them. */
static void test_data_fin(void)
{
	static const uint8_t fin[20] = { 30, 18, 0x20, 0x15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 9, 0xc5, 1, 1 };
	static const uint8_t without[20] = { 30, 18, 0x20, 0x05, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 9, 0xc4, 1, 1 };
	struct pair p = begin(false, 1472);

	for (uint32_t len = 0; len <= 2500; len += 2500) {
		struct tcp_build b = { .seq = 1, .flags = TCP_ACK, .data = data, .len = len, .opts = fin, .opts_len = 20 };
		struct train t = tcp_train(buf, p.c, b, 1000);
		struct scion_pkt pkt;
		struct frame_hdr h;
		struct rd r;

		end_forget(cli);
		CHECK("it passes", out(&t) == VERDICT_PASS && cli->num_sent == (len ? 3 : 1) && !cli->bad_msgs);
		for (unsigned int k = 0; k < cli->num_sent; k++) {
			struct thin_tcp thin = sent(k, &pkt, &h, &r);

			CHECK(len ? "no DATA_FIN with data" : "the ACK has it", !r.bad && thin.opts_len == 20 &&
			      !memcmp(thin.opts, len ? without : fin, 20));
		}
	}
	finish();
}

/* Room for one segment less than a train needs, wherever in it that is. */
static void test_flush_in_mid_train(void)
{
	struct pair p = begin(false, 1472);
	struct train t = tcp_train(buf, p.c, (struct tcp_build){ .seq = 9, .flags = TCP_ACK, .data = data, .len = 5000 }, 1000);
	static const struct {
		const char *why;
		uint32_t msgs, iov, hdr; /* used before the train */
	} cases[] = {
		{ "messages", SEND_MAX_MSGS, 0, 0 },
		{ "one message is left, and is used", SEND_MAX_MSGS - 1, 0, 0 },
		{ "iovecs", 0, SEND_MAX_IOV - 5, 0 },
		{ "headers", 0, 0, SEND_HDR_BYTES - SEND_MAX_HDR - 300 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scion_pkt pkt;
		struct frame_hdr h;
		struct flow *f;
		struct rd r;
		bool fine = true;
		unsigned int extra;

		end_forget(cli);
		/* What is there already: messages of one segment. */
		static uint8_t other[100];
		for (uint32_t m = 0; m < cases[i].msgs; m++) {
			struct send_msg *open = NULL;

			send_batch_hdr(&cli->batch);
			send_batch_add(&cli->batch, p.c->tmpl, 100, other, sizeof(other), &open);
		}
		cli->batch.num_iov += cases[i].iov;
		cli->batch.hdr_used += cases[i].hdr;
		extra = cases[i].msgs;
		CHECK(cases[i].why, outbound_train(&cli->table, &t, 0, &cli->batch, &f) == VERDICT_PASS);
		CHECK("flushed on the way", cli->flushes == 1);
		end_flush(cli, &cli->batch);
		CHECK("no message that the kernel refuses", !cli->bad_msgs);
		CHECK("all there", cli->num_sent == extra + 5);
		for (unsigned int k = 0; k < 5; k++) {
			struct thin_tcp thin = sent(extra + k, &pkt, &h, &r);

			fine &= !r.bad && thin.seq == 9 + 1000 * k && r.left == 1000 && !memcmp(r.p, data + 1000 * k, 1000);
		}
		CHECK("and nothing mixed up", fine);
	}
	finish();
}

static void test_messages(void)
{
	struct pair p = begin(false, 1472);
	struct train t[20];
	static uint8_t many[20][3000];
	unsigned int n = 0;
	struct flow *f;

	for (int i = 0; i < 20; i++) {
		t[i] = tcp_train(many[i], p.c, (struct tcp_build){ .seq = (uint32_t)i * 1000, .flags = TCP_ACK, .data = data,
				 .len = i % 3 ? 1000 : 0 }, 0);
		n += outbound_train(&cli->table, &t[i], 0, &cli->batch, &f) == VERDICT_PASS;
	}
	CHECK("trains of one do not join: their message ends with them", n == 20 && cli->batch.num_msgs == 20);
	end_flush(cli, &cli->batch);
	CHECK("in order", cli->num_sent == 20 && !cli->bad_msgs);

	end_forget(cli);
	t[0] = tcp_train(buf, p.c, (struct tcp_build){ .flags = TCP_ACK, .data = data, .len = 64000 }, 500);
	outbound_train(&cli->table, &t[0], 0, &cli->batch, &f);
	CHECK("64 segments a message and no more", cli->batch.num_msgs == 2 && cli->batch.msgs[0].num_segs == 64 &&
	      cli->batch.msgs[1].num_segs == 64);
	end_flush(cli, &cli->batch);
	t[0] = tcp_train(buf, p.c, (struct tcp_build){ .flags = TCP_ACK, .data = data, .len = 65000 }, 1300);
	outbound_train(&cli->table, &t[0], 0, &cli->batch, &f);
	CHECK("65507 bytes a message and no more", cli->batch.num_msgs == 2 && cli->batch.msgs[0].bytes <= 65507);
	end_flush(cli, &cli->batch);
	CHECK("as the kernel wants them", !cli->bad_msgs);
	finish();
}

static void test_verdicts(void)
{
	struct pair p = begin(false, 1472);
	struct tcp_build b = { .seq = 5, .flags = TCP_ACK, .data = data, .len = 100 };
	struct train t = tcp_train(buf, p.c, b, 0);
	struct tmpl *tmpl = p.c->tmpl;
	struct ip_pkt pkt;

	CHECK("passes", out(&t) == VERDICT_PASS);
	t.side = 2;
	CHECK("another namespace: another flow", out(&t) == VERDICT_CONTROL);
	t.side = 1;
	p.c->slow = true;
	CHECK("not open yet", out(&t) == VERDICT_CONTROL);
	p.c->slow = false;
	p.c->tmpl = NULL;
	CHECK("no path: parked", out(&t) == VERDICT_CONTROL);
	p.c->tmpl = tmpl;
	t.vnet.flags = 0;
	CHECK("a checksum that is not complete and says it is", out(&t) == VERDICT_TUN_CHECKSUM);
	ip_parse(buf, t.len, &pkt);
	inet_l4_csum_set(buf, &pkt);
	CHECK("complete and right", out(&t) == VERDICT_PASS);
	buf[60] ^= 1;
	CHECK("complete and wrong", out(&t) == VERDICT_TUN_CHECKSUM);
	b.flags = TCP_SYN;
	t = tcp_train(buf, p.c, b, 0);
	CHECK("SYN", out(&t) == VERDICT_CONTROL);
	b.flags = TCP_RST | TCP_ACK;
	b.len = 0;
	b.seq = 105;
	t = tcp_train(buf, p.c, b, 0);
	CHECK("RST passes and was seen", out(&t) == VERDICT_PASS && p.c->saw == FLOW_SAW_RST_OUT);
	b.flags = TCP_FIN | TCP_ACK;
	t = tcp_train(buf, p.c, b, 0);
	CHECK("FIN passes and was seen", out(&t) == VERDICT_PASS && p.c->saw == (FLOW_SAW_RST_OUT | FLOW_SAW_FIN_OUT));
	CHECK("and counts as a byte", p.c->hot->out_next == 106);
	buf[32] = 0x40;
	CHECK("data offset below 5", out(&t) == VERDICT_TUN_MALFORMED);
	buf[32] = 0xf0;
	CHECK("data offset beyond the packet", out(&t) == VERDICT_TUN_MALFORMED);
	t = tcp_train(buf, p.c, b, 0);
	for (uint32_t len = 0; len < t.len; len++) {
		struct train cut = t;

		cut.pkt = copy_of(buf, len); /* exactly as long: the sanitizer watches */
		cut.len = len;
		CHECK("cut off anywhere", out(&cut) == VERDICT_TUN_MALFORMED);
		free(cut.pkt);
	}
	buf[6] = 0x20; /* more fragments */
	CHECK("TCP is not sent in fragments", out(&t) == VERDICT_TUN_MALFORMED);
	t = tcp_train(buf, p.c, b, 0);
	tmpl->mtu_bytes = tmpl->len + 24;
	CHECK("an MTU without room for a byte", out(&t) == VERDICT_NO_PATH);
	finish();
}

static void test_syn_counts(void)
{
	struct pair p = begin(false, 1472);
	struct train t = tcp_train(buf, p.c, (struct tcp_build){ .seq = 1000, .flags = TCP_SYN | TCP_ACK }, 0);

	p.c->slow = true;
	CHECK("to control", out(&t) == VERDICT_CONTROL);
	CHECK("an ack of the SYN is an ack of what was sent", p.c->hot->known & FLOW_KNOWS_OUT && p.c->hot->out_next == 1001);
	finish();
}

static void test_datagrams(void)
{
	struct pair p = begin(false, 1472);
	struct pair u = make_flow(cli, srv, 8, INET_PROTO_UDP, false, 1472);
	uint32_t room = tmpl_budget(u.c->tmpl);
	static const struct {
		const char *why;
		int above; /* packet length: budget and so much more */
		bool twice;
		unsigned int parts;
	} cases[] = {
		{ "small", -1000, false, 1 },
		{ "exactly what fits", -12, false, 1 },
		{ "one byte more", -11, false, 2 },
		{ "odd length in two parts", 101, false, 2 },
		{ "the largest in two", -32, true, 2 },
		{ "too large for two", -31, true, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t want = room * (cases[i].twice ? 2 : 1) + (uint32_t)cases[i].above;
		size_t len = udp_packet(buf, &u.c->key.local, &u.c->key.remote, 40008, 5201, want - 28);
		struct train t = ip_train(buf, len, 1);
		enum verdict v;

		end_forget(cli);
		v = out(&t);
		CHECK(cases[i].why, v == (cases[i].parts ? VERDICT_PASS : VERDICT_CONTROL));
		CHECK("parts", cli->num_sent == cases[i].parts && !cli->bad_msgs);
		for (unsigned int k = 0; k < cli->num_sent; k++)
			CHECK("within the MTU", cli->sent[k].len <= 1472);
	}
	end_forget(cli);
	struct train t = ip_train(buf, udp_packet(buf, &u.c->key.local, &u.c->key.remote, 40008, 5201, 100), 1);

	t.vnet.flags = VNET_F_NEEDS_CSUM;
	memset(buf + 26, 0, 2);
	CHECK("sent", out(&t) == VERDICT_PASS);
	struct ip_pkt pkt;

	CHECK("with a complete checksum", !ip_parse(buf, t.len, &pkt) && inet_l4_csum_ok(buf, &pkt) && get_be16(buf + 26));
	(void)p;
	finish();
}

/* Equal datagrams in a row are one message, which their receiver's GRO joins; a shorter one ends it. */
static void test_datagram_runs(void)
{
	struct pair p = begin(false, 1472);
	struct pair u = make_flow(cli, srv, 8, INET_PROTO_UDP, false, 1472);
	struct pair v = make_flow(cli, srv, 9, INET_PROTO_UDP, false, 1472);
	static const struct {
		const char *why;
		uint16_t sizes[70];
		unsigned int n, msgs;
	} cases[] = {
		{ "equal", { 64, 64, 64 }, 3, 1 },
		{ "a shorter one is the last", { 64, 64, 20, 20, 64 }, 5, 3 },
		{ "a longer one begins anew", { 64, 65, 64 }, 3, 2 },
		{ "64 and no more", { 0 }, 70, 2 },
		{ "in two equal parts each", { 1500, 1500 }, 2, 1 },
		{ "the second part shorter", { 1501, 1501 }, 2, 2 },
	};
	static uint8_t many[70][2000];
	struct flow *f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		end_forget(cli);
		for (unsigned int k = 0; k < cases[i].n; k++) {
			struct train t = ip_train(many[k], udp_packet(many[k], &u.c->key.local, &u.c->key.remote, 40008, 5201,
								      cases[i].sizes[k]), 1);

			CHECK("passes", outbound_train(&cli->table, &t, 0, &cli->batch, &f) == VERDICT_PASS);
		}
		CHECK(cases[i].why, cli->batch.num_msgs == cases[i].msgs);
		end_flush(cli, &cli->batch);
		CHECK("as the kernel wants it", !cli->bad_msgs && cli->num_sent >= cases[i].n);
		for (unsigned int k = 0; k < cases[i].n && cli->num_sent == cases[i].n; k++) {
			struct scion_pkt pkt;
			struct scion_udp udp;
			size_t len = 28u + cases[i].sizes[k];

			CHECK("each whole and in order", !scion_parse(cli->sent[k].p, cli->sent[k].len, &pkt) &&
			      !scion_udp_parse(&pkt, &udp) && udp.len == FRAME_HDR_LEN + len &&
			      !memcmp(udp.data + FRAME_HDR_LEN, many[k], len));
		}
	}
	end_forget(cli);
	for (unsigned int k = 0; k < 4; k++) {
		const struct flow *from = k < 2 ? u.c : v.c;
		struct train t = ip_train(many[k], udp_packet(many[k], &from->key.local, &from->key.remote,
							      from->key.local_port, 5201, 64), 1);

		CHECK("passes", outbound_train(&cli->table, &t, 0, &cli->batch, &f) == VERDICT_PASS && f == from);
	}
	CHECK("each template has its own", cli->batch.num_msgs == 2);
	end_flush(cli, &cli->batch);
	(void)p;
	finish();
}

const struct unit_test unit_tests[] = {
	{ "splitting", test_split },
	{ "flags of pieces", test_flags },
	{ "DATA_FIN goes by itself", test_data_fin },
	{ "flush in mid train", test_flush_in_mid_train },
	{ "messages", test_messages },
	{ "verdicts", test_verdicts },
	{ "a SYN counts", test_syn_counts },
	{ "datagrams", test_datagrams },
	{ "runs of datagrams", test_datagram_runs },
	{ 0 },
};
