/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_WORLD_H
#define SHILA_TESTS_WORLD_H

#include "shila/core/inbound.h"
#include "shila/core/outbound.h"
#include "shila/core/send_group.h"
#include "shila/wire/checksum.h"
#include "shila/wire/inet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Two ends of the data plane without a network between them: what one sends is gathered into datagrams
 * as UDP_SEGMENT would cut it, what the other writes to its TUN is kept. A header, because unit tests
 * are one file each; not everybody uses everything.
 */
#pragma GCC diagnostic ignored "-Wunused-function"

#define WORLD_MAX_DGRAMS  4096
#define WORLD_MAX_WRITTEN 4096

struct bytes {
	uint8_t *p;
	size_t len;
};

struct written {
	uint8_t tun;
	struct vnet_hdr vnet;
	uint8_t *pkt;
	uint32_t len;
};

/* One shilad's data plane, and what came out of it. */
struct end {
	struct scion_addr addr;
	uint16_t port;
	struct flow_table table;
	struct inbound in;
	struct send_batch batch;
	uint64_t verdicts[VERDICT_COUNT];
	unsigned int flushes, bad_msgs; /* messages that no kernel would take */
	struct bytes sent[WORLD_MAX_DGRAMS];
	unsigned int num_sent;
	struct written got[WORLD_MAX_WRITTEN];
	unsigned int num_got;
	enum verdict write_result;
};

static uint64_t world_seed = 1;

static uint32_t rnd(uint32_t n)
{
	world_seed ^= world_seed << 13;
	world_seed ^= world_seed >> 7;
	world_seed ^= world_seed << 17;
	return (uint32_t)((world_seed * 0x2545F4914F6CDD1Dull >> 33) % n);
}

static void *copy_of(const void *p, size_t len)
{
	uint8_t *q = malloc(len ? len : 1);

	if (!q)
		abort();
	memcpy(q, p, len);
	return q;
}

/* ---- sending ---- */

/* What the kernel makes of a message with UDP_SEGMENT, and whether it would take it. */
static void gather(struct end *e, const struct send_msg *m)
{
	static uint8_t buf[128 * 1024];
	size_t len = 0, at = 0;

	for (uint32_t i = 0; i < m->num_iov; i++) {
		if (len + m->iov[i].iov_len > sizeof(buf))
			abort();
		memcpy(buf + len, m->iov[i].iov_base, m->iov[i].iov_len);
		len += m->iov[i].iov_len;
	}
	e->bad_msgs += len != m->bytes || !len || len > 65507 || m->num_iov > 1024;
	e->bad_msgs += m->num_segs > 64 || m->num_segs != (len + m->seg_bytes - 1) / m->seg_bytes;
	for (unsigned int i = 0; i < m->num_segs; i++) {
		size_t n = len - at < m->seg_bytes ? len - at : m->seg_bytes;

		if (e->num_sent == WORLD_MAX_DGRAMS)
			abort();
		e->sent[e->num_sent++] = (struct bytes){ copy_of(buf + at, n), n };
		at += n;
	}
}

static void end_flush(void *ctx, struct send_batch *b)
{
	struct end *e = ctx;

	e->bad_msgs += b->num_msgs > SEND_MAX_MSGS || b->num_iov > SEND_MAX_IOV ||
		       b->hdr_used > SEND_HDR_BYTES;
	send_group(b);
	for (uint32_t i = 0; i < b->num_msgs; i++)
		gather(e, &b->msgs[i]);
	e->flushes++;
	send_batch_reset(b);
}

static enum verdict end_write(void *ctx, uint8_t tun, struct iovec *iov, int n)
{
	static uint8_t buf[128 * 1024];
	struct end *e = ctx;
	struct written w = { .tun = tun };
	size_t len = 0;

