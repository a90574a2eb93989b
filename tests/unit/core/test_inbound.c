/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inbound.h"

#include "tests/unit/check.h"
#include "tests/unit/core/world.h"

#include <sys/uio.h>

static struct end *cli, *srv;
static struct pair tcp, udp4, udp6, ping4, ping6, tcp6;
static uint8_t data[4000];
static const uint8_t dss[20] = { 30, 20, 0x20, 0x05, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static void begin(void)
{
	cli = end_new("1-64512,10.0.0.1", 31000);
	srv = end_new("1-64513,10.13.0.2", 31002);
	tcp = make_flow(cli, srv, 7, INET_PROTO_TCP, false, 1472);
	tcp6 = make_flow(cli, srv, 8, INET_PROTO_TCP, true, 1472);
	udp4 = make_flow(cli, srv, 9, INET_PROTO_UDP, false, 1472);
	udp6 = make_flow(cli, srv, 10, INET_PROTO_UDP, true, 1472);
	ping4 = make_flow(cli, srv, 11, INET_PROTO_ICMP, false, 1472);
	ping6 = make_flow(cli, srv, 12, INET_PROTO_ICMPV6, true, 1472);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 256);
}

static void finish(void)
{
	end_free(cli);
	end_free(srv);
}

/* Segments live until the flush; freed by drop(). */
static uint8_t *kept[64];
static unsigned int num_kept;

static uint8_t *keep(const uint8_t *p, size_t len)
{
	return kept[num_kept++] = copy_of(p, len);
}

static void drop(void)
{
	while (num_kept)
		free(kept[--num_kept]);
	end_forget(srv);
}

static enum verdict give(const struct flow *from, const struct thin_tcp *thin, uint8_t tc, const uint8_t *p, size_t n)
{
	static uint8_t pkt[70000];
	size_t len = data_packet(pkt, from, thin, tc, p, n);

	return arrive(srv, keep(pkt, len), len, NULL);
}

/* ---- merging ---- */

static struct thin_tcp thin_at(uint32_t seq)
{
	return (struct thin_tcp){ .seq = seq, .ack = 55, .flags = TCP_ACK, .window = 300, .opts = dss, .opts_len = sizeof(dss) };
}

static void test_merge(void)
{
	const struct written *w;
	struct thin_tcp thin;
	struct ip_pkt pkt;
	struct tcp_hdr h;

	for (int v6 = 0; v6 < 2; v6++) {
		uint32_t ip_len = v6 ? 40 : 20;
		struct pair p;

		begin();
		p = v6 ? tcp6 : tcp;
		for (int i = 0; i < 3; i++) {
			thin = thin_at(0xffffffff - 500 + 1000 * (uint32_t)i);
			if (i == 2)
				thin.flags |= TCP_PSH | TCP_FIN;
			CHECK("taken", give(p.c, &thin, 0xb9, data + 1000 * i, i == 2 ? 400 : 1000) == VERDICT_PASS);
		}
		CHECK("nothing is written before the end of the batch", !srv->num_got);
		inbound_flush(&srv->in);
		CHECK("one train", srv->num_got == 1 && srv->verdicts[VERDICT_PASS] == 1);
		w = &srv->got[0];
		CHECK("to the TUN of the flow", w->tun == 5);
		CHECK("all of it", !ip_parse(w->pkt, w->len, &pkt) && w->len == ip_len + 40 + 2400);
		CHECK("virtio_net_hdr", w->vnet.flags == VNET_F_NEEDS_CSUM && w->vnet.gso_size == 1000 &&
		      w->vnet.gso_type == (v6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4) && w->vnet.hdr_len == ip_len + 40 &&
		      w->vnet.csum_start == ip_len && w->vnet.csum_offset == 16);
		CHECK("IP", pkt.traffic_class == 0xb9 && pkt.ttl == 64 && !pkt.fragment && pkt.l4_off == ip_len);
		CHECK("IPv4 header checksum", v6 || csum_fold(csum_add(0, w->pkt, 20)) == 0xffff);
		CHECK("don't fragment", v6 || get_be16(w->pkt + 6) == 0x4000);
		CHECK("addresses", !memcmp(pkt.src, p.s->key.remote.b, pkt.addr_len) &&
		      !memcmp(pkt.dst, p.s->key.local.b, pkt.addr_len));
		CHECK("TCP", !tcp_parse(w->pkt + ip_len, w->len - ip_len, &h) && h.seq == 0xffffffff - 500 && h.ack == 55);
		CHECK("ports", h.src_port == p.s->key.remote_port && h.dst_port == 5201);
		CHECK("flags of the last", h.flags == (TCP_ACK | TCP_PSH | TCP_FIN) && h.window == 300 && !h.urgent);
		CHECK("options", h.opts_len == sizeof(dss) && !memcmp(h.opts, dss, sizeof(dss)));
		CHECK("payload", !memcmp(w->pkt + ip_len + 40, data, 2400));
		uint16_t partial = csum_fold(inet_csum_pseudo(pkt.src, pkt.dst, pkt.addr_len, 6, w->len - ip_len));
		CHECK("sum of the pseudo header", !memcmp(w->pkt + ip_len + 16, &partial, 2));
		CHECK("seen", p.s->saw == (FLOW_SAW_FIN_IN | FLOW_SAW_HEARD) && p.s->hot->in_next == 0xffffffffu - 500 + 2401);
		CHECK("when, in seconds", p.s->hot->last_s == 1);
		CHECK("counted", flow_counter(&p.s->stats.rx_bytes) == 2400 && flow_counter(&p.s->stats.rx_segments) == 3);
		drop();
		finish();
	}
}

