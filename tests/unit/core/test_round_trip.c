/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inbound.h"
#include "shila/core/outbound.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

/*
 * Random trains of several flows through outbound, a bad network, and inbound. What is written to the
 * TUN is cut into segments as the receiving kernel would, and each segment is compared with the
 * train that it came from: bytes, options, flags, acks, windows, traffic class, checksums.
 */

#define FLOWS	   6
#define TRAINS	   12
#define STREAM_MAX (TRAINS * 65536)

struct origin { /* a train that was sent */
	uint32_t seq, len; /* of the stream, from 0 */
	struct tcp_build b;
	uint8_t opts[40];
};

static struct stream {
	struct pair p;
	uint32_t isn;
	uint8_t *bytes;	   /* what was sent */
	uint8_t *expected; /* how often each byte arrives */
	uint8_t *seen;
	uint32_t len;
	unsigned int acks, acks_seen; /* segments without payload */
	struct origin from[TRAINS];
	unsigned int num;
} streams[FLOWS];

static struct end *cli, *srv;
static const char *wrong; /* the first thing that was */

static void must(const char *what, bool cond)
{
	if (!cond && !wrong)
		wrong = what;
}

/* ---- sending ---- */

static void random_train(struct stream *s, uint16_t mtu)
{
	static uint8_t buf[70000];
	struct origin *o = &s->from[s->num], *before = s->num ? o - 1 : NULL;
	static const uint8_t lens[] = { 0, 12, 20, 40 };
	struct train t;
	struct flow *f;
	uint16_t gso = 0;

	memset(o, 0, sizeof(*o));
	o->seq = s->len;
	if (before && rnd(2)) { /* goes on as it was: trains that can merge */
		*o = *before;
		o->seq = s->len;
		o->b.flags &= (uint8_t)~(TCP_PSH | TCP_CWR | TCP_URG);
	} else {
		o->b.opts_len = lens[rnd(4)];
		for (unsigned int i = 0; i < o->b.opts_len; i++)
			o->opts[i] = (uint8_t)rnd(256);
		o->b.ack = rnd(1u << 31);
		o->b.window = (uint16_t)rnd(65536);
		o->b.traffic_class = (uint8_t)rnd(256);
		o->b.flags = TCP_ACK | (rnd(4) ? 0 : TCP_PSH) | (rnd(8) ? 0 : TCP_CWR) | (rnd(8) ? 0 : TCP_ECE) |
			     (rnd(8) ? 0 : TCP_URG);
	}
	switch (rnd(5)) {
	case 0:
		o->len = 0;
		break;
	case 1: /* one segment, also larger than the path takes */
		o->len = 1 + rnd(2 * mtu);
		break;
	case 2: /* as large as a train gets */
		o->len = 65535 - 40 - 20 - 40;
		gso = (uint16_t)(500 + rnd(2000));
		break;
	default:
		o->len = 1 + rnd(20000);
		gso = (uint16_t)(100 + rnd(2000));
		break;
	}
	if (gso && o->len <= gso)
		gso = 0;
	for (uint32_t i = 0; i < o->len; i++)
		s->bytes[s->len + i] = (uint8_t)rnd(256);
	o->b.opts = o->opts;
	o->b.data = s->bytes + s->len;
	o->b.len = o->len;
	o->b.seq = s->isn + o->seq;
	o->b.urgent = o->b.flags & TCP_URG ? (uint16_t)(1 + rnd(o->len + 10)) : 0;
	s->len += o->len;
	s->num++;
	t = tcp_train(buf, s->p.c, o->b, gso);
	must("outbound_train: pass", outbound_train(&cli->table, &t, 0, &cli->batch, &f) == VERDICT_PASS);
	/* Payload is lent until the flush, and the buffer is used again. */
	end_flush(cli, &cli->batch);
}

/* ---- the network ---- */

/* What is to arrive, read with the parsers of the wire alone. */
static void expect(const struct bytes *d)
{
	struct scion_pkt pkt;
	struct scion_udp udp;
	struct frame_hdr h;
	struct thin_tcp thin;
	struct stream *s;
	struct rd r;

	must("SCION", !scion_parse(d->p, d->len, &pkt) && !scion_udp_parse(&pkt, &udp));
	r = rd_init(udp.data, udp.len);
	must("frame", !frame_parse_hdr(&r, &h) && !frame_parse_thin(&r, &thin));
	if (wrong)
		return;
	s = &streams[FLOW_ID_INDEX(h.to.id) - 1];
	s->acks += !r.left;
	for (size_t i = 0; i < r.left; i++)
		s->expected[thin.seq - s->isn + i]++;
}

