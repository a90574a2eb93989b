/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_CORE_PATH_DAMP_H
#define SHILA_CORE_PATH_DAMP_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What a path did before, and what it is therefore due. Pure: time is an argument.
 *
 * A path that dies as soon as it is used again flaps: before the next time it has to be good for a while, each time twice
 * as long, until it was up for longer.
 *
 * A path that was left because it was silent, and then answered, is given more time: half as much again as it was silent
 * for. Half of that is forgotten every PATH_DAMP_FORGET_US.
 */

#define PATH_DAMP_SOON_US  1000000  /* up for less: it flaps */
#define PATH_DAMP_CALM_US  10000000 /* up for as long: all is forgiven */
#define PATH_DAMP_FIRST_US 1000000
#define PATH_DAMP_MOST_US  30000000
#define PATH_DAMP_PATIENCE_MOST_US 1000000
#define PATH_DAMP_FORGET_US	   10000000

/* Zeros at its begin. */
struct path_damp {
	uint64_t up_us;	  /* since when it is up; 0: it is not */
	uint32_t hold_us; /* it has to be good for so long */
	uint32_t patience_us;
	uint64_t alarm_us; /* when that was learned */
};

void path_damp_up(struct path_damp *d, uint64_t now_us);
void path_damp_down(struct path_damp *d, uint64_t now_us);
bool path_damp_good(const struct path_damp *d, uint64_t good_since_us, uint64_t now_us); /* for long enough */
void path_damp_alarm(struct path_damp *d, uint64_t silent_us, uint64_t now_us); /* it answers after all */
uint64_t path_damp_patience_us(const struct path_damp *d, uint64_t now_us);

#endif
