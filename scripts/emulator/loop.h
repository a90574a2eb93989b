/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_EMULATOR_LOOP_H
#define SHILA_EMULATOR_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "link.h"
#include "parcel.h"

/*
 * The main loop: one thread, readable descriptors, and lanes from which parcels come out when it is time.
 *
 * Who reads parcels (a port, a router) calls loop_send(); what comes out of a lane goes to the lane's deliver
 * function, which may send it on into another lane.
 */

#define LOOP_BATCH     64 /* parcels a source reads before others have their turn */
#define LOOP_MAX_LANES 1024

/*
 * Waking up costs more than moving a packet. Who was woken so often in a millisecond pauses before each further round
 * of it, as network cards hold back their interrupts: under load packets are late by up to this, on a quiet link not.
 */
#define LOOP_ROUNDS_A_MS 25
#define LOOP_PAUSE_NS	 60000

struct loop;

/* A descriptor; lives in its owner. */
struct loop_source {
	int fd;
	void (*readable)(struct loop_source *source, uint64_t now_ns); /* level-triggered */
};

struct loop_lane {
	struct link_lane lane;
	void (*deliver)(void *ctx, struct parcel *p, uint64_t now_ns); /* takes @p */
	void *ctx;
};

struct loop *loop_new(struct parcel_pool *pool);
void loop_free(struct loop *loop);
struct parcel_pool *loop_pool(struct loop *loop);

/* Monotonic; what all times here are. */
uint64_t loop_now(void);

/* Return: 0 or a negative errno. */
int loop_add(struct loop *loop, struct loop_source *source);
void loop_remove(struct loop *loop, struct loop_source *source);

/* loop_add_lane() - @lane (initialised, borrowed) is looked after from now on. Return: 0, -ENOSPC. */
int loop_add_lane(struct loop *loop, struct loop_lane *lane);

/* loop_send() - Takes @p; it comes out of the lane when this source or delivery returns, or later. */
static inline void loop_send(struct loop_lane *lane, struct parcel *p, uint64_t now_ns)
{
	link_enqueue(&lane->lane, p, now_ns);
}

/* loop_drain() - Deliver what is due of one lane; for sources that read more than one parcel at once. */
void loop_drain(struct loop_lane *lane, uint64_t now_ns);

/* loop_run() - Until loop_stop(), which may be called by a source. Return: 0 or a negative errno. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