/* Two segments that would be one train but for one thing. */
static const struct mutation {
	const char *why;
	int seq;
	uint32_t ack, window;
	uint8_t first_flags, flags, tc, opt_byte, opts_len;
	size_t len;
	unsigned int trains;
} mutations[] = {
	{ "nothing: one train", .len = 1000, .trains = 1 },
	{ "shorter: the last of one train", .len = 10, .trains = 1 },
	{ "PSH: the last of one train", .flags = TCP_PSH, .len = 1000, .trains = 1 },
	{ "FIN: the last of one train", .flags = TCP_FIN, .len = 1000, .trains = 1 },
	{ "longer", .len = 1001, .trains = 2 },
	{ "no payload", .len = 0, .trains = 2 },
	{ "one byte is missing", .seq = 1, .len = 1000, .trains = 2 },
	{ "one byte again", .seq = -1, .len = 1000, .trains = 2 },
	{ "the same again", .seq = -1000, .len = 1000, .trains = 2 },
	{ "another ack", .ack = 1, .len = 1000, .trains = 2 },
	{ "another window", .window = 1, .len = 1000, .trains = 2 },
	{ "another traffic class", .tc = 2, .len = 1000, .trains = 2 },
	{ "ECE", .flags = TCP_ECE, .len = 1000, .trains = 2 },
	{ "CWR", .flags = TCP_CWR, .len = 1000, .trains = 2 },
	{ "URG", .flags = TCP_URG, .len = 1000, .trains = 2 },
	{ "RST", .flags = TCP_RST, .len = 1000, .trains = 2 },
	{ "PSH before", .first_flags = TCP_PSH, .len = 1000, .trains = 2 },
	{ "FIN before", .first_flags = TCP_FIN, .seq = 1, .len = 1000, .trains = 2 },
	{ "CWR in both", .first_flags = TCP_CWR, .flags = TCP_CWR, .len = 1000, .trains = 2 },
	{ "ECE in both", .first_flags = TCP_ECE, .flags = TCP_ECE, .len = 1000, .trains = 2 },
	{ "URG in both", .first_flags = TCP_URG, .flags = TCP_URG, .len = 1000, .trains = 2 },
	{ "first byte of the options", .opt_byte = 1, .len = 1000, .trains = 2 },
	{ "last byte of the options", .opt_byte = 20, .len = 1000, .trains = 2 },
	{ "fewer options", .opts_len = 16, .len = 1000, .trains = 2 },
};

static void test_mutations(void)
{
	for (size_t i = 0; i < sizeof(mutations) / sizeof(mutations[0]); i++) {
		const struct mutation *m = &mutations[i];
		struct thin_tcp a = thin_at(1000), b = thin_at((uint32_t)(2000 + m->seq));
		uint8_t opts[20];

		begin();
		a.flags |= m->first_flags;
		memcpy(opts, dss, sizeof(opts));
		b.opts = opts;
		b.opts_len = m->opts_len ? m->opts_len : sizeof(opts);
		if (m->opt_byte)
			opts[m->opt_byte - 1] ^= 1;
		b.ack += m->ack;
		b.window += (uint16_t)m->window;
		b.flags |= m->flags;
		give(tcp.c, &a, 0, data, 1000);
		give(tcp.c, &b, m->tc, data, m->len);
		inbound_flush(&srv->in);
		CHECK(m->why, srv->num_got == m->trains);
		CHECK("what is alone is no GSO packet", m->trains == 1 || (!srv->got[0].vnet.gso_type && !srv->got[0].vnet.gso_size));
		drop();
		finish();
	}
	for (size_t k = 0; k < sizeof(dss); k++) { /* every byte of the option area */
		struct thin_tcp a = thin_at(1000), b = thin_at(2000);
		uint8_t opts[20];

		begin();
		memcpy(opts, dss, sizeof(opts));
		opts[k] ^= 0x10;
		b.opts = opts;
		give(tcp.c, &a, 0, data, 1000);
		give(tcp.c, &b, 0, data, 1000);
		inbound_flush(&srv->in);
		CHECK("a different byte of the options", srv->num_got == 2 &&
		      !memcmp(srv->got[1].pkt + 40, opts, sizeof(opts)));
		drop();
		finish();
	}
}

