/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/outbound.h"

#include "shila/core/replay.h"
#include "shila/core/spare.h"
#include "shila/wire/checksum.h"
#include "shila/wire/inet.h"
#include "shila/wire/tcp_options.h"

#include <string.h>

static struct flow *find(struct flow_table *table, const struct train *train, const struct ip_pkt *ip)
{
	struct flow_key key = {
		.side = train->side,
		.proto = ip->proto,
		.local = ip_pkt_src(ip),
		.remote = ip_pkt_dst(ip),
	};

	inet_ports(train->pkt, ip, &key.local_port, &key.remote_port);
	return flow_table_find(table, &key);
}

/* A train without NEEDS_CSUM has a complete checksum, which shila drops: it must have been right. */
static bool checksum_fine(const struct train *train, const struct ip_pkt *ip)
{
	return train->vnet.flags & VNET_F_NEEDS_CSUM || inet_l4_csum_ok(train->pkt, ip);
}

static void count(struct flow *f, uint64_t now_ms, uint64_t payload, uint64_t wire, uint64_t segments)
{
	flow_count(&f->stats.tx_bytes, payload);
	flow_count(&f->stats.tx_wire_bytes, wire);
	flow_count(&f->stats.tx_segments, segments);
	atomic_store_explicit(&f->stats.tx_ms, now_ms, memory_order_relaxed);
	f->hot->last_s = (uint32_t)(now_ms / 1000);
}

static void track(struct flow *f, const struct tcp_hdr *tcp, uint32_t payload)
{
	uint32_t end = tcp->seq + payload + !!(tcp->flags & (TCP_FIN | TCP_SYN));
	struct flow_hot *hot = f->hot;

	if (!(hot->known & FLOW_KNOWS_OUT) || (int32_t)(end - hot->out_next) > 0)
		hot->out_next = end;
	hot->known |= FLOW_KNOWS_OUT;
	if (tcp->flags & TCP_ACK)
		hot->out_ack = tcp->ack;
	if (tcp->flags & TCP_FIN)
		f->saw |= FLOW_SAW_FIN_OUT;
	if (tcp->flags & TCP_RST)
		f->saw |= FLOW_SAW_RST_OUT;
}

/* What it asks and answers is the same in all frames of a train. */
static inline void stamp(const struct flow *f, const struct tmpl *t, const struct send_batch *batch, struct frame_hdr *h)
{
	if (t->live)
		liveness_stamp(t->live, FLOW_ID_INDEX(f->mine.id), batch->now_us, &h->req, &h->ans);
}

/*
 * An ACK that makes the one before it in the batch superfluous takes its place there, and one that only repeats what
 * was said is left out. True: it need not be sent.
 */
static bool spare_ack(struct flow *f, const struct thin_tcp *thin, uint8_t traffic_class, struct send_batch *batch)
{
	struct send_last *last = send_batch_place(batch, FLOW_ID_INDEX(f->mine.id));
	struct frame_hdr h = { .type = FRAME_DATA, .epoch = f->epoch, .to = f->theirs };
	const struct tmpl *t = f->tmpl;
	struct wr w;

	if (last->batch != batch->number || last->flow != f || last->traffic_class != traffic_class)
		return false;
	if (last->hdr && spare_is_bare(&last->thin, 0) && spare_older(&last->thin, thin)) {
		stamp(f, t, batch, &h);
		/* As long as that was, since the options are. */
		w = wr_init(last->hdr + t->len, SEND_MAX_HDR - t->len);
		frame_build_hdr(&w, &h);
		frame_build_thin(&w, thin);
		tmpl_write(t, last->hdr, FLOW_ID_INDEX(f->mine.id), traffic_class, (uint16_t)(w.p - last->hdr - t->len),
			   csum_add(0, last->hdr + t->len, (size_t)(w.p - last->hdr - t->len)));
		last->thin = *thin;
	} else if (!spare_newer(&last->thin, last->end, thin)) {
		return false;
	}
	batch->acks_spared++;
	return true;
}

/*
 * Most segments of a train differ from the one before in payload and sequence number only. Their headers are
 * copied from the first that is like them, and so is the sum over the frame's, in which the sequence number is 0.
 */
