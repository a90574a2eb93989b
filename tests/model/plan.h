/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MODEL_PLAN_H
#define TESTS_MODEL_PLAN_H

#include "tests/model/sim.h"

#define MAX_FRAMES    8 /* of an exhaustive schedule */
#define NUM_SCENARIOS 6

extern struct plan {
	bool clean;	     /* the network loses nothing: nothing may be refused or reset */
	unsigned int frames; /* of an exhaustive schedule; 0: a random one */
	unsigned int num_mishaps;
	uint32_t next_conn;
	uint16_t next_port;
	uint64_t mishaps, lost_state; /* that happened, in all schedules */
} plan;

void plan_forget(void); /* all connections */
struct conn_plan *plan_conn(int client, enum conn_kind kind);
void plan_start(uv_timer_t *t); /* of a connection */
void plan_start_all(void);
uint64_t plan_network(void); /* how long it is bad, in us */
void plan_random(void);
void plan_mishaps(uint64_t chaos);
void plan_exhaustive(uint64_t index, unsigned int frames);
void plan_stop_mishaps(void);
unsigned int plan_bad_frames(void); /* lost or late ones of an exhaustive schedule */

#endif