/* Bare ACKs of one batch: the last one is enough, unless one of them means something of its own. */
static void test_acks(void)
{
	static const uint8_t ts[2][12] = { { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1 }, { 1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 2 } };
	static const struct {
		const char *why;
		int ack, seq;
		uint8_t flags, tc, opts_len;
		size_t len;
		unsigned int written;
	} rows[] = {
		{ "later", .ack = 3000, .written = 1 },
		{ "later, around the end of the numbers", .ack = 0x7fffffff, .written = 1 },
		{ "the same: a duplicate ACK", .written = 2 },
		{ "earlier", .ack = -1, .written = 2 },
		{ "another sequence number", .ack = 3000, .seq = -1, .written = 2 },
		{ "ECE", .ack = 3000, .flags = TCP_ECE, .written = 2 },
		{ "FIN", .ack = 3000, .flags = TCP_FIN, .written = 2 },
		{ "another traffic class", .ack = 3000, .tc = 1, .written = 2 },
		{ "other options", .ack = 3000, .opts_len = 4, .written = 2 },
		{ "data", .ack = 3000, .len = 100, .written = 2 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct thin_tcp a = thin_at(1000), b;
		struct tcp_hdr h;

		begin();
		a.opts = ts[0];
		a.opts_len = sizeof(ts[0]);
		b = a;
		b.opts = ts[1];
		b.ack += (uint32_t)rows[i].ack;
		b.seq += (uint32_t)rows[i].seq;
		b.flags |= rows[i].flags;
		b.window = 301;
		if (rows[i].opts_len)
			b.opts_len = rows[i].opts_len;
		give(tcp.c, &a, 0, data, 0);
		give(tcp.c, &b, rows[i].tc, data, rows[i].len);
		inbound_flush(&srv->in);
		CHECK(rows[i].why, srv->num_got == rows[i].written && srv->in.acks_merged == 2 - rows[i].written);
		CHECK("the last is the newer one", !tcp_parse(srv->got[srv->num_got - 1].pkt + 20,
			      srv->got[srv->num_got - 1].len - 20, &h) && h.ack == b.ack && h.window == 301 &&
			      !memcmp(h.opts, b.opts, b.opts_len));
		CHECK("both are counted", flow_counter(&tcp.s->stats.rx_segments) == 2);
		drop();
		finish();
	}
}

static void test_full_trains(void)
{
	static uint8_t pkt[70000];
	struct thin_tcp thin;
	unsigned int n = 0;
	uint8_t *all[200];

	begin();
	for (; n < 130; n++) { /* 130 * 500 bytes would be 65000 */
		size_t len;

		thin = thin_at(n * 500);
		len = data_packet(pkt, tcp.c, &thin, 0, data, 500);
		all[n] = copy_of(pkt, len);
		arrive(srv, all[n], len, NULL);
	}
	inbound_flush(&srv->in);
	CHECK("127 segments, then another train", srv->num_got == 2 && srv->got[0].len == 60 + 127 * 500);
	end_forget(srv);
	while (n)
		free(all[--n]);
	for (; n < 50; n++) {
		size_t len;

		thin = thin_at(n * 1400);
		len = data_packet(pkt, tcp6.c, &thin, 0, data, 1400);
		all[n] = copy_of(pkt, len);
		arrive(srv, all[n], len, NULL);
	}
	inbound_flush(&srv->in);
	CHECK("no packet beyond 65535 bytes", srv->num_got == 2 && srv->got[0].len <= 65535 && srv->got[0].len > 64000);
	while (n)
		free(all[--n]);
	drop();
	finish();
}

/* More flows in one batch than there are open trains: all is delivered, each flow in order. */
static void test_many_flows(void)
{
	struct pair p[20];
	uint32_t next[20] = { 0 };
	bool fine = true;

	begin();
	for (uint32_t i = 0; i < 20; i++)
		p[i] = make_flow(cli, srv, 20 + i, INET_PROTO_TCP, i & 1, 1472);
	for (uint32_t k = 0; k < 3; k++) {
		for (uint32_t i = 0; i < 20; i++) {
			struct thin_tcp thin = thin_at(k * 100);

			give(p[i].c, &thin, 0, data + k * 100, 100);
		}
	}
	inbound_flush(&srv->in);
	for (unsigned int i = 0; i < srv->num_got; i++) {
		const struct written *w = &srv->got[i];
		struct ip_pkt pkt;
		struct tcp_hdr h;
		uint32_t n;

		fine &= !ip_parse(w->pkt, w->len, &pkt) && !tcp_parse(w->pkt + pkt.l4_off, w->len - pkt.l4_off, &h);
		n = h.src_port - 40020u;
		fine &= n < 20 && h.seq == next[n];
		next[n] += w->len - pkt.l4_off - h.hdr_len;
		fine &= !memcmp(w->pkt + pkt.l4_off + h.hdr_len, data + h.seq, next[n] - h.seq);
	}
	for (int i = 0; i < 20; i++)
		fine &= next[i] == 300;
	CHECK("every flow whole and in order", fine);
	drop();
	finish();
}

static void test_write_fails(void)
{
	struct thin_tcp thin = thin_at(0);

	begin();
	srv->write_result = VERDICT_TUN_WRITE;
	give(tcp.c, &thin, 0, data, 10);
	inbound_flush(&srv->in);
	CHECK("counted", srv->verdicts[VERDICT_TUN_WRITE] == 1 && !srv->verdicts[VERDICT_PASS]);
	inbound_flush(&srv->in);
	CHECK("and over", srv->num_got == 1);
	drop();
	finish();
}

/* ---- hostile ---- */

static enum verdict change(uint8_t *p, size_t len, size_t at, uint8_t x)
{
	uint8_t *q = copy_of(p, len);
	enum verdict v;

	q[at] ^= x;
	v = arrive(srv, q, len, NULL);
	inbound_flush(&srv->in);
	free(q);
	return v;
}

/* Like change(), but of the frame, with a right checksum. */
static enum verdict change_frame(const struct flow *f, const uint8_t *p, size_t len, size_t at, uint8_t x)
{
	static uint8_t q[70000], frame[70000];
	size_t off = f->tmpl->len;

	memcpy(frame, p + off, len - off);
	frame[at] ^= x;
	len = scion_packet(q, f->tmpl, 0, frame, len - off);
	return change(q, len, 0, 0);
}

static void test_hostile(void)
{
	static uint8_t pkt[70000];
	struct thin_tcp thin = thin_at(0);
	struct flow *f;
	size_t len, path;

	begin();
	len = data_packet(pkt, tcp.c, &thin, 0, data, 100);
	path = 12 + tcp.c->tmpl->addr_hdr_len;
	for (size_t n = 0; n < len; n++) {
		uint8_t *q = copy_of(pkt, n);

		CHECK("cut off at any byte", arrive(srv, q, n, &f) == VERDICT_SCION_MALFORMED && !f);
		free(q);
	}
	CHECK("SCION version", change(pkt, len, 0, 0x10) == VERDICT_SCION_MALFORMED);
	CHECK("path type EPIC", change(pkt, len, 8, 1 ^ 3) == VERDICT_SCION_PATH_TYPE);
	CHECK("service address", change(pkt, len, 9, 0x40) == VERDICT_SCION_ADDR_TYPE);
	CHECK("another AS", change(pkt, len, 12 + 7, 1) == VERDICT_SCION_NOT_US);
	CHECK("another host", change(pkt, len, 12 + 19, 1) == VERDICT_SCION_NOT_US);
	CHECK("source AS without a new checksum", change(pkt, len, 12 + 15, 1) == VERDICT_SCION_CHECKSUM);
	CHECK("not at its last hop", change(pkt, len, path, 1) == VERDICT_SCION_MALFORMED);
	CHECK("layer 4 is TCP", change(pkt, len, 4, SCION_L4_UDP ^ SCION_L4_TCP) == VERDICT_SCION_L4);
	CHECK("SCMP", change(pkt, len, 4, SCION_L4_UDP ^ SCION_L4_SCMP) == VERDICT_CONTROL);
	for (size_t at = tcp.c->tmpl->len; at < len; at += 3)
		CHECK("any byte of the frame", change(pkt, len, at, 0x80) == VERDICT_SCION_CHECKSUM);
	CHECK("UDP length", change(pkt, len, tcp.c->tmpl->len - 3u, 1) == VERDICT_SCION_MALFORMED);
	CHECK("untouched", change(pkt, len, 0, 0) == VERDICT_PASS);

	CHECK("another version", change_frame(tcp.c, pkt, len, 0, 0x30) == VERDICT_FRAME_VERSION);
	CHECK("no such type", change_frame(tcp.c, pkt, len, 0, 0x07 ^ 0x0f) == VERDICT_FRAME_MALFORMED);
	CHECK("no index", change_frame(tcp.c, pkt, len, 10, 0x70) == VERDICT_FRAME_MALFORMED);
	CHECK("wrong random bits", change_frame(tcp.c, pkt, len, 11, 1) == VERDICT_FRAME_UNKNOWN_FLOW);
	CHECK("wrong index", change_frame(tcp.c, pkt, len, 8, 0x80) == VERDICT_FRAME_UNKNOWN_FLOW);
	CHECK("index of another flow", change_frame(tcp.c, pkt, len, 10, 0xf0) == VERDICT_FRAME_UNKNOWN_FLOW);
	CHECK("wrong tag", change_frame(tcp.c, pkt, len, 7, 1) == VERDICT_FRAME_UNKNOWN_FLOW);
	CHECK("data offset below 5", change_frame(tcp.c, pkt, len, 20, 0xe0) == VERDICT_FRAME_MALFORMED);
	CHECK("a SYN is for control", change_frame(tcp.c, pkt, len, 21, TCP_SYN) == VERDICT_CONTROL);
	CHECK("OPEN", change_frame(tcp.c, pkt, len, 0, 0x07 ^ FRAME_OPEN) == VERDICT_CONTROL);
	CHECK("PROBE", change_frame(tcp.c, pkt, len, 0, 0x07 ^ FRAME_PROBE) == VERDICT_CONTROL);
	CHECK("reserved byte is ignored", change_frame(tcp.c, pkt, len, 3, 0xff) == VERDICT_PASS);
	CHECK("ALIVE", change_frame(tcp.c, pkt, len, 0, 0x07 ^ FRAME_ALIVE) == VERDICT_PASS);
	CHECK("DATAGRAM of rubbish", change_frame(tcp.c, pkt, len, 0, 0x07 ^ FRAME_DATAGRAM) == VERDICT_FRAME_MALFORMED);

	for (size_t n = 0; n < 44; n++) { /* frame header, thin header, options */
		size_t m = scion_packet(pkt + 4096, tcp.c->tmpl, 0, pkt + tcp.c->tmpl->len, n);
		enum verdict v = change(pkt + 4096, m, 0, 0);

		CHECK("a frame cut off at any byte", v == VERDICT_FRAME_MALFORMED);
	}
	finish();
}

static void test_wrong_source(void)
{
	static uint8_t pkt[2000];
	struct thin_tcp thin = thin_at(0);
	struct end *evil;
	struct tmpl *good;
	size_t len;
	static const struct {
		const char *why, *addr;
		uint16_t port;
		enum verdict want;
	} cases[] = {
		{ "himself", "1-64512,10.0.0.1", 31000, VERDICT_PASS },
		{ "another port of the peer", "1-64512,10.0.0.1", 31001, VERDICT_FRAME_WRONG_SOURCE },
		{ "another host of its AS", "1-64512,10.0.0.3", 31000, VERDICT_FRAME_WRONG_SOURCE },
		{ "the same host of another AS", "1-64514,10.0.0.1", 31000, VERDICT_FRAME_WRONG_SOURCE },
		{ "IPv6 that begins alike", "1-64512,a00:1::", 31000, VERDICT_FRAME_WRONG_SOURCE },
	};

	begin();
	good = tcp.c->tmpl;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		evil = end_new(cases[i].addr, cases[i].port);
		tcp.c->tmpl = make_tmpl(evil, srv, 4, 1472);
		len = data_packet(pkt, tcp.c, &thin, 0, data, 100);
		CHECK(cases[i].why, change(pkt, len, 0, 0) == cases[i].want);
		tmpl_put(tcp.c->tmpl);
		end_free(evil);
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const uint8_t about[] = { FRAME_CLOSE, FRAME_ACCEPT, FRAME_REJECT };
		bool same = i < 2; /* control sends from other ports */
		struct frame_unknown u = { .addressed = tcp.s->theirs, .scion_flow_id = 7 };
		uint8_t frame[64];
		int n = frame_build_unknown(frame, sizeof(frame), &u);

		evil = end_new(cases[i].addr, cases[i].port);
		tcp.c->tmpl = make_tmpl(evil, srv, 4, 1472);
		for (size_t k = 0; k < sizeof(about); k++) {
			len = frame_packet(pkt, tcp.c, about[k], 0, data, 8);
			CHECK("what names a flow", change(pkt, len, 0, 0) == (same ? VERDICT_CONTROL : VERDICT_FRAME_WRONG_SOURCE));
		}
		len = scion_packet(pkt, tcp.c->tmpl, 0, frame, (size_t)n);
		srv->in.who = ADMIT_PEER;
		CHECK("UNKNOWN", change(pkt, len, 0, 0) == (same ? VERDICT_CONTROL : VERDICT_FRAME_UNKNOWN_FLOW));
		CHECK("is not answered by UNKNOWN", srv->in.who == (same ? ADMIT_PEER : ADMIT_STRANGER));
		u.scion_flow_id = 99;
		n = frame_build_unknown(frame, sizeof(frame), &u);
		len = scion_packet(pkt, tcp.c->tmpl, 0, frame, (size_t)n);
		CHECK("UNKNOWN of a flow that is not here", change(pkt, len, 0, 0) == VERDICT_CONTROL);
		tmpl_put(tcp.c->tmpl);
		end_free(evil);
	}
	/* To another port of ours. */
	srv->port = 31003;
	tcp.c->tmpl = make_tmpl(cli, srv, 4, 1472);
	len = data_packet(pkt, tcp.c, &thin, 0, data, 100);
	CHECK("our other port", change(pkt, len, 0, 0) == VERDICT_SCION_NOT_US);
	tmpl_put(tcp.c->tmpl);
	tcp.c->tmpl = good;

	len = data_packet(pkt, tcp.c, &thin, 0, data, 100);
	struct tmpl *t = tcp.s->tmpl;

	tcp.s->tmpl = NULL;
	CHECK("a flow without a path: control decides", change(pkt, len, 0, 0) == VERDICT_PARKED);
	tcp.s->tmpl = t;
	udp4.c->tcp = true;
	len = data_packet(pkt, udp4.c, &thin, 0, data, 100);
	CHECK("DATA in a datagram flow", change(pkt, len, 0, 0) == VERDICT_FRAME_STATE);
	finish();
}

