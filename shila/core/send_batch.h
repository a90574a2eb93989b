/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_SEND_BATCH_H
#define SHILA_CORE_SEND_BATCH_H

#include "shila/core/tmpl.h"
#include "shila/wire/frame.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/*
 * What waits to be sent on the underlay, in one sendmmsg(): messages of equal segments (UDP_SEGMENT), each
 * segment gathered from built headers and lent payload. Fixed memory; full means flush.
 */

#define SEND_MAX_MSGS	   64
#define SEND_MAX_SEGMENTS  64	 /* of one message; Linux before 6.9 takes no more */
#define SEND_MAX_MSG_BYTES 65507 /* UDP over IPv4 */
#define SEND_MAX_IOV	   4096
#define SEND_HDR_BYTES	   (512 * 1024)
#define SEND_MAX_HDR	   (SCION_MAX_HDR_LEN + SCION_UDP_HDR_LEN + 12 + 56) /* of one segment */

struct flow;
struct replay;

/* The last segment of a flow in the batch. */
struct send_last {
	const struct flow *flow;
	uint64_t batch;	 /* that it is of */
	uint8_t *hdr;	 /* its headers; NULL: it has a payload */
	struct thin_tcp thin; /* options: in the train */
	uint32_t end;	 /* sequence number behind it */
	uint32_t msg;	 /* it lies in */
	uint8_t traffic_class;
};

#define SEND_LASTS     64 /* a power of two */
#define SEND_AFTER_ALL UINT32_MAX

struct send_msg {
	const union sock_addr *to; /* in a template that outlives the batch */
	struct iovec *iov;
	uint32_t num_iov;
	uint32_t bytes;
	uint16_t seg_bytes; /* all segments but the last have this size */
	uint16_t num_segs;
	uint32_t after; /* 1 + the message that must not leave behind it, 0: any may, see send_group.c */
};

struct send_batch {
	void (*flush)(void *ctx, struct send_batch *b); /* sends and empties it */
	void *ctx;
	uint64_t now_us; /* kept by who fills it */
	struct replay *replay; /* for flows whose trains are to be kept */
	uint32_t num_msgs, num_iov, hdr_used;
	uint64_t number;      /* of batches so far */
	uint64_t acks_spared; /* that were not sent: what was sent says the same */
	struct send_last lasts[SEND_LASTS]; /* by slot; a flow forgets another one that has its place */
	struct iovec grouped[2 * SEND_MAX_MSGS];
	struct send_msg msgs[SEND_MAX_MSGS];
	struct iovec iov[SEND_MAX_IOV];
	uint8_t hdrs[SEND_HDR_BYTES];
};

/* send_batch_reset() - Empty it, as flush() must. */
static inline void send_batch_reset(struct send_batch *b)
{
	b->num_msgs = b->num_iov = b->hdr_used = 0;
	b->number++;
}

/* send_batch_place() - Where the last segment of the flow with this slot is remembered, or that of another flow. */
static inline struct send_last *send_batch_place(struct send_batch *b, uint32_t slot)
{
	return &b->lasts[slot & (SEND_LASTS - 1)];
}

/* send_batch_after() - Which messages a segment of @f must not overtake, as in struct send_msg. */
static inline uint32_t send_batch_after(const struct send_batch *b, const struct send_last *place, const struct flow *f)
{
	return place->batch != b->number ? 0 : place->flow == f ? place->msg + 1 : SEND_AFTER_ALL;
}

/* send_batch_hdr() - Room for the headers of one segment (SEND_MAX_HDR), after a flush if need be. */
static inline uint8_t *send_batch_hdr(struct send_batch *b)
{
	if (b->hdr_used + SEND_MAX_HDR > SEND_HDR_BYTES || b->num_iov + 2 > SEND_MAX_IOV ||
	    b->num_msgs + 1 > SEND_MAX_MSGS)
		b->flush(b->ctx, b);
	return b->hdrs + b->hdr_used;
}

/*
 * send_batch_last() - The last message, if it goes where @t leads: what comes next may join it. After
 * send_batch_hdr(), which may flush.
 */
static inline struct send_msg *send_batch_last(struct send_batch *b, const struct tmpl *t)
{
	struct send_msg *m = b->num_msgs ? &b->msgs[b->num_msgs - 1] : NULL;

	return m && m->to == &t->next_hop ? m : NULL;
}

/**
 * send_batch_add() - Append a segment: @hdr_len bytes at the place send_batch_hdr() gave, and @payload.
 * It joins the last message if that is @open and sizes allow it. A new message comes after all that are there.
 */
static inline void send_batch_add(struct send_batch *b, const struct tmpl *t, uint32_t hdr_len,
				  const uint8_t *payload, uint32_t len, struct send_msg **open)
{
	struct send_msg *m = *open;
	uint16_t bytes = (uint16_t)(hdr_len + len);

	if (!m || !b->num_msgs || m->num_segs == SEND_MAX_SEGMENTS || bytes > m->seg_bytes ||
	    m->bytes != (uint32_t)m->num_segs * m->seg_bytes || m->bytes + bytes > SEND_MAX_MSG_BYTES) {
		m = &b->msgs[b->num_msgs++];
		*m = (struct send_msg){
			.to = &t->next_hop, .iov = &b->iov[b->num_iov], .seg_bytes = bytes, .after = SEND_AFTER_ALL,
		};
		*open = m;
	}
	b->iov[b->num_iov++] = (struct iovec){ b->hdrs + b->hdr_used, hdr_len };
	m->num_iov++;
	if (len) {
		b->iov[b->num_iov++] = (struct iovec){ (void *)payload, len };
		m->num_iov++;
	}
	b->hdr_used += hdr_len;
	m->bytes += bytes;
	m->num_segs++;
}

#endif
