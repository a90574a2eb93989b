/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/inbound.h"

#include "shila/base/reserve.h"
#include "shila/core/inner.h"
#include "shila/core/spare.h"
#include "shila/wire/checksum.h"
#include "shila/wire/inet.h"
#include "shila/wire/tcp_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INNER_TTL 64

/* How far behind the newest one an ack may be that moves a flow: segments of another path, sent again. */
#define MOVE_ACK_SLACK (1 << 26)

int inbound_init(struct inbound *in)
{
	/* Pages are there once a part lies in them. */
	in->parts = calloc(INBOUND_FRAG_SLOTS, INBOUND_FRAG_BYTES);
	in->num_repeats = in->table->num_slots;
	in->repeats = reserve_new(in->num_repeats * sizeof(*in->repeats));
	if (!in->parts || !in->repeats) {
		inbound_fini(in);
		return -ENOMEM;
	}
	for (size_t i = 0; i < INBOUND_FRAG_SLOTS; i++)
		in->frags[i].bytes = in->parts + i * INBOUND_FRAG_BYTES;
	return 0;
}

void inbound_fini(struct inbound *in)
{
	free(in->parts);
	reserve_free(in->repeats, in->num_repeats * sizeof(*in->repeats));
	in->parts = NULL;
	in->repeats = NULL;
}

/* ---- merging ---- */

/* IP and TCP header in front of the payload that @o has gathered. */
static void build_hdr(struct open_train *o)
{
	const struct flow_key *k = &o->flow->key;
	bool v6 = k->local.len == 16;
	uint32_t ip_len = v6 ? 40 : 20;
	uint32_t tcp_len = 20 + o->thin.opts_len;
	struct wr w = wr_init(o->hdr + TRAIN_VNET_HDR_LEN, sizeof(o->hdr) - TRAIN_VNET_HDR_LEN);
	uint8_t *ip = w.p, *tcp;
	struct vnet_hdr vnet = {
		.flags = VNET_F_NEEDS_CSUM,
		.hdr_len = (uint16_t)(ip_len + tcp_len),
		.csum_start = (uint16_t)ip_len,
		.csum_offset = 16,
	};
	uint16_t csum;

	if (o->num_segs > 1) {
		vnet.gso_type = v6 ? VNET_GSO_TCPV6 : VNET_GSO_TCPV4;
		vnet.gso_size = (uint16_t)o->seg_bytes;
	}
	memcpy(o->hdr, &vnet, sizeof(vnet));

	if (v6) {
		wr_be32(&w, 6u << 28 | (uint32_t)o->traffic_class << 20);
		wr_be16(&w, (uint16_t)(tcp_len + o->bytes));
		wr_u8(&w, INET_PROTO_TCP);
		wr_u8(&w, INNER_TTL);
	} else {
		wr_u8(&w, 0x45);
		wr_u8(&w, o->traffic_class);
		wr_be16(&w, (uint16_t)(ip_len + tcp_len + o->bytes));
		wr_be32(&w, 0x00004000); /* id 0, don't fragment */
		wr_u8(&w, INNER_TTL);
		wr_u8(&w, INET_PROTO_TCP);
		wr_be16(&w, 0);
	}
	wr_copy(&w, k->remote.b, k->remote.len);
	wr_copy(&w, k->local.b, k->local.len);
	if (!v6) {
		csum = csum_finish(csum_add(0, ip, 20));
		memcpy(ip + 10, &csum, 2);
	}

	tcp = w.p;
	wr_be16(&w, k->remote_port);
	wr_be16(&w, k->local_port);
	wr_be32(&w, o->thin.seq);
	wr_be32(&w, o->thin.ack);
	wr_u8(&w, (uint8_t)((5 + o->thin.opts_len / 4) << 4));
	wr_u8(&w, o->thin.flags);
	wr_be16(&w, o->thin.window);
	/* With NEEDS_CSUM the field holds the sum of the pseudo header, not complemented. */
	csum = csum_fold(inet_csum_pseudo(k->remote.b, k->local.b, k->local.len, INET_PROTO_TCP,
					  tcp_len + o->bytes));
	memcpy(tcp + 16, &csum, 2);
	w.p += 2;
	w.left -= 2;
	wr_be16(&w, o->thin.urgent);
	wr_copy(&w, o->thin.opts, o->thin.opts_len);
	o->iov[0] = (struct iovec){ o->hdr, TRAIN_VNET_HDR_LEN + ip_len + tcp_len };
}