/* ---- datagrams ---- */

static size_t datagram_frame(uint8_t *pkt, const struct flow *f, uint8_t flags, int id, const uint8_t *p, size_t n)
{
	static uint8_t body[70000];
	size_t at = 0;

	if (id >= 0) {
		put_be16(body, (uint16_t)id);
		put_be16(body + 2, 0);
		at = 4;
	}
	memcpy(body + at, p, n);
	return frame_packet(pkt, f, FRAME_DATAGRAM, flags, body, at + n);
}

static enum verdict datagram(const struct flow *f, uint8_t flags, int id, const uint8_t *p, size_t n)
{
	static uint8_t pkt[70000];
	size_t len = datagram_frame(pkt, f, flags, id, p, n);
	uint8_t *q;
	enum verdict v;

	q = copy_of(pkt, len);
	v = arrive(srv, q, len, NULL);
	free(q);
	return v;
}

static bool got_udp(unsigned int i, const struct flow *f, size_t payload)
{
	const struct written *w = &srv->got[i];
	struct ip_pkt pkt;

	return i < srv->num_got && !w->vnet.flags && !w->vnet.gso_type && !ip_parse(w->pkt, w->len, &pkt) &&
	       inet_l4_csum_ok(w->pkt, &pkt) && (pkt.version == 6 || csum_fold(csum_add(0, w->pkt, 20)) == 0xffff) &&
	       !memcmp(pkt.src, f->key.remote.b, pkt.addr_len) && !memcmp(pkt.dst, f->key.local.b, pkt.addr_len) &&
	       w->len == pkt.l4_off + 8 + payload && (!payload || w->pkt[w->len - 1] == (uint8_t)((payload - 1) * 7));
}

