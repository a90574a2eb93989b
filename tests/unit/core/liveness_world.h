/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHILA_TESTS_UNIT_CORE_LIVENESS_WORLD_H
#define SHILA_TESTS_UNIT_CORE_LIVENESS_WORLD_H

/* Two records, one at each end of a path, and simulated time. */
#include "shila/core/liveness.h"

#include <stdlib.h>

#define MS	  1000ull
#define MAX_FLYING 4096
#define STEP_US	  250
#define LATE_US	  4000 /* who comes so much later than it wanted stood still */

struct frame_on_way {
	uint64_t at_us;
	uint8_t req, ans;
	bool alive;
};

struct direction {
	uint32_t delay_us, jitter_us, loss_1000, dup_1000;
	uint32_t burst_every, burst_frames, burst_loss_1000; /* on average; 0: no bursts */
	bool in_burst;
	bool dead;
	bool in_order;
	uint64_t last_us;
	unsigned int num;
	struct frame_on_way flying[MAX_FLYING];
};

struct side {
	struct liveness *l;
	bool client, deaf; /* deaf: an older version, which answers nothing */
	uint64_t due_us;
	bool listed;
	uint32_t every_us; /* sends a frame so often; 0: nothing */
	uint64_t send_us;
	uint64_t still_us; /* it stands still until then */
	unsigned int suspects, alives;
	uint64_t suspect_us; /* the first one */
};

struct world {
	uint64_t now_us;
	uint32_t step_us;
	uint32_t random;
	struct direction way[2]; /* from side 0, from side 1 */
	struct side side[2];
};

static uint32_t rnd(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random;
}

static struct world *world_new(uint32_t seed, uint32_t delay_us)
{
	struct world *w = calloc(1, sizeof(*w));

	w->random = seed * 2654435761u | 1;
	w->now_us = 1000 * MS;
	w->step_us = STEP_US;
	for (int i = 0; i < 2; i++) {
		w->way[i].delay_us = delay_us;
		w->side[i].l = liveness_new((uint8_t)rnd(w));
	}
	w->side[0].client = true;
	return w;
}

static void world_free(struct world *w)
{
	liveness_put(w->side[0].l);
	liveness_put(w->side[1].l);
	free(w);
}

static bool is_lost(struct world *w, struct direction *d)
{
	bool lost = rnd(w) % 1000 < d->loss_1000;

	if (d->burst_every && rnd(w) % (d->in_burst ? d->burst_frames : d->burst_every) == 0)
		d->in_burst = !d->in_burst;
	return lost || (d->in_burst && rnd(w) % 1000 < d->burst_loss_1000);
}

static void put(struct world *w, int from, uint8_t req, uint8_t ans, bool alive)
{
	struct direction *d = &w->way[from];
	unsigned int times = 1 + (rnd(w) % 1000 < d->dup_1000);

	if (d->dead || w->side[from].deaf)
		return;
	while (times--) {
		struct frame_on_way f = { .req = req, .ans = ans, .alive = alive };

		f.at_us = w->now_us + d->delay_us + (d->jitter_us ? rnd(w) % d->jitter_us : 0);
		if (d->in_order && f.at_us < d->last_us)
			f.at_us = d->last_us;
		d->last_us = f.at_us;
		if (!is_lost(w, d) && d->num < MAX_FLYING)
			d->flying[d->num++] = f;
	}
}

static void list(struct world *w, struct side *s)
{
	uint64_t due_us = liveness_due_us(s->l, w->now_us);

	if (!liveness_busy(s->l))
		return;
	if (!s->listed || due_us < s->due_us)
		s->due_us = due_us;
	s->listed = true;
}

static void send_frame(struct world *w, int from)
{
	uint8_t req, ans;

	liveness_stamp(w->side[from].l, 1, w->now_us, &req, &ans);
	put(w, from, req, ans, false);
	list(w, &w->side[from]);
}

static void send_alive(struct world *w, int from, bool ask)
{
	uint8_t req, ans;

	liveness_alive(w->side[from].l, ask, w->side[from].client, w->now_us, &req, &ans);
	w->side[from].alives++;
	put(w, from, req, ans, true);
}

static void tick(struct world *w, int i)
{
	struct side *s = &w->side[i];
	uint64_t late_us;
	unsigned int todo;

	if (!s->listed || w->now_us < s->due_us)
		return;
	late_us = w->now_us > s->due_us + LATE_US ? w->now_us - s->due_us : 0;
	todo = liveness_tick(s->l, w->now_us, late_us);
	if (todo & LIVENESS_DO_SUSPECT && !s->suspects++)
		s->suspect_us = w->now_us;
	if (todo & (LIVENESS_DO_ASK | LIVENESS_DO_ANSWER))
		send_alive(w, i, todo & LIVENESS_DO_ASK);
	s->listed = !(todo & LIVENESS_DO_REST);
	s->due_us = late_us ? w->now_us + LATE_US : liveness_due_us(s->l, w->now_us);
}

static void deliver(struct world *w, int from)
{
	struct direction *d = &w->way[from];
	struct side *to = &w->side[!from];

	if (w->now_us < to->still_us)
		return;
	for (unsigned int i = 0; i < d->num;) {
		struct frame_on_way f = d->flying[i];

		if (f.at_us > w->now_us) {
			i++;
			continue;
		}
		d->flying[i] = d->flying[--d->num];
		liveness_heard(to->l, 1, f.req, f.ans, f.alive, w->now_us);
		list(w, to);
	}
}

static void world_step(struct world *w)
{
	w->now_us += w->step_us;
	for (int i = 0; i < 2; i++)
		deliver(w, i);
	for (int i = 0; i < 2; i++) {
		struct side *s = &w->side[i];

		if (w->now_us < s->still_us)
			continue;
		if (s->every_us && w->now_us >= s->send_us) {
			send_frame(w, i);
			s->send_us = w->now_us + s->every_us;
		}
		tick(w, i);
	}
}

static inline void run(struct world *w, uint64_t us)
{
	uint64_t end_us = w->now_us + us;

	while (w->now_us < end_us)
		world_step(w);
}

static inline void cut(struct world *w, bool first, bool second)
{
	w->way[0].dead |= first;
	w->way[1].dead |= second;
	if (first)
		w->way[0].num = 0;
	if (second)
		w->way[1].num = 0;
	w->side[0].suspects = w->side[1].suspects = 0;
	w->side[0].suspect_us = w->side[1].suspect_us = 0;
}

#endif
