/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_WIRE_FRAME_H
#define SHILA_WIRE_FRAME_H

#include "shila/base/bytes.h"
#include "shila/base/ip_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The backbone protocol, version 1: frames between two shilads in SCION/UDP. docs/protocol.md is
 * the specification, this header its names. All numbers here are in host byte order.
 */

#define FRAME_VERSION	1
#define FRAME_HDR_LEN	12
#define FRAME_THIN_LEN	12 /* thin TCP header without options */
#define FRAME_FRAG_LEN	4  /* before the part of a packet in a DATAGRAM with FRAME_FLAG_FRAG */
#define FRAME_MAX_WORKERS 8
#define FRAME_CONTACT_PORT 31654
#define FRAME_PROBE_LEN 24 /* PROBE and PROBE-REPLY with their header */

/* Answers are never larger than what they answer, so an OPEN is as long as the largest ACCEPT. */
#define FRAME_ACCEPT_MIN_LEN  (FRAME_HDR_LEN + 8) /* a bare one */
#define FRAME_ACCEPT_MAX_BODY (FRAME_THIN_LEN + 4 + 40) /* with urgent pointer and all options */
#define FRAME_ACCEPT_MAX_LEN  (FRAME_HDR_LEN + 8 + FRAME_ACCEPT_MAX_BODY)
#define FRAME_OPEN_MIN_LEN    FRAME_ACCEPT_MAX_LEN
#define FRAME_OPEN_BODY_OFF(addr_len) (FRAME_HDR_LEN + 20 + 2 * (addr_len)) /* addr_len 4 or 16 */

enum frame_type {
	FRAME_HELLO = 1,
	FRAME_HELLO_ACK = 2,
	FRAME_OPEN = 3,
	FRAME_ACCEPT = 4,
	FRAME_REJECT = 5,
	FRAME_ALIVE = 6,
	FRAME_DATA = 7,
	FRAME_DATAGRAM = 8,
	FRAME_PROBE = 9,
	FRAME_PROBE_REPLY = 10,
	FRAME_CLOSE = 11,
	FRAME_UNKNOWN = 12,
};

#define FRAME_FLAG_FRAG 0x01 /* DATAGRAM: one of two parts */
#define FRAME_FLAG_LAST 0x02 /* DATAGRAM with FRAG: the second part */

/* Names a flow at its receiver: 20 bits index (never 0), 12 random bits, and 16 more of the tag. */
struct flow_name {
	uint32_t id;
	uint16_t tag;
};

#define FLOW_ID_INDEX_BITS 20
#define FLOW_ID_INDEX(id)  ((id) >> 12) /* the index is in the high bits */

struct frame_hdr {
	uint8_t type; /* enum frame_type */
	uint8_t flags;
	uint8_t epoch;
	uint8_t req, ans;
	struct flow_name to; /* receiver's; zero where there is none (HELLO, OPEN, PROBE, UNKNOWN) */
};

/**
 * frame_parse_hdr() - Read the 12 bytes.
 * Return: 0; -EBADMSG too short, or no flow in a type that needs one; -EPROTONOSUPPORT other version;
 *         -ENOMSG unknown type.
 */
int frame_parse_hdr(struct rd *r, struct frame_hdr *out);
void frame_build_hdr(struct wr *w, const struct frame_hdr *h);

/* Thin TCP header: what DATA carries of a TCP header, and OPEN and ACCEPT of a SYN. */
struct thin_tcp {
	uint32_t seq, ack;
	uint8_t flags;
	uint8_t opts_len; /* multiple of 4, 0..40 */
	uint16_t window;
	uint16_t urgent; /* carried (2 bytes + 2 zero) only if flags has URG */
	const uint8_t *opts;
};

/**
 * frame_parse_thin() - Thin header, urgent pointer if URG, options; the cursor is then at the payload.
 * Return: 0 or -EBADMSG.
 */
int frame_parse_thin(struct rd *r, struct thin_tcp *out);
void frame_build_thin(struct wr *w, const struct thin_tcp *t);

/* frame_thin_len() - Bytes that frame_build_thin() writes for these. */
static inline size_t frame_thin_len(uint8_t flags, uint8_t opts_len)
{
	return FRAME_THIN_LEN + (flags & 0x20 ? 4 : 0) + opts_len;
}

enum flow_kind { FLOW_MAIN = 1, FLOW_SUB = 2, FLOW_PLAIN = 3, FLOW_DATAGRAM = 4 };

/* Body of OPEN. Behind it: @body_len bytes, then padding (zero) to at least FRAME_OPEN_MIN_LEN. */
struct frame_open {
	struct flow_name from;	/* the sender's flow: ACCEPT, REJECT, DATA towards it use this */
	uint8_t kind;		/* enum flow_kind */
	uint8_t proto;		/* inner IP protocol */
	uint8_t epoch;		/* of the flow, 0 at first; builders also put it into the frame header */
	uint16_t path_mtu;	/* SCION MTU of the path that it came on */
	uint16_t born_ms;	/* when the flow was made, by the sender's clock: low 16 bits */
	struct ip_addr src, dst; /* same family; dst unspecified (zeros): the receiver's ingress address */
	uint16_t src_port, dst_port; /* ICMP: identifier in both */
	const uint8_t *body;	/* TCP: thin header, options, TFO payload of the SYN; else an IP packet */
	uint16_t body_len;
};

