/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/control/events.h"

#include "shila/base/bytes.h"
#include "shila/control/control.h"
#include "shila/control/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const names[EVENT_TYPES] = {
	[EVENT_PATH_NEW] = "path_new",
	[EVENT_PATH_RENEWED] = "path_renewed",
	[EVENT_PATH_UP] = "path_up",
	[EVENT_PATH_SUSPECT] = "path_suspect",
	[EVENT_PATH_DOWN] = "path_down",
	[EVENT_PATH_DEAD] = "path_dead",
	[EVENT_PATH_PEER_SILENT] = "path_peer_silent",
	[EVENT_PATH_GONE] = "path_gone",
	[EVENT_PEER_UP] = "peer_up",
	[EVENT_PEER_SILENT] = "peer_silent",
	[EVENT_FLOW_OPEN] = "flow_open",
	[EVENT_FLOW_MOVED] = "flow_moved",
	[EVENT_FLOW_FOLLOWED] = "flow_followed",
	[EVENT_FLOW_PARKED] = "flow_parked",
	[EVENT_FLOW_WOKEN] = "flow_woken",
	[EVENT_FLOW_CLOSED] = "flow_closed",
	[EVENT_SUBFLOW_ADDED] = "subflow_added",
	[EVENT_SUBFLOW_RECREATED] = "subflow_recreated",
	[EVENT_SUBFLOW_FAILED] = "subflow_failed",
	[EVENT_SUBFLOW_LOST] = "subflow_lost",
	[EVENT_SUBFLOW_ENDED] = "subflow_ended",
	[EVENT_SUBFLOW_BACKUP] = "subflow_backup",
	[EVENT_SUBFLOW_NORMAL] = "subflow_normal",
};

int events_init(struct event_log *log)
{
	*log = (struct event_log){
		.paths = calloc(EVENTS_KEPT, sizeof(*log->paths)),
		.flows = calloc(EVENTS_KEPT, sizeof(*log->flows)),
	};
	return log->paths && log->flows ? 0 : -ENOMEM;
}

void events_fini(struct event_log *log)
{
	free(log->paths);
	free(log->flows);
	*log = (struct event_log){ 0 };
}

static int64_t unix_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct event *add(struct event_log *log, struct event *ring, uint64_t *num, enum event_type type)
{
	struct event *e = &ring[(*num)++ % EVENTS_KEPT];

	*e = (struct event){ .number = ++log->num, .unix_us = unix_us(), .type = type };
	return e;
}

static void set_path(struct event *e, const struct path *p)
{
	e->has_path = true;
	e->path = get_be32(p->fingerprint);
}

void event_path(enum event_type type, const struct peer_path *pp)
{
	struct event_log *log = &pp->peer->control->events;
	struct event *e = add(log, log->paths, &log->num_paths, type);

	e->peer = pp->peer->addr;
	set_path(e, pp->path);
}

void event_peer(enum event_type type, const struct peer *p)
{
	struct event_log *log = &p->control->events;

	add(log, log->paths, &log->num_paths, type)->peer = p->addr;
}

static struct event *add_flow(enum event_type type, const struct ctl_flow *f)
{
	struct event_log *log = &f->control->events;
	struct event *e = add(log, log->flows, &log->num_flows, type);

	if (f->peer)
		e->peer = f->peer->addr;
	if (f->tmpl && !f->parked)
		set_path(e, f->path ? f->path->path : f->tmpl->path);
	e->flow.key = f->key;
	e->flow.kind = (uint8_t)f->kind;
	e->flow.server = f->server;
	e->flow.worker = (uint8_t)f->worker;
	e->flow.slot = f->slot;
	e->flow.moves = f->path_changes;
	return e;
}

void event_flow(enum event_type type, const struct ctl_flow *f)
{
	add_flow(type, f);
}

void event_subflow_lost(const struct ctl_flow *f, uint8_t error)
{
	add_flow(EVENT_SUBFLOW_LOST, f)->flow.error = error;
}

/* The first above @number of a ring: they are in order, from the oldest one on. */
static const struct event *first_above(const struct event *ring, uint64_t num, uint64_t number)
{
	uint64_t low = num > EVENTS_KEPT ? num - EVENTS_KEPT : 0, high = num;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (ring[mid % EVENTS_KEPT].number > number)
			high = mid;
		else
			low = mid + 1;
	}
	return low < num ? &ring[low % EVENTS_KEPT] : NULL;
}

const struct event *events_next(const struct event_log *log, struct rpc_cursor *at)
{
	const struct event *path = first_above(log->paths, log->num_paths, at->at[0]);
	const struct event *flow = first_above(log->flows, log->num_flows, at->at[0]);
	const struct event *e = !flow || (path && path->number < flow->number) ? path : flow;

	if (e)
		at->at[0] = e->number;
	return e;
}

static void flow_json(json_t *o, const struct event *e)
{
	json_object_set_new(o, "flow", json_sprintf("%u.%u", e->flow.worker, e->flow.slot));
	json_object_set_new(o, "protocol", json_protocol(e->flow.key.proto));
	json_object_set_new(o, "role", json_role((enum flow_kind)e->flow.kind));
	json_object_set_new(o, "side", json_string(e->flow.server ? "server" : "client"));
	json_object_set_new(o, "local", json_endpoint(&e->flow.key.local, e->flow.key.local_port));
	json_object_set_new(o, "remote", json_endpoint(&e->flow.key.remote, e->flow.key.remote_port));
	json_object_set_new(o, "path_changes", json_integer(e->flow.moves));
	if (e->type == EVENT_SUBFLOW_LOST)
		json_object_set_new(o, "reason", json_string(e->flow.error ? strerror(e->flow.error) : "closed by the peer"));
}

json_t *event_json(const struct event *e)
{
	char text[SCION_ADDR_STRLEN];
	json_t *o = json_object();

	json_object_set_new(o, "number", json_integer((json_int_t)e->number));
	json_object_set_new(o, "time_unix_us", json_integer(e->unix_us));
	json_object_set_new(o, "event", json_string(names[e->type]));
	json_object_set_new(o, "peer", e->peer.ia.v ? json_string(scion_addr_str(&e->peer, text)) : json_null());
	json_object_set_new(o, "path", e->has_path ? json_sprintf("%08x", e->path) : json_null());
	if (e->type >= EVENT_FLOW_OPEN)
		flow_json(o, e);
	return o;
}
