/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What may be on the wire: nothing is answered twice or with more than was asked, and who was never heard
 * gets one frame for each OPEN and nothing else.
 */
#include "tests/model/sim.h"

#include <string.h>

#define MAX_NAMES 4096 /* of one end and schedule */

struct opened { /* a flow that the other end opened here */
	struct flow_name client, server;
	uint32_t opens, answers;
	size_t got, sent; /* bytes, until it was heard */
	bool used, heard, rejected;
};

struct epoch { /* of the newest DATA to a flow */
	struct flow_name to;
	uint8_t epoch;
};

struct watch_counts watch_counts[NUM_ENDS], watch_total;

static struct opened opened[NUM_ENDS][MAX_NAMES];
static struct epoch epochs[NUM_ENDS][MAX_NAMES];
static uint32_t used_at[NUM_ENDS][MAX_NAMES], num_used[NUM_ENDS];

const char *watch_type(uint8_t type)
{
	static const char *const names[16] = { "?", "HELLO", "HELLO-ACK", "OPEN", "ACCEPT", "REJECT", "ALIVE", "DATA",
					       "DATAGRAM", "PROBE", "PROBE-REPLY", "CLOSE", "UNKNOWN", "?", "?", "?" };

	return names[type & 0xf];
}

static struct opened *by_client(int end, const struct flow_name *n, bool make)
{
	uint32_t i = (n->id * 0x9E3779B1u ^ n->tag) % MAX_NAMES;

	for (uint32_t k = 0; k < MAX_NAMES; k++, i = (i + 1) % MAX_NAMES) {
		struct opened *o = &opened[end][i];

		if (o->used && o->client.id == n->id && o->client.tag == n->tag)
			return o;
		if (o->used)
			continue;
		if (!make)
			return NULL;
		*o = (struct opened){ .used = true, .client = *n };
		used_at[end][num_used[end]++] = i;
		return o;
	}
	sim_fail("too many flows for the model to watch");
	return NULL;
}

static struct opened *by_server(int end, const struct flow_name *n)
{
	for (uint32_t i = 0; i < num_used[end]; i++) {
		struct opened *o = &opened[end][used_at[end][i]];

		if (o->server.id == n->id && o->server.tag == n->tag)
			return o;
	}
	return NULL;
}

/* A worker sends DATA, and its flow only moves forward. */
static void check_epoch(int end, const struct frame_hdr *h)
{
	struct epoch *e = &epochs[end][(h->to.id * 0x9E3779B1u ^ h->to.tag) % MAX_NAMES];

	if (e->to.id == h->to.id && e->to.tag == h->to.tag && (int8_t)(h->epoch - e->epoch) < 0)
		sim_fail("a flow that was at epoch %u went back to %u", e->epoch, h->epoch);
	*e = (struct epoch){ h->to, h->epoch };
}

void watch_reset(int end)
{
	memset(epochs[end], 0, sizeof(epochs[end]));
	for (uint32_t i = 0; i < num_used[end]; i++)
		opened[end][used_at[end][i]].used = false;
	num_used[end] = 0;
	for (int i = 0; i < 16; i++)
		watch_total.sent[i] += watch_counts[end].sent[i];
	memset(&watch_counts[end], 0, sizeof(watch_counts[end]));
}

static void trace(int end, const char *what, const struct frame_hdr *h, const struct scion_pkt *pkt,
		  const struct scion_udp *udp)
{
	int dir = end;
	int path = sim_path_find(pkt->path, pkt->path_len, &dir);
	struct rd r = rd_init(udp->data + FRAME_HDR_LEN, udp->len - FRAME_HDR_LEN);
	struct thin_tcp t;

	if (h->type == FRAME_DATA && !frame_parse_thin(&r, &t))
		sim_trace("%s DATA to %08x epoch %u path %d, seq %u ack %u flags %02x, %zu bytes", what, h->to.id, h->epoch,
			  path, t.seq, t.ack, t.flags, r.left);
	else
		sim_trace("%s %s to %08x epoch %u path %d port %u, %zu bytes", what, watch_type(h->type), h->to.id,
			  h->epoch, path, udp->dst_port, udp->len);
}

