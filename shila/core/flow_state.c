/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow_state.h"

static const unsigned char steps[FLOW_NUM_STATES][FLOW_NUM_EVENTS] = {
	[FLOW_NEW] = {
		[FLOW_EV_HOLD] = FLOW_WAITING,
		[FLOW_EV_SEND_OPEN] = FLOW_OPENING,
		[FLOW_EV_OFFER] = FLOW_OFFERED,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
	},
	[FLOW_WAITING] = {
		[FLOW_EV_HOLD] = FLOW_WAITING, /* the kernel repeats its SYN */
		[FLOW_EV_SEND_OPEN] = FLOW_OPENING,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
	},
	[FLOW_OPENING] = {
		[FLOW_EV_SEND_OPEN] = FLOW_OPENING,
		[FLOW_EV_ESTABLISH] = FLOW_OPEN,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
	},
	[FLOW_OFFERED] = {
		[FLOW_EV_OFFER] = FLOW_OFFERED,
		[FLOW_EV_ESTABLISH] = FLOW_OPEN,
		[FLOW_EV_RST] = FLOW_CLOSED, /* port closed: REJECT */
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
		[FLOW_EV_EXPIRED] = FLOW_CLOSED,
	},
	[FLOW_OPEN] = {
		[FLOW_EV_FIN_OUT] = FLOW_CLOSING,
		[FLOW_EV_FIN_IN] = FLOW_CLOSING,
		[FLOW_EV_RST] = FLOW_LINGER,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
		[FLOW_EV_EXPIRED] = FLOW_CLOSED,
	},
	[FLOW_CLOSING] = {
		[FLOW_EV_FIN_OUT] = FLOW_LINGER, /* told only once per direction: the other one */
		[FLOW_EV_FIN_IN] = FLOW_LINGER,
		[FLOW_EV_RST] = FLOW_LINGER,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
		[FLOW_EV_EXPIRED] = FLOW_CLOSED,
	},
	[FLOW_LINGER] = {
		[FLOW_EV_FIN_OUT] = FLOW_LINGER,
		[FLOW_EV_FIN_IN] = FLOW_LINGER,
		[FLOW_EV_RST] = FLOW_LINGER,
		[FLOW_EV_REFUSED] = FLOW_CLOSED,
		[FLOW_EV_EXPIRED] = FLOW_CLOSED,
	},
};

enum flow_state flow_state_next(enum flow_state state, enum flow_event event)
{
	return (enum flow_state)steps[state][event];
}

const char *flow_state_str(enum flow_state state)
{
	static const char *const names[FLOW_NUM_STATES] = {
		"none", "new", "waiting", "opening", "offered", "open", "closing", "linger", "closed",
	};

	return names[state];
}