static void test_datagrams(void)
{
	static uint8_t p[9300];
	size_t n;

	begin();
	for (int v6 = 0; v6 < 2; v6++) {
		struct pair u = v6 ? udp6 : udp4;
		uint16_t port = u.c->key.local_port;

		for (size_t payload = 0; payload < 1200; payload += 399) {
			end_forget(srv);
			n = udp_packet(p, &u.c->key.local, &u.c->key.remote, port, 5201, payload);
			CHECK("whole", datagram(u.c, 0, -1, p, n) == VERDICT_PASS && got_udp(0, u.s, payload));
		}
		for (size_t cut = 1; cut < 2000; cut += 222) {
			end_forget(srv);
			n = udp_packet(p, &u.c->key.local, &u.c->key.remote, port, 5201, 2001);
			CHECK("first part", datagram(u.c, 1, 7, p, cut) == VERDICT_PASS && !srv->num_got);
			CHECK("second part", datagram(u.c, 3, 7, p + cut, n - cut) == VERDICT_PASS && got_udp(0, u.s, 2001));
			n = udp_packet(p, &u.c->key.local, &u.c->key.remote, port, 5201, 2002);
			CHECK("second part first", datagram(u.c, 3, 8, p + cut, n - cut) == VERDICT_PASS && srv->num_got == 1);
			CHECK("then the first", datagram(u.c, 1, 8, p, cut) == VERDICT_PASS && got_udp(1, u.s, 2002));
		}
	}
	CHECK("no part was lost", !srv->verdicts[VERDICT_FRAGMENT_LOST]);
	CHECK("each written packet is counted", srv->verdicts[VERDICT_PASS] == 2 * (4 + 2 * 10));
	finish();
}

static void test_lost_parts(void)
{
	static uint8_t p[9300];
	size_t n;

	begin();
	n = udp_packet(p, &udp4.c->key.local, &udp4.c->key.remote, 40009, 5201, 2000);
	datagram(udp4.c, 1, 1, p, 1000);
	datagram(udp4.c, 3, 2, p + 1000, n - 1000);
	CHECK("halves of two packets", !srv->num_got);
	datagram(udp4.c, 1, 1, p, 1000);
	CHECK("the same half again", !srv->num_got);
	datagram(udp6.c, 3, 1, p + 1000, n - 1000);
	CHECK("the other half, of another flow", !srv->num_got);
	datagram(udp4.c, 3, 1, p + 1000, n - 1000);
	CHECK("the other half", got_udp(0, udp4.s, 2000));
	for (int i = 0; i < 20; i++)
		datagram(udp4.c, 1, 100 + i, p, 1000);
	CHECK("what waits is forgotten when others come", srv->verdicts[VERDICT_FRAGMENT_LOST] == 6);
	datagram(udp4.c, 3, 103, p + 1000, n - 1000);
	CHECK("forgotten", srv->num_got == 1);
	datagram(udp4.c, 3, 119, p + 1000, n - 1000);
	CHECK("not forgotten", srv->num_got == 2 && got_udp(1, udp4.s, 2000));
	CHECK("nothing in it", datagram(udp4.c, 1, 5, p, 0) == VERDICT_FRAME_MALFORMED);
	CHECK("no id", datagram(udp4.c, 1, -1, p, 3) == VERDICT_FRAME_MALFORMED);
	CHECK("LAST without FRAG", datagram(udp4.c, 2, -1, p, n) == VERDICT_FRAME_MALFORMED);
	datagram(udp4.c, 1, 7, p, 4000);
	CHECK("two halves that are no packet", datagram(udp4.c, 3, 7, p, 4000) == VERDICT_FRAME_MALFORMED);
	finish();
}

