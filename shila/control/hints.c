/* SPDX-License-Identifier: Apache-2.0 */

/*
 * SCMP. Nobody vouches for it, so an error counts only if it quotes what we really sent: a frame with the name that the peer gave
 * to its flow, an OPEN with the name that we gave to ours, a PROBE that is not long gone. Even then it is a hint: the path, and
 * all that cross the interface which is said to be down, are probed. An error that quotes the PROBE which is waited for tells
 * that this one will not be answered.
 */
#include "shila/control/control.h"

#include "shila/wire/scmp.h"

#include <string.h>

#define PROBE_IDS   65536 /* newest ones that may be quoted, */
#define PROBE_AGE_US 10000000 /* for so long */

struct quoted {
	struct peer *peer;
	struct peer_path *path; /* NULL: not one that we chose */
	bool is_probe;
	struct frame_probe probe;
};

static bool goes_over(const struct scion_pkt *pkt, const struct path *p)
{
	uint16_t interfaces[PATH_MAX_HOPS];
	int n = pkt->path_len ? scion_path_interfaces(pkt->path, pkt->path_len, interfaces, PATH_MAX_HOPS) : 0;

	if (n != p->num_hops)
		return false;
	for (int i = 0; i < n; i++)
		if (interfaces[i] != p->hops[i].ifid)
			return false;
	return true;
}

/* The body of a frame in a quote, as far as that needs: what was cut off was not needed. */
static bool was_sent(struct control *c, const struct arrival *a, const struct scion_pkt *sent, struct quoted *out)
{
	struct rd r = rd_init(sent->l4 + SCION_UDP_HDR_LEN, sent->l4_len - SCION_UDP_HDR_LEN);
	bool contact = a->socket == c->s.num_workers;
	const struct ctl_flow *f = NULL;
	struct frame_hdr h;
	uint64_t now_us = control_now_us();

	if (frame_parse_hdr(&r, &h) < 0)
		return false;
	if (!contact && sent->flow_id < c->next_slot[a->socket])
		f = flow_record(c, a->socket, sent->flow_id);
	switch ((enum frame_type)h.type) {
	case FRAME_PROBE:
		out->is_probe = true;
		return !frame_parse_probe(&r, &out->probe) && c->next_probe - out->probe.id < PROBE_IDS &&
		       now_us - out->probe.sent_us < PROBE_AGE_US;
	case FRAME_OPEN: {
		struct flow_name from = { .id = rd_be32(&r), .tag = rd_be16(&r) };

		f = r.bad ? NULL : flow_by_name(c, &from);
		return f && f->peer == out->peer;
	}
	case FRAME_DATA:
	case FRAME_DATAGRAM:
	case FRAME_ALIVE:
	case FRAME_ACCEPT:
	case FRAME_CLOSE:
		return f && f->state != FLOW_NONE && f->peer == out->peer && f->theirs.id && f->theirs.id == h.to.id &&
		       f->theirs.tag == h.to.tag;
	case FRAME_HELLO: {
		struct frame_hello hello;

		return !frame_parse_hello(&r, &hello) && hello.cookie && hello.cookie == out->peer->hello_cookie;
	}
	case FRAME_HELLO_ACK:
	case FRAME_REJECT:
	case FRAME_PROBE_REPLY:
	case FRAME_UNKNOWN:
		return false; /* nothing in them that only we know, or nothing that depends on their way */
	}
	return false;
}

/* What the last routers were asked. */
static bool was_asked(const struct scion_pkt *sent, struct peer_path *pp)
{
	return sent->l4_proto == SCION_L4_SCMP && sent->l4_len >= 8 && pp->witness.waits && pp->witness.flow_id == sent->flow_id &&
	       pp->witness.seq == get_be16(sent->l4 + 6);
}

static bool match(struct control *c, const struct arrival *a, const struct scmp_msg *m, struct quoted *out)
{
	struct scion_addr from, to;
	struct scmp_quote q;

	if (scmp_quote_parse(m->data, m->len, &q) < 0 || !q.has_ports || q.src_port != control_port(c, a->socket))
		return false;
	from = (struct scion_addr){ q.pkt.src_ia, scion_pkt_src(&q.pkt) };
	to = (struct scion_addr){ q.pkt.dst_ia, scion_pkt_dst(&q.pkt) };
	if (!scion_addr_eq(&from, &c->s.local))
		return false;
	*out = (struct quoted){ .peer = peer_find(c, &to) };
	if (!out->peer)
		return false;
	for (struct peer_path *pp = out->peer->paths; pp && !out->path; pp = pp->next)
		if (goes_over(&q.pkt, pp->path))
			out->path = pp;
	if (q.pkt.l4_proto != SCION_L4_UDP)
		return out->path && was_asked(&q.pkt, out->path);
	return q.pkt.l4_len >= SCION_UDP_HDR_LEN && was_sent(c, a, &q.pkt, out);
}

/* Whether the router speaks of a link that the packet was to cross. */
static bool is_on_it(const struct quoted *q, const struct scmp_msg *m)
{
	return !q->path || path_has_interface(q->path->path, m->ia, m->egress);
}

static void on_error(struct control *c, const struct arrival *a, const struct scmp_msg *m)
{
	bool link = m->type == SCMP_EXT_IF_DOWN || m->type == SCMP_INT_CONN_DOWN;
	struct quoted q;

	if (!match(c, a, m, &q) || (link && !is_on_it(&q, m))) {
		c->drops[VERDICT_SCMP_UNMATCHED]++;
		return;
	}
	c->n.scmp_hints++;
	log_debug("SCMP %s (%u/%u) about a packet to %s", scmp_type_str(m->type), m->type, m->code, q.peer->text);
	if (m->type == SCMP_PARAMETER_PROBLEM && (m->code == SCMP_CODE_PATH_EXPIRED || m->code == SCMP_CODE_INVALID_MAC)) {
		struct path_set *s;

		HASH_FIND(hh, c->sets, &q.peer->addr.ia, sizeof(q.peer->addr.ia), s);
		if (s)
			path_set_ask(s, true);
	}
	if (!q.path)
		return; /* a server's answer: the client hears of it, or asks */
	if (q.is_probe)
		probing_refused(c, q.path, &q.probe, link);
	if (link)
		probing_hint(c, q.path, m->ia, m->egress, a->len);
	else
		probing_suspect(c, q.path);
}

void hints_scmp(struct control *c, const struct arrival *a)
{
	struct scmp_msg m;
	int err = scmp_parse(&a->pkt, &m);

	if (err < 0) {
		c->drops[err == -EILSEQ ? VERDICT_SCION_CHECKSUM : VERDICT_SCMP_UNMATCHED]++;
		return;
	}
	c->n.scmp_rx++;
	if (m.type < SCMP_ECHO_REQUEST)
		on_error(c, a, &m);
	else if (m.type != SCMP_TRACEROUTE_REPLY || !witness_reply(c, a, &m))
		c->drops[VERDICT_SCMP_UNMATCHED]++; /* echo requests go to another port */
}
