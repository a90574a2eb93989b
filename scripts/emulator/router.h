/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_ROUTER_H
#define SHILA_EMULATOR_ROUTER_H

#include "scripts/emulator/hop_mac.h"
#include "shila/base/ip_addr.h"
#include "shila/wire/scion_addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What a border router does with a packet, as those of scionproto v0.15.1 do it, for an AS that has
 * one router. Pure: no I/O, no clock, no memory.
 *
 * Left out: EPIC, OneHop paths (beacons), sibling routers, authenticated SCMP, STUN.
 */

#define ROUTER_MAX_INTERFACES 99
#define ROUTER_MAX_PACKET     8488 /* what the buffers of the real one hold; it loses what is behind */
#define ROUTER_MAX_SCMP	      1232
#define ROUTER_INTERNAL	      0 /* as an interface id: from or to hosts of the AS */

/* What the AS at the other end of a link is to this one. */
enum router_link { ROUTER_LINK_NONE, ROUTER_LINK_CORE, ROUTER_LINK_PARENT, ROUTER_LINK_CHILD, ROUTER_LINK_PEER };

struct router_interface {
	uint16_t id;
	enum router_link link;
	bool up;
};

/* All but @up stay as they are while packets pass. */
struct router {
	struct isd_as ia;
	struct ip_addr host;	      /* source of SCMP */
	union sock_addr control;      /* where packets for the control service go; family 0: there is none */
	const struct hop_key *key;
	unsigned int num_interfaces;
	struct router_interface interfaces[ROUTER_MAX_INTERFACES];
};

enum router_verdict {
	ROUTER_FORWARD, /* out of @egress */
	ROUTER_DELIVER, /* to the host and port @to */
	ROUTER_ANSWER,  /* back to where the packet came from */
	ROUTER_DROP,
};

#define ROUTER_DROPS(X)                                                                                \
	X(MALFORMED, "malformed", "header, extension or path that contradicts itself or is cut off") \
	X(NEXT_HDR, "next_hdr", "a next header that no router knows")                                  \
	X(PATH_TYPE, "path_type", "neither a SCION path nor BFD between routers")                      \
	X(TRANSIT, "transit", "from a host, and not at the first hop of its path")                     \
	X(L4, "l4", "for this AS, but no port can be read from it")                                    \
	X(SCMP_FOR_SCMP, "scmp_for_scmp", "an SCMP error that would have got one as answer")           \
	X(NO_WAY_BACK, "no_way_back", "the path cannot be reversed for an answer")

enum router_drop {
#define X(name, text, why) ROUTER_DROP_##name,
	ROUTER_DROPS(X)
#undef X
	ROUTER_NUM_DROPS
};

struct router_result {
	enum router_verdict verdict;
	uint16_t egress;
	union sock_addr to;
	enum router_drop drop;
	const uint8_t *p; /* what is sent: the packet itself, or @scmp */
	size_t len;
	uint8_t scmp[ROUTER_MAX_SCMP];
};

/**
 * router_forward() - Decide about one packet, and change it as the next router expects it.
 * @p, @len: the payload of an underlay datagram; changed in place, whatever the verdict
 * @ingress: interface it came in by, one of the router's, or ROUTER_INTERNAL
 * @now_ns:  Unix time
 * @out:     borrows @p until the result has been used
 */
void router_forward(const struct router *r, uint8_t *p, size_t len, uint16_t ingress, int64_t now_ns,
		    struct router_result *out);

/* One or more packets in a row with the same fate; all but the last have @seg_len bytes. */
typedef void router_emit_fn(void *ctx, const struct router_result *res, const uint8_t *p, size_t len, size_t seg_len,
			    unsigned int count);

/**
 * router_train() - As router_forward() for packets of one size behind each other, the last maybe shorter,
 * as the kernel merges and splits them (UDP_GRO, UDP_SEGMENT).
 * @emit: called for each run of packets that goes to one place, drops included, in their order
 *
 * Of packets whose headers are alike but for PayloadLen only the first is looked at in full.
 */
void router_train(const struct router *r, uint8_t *p, size_t len, size_t seg_len, uint16_t ingress, int64_t now_ns,
		  router_emit_fn *emit, void *ctx);

const struct router_interface *router_interface(const struct router *r, uint16_t id); /* or NULL */
const char *router_drop_str(enum router_drop d);

#endif
