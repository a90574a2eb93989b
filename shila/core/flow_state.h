/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_FLOW_STATE_H
#define SHILA_CORE_FLOW_STATE_H

/*
 * The life of a flow as the control thread sees it. The table in flow_state.c is the specification;
 * what it leaves out is refused.
 *
 *     client  NEW -> WAITING (no path yet) -> OPENING (OPEN sent) -> OPEN
 *     server  NEW -> OFFERED (SYN given to the kernel) -> OPEN
 *     both    OPEN -> CLOSING (FIN one way) -> LINGER (FINs both ways, RST) -> CLOSED
 */
enum flow_state {
	FLOW_NONE, /* "no such step" */
	FLOW_NEW,
	FLOW_WAITING,
	FLOW_OPENING,
	FLOW_OFFERED,
	FLOW_OPEN,
	FLOW_CLOSING,
	FLOW_LINGER,
	FLOW_CLOSED,
	FLOW_NUM_STATES
};

enum flow_event {
	FLOW_EV_HOLD,	   /* client: SYN without a known path */
	FLOW_EV_SEND_OPEN, /* client: path chosen, OPEN sent, also again */
	FLOW_EV_OFFER,	   /* server: OPEN taken, SYN written to the TUN, also again */
	FLOW_EV_ESTABLISH, /* client: ACCEPT; server: SYN/ACK of the kernel, or DATAGRAM flow */
	FLOW_EV_FIN_OUT,
	FLOW_EV_FIN_IN,
	FLOW_EV_RST,	   /* either way */
	FLOW_EV_REFUSED,   /* REJECT, no route, no path, deadline, CLOSE */
	FLOW_EV_EXPIRED,   /* linger or idle time is over */
	FLOW_NUM_EVENTS
};

/**
 * flow_state_next() - One step.
 * Return: the new state, or FLOW_NONE if the event is refused in this state.
 */
enum flow_state flow_state_next(enum flow_state state, enum flow_event event);
const char *flow_state_str(enum flow_state state);

#endif