static enum verdict send_tcp(struct flow *f, const struct train *train, const struct tcp_hdr *tcp,
			     const uint8_t *payload, uint32_t len, uint8_t traffic_class,
			     uint64_t now_ms, struct send_batch *batch)
{
	const struct tmpl *t = f->tmpl;
	uint32_t most = FRAME_HDR_LEN + (uint32_t)frame_thin_len(tcp->flags, tcp->opts_len);
	uint32_t room = tmpl_budget(t);
	struct frame_hdr h = { .type = FRAME_DATA, .epoch = f->epoch, .to = f->theirs };
	struct thin_tcp thin = {
		.ack = tcp->ack,
		.window = tcp->window,
		.urgent = tcp->urgent,
		.opts = tcp->opts,
		.opts_len = tcp->opts_len,
	};
	struct send_msg *open = NULL;
	uint32_t seg = train->vnet.gso_type != VNET_GSO_NONE && train->vnet.gso_size ?
			       train->vnet.gso_size :
			       len;
	uint32_t at = 0, segments = 0, wire = 0, frame_len = 0, like_bytes = 0;
	const uint8_t *like = NULL;
	uint64_t like_sum = 0;
	uint8_t like_flags = 0, *hdr = NULL;
	struct send_last *last = send_batch_place(batch, FLOW_ID_INDEX(f->mine.id));

	thin.seq = tcp->seq;
	thin.flags = tcp->flags;
	if (room <= most)
		return VERDICT_NO_PATH;
	if (spare_is_bare(&thin, len) && spare_ack(f, &thin, traffic_class, batch))
		return VERDICT_PASS;
	thin.seq = 0; /* each segment gets its own */
	stamp(f, t, batch, &h);
	if (seg > room - most)
		seg = room - most;
	do {
		uint32_t n = len - at < seg ? len - at : seg;
		uint32_t batch_msgs = batch->num_msgs, seq = tcp->seq + at, after;
		uint8_t *frame;

		hdr = send_batch_hdr(batch);
		frame = hdr + t->len;
		after = send_batch_after(batch, last, f);
		if (batch->num_msgs < batch_msgs) { /* flushed */
			open = NULL;
			like = NULL;
		}
		thin.flags = tcp->flags;
		if (at)
			thin.flags &= ~TCP_CWR; /* first segment only */
		if (at + n < len)
			thin.flags &= ~(TCP_FIN | TCP_PSH); /* last segment only */
		if (tcp->urgent > at)
			thin.urgent = (uint16_t)(tcp->urgent - at); /* counts from the segment's start */
		else if (at)
			thin.flags &= ~TCP_URG; /* the urgent byte was before */
		if (like && n == like_bytes && thin.flags == like_flags && !(thin.flags & TCP_URG)) {
			memcpy(hdr, like, t->len + frame_len);
		} else {
			struct wr w = wr_init(frame, SEND_MAX_HDR - t->len);

			frame_len = FRAME_HDR_LEN + (uint32_t)frame_thin_len(thin.flags, thin.opts_len);
			frame_build_hdr(&w, &h);
			frame_build_thin(&w, &thin);
			tmpl_write_hdr(t, hdr, FLOW_ID_INDEX(f->mine.id), traffic_class, (uint16_t)(frame_len + n));
			like = hdr;
			like_bytes = n;
			like_flags = thin.flags;
			like_sum = csum_add(0, frame, frame_len);
		}
		put_be32(frame + FRAME_HDR_LEN, seq);
		tmpl_write_csum(t, hdr, (uint16_t)(frame_len + n),
				csum_add(csum_add_be32(like_sum, seq), payload + at, n));
		send_batch_add(batch, t, t->len + frame_len, payload + at, n, &open);
		if (!at)
			open->after = after;
		wire += t->outer_len + t->len + frame_len + n;
		at += n;
		segments++;
	} while (at < len);
	thin.seq = tcp->seq;
	thin.flags = tcp->flags;
	*last = (struct send_last){
		.flow = f, .batch = batch->number, .hdr = len ? NULL : hdr, .thin = thin,
		.end = tcp->seq + len + !!(tcp->flags & TCP_FIN), .msg = batch->num_msgs - 1, .traffic_class = traffic_class,
	};
	count(f, now_ms, len, wire, segments);
	return VERDICT_PASS;
}

