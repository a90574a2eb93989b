/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_BEAT_H
#define SHILA_CORE_PATH_BEAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A path falls silent, and flows leave it when another one is heard meanwhile. A path without flows is heard one round trip after
 * it was asked: over long ones that is too late. So while flows carry much the other paths are asked all the time, in turn, and
 * their answers tell what those to frames would. What that may cost is a share of the bytes that the flows carry.
 * Pure: time is an argument, and who calls sends and receives.
 */

#define PATH_BEAT_FAR_US   40000  /* shorter round trips are waited for */
#define PATH_BEAT_EVERY_US 25000  /* or RTT/8 */
#define PATH_BEAT_LOOK_US  100000 /* who carries little is looked at so often */
#define PATH_BEAT_SHARE	   667u	  /* bytes carried for each one of a PROBE and its answer: 0.15 % */
#define PATH_BEAT_SAVED	   8u	  /* PROBEs that earlier bytes pay for at most: a path that falls silent carries no more */
#define PATH_BEAT_OUT	   16u	  /* whose answers are waited for */

/* Of a path with flows. Zeros at its begin. */
struct path_beat {
	uint64_t next_us; /* when another path may be asked again */
	uint64_t bytes;	  /* that were carried, as of the last look */
	uint64_t credit;  /* bytes */
};

/* Of a path that is asked. Zeros at its begin. */
struct path_beat_asked {
	uint32_t probe_id[PATH_BEAT_OUT];
	uint64_t sent_us[PATH_BEAT_OUT];
	unsigned int num;   /* so far */
	uint64_t asked_us;  /* the last time */
	uint64_t answer_us; /* about when the last answer came; 0: none did */
};

/**
 * path_beat_due() - Whether another path is to be asked now.
 * @rtt_us: of the path with flows
 * @bytes: that its flows have carried so far, either way
 * @cost: bytes of a PROBE and its answer on the wire
 * @at_us: when to look again
 */
bool path_beat_due(struct path_beat *b, uint32_t rtt_us, uint64_t bytes, uint32_t cost, uint64_t now_us, uint64_t *at_us);

/* path_beat_fits() - Whether a path without flows, of @rtt_us, is asked for flows on one of @used_us. */
bool path_beat_fits(uint32_t rtt_us, uint32_t used_us);

void path_beat_asked(struct path_beat_asked *a, uint32_t probe_id, uint64_t now_us); /* @probe_id: 0: it could not be sent */

/**
 * path_beat_answered() - A reply came.
 * @rtt_us: usual for that path: an answer that took longer says no more than one that came in time
 * Return: whether it was asked for by path_beat_asked().
 */
bool path_beat_answered(struct path_beat_asked *a, uint32_t probe_id, uint64_t sent_us, uint32_t rtt_us, uint64_t now_us);

#endif