static void write_train(struct inbound *in, struct open_train *o)
{
	bool payload = o->iov[1].iov_len;

	build_hdr(o);
	in->verdicts[in->write(in->ctx, o->flow->tun, o->iov, payload ? (int)o->num_segs + 1 : 1)]++;
}

static struct tun_writer writer(struct inbound *in)
{
	return (struct tun_writer){ .write = in->write, .ctx = in->ctx, .verdicts = in->verdicts };
}

void inbound_flush(struct inbound *in)
{
	struct tun_writer w = writer(in);

	for (unsigned int i = 0; i < in->num_open; i++)
		write_train(in, &in->open[i]);
	in->num_open = 0;
	datagram_runs_flush(&in->runs, &w);
}

/* The oldest goes first; the order between flows does not matter, within one there is one train. */
static void close_train(struct inbound *in, unsigned int i)
{
	write_train(in, &in->open[i]);
	in->num_open--;
	if (i != in->num_open)
		memcpy(&in->open[i], &in->open[in->num_open], sizeof(in->open[i]));
}

void inbound_flush_flow(struct inbound *in, const struct flow *f)
{
	struct tun_writer w = writer(in);

	datagram_runs_flush_flow(&in->runs, &w, f);
	for (unsigned int i = 0; i < in->num_open; i++) {
		if (in->open[i].flow == f) {
			close_train(in, i);
			return;
		}
	}
}

#define FLAGS_LAST (TCP_PSH | TCP_FIN) /* allowed on the last segment of a train */

static bool joins(const struct open_train *o, const struct thin_tcp *thin, uint32_t len, uint8_t tc)
{
	/* The whole option area: DSS and timestamps are valid for the segment that carries them. */
	return !o->closed && len && thin->seq == o->next_seq && len <= o->seg_bytes &&
	       (thin->flags & ~FLAGS_LAST) == o->thin.flags && thin->ack == o->thin.ack &&
	       thin->window == o->thin.window && tc == o->traffic_class &&
	       thin->opts_len == o->thin.opts_len && !memcmp(thin->opts, o->thin.opts, thin->opts_len) &&
	       o->num_segs < INBOUND_MAX_SEGMENTS &&
	       o->bytes + len + 40 + 60 <= TRAIN_MAX_BYTES - 1;
}

/* The local TCP need not be asked twice. */
static bool spares(struct open_train *o, const struct thin_tcp *thin, uint32_t len, uint8_t tc)
{
	if (!spare_is_bare(thin, len) || tc != o->traffic_class)
		return false;
	if (spare_is_bare(&o->thin, o->bytes) && spare_older(&o->thin, thin))
		o->thin = *thin;
	else if (!spare_newer(&o->thin, o->next_seq + !!(o->thin.flags & TCP_FIN), thin))
		return false;
	return true;
}

static void merge(struct inbound *in, struct flow *f, const struct thin_tcp *thin,
		  const uint8_t *payload, uint32_t len, uint8_t tc)
{
	struct open_train *o = NULL;

	for (unsigned int i = 0; i < in->num_open; i++) {
		if (in->open[i].flow != f)
			continue;
		o = &in->open[i];
		if (joins(o, thin, len, tc)) {
			o->iov[++o->num_segs] = (struct iovec){ (void *)payload, len };
			o->thin.flags |= thin->flags & FLAGS_LAST;
			o->closed = len < o->seg_bytes || thin->flags & FLAGS_LAST;
			o->bytes += len;
			o->next_seq += len;
			return;
		}
		if (spares(o, thin, len, tc)) {
			in->acks_merged++;
			return;
		}
		close_train(in, i);
		break;
	}
	if (in->num_open == INBOUND_OPEN_TRAINS)
		close_train(in, 0);
	o = &in->open[in->num_open++];
	o->flow = f;
	o->thin = *thin;
	o->next_seq = thin->seq + len;
	o->bytes = o->seg_bytes = len;
	o->num_segs = 1;
	o->traffic_class = tc;
	/* A train carries exactly ACK, or ACK and what may stand on its last segment. */
	o->closed = !len || (thin->flags & ~TCP_ACK);
	o->iov[1] = (struct iovec){ (void *)payload, len };
}

/* ---- frames ---- */

static inline __attribute__((always_inline)) bool from_host(const struct scion_pkt *pkt, const struct tmpl *t)
{
	return pkt->src_ia.v == t->peer.ia.v && pkt->src_len == t->peer.host.len &&
	       host_eq(pkt->src_host, t->peer.host.b, pkt->src_len);
}

