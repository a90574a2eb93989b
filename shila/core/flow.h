/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_FLOW_H
#define SHILA_CORE_FLOW_H

#include "shila/core/tmpl.h"
#include "shila/wire/frame.h"

#include <stdatomic.h>
#include <stdbool.h>

/* What finds a flow outbound: namespace and 4-tuple as the local kernel sees it. */
struct flow_key {
	uint8_t side;  /* 0: ingress, 1..: egress */
	uint8_t proto; /* inner protocol */
	uint16_t local_port, remote_port; /* host byte order */
	struct ip_addr local, remote;
};

/* One writer (the worker), read by anybody: relaxed atomics, plain moves on the machine. */
struct flow_stats {
	atomic_uint_fast64_t tx_bytes, rx_bytes;	   /* application payload */
	atomic_uint_fast64_t tx_wire_bytes, rx_wire_bytes; /* underlay IP packets */
	atomic_uint_fast64_t tx_segments, rx_segments;
	atomic_uint_fast64_t tx_ms, rx_ms; /* when last, monotonic */
	atomic_uint_fast64_t rx_epoch;	   /* of the newest frame */
};

/* Events of a flow that a worker tells the control thread, as bits. */
enum {
	FLOW_SAW_FIN_OUT = 0x01,
	FLOW_SAW_FIN_IN = 0x02,
	FLOW_SAW_RST_OUT = 0x04,
	FLOW_SAW_RST_IN = 0x08,
	FLOW_SAW_HEARD = 0x10, /* server: anything of the client, so its address is real */
};

/*
 * TCP: what both directions of a flow reached; for RST, and to check frames of a newer epoch. All: when it was used
 * last. Written by the worker only, into the state file if there is one, so that it outlives the daemon.
 */
struct flow_hot {
	uint32_t out_next; /* one beyond the highest sequence number sent */
	uint32_t in_next;  /* one beyond the highest delivered */
	uint32_t in_ack;   /* highest ack received of what was sent */
	uint32_t out_ack;  /* last ack sent: where the local kernel is */
	uint8_t known;	   /* FLOW_KNOWS_*: which of the first three are */
	uint8_t reserved[3];
	uint32_t last_s;   /* when the last packet came or went, CLOCK_MONOTONIC; 0: not known */
};

enum { FLOW_KNOWS_OUT = 0x01, FLOW_KNOWS_IN = 0x02, FLOW_KNOWS_ACK = 0x04 };

/*
 * A flow in a worker's table. Index and all identity are set by the control thread's INSTALL; the
 * worker owns it from then on until it answered REMOVE.
 */
struct flow {
	struct flow_key key;
	struct flow_name mine, theirs;
	struct tmpl *tmpl; /* one reference; NULL: the flow has no path now */
	bool used;
	bool tcp;
	bool slow;	   /* outbound packets go to control: the flow is not open yet */
	bool server;	   /* follows the client's moves and renewals */
	bool unheard;	   /* server: nothing came from the client since its OPEN, which anybody may have sent */
	uint32_t credit;   /* bytes that may be sent to it all the same: its OPEN was longer than our answer */
	bool asked;	   /* told control of a move or renewal, waits for its answer, or some time */
	uint64_t asked_ms; /* when */
	uint8_t epoch;
	uint8_t tun;	   /* inbound trains are written there */
	uint8_t saw, told; /* FLOW_SAW_*: seen, and told to control */
	uint16_t datagram_id;
	struct flow_hot *hot;	 /* in the state file, or own_hot */
	struct flow_hot own_hot; /* in INSTALL: what it starts with */
	uint32_t hash;	   /* of the key, kept by flow_table */
	struct flow_stats stats; /* last: it is copied apart */
};

static inline void flow_count(atomic_uint_fast64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t flow_counter(const atomic_uint_fast64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

/* flow_key_eq(), flow_key_hash() - Over all fields; @seed against chosen keys. */
bool flow_key_eq(const struct flow_key *a, const struct flow_key *b);
uint32_t flow_key_hash(const struct flow_key *k, uint64_t seed);

/*
 * The table of one worker: slots by index (inbound) and an index by key (outbound). Memory is there
 * from the start (untouched pages cost nothing), so that nothing is allocated on the way.
 */
struct flow_table {
	struct flow *slots; /* [0] is never used: index 0 means none */
	uint32_t num_slots;
	uint32_t *buckets;  /* slot indexes, open addressing; 0: empty */
	uint32_t mask;
	uint32_t used;
	uint64_t seed;
};

/* flow_table_init() - Room for @flows flows (indexes 1..@flows). Return: 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed);
void flow_table_fini(struct flow_table *t);

/* flow_table_get() - By index; NULL if it is out of range or unused. */
static inline struct flow *flow_table_get(struct flow_table *t, uint32_t index)
{
	return index && index < t->num_slots && t->slots[index].used ? &t->slots[index] : NULL;
}

static inline uint32_t flow_table_index(const struct flow_table *t, const struct flow *f)
{
	return (uint32_t)(f - t->slots);
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *k);

/**
 * flow_table_insert() - Take slot @index into use with the key of @f; @f is copied, own_hot to where hot points.
 * A flow with the same key is replaced in the key index (its slot stays until it is removed).
 */
struct flow *flow_table_insert(struct flow_table *t, uint32_t index, const struct flow *f);
void flow_table_remove(struct flow_table *t, uint32_t index); /* drops the template */

#endif
