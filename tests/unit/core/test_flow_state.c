/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/flow_state.h"

#include "tests/unit/check.h"

#include <string.h>

/*
 * The life of a flow written out a second time, in words: rows are states, columns events in the order
 * of the enum, a dot is "refused".
 */
static const struct {
	enum flow_state from;
	const char *to; /* first letters of the states; Lower case c is closing, C is closed */
} table[] = {
	/*                   HOLD SEND_OPEN OFFER ESTABLISH FIN_OUT FIN_IN RST REFUSED EXPIRED */
	{ FLOW_NONE,    ". . . . . . . . ." },
	{ FLOW_NEW,     "w o f . . . . C ." },
	{ FLOW_WAITING, "w o . . . . . C ." },
	{ FLOW_OPENING, ". o . O . . . C ." },
	{ FLOW_OFFERED, ". . f O . . C C C" },
	{ FLOW_OPEN,    ". . . . c c l C C" },
	{ FLOW_CLOSING, ". . . . l l l C C" },
	{ FLOW_LINGER,  ". . . . l l l C C" },
	{ FLOW_CLOSED,  ". . . . . . . . ." },
};

static enum flow_state state_of(char c)
{
	static const char letters[] = ".nwofOclC"; /* in the order of the enum */

	return (enum flow_state)(strchr(letters, c) - letters);
}

static void test_table(void)
{
	CHECK("all states", sizeof(table) / sizeof(table[0]) == FLOW_NUM_STATES);
	for (int s = 0; s < FLOW_NUM_STATES; s++)
		for (int e = 0; e < FLOW_NUM_EVENTS; e++)
			CHECK(flow_state_str((enum flow_state)s),
			      flow_state_next(table[s].from, (enum flow_event)e) == state_of(table[s].to[2 * e]));
}

/* States that can be reached from @from, as bits. */
static unsigned int reach(enum flow_state from)
{
	unsigned int seen = 1u << from, before = 0;

	while (seen != before) {
		before = seen;
		for (int s = 0; s < FLOW_NUM_STATES; s++)
			for (int e = 0; e < FLOW_NUM_EVENTS; e++)
				if (seen & 1u << s)
					seen |= 1u << flow_state_next((enum flow_state)s, (enum flow_event)e);
	}
	return seen & ~1u; /* NONE is a refusal */
}

static void test_reachable(void)
{
	CHECK("no state is unreachable", reach(FLOW_NEW) == (1u << FLOW_NUM_STATES) - 2);
	CHECK("nothing leaves CLOSED", reach(FLOW_CLOSED) == 1u << FLOW_CLOSED);
	for (int s = FLOW_NEW; s < FLOW_NUM_STATES; s++) {
		CHECK("every state leads to CLOSED", reach((enum flow_state)s) & 1u << FLOW_CLOSED);
		CHECK("nothing leads back to NEW", s == FLOW_NEW || !(reach((enum flow_state)s) & 1u << FLOW_NEW));
		CHECK("an ended flow never opens again", s < FLOW_CLOSING || !(reach((enum flow_state)s) & 1u << FLOW_OPEN));
		CHECK("a client is not a server", s == FLOW_NEW || !(reach((enum flow_state)s) & 1u << FLOW_OFFERED) ||
		      s == FLOW_OFFERED);
	}
}

static void test_names(void)
{
	for (int a = 0; a < FLOW_NUM_STATES; a++) {
		CHECK("named", *flow_state_str((enum flow_state)a));
		for (int b = 0; b < a; b++)
			CHECK("differently", strcmp(flow_state_str((enum flow_state)a), flow_state_str((enum flow_state)b)));
	}
}

const struct unit_test unit_tests[] = {
	{ "the table", test_table },
	{ "what can be reached", test_reachable },
	{ "names", test_names },
	{ 0 },
};