static bool from_peer(const struct scion_pkt *pkt, const struct scion_udp *udp, const struct tmpl *t)
{
	return from_host(pkt, t) && udp->src_port == t->peer_port;
}

/* A path that the client renewed shows in its info fields: timestamp and SegID. */
static bool renewed(const struct scion_pkt *pkt, const struct tmpl *t)
{
	return t->rx_infos_len && (pkt->path_len < 4 + t->rx_infos_len ||
				   memcmp(pkt->path + 4, t->rx_infos, t->rx_infos_len));
}

/* Control is asked about a move or renewal again if its answer, or the question, got lost. */
static bool may_ask(struct flow *f, uint64_t now_ms)
{
	if (f->asked && (uint32_t)now_ms - f->asked_ms < INBOUND_ASK_AGAIN_MS)
		return false;
	f->asked = true;
	f->asked_ms = (uint32_t)now_ms;
	return true;
}

/* A frame with the right name: only who got our answer knows it. */
static void heard(struct flow *f)
{
	if (!f->server)
		return;
	f->saw |= FLOW_SAW_HEARD;
	f->unheard = false;
}

/* Nothing of bulk data comes here. */
static __attribute__((noinline)) bool too_often(struct inbound *in, const struct flow *f, uint32_t end, uint32_t ack, uint8_t flags,
						uint64_t now_ms)
{
	return repeats_known(f->hot, end, ack, flags) && !repeats_take(&in->repeats[FLOW_ID_INDEX(f->mine.id)], now_ms);
}

static enum verdict take_data(struct inbound *in, struct flow *f, const struct scion_pkt *pkt,
			      const struct frame_hdr *h, struct rd *r, uint32_t wire, uint64_t now_ms)
{
	struct flow_hot *hot = f->hot;
	struct thin_tcp thin;
	uint32_t len, end;
	enum verdict v = VERDICT_PASS;
	bool sent; /* it acknowledges what we really sent */

	if (!f->tcp)
		return VERDICT_FRAME_STATE;
	if (frame_parse_thin(r, &thin) < 0)
		return VERDICT_FRAME_MALFORMED;
	if (thin.flags & TCP_SYN)
		return VERDICT_CONTROL;
	len = (uint32_t)r->left;
	end = thin.seq + len + !!(thin.flags & TCP_FIN);
	sent = hot->known & FLOW_KNOWS_OUT && (int32_t)(hot->out_next - thin.ack) >= 0;
	if (h->epoch != f->epoch || renewed(pkt, f->tmpl)) {
		/*
		 * The other side moved, or follows us late. Newer and plausible (an ack inside of what
		 * we sent): control makes the new template. In any case the bytes are good.
		 */
		bool newer = (int8_t)(h->epoch - f->epoch) >= 0;
		bool recent = !(hot->known & FLOW_KNOWS_ACK) || (int32_t)(thin.ack - hot->in_ack) >= -MOVE_ACK_SLACK;

		if (newer && sent && recent && (f->server || h->epoch != f->epoch) && may_ask(f, now_ms))
			v = VERDICT_CONTROL; /* which gets a copy; the segment itself goes on */
	}
	if (!(hot->known & FLOW_KNOWS_IN) || end - hot->in_next - 1 < REPEATS_FAR)
		hot->in_next = end;
	else if (sent && len && v == VERDICT_PASS && too_often(in, f, end, thin.ack, thin.flags, now_ms))
		return VERDICT_REPEATED;
	hot->known |= FLOW_KNOWS_IN;
	if (sent && (!(hot->known & FLOW_KNOWS_ACK) || (int32_t)(thin.ack - hot->in_ack) > 0)) {
		hot->in_ack = thin.ack;
		hot->known |= FLOW_KNOWS_ACK;
		if (f->kept)
			f->kept = replay_acked(in->replay, FLOW_ID_INDEX(f->mine.id), thin.ack);
	}
	heard(f);
	if (thin.flags & TCP_FIN)
		f->saw |= FLOW_SAW_FIN_IN;
	if (thin.flags & TCP_RST) {
		f->saw |= FLOW_SAW_RST_IN;
		if (f->kept)
			replay_drop(in->replay, FLOW_ID_INDEX(f->mine.id));
		f->kept = false;
	}
	flow_count(&f->stats.rx_bytes, len);
	flow_count(&f->stats.rx_wire_bytes, wire);
	flow_count(&f->stats.rx_segments, 1);
	atomic_store_explicit(&f->stats.rx_ms, now_ms, memory_order_relaxed);
	f->hot->last_s = (uint32_t)(now_ms / 1000);
	merge(in, f, &thin, r->p, len, pkt->traffic_class);
	return v;
}

