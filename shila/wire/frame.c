/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/wire/frame.h"

#include "shila/wire/inet.h"

#include <errno.h>

/*
 * Frames of the backbone protocol. The offsets are those of docs/protocol.md; each parser begins
 * behind the frame header, where frame_parse_hdr() leaves the cursor.
 */

#define TCP_HDR_LEN 20 /* what the data offset counts from, also in a thin header */

/* Types that always go to a flow that the sender knows. */
static bool needs_flow(uint8_t type)
{
	return type == FRAME_ACCEPT || type == FRAME_REJECT || type == FRAME_ALIVE ||
	       type == FRAME_DATA || type == FRAME_DATAGRAM || type == FRAME_CLOSE;
}

int frame_parse_hdr(struct rd *r, struct frame_hdr *out)
{
	/* ver(4) type(4) flags(8) epoch(8) reserved(8) req(8) ans(8) tag(16) flow id(32) */
	const uint8_t *p = rd_bytes(r, FRAME_HDR_LEN);
	uint32_t id;
	uint8_t type;

	if (!p)
		return -EBADMSG;
	if (p[0] >> 4 != FRAME_VERSION)
		return -EPROTONOSUPPORT;
	type = p[0] & 0xf;
	if (type < FRAME_HELLO || type > FRAME_UNKNOWN)
		return -ENOMSG;
	id = get_be32(p + 8);
	if (needs_flow(type) && !FLOW_ID_INDEX(id))
		return -EBADMSG;
	*out = (struct frame_hdr){
		.type = type,
		.flags = p[1],
		.epoch = p[2],
		.req = p[4],
		.ans = p[5],
		.to = { .id = id, .tag = get_be16(p + 6) },
	};
	return 0;
}

/* The headers of DATA are written in long words, as they are read for the checksum. */
void frame_build_hdr(struct wr *w, const struct frame_hdr *h)
{
	uint8_t *p = wr_space(w, FRAME_HDR_LEN);
	uint32_t first = (uint32_t)(FRAME_VERSION << 4 | (h->type & 0xf)) << 24 | (uint32_t)h->flags << 16 |
			 (uint32_t)h->epoch << 8;

	if (!p)
		return;
	put_be64(p, (uint64_t)first << 32 | (uint32_t)h->req << 24 | (uint32_t)h->ans << 16 | h->to.tag);
	put_be32(p + 8, h->to.id);
}

int frame_parse_thin(struct rd *r, struct thin_tcp *out)
{
	/* seq(32) ack(32) offset(4) reserved(4) flags(8) window(16) [urgent(16) reserved(16)]
	 * options */
	const uint8_t *p = rd_bytes(r, FRAME_THIN_LEN), *opts;
	unsigned int hdr_len;
	uint16_t urgent = 0;

	if (!p)
		return -EBADMSG;
	hdr_len = (p[8] >> 4) * 4u;
	if (p[9] & TCP_URG) {
		urgent = rd_be16(r);
		rd_skip(r, 2);
	}
	if (hdr_len < TCP_HDR_LEN)
		return -EBADMSG;
	opts = rd_bytes(r, hdr_len - TCP_HDR_LEN);
	if (r->bad)
		return -EBADMSG;
	*out = (struct thin_tcp){
		.seq = get_be32(p),
		.ack = get_be32(p + 4),
		.flags = p[9],
		.window = get_be16(p + 10),
		.urgent = urgent,
		.opts = opts,
		.opts_len = (uint8_t)(hdr_len - TCP_HDR_LEN),
	};
	return 0;
}

/* @len is a multiple of 4, and small: what memcpy() does for an unknown length takes longer to begin. */
static inline void copy_words(uint8_t *to, const uint8_t *from, size_t len)
{
	for (; len >= 8; to += 8, from += 8, len -= 8)
		memcpy(to, from, 8);
	if (len)
		memcpy(to, from, 4);
}

void frame_build_thin(struct wr *w, const struct thin_tcp *t)
{
	uint8_t *p = wr_space(w, frame_thin_len(t->flags, t->opts_len));

	if (!p)
		return;
	put_be64(p, (uint64_t)t->seq << 32 | t->ack);
	put_be32(p + 8, (uint32_t)((TCP_HDR_LEN + t->opts_len) / 4) << 28 | (uint32_t)t->flags << 16 | t->window);
	p += FRAME_THIN_LEN;
	if (t->flags & TCP_URG) {
		put_be32(p, (uint32_t)t->urgent << 16);
		p += 4;
	}
	copy_words(p, t->opts, t->opts_len);
}

static struct flow_name rd_name(struct rd *r)
{
	struct flow_name n = { .id = rd_be32(r) };

	n.tag = rd_be16(r);
	return n;
}

static void wr_name(struct wr *w, const struct flow_name *n)
{
	wr_be32(w, n->id);
	wr_be16(w, n->tag);
}

/* A header for builders of whole frames. */
static void put_hdr(struct wr *w, enum frame_type type, uint8_t epoch, const struct flow_name *to)
{
	struct frame_hdr h = { .type = (uint8_t)type, .epoch = epoch };

	if (to)
		h.to = *to;
	frame_build_hdr(w, &h);
}