/* Jumbo paths: any IP packet in any two parts. */
static void test_large_parts(void)
{
	static uint8_t p[70000];
	size_t n, cuts[] = { 1, 5000, 32000, 62000 };

	begin();
	n = udp_packet(p, &udp4.c->key.local, &udp4.c->key.remote, 40009, 5201, 62500);
	for (size_t i = 0; i < 4; i++) {
		end_forget(srv);
		datagram(udp4.c, 1, (int)i, p, cuts[i]);
		CHECK("joined", datagram(udp4.c, 3, (int)i, p + cuts[i], n - cuts[i]) == VERDICT_PASS &&
		      got_udp(0, udp4.s, 62500));
	}
	end_forget(srv);
	datagram(udp4.c, 1, 9, p, 40000);
	CHECK("more than a packet can have", datagram(udp4.c, 3, 9, p, 40000) == VERDICT_FRAME_MALFORMED && !srv->num_got);
	CHECK("and nothing waits", !srv->in.num_frags);
	finish();
}

static void test_expiry(void)
{
	static uint8_t p[3000];
	size_t n;

	begin();
	n = udp_packet(p, &udp4.c->key.local, &udp4.c->key.remote, 40009, 5201, 2000);
	datagram(udp4.c, 1, 1, p, 1000); /* at 1000 ms */
	inbound_expire(&srv->in, 1000 + INBOUND_FRAG_MS - 1);
	CHECK("not yet", !srv->verdicts[VERDICT_FRAGMENT_LOST] && srv->in.num_frags == 1);
	inbound_expire(&srv->in, 1000 + INBOUND_FRAG_MS);
	CHECK("forgotten and counted", srv->verdicts[VERDICT_FRAGMENT_LOST] == 1 && !srv->in.num_frags);
	CHECK("too late: waits itself", datagram(udp4.c, 3, 1, p + 1000, n - 1000) == VERDICT_PASS && !srv->num_got);
	inbound_forget_flow(&srv->in, 10);
	CHECK("another flow goes", srv->in.num_frags == 1);
	inbound_forget_flow(&srv->in, 9);
	CHECK("its flow goes", !srv->in.num_frags && srv->verdicts[VERDICT_FRAGMENT_LOST] == 1);
	finish();
}

/*
 * What the client gets of the server it talks to, from another port, or without ports: delivered, and
 * control is told, once in a while.
 */
static void test_related(void)
{
	static uint8_t p[3000], before[3000];
	struct flow *f;
	size_t n, len;

	for (int v6 = 0; v6 < 2; v6++) {
		static uint8_t pkt[4000];
		uint8_t *q;

		begin();
		f = v6 ? udp6.s : udp4.s;
		struct flow *c = v6 ? udp6.c : udp4.c;

		n = udp_packet(p, &f->key.local, &f->key.remote, 3333, c->key.local_port, 100);
		len = datagram_frame(pkt, f, 0, -1, p, n);
		memcpy(before, pkt, len);
		q = keep(pkt, len);
		CHECK("control is told", arrive(cli, q, len, NULL) == VERDICT_CONTROL);
		CHECK("delivered", cli->num_got == 1);
		CHECK("control gets it as it came", !memcmp(q, before, len));
		q = keep(pkt, len);
		CHECK("told once", arrive(cli, q, len, NULL) == VERDICT_PASS && cli->num_got == 2);
		CHECK("only payload counts", flow_counter(&c->stats.rx_bytes) == 200);
		c->asked = false;
		len = datagram_frame(pkt, f, 3, 5, p + 70, n - 70);
		CHECK("second part", arrive(cli, keep(pkt, len), len, NULL) == VERDICT_PASS && cli->num_got == 2);
		len = datagram_frame(pkt, f, 1, 5, p, 70);
		CHECK("the first part tells", arrive(cli, keep(pkt, len), len, NULL) == VERDICT_CONTROL && cli->num_got == 3);
		n = udp_packet(p, &f->key.local, &f->key.remote, 3333, (uint16_t)(c->key.local_port + 1), 100);
		len = datagram_frame(pkt, f, 0, -1, p, n);
		CHECK("to another port", arrive(cli, keep(pkt, len), len, NULL) == VERDICT_FRAME_MALFORMED);
		c->asked = false;
		if (!v6) {
			n = udp_packet(p, &f->key.local, &f->key.remote, 1, 2, 100);
			put_be16(p + 6, 0x0010);
			len = datagram_frame(pkt, f, 0, -1, p, n);
			CHECK("later fragment", arrive(cli, keep(pkt, len), len, NULL) == VERDICT_CONTROL && cli->num_got == 4);
		}
		end_forget(cli);
		drop();
		finish();
	}
}

/* ICMP echo or error with the quote of a packet. */
static size_t icmp(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, uint8_t type, uint16_t id,
		   const uint8_t *quote, size_t len)
{
	uint8_t l4[2000] = { type };

	put_be16(l4 + 4, id);
	if (len)
		memcpy(l4 + 8, quote, len);
	return ip_packet(p, src, dst, src->len == 4 ? INET_PROTO_ICMP : INET_PROTO_ICMPV6, l4, 8 + len);
}

static size_t tcp_packet(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, uint16_t sport, uint16_t dport)
{
	struct tcp_build b = { .src = src, .dst = dst, .src_port = sport, .dst_port = dport, .flags = TCP_ACK, .data = data,
			       .len = 50 };

	return (size_t)inet_build_tcp(p, 2000, &b);
}

#define DROPPED(why, f, p, n) \
	CHECK(why, datagram(f, 0, -1, p, n) == VERDICT_FRAME_MALFORMED && !srv->num_got)

