/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_INBOUND_H
#define SHILA_CORE_INBOUND_H

#include "shila/core/admit.h"
#include "shila/base/train.h"
#include "shila/base/verdict.h"
#include "shila/core/datagram_runs.h"
#include "shila/core/flow.h"
#include "shila/core/repeats.h"
#include "shila/core/replay.h"

#include <sys/uio.h>

/*
 * The way of a train from the underlay to a TUN: parse SCION, find the flow, merge segments per flow
 * over the whole receive batch, rebuild the TCP/IP header. All flows behind one border router share an
 * underlay 5-tuple, so a GRO buffer mixes flows and one buffer cannot simply become one train.
 */

#define INBOUND_ASK_AGAIN_MS 200
#define INBOUND_OPEN_TRAINS  16
#define INBOUND_CACHED_FLOWS 2000
#define INBOUND_MAX_SEGMENTS 127
#define INBOUND_FRAG_SLOTS   16
#define INBOUND_FRAG_BYTES   (40 + 65535) /* the largest IP packet, so that any path's parts fit */
#define INBOUND_FRAG_MS      2000	  /* a part waits so long for the other, which was sent together with it */

/* A train under construction; its payload stays in the receive buffers. */
struct open_train {
	struct flow *flow;
	struct thin_tcp thin; /* of the first segment; options point into its packet */
	uint32_t next_seq, bytes;
	uint32_t seg_bytes; /* payload of every segment but the last */
	uint32_t num_segs;
	uint8_t traffic_class;
	bool closed; /* nothing may follow: short segment, PSH, FIN, ... */
	struct iovec iov[1 + INBOUND_MAX_SEGMENTS];
	uint8_t hdr[TRAIN_VNET_HDR_LEN + 40 + 60];
};

struct inbound {
	struct flow_table *table;
	struct scion_addr local;
	uint16_t port; /* own SCION/UDP port */
	/* Writes one packet (virtio_net_hdr first) to a TUN of the worker. */
	enum verdict (*write)(void *ctx, uint8_t tun, struct iovec *iov, int n);
	void *ctx;
	struct admit *admit; /* for what control takes; NULL: all of it */
	enum admit_who who;  /* sender of the frame for an unknown flow that was the last one */
	uint64_t now_us;     /* kept by the caller */
	struct replay *replay; /* told of what arrived at the other side; for flows that are kept */
	uint64_t *verdicts; /* counted here for what is decided after the call: writes */
	uint64_t acks_merged; /* bare ACKs that a later one of their batch made superfluous */
	unsigned int num_open;
	struct open_train open[INBOUND_OPEN_TRAINS];
	struct datagram_runs runs;
	struct frag {
		uint32_t index; /* of the flow; 0: free */
		uint32_t len;
		uint32_t seq; /* order of arrival */
		uint64_t since_ms;
		uint16_t id;
		bool last;
		uint8_t *bytes; /* in @parts */
	} frags[INBOUND_FRAG_SLOTS];
	unsigned int num_frags; /* slots in use */
	uint32_t frag_seq;
	uint8_t *parts;
	struct repeats *repeats; /* by slot of the table */
	uint32_t num_repeats;
	uint8_t copy[65536]; /* of a datagram that control gets too, to be changed */
};

/* inbound_init() - Room for packets in two parts; the rest of @in, and its table, is there before. 0 or -ENOMEM. */
int inbound_init(struct inbound *in);
void inbound_fini(struct inbound *in);

/* inbound_expire() - Forget and count parts whose other half never came. */
void inbound_expire(struct inbound *in, uint64_t now_ms);

/* inbound_forget_flow() - The flow with this index goes, and what waits for it. */
void inbound_forget_flow(struct inbound *in, uint32_t index);

/**
 * inbound_packet() - One underlay datagram (one GRO segment).
 * @p: lent until inbound_flush(); may be changed in place
 * @outer_len: IP and UDP header that it had, for the counters
 * @flow: the flow it belongs to or NULL
 * Return: VERDICT_PASS, VERDICT_CONTROL (everything that is not the daily bread of an open flow), a drop.
 */
enum verdict inbound_packet(struct inbound *in, uint8_t *p, size_t len, uint32_t outer_len,
			    uint64_t now_ms, struct flow **flow);

/* inbound_many_flows() - More than are in the caches anyway: inbound_prefetch() is worth it. */
static inline bool inbound_many_flows(const struct inbound *in)
{
	return in->table->used > INBOUND_CACHED_FLOWS;
}

/* inbound_prefetch() - What inbound_packet() will touch of the flow of this datagram, which may be anything. */
void inbound_prefetch(const struct inbound *in, const uint8_t *p, size_t len);

/* inbound_flush() - Write all open trains; at the end of every receive batch. */
void inbound_flush(struct inbound *in);

/* inbound_flush_flow() - Write the open train of one flow, before something overtakes it. */
void inbound_flush_flow(struct inbound *in, const struct flow *f);

#endif
