/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/core/world.h"

/*
 * Several datagrams, then a flush. A datagram is kind(1) flow(1) length(2) bytes:
 *
 *     0  the bytes are the whole datagram
 *     1  the bytes are a frame in a right SCION packet of that flow
 *     2  likewise, but type, flags and epoch (3 bytes) come first and the names are right
 *
 * What is written to the TUN is a packet that a kernel takes, between the addresses of a flow.
 */

enum { FLOWS = 6, MAX_DATAGRAMS = 200 };

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
		flows[i] = make_flow(cli, srv, i, proto[i], i % 2 == 0, 1472);
}

static bool of_a_flow(const struct written *w, const struct ip_pkt *pkt)
{
	for (int i = 1; i <= FLOWS; i++) {
		const struct flow_key *k = &flows[i].s->key;

		if (w->tun == flows[i].s->tun && pkt->addr_len == k->local.len &&
		    !memcmp(pkt->dst, k->local.b, pkt->addr_len) && !memcmp(pkt->src, k->remote.b, pkt->addr_len))
			return true;
	}
	return false;
}

static void check_written(const struct written *w)
{
	struct ip_pkt pkt;
	struct tcp_hdr h;
	uint32_t len;

	MUST(!ip_parse(w->pkt, w->len, &pkt));
	MUST(of_a_flow(w, &pkt));
	if (!w->vnet.flags) { /* came as a DATAGRAM, so it is no TCP segment */
		MUST(!w->vnet.gso_type && (pkt.proto != INET_PROTO_TCP || pkt.later_fragment));
		return;
	}
	MUST(w->vnet.flags == VNET_F_NEEDS_CSUM && pkt.proto == INET_PROTO_TCP && !pkt.fragment);
	MUST(!tcp_parse(w->pkt + pkt.l4_off, w->len - pkt.l4_off, &h));
	MUST(!(h.flags & TCP_SYN));
	MUST(w->vnet.hdr_len == pkt.l4_off + h.hdr_len && w->vnet.csum_start == pkt.l4_off);
	len = w->len - w->vnet.hdr_len;
	if (w->vnet.gso_type) {
		MUST(w->vnet.gso_type == (pkt.version == 6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4));
		MUST(w->vnet.gso_size && len > w->vnet.gso_size);
		MUST((h.flags & ~(TCP_PSH | TCP_FIN)) == TCP_ACK || !(h.flags & ~(TCP_PSH | TCP_FIN)));
	}
	MUST(pkt.version == 6 || csum_fold(csum_add(0, w->pkt, 20)) == 0xffff);
}

static uint8_t *datagram(uint8_t kind, struct flow *f, struct rd *r, size_t *len)
{
	static uint8_t out[70000], frame[66000];
	struct wr w = wr_init(frame, sizeof(frame));

	if (!kind) {
		*len = r->left;
		return copy_of(r->p, r->left);
	}
	if (kind == 2) {
		struct frame_hdr h = { .type = rd_u8(r), .to = f->theirs };

		h.flags = rd_u8(r);
		h.epoch = rd_u8(r);
		frame_build_hdr(&w, &h);
	}
	wr_copy(&w, r->p, r->left);
	*len = scion_packet(out, f->tmpl, 0, frame, (size_t)(w.p - frame));
	return copy_of(out, *len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *kept[MAX_DATAGRAMS];
	struct rd r = rd_init(data, size);
	unsigned int n = 0;

	if (!srv)
		set_up();
	while (r.left && n < MAX_DATAGRAMS) {
		uint8_t kind = rd_u8(&r) % 3, which = (uint8_t)(1 + rd_u8(&r) % FLOWS);
		size_t len = rd_be16(&r), max = r.left;
		struct flow *f = NULL;
		struct rd part;
		enum verdict v;

		if (r.bad)
			break;
		if (len > max)
			len = max;
		part = rd_init(rd_bytes(&r, len), len);
		kept[n] = datagram(kind, flows[which].c, &part, &len);
		inbound_prefetch(&srv->in, kept[n], len);
		v = inbound_packet(&srv->in, kept[n], len, 28, n, &f);
		n++;
		MUST(v < VERDICT_COUNT);
		MUST(v != VERDICT_PASS || f);
		MUST(!f || f == flow_table_get(&srv->table, flow_table_index(&srv->table, f)));
	}
	inbound_flush(&srv->in);
	MUST(!srv->in.num_open);
	for (unsigned int i = 0; i < srv->num_got; i++)
		check_written(&srv->got[i]);
	end_forget(srv);
	while (n)
		free(kept[--n]);
	for (int i = 1; i <= FLOWS; i++)
		flows[i].s->asked = false;
	return 0;
}
