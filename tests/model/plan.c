/* SPDX-License-Identifier: Apache-2.0 */

/* What a schedule has: connections, a network, mishaps; at random, or one of all that are possible. */
#include "tests/model/plan.h"

#include <stdlib.h>
#include <string.h>

#define MAX_MISHAPS 16

struct plan plan;

/* ---- mishaps ---- */

enum mishap_kind {
	MISHAP_PATH_DOWN, /* one way or both */
	MISHAP_PATH_UP,
	MISHAP_RENEW,
	MISHAP_EXPIRE,
	MISHAP_DELAY,	 /* the path gets another delay: all that is behind overtakes, or is overtaken */
	MISHAP_CRASH,
	MISHAP_STOP,
	MISHAP_START,
	MISHAP_SOURCE,
	MISHAP_KINDS
};

struct mishap {
	uint64_t at_us;
	enum mishap_kind kind;
	int end, path;
	unsigned int arg;
	uv_timer_t timer;
};

static struct mishap mishaps[MAX_MISHAPS];

static void lost_state(void)
{
	for (unsigned int i = 0; i < num_conns; i++)
		conns[i].lost_state = true;
	plan.lost_state++;
}

static void add_mishap(uint64_t at_us, enum mishap_kind kind, int end, int path, unsigned int arg);

static void do_mishap(uv_timer_t *t)
{
	struct mishap *f = t->data;
	struct sim_path *p = &sim_paths[f->path];

	plan.mishaps++;
	switch (f->kind) {
	case MISHAP_PATH_DOWN:
		sim_trace("path %d down, ways %u", f->path, f->arg & 3);
		p->down[LEFT] = f->arg & 1;
		p->down[RIGHT] = f->arg & 2;
		p->tells = f->arg & 4;
		return;
	case MISHAP_PATH_UP:
		sim_trace("path %d up", f->path);
		p->down[LEFT] = p->down[RIGHT] = false;
		return;
	case MISHAP_RENEW:
		sim_trace("path %d has new bytes", f->path);
		sim_path_renew(f->path);
		return;
	case MISHAP_EXPIRE:
		sim_trace("path %d expires", f->path);
		sim_path_expire(f->path);
		return;
	case MISHAP_DELAY:
		p->delay_us = f->arg * MS;
		return;
	case MISHAP_CRASH:
	case MISHAP_STOP:
		if (!ends[f->end].c)
			return;
		lost_state();
		if (f->kind == MISHAP_CRASH)
			end_crash(f->end);
		else
			end_stop(f->end);
		return;
	case MISHAP_START:
		if (!ends[f->end].c)
			end_start(f->end);
		return;
	case MISHAP_SOURCE:
		sim_source_mood[f->end] = (enum source_mood)f->arg;
		return;
	case MISHAP_KINDS:
		return;
	}
}

static void add_mishap(uint64_t at_us, enum mishap_kind kind, int end, int path, unsigned int arg)
{
	static bool up;
	struct mishap *f;

	for (unsigned int i = 0; !up && i < MAX_MISHAPS; i++) {
		uv_timer_init(sim_world(), &mishaps[i].timer);
		mishaps[i].timer.data = &mishaps[i];
	}
	up = true;
	if (plan.num_mishaps == MAX_MISHAPS)
		return;
	f = &mishaps[plan.num_mishaps++];
	f->at_us = at_us;
	f->kind = kind;
	f->end = end;
	f->path = path;
	f->arg = arg;
	sim_timer_us(&f->timer, do_mishap, at_us);
}

/* ---- connections ---- */

void plan_start(uv_timer_t *t)
{
	struct conn_plan *p = t->data;

	if (p->started)
		return;
	if (p->main && p->main->outcome != RUNNING)
		return; /* nothing to join any more */
	sim_trace("conn %u starts", p->id);
	if (p->kind == CONN_UDP)
		udp_start(p);
	else
		tcp_start(p);
}

void plan_forget(void)
{
	static bool up;

	for (unsigned int i = 0; i < MAX_CONNS; i++) {
		if (!up)
			uv_timer_init(sim_world(), &conns[i].timer);
		uv_timer_stop(&conns[i].timer);
	}
	up = true;
	num_conns = 0;
	tcp_reset_all();
}

struct conn_plan *plan_conn(int client, enum conn_kind kind)
{
	struct conn_plan *p;

	if (num_conns == MAX_CONNS)
		abort();
	p = &conns[num_conns++];
	memset(p, 0, offsetof(struct conn_plan, timer));
	p->timer.data = p;
	p->timer.timer_cb = plan_start;
	p->id = plan.next_conn++;
	p->client = client;
	p->kind = kind;
	p->tun = 1;
	p->client_port = plan.next_port++;
	if (plan.next_port > 60000)
		plan.next_port = 20000;
	p->server_port = kind == CONN_UDP ? 53 : 80;
	p->bytes[0] = p->bytes[1] = 100;
	p->segment = 500;
	p->closes[0] = p->closes[1] = true;
	for (int i = 0; i < 8; i++)
		p->key[i] = (uint8_t)rng_next(&sim_rng);
	return p;
}