static void test_belongs(void)
{
	uint8_t p[2000], q[2000];
	struct flow *u, *i4, *i6;
	size_t n, m;

	begin();
	u = udp4.c;
	i4 = ping4.c;
	i6 = ping6.c;
	n = udp_packet(p, &u->key.local, &u->key.remote, 40009, 5202, 10);
	DROPPED("another port", u, p, n);
	n = udp_packet(p, &u->key.local, &u->key.remote, 40008, 5201, 10);
	DROPPED("from another port", u, p, n);
	n = tcp_packet(p, &u->key.local, &u->key.remote, 40009, 5201);
	DROPPED("TCP with the ports of a UDP flow", u, p, n);
	DROPPED("TCP as a datagram of a TCP flow", tcp.c, p, n);
	n = udp_packet(p, &udp6.c->key.local, &udp6.c->key.remote, 40009, 5201, 10);
	DROPPED("another family", u, p, n);
	n = icmp(p, &u->key.local, &u->key.remote, 8, 40009, NULL, 0);
	DROPPED("an echo in a UDP flow", u, p, n);
	n = icmp(p, &i4->key.local, &i4->key.remote, 8, 1, NULL, 0);
	DROPPED("another echo", i4, p, n);
	n = icmp(p, &i4->key.local, &i4->key.remote, 13, 40011, NULL, 0);
	DROPPED("other ICMP", i4, p, n);
	n = icmp(p, &i6->key.local, &i6->key.remote, 8, 40012, NULL, 0);
	DROPPED("ICMPv6 error without a quote", i6, p, n);
	ping6.c->key.local_port = ping6.s->key.remote_port = ping6.s->key.local_port = 0;
	n = icmp(p, &i6->key.local, &i6->key.remote, 136, 0, p, 30);
	DROPPED("neighbour advertisement through an echo flow with identifier 0", i6, p, n);
	n = icmp(p, &i6->key.local, &i6->key.remote, 134, 0, p, 30);
	DROPPED("router advertisement", i6, p, n);
	n = icmp(p, &i6->key.local, &i6->key.remote, 1, 0, p, 30);
	DROPPED("error with rubbish for a quote", i6, p, n);
	n = ip_packet(p, &i6->key.local, &i6->key.remote, INET_PROTO_ICMP, p, 20);
	DROPPED("ICMP of IPv4 in IPv6", i6, p, n);

	/* Errors. They quote what the server sent: to the client, as the client knows it. */
	n = tcp_packet(q, &tcp.c->key.remote, &tcp.c->key.local, 5201, 40007);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, n);
	CHECK("about the TCP flow", datagram(tcp.c, 0, -1, p, m) == VERDICT_PASS && srv->num_got == 1);
	struct ip_pkt outer, quote;
	const struct written *w = &srv->got[0];

	CHECK("its quote", !ip_parse(w->pkt, w->len, &outer) && !inet_quote(w->pkt, &outer, &quote));
	CHECK("has the addresses that the server knows", inet_l4_csum_ok(w->pkt, &outer) &&
	      !memcmp(quote.src, tcp.s->key.local.b, 4) && !memcmp(quote.dst, tcp.s->key.remote.b, 4));
	end_forget(srv);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, 28);
	CHECK("a quote of no more than the ports", datagram(tcp.c, 0, -1, p, m) == VERDICT_PASS && srv->num_got == 1);
	end_forget(srv);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, 23);
	DROPPED("a quote of less", tcp.c, p, m);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 5, 0, q, n);
	DROPPED("redirect", tcp.c, p, m);
	DROPPED("an error about one flow through another", udp4.c, p, m);
	struct ip_addr victim = ip("10.64.0.77"), inside = ip("10.70.0.9");

	n = tcp_packet(q, &inside, &victim, 5201, 40007);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, n);
	DROPPED("an error about the connection of somebody else, with the ports of this one", tcp.c, p, m);
	n = tcp_packet(q, &tcp.c->key.remote, &victim, 5201, 40007);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, n);
	DROPPED("half of it", tcp.c, p, m);
	n = udp_packet(q, &tcp.c->key.remote, &tcp.c->key.local, 5201, 40007, 50);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, n);
	DROPPED("about UDP with the ports of the TCP flow", tcp.c, p, m);

	/* Fragments of the application's own. */
	n = udp_packet(p, &u->key.local, &u->key.remote, 1, 2, 100);
	put_be16(p + 6, 0x0010);
	CHECK("a later fragment has no ports", datagram(u, 0, -1, p, n) == VERDICT_PASS && srv->num_got == 1);
	end_forget(srv);
	DROPPED("but a protocol", i4, p, n);
	finish();
}

static void test_order(void)
{
	struct thin_tcp thin = thin_at(0);
	uint8_t p[2000], q[2000];
	size_t n, m;

	begin();
	give(tcp.c, &thin, 0, data, 100);
	n = tcp_packet(q, &tcp.c->key.remote, &tcp.c->key.local, 5201, 40007);
	m = icmp(p, &tcp.c->key.local, &tcp.c->key.remote, 3, 0, q, n);
	datagram(tcp.c, 0, -1, p, m);
	CHECK("an error does not overtake what came before", srv->num_got == 2 && srv->got[0].pkt[9] == 6 &&
	      srv->got[1].pkt[9] == 1);
	inbound_flush(&srv->in);
	CHECK("once", srv->num_got == 2);
	drop();
	finish();
}

/* ---- epochs ---- */

