/* SPDX-License-Identifier: Apache-2.0 */
#include "shila/core/replay_pace.h"

#include <string.h>

/* replay_flow.place: the queues of path n are QUEUED + 2 n, for who has not sent its oldest train yet, and the one behind. */
enum { NOWHERE, WAITS, QUEUED }; /* the last one is even */

_Static_assert(QUEUED + 2 * REPLAY_PACE_PATHS <= UINT8_MAX, "place");

void replay_pace_init(struct replay_pace *p, struct replay *replay)
{
	memset(p, 0, sizeof(*p));
	p->replay = replay;
	p->look_us = UINT64_MAX;
}

/* ---- queues ---- */

static struct replay_pace_queue *queue_at(struct replay_pace *p, unsigned int place)
{
	return place == WAITS ? &p->waiting : &p->paths[(place - QUEUED) / 2].queues[(place - QUEUED) % 2];
}

static void put(struct replay_pace *p, uint32_t slot, unsigned int place)
{
	struct replay_flow *f = &p->replay->flows[slot];
	struct replay_pace_queue *q = queue_at(p, place);

	f->place = (uint8_t)place;
	f->after = 0;
	f->before = q->last;
	*(q->last ? &p->replay->flows[q->last].after : &q->first) = slot;
	q->last = slot;
}

void replay_pace_end(struct replay_pace *p, uint32_t slot)
{
	struct replay_flow *flows = p->replay->flows, *f = &flows[slot];
	struct replay_pace_queue *q;

	if (f->place == NOWHERE)
		return;
	q = queue_at(p, f->place);
	*(f->before ? &flows[f->before].after : &q->first) = f->after;
	*(f->after ? &flows[f->after].before : &q->last) = f->before;
	f->place = NOWHERE;
}

/* ---- budgets ---- */

static bool is_idle(const struct replay_pace_path *x)
{
	return !x->queues[0].first && !x->queues[1].first;
}

static struct replay_pace_path *path_of(struct replay_pace *p, const void *key)
{
	struct replay_pace_path *free = NULL;

	for (unsigned int i = 0; i < REPLAY_PACE_PATHS; i++) {
		struct replay_pace_path *x = &p->paths[i];

		if (x->key == key && x->filled_us)
			return x;
		if (is_idle(x) && (!free || x->filled_us < free->filled_us))
			free = x;
	}
	if (!free)
		return &p->paths[(uintptr_t)key / 64 % REPLAY_PACE_PATHS];
	*free = (struct replay_pace_path){ .key = key, .credit = REPLAY_PACE_BURST_BYTES };
	return free;
}

/* What was not used for long is lost, but for a burst, or what may leave until the next call and the one after. */
static void fill(struct replay_pace_path *x, uint64_t now_us)
{
	uint64_t passed_us = now_us - x->filled_us, most = x->bytes_per_s * 2 * REPLAY_PACE_TICK_US / 1000000;

	if (passed_us > 1000000)
		passed_us = 1000000;
	most = most > REPLAY_PACE_BURST_BYTES ? most : REPLAY_PACE_BURST_BYTES;
	x->credit += (int64_t)(passed_us * x->bytes_per_s / 1000000);
	if (x->credit > (int64_t)most)
		x->credit = (int64_t)most;
	x->filled_us = now_us;
}

bool replay_pace_begin(struct replay_pace *p, uint32_t slot, const void *key, uint32_t rtt_us, bool first_only, uint64_t now_us)
{
	struct replay_flow *f = &p->replay->flows[slot];
	struct replay_pace_path *x;
	uint64_t kept, bytes, bytes_per_s;

	replay_pace_end(p, slot);
	bytes = kept = replay_begin(p->replay, slot);
	if (!bytes)
		return false;
	f->last = f->until;
	f->holds = !first_only;
	f->held = 0;
	f->oldest_end = replay_oldest_end(p->replay, slot);
	f->first_only = first_only;
	f->tried = 0;
	f->wait_us = 2 * rtt_us + REPLAY_PACE_WAIT_US;
	if (first_only)
		f->until = f->oldest_end;
	rtt_us = !rtt_us ? REPLAY_PACE_UNKNOWN_US : rtt_us < REPLAY_PACE_MOST_US ? rtt_us : REPLAY_PACE_MOST_US;
	/*
	 * Of what one flow that is alone had: those that crowd here now had a path of that kind together, and others may fill this one.
	 */
	bytes = bytes > REPLAY_PACE_LEAST_BYTES ? bytes : REPLAY_PACE_LEAST_BYTES;
	bytes_per_s = bytes * (10000 * REPLAY_PACE_PERCENT) / (rtt_us + REPLAY_PACE_TICK_US);
	x = path_of(p, key);
	fill(x, now_us);
	if (is_idle(x))
		x->held = x->held_most = x->bytes_per_s = 0;
	if (bytes_per_s > x->bytes_per_s)
		x->bytes_per_s = bytes_per_s;
	x->held_most += kept;
	f->path = (uint8_t)(x - p->paths);
	put(p, slot, QUEUED + 2u * f->path);
	return true;
}

