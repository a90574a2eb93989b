/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MAX_EVENTS 64

struct loop {
	struct parcel_pool *pool;
	int epoll;
	bool stop;
	size_t num_lanes;
	struct loop_lane *lanes[LOOP_MAX_LANES];
	struct epoll_event events[MAX_EVENTS];
	int num_events, next_event;
	uint64_t ms;	     /* the millisecond that ... */
	unsigned int rounds; /* ... had so many rounds */
};

uint64_t loop_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

struct loop *loop_new(struct parcel_pool *pool)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->pool = pool;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll);
	free(loop);
}

struct parcel_pool *loop_pool(struct loop *loop)
{
	return loop->pool;
}

int loop_add(struct loop *loop, struct loop_source *source)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = source };

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, source->fd, &ev) < 0 ? -errno : 0;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, source->fd, NULL);
	for (int i = loop->next_event; i < loop->num_events; i++)
		if (loop->events[i].data.ptr == source)
			loop->events[i].data.ptr = NULL;
}

int loop_add_lane(struct loop *loop, struct loop_lane *lane)
{
	if (loop->num_lanes == LOOP_MAX_LANES)
		return -ENOSPC;
	loop->lanes[loop->num_lanes++] = lane;
	return 0;
}

void loop_drain(struct loop_lane *lane, uint64_t now_ns)
{
	struct parcel *p;

	for (int n = 0; n < LOOP_BATCH && (p = link_dequeue(&lane->lane, now_ns)); n++)
		lane->deliver(lane->ctx, p, now_ns);
}

static void flush(struct loop *loop, uint64_t now_ns)
{
	bool again = true;

	while (again) { /* what came out of one lane may have gone into another */
		again = false;
		for (size_t i = 0; i < loop->num_lanes; i++) {
			if (link_next(&loop->lanes[i]->lane) > now_ns)
				continue;
			again = true;
			loop_drain(loop->lanes[i], now_ns);
		}
	}
}

static uint64_t next_due(const struct loop *loop)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < loop->num_lanes; i++) {
		uint64_t t = link_next(&loop->lanes[i]->lane);

		if (t < next)
			next = t;
	}
	return next;
}

static void pause_under_load(struct loop *loop, uint64_t now)
{
	const struct timespec nap = { .tv_nsec = LOOP_PAUSE_NS };

	if (now / 1000000 != loop->ms) {
		loop->ms = now / 1000000;
		loop->rounds = 0;
	}
	if (++loop->rounds > LOOP_ROUNDS_A_MS)
		clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

static int wait_events(struct loop *loop)
{
	uint64_t next, now, left;
	struct timespec ts;

	pause_under_load(loop, loop_now());
	next = next_due(loop);
	now = loop_now();
	left = next > now ? next - now : 0;
	ts = (struct timespec){ .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
	return epoll_pwait2(loop->epoll, loop->events, MAX_EVENTS, next == UINT64_MAX ? NULL : &ts, NULL);
}

int loop_run(struct loop *loop)
{
	while (!loop->stop) {
		int n = wait_events(loop);

		if (n < 0 && errno != EINTR)
			return -errno;
		loop->num_events = n < 0 ? 0 : n;
		flush(loop, loop_now());
		for (loop->next_event = 0; loop->next_event < loop->num_events;) {
			struct loop_source *source = loop->events[loop->next_event++].data.ptr;
			uint64_t now = loop_now();

			if (!source)
				continue;
			source->readable(source, now);
			flush(loop, now);
		}
		loop->num_events = 0;
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}
