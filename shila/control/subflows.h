/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CONTROL_SUBFLOWS_H
#define SHILA_CONTROL_SUBFLOWS_H

#include "shila/control/control.h"

/* What subflows.c (what there should be) and subflow_orders.c (telling the kernel) share. */

/* A connection whose subflows are ours to decide about. */
struct managed {
	UT_hash_handle hh;
	struct {
		uint32_t side;
		uint32_t token;
	} key;
	bool has_token; /* in the table */
	bool over;	/* the kernel takes no more subflows, or manages them itself */
	bool no_joins;	/* its server wants none */
	struct control *control;
	struct conn *conn;
	struct subflow_plan plan;
	struct wheel_timer timer;
	bool check;	/* whether its sockets are still there */
	bool reset;	/* some flows were */
	uint64_t end_ms; /* when flows without a socket end; 0: there are none */
	unsigned int missing; /* that were lost, and not yet made again */
	unsigned int not_connected; /* in a row */
	uint8_t last_id;
	bool ids_used;	/* each once: from now on the kernel must forget one first */
};

/* subflow_is_there() - It is a subflow, and stays one. */
static inline bool subflow_is_there(const struct ctl_flow *f)
{
	return flow_counts(f) && f->state != FLOW_CLOSING && (f->kind == FLOW_MAIN || f->kind == FLOW_SUB);
}

/* subflow_is_main() - The main flow, or what stands for it. */
static inline bool subflow_is_main(const struct ctl_flow *f)
{
	return f->kind == FLOW_MAIN || f->stands_in;
}

/* subflows_have_main() - The main flow is there, or what stands for it. */
bool subflows_have_main(const struct control *c, const struct conn *n);

/* One more, over @pp; what comes of it is in @m->plan, or @m is over. */
void subflow_create(struct managed *m, struct peer_path *pp);
void subflow_destroy(struct managed *m, struct ctl_flow *f);
void subflow_set_priority(struct managed *m, struct ctl_flow *f, bool backup);

#endif