static enum verdict send_datagram(struct flow *f, struct train *train, const struct ip_pkt *ip,
				  uint64_t now_ms, struct send_batch *batch)
{
	const struct tmpl *t = f->tmpl;
	uint32_t room = tmpl_budget(t), parts = 1, first = train->len, at = 0, wire = 0;
	struct frame_hdr h = { .type = FRAME_DATAGRAM, .epoch = f->epoch, .to = f->theirs };

	if (room <= FRAME_HDR_LEN + 4)
		return VERDICT_NO_PATH;
	if (train->len > room - FRAME_HDR_LEN) {
		parts = 2;
		first = (train->len + 1) / 2;
		if (first > room - FRAME_HDR_LEN - 4)
			return VERDICT_CONTROL; /* which answers "too big" */
		h.flags = FRAME_FLAG_FRAG;
		f->datagram_id += 2; /* even; the control thread has the odd ones */
	}
	if (train->vnet.flags & VNET_F_NEEDS_CSUM)
		inet_l4_csum_set(train->pkt, ip); /* whole and valid on the wire */
	if (f->unheard) {
		uint32_t bytes = parts * (t->len + FRAME_HDR_LEN + (parts > 1 ? 4u : 0u)) + train->len;

		if (bytes > f->credit)
			return VERDICT_CONTROL; /* which keeps it until the client was heard */
		f->credit -= bytes;
	}
	stamp(f, t, batch, &h);
	for (uint32_t i = 0; i < parts; i++) {
		uint32_t n = i ? train->len - first : first, len;
		uint8_t *hdr = send_batch_hdr(batch);
		struct wr w = wr_init(hdr + t->len, SEND_MAX_HDR - t->len);
		struct send_msg *open = send_batch_last(batch, t); /* one message for a run of equal datagrams */
		uint64_t sum;

		if (i)
			h.flags |= FRAME_FLAG_LAST;
		len = (uint32_t)frame_build_datagram(&w, &h, f->datagram_id);
		sum = csum_add(csum_add(0, hdr + t->len, len), train->pkt + at, n);
		tmpl_write(t, hdr, FLOW_ID_INDEX(f->mine.id), ip->traffic_class, (uint16_t)(len + n), sum);
		send_batch_add(batch, t, t->len + len, train->pkt + at, n, &open);
		wire += t->outer_len + t->len + len + n;
		at += n;
	}
	count(f, now_ms, inet_payload_len(ip), wire, parts);
	return VERDICT_PASS;
}

/*
 * What may be lost on a path that can be left. Of what only acknowledges the newest is enough, of a client: it moves flows.
 * Return: true: it is sent later, behind what is sent again.
 */
static bool keep(struct flow *f, const struct train *train, const struct tcp_hdr *tcp, uint32_t len, uint8_t traffic_class,
		 struct replay *replay)
{
	uint32_t slot = FLOW_ID_INDEX(f->mine.id), fin = !!(tcp->flags & TCP_FIN);

	if (tcp->flags & TCP_RST) {
		replay_drop(replay, slot);
		f->kept = false;
	} else if (len | fin) {
		f->kept = replay_keep(replay, slot, train, tcp->seq + len + fin);
		return replay_holds(replay, slot, tcp->seq + len + fin);
	} else if (!f->server && tcp->flags == TCP_ACK) {
		replay_keep_ack(replay, slot, tcp, traffic_class);
	}
	return false;
}

/* Neighbours, routers, groups, time stamps: the peer would drop it, so the program gets to know. */
static bool not_for_peers(const uint8_t *pkt, const struct ip_pkt *ip)
{
	return !ip->later_fragment && ip->len > ip->l4_off && icmp_classify(ip, pkt[ip->l4_off]) == ICMP_OTHER;
}

enum verdict outbound_train(struct flow_table *table, struct train *train, uint64_t now_ms,
			    struct send_batch *batch, struct flow **flow)
{
	struct ip_pkt ip;
	struct tcp_hdr tcp;
	struct flow *f;
	uint32_t len;

