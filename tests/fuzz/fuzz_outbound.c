/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/datagram_cut.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/core/world.h"

/*
 * One packet from a TUN: how(1) virtio_net_hdr(10) packet. The low bits of how name a flow; 0x80: put its
 * addresses and ports into the packet, and its length, so that it gets past the first checks. What is sent
 * parses again, is of that flow, fits the MTU and holds the payload of the packet. A train of datagrams is cut first.
 */

enum { FLOWS = 6 };

static struct end *cli, *srv;
static struct pair flows[FLOWS + 1];

static void tear_down(void)
{
	end_free(cli);
	end_free(srv);
}

static void set_up(void)
{
	static const uint8_t proto[FLOWS + 1] = { 0, INET_PROTO_TCP, INET_PROTO_TCP, INET_PROTO_UDP, INET_PROTO_UDP,
						  INET_PROTO_ICMP, INET_PROTO_ICMPV6 };

	cli = end_new("1-64512,10.0.0.1", 31000);
	srv = end_new("1-64513,fd00::2", 31002);
	atexit(tear_down); /* what flows hold is out of sight of the leak checker */
	for (uint32_t i = 1; i <= FLOWS; i++)
		flows[i] = make_flow(cli, srv, i, proto[i], i % 2 == 0, i < 3 ? 600 : 1472);
}

static void patch(uint8_t *p, size_t len, const struct flow_key *k)
{
	size_t off = k->local.len == 4 ? 20 : 40;

	if (len < off + 4)
		return;
	if (off == 20) {
		p[0] = 0x45;
		put_be16(p + 2, (uint16_t)len);
		p[9] = k->proto;
		memcpy(p + 12, k->local.b, 4);
		memcpy(p + 16, k->remote.b, 4);
	} else {
		p[0] = 0x60 | (p[0] & 0xf);
		put_be16(p + 4, (uint16_t)(len - 40));
		p[6] = k->proto;
		memcpy(p + 8, k->local.b, 16);
		memcpy(p + 24, k->remote.b, 16);
	}
	if (k->proto == INET_PROTO_TCP || k->proto == INET_PROTO_UDP) {
		put_be16(p + off, k->local_port);
		put_be16(p + off + 2, k->remote_port);
	} else if (len >= off + 8) {
		p[off] = off == 20 ? 8 : 128;
		put_be16(p + off + 4, k->local_port);
	}
}

/* Return: bytes behind the frame's headers. */
static size_t check_sent(const struct bytes *d, const struct flow *f, const uint8_t *expect, size_t max)
{
	struct scion_pkt pkt;
	struct scion_udp udp;
	struct frame_hdr h;
	struct thin_tcp thin;
	struct rd r;
	uint16_t id;

	MUST(d->len <= f->tmpl->mtu_bytes);
	MUST(!scion_parse(d->p, d->len, &pkt) && !scion_udp_parse(&pkt, &udp));
	MUST(pkt.flow_id == FLOW_ID_INDEX(f->mine.id) && udp.dst_port == f->tmpl->peer_port);
	r = rd_init(udp.data, udp.len);
	MUST(!frame_parse_hdr(&r, &h) && h.to.id == f->theirs.id && h.to.tag == f->theirs.tag);
	if (f->tcp)
		MUST(h.type == FRAME_DATA && !frame_parse_thin(&r, &thin) && !(thin.flags & TCP_SYN));
	else
		MUST(h.type == FRAME_DATAGRAM && !frame_parse_datagram(&r, &h, &id));
	MUST(r.left <= max && !memcmp(r.p, expect, r.left));
	return r.left;
}

static void carry(struct train *t)
{
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	struct flow *f;
	size_t at = 0;
	enum verdict v = outbound_train(&cli->table, t, 0, &cli->batch, &f);

	end_flush(cli, &cli->batch);
	MUST(!cli->bad_msgs);
	MUST((v == VERDICT_PASS) == (cli->num_sent > 0));
	if (v == VERDICT_PASS) {
		MUST(f && !ip_parse(t->pkt, t->len, &ip));
		if (f->tcp) {
			MUST(!tcp_parse(t->pkt + ip.l4_off, t->len - ip.l4_off, &tcp));
			at = ip.l4_off + tcp.hdr_len;
		}
		for (unsigned int i = 0; i < cli->num_sent; i++)
			at += check_sent(&cli->sent[i], f, t->pkt + at, t->len - at);
		MUST(at == t->len);
	} else {
		MUST(v == VERDICT_CONTROL || v == VERDICT_TUN_MALFORMED || v == VERDICT_TUN_CHECKSUM);
	}
	end_forget(cli);
}

static void send_all_of(struct datagram_cut *cut)
{
	uint32_t most = datagram_cut_most(cut);
	uint8_t *mem = malloc(most);
	struct train one;

	while (datagram_cut_next(cut, mem, &one)) {
		MUST(one.len <= most && one.vnet.gso_type == VNET_GSO_NONE);
		carry(&one);
	}
	MUST(cut->ip_len + 8 + cut->at == cut->whole->len);
	free(mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct train t = { .side = 1 };
	struct datagram_cut cut;
	struct flow *target;

	if (!cli)
		set_up();
	if (size < 12)
		return 0;
	target = flows[1 + (data[0] & 0x7f) % FLOWS].c;
	memcpy(&t.vnet, data + 1, TRAIN_VNET_HDR_LEN);
	t.len = (uint32_t)(size - 11);
	t.pkt = copy_of(data + 11, t.len);
	if (data[0] & 0x80)
		patch(t.pkt, t.len, &target->key);
	if (datagram_cut_begin(&cut, &t))
		send_all_of(&cut);
	else
		carry(&t);
	free(t.pkt);
	return 0;
}
