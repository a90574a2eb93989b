/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Paths between the two ends: their bytes, and the path source that tells them. Path 0 and 1 are a link
 * each; 2 and 3 go through a third AS and share their first link.
 *
 *     left 1 ---- 1 right     left 2 ---- 2 right     left 3 ---- 1 middle 2 ---- 3 right
 *                                                                  middle 3 ---- 4 right
 */
#include "tests/model/sim.h"

#include <stdlib.h>
#include <string.h>

#define EXP_TIME 63 /* 6 hours */
#define MAX_LINKS 2

struct sim_path sim_paths[NUM_PATHS];
enum source_mood sim_source_mood[NUM_ENDS];

static const struct {
	unsigned int links;
	struct {
		uint8_t as; /* 0 left, 1 middle, 2 right */
		uint16_t ifid;
	} hops[2 * MAX_LINKS];
	uint64_t delay_us;
	uint16_t mtu;
} shapes[NUM_PATHS] = {
	{ 1, { { 0, 1 }, { 2, 1 } }, 10 * MS, 1472 },
	{ 1, { { 0, 2 }, { 2, 2 } }, 20 * MS, 1400 },
	{ 2, { { 0, 3 }, { 1, 1 }, { 1, 2 }, { 2, 3 } }, 30 * MS, 1472 },
	{ 2, { { 0, 3 }, { 1, 1 }, { 1, 3 }, { 2, 4 } }, 35 * MS, 1280 },
};

static struct isd_as as_of(uint8_t as)
{
	static const char *const names[] = { "1-64512", "1-64514", "1-64513" };
	static struct isd_as ias[3];

	if (!ias[as].v)
		isd_as_parse(names[as], &ias[as]);
	return ias[as];
}

/* The raw path as the sender has it: one segment in travel direction, at its first hop. */
static size_t build_raw(int path, int from, uint8_t *out)
{
	unsigned int n = shapes[path].links + 1, last = 2 * shapes[path].links - 1;
	struct wr w = wr_init(out, 256);

	wr_be32(&w, n << 12);
	wr_u8(&w, 1); /* in construction direction */
	wr_u8(&w, 0);
	wr_be16(&w, sim_paths[path].seg_id);
	wr_be32(&w, sim_paths[path].timestamp);
	for (unsigned int i = 0; i < n; i++) {
		unsigned int in = 2 * i - 1, eg = 2 * i;

		wr_u8(&w, 0);
		wr_u8(&w, EXP_TIME);
		wr_be16(&w, i ? shapes[path].hops[from ? last - in : in].ifid : 0);
		wr_be16(&w, i + 1 < n ? shapes[path].hops[from ? last - eg : eg].ifid : 0);
		wr_be32(&w, 0x11111111u * (unsigned int)(path + 1)); /* MAC: nobody here looks */
		wr_be16(&w, (uint16_t)i);
	}
	return (size_t)(w.p - out);
}

int sim_path_find(const uint8_t *raw, size_t len, int *from)
{
	uint16_t ifids[8];
	int n = scion_path_interfaces(raw, len, ifids, 8);

	for (int p = 0; p < NUM_PATHS; p++) {
		int all = 2 * (int)shapes[p].links, fwd = 0, back = 0;

		if (n != all)
			continue;
		for (int i = 0; i < n; i++) {
			fwd += ifids[i] == shapes[p].hops[i].ifid;
			back += ifids[i] == shapes[p].hops[all - 1 - i].ifid;
		}
		/* A path whose ids read the same both ways: the sender knows */
		if (fwd == n && (back != n || *from == LEFT)) {
			*from = LEFT;
			return p;
		}
		if (back == n) {
			*from = RIGHT;
			return p;
		}
	}
	return -1;
}

bool sim_path_expired(const uint8_t *raw, size_t len, int path)
{
	return len >= 12 && (int32_t)(get_be32(raw + 8) - sim_paths[path].expired_before) < 0;
}

void sim_path_renew(int path)
{
	uint32_t unix_s = (uint32_t)time(NULL);

	sim_paths[path].timestamp = unix_s > sim_paths[path].timestamp ? unix_s : sim_paths[path].timestamp + 1;
	sim_paths[path].seg_id += 0x1357;
}

void sim_path_expire(int path)
{
	sim_path_renew(path);
	sim_paths[path].expired_before = sim_paths[path].timestamp;
}

/* ---- the path source ---- */

struct path_source {
	int end;
};

