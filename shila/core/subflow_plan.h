/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_SUBFLOW_PLAN_H
#define SHILA_CORE_SUBFLOW_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Which subflows an MPTCP connection should have, and the next step towards that: as many as there are paths that
 * share no link beyond what is configured, each created anew when it was lost, none for long on a path that another
 * one uses already, and those on paths that are much worse than the rest for backup only.
 * Pure: time comes as an argument, in ms; what is there is told by the caller.
 */

#define SUBFLOW_PLAN_MAX 16

/* One subflow, with the main flow. Those that are closing or gone are not told of. */
struct subflow_seen {
	bool main;
	bool opening; /* its handshake goes on */
	bool alone;   /* no other one crosses its links too often */
	bool dead;    /* nothing gets through its path */
	bool worse;   /* its path is much worse than others, subflow_path_is_worse() */
	bool backup;  /* its priority now */
	bool always_backup; /* its priority by configuration */
};

struct subflow_view {
	uint64_t now_ms;
	bool ready;	    /* the kernel takes subflows of this connection */
	bool free_path;	    /* there is a path that a further one could use alone */
	unsigned int limit; /* of subflows, with the main flow */
	unsigned int count;
	struct subflow_seen flows[SUBFLOW_PLAN_MAX];
};

/* What a connection remembers; zeros at its begin. */
struct subflow_plan {
	unsigned int failures; /* in a row */
	uint64_t not_before_ms;
	uint64_t crowded_ms; /* since when there is one too many; 0: there is none */
};

enum subflow_step { SUBFLOW_NOTHING, SUBFLOW_CREATE, SUBFLOW_DESTROY, SUBFLOW_TO_BACKUP, SUBFLOW_TO_NORMAL };

struct subflow_order {
	enum subflow_step step;
	unsigned int flow;   /* index into flows, but for NOTHING and CREATE */
	uint64_t again_ms;   /* NOTHING: when to look again, if nothing happens before; UINT64_MAX: never */
};

/* subflow_plan_next() - One step; after that has been done, the next, until it is NOTHING. */
void subflow_plan_next(struct subflow_plan *plan, const struct subflow_view *view, struct subflow_order *out);

/**
 * subflow_plan_lost() - A subflow is gone that should be there, or none could be created. The next one comes at once if
 * the last one lived for a while, else after longer and longer: somebody does not want it.
 * @lived_ms: how long it was there beyond what its handshake took, and the answer to its first data
 */
void subflow_plan_lost(struct subflow_plan *plan, uint64_t now_ms, uint64_t lived_ms);

struct subflow_path {
	uint32_t srtt_us;     /* 0: never measured */
	uint32_t loss_permille;
};

/**
 * subflow_path_is_worse() - Whether a path does more harm than good beside the best one of a connection.
 * @was: what it was until now: it must become clearly better to be taken back
 */
bool subflow_path_is_worse(bool was, const struct subflow_path *path, const struct subflow_path *best);

#endif
