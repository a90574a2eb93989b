/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_FLOW_H
#define SHILA_CORE_FLOW_H

#include "shila/base/prefetch.h"
#include "shila/core/flow_index.h"
#include "shila/core/tmpl.h"
#include "shila/wire/frame.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* What finds a flow outbound: namespace and 4-tuple as the local kernel sees it. */
struct flow_key {
	uint8_t side;  /* 0: ingress, 1..: egress */
	uint8_t proto; /* inner protocol */
	uint16_t local_port, remote_port; /* host byte order */
	struct ip_addr local, remote;
};

/* One writer (the worker), read by anybody: relaxed atomics, plain moves on the machine. */
struct flow_stats {
	atomic_uint_fast64_t tx_bytes;	    /* application payload */
	atomic_uint_fast64_t tx_wire_bytes; /* underlay IP packets */
	atomic_uint_fast64_t tx_segments;
	atomic_uint_fast64_t tx_ms;	    /* when last, monotonic */
	atomic_uint_fast64_t rx_bytes, rx_wire_bytes, rx_segments, rx_ms;
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
 *
 * Three cache lines, so that traffic of many flows waits for few of them:
 *
 *     route     all that decides what becomes of a packet, in both directions; hardly ever written
 *     stats     tx in one half, rx in the other
 *     the rest  the whole key, and own_hot if there is no state file
 *
 * A train out touches two lines of the index, 45 bytes of the first line (an IPv4 key is compared there; of IPv6 that
 * line has 64 bits of hash, and the key is compared in the third), half of the second, and *hot. A segment in touches 39
 * bytes of the first line, the other half of the second, and *hot; the train that it ends in takes its addresses from the
 * third. With the index that is at most 228 bytes a flow: 12 to 24, and while it grows 36.
 */
struct flow {
	uint64_t words[2];	 /* of the key, kept by flow_table */
	struct tmpl *tmpl;	 /* one reference; NULL: the flow has no path now */
	struct flow_hot *hot;	 /* in the state file, or own_hot */
	struct flow_name mine, theirs;
	bool used : 1;
	bool tcp : 1;
	bool slow : 1;		 /* outbound packets go to control: the flow is not open yet */
	bool server : 1;	 /* follows the client's moves and renewals */
	bool unheard : 1;	 /* server: nothing came from the client since its OPEN, which anybody may have sent */
	bool asked : 1;		 /* told control of a move or renewal, waits for its answer, or some time */
	bool keep : 1;		 /* struct replay gets what it sends, if it can be moved, */
	bool kept : 1;		 /* and may have some of it now */
	uint8_t epoch;
	uint8_t tun;		 /* inbound trains are written there */
	uint8_t saw, told;	 /* FLOW_SAW_*: seen, and told to control */
	atomic_uchar rx_epoch;	 /* of the newest frame; read as stats are */
	uint16_t datagram_id;
	uint32_t credit;	 /* bytes that may be sent to it if unheard: its OPEN was longer than our answer */
	uint32_t asked_ms;	 /* when; low bits of the clock */

	struct flow_stats stats;

	struct flow_key key;
	struct flow_hot own_hot; /* in INSTALL: what it starts with */
};

_Static_assert(offsetof(struct flow, stats) == 64 && offsetof(struct flow, key) == 128 && sizeof(struct flow) == 192,
	       "cache lines");

static inline void flow_count(atomic_uint_fast64_t *c, uint64_t n)
{
	atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t flow_counter(const atomic_uint_fast64_t *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static inline uint8_t flow_rx_epoch(const struct flow *f)
{
	return atomic_load_explicit(&f->rx_epoch, memory_order_relaxed);
}

/*
 * flow_key_eq(), flow_key_hash() - Over all fields. @seed is secret: whoever can choose keys must not know which of them
 * share a bucket. (So no CRC, though there is an instruction: which keys collide under it is the same for each seed.)
 */
bool flow_key_eq(const struct flow_key *a, const struct flow_key *b);
uint32_t flow_key_hash(const struct flow_key *k, uint64_t seed);

#define FLOW_TABLE_MAX	 (FLOW_INDEX_MAX - 1) /* flows of one table */

/*
 * The table of one worker: slots by index (inbound) and an index by key (outbound). Memory is reserved
 * from the start (untouched pages cost nothing), so that nothing is allocated on the way.
 */
struct flow_table {
	struct flow *slots; /* [0] is never used: index 0 means none */
	uint32_t num_slots;
	uint32_t used;
	uint64_t seed;
	struct flow_index index;
};

/* flow_table_init() - Room for @flows flows (indexes 1..@flows, at most FLOW_TABLE_MAX). Return: 0, -EINVAL or -ENOMEM. */
int flow_table_init(struct flow_table *t, uint32_t flows, uint64_t seed);
void flow_table_fini(struct flow_table *t);
/* flow_table_warm_up() - Have the memory of the first flows. */
void flow_table_warm_up(struct flow_table *t);

/* flow_table_get() - By index; NULL if it is out of range or unused. */
static inline struct flow *flow_table_get(struct flow_table *t, uint32_t index)
{
	return index && index < t->num_slots && t->slots[index].used ? &t->slots[index] : NULL;
}

static inline uint32_t flow_table_index(const struct flow_table *t, const struct flow *f)
{
	return (uint32_t)(f - t->slots);
}

/* flow_table_prefetch() - What a packet that comes in for this index will touch; any number will do. */
static inline void flow_table_prefetch(const struct flow_table *t, uint32_t index)
{
	if (index < t->num_slots) {
		prefetch(&t->slots[index]);
		prefetch(&t->slots[index].stats);
	}
}

struct flow *flow_table_find(struct flow_table *t, const struct flow_key *k);

/**
 * flow_table_find_batch() - Several at once: memory is waited for once for all of them, not for each.
 * For who has many packets before it answers the first one. The workers have not: a TUN gives one packet a read, and
 * each is sent on before the next is read, so they call flow_table_find(). This is what scripts/micro/flow_table
 * compares with other tables, and what a way to read many packets at once would use.
 * @out: @n flows or NULLs
 */
void flow_table_find_batch(struct flow_table *t, const struct flow_key *keys, unsigned int n, struct flow **out);

/**
 * flow_table_insert() - Take slot @index into use with the key of @f; @f is copied, own_hot to where hot points.
 * A flow with the same key is replaced in the key index (its slot stays until it is removed).
 */
struct flow *flow_table_insert(struct flow_table *t, uint32_t index, const struct flow *f);
void flow_table_remove(struct flow_table *t, uint32_t index); /* drops the template */

#endif
