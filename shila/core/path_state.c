/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/path_state.h"

#define UNKNOWN PATH_STATE_UNKNOWN
#define UP	PATH_STATE_UP
#define SUSPECT PATH_STATE_SUSPECT
#define DOWN	PATH_STATE_DOWN

static const unsigned char steps[PATH_NUM_STATES][PATH_NUM_EVENTS] = {
	/*	      ANSWERED GOOD MISSED   LOST  LEFT     LIVES DEAD */
	[UNKNOWN] = { UP,      UP,  UNKNOWN, DOWN, UNKNOWN, UP,	  DOWN },
	[UP]	  = { UP,      UP,  SUSPECT, DOWN, SUSPECT, UP,	  DOWN },
	[SUSPECT] = { UP,      UP,  SUSPECT, DOWN, SUSPECT, UP,	  DOWN },
	[DOWN]	  = { DOWN,    UP,  DOWN,    DOWN, DOWN,    DOWN, DOWN },
};

enum path_state path_state_next(enum path_state state, enum path_event event)
{
	return (enum path_state)steps[state][event];
}

const char *path_state_str(enum path_state state)
{
	static const char *const names[PATH_NUM_STATES] = { "unknown", "up", "suspect", "down" };

	return names[state];
}

enum path_event path_probes_answered(struct path_probes *p, const struct path_damp *d, uint64_t now_us)
{
	p->misses = p->excused = 0;
	if (!p->good++)
		p->good_us = now_us;
	return p->good >= PATH_PROBES_GOOD && path_damp_good(d, p->good_us, now_us) ? PATH_EV_GOOD : PATH_EV_ANSWERED;
}

bool path_probes_missed(struct path_probes *p, bool heard, enum path_event *event)
{
	p->good = 0;
	if (heard && p->excused < PATH_PROBES_EXCUSED) {
		p->excused++;
		p->misses = 0;
		return false;
	}
	*event = ++p->misses >= PATH_PROBES_MISSES ? PATH_EV_LOST : PATH_EV_MISSED;
	return true;
}

void path_probes_refused(struct path_probes *p)
{
	p->misses = PATH_PROBES_MISSES - 1;
}

void path_rtt_learn(uint32_t *srtt_us, uint32_t *var_us, uint32_t rtt_us)
{
	uint32_t diff = rtt_us > *srtt_us ? rtt_us - *srtt_us : *srtt_us - rtt_us;

	if (!*srtt_us) {
		*srtt_us = rtt_us;
		*var_us = rtt_us / 2;
		return;
	}
	*var_us = (uint32_t)((3ull * *var_us + diff) / 4);
	*srtt_us = (uint32_t)((7ull * *srtt_us + rtt_us) / 8);
}

uint32_t path_rtt_late_us(uint32_t srtt_us, uint32_t var_us, uint32_t least_us, uint32_t most_us, uint32_t unknown_us)
{
	uint64_t us = srtt_us + 4ull * var_us;

	if (!srtt_us)
		return unknown_us;
	return us < least_us ? least_us : us > most_us ? most_us : (uint32_t)us;
}