static void network(unsigned int trouble)
{
	static struct bytes *line[3 * WORLD_MAX_DGRAMS];
	unsigned int n = 0, batch;
	struct flow *f;

	for (unsigned int i = 0; i < cli->num_sent; i++) {
		if (trouble && !rnd(20))
			continue; /* lost */
		line[n++] = &cli->sent[i];
		if (trouble && !rnd(20))
			line[n++] = &cli->sent[i];
	}
	for (unsigned int i = 0; trouble > 1 && i + 1 < n; i++) { /* overtaking, by up to 8 */
		unsigned int k = i + rnd(n - i < 8 ? n - i : 8);
		struct bytes *x = line[i];

		line[i] = line[k];
		line[k] = x;
	}
	for (unsigned int i = 0; i < n; i += batch) {
		static struct bytes copies[256];

		batch = 1 + rnd(200);
		if (batch > n - i)
			batch = n - i;
		for (unsigned int k = 0; k < batch; k++) {
			expect(line[i + k]);
			copies[k] = (struct bytes){ copy_of(line[i + k]->p, line[i + k]->len), line[i + k]->len };
			must("inbound_packet: pass", inbound_packet(&srv->in, copies[k].p, copies[k].len, 28, 0, &f) ==
			     VERDICT_PASS);
		}
		inbound_flush(&srv->in);
		for (unsigned int k = 0; k < batch; k++)
			free(copies[k].p);
	}
}

/* ---- the receiving kernel ---- */

static const struct origin *origin_of(const struct stream *s, uint32_t at, uint32_t len)
{
	for (unsigned int i = 0; i < s->num; i++) {
		const struct origin *o = &s->from[i];

		if (len ? at >= o->seq && at + len <= o->seq + o->len : o->seq == at && !o->len)
			return o;
	}
	return NULL;
}

static void segment(struct stream *s, const struct tcp_hdr *h, uint8_t flags, uint32_t seq, const uint8_t *p,
		    uint32_t len, uint8_t tc)
{
	uint32_t at = seq - s->isn;
	const struct origin *o = NULL;
	uint8_t want;

	/* Several pure ACKs may stand at one sequence number. */
	for (unsigned int i = 0; i < s->num && !len; i++)
		if (s->from[i].seq == at && !s->from[i].len && s->from[i].b.ack == h->ack && s->from[i].b.flags == flags &&
		    s->from[i].b.window == h->window && s->from[i].b.traffic_class == tc && s->from[i].b.opts_len == h->opts_len &&
		    !memcmp(s->from[i].opts, h->opts, h->opts_len))
			o = &s->from[i];
	if (len)
		o = origin_of(s, at, len);
	must("a segment within one train", o);
	if (!o)
		return;
	must("ack and window", h->ack == o->b.ack && h->window == o->b.window);
	must("traffic class", tc == o->b.traffic_class);
	must("the whole option area", h->opts_len == o->b.opts_len && !memcmp(h->opts, o->opts, h->opts_len));
	want = o->b.flags;
	if (at != o->seq)
		want &= (uint8_t)~TCP_CWR;
	if (at + len != o->seq + o->len)
		want &= (uint8_t)~TCP_PSH;
	if (at - o->seq >= o->b.urgent && at != o->seq)
		want &= (uint8_t)~TCP_URG;
	must("flags", flags == want);
	must("urgent byte", !(want & TCP_URG) || h->urgent + at == o->seq + o->b.urgent);
	must("the bytes that were sent", !memcmp(p, s->bytes + at, len));
	for (uint32_t i = 0; i < len; i++)
		s->seen[at + i]++;
	s->acks_seen += !len;
}

