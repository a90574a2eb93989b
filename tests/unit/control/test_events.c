/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/events.h"

#include "shila/control/control.h"
#include "tests/unit/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct control *c;
static struct peer peer;

static void begin(void)
{
	c = calloc(1, sizeof(*c));
	CHECK("memory", c && !events_init(&c->events));
	peer = (struct peer){ .control = c };
}

static void finish(void)
{
	events_fini(&c->events);
	free(c);
}

static void add_flow(uint32_t slot)
{
	struct ctl_flow f = { .control = c, .slot = slot };

	event_flow(EVENT_FLOW_OPEN, &f);
}

/* How many there are above @after, checked to come in order. */
static unsigned int count(uint64_t after, uint64_t *first)
{
	struct rpc_cursor at = { { after } };
	const struct event *e;
	unsigned int n = 0;
	uint64_t last = after;
	bool rising = true;

	*first = 0;
	while ((e = events_next(&c->events, &at))) {
		rising &= e->number > last && e->number == at.at[0];
		last = e->number;
		if (!n++)
			*first = last;
	}
	CHECK("in order", rising);
	return n;
}

static void test_order(void)
{
	uint64_t first;

	begin();
	CHECK("none", !count(0, &first));
	event_peer(EVENT_PEER_UP, &peer);
	add_flow(1);
	event_peer(EVENT_PEER_SILENT, &peer);
	add_flow(2);
	CHECK("both kinds, one numbering", count(0, &first) == 4 && first == 1);
	CHECK("after the second", count(2, &first) == 2 && first == 3);
	CHECK("after the last", !count(4, &first));
	CHECK("after none that there is yet", !count(1000, &first));
	finish();
}

/* Flows do not push out what happened to peers, and the newest stay. */
static void test_many(void)
{
	struct rpc_cursor at = { { 0 } };
	const struct event *e;
	uint64_t first;

	begin();
	event_peer(EVENT_PEER_UP, &peer);
	for (uint32_t i = 1; i <= 3 * EVENTS_KEPT + 7; i++)
		add_flow(i);
	event_peer(EVENT_PEER_SILENT, &peer);
	CHECK("kept", count(0, &first) == EVENTS_KEPT + 2 && first == 1);
	CHECK("the oldest flow kept", count(1, &first) == EVENTS_KEPT + 1 && first == 1 + 2 * EVENTS_KEPT + 7 + 1);
	e = events_next(&c->events, &at);
	CHECK("the peer's", e && e->type == EVENT_PEER_UP);
	e = events_next(&c->events, &at);
	CHECK("then flows", e && e->type == EVENT_FLOW_OPEN && e->flow.slot == 2 * EVENTS_KEPT + 8);
	finish();
}

static void test_json(void)
{
	struct event e = { .number = 5, .unix_us = 7, .type = EVENT_FLOW_MOVED, .path = 0xabc, .has_path = true };
	json_t *o = event_json(&e);

	CHECK("event", !strcmp(json_string_value(json_object_get(o, "event")), "flow_moved"));
	CHECK("path", !strcmp(json_string_value(json_object_get(o, "path")), "00000abc"));
	CHECK("flow", !strcmp(json_string_value(json_object_get(o, "flow")), "0.0"));
	CHECK("no reason", !json_object_get(o, "reason"));
	json_decref(o);
	e = (struct event){ .number = 8, .type = EVENT_SUBFLOW_LOST, .flow.error = ECONNRESET };
	o = event_json(&e);
	CHECK("a subflow", !strcmp(json_string_value(json_object_get(o, "event")), "subflow_lost"));
	CHECK("why", !strcmp(json_string_value(json_object_get(o, "reason")), strerror(ECONNRESET)));
	json_decref(o);
	e.flow.error = 0;
	o = event_json(&e);
	CHECK("by FIN", !strcmp(json_string_value(json_object_get(o, "reason")), "closed by the peer"));
	json_decref(o);
	for (int t = EVENT_NONE + 1; t < EVENT_TYPES; t++) {
		e = (struct event){ .type = (enum event_type)t };
		o = event_json(&e);
		CHECK("each has a name", json_is_string(json_object_get(o, "event")));
		json_decref(o);
	}
	e = (struct event){ .number = 6, .type = EVENT_PATH_UP };
	o = event_json(&e);
	CHECK("no path", json_is_null(json_object_get(o, "path")) && !json_object_get(o, "flow"));
	json_decref(o);
}

const struct unit_test unit_tests[] = {
	{ "order", test_order }, { "more than are kept", test_many }, { "JSON", test_json }, { 0 },
};
