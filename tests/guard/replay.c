/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Replays recorded trains (trains/NAME.hex) through the data plane's functions, for guard.py, which runs it under
 * callgrind: instructions of guard_out() and guard_in() are counted, and dumped where guard_done() is called.
 * Trains that come in are what the other end makes of those that go out, cut as UDP_GRO does.
 */
#include "tests/unit/core/world.h"
#include "tests/unit/vectors.h"

#define ROUNDS	   16
#define SLOT	   9
#define MAX_TRAINS 32 /* of one batch */
#define MTU_BYTES  1472

struct guard_case {
	const char *name;
	const char *file;
	unsigned int hops; /* of the path; 0: empty, both hosts are in one AS */
	unsigned int batch; /* trains in one wake-up */
	bool bulk;	   /* also as a train of one segment: what is left is the price of the other ones */
};

static const struct guard_case cases[] = {
	{ "tcp4", "tcp4_bulk", 0, 1, true },
	{ "mptcp4", "mptcp4_bulk", 0, 1, true },
	{ "tcp6", "tcp6_bulk", 0, 1, true },
	{ "mptcp6", "mptcp6_bulk", 0, 1, true },
	{ "mptcp4, 6 hops", "mptcp4_bulk", 6, 1, true },
	{ "ack tcp4", "tcp4_ack", 0, MAX_TRAINS, false },
	{ "ack mptcp4", "mptcp4_ack", 0, MAX_TRAINS, false },
	{ "ack mptcp6", "mptcp6_ack", 0, MAX_TRAINS, false },
	{ "udp4 64", "udp4_small", 0, MAX_TRAINS, false },
};

static unsigned int num_written;

void guard_out(struct end *e, const struct train *trains, unsigned int n);
void guard_in(struct end *e, uint8_t *p, size_t len, size_t seg_bytes);
void guard_done(void);

static void fail(const char *what, const char *name)
{
	fprintf(stderr, "replay: %s: %s\n", name, what);
	exit(1);
}

/* ---- what is counted ---- */

static void drop_batch(void *ctx, struct send_batch *b)
{
	(void)ctx;
	send_batch_reset(b);
}

static enum verdict drop_written(void *ctx, uint8_t tun, struct iovec *iov, int n)
{
	(void)ctx;
	(void)tun;
	(void)iov;
	(void)n;
	num_written++;
	return VERDICT_PASS;
}

__attribute__((noinline, noclone, used)) void guard_out(struct end *e, const struct train *trains, unsigned int n)
{
	struct flow *f;

	for (unsigned int i = 0; i < n; i++) {
		struct train t = trains[i];

		e->verdicts[outbound_train(&e->table, &t, 1000, &e->batch, &f)]++;
	}
	e->batch.flush(e->batch.ctx, &e->batch);
}

__attribute__((noinline, noclone, used)) void guard_in(struct end *e, uint8_t *p, size_t len, size_t seg_bytes)
{
	struct flow *f;

	for (size_t at = 0; at < len; at += seg_bytes) {
		size_t n = len - at < seg_bytes ? len - at : seg_bytes;

		if (inbound_many_flows(&e->in) && at + n < len)
			inbound_prefetch(&e->in, p + at + n, len - at - n);
		e->verdicts[inbound_packet(&e->in, p + at, n, 28, 1000, &f)]++;
	}
	inbound_flush(&e->in);
}

__attribute__((noinline, noclone, used)) void guard_done(void)
{
	__asm__ volatile("");
}

/* ---- the flow that the train belongs to ---- */

static struct tmpl *tmpl_over(const struct end *from, const struct end *to, unsigned int hops)
{
	struct path *p = make_path(hops, MTU_BYTES, 0x5a);
	struct tmpl *t = tmpl_new(p, &from->addr, from->port, &to->addr, to->port);

	path_put(p);
	if (!t)
		fail("no template", "path");
	t->live = liveness_new(1);
	if (!t->live)
		fail("no memory", "path");
	return t;
}