static int built(const struct wr *w, const uint8_t *buf)
{
	return w->bad ? -EMSGSIZE : (int)(w->p - buf);
}

/* A SYN that opens, or a SYN/ACK: the only segments that OPEN and ACCEPT carry. */
static bool body_is_syn(const uint8_t *body, size_t len, uint8_t flags)
{
	struct rd r = rd_init(body, len);
	struct thin_tcp t;

	return frame_parse_thin(&r, &t) == 0 &&
	       (t.flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == flags;
}

static bool open_is_consistent(const struct frame_open *o)
{
	switch (o->kind) {
	case FLOW_MAIN:
	case FLOW_SUB:
	case FLOW_PLAIN:
		return o->proto == INET_PROTO_TCP && body_is_syn(o->body, o->body_len, TCP_SYN);
	case FLOW_DATAGRAM:
		return o->proto != INET_PROTO_TCP;
	default:
		return false;
	}
}

int frame_parse_open(struct rd *r, struct frame_open *out)
{
	struct frame_open o = { 0 };
	size_t len = r->left + FRAME_HDR_LEN;
	uint8_t addr_len;

	o.from = rd_name(r);
	o.path_mtu = rd_be16(r);
	o.kind = rd_u8(r);
	o.proto = rd_u8(r);
	addr_len = rd_u8(r);
	o.epoch = rd_u8(r);
	o.src_port = rd_be16(r);
	o.dst_port = rd_be16(r);
	o.body_len = rd_be16(r);
	o.born_ms = rd_be16(r);
	if (addr_len != 4 && addr_len != 16)
		return -EBADMSG;
	o.src.len = o.dst.len = addr_len;
	rd_copy(r, o.src.b, addr_len);
	rd_copy(r, o.dst.b, addr_len);
	o.body = rd_bytes(r, o.body_len);
	if (r->bad || len < FRAME_OPEN_MIN_LEN || !FLOW_ID_INDEX(o.from.id) ||
	    !open_is_consistent(&o))
		return -EBADMSG;
	*out = o;
	return 0;
}

int frame_build_open(uint8_t *buf, size_t cap, const struct frame_open *o)
{
	struct wr w = wr_init(buf, cap);
	size_t len;

	put_hdr(&w, FRAME_OPEN, o->epoch, NULL);
	wr_name(&w, &o->from);
	wr_be16(&w, o->path_mtu);
	wr_u8(&w, o->kind);
	wr_u8(&w, o->proto);
	wr_u8(&w, o->src.len);
	wr_u8(&w, o->epoch);
	wr_be16(&w, o->src_port);
	wr_be16(&w, o->dst_port);
	wr_be16(&w, o->body_len);
	wr_be16(&w, o->born_ms);
	wr_copy(&w, o->src.b, o->src.len);
	wr_copy(&w, o->dst.b, o->src.len);
	if (o->body_len)
		wr_copy(&w, o->body, o->body_len);
	len = (size_t)(w.p - buf);
	if (len < FRAME_OPEN_MIN_LEN)
		wr_zero(&w, FRAME_OPEN_MIN_LEN - len);
	return built(&w, buf);
}

int frame_parse_accept(struct rd *r, struct frame_accept *out)
{
	struct frame_accept a = { 0 };

	a.from = rd_name(r);
	a.worker_port = rd_be16(r);
	if (r->bad || !FLOW_ID_INDEX(a.from.id) || !a.worker_port ||
	    r->left > FRAME_ACCEPT_MAX_BODY)
		return -EBADMSG;
	a.body_len = (uint16_t)r->left;
	a.body = rd_bytes(r, a.body_len);
	if (a.body_len && !body_is_syn(a.body, a.body_len, TCP_SYN | TCP_ACK))
		return -EBADMSG;
	*out = a;
	return 0;
}

int frame_build_accept(uint8_t *buf, size_t cap, const struct flow_name *to, uint8_t epoch,
		       const struct frame_accept *a)
{
	struct wr w = wr_init(buf, cap);

	if (a->body_len > FRAME_ACCEPT_MAX_BODY)
		return -EMSGSIZE;
	put_hdr(&w, FRAME_ACCEPT, epoch, to);
	wr_name(&w, &a->from);
	wr_be16(&w, a->worker_port);
	if (a->body_len)
		wr_copy(&w, a->body, a->body_len);
	return built(&w, buf);
}

const char *frame_reason_str(uint8_t reason)
{
	static const char *const text[REASON_MAX] = {
		[REASON_NONE] = "no reason given",
		[REASON_NOT_ALLOWED] = "the peer does not allow us to connect",
		[REASON_NOT_SERVED] = "the peer does not serve this protocol, port or address",
		[REASON_PORT_CLOSED] = "nothing listens on this port at the peer",
		[REASON_NO_RESOURCES] = "the peer has no flow or address left for us",
		[REASON_NO_MAIN_FLOW] =
			"the peer does not know the connection that is to be joined",
		[REASON_STOPPED] = "the peer's shilad was stopped",
		[REASON_CLOSED] = "the flow has ended",
		[REASON_MALFORMED] = "the peer cannot deliver this packet",
	};

	return reason < REASON_MAX ? text[reason] : "unknown reason";
}

int frame_parse_end(struct rd *r, struct frame_end *out)
{
	struct frame_end e;

	e.from = rd_name(r);
	e.reason = rd_u8(r);
	rd_skip(r, 1);
	if (r->bad)
		return -EBADMSG;
	*out = e;
	return 0;
}

int frame_build_end(uint8_t *buf, size_t cap, enum frame_type type, const struct flow_name *to,
		    const struct frame_end *e)
{
	struct wr w = wr_init(buf, cap);

	put_hdr(&w, type, 0, to);
	wr_name(&w, &e->from);
	wr_u8(&w, e->reason);
	wr_u8(&w, 0);
	return built(&w, buf);
}

int frame_parse_hello(struct rd *r, struct frame_hello *out)
{
	struct frame_hello h = { 0 };

	h.min_version = rd_u8(r);
	h.max_version = rd_u8(r);
	h.num_workers = rd_u8(r);
	rd_skip(r, 1);
	h.features = rd_be32(r);
	h.max_flows = rd_be32(r);
	h.boot_id = rd_be64(r);
	h.cookie = rd_be64(r);
	if (h.num_workers < 1 || h.num_workers > FRAME_MAX_WORKERS || h.min_version < 1 ||
	    h.min_version > h.max_version)
		return -EBADMSG;
	for (int i = 0; i < h.num_workers; i++) {
		h.worker_ports[i] = rd_be16(r);
		if (!h.worker_ports[i])
			return -EBADMSG;
	}
	rd_skip(r, 2u * (FRAME_MAX_WORKERS - h.num_workers));
	if (r->bad)
		return -EBADMSG;
	*out = h;
	return 0;
}

int frame_build_hello(uint8_t *buf, size_t cap, enum frame_type type, const struct frame_hello *h)
{
	struct wr w = wr_init(buf, cap);

	put_hdr(&w, type, 0, NULL);
	wr_u8(&w, h->min_version);
	wr_u8(&w, h->max_version);
	wr_u8(&w, h->num_workers);
	wr_u8(&w, 0);
	wr_be32(&w, h->features);
	wr_be32(&w, h->max_flows);
	wr_be64(&w, h->boot_id);
	wr_be64(&w, h->cookie);
	for (int i = 0; i < FRAME_MAX_WORKERS; i++)
		wr_be16(&w, i < h->num_workers ? h->worker_ports[i] : 0);
	return built(&w, buf);
}

int frame_parse_probe(struct rd *r, struct frame_probe *out)
{
	struct frame_probe p;

	p.id = rd_be32(r);
	p.sent_us = rd_be64(r);
	if (r->bad)
		return -EBADMSG;
	*out = p;
	return 0;
}

int frame_build_probe(uint8_t *buf, size_t cap, enum frame_type type, const struct frame_probe *p)
{
	struct wr w = wr_init(buf, cap);

	put_hdr(&w, type, 0, NULL);
	wr_be32(&w, p->id);
	wr_be64(&w, p->sent_us);
	return built(&w, buf);
}

int frame_parse_unknown(struct rd *r, struct frame_unknown *out)
{
	struct frame_unknown u;

	u.addressed.id = rd_be32(r);
	u.scion_flow_id = rd_be32(r) & 0xfffff;
	u.addressed.tag = rd_be16(r);
	if (r->bad)
		return -EBADMSG;
	*out = u;
	return 0;
}

int frame_build_unknown(uint8_t *buf, size_t cap, const struct frame_unknown *u)
{
	struct wr w = wr_init(buf, cap);

	put_hdr(&w, FRAME_UNKNOWN, 0, NULL);
	wr_be32(&w, u->addressed.id);
	wr_be32(&w, u->scion_flow_id & 0xfffff);
	wr_be16(&w, u->addressed.tag);
	return built(&w, buf);
}

int frame_parse_datagram(struct rd *r, const struct frame_hdr *h, uint16_t *packet_id)
{
	uint16_t id = 0;

	if (h->flags & FRAME_FLAG_FRAG) {
		id = rd_be16(r);
		rd_skip(r, 2);
	} else if (h->flags & FRAME_FLAG_LAST) {
		return -EBADMSG;
	}
	if (r->bad || !r->left)
		return -EBADMSG;
	*packet_id = id;
	return 0;
}

int frame_build_datagram(struct wr *w, const struct frame_hdr *h, uint16_t packet_id)
{
	bool frag = h->flags & FRAME_FLAG_FRAG;

	frame_build_hdr(w, h);
	if (frag) {
		wr_be16(w, packet_id);
		wr_be16(w, 0);
	}
	return w->bad ? -EMSGSIZE : FRAME_HDR_LEN + (frag ? FRAME_FRAG_LEN : 0);
}
