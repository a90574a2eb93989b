/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_REPLAY_H
#define SHILA_CORE_REPLAY_H

#include "shila/base/train.h"
#include "shila/wire/inet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What was sent and is not acknowledged yet, so that it can be sent again when its path died: trains of TCP flows of
 * one worker, and the last bare ACK of each client. Pure; all memory is reserved at the start and comes when it is used.
 *
 * Trains are copied one behind the other into blocks, small ones into blocks of their own, so that one that waits for long
 * does not keep much else. A block is free again when nothing in it is needed, and the one that became free last is taken
 * next: what is in use at a time stays in the caches. If there is no free block, the one that was begun first is emptied.
 */

#define REPLAY_BLOCK_BYTES (256u * 1024)
#define REPLAY_LEAST_BYTES (8 * REPLAY_BLOCK_BYTES) /* of a store */
#define REPLAY_SMALL_BYTES 4096u		    /* trains below have blocks of their own */

/* A train that is kept. Positions count bytes from the start of all blocks; 0 is none. */
struct replay_train {
	uint32_t next;	/* the flow's next one */
	uint32_t flow;	/* slot; 0: no longer needed */
	uint32_t end;	/* sequence number behind it */
	uint32_t len;	/* of the packet */
	struct vnet_hdr vnet;
	_Alignas(16) uint8_t pkt[];
};

struct replay_flow {
	uint32_t oldest, newest;
	uint32_t bytes;	    /* that its trains occupy */
	uint32_t again;	    /* the next one that replay_next() gives; 0: nothing is sent again now */
	uint32_t until;	    /* sequence number behind the last one that it gives */
	/* For replay_pace.c. */
	uint32_t before, after; /* in the queue that it is in */
	uint32_t oldest_end;	/* replay_oldest_end() when that train was sent again first */
	uint32_t last;		/* @until of all that is to be sent again */
	uint32_t held;		/* new bytes that wait behind them, and are not counted for the path yet */
	uint32_t wait_us;
	uint64_t look_us;
	uint8_t place, path, tried;
	bool first_only;
	bool holds; /* new trains wait, too */
};

/* A bare ACK, but for what the flow knows. opts_len + 1: of those that are there; 0: none. */
struct replay_ack {
	uint32_t seq, ack;
	uint16_t window;
	uint8_t traffic_class;
	uint8_t opts_len_1;
	uint8_t opts[40];
};

struct replay_block {
	uint32_t used;	 /* bytes */
	uint32_t needed; /* trains */
	uint32_t older, newer; /* of those that are full; REPLAY_NO_BLOCK: none */
};

#define REPLAY_NO_BLOCK UINT32_MAX

struct replay {
	uint8_t *bytes;
	struct replay_flow *flows; /* by slot */
	struct replay_ack *acks;   /* by slot */
	struct replay_block *blocks;
	uint32_t *free; /* stack of block numbers */
	uint32_t num_flows, num_blocks, num_free, touched;
	uint32_t flow_bytes; /* a flow may occupy */
	uint32_t open[2];    /* blocks that are being filled: large trains, small ones */
	uint32_t oldest, newest; /* full blocks */
	/* Trains that were forgotten before they were acknowledged. */
	uint64_t lost_to_flow;	 /* because the flow had too many bytes */
	uint64_t lost_to_worker; /* because all flows together had */
};

/**
 * replay_init() - Nothing is kept yet.
 * @flows: slots 1..flows
 * @flow_bytes: that one flow may occupy, @bytes: all together (at least REPLAY_LEAST_BYTES, below 4 GiB)
 * Return: 0, -EINVAL or -ENOMEM.
 */
int replay_init(struct replay *r, uint32_t flows, uint32_t flow_bytes, uint32_t bytes);
void replay_fini(struct replay *r); /* also of one that is all zero */

/**
 * replay_keep() - Copy a train that was sent. One that was sent before, and is there, is not kept twice.
 * @end: sequence number behind it
 * Return: whether the flow has anything that replay_acked() is to be told of.
 */
bool replay_keep(struct replay *r, uint32_t slot, const struct train *t, uint32_t end);

/* replay_keep_ack() - The last bare ACK of a client. */
void replay_keep_ack(struct replay *r, uint32_t slot, const struct tcp_hdr *tcp, uint8_t traffic_class);

/* replay_acked() - The other side has all before @ack. Return: whether anything is left. */
bool replay_acked(struct replay *r, uint32_t slot, uint32_t ack);

/* replay_drop() - The flow is gone, or reset. */
void replay_drop(struct replay *r, uint32_t slot);

/* replay_begin() - From the oldest train to the newest one there is now. Return: bytes that they occupy. */
uint32_t replay_begin(struct replay *r, uint32_t slot);

/* replay_next() - The next one that was not acknowledged meanwhile, or NULL. Valid until something is kept. */
const struct replay_train *replay_next(struct replay *r, uint32_t slot);

/*
 * replay_holds() - Whether the train that ends at @end and was just given to replay_keep() is sent later, behind those that
 * are sent again.
 */
bool replay_holds(struct replay *r, uint32_t slot, uint32_t end);

/* replay_oldest_end() - Sequence number behind the oldest train; of a flow that has any. */
uint32_t replay_oldest_end(const struct replay *r, uint32_t slot);

/* replay_ack() - What replay_keep_ack() got last; NULL: nothing. */
const struct replay_ack *replay_ack(const struct replay *r, uint32_t slot);

#endif
