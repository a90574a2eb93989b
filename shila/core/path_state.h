/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_STATE_H
#define SHILA_CORE_PATH_STATE_H

#include "shila/core/path_damp.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * The state of a path, by what PROBEs, frames and trials say of it, as a table. Pure: time is an argument, and who calls
 * does what follows.
 */
enum path_state { PATH_STATE_UNKNOWN, PATH_STATE_UP, PATH_STATE_SUSPECT, PATH_STATE_DOWN, PATH_NUM_STATES };

enum path_event {
	PATH_EV_ANSWERED, /* a PROBE was */
	PATH_EV_GOOD,	  /* so many in a row, for so long, that who was dead is alive */
	PATH_EV_MISSED,
	PATH_EV_LOST, /* so many in a row that it is dead */
	PATH_EV_LEFT, /* frames are not answered here while they are elsewhere: its flows went there */
	PATH_EV_LIVES, /* they are after all */
	PATH_EV_DEAD, /* a trial says so */
	PATH_NUM_EVENTS,
};

enum path_state path_state_next(enum path_state state, enum path_event event);
const char *path_state_str(enum path_state state);

#define PATH_PROBES_MISSES  3  /* in a row: dead */
#define PATH_PROBES_EXCUSED 10 /* in a row, unanswered while data came */
#define PATH_PROBES_GOOD    3  /* answers in a row: alive again */

/* PROBEs of a path, those that were answered or given up; zeros at its begin. */
struct path_probes {
	unsigned int misses;  /* in a row */
	unsigned int excused; /* in a row: missed, but data came on it */
	unsigned int good;    /* answers in a row, */
	uint64_t good_us;     /* the first of them */
};

enum path_event path_probes_answered(struct path_probes *p, const struct path_damp *d, uint64_t now_us);
/* path_probes_missed() - @heard: data came meanwhile, which proves one direction only. False: it is excused, and no event. */
bool path_probes_missed(struct path_probes *p, bool heard, enum path_event *event);
/* path_probes_refused() - A router says that a link on the path is down: the next one that is missed is the last. */
void path_probes_refused(struct path_probes *p);

/* ---- round trips ---- */

#define PATH_RTT_MOST_US 2000000 /* answers that take longer say that somebody stood still */

/* path_rtt_learn() - RFC 6298, section 2. @srtt_us, @var_us: 0 and 0: nothing is known yet */
void path_rtt_learn(uint32_t *srtt_us, uint32_t *var_us, uint32_t rtt_us);
/* path_rtt_late_us() - After how long an answer is late, but @least_us to @most_us; @unknown_us: nothing is known yet. */
uint32_t path_rtt_late_us(uint32_t srtt_us, uint32_t var_us, uint32_t least_us, uint32_t most_us, uint32_t unknown_us);

#endif