	*flow = NULL;
	if (ip_parse(train->pkt, train->len, &ip) < 0)
		return VERDICT_TUN_MALFORMED;
	f = find(table, train, &ip);
	*flow = f;
	if (!f)
		return VERDICT_CONTROL;
	if (!f->tcp) {
		if (f->slow || not_for_peers(train->pkt, &ip))
			return VERDICT_CONTROL;
		return f->tmpl ? send_datagram(f, train, &ip, now_ms, batch) : VERDICT_NO_PATH;
	}
	if (ip.fragment || tcp_parse(train->pkt + ip.l4_off, train->len - ip.l4_off, &tcp) < 0)
		return VERDICT_TUN_MALFORMED;
	len = train->len - ip.l4_off - tcp.hdr_len;
	track(f, &tcp, len);
	if (f->slow || f->unheard || tcp.flags & TCP_SYN)
		return VERDICT_CONTROL;
	if (!f->tmpl)
		return VERDICT_CONTROL; /* parked */
	if (!checksum_fine(train, &ip))
		return VERDICT_TUN_CHECKSUM;
	if (len)
		tcp_options_detach_data_fin(train->pkt + ip.l4_off + tcp.hdr_len - tcp.opts_len, tcp.opts_len);
	if (f->keep && f->tmpl->movable && keep(f, train, &tcp, len, ip.traffic_class, batch->replay))
		return VERDICT_PASS;
	return send_tcp(f, train, &tcp, train->pkt + ip.l4_off + tcp.hdr_len, len, ip.traffic_class,
			now_ms, batch);
}

/* ---- once more, on another path ---- */

void outbound_again(struct flow *f, const struct replay_train *kept, uint64_t now_ms, struct send_batch *batch)
{
	uint8_t *pkt = (uint8_t *)(uintptr_t)kept->pkt;
	struct train train = { .vnet = kept->vnet, .pkt = pkt, .len = kept->len };
	struct ip_pkt ip;
	struct tcp_hdr tcp;

	/* It was parsed when it was sent first. */
	if (ip_parse(pkt, kept->len, &ip) < 0 || tcp_parse(pkt + ip.l4_off, kept->len - ip.l4_off, &tcp) < 0)
		return;
	send_tcp(f, &train, &tcp, pkt + ip.l4_off + tcp.hdr_len, kept->len - ip.l4_off - tcp.hdr_len, ip.traffic_class,
		 now_ms, batch);
}

void outbound_again_ack(struct flow *f, const struct replay_ack *kept, uint64_t now_ms, struct send_batch *batch)
{
	struct train train = { .vnet = { 0 } };
	struct tcp_hdr tcp = {
		.seq = kept->seq,
		.ack = kept->ack,
		.flags = TCP_ACK,
		.window = kept->window,
		.opts = kept->opts,
		.opts_len = kept->opts_len_1 - 1,
	};

	send_tcp(f, &train, &tcp, kept->opts, 0, kept->traffic_class, now_ms, batch);
}

bool outbound_may_send(const struct flow *f)
{
	return f->tcp && f->tmpl && !f->slow && !f->unheard;
}

bool outbound_alive(struct flow *f, struct liveness *l, bool ask, struct send_batch *batch)
{
	const struct tmpl *t = f->tmpl;
	struct frame_hdr h = { .type = FRAME_ALIVE, .epoch = f->epoch, .to = f->theirs };
	struct send_msg *open = NULL;
	uint8_t *hdr;
	struct wr w;

	if (!t || t->live != l || f->slow || f->unheard)
		return false;
	liveness_alive(l, ask, !f->server, batch->now_us, &h.req, &h.ans);
	hdr = send_batch_hdr(batch);
	w = wr_init(hdr + t->len, SEND_MAX_HDR - t->len);
	frame_build_hdr(&w, &h);
	tmpl_write(t, hdr, FLOW_ID_INDEX(f->mine.id), 0, FRAME_HDR_LEN, csum_add(0, hdr + t->len, FRAME_HDR_LEN));
	send_batch_add(batch, t, t->len + FRAME_HDR_LEN, NULL, 0, &open);
	flow_count(&f->stats.tx_wire_bytes, t->outer_len + t->len + FRAME_HDR_LEN);
	return true;
}
