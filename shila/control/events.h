/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONTROL_EVENTS_H
#define SHILA_CONTROL_EVENTS_H

#include "shila/core/flow.h"
#include "shila/io/rpc.h"
#include "shila/wire/scion_addr.h"

#include <jansson.h>
#include <stdint.h>

struct ctl_flow;
struct peer;
struct peer_path;

/*
 * What happened to paths, peers and flows: the newest EVENTS_KEPT of paths and peers, and as many of flows, so that many
 * flows do not push out what happened to their paths. They are numbered through, and whoever wants to follow asks
 * again for what came after the last one he saw; so nobody has to be waited for, and without him nothing is woken.
 */
#define EVENTS_KEPT 1024

enum event_type {
	EVENT_NONE,
	EVENT_PATH_NEW,	    /* to this peer */
	EVENT_PATH_RENEWED, /* the same interfaces, newer bytes */
	EVENT_PATH_UP,
	EVENT_PATH_SUSPECT,
	EVENT_PATH_DOWN,
	EVENT_PATH_DEAD,	/* down, and its last router does not answer either */
	EVENT_PATH_PEER_SILENT, /* down, but its last router answers */
	EVENT_PATH_GONE, /* no longer in the path set, and no flow uses it */
	EVENT_PEER_UP,
	EVENT_PEER_SILENT,
	EVENT_FLOW_OPEN,
	EVENT_FLOW_MOVED,
	EVENT_FLOW_FOLLOWED, /* the peer moved it */
	EVENT_FLOW_PARKED,
	EVENT_FLOW_WOKEN,
	EVENT_FLOW_CLOSED,
	EVENT_SUBFLOW_ADDED,	 /* by our path manager */
	EVENT_SUBFLOW_RECREATED, /* the same, in the place of one that was lost */
	EVENT_SUBFLOW_FAILED,	 /* it was ordered, and never open */
	EVENT_SUBFLOW_LOST,	 /* its socket is gone, and its connection goes on */
	EVENT_SUBFLOW_ENDED,	 /* by our path manager: one too many */
	EVENT_SUBFLOW_BACKUP,	 /* carries data only if no other does, from now on */
	EVENT_SUBFLOW_NORMAL,
	EVENT_TYPES
};

struct event {
	uint64_t number; /* from 1; 0: there is none */
	int64_t unix_us;
	enum event_type type;
	struct scion_addr peer;
	uint32_t path; /* the first 32 bits of its fingerprint */
	bool has_path;
	struct {
		struct flow_key key;
		uint8_t worker;
		uint8_t kind;
		bool server;
		uint32_t slot, moves;
		uint8_t error; /* SUBFLOW_LOST: errno that its socket ended with, 0: by FIN */
	} flow;
};

struct event_log {
	struct event *paths, *flows; /* [EVENTS_KEPT], event n of its kind at n % EVENTS_KEPT */
	uint64_t num_paths, num_flows, num; /* that there ever were */
};

/* events_init() - Return: 0 or -ENOMEM. */
int events_init(struct event_log *log);
void events_fini(struct event_log *log);

void event_path(enum event_type type, const struct peer_path *pp);
void event_peer(enum event_type type, const struct peer *p);
void event_flow(enum event_type type, const struct ctl_flow *f);
void event_subflow_lost(const struct ctl_flow *f, uint8_t error);

/* events_next() - The oldest one kept with a number above @at->at[0], which becomes its number. NULL: there is none. */
const struct event *events_next(const struct event_log *log, struct rpc_cursor *at);

json_t *event_json(const struct event *e);

#endif