static struct conn_plan *random_conn(uint64_t within_us)
{
	struct rng *r = &sim_rng;
	static const enum conn_kind kinds[] = { CONN_PLAIN, CONN_MAIN, CONN_MAIN, CONN_UDP };
	struct conn_plan *p = plan_conn((int)rng_below(r, 2), kinds[rng_below(r, 4)]);
	static const uint16_t segments[] = { 100, 400, 1200, 1400 };
	static const uint64_t accepts[] = { 0, 500, 3 * MS, 50 * MS, 1500 * MS };

	p->start_us = rng_next(r) % (within_us + 1);
	p->segment = segments[rng_below(r, 4)];
	p->bytes[0] = rng_below(r, 3) ? rng_below(r, 3u * p->segment) : 0;
	p->bytes[1] = rng_below(r, 3) ? rng_below(r, 3u * p->segment) : 0;
	p->accept_us = accepts[rng_below(r, 5)];
	p->speak_us[0] = rng_below(r, 3) ? 0 : rng_next(r) % SEC;
	p->speak_us[1] = rng_below(r, 3) ? 0 : rng_next(r) % (3 * SEC);
	p->closes[0] = rng_below(r, 2);
	p->closes[1] = !p->closes[0] || rng_below(r, 2);
	p->abort = !rng_below(r, 12);
	if (p->kind == CONN_UDP) {
		p->udp_count = 1 + rng_below(r, 3);
		p->bytes[0] = rng_below(r, 4) ? rng_below(r, 1000) : 1500; /* that is in two parts */
		p->bytes[1] = rng_below(r, 4) ? rng_below(r, 1000) : 1500;
	} else if (!rng_below(r, 16)) {
		p->closed_port = true;
		p->server_port = rng_below(r, 2) ? 81 : 82; /* nobody listens; not served */
	}
	return p;
}

static void add_joins(struct conn_plan *p)
{
	struct rng *r = &sim_rng;
	unsigned int n = rng_below(r, 4);

	for (unsigned int i = 0; i < n && num_conns < MAX_CONNS - 2; i++) {
		struct conn_plan *j = plan_conn(p->client, CONN_JOIN);

		j->main = p;
		j->tun = (uint8_t)(2 + i % 2);
		j->surplus = i == 2; /* three paths are planned */
		j->start_us = rng_below(r, 2) ? rng_next(r) % (200 * MS) : 0;
		j->bytes[0] = rng_below(r, 1500);
		j->bytes[1] = rng_below(r, 1500);
		j->accept_us = rng_below(r, 4) ? 0 : 5 * MS;
	}
}

void plan_start_all(void)
{
	for (unsigned int i = 0; i < num_conns; i++)
		if (!conns[i].main && !conns[i].after)
			sim_timer_us(&conns[i].timer, plan_start, conns[i].start_us);
}

/* ---- random schedules ---- */

uint64_t plan_network(void)
{
	struct rng *r = &sim_rng;
	uint64_t chaos = 200 * MS + rng_next(r) % (rng_below(r, 4) ? 2 * SEC : 5 * SEC);
	static const uint32_t losses[] = { 0, 20, 150, 400, 700 };

	net.fair = false;
	plan.clean = false;
	switch (rng_below(r, 8)) {
	case 0: /* nothing but reordering */
		plan.clean = true;
		net.jitter_us = rng_below(r, 3) * 20 * MS;
		net.dup = rng_below(r, 2) * 100;
		break;
	case 1:
		net.loss = losses[rng_below(r, 5)];
		break;
	case 2:
		net.dup = 500;
		net.late = 200;
		net.late_us = 3 * SEC;
		break;
	case 3: /* late enough to outlive its connection */
		net.dup = 300;
		net.late = 300;
		net.late_us = 6 * SEC;
		net.loss = losses[rng_below(r, 3)];
		break;
	case 4: /* certain frames */
		for (int i = 0; i < 3; i++)
			net.drop_first[3 + rng_below(r, 5)] = (uint8_t)(1 + rng_below(r, 3));
		for (int i = 0; i < 2; i++)
			net.delay_first[1 + rng_below(r, 12)] = (uint8_t)(1 + rng_below(r, 3));
		net.late_us = SEC;
		break;
	default:
		net.loss = losses[rng_below(r, 4)];
		net.dup = rng_below(r, 2) * 100;
		net.jitter_us = rng_below(r, 2) * 50 * MS;
		net.late = rng_below(r, 2) * 50;
		net.late_us = 2 * SEC;
	}
	return chaos;
}

