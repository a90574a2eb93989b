/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_BASE_WALL_CLOCK_H
#define SHILA_BASE_WALL_CLOCK_H

/*
 * Unix time, which paths' life times are told in, from a clock that people and programs set. Whether it
 * was right before or is right now nobody knows, so for an hour after it was set both times count: what
 * is good by one of them is not thrown away, what ends by one of them is renewed. SCION's routers have
 * the last word, and probes hear it.
 */

#include <stdint.h>

#define WALL_CLOCK_JUMP_S    10	  /* less is no jump: clocks that are slewed, a busy machine */
#define WALL_CLOCK_BELIEVE_S 3600 /* a time that stood so long is believed */

struct wall_clock {
	int64_t offset_s;	   /* unix time less time since boot, as last seen */
	int64_t believed_s;	   /* the same, before it was set */
	int64_t asleep_s;	   /* time that the machine was suspended since boot */
	int64_t set_boot_s;	   /* when it was set, since boot */
	int64_t now_unix_s, boot_s; /* of the last look */
};

/* What happened since the last look; zeros: nothing. */
struct wall_clock_event {
	int64_t jump_s;	 /* the clock was set: by so much forward */
	int64_t slept_s; /* the machine was suspended */
};

void wall_clock_init(struct wall_clock *w);
struct wall_clock_event wall_clock_look(struct wall_clock *w);
/* The same at times that are given: unix time, time since boot with and without suspension. */
struct wall_clock_event wall_clock_look_at(struct wall_clock *w, int64_t unix_s, int64_t boot_s, int64_t awake_s);
/* Of the times that it may be, the earlier and the later one. */
int64_t wall_clock_earliest(const struct wall_clock *w);
int64_t wall_clock_latest(const struct wall_clock *w);

#endif