/* ---- sending ---- */

static void wait_for_ack(struct replay_pace *p, uint32_t slot, uint64_t now_us)
{
	struct replay_flow *f = &p->replay->flows[slot];

	if (!f->oldest || (f->tried == REPLAY_PACE_TIMES && !f->first_only))
		return;
	f->look_us = now_us + ((uint64_t)f->wait_us << f->tried);
	put(p, slot, WAITS);
	if (f->look_us < p->look_us)
		p->look_us = f->look_us;
}

/* A flow that sends as fast as its trains leave would wait for ever; and fast ones wait for nobody. */
static void hurry(struct replay_pace_path *x, struct replay_flow *f)
{
	x->held += f->held;
	f->held = 0;
	if (x->held < x->held_most)
		return;
	x->held = 0;
	if (x->bytes_per_s < REPLAY_PACE_RUN_BYTES * (1000000u / REPLAY_PACE_TICK_US) / 2)
		x->bytes_per_s *= 2;
	else
		f->holds = false;
}

/* Return: bytes that were sent. */
static uint64_t run_queue(struct replay_pace *p, unsigned int place, uint64_t now_us, uint64_t most, replay_pace_send *send, void *ctx)
{
	struct replay_pace_path *x = &p->paths[(place - QUEUED) / 2];
	struct replay_pace_queue *q = queue_at(p, place);
	uint64_t bytes = 0;
	uint32_t slot;

	while ((slot = q->first) && bytes < most) {
		struct replay_flow *f = &p->replay->flows[slot];
		const struct replay_train *t;

		if (x->credit <= 0)
			break;
		hurry(x, f);
		t = replay_next(p->replay, slot);
		replay_pace_end(p, slot);
		if (t && send(ctx, slot, t)) {
			bytes += t->len;
			x->credit -= t->len;
			put(p, slot, place | 1);
			continue;
		}
		f->holds = false;
		if (!t)
			wait_for_ack(p, slot, now_us);
	}
	return bytes;
}

/* Who has waited long enough sends its oldest train once more; who was answered all the rest, if that waited for it. */
static void look(struct replay_pace *p, uint64_t now_us)
{
	uint32_t slot, next, last = p->waiting.last;

	p->look_us = UINT64_MAX;
	for (slot = p->waiting.first; slot; slot = next) {
		struct replay_flow *f = &p->replay->flows[slot];
		bool acked = f->oldest && replay_oldest_end(p->replay, slot) != f->oldest_end;

		next = slot == last ? 0 : f->after;
		if (f->oldest && f->look_us > now_us) {
			if (f->look_us < p->look_us)
				p->look_us = f->look_us;
			continue;
		}
		replay_pace_end(p, slot);
		if (!f->oldest || (acked && !f->first_only) || (!acked && f->tried == REPLAY_PACE_TIMES))
			continue;
		f->again = f->oldest;
		f->until = acked ? f->last : f->oldest_end;
		f->tried += !acked;
		f->first_only &= !acked;
		f->oldest_end = replay_oldest_end(p->replay, slot);
		put(p, slot, QUEUED + 2u * f->path);
	}
}

void replay_pace_run(struct replay_pace *p, uint64_t now_us, bool oldest_only, replay_pace_send *send, void *ctx)
{
	uint64_t bytes = 0;

	if (p->look_us <= now_us)
		look(p, now_us);
	for (unsigned int i = 0; i < REPLAY_PACE_PATHS; i++) {
		unsigned int path = (p->turn + i) % REPLAY_PACE_PATHS;

		if (is_idle(&p->paths[path]))
			continue;
		fill(&p->paths[path], now_us);
		for (unsigned int rest = 0; rest < (oldest_only ? 1 : 2) && bytes < REPLAY_PACE_RUN_BYTES; rest++)
			bytes += run_queue(p, QUEUED + 2 * path + rest, now_us, REPLAY_PACE_RUN_BYTES - bytes, send, ctx);
	}
	p->turn++;
}

uint64_t replay_pace_due_us(const struct replay_pace *p, uint64_t now_us)
{
	for (unsigned int i = 0; i < REPLAY_PACE_PATHS; i++)
		if (!is_idle(&p->paths[i]))
			return now_us + REPLAY_PACE_TICK_US;
	return p->look_us;
}
