/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_REPLAY_PACE_H
#define SHILA_CORE_REPLAY_PACE_H

#include "shila/core/replay.h"

/*
 * When trains that are kept are sent again. Many flows may have moved to one path at the same moment, whose queues are short:
 * they share one budget, in turn, each its oldest train first. Who got no ACK for that is given it once more, since the next
 * time-out of its TCP may be a minute away. Pure: time is an argument, and a function of the caller's sends.
 *
 *     begin ──> in the queue of a path ── sent ──> waits for an ACK ── it came ──> done
 *                        ^                                │
 *                        └──── oldest train once more ────┘ 3 times at most
 */

#define REPLAY_PACE_BURST_BYTES (16u * 1024)  /* of a path, at once: routers may have room for few packets */
#define REPLAY_PACE_LEAST_BYTES (64u * 1024)  /* of a path, in one RTT: flows that have little to send again may be many */
#define REPLAY_PACE_PERCENT	60u	      /* of the speed on the old path, until as much has come anew: then twice that, and so on */
#define REPLAY_PACE_RUN_BYTES	(256u * 1024) /* of all paths, in a call */
#define REPLAY_PACE_TICK_US	2000u	      /* between two calls */
#define REPLAY_PACE_UNKNOWN_US	20000u	      /* for a path without an RTT */
#define REPLAY_PACE_MOST_US	200000u	      /* in which the trains of a flow leave, if it is alone */
#define REPLAY_PACE_WAIT_US	60000u	      /* for an ACK, and two RTTs; then twice as long each time */
#define REPLAY_PACE_TIMES	3	      /* that the oldest train is sent once more */
#define REPLAY_PACE_PATHS	64	      /* with budgets of their own; if there are more some share one */

struct replay_pace_queue {
	uint32_t first, last; /* slots; 0: none */
};

struct replay_pace_path {
	const void *key;
	uint64_t filled_us;    /* when credit was added last */
	int64_t credit;	       /* bytes that may leave now; below 0: so many too many have */
	uint64_t bytes_per_s;
	uint64_t held, held_most; /* new bytes that had to wait since the rate was raised last; so many, and it is again */
	struct replay_pace_queue queues[2]; /* who has not sent its oldest train yet, and who has */
};

struct replay_pace {
	struct replay *replay;
	struct replay_pace_path paths[REPLAY_PACE_PATHS];
	unsigned int turn;     /* which path is first the next time */
	struct replay_pace_queue waiting; /* for an ACK */
	uint64_t look_us;      /* when the first of them has waited long enough; UINT64_MAX: none waits */
};

void replay_pace_init(struct replay_pace *p, struct replay *replay);

/**
 * replay_pace_begin() - What is kept of a flow is to be sent again, from the oldest train to the newest one there is now.
 * @key: its new path
 * @rtt_us: in which it may all leave if no other flow does; 0: not known
 * @first_only: nothing behind the oldest train before that was acknowledged. A server that has seen neither the last ACK of the
 * handshake nor the first data takes what comes first for it; if that has no MP_CAPABLE it falls back to TCP.
 * Return: whether there is anything.
 */
bool replay_pace_begin(struct replay_pace *p, uint32_t slot, const void *key, uint32_t rtt_us, bool first_only, uint64_t now_us);

/* replay_pace_end() - Nothing more of this flow. */
void replay_pace_end(struct replay_pace *p, uint32_t slot);

/* Return: false: the flow cannot send any more. */
typedef bool replay_pace_send(void *ctx, uint32_t slot, const struct replay_train *t);

/**
 * replay_pace_run() - Send what may leave by now.
 * @oldest_only: of each flow its oldest train only; others may have moved, too, that were not told of yet
 */
void replay_pace_run(struct replay_pace *p, uint64_t now_us, bool oldest_only, replay_pace_send *send, void *ctx);

/* replay_pace_due_us() - When to call replay_pace_run(); UINT64_MAX: not at all. */
uint64_t replay_pace_due_us(const struct replay_pace *p, uint64_t now_us);

#endif