static void receive(struct written *w)
{
	struct ip_pkt pkt;
	struct tcp_hdr h;
	struct stream *s;
	uint32_t len, size, at = 0, ip_len;
	const uint8_t *p;
	uint16_t partial;

	must("an IP packet", !ip_parse(w->pkt, w->len, &pkt) && pkt.proto == INET_PROTO_TCP);
	must("TCP", !wrong && !tcp_parse(w->pkt + pkt.l4_off, w->len - pkt.l4_off, &h));
	if (wrong)
		return;
	ip_len = pkt.l4_off;
	s = &streams[(h.src_port - 40001) % FLOWS];
	must("of its flow", !memcmp(pkt.src, s->p.s->key.remote.b, pkt.addr_len) && h.dst_port == 5201);
	must("IPv4 header checksum", pkt.version == 6 || csum_fold(csum_add(0, w->pkt, 20)) == 0xffff);
	partial = csum_fold(inet_csum_pseudo(pkt.src, pkt.dst, pkt.addr_len, INET_PROTO_TCP, w->len - ip_len));
	must("checksum to be completed", w->vnet.flags == VNET_F_NEEDS_CSUM && !memcmp(w->pkt + ip_len + 16, &partial, 2) &&
	     w->vnet.csum_start == ip_len && w->vnet.csum_offset == 16);
	inet_l4_csum_set(w->pkt, &pkt);
	must("and then right", inet_l4_csum_ok(w->pkt, &pkt));
	len = w->len - ip_len - h.hdr_len;
	p = w->pkt + ip_len + h.hdr_len;
	size = w->vnet.gso_size;
	must("header length", w->vnet.hdr_len == ip_len + h.hdr_len);
	must("GSO exactly when there are several", size ? len > size && len <= 127 * size : !w->vnet.gso_type);
	must("GSO type", !size || w->vnet.gso_type == (pkt.version == 6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4));
	must("no flag that GSO cannot spread", !size || !(h.flags & ~(TCP_ACK | TCP_PSH | TCP_FIN)));
	do { /* as the kernel cuts */
		uint32_t n = !size || len - at < size ? len - at : size;
		uint8_t flags = h.flags;

		if (at + n < len)
			flags &= (uint8_t)~(TCP_PSH | TCP_FIN);
		segment(s, &h, flags, h.seq + at, p + at, n, pkt.traffic_class);
		at += n;
	} while (at < len);
}

/* ---- ---- */

static void one_round(unsigned int trouble, uint16_t mtu)
{
	unsigned int merged = 0;

	cli = end_new(rnd(2) ? "1-64512,10.0.0.1" : "1-64512,fd00::1", 31000);
	srv = end_new(rnd(2) ? "1-64513,10.13.0.2" : "1-64513,fd00::2", 31002);
	wrong = NULL;
	for (uint32_t i = 0; i < FLOWS; i++) {
		struct stream *s = &streams[i];

		memset(s, 0, sizeof(*s));
		s->bytes = calloc(3, STREAM_MAX);
		s->expected = s->bytes + STREAM_MAX;
		s->seen = s->bytes + 2 * STREAM_MAX;
		s->isn = rnd(2) ? 0xffffffff - rnd(200000) : rnd(1u << 31);
		s->p = make_flow(cli, srv, i + 1, INET_PROTO_TCP, i % 2, mtu);
		s->p.c->key.remote_port = s->p.s->key.local_port = 5201;
	}
	for (unsigned int i = 0; i < FLOWS * 2; i++) {
		for (unsigned int k = 0; k < 2; k++) {
			struct stream *s = &streams[rnd(FLOWS)];

			if (s->num < TRAINS)
				random_train(s, mtu);
		}
		network(trouble);
		for (unsigned int k = 0; k < srv->num_got; k++) {
			receive(&srv->got[k]);
			merged += srv->got[k].vnet.gso_size != 0;
		}
		must("datagrams within the MTU and messages that the kernel takes", !cli->bad_msgs);
		for (unsigned int k = 0; k < cli->num_sent; k++)
			must("MTU", cli->sent[k].len <= mtu);
		end_forget(cli);
		end_forget(srv);
	}
	for (uint32_t i = 0; i < FLOWS; i++) {
		must("all that arrived is delivered, as often", !memcmp(streams[i].expected, streams[i].seen, STREAM_MAX));
		must("pure ACKs too", streams[i].acks == streams[i].acks_seen);
		free(streams[i].bytes);
	}
	must("something was merged", merged);
	end_free(cli);
	end_free(srv);
	CHECK(wrong ? wrong : "", !wrong);
}

static void run(unsigned int trouble)
{
	static const uint16_t mtus[] = { 700, 1280, 1472, 9000 };

	for (unsigned int i = 0; i < 12; i++)
		one_round(trouble, mtus[i % 4]);
}

static void test_clean(void)
{
	run(0);
}

static void test_lossy(void)
{
	run(1);
}

static void test_reordered(void)
{
	run(2);
}

const struct unit_test unit_tests[] = {
	{ "a clean network", test_clean },
	{ "loss and duplicates", test_lossy },
	{ "and reordering", test_reordered },
	{ 0 },
};