static void make_ends(struct end *c, struct end *s, const struct train *t, unsigned int hops)
{
	struct ip_pkt pkt;
	struct flow fc = { .mine = { SLOT << 12 | 1, 2 }, .theirs = { SLOT << 12 | 3, 4 }, .tun = 0 };
	struct flow fs = { .mine = fc.theirs, .theirs = fc.mine, .server = true };

	if (ip_parse(t->pkt, t->len, &pkt) < 0)
		fail("no IP packet", "train");
	fc.tcp = fs.tcp = pkt.proto == INET_PROTO_TCP;
	fc.key = (struct flow_key){ .proto = pkt.proto, .local = ip_pkt_src(&pkt), .remote = ip_pkt_dst(&pkt) };
	inet_ports(t->pkt, &pkt, &fc.key.local_port, &fc.key.remote_port);
	fs.key = (struct flow_key){
		.proto = pkt.proto, .local = fc.key.remote, .remote = fc.key.local,
		.local_port = fc.key.remote_port, .remote_port = fc.key.local_port,
	};
	fc.tmpl = tmpl_over(c, s, hops);
	fs.tmpl = tmpl_over(s, c, hops);
	flow_table_insert(&c->table, SLOT, &fc);
	flow_table_insert(&s->table, SLOT, &fs);
}

/* ---- trains ---- */

/* A recorded train, its payload made up; @one: cut to its first segment. */
static struct train load(const char *file, uint8_t *buf, bool one)
{
	struct train t = { .pkt = buf };
	uint8_t raw[256];
	int n = vector_load(file, raw, sizeof(raw));
	bool v6;

	if (n < TRAIN_VNET_HDR_LEN + 28)
		fail("cannot be read", file);
	memcpy(&t.vnet, raw, TRAIN_VNET_HDR_LEN);
	n -= TRAIN_VNET_HDR_LEN;
	memcpy(buf, raw + TRAIN_VNET_HDR_LEN, (size_t)n);
	v6 = buf[0] >> 4 == 6;
	if (one) {
		put_be16(buf + (v6 ? 4 : 2), (uint16_t)(n + t.vnet.gso_size - (v6 ? 40 : 0)));
		t.vnet.gso_type = VNET_GSO_NONE;
	}
	t.len = v6 ? 40u + get_be16(buf + 4) : get_be16(buf + 2);
	for (uint32_t i = (uint32_t)n; i < t.len; i++)
		buf[i] = (uint8_t)(i * 31 + i / 256);
	return t;
}

static uint64_t dropped(const struct end *e)
{
	uint64_t n = 0;

	for (int v = 0; v < VERDICT_COUNT; v++)
		n += v == VERDICT_PASS ? 0 : e->verdicts[v];
	return n;
}

/* What the other end gets of it, one datagram behind the other. */
static size_t receive(const struct end *c, uint8_t *buf, size_t *seg_bytes)
{
	size_t len = 0;

	*seg_bytes = c->sent[0].len;
	for (unsigned int i = 0; i < c->num_sent; i++) {
		memcpy(buf + len, c->sent[i].p, c->sent[i].len);
		len += c->sent[i].len;
	}
	return len;
}

static void replay(const struct guard_case *g, bool one)
{
	static uint8_t bytes[TRAIN_MAX_BYTES], arrived[128 * 1024], fresh[128 * 1024];
	struct train trains[MAX_TRAINS] = { load(g->file, bytes, one) };
	struct end *c = end_new("1-64512,10.0.0.1", 31000), *s = end_new("1-64512,10.0.0.2", 31002);
	size_t seg_bytes, len;
	unsigned int segments;

	for (unsigned int i = 1; i < g->batch; i++)
		trains[i] = trains[0];
	make_ends(c, s, &trains[0], g->hops);
	guard_out(c, trains, g->batch);
	segments = c->num_sent;
	len = receive(c, fresh, &seg_bytes);

	c->batch.flush = drop_batch;
	guard_out(c, trains, g->batch);
	printf("until here\n");
	guard_done();
	for (unsigned int i = 0; i < ROUNDS; i++)
		guard_out(c, trains, g->batch);
	if (dropped(c) || c->bad_msgs || segments < g->batch)
		fail("not everything was sent", g->name);
	printf("%s\tout\t%d\t%u\t%u\n", g->name, one, ROUNDS * g->batch, segments / g->batch);
	guard_done();

	s->in.write = drop_written;
	num_written = 0;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		memcpy(arrived, fresh, len); /* it is changed on its way */
		guard_in(s, arrived, len, seg_bytes);
	}
	if (dropped(s) || num_written != ROUNDS * g->batch)
		fail("not everything arrived as one train", g->name);
	printf("%s\tin\t%d\t%u\t%u\n", g->name, one, ROUNDS * g->batch, segments / g->batch);
	guard_done();
	end_free(c);
	end_free(s);
}

int main(void)
{
	/* Not the fastest but what every machine has. */
	if (csum_use("plain") < 0)
		return 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].bulk)
			replay(&cases[i], true);
		replay(&cases[i], false);
	}
	return 0;
}