	for (int i = 0; i < n; i++) {
		memcpy(buf + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	if (len < TRAIN_VNET_HDR_LEN || e->num_got == WORLD_MAX_WRITTEN)
		abort();
	memcpy(&w.vnet, buf, TRAIN_VNET_HDR_LEN);
	w.len = (uint32_t)len - TRAIN_VNET_HDR_LEN;
	w.pkt = copy_of(buf + TRAIN_VNET_HDR_LEN, w.len);
	e->got[e->num_got++] = w;
	return e->write_result;
}

static void end_forget(struct end *e)
{
	for (unsigned int i = 0; i < e->num_sent; i++)
		free(e->sent[i].p);
	for (unsigned int i = 0; i < e->num_got; i++)
		free(e->got[i].pkt);
	e->num_sent = e->num_got = e->flushes = 0;
}

static struct end *end_new(const char *addr, uint16_t port)
{
	struct end *e = calloc(1, sizeof(*e));

	if (!e || scion_addr_parse(addr, &e->addr) < 0 || flow_table_init(&e->table, 256, 4711) < 0)
		abort();
	e->port = port;
	e->batch.flush = end_flush;
	e->batch.ctx = e;
	e->in = (struct inbound){ .table = &e->table, .local = e->addr, .port = port,
				  .write = end_write, .ctx = e, .verdicts = e->verdicts };
	if (inbound_init(&e->in) < 0)
		abort();
	return e;
}

static void end_free(struct end *e)
{
	end_forget(e);
	inbound_fini(&e->in);
	flow_table_fini(&e->table);
	free(e);
}

/* ---- paths and flows ---- */

/* One segment of @hops hops, as it arrives: the current hop is the last one. */
static struct path *make_path(unsigned int hops, uint16_t mtu, uint8_t fill)
{
	uint8_t raw[SCION_MAX_PATH_LEN];
	size_t len = hops ? 4 + 8 + 12 * hops : 0;
	struct path *p;

	memset(raw, fill, sizeof(raw));
	put_be32(raw, (hops ? hops - 1 : 0) << 24 | hops << 12);
	raw[4] = 1; /* info field: construction direction */
	p = path_new(NULL, 0, raw, (uint16_t)len);
	p->mtu_bytes = mtu;
	if (hops) {
		struct ip_addr router;

		ip_addr_parse("192.0.2.1", &router);
		p->next_hop = sock_addr_make(&router, 30042);
	}
	return p;
}

static struct tmpl *make_tmpl(const struct end *from, const struct end *to, unsigned int hops, uint16_t mtu)
{
	struct path *p = make_path(hops, mtu, 0x5a);
	struct tmpl *t = tmpl_new(p, &from->addr, from->port, &to->addr, to->port);

	path_put(p);
	if (!t)
		abort();
	return t;
}

static struct ip_addr ip(const char *text)
{
	struct ip_addr a;

	if (ip_addr_parse(text, &a) < 0)
		abort();
	return a;
}

struct pair {
	struct flow *c, *s; /* client's, server's */
};

/*
 * The two halves of a flow in slot @n: the client has 10.7.1.1 > 10.70.1.5, the server sees it as 10.64.0.9
 * > 10.70.0.9; or the like in IPv6.
 */
static struct pair make_flow(struct end *c, struct end *s, uint32_t n, uint8_t proto, bool v6, uint16_t mtu)
{
	struct flow_name cn = { n << 12 | (0x123 + n), (uint16_t)(0x4567 + n) };
	struct flow_name sn = { n << 12 | (0x789 + n), (uint16_t)(0xabcd + n) };
	bool icmp = proto == INET_PROTO_ICMP || proto == INET_PROTO_ICMPV6;
	uint16_t cport = (uint16_t)(40000 + n), sport = icmp ? cport : 5201;
	struct flow fc = {
		.key = { 1, proto, cport, sport, ip(v6 ? "fd07::1" : "10.7.1.1"), ip(v6 ? "fd70:1::5" : "10.70.1.5") },
		.mine = cn, .theirs = sn, .tmpl = make_tmpl(c, s, 4, mtu), .tcp = proto == INET_PROTO_TCP, .tun = 3,
	};
	struct flow fs = {
		.key = { 0, proto, sport, cport, ip(v6 ? "fd70::9" : "10.70.0.9"), ip(v6 ? "fd64::9" : "10.64.0.9") },
		.mine = sn, .theirs = cn, .tmpl = make_tmpl(s, c, 4, mtu), .tcp = proto == INET_PROTO_TCP, .tun = 5,
		.server = true,
	};

	return (struct pair){ flow_table_insert(&c->table, n, &fc), flow_table_insert(&s->table, n, &fs) };
}

/* ---- packets ---- */

/* A TCP packet of flow @f as its kernel hands it to the TUN: NEEDS_CSUM, and TSO if @gso. */
static struct train tcp_train(uint8_t *buf, const struct flow *f, struct tcp_build b, uint16_t gso)
{
	struct train t = { .pkt = buf, .side = f->key.side };
	bool v6 = f->key.local.len == 16;
	uint32_t ip_len = v6 ? 40 : 20;
	uint16_t pseudo;
	int len;

	b.src = &f->key.local;
	b.dst = &f->key.remote;
	b.src_port = f->key.local_port;
	b.dst_port = f->key.remote_port;
	len = inet_build_tcp(buf, 65535, &b);
	if (len < 0)
		abort();
	t.len = (uint32_t)len;
	pseudo = csum_fold(inet_csum_pseudo(b.src->b, b.dst->b, b.src->len, INET_PROTO_TCP, t.len - ip_len));
	memcpy(buf + ip_len + 16, &pseudo, 2);
	t.vnet = (struct vnet_hdr){ .flags = VNET_F_NEEDS_CSUM, .csum_start = (uint16_t)ip_len, .csum_offset = 16 };
	if (gso) {
		t.vnet.gso_type = v6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
		t.vnet.gso_size = gso;
		t.vnet.hdr_len = (uint16_t)(ip_len + 20 + b.opts_len);
	}
	return t;
}

static struct train ip_train(uint8_t *pkt, size_t len, uint8_t side)
{
	return (struct train){ .pkt = pkt, .len = (uint32_t)len, .side = side };
}

/* An IP packet with any payload, checksums complete. Return: its length. */
static size_t ip_packet(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, uint8_t proto,
			const void *l4, size_t len)
{
	struct ip_pkt pkt;
	uint16_t csum;
	size_t off = src->len == 4 ? 20 : 40;

	memset(p, 0, off);
	if (src->len == 4) {
		p[0] = 0x45;
		put_be16(p + 2, (uint16_t)(20 + len));
		p[8] = 61;
		p[9] = proto;
		memcpy(p + 12, src->b, 4);
		memcpy(p + 16, dst->b, 4);
		csum = csum_finish(csum_add(0, p, 20));
		memcpy(p + 10, &csum, 2);
	} else {
		p[0] = 0x60;
		put_be16(p + 4, (uint16_t)len);
		p[6] = proto;
		p[7] = 61;
		memcpy(p + 8, src->b, 16);
		memcpy(p + 24, dst->b, 16);
	}
	memcpy(p + off, l4, len);
	if (ip_parse(p, off + len, &pkt) == 0)
		inet_l4_csum_set(p, &pkt);
	return off + len;
}

static size_t udp_packet(uint8_t *p, const struct ip_addr *src, const struct ip_addr *dst, uint16_t sport,
			 uint16_t dport, size_t payload)
{
	static uint8_t l4[66000];

	put_be16(l4, sport);
	put_be16(l4 + 2, dport);
	put_be16(l4 + 4, (uint16_t)(8 + payload));
	for (size_t i = 0; i < payload; i++)
		l4[8 + i] = (uint8_t)(i * 7);
	return ip_packet(p, src, dst, INET_PROTO_UDP, l4, 8 + payload);
}

/* A frame from @t's end to its peer, as it arrives there. Return: length. */
static size_t scion_packet(uint8_t *out, const struct tmpl *t, uint8_t tc, const void *frame, size_t len)
{
	memmove(out + t->len, frame, len);
	tmpl_write(t, out, 7, tc, (uint16_t)len, csum_add(0, out + t->len, len));
	return t->len + len;
}

/* DATA of @f (a flow of the sender). @thin: options may be NULL with opts_len 0 */
static size_t data_packet(uint8_t *out, const struct flow *f, const struct thin_tcp *thin, uint8_t tc,
			  const void *payload, size_t len)
{
	static uint8_t frame[66000];
	struct wr w = wr_init(frame, sizeof(frame));
	struct frame_hdr h = { .type = FRAME_DATA, .epoch = f->epoch, .to = f->theirs };

	frame_build_hdr(&w, &h);
	frame_build_thin(&w, thin);
	wr_copy(&w, payload, len);
	return scion_packet(out, f->tmpl, tc, frame, (size_t)(w.p - frame));
}

static size_t frame_packet(uint8_t *out, const struct flow *f, uint8_t type, uint8_t flags, const void *body,
			   size_t len)
{
	static uint8_t frame[66000];
	struct wr w = wr_init(frame, sizeof(frame));
	struct frame_hdr h = { .type = type, .flags = flags, .epoch = f->epoch, .to = f->theirs };

	frame_build_hdr(&w, &h);
	if (len)
		wr_copy(&w, body, len);
	return scion_packet(out, f->tmpl, 0, frame, (size_t)(w.p - frame));
}

/* Give a packet to an end, in memory of exactly its size (kept until @keep is freed by the caller). */
static enum verdict arrive(struct end *e, uint8_t *p, size_t len, struct flow **f)
{
	struct flow *dummy;

	inbound_prefetch(&e->in, p, len);
	return inbound_packet(&e->in, p, len, 28, 1000, f ? f : &dummy);
}

#endif