/**
 * frame_parse_open() - Body of OPEN; like all parsers below it starts behind the frame header.
 * A TCP kind comes with proto TCP and a thin SYN (no ACK, FIN, RST), FLOW_DATAGRAM with another protocol;
 * its body may be empty and is not looked at.
 * Return: 0 or -EBADMSG.
 */
int frame_parse_open(struct rd *r, struct frame_open *out);
/* frame_build_open() - Frame header, body and padding. Return: its length or -EMSGSIZE. */
int frame_build_open(uint8_t *buf, size_t cap, const struct frame_open *o);

/* ACCEPT: header addressed to the opener's flow; body thin SYN/ACK (all of the rest) or nothing (bare). */
struct frame_accept {
	struct flow_name from;
	uint16_t worker_port;	/* send frames of this flow to this port */
	const uint8_t *body;	/* thin header, options of the SYN/ACK */
	uint16_t body_len;	/* 0: bare */
};

int frame_parse_accept(struct rd *r, struct frame_accept *out);
int frame_build_accept(uint8_t *buf, size_t cap, const struct flow_name *to, uint8_t epoch, const struct frame_accept *a);

enum frame_reason {
	REASON_NONE = 0,
	REASON_NOT_ALLOWED = 1, /* the peer's allow list */
	REASON_NOT_SERVED = 2,	/* the peer's serve list */
	REASON_PORT_CLOSED = 3, /* the server's kernel answered with RST */
	REASON_NO_RESOURCES = 4, /* flows, pool addresses, half-open flows */
	REASON_NO_MAIN_FLOW = 5, /* a join to a connection that the server does not know */
	REASON_STOPPED = 6,	/* the daemon was removed on purpose */
	REASON_CLOSED = 7,	/* the flow ended */
	REASON_MALFORMED = 8,	/* inner packet nobody can deliver */
	REASON_MAX
};

/* frame_reason_str() - One sentence part for logs, "unknown reason" beyond the list. */
const char *frame_reason_str(uint8_t reason);

/* REJECT and CLOSE: header addressed to the other side's flow; both carry sender's name and a reason. */
struct frame_end {
	struct flow_name from; /* zero in a REJECT for which no flow was made */
	uint8_t reason;
};

int frame_parse_end(struct rd *r, struct frame_end *out);
int frame_build_end(uint8_t *buf, size_t cap, enum frame_type type, const struct flow_name *to, const struct frame_end *e);

/* HELLO and HELLO-ACK: equal layout and size. */
struct frame_hello {
	uint8_t min_version, max_version;
	uint32_t features;  /* none yet; unknown bits are ignored */
	uint64_t boot_id;   /* changes when the daemon lost its flows */
	uint64_t cookie;    /* chosen by the asker, returned */
	uint32_t max_flows; /* limit for this peer, 0: not told */
	uint8_t num_workers; /* 1..FRAME_MAX_WORKERS */
	uint16_t worker_ports[FRAME_MAX_WORKERS];
};

int frame_parse_hello(struct rd *r, struct frame_hello *out);
int frame_build_hello(uint8_t *buf, size_t cap, enum frame_type type, const struct frame_hello *h);

/* PROBE and PROBE-REPLY: equal layout and size; the reply repeats both numbers. */
struct frame_probe {
	uint32_t id;
	uint64_t sent_us;
};

int frame_parse_probe(struct rd *r, struct frame_probe *out);
int frame_build_probe(uint8_t *buf, size_t cap, enum frame_type type, const struct frame_probe *p);

/* UNKNOWN: to whom the frame was addressed, and the SCION FlowID of its packet (20 bits). */
struct frame_unknown {
	struct flow_name addressed;
	uint32_t scion_flow_id;
};

int frame_parse_unknown(struct rd *r, struct frame_unknown *out);
int frame_build_unknown(uint8_t *buf, size_t cap, const struct frame_unknown *u);

/**
 * frame_parse_datagram() - What stands before the packet or its part, where the cursor is then.
 * @packet_id: 0 without FRAME_FLAG_FRAG
 * Return: 0, or -EBADMSG (nothing behind it, LAST without FRAG).
 */
int frame_parse_datagram(struct rd *r, const struct frame_hdr *h, uint16_t *packet_id);

/**
 * frame_build_datagram() - Frame header, and with FRAME_FLAG_FRAG packet id and 2 zero bytes; the packet or
 * its part follows.
 * Return: bytes written (12 or 16), or -EMSGSIZE.
 */
int frame_build_datagram(struct wr *w, const struct frame_hdr *h, uint16_t packet_id);

#endif