/* Rewrites @pkt in place. @lent: until inbound_flush(), so that others may join it. */
static enum verdict deliver_packet(struct inbound *in, struct flow *f, uint8_t *pkt, size_t len, const struct ip_pkt *ip,
				   bool lent)
{
	struct vnet_hdr vnet = { 0 };
	struct iovec iov[2] = { { &vnet, sizeof(vnet) }, { pkt, len } };
	struct tun_writer w = writer(in);

	if (inet_rewrite(pkt, ip, &f->key.remote, &f->key.local) < 0)
		return VERDICT_FRAME_MALFORMED;
	flow_count(&f->stats.rx_bytes, inet_payload_len(ip));
	if (lent && !f->tcp && datagram_runs_take(&in->runs, &w, f, pkt, ip))
		return VERDICT_PASS;
	inbound_flush_flow(in, f);
	in->verdicts[in->write(in->ctx, f->tun, iov, 2)]++;
	return VERDICT_PASS;
}

/* ---- packets in two parts ---- */

void inbound_expire(struct inbound *in, uint64_t now_ms)
{
	for (unsigned int i = 0; in->num_frags && i < INBOUND_FRAG_SLOTS; i++) {
		if (in->frags[i].index && now_ms - in->frags[i].since_ms >= INBOUND_FRAG_MS) {
			in->verdicts[VERDICT_FRAGMENT_LOST]++;
			in->frags[i].index = 0;
			in->num_frags--;
		}
	}
}

void inbound_forget_flow(struct inbound *in, uint32_t index)
{
	for (unsigned int i = 0; in->num_frags && i < INBOUND_FRAG_SLOTS; i++) {
		if (in->frags[i].index == index) {
			in->frags[i].index = 0;
			in->num_frags--;
		}
	}
}

/* A free slot, or else the one whose part waits longest. */
static struct frag *frag_slot(struct inbound *in)
{
	struct frag *oldest = &in->frags[0];

	for (unsigned int i = 0; i < INBOUND_FRAG_SLOTS; i++) {
		struct frag *g = &in->frags[i];

		if (!g->index) {
			in->num_frags++;
			return g;
		}
		if ((int32_t)(g->seq - oldest->seq) < 0)
			oldest = g;
	}
	in->verdicts[VERDICT_FRAGMENT_LOST]++;
	return oldest;
}

static enum verdict deliver_parts(struct inbound *in, struct flow *f, struct frag *g, bool last, const struct rd *r)
{
	size_t len = g->len + r->left;
	struct ip_pkt ip;

	g->index = 0;
	in->num_frags--;
	if (len > INBOUND_FRAG_BYTES)
		return VERDICT_FRAME_MALFORMED;
	if (last) {
		memcpy(g->bytes + g->len, r->p, r->left);
	} else {
		memmove(g->bytes + r->left, g->bytes, g->len);
		memcpy(g->bytes, r->p, r->left);
	}
	if (ip_parse(g->bytes, len, &ip) < 0 || inner_of(&f->key, f->server, g->bytes, &ip) == INNER_FOREIGN)
		return VERDICT_FRAME_MALFORMED;
	return deliver_packet(in, f, g->bytes, len, &ip, false);
}

/* Two parts of one packet, in either order; the first to come waits in a slot. */
static enum verdict take_part(struct inbound *in, struct flow *f, uint16_t id, bool last, const struct rd *r,
			      uint64_t now_ms)
{
	uint32_t index = flow_table_index(in->table, f);
	struct frag *g;

	if (r->left > INBOUND_FRAG_BYTES)
		return VERDICT_FRAME_MALFORMED;
	inbound_expire(in, now_ms);
	for (unsigned int i = 0; in->num_frags && i < INBOUND_FRAG_SLOTS; i++) {
		g = &in->frags[i];
		if (g->index != index || g->id != id)
			continue;
		if (g->last == last)
			return VERDICT_PASS; /* a copy of what waits */
		return deliver_parts(in, f, g, last, r);
	}
	g = frag_slot(in);
	g->seq = in->frag_seq++;
	g->index = index;
	g->id = id;
	g->last = last;
	g->len = (uint32_t)r->left;
	g->since_ms = now_ms;
	memcpy(g->bytes, r->p, r->left);
	return VERDICT_PASS;
}

