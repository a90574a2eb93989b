/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/wall_clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t seconds(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return ts.tv_sec;
}

void wall_clock_init(struct wall_clock *w)
{
	memset(w, 0, sizeof(*w));
	w->now_unix_s = seconds(CLOCK_REALTIME);
	w->boot_s = seconds(CLOCK_BOOTTIME);
	w->offset_s = w->believed_s = w->now_unix_s - w->boot_s;
	w->asleep_s = w->boot_s - seconds(CLOCK_MONOTONIC);
}

struct wall_clock_event wall_clock_look_at(struct wall_clock *w, int64_t unix_s, int64_t boot_s, int64_t awake_s)
{
	int64_t offset = unix_s - boot_s, asleep = boot_s - awake_s;
	struct wall_clock_event e = { 0 };

	if (llabs(offset - w->offset_s) >= WALL_CLOCK_JUMP_S) {
		e.jump_s = offset - w->offset_s;
		w->set_boot_s = boot_s;
		w->offset_s = offset;
	} else if (boot_s - w->set_boot_s >= WALL_CLOCK_BELIEVE_S) {
		w->offset_s = w->believed_s = offset; /* follows a clock that is slewed */
	}
	if (asleep - w->asleep_s >= WALL_CLOCK_JUMP_S)
		e.slept_s = asleep - w->asleep_s;
	w->asleep_s = asleep;
	w->now_unix_s = unix_s;
	w->boot_s = boot_s;
	return e;
}

struct wall_clock_event wall_clock_look(struct wall_clock *w)
{
	return wall_clock_look_at(w, seconds(CLOCK_REALTIME), seconds(CLOCK_BOOTTIME), seconds(CLOCK_MONOTONIC));
}

int64_t wall_clock_earliest(const struct wall_clock *w)
{
	int64_t other = w->boot_s + w->believed_s;

	return other < w->now_unix_s ? other : w->now_unix_s;
}

int64_t wall_clock_latest(const struct wall_clock *w)
{
	int64_t other = w->boot_s + w->believed_s;

	return other > w->now_unix_s ? other : w->now_unix_s;
}