struct request {
	struct request *next;
	uv_timer_t timer;
	int end;
	path_source_paths_cb cb;
	void *ctx;
	struct isd_as dst;
};

static struct request *requests;

struct path_source *sim_source(int end)
{
	static struct path_source sources[NUM_ENDS] = { { LEFT }, { RIGHT } };

	return &sources[end];
}

static struct path *make_path(int path, int from)
{
	struct path_hop hops[2 * MAX_LINKS];
	uint16_t n = (uint16_t)(2 * shapes[path].links);
	struct ip_addr router = { .len = 4, .b = { 10, (uint8_t)from, 0, (uint8_t)(100 + path) } };
	uint8_t raw[256];
	uint16_t len = (uint16_t)build_raw(path, from, raw);
	struct path *p;

	for (uint16_t i = 0; i < n; i++) {
		uint16_t k = from ? (uint16_t)(n - 1 - i) : i;

		hops[i] = (struct path_hop){ as_of(shapes[path].hops[k].as), shapes[path].hops[k].ifid };
	}
	p = path_new(hops, n, raw, len);
	p->dst_ia = sim_addr(!from)->ia;
	p->mtu_bytes = shapes[path].mtu;
	p->expiry_unix_s = scion_path_expiry(raw, len);
	p->latency_us = (uint32_t)shapes[path].delay_us;
	p->next_hop = sock_addr_make(&router, 50000);
	return p;
}

static void unlink_request(struct request *r)
{
	struct request **at = &requests;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
}

static void free_request(uv_handle_t *h)
{
	free(h->data);
}

static void answer(uv_timer_t *t)
{
	struct request *r = t->data;
	struct path *paths[NUM_PATHS];
	enum source_mood mood = sim_source_mood[r->end];
	int before = sim_end;
	size_t n = 0;

	unlink_request(r);
	sim_end = r->end;
	if (mood == SOURCE_FAILS) {
		r->cb(r->ctx, -ETIMEDOUT, "the simulated daemon is silent", NULL, 0);
	} else {
		for (int p = 0; mood != SOURCE_NONE && p < NUM_PATHS; p++) {
			if ((uint32_t)time(NULL) - sim_paths[p].timestamp > 30) /* there are beacons all the time */
				sim_path_renew(p);
			paths[n++] = make_path(p, r->end);
		}
		r->cb(r->ctx, 0, NULL, paths, n);
	}
	sim_end = before;
	uv_close((uv_handle_t *)t, free_request);
}

int path_source_paths(struct path_source *ps, struct isd_as dst, bool refresh, path_source_paths_cb cb, void *ctx)
{
	struct request *r = calloc(1, sizeof(*r));
	uint64_t ms = 1 + rng_below(&sim_rng, 5);

	(void)refresh;
	if (!r)
		abort();
	*r = (struct request){ .next = requests, .end = ps->end, .cb = cb, .ctx = ctx, .dst = dst };
	requests = r;
	if (sim_source_mood[ps->end] == SOURCE_SLOW)
		ms = 300 + rng_below(&sim_rng, 1500);
	uv_timer_init(sim_world(), &r->timer);
	r->timer.data = r;
	return uv_timer_start(&r->timer, answer, ms, 0);
}

void sim_source_cancel(int end)
{
	struct request *r, *next;

	for (r = requests; r; r = next) {
		next = r->next;
		if (r->end != end)
			continue;
		unlink_request(r);
		uv_close((uv_handle_t *)&r->timer, free_request);
	}
}

void path_source_interface_down(struct path_source *ps, struct isd_as ia, uint64_t ifid)
{
	(void)ps;
	(void)ia;
	(void)ifid;
}

uint64_t path_source_rejected(const struct path_source *ps)
{
	(void)ps;
	return 0;
}

static int kept_down = -1;

void sim_path_keep_down(int path)
{
	kept_down = path;
}

void sim_paths_reset(void)
{
	for (int p = 0; p < NUM_PATHS; p++) {
		if (p != kept_down)
			sim_paths[p].down[LEFT] = sim_paths[p].down[RIGHT] = false;
		sim_paths[p].delay_us = shapes[p].delay_us;
		sim_paths[p].mtu = shapes[p].mtu;
		if (!sim_paths[p].seg_id)
			sim_paths[p].seg_id = (uint16_t)(0x1111 * (p + 1)); /* segments of their own */
		if (!sim_paths[p].timestamp)
			sim_path_renew(p);
	}
}