/* What the first part of a packet shows of it. */
static enum inner inner_of_part(const struct flow *f, const struct rd *r)
{
	struct ip_pkt ip;

	return ip_parse_quote(r->p, r->left, &ip) < 0 ? INNER_FOREIGN : inner_of(&f->key, f->server, r->p, &ip);
}

static enum verdict take_whole(struct inbound *in, struct flow *f, const struct rd *r, bool *tell, uint64_t now_ms)
{
	uint8_t *pkt = (uint8_t *)(uintptr_t)r->p;
	struct ip_pkt ip;
	enum inner inner;

	if (ip_parse(pkt, r->left, &ip) < 0)
		return VERDICT_FRAME_MALFORMED;
	inner = inner_of(&f->key, f->server, pkt, &ip);
	if (inner == INNER_FOREIGN)
		return VERDICT_FRAME_MALFORMED;
	if (!*tell && inner == INNER_RELATED)
		*tell = may_ask(f, now_ms);
	if (*tell && r->left <= sizeof(in->copy)) {
		memcpy(in->copy, pkt, r->left); /* control gets the frame as it came */
		pkt = in->copy;
		ip_parse(pkt, r->left, &ip);
	}
	return deliver_packet(in, f, pkt, r->left, &ip, pkt != in->copy);
}

static enum verdict take_datagram(struct inbound *in, struct flow *f, const struct scion_pkt *pkt,
				  const struct frame_hdr *h, struct rd *r, uint32_t wire, uint64_t now_ms)
{
	int8_t newer = (int8_t)(h->epoch - f->epoch);
	bool tell = newer > 0 || (!newer && f->server && renewed(pkt, f->tmpl));
	bool last = h->flags & FRAME_FLAG_LAST;
	enum verdict v;
	uint16_t id;

	if (frame_parse_datagram(r, h, &id) < 0)
		return VERDICT_FRAME_MALFORMED;
	flow_count(&f->stats.rx_wire_bytes, wire);
	flow_count(&f->stats.rx_segments, 1);
	tell = tell && may_ask(f, now_ms);
	if (h->flags & FRAME_FLAG_FRAG) {
		if (!tell && !last && inner_of_part(f, r) == INNER_RELATED)
			tell = may_ask(f, now_ms);
		v = take_part(in, f, id, last, r, now_ms);
	} else {
		v = take_whole(in, f, r, &tell, now_ms);
	}
	/* A packet that is none of the flow gets nowhere, whatever path it came on. */
	return v == VERDICT_PASS && tell ? VERDICT_CONTROL : v;
}

/*
 * SCMP and the daily bread of no flow: control decides. What it would refuse because of its sender need not wake it. Out of line and
 * without pointers to what its callers have in registers. @frame: NULL for SCMP
 */
static __attribute__((noinline)) enum verdict for_control(struct inbound *in, const struct flow *f, const struct scion_pkt *pkt,
							  const uint8_t *frame, size_t len, uint64_t now_ms)
{
	struct frame_unknown u;
	enum verdict v;

	if (f) /* who knows a name, passes */
		return f->tmpl && !from_host(pkt, f->tmpl) ? VERDICT_FRAME_WRONG_SOURCE : VERDICT_CONTROL;
	if (frame && (frame[0] & 0xf) == FRAME_UNKNOWN) {
		struct rd r = rd_init(frame + FRAME_HDR_LEN, len - FRAME_HDR_LEN);

		f = frame_parse_unknown(&r, &u) < 0 ? NULL : flow_table_get(in->table, u.scion_flow_id);
		if (f && f->tmpl && !from_host(pkt, f->tmpl)) {
			in->who = ADMIT_STRANGER; /* it is not answered */
			return VERDICT_FRAME_UNKNOWN_FLOW;
		}
	}
	if (!in->admit)
		return VERDICT_CONTROL;
	v = frame ? admit_frame(in->admit, pkt, frame, len, now_ms) : admit_scmp(in->admit, now_ms);
	return v == VERDICT_PASS ? VERDICT_CONTROL : v;
}