static void test_epochs(void)
{
	/* What was sent reaches to 5000, the newest ack was 4000. */
	static const struct {
		const char *why;
		uint8_t ours, theirs;
		uint32_t ack;
		bool server, asked, unsent, want;
	} cases[] = {
		{ "equal", 3, 3, 4500, true, false, false, false },
		{ "newer", 3, 4, 4500, true, false, false, true },
		{ "newer, seen by a client", 3, 4, 4500, false, false, false, true },
		{ "newer beyond the turn of the byte", 250, 3, 4500, true, false, false, true },
		{ "older", 3, 2, 4500, true, false, false, false },
		{ "older beyond the turn", 2, 255, 4500, true, false, false, false },
		{ "newer, ack of all", 3, 4, 5000, true, false, false, true },
		{ "newer, ack of more than was sent", 3, 4, 5001, true, false, false, false },
		{ "newer, ack of half the number space ahead", 3, 4, 5000 + 0x7fffffffu, true, false, false, false },
		{ "newer, an ack that is a little old", 3, 4, 3000, true, false, false, true },
		{ "newer, an ack that is a quarter of the number space old", 3, 4, 4000 - 0x40000000u, true, false, false, false },
		{ "newer, asked before", 3, 4, 4500, true, true, false, false },
		{ "newer, nothing was sent yet", 3, 4, 4500, true, false, true, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct thin_tcp thin = thin_at(0);
		enum verdict v;

		begin();
		tcp.c->epoch = cases[i].theirs;
		tcp.s->epoch = cases[i].ours;
		tcp.s->server = cases[i].server;
		tcp.s->asked = cases[i].asked;
		tcp.s->asked_ms = 1000 - INBOUND_ASK_AGAIN_MS + (cases[i].asked ? 1 : 0);
		tcp.s->hot->known = FLOW_KNOWS_ACK | (cases[i].unsent ? 0 : FLOW_KNOWS_OUT);
		tcp.s->hot->out_next = 5000;
		tcp.s->hot->in_ack = 4000;
		thin.ack = cases[i].ack;
		v = give(tcp.c, &thin, 0, data, 100);
		CHECK(cases[i].why, v == (cases[i].want ? VERDICT_CONTROL : VERDICT_PASS));
		CHECK("remembered", tcp.s->asked == (cases[i].want || cases[i].asked));
		inbound_flush(&srv->in);
		CHECK("delivered in any case", srv->num_got == 1);
		CHECK("no epoch without control", tcp.s->epoch == cases[i].ours);
		CHECK("an ack of what was never sent is not believed", (int32_t)(tcp.s->hot->in_ack - 5000) <= 0 && (int32_t)(tcp.s->hot->in_ack - 4000) >= 0);
		drop();
		finish();
	}
}

static void test_renewal(void)
{
	struct thin_tcp thin = thin_at(0);

	begin();
	tcp.s->hot->known |= FLOW_KNOWS_OUT;
	tcp.s->hot->out_next = 100;
	tcp.s->tmpl->rx_infos_len = 8;
	memcpy(tcp.s->tmpl->rx_infos, tcp.c->tmpl->path->raw + 4, 8);
	CHECK("the path as it was", give(tcp.c, &thin, 0, data, 100) == VERDICT_PASS);
	tcp.s->tmpl->rx_infos[7] ^= 1;
	tcp.s->server = false;
	CHECK("the client ignores other bytes", give(tcp.c, &thin, 0, data, 100) == VERDICT_PASS);
	tcp.s->server = true;
	CHECK("the server asks", give(tcp.c, &thin, 0, data, 100) == VERDICT_CONTROL && tcp.s->asked);
	CHECK("once", give(tcp.c, &thin, 0, data, 100) == VERDICT_PASS);
	inbound_flush(&srv->in);
	drop();
	finish();
}

/* A datagram that announces a move: delivered, and control gets the frame as it came. */
static void test_datagram_epoch(void)
{
	static uint8_t pkt[2000], p[2000];
	size_t n, len;
	uint8_t *q;

	begin();
	n = udp_packet(p, &udp4.c->key.local, &udp4.c->key.remote, 40009, 5201, 100);
	for (int newer = -1; newer < 2; newer++) {
		end_forget(srv);
		udp4.c->epoch = (uint8_t)newer;
		len = frame_packet(pkt, udp4.c, FRAME_DATAGRAM, 0, p, n);
		q = copy_of(pkt, len);
		CHECK("newer only", arrive(srv, q, len, NULL) == (newer > 0 ? VERDICT_CONTROL : VERDICT_PASS));
		CHECK("delivered", got_udp(0, udp4.s, 100));
		CHECK("whole for control", newer <= 0 || !memcmp(q, pkt, len));
		free(q);
		len = frame_packet(pkt, tcp.c, FRAME_ALIVE, 0, NULL, 0);
		tcp.s->epoch = (uint8_t)-newer;
		CHECK("ALIVE", change(pkt, len, 0, 0) == (newer > 0 ? VERDICT_CONTROL : VERDICT_PASS));
	}
	tcp.s->epoch = 0;
	tcp.s->slow = true;
	CHECK("ALIVE of a flow that waits for it", change(pkt, len, 0, 0) == VERDICT_CONTROL);
	udp4.c->epoch = 0;
	CHECK("asked", udp4.s->asked);
	udp4.s->asked = false;
	udp4.s->tmpl->rx_infos_len = 8;
	len = frame_packet(pkt, udp4.c, FRAME_DATAGRAM, 0, p, n);
	CHECK("a renewed path", change(pkt, len, 0, 0) == VERDICT_CONTROL);
	CHECK("not with every datagram", change(pkt, len, 0, 0) == VERDICT_PASS);
	finish();
}

const struct unit_test unit_tests[] = {
	{ "merging", test_merge },
	{ "what does not merge", test_mutations },
	{ "ACKs", test_acks },
	{ "full trains", test_full_trains },
	{ "many flows", test_many_flows },
	{ "failing writes", test_write_fails },
	{ "hostile packets", test_hostile },
	{ "wrong source", test_wrong_source },
	{ "datagrams", test_datagrams },
	{ "lost parts", test_lost_parts },
	{ "what belongs to a flow", test_belongs },
	{ "parts of any size", test_large_parts },
	{ "parts do not wait for ever", test_expiry },
	{ "other ports of the server", test_related },
	{ "order", test_order },
	{ "epochs", test_epochs },
	{ "renewal", test_renewal },
	{ "datagrams and ALIVE of a newer epoch", test_datagram_epoch },
	{ 0 },
};