void watch_sent(int end, const struct scion_pkt *pkt, const struct scion_udp *udp)
{
	struct watch_counts *n = &watch_counts[end];
	struct rd r = rd_init(udp->data, udp->len);
	struct frame_hdr h;
	struct opened *o = NULL;
	struct thin_tcp thin;

	if (frame_parse_hdr(&r, &h) < 0) {
		sim_fail("a frame that is none was sent");
		return;
	}
	n->sent[h.type]++;
	if (sim_verbose)
		trace(end, "sends", &h, pkt, udp);
	switch ((enum frame_type)h.type) {
	case FRAME_HELLO_ACK:
		if (n->sent[h.type] > n->got[FRAME_HELLO])
			sim_fail("more HELLO-ACK than HELLO");
		break;
	case FRAME_PROBE_REPLY:
		if (n->sent[h.type] > n->got[FRAME_PROBE] || udp->len > FRAME_PROBE_LEN)
			sim_fail("more PROBE-REPLY than PROBE");
		break;
	case FRAME_UNKNOWN:
		if (n->sent[h.type] > n->got[FRAME_DATA] + n->got[FRAME_DATAGRAM] + n->got[FRAME_ALIVE] || udp->len > 24)
			sim_fail("more UNKNOWN than frames of flows");
		break;
	case FRAME_ACCEPT:
	case FRAME_REJECT:
		o = by_client(end, &h.to, false);
		if (!o) {
			sim_fail("%s to a flow that was not opened", watch_type(h.type));
			return;
		}
		if (++o->answers > o->opens && !o->heard)
			sim_fail("%u answers to %u OPENs", o->answers, o->opens);
		if (udp->len > FRAME_OPEN_MIN_LEN)
			sim_fail("an answer of %zu bytes to an OPEN", udp->len);
		if (h.type == FRAME_REJECT)
			o->rejected = true; /* a repeated OPEN may try again */
		if (h.type == FRAME_ACCEPT) {
			struct frame_accept a;

			if (frame_parse_accept(&r, &a) < 0) {
				sim_fail("an ACCEPT that is none was sent");
				return;
			}
			if (o->server.id && !o->rejected && (o->server.id != a.from.id || o->server.tag != a.from.tag))
				sim_fail("doubled: one flow of the client, two of the server");
			o->server = a.from;
		}
		break;
	case FRAME_DATA:
		if (frame_parse_thin(&r, &thin) < 0)
			sim_fail("DATA that is none was sent");
		else if (!(thin.flags & TCP_SYN)) /* that is control's */
			check_epoch(end, &h);
		o = by_client(end, &h.to, false);
		break;
	case FRAME_DATAGRAM:
	case FRAME_ALIVE:
		o = by_client(end, &h.to, false);
		break;
	case FRAME_CLOSE:
		o = by_client(end, &h.to, false);
		break;
	case FRAME_HELLO:
	case FRAME_OPEN:
	case FRAME_PROBE:
		break;
	}
	/* The address of who only sent OPENs may be forged. */
	if (o && !o->heard && (o->sent += udp->len) > o->got)
		sim_fail("%s: %zu bytes to a client that was never heard, for %zu bytes of OPEN", watch_type(h.type), o->sent, o->got);
}

void watch_got(int end, const struct scion_pkt *pkt, const struct scion_udp *udp)
{
	struct watch_counts *n = &watch_counts[end];
	struct rd r = rd_init(udp->data, udp->len);
	struct frame_hdr h;
	struct frame_open open;
	struct opened *o;

	if (frame_parse_hdr(&r, &h) < 0)
		return;
	n->got[h.type]++;
	if (sim_verbose)
		trace(end, "reads", &h, pkt, udp);
	switch ((enum frame_type)h.type) {
	case FRAME_OPEN:
		if (!frame_parse_open(&r, &open)) {
			o = by_client(end, &open.from, true);
			if (o) {
				o->opens++;
				o->got += udp->len;
			}
		}
		break;
	case FRAME_DATA:
	case FRAME_DATAGRAM:
	case FRAME_ALIVE:
		o = by_server(end, &h.to);
		if (o)
			o->heard = true;
		break;
	default:
		break;
	}
}