static enum verdict take_frame(struct inbound *in, const struct scion_pkt *pkt,
			       const struct scion_udp *udp, uint32_t wire, uint64_t now_ms,
			       struct flow **flow)
{
	struct rd r = rd_init(udp->data, udp->len);
	struct frame_hdr h;
	struct flow *f;
	int err = frame_parse_hdr(&r, &h);

	if (err < 0)
		return err == -EPROTONOSUPPORT ? VERDICT_FRAME_VERSION : VERDICT_FRAME_MALFORMED;
	f = flow_table_get(in->table, FLOW_ID_INDEX(h.to.id));
	if (f && (f->mine.id != h.to.id || f->mine.tag != h.to.tag))
		f = NULL;
	if (h.type != FRAME_DATA && h.type != FRAME_DATAGRAM && h.type != FRAME_ALIVE)
		return for_control(in, f, pkt, udp->data, udp->len, now_ms);
	if (!f) {
		in->who = in->admit ? admit_who(in->admit->set, pkt) : ADMIT_PEER;
		return VERDICT_FRAME_UNKNOWN_FLOW;
	}
	*flow = f;
	if (!f->tmpl)
		return VERDICT_PARKED;
	if (!from_peer(pkt, udp, f->tmpl))
		return VERDICT_FRAME_WRONG_SOURCE;
	if (flow_rx_epoch(f) != h.epoch)
		atomic_store_explicit(&f->rx_epoch, h.epoch, memory_order_relaxed);
	/* In the same epoch both sides are on the same path. */
	if ((h.req | h.ans) && f->tmpl->live && h.epoch == f->epoch && !f->slow)
		liveness_heard(f->tmpl->live, FLOW_ID_INDEX(f->mine.id), h.req, h.ans, h.type == FRAME_ALIVE, in->now_us);
	if (h.type == FRAME_DATA)
		return take_data(in, f, pkt, &h, &r, wire, now_ms);
	/* That the other side is there is no traffic: renewals would keep an idle flow from being parked. */
	if (h.type != FRAME_ALIVE || !flow_counter(&f->stats.rx_ms)) {
		atomic_store_explicit(&f->stats.rx_ms, now_ms, memory_order_relaxed);
		f->hot->last_s = (uint32_t)(now_ms / 1000);
	}
	heard(f);
	if (h.type == FRAME_ALIVE)
		return f->slow || (int8_t)(h.epoch - f->epoch) > 0 || (f->server && renewed(pkt, f->tmpl)) ?
			       VERDICT_CONTROL :
			       VERDICT_PASS;
	return take_datagram(in, f, pkt, &h, &r, wire, now_ms);
}

enum verdict inbound_packet(struct inbound *in, uint8_t *p, size_t len, uint32_t outer_len,
			    uint64_t now_ms, struct flow **flow)
{
	struct scion_pkt pkt;
	struct scion_udp udp;
	int err = scion_parse(p, len, &pkt);

	*flow = NULL;
	if (err < 0)
		return err == -EPROTONOSUPPORT ? VERDICT_SCION_PATH_TYPE :
		       err == -EAFNOSUPPORT    ? VERDICT_SCION_ADDR_TYPE :
						 VERDICT_SCION_MALFORMED;
	if (pkt.dst_ia.v != in->local.ia.v || pkt.dst_len != in->local.host.len ||
	    !host_eq(pkt.dst_host, in->local.host.b, pkt.dst_len))
		return VERDICT_SCION_NOT_US;
	if (pkt.l4_proto == SCION_L4_SCMP)
		return for_control(in, NULL, &pkt, NULL, 0, now_ms);
	if (pkt.l4_proto != SCION_L4_UDP)
		return VERDICT_SCION_L4;
	err = scion_udp_parse(&pkt, &udp);
	if (err < 0)
		return err == -EILSEQ ? VERDICT_SCION_CHECKSUM : VERDICT_SCION_MALFORMED;
	if (udp.dst_port != in->port)
		return VERDICT_SCION_NOT_US;
	return take_frame(in, &pkt, &udp, (uint32_t)len + outer_len, now_ms, flow);
}

void inbound_prefetch(const struct inbound *in, const uint8_t *p, size_t len)
{
	/* Behind a SCION header, whose length is its sixth byte, and a UDP header: the last word of a frame header. */
	size_t at = len < 6 ? 0 : 4 * (size_t)p[5] + 8 + FRAME_HDR_LEN;

	if (at && at <= len)
		flow_table_prefetch(in->table, FLOW_ID_INDEX(get_be32(p + at - 4)));
}
