/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/base/wall_clock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct moment {
	int64_t unix_s, boot_s, awake_s;
};

static int64_t milliseconds(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t rounded_s(int64_t ms)
{
	return (ms + (ms < 0 ? -500 : 500)) / 1000;
}

/* Each clock begins its seconds at a moment of its own, so it is their differences that are rounded. */
static struct moment now(void)
{
	int64_t boot = milliseconds(CLOCK_BOOTTIME), unix_time = milliseconds(CLOCK_REALTIME);
	int64_t awake = milliseconds(CLOCK_MONOTONIC), boot_s = boot / 1000;

	return (struct moment){ boot_s + rounded_s(unix_time - boot), boot_s, boot_s - rounded_s(boot - awake) };
}

void wall_clock_init(struct wall_clock *w)
{
	const struct moment m = now();

	memset(w, 0, sizeof(*w));
	w->now_unix_s = m.unix_s;
	w->boot_s = m.boot_s;
	w->offset_s = w->believed_s = w->now_unix_s - w->boot_s;
	w->asleep_s = w->boot_s - m.awake_s;
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
	const struct moment m = now();

	return wall_clock_look_at(w, m.unix_s, m.boot_s, m.awake_s);
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