void plan_mishaps(uint64_t chaos)
{
	struct rng *r = &sim_rng;
	unsigned int n = plan.clean ? 0 : rng_below(r, 5);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = rng_next(r) % chaos;
		int end = (int)rng_below(r, 2), path = (int)rng_below(r, NUM_PATHS);

		switch (rng_below(r, 10)) {
		case 0:
		case 1:
		case 2:
			add_mishap(at, MISHAP_PATH_DOWN, end, path, 1 + rng_below(r, 7));
			add_mishap(at + rng_next(r) % (2 * SEC), MISHAP_PATH_UP, end, path, 0);
			break;
		case 3: /* all at once */
			for (path = 0; path < NUM_PATHS; path++)
				add_mishap(at + rng_next(r) % (100 * MS), MISHAP_PATH_DOWN, end, path, 3);
			break;
		case 4:
			add_mishap(at, MISHAP_RENEW, end, path, 0);
			break;
		case 5:
			add_mishap(at, MISHAP_EXPIRE, end, path, 0);
			break;
		case 6:
			add_mishap(at, MISHAP_DELAY, end, path, 1 + rng_below(r, 300));
			break;
		case 7:
			if (rng_below(r, 3))
				break;
			add_mishap(at, rng_below(r, 2) ? MISHAP_CRASH : MISHAP_STOP, end, path, 0);
			add_mishap(at + rng_next(r) % SEC, MISHAP_START, end, path, 0);
			break;
		case 8:
			add_mishap(at, MISHAP_SOURCE, end, path, 1 + rng_below(r, 3));
			break;
		default:
			break;
		}
	}
}

void plan_random(void)
{
	struct rng *r = &sim_rng;
	uint64_t spread = rng_below(r, 3) ? 100 * MS : 2 * SEC;
	unsigned int n = 1 + rng_below(r, 3);

	for (unsigned int i = 0; i < n; i++) {
		struct conn_plan *p = random_conn(spread), *again;

		if (p->kind == CONN_MAIN && !p->closed_port)
			add_joins(p);
		if (p->kind == CONN_UDP || rng_below(r, 6) || num_conns > MAX_CONNS - 2)
			continue;
		again = plan_conn(p->client, p->kind); /* the same ports once more, at once or soon */
		again->client_port = p->client_port;
		again->server_port = p->server_port;
		again->closed_port = p->closed_port;
		again->after = p;
		again->start_us = rng_below(r, 2) ? 0 : rng_next(r) % SEC;
	}
	if (n > 1 && !rng_below(r, 3)) { /* both to each other, at the same time, with the same ports */
		conns[0].client = LEFT;
		conns[num_conns - 1].client = conns[num_conns - 1].main || conns[num_conns - 1].after ?
						      conns[num_conns - 1].client :
						      RIGHT;
	}
}

/* ---- exhaustive ones ---- */

static unsigned int digits[MAX_FRAMES], next_digit;

static bool decide_digit(int from, uint8_t type, struct fate *fate)
{
	(void)from;
	if (type < FRAME_OPEN || type == FRAME_PROBE || type == FRAME_PROBE_REPLY || next_digit >= plan.frames)
		return true;
	switch (digits[next_digit++]) {
	case 0:
		break;
	case 1:
		fate->copies = 0;
		break;
	case 2:
		fate->copies = 2;
		fate->delay_us[1] += 150 * MS;
		break;
	case 3:
		fate->delay_us[0] += 700 * MS;
		break;
	}
	return true;
}

void plan_exhaustive(uint64_t index, unsigned int frames)
{
	struct conn_plan *p, *q;
	unsigned int scenario = (unsigned int)(index % NUM_SCENARIOS);

	index /= NUM_SCENARIOS;
	plan.frames = frames;
	next_digit = 0;
	for (unsigned int i = 0; i < plan.frames; i++, index /= 4)
		digits[i] = index % 4;
	net.fair = false;
	net.decide = decide_digit;
	plan.clean = false;
	p = plan_conn(LEFT, scenario == 4 ? CONN_UDP : CONN_MAIN);
	switch (scenario) {
	case 0: /* the client speaks, then the server */
		p->closes[1] = false;
		break;
	case 1: /* a bare ACCEPT */
		p->accept_us = 5 * MS;
		p->closes[0] = false;
		break;
	case 2: /* the server speaks first, the client nothing */
		p->bytes[0] = 0;
		p->closes[0] = false;
		break;
	case 3: /* both to each other */
		q = plan_conn(RIGHT, CONN_PLAIN);
		q->client_port = p->client_port;
		q->bytes[0] = 0;
		break;
	case 4:
		p->udp_count = 2;
		break;
	case 5: /* nobody listens; then the ports once more */
		p->server_port = 81;
		p->closed_port = true;
		q = plan_conn(LEFT, CONN_PLAIN);
		q->client_port = p->client_port;
		q->server_port = 81;
		q->after = p;
		break;
	}
}

void plan_stop_mishaps(void)
{
	for (unsigned int i = 0; i < MAX_MISHAPS; i++)
		if (mishaps[i].timer.data)
			uv_timer_stop(&mishaps[i].timer);
	plan.num_mishaps = 0;
}

unsigned int plan_bad_frames(void)
{
	unsigned int bad = 0;

	if (!plan.frames)
		return UINT32_MAX;
	for (unsigned int i = 0; i < plan.frames; i++)
		bad += digits[i] == 1 || digits[i] == 3;
	return bad;
}
