/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Time, loops and threads. There is one queue of events for all loops: timers, wake-ups of a thread,
 * descriptors that became readable, handles to be closed. The earliest one is next, of equal ones the
 * first that was put in, and nothing else moves the clock. So a seed repeats a run exactly.
 *
 * What is kept of a handle stands beside it; its number is where libuv has a place for its own use.
 */
#include "tests/model/sim.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#define START_US (3600 * SEC)
#define UNIX_AT_START 1700000000ull
#define MAX_LOOPS 32

uint64_t sim_now_us = START_US;
int sim_end = -1;
uint32_t sim_lag_us;
struct rng sim_rng, product_rng;

/* ---- chance ---- */

uint64_t rng_next(struct rng *r)
{
	uint64_t z = r->s += 0x9E3779B97F4A7C15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
	z = (z ^ z >> 27) * 0x94D049BB133111EBull;
	return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	return n ? (uint32_t)((rng_next(r) >> 32) * n >> 32) : 0;
}

bool rng_permille(struct rng *r, uint32_t p)
{
	return p && rng_below(r, 1000) < p;
}

ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags);
ssize_t __wrap_getrandom(void *buf, size_t len, unsigned int flags)
{
	uint8_t *p = buf;

	(void)flags;
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rng_next(&product_rng);

		memcpy(p + i, &v, len - i < 8 ? len - i : 8);
	}
	return (ssize_t)len;
}

/* ---- clocks ---- */

time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out)
{
	time_t now = (time_t)(UNIX_AT_START + (sim_now_us - START_US) / SEC);

	if (out)
		*out = now;
	return now;
}

int __real_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out);
int __wrap_clock_gettime(clockid_t id, struct timespec *out)
{
	uint64_t us = sim_now_us;

	if (id == CLOCK_PROCESS_CPUTIME_ID)
		return __real_clock_gettime(id, out);
	if (id == CLOCK_REALTIME)
		us += UNIX_AT_START * SEC - START_US;
	*out = (struct timespec){ .tv_sec = (time_t)(us / SEC), .tv_nsec = (long)(us % SEC * 1000) };
	return 0;
}

uint64_t uv_hrtime(void)
{
	return sim_now_us * 1000;
}

uint64_t uv_now(const uv_loop_t *loop)
{
	(void)loop;
	return sim_now_us / 1000;
}

void uv_update_time(uv_loop_t *loop)
{
	(void)loop;
}

/* ---- loops and their handles ---- */

struct sim_loop {
	uv_loop_t *loop;
	int end;
	bool thread; /* a worker's: runs on while control waits for it */
	uv_handle_t *handles;
};

static struct sim_loop loops[MAX_LOOPS];

struct slot {
	uint64_t due, seq;
	uv_handle_t *next; /* of the loop */
	uint32_t index;	   /* in the queue, from 1; 0: not there */
	bool active, closing, pending;
};

static struct slot *slots;
static size_t num_slots, cap_slots;
static size_t free_slot; /* list by @due; 0: none */

static struct slot *slot_of(const uv_handle_t *h)
{
	return &slots[(size_t)h->u.reserved[0]];
}

static struct sim_loop *sim_loop_of(const uv_loop_t *loop)
{
	return &loops[loop->backend_fd];
}

static size_t take_slot(void)
{
	size_t i = free_slot;

	if (i) {
		free_slot = slots[i].due;
	} else {
		if (num_slots + 1 >= cap_slots) {
			cap_slots = cap_slots ? 2 * cap_slots : 256;
			slots = realloc(slots, cap_slots * sizeof(*slots));
			if (!slots)
				abort();
		}
		i = ++num_slots;
	}
	memset(&slots[i], 0, sizeof(slots[i]));
	return i;
}

static void init_handle(uv_loop_t *loop, uv_handle_t *h, uv_handle_type type)
{
	struct sim_loop *l = sim_loop_of(loop);
	void *data = h->data; /* set before or after, as libuv leaves it */
	size_t i = take_slot();

	h->data = data;
	h->loop = loop;
	h->type = type;
	h->close_cb = NULL;
	h->u.reserved[0] = (void *)i;
	slots[i].next = l->handles;
	l->handles = h;
}

int uv_loop_init(uv_loop_t *loop)
{
	int i = 0;

	while (i < MAX_LOOPS && loops[i].loop)
		i++;
	if (i == MAX_LOOPS)
		abort();
	memset(loop, 0, sizeof(*loop));
	loop->backend_fd = i;
	loops[i] = (struct sim_loop){ .loop = loop, .end = sim_end };
	return 0;
}

void sim_loop_init(uv_loop_t *loop, int end)
{
	uv_loop_init(loop);
	sim_loop_of(loop)->end = end;
}

int uv_loop_close(uv_loop_t *loop)
{
	struct sim_loop *l = sim_loop_of(loop);

	if (l->handles)
		return UV_EBUSY;
	memset(l, 0, sizeof(*l));
	return 0;
}

uv_loop_t *sim_world(void)
{
	static uv_loop_t world;
	static bool up;

	if (!up) {
		up = true;
		sim_loop_init(&world, -1);
	}
	return &world;
}

/* ---- the queue: a heap ---- */

static uv_handle_t **heap;
static uint32_t heap_len, heap_cap;
static uint64_t next_seq;

static bool before(const uv_handle_t *a, const uv_handle_t *b)
{
	const struct slot *x = slot_of(a), *y = slot_of(b);

	return x->due != y->due ? x->due < y->due : x->seq < y->seq;
}

static void put_at(uint32_t i, uv_handle_t *h)
{
	heap[i] = h;
	slot_of(h)->index = i;
}

static void sift(uint32_t i, uv_handle_t *h)
{
	while (i > 1 && before(h, heap[i / 2])) {
		put_at(i, heap[i / 2]);
		i /= 2;
	}
	for (;;) {
		uint32_t k = 2 * i;

		if (k > heap_len)
			break;
		if (k < heap_len && before(heap[k + 1], heap[k]))
			k++;
		if (before(h, heap[k]))
			break;
		put_at(i, heap[k]);
		i = k;
	}
	put_at(i, h);
}

static void dequeue(uv_handle_t *h)
{
	uint32_t i = slot_of(h)->index;
	uv_handle_t *last;

	if (!i)
		return;
	slot_of(h)->index = 0;
	last = heap[heap_len--];
	if (last != h)
		sift(i, last);
}

static void enqueue(uv_handle_t *h, uint64_t due)
{
	dequeue(h);
	if (heap_len + 2 > heap_cap) {
		heap_cap = heap_cap ? 2 * heap_cap : 256;
		heap = realloc(heap, heap_cap * sizeof(*heap));
		if (!heap)
			abort();
	}
	slot_of(h)->due = due;
	slot_of(h)->seq = ++next_seq;
	sift(++heap_len, h);
}

/* ---- handles, as libuv has them ---- */

int uv_timer_init(uv_loop_t *loop, uv_timer_t *t)
{
	init_handle(loop, (uv_handle_t *)t, UV_TIMER);
	return 0;
}

int uv_timer_start(uv_timer_t *t, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
	uint64_t due = sim_now_us + timeout * MS;

	if (repeat)
		abort(); /* nobody uses it */
	if (slot_of((uv_handle_t *)t)->closing)
		return UV_EINVAL;
	/* libuv counts whole milliseconds */
	if (t->loop != sim_world())
		due = timeout ? (sim_now_us / MS + timeout) * MS : sim_now_us;
	t->timer_cb = cb;
	slot_of((uv_handle_t *)t)->active = true;
	enqueue((uv_handle_t *)t, due);
	return 0;
}

void sim_timer_us(uv_timer_t *t, uv_timer_cb cb, uint64_t us)
{
	t->timer_cb = cb;
	slot_of((uv_handle_t *)t)->active = true;
	enqueue((uv_handle_t *)t, sim_now_us + us);
}

int uv_timer_stop(uv_timer_t *t)
{
	slot_of((uv_handle_t *)t)->active = false;
	if (!slot_of((uv_handle_t *)t)->closing)
		dequeue((uv_handle_t *)t);
	return 0;
}

uint64_t uv_timer_get_due_in(const uv_timer_t *t)
{
	const struct slot *s = slot_of((const uv_handle_t *)t);

	return s->active && s->due > sim_now_us ? (s->due - sim_now_us) / MS : 0;
}

static uint64_t lag(void)
{
	return 1 + rng_below(&sim_rng, sim_lag_us);
}

int wake_init(uv_loop_t *loop, struct wake *w, void (*on_wake)(struct wake *w))
{
	init_handle(loop, (uv_handle_t *)&w->poll, UV_ASYNC);
	w->on_wake = on_wake;
	slot_of((uv_handle_t *)&w->poll)->active = true;
	return 0;
}

void wake_send(struct wake *w)
{
	struct slot *s = slot_of((uv_handle_t *)&w->poll);

	if (!s->pending && !s->closing) {
		s->pending = true;
		enqueue((uv_handle_t *)&w->poll, sim_now_us + lag());
	}
}

void wake_close(struct wake *w)
{
	uv_close((uv_handle_t *)&w->poll, NULL);
}

void wake_fini(struct wake *w)
{
	(void)w;
}

int uv_poll_init(uv_loop_t *loop, uv_poll_t *p, int fd)
{
	init_handle(loop, (uv_handle_t *)p, UV_POLL);
	p->io_watcher.fd = fd;
	return 0;
}

/* Readable descriptors in this program: those of sim_net.c. */
bool sim_fd_has(int fd);
void sim_fd_polled(int fd, uv_poll_t *p);

static void poll_again(uv_poll_t *p)
{
	struct slot *s = slot_of((uv_handle_t *)p);

	if (s->active && !s->index && sim_fd_has(p->io_watcher.fd))
		enqueue((uv_handle_t *)p, sim_now_us + lag());
}

int uv_poll_start(uv_poll_t *p, int events, uv_poll_cb cb)
{
	(void)events;
	p->poll_cb = cb;
	slot_of((uv_handle_t *)p)->active = true;
	sim_fd_polled(p->io_watcher.fd, p);
	poll_again(p);
	return 0;
}

int uv_poll_stop(uv_poll_t *p)
{
	slot_of((uv_handle_t *)p)->active = false;
	sim_fd_polled(p->io_watcher.fd, NULL);
	dequeue((uv_handle_t *)p);
	return 0;
}

void sim_poll_ready(uv_poll_t *p);
void sim_poll_ready(uv_poll_t *p)
{
	poll_again(p);
}

void uv_close(uv_handle_t *h, uv_close_cb cb)
{
	struct slot *s = slot_of(h);

	if (s->closing)
		abort(); /* as libuv would */
	if (h->type == UV_POLL)
		sim_fd_polled(((uv_poll_t *)h)->io_watcher.fd, NULL);
	s->active = false;
	s->closing = true;
	h->close_cb = cb;
	enqueue(h, sim_now_us);
}

int uv_is_active(const uv_handle_t *h)
{
	return slot_of(h)->active;
}

int uv_is_closing(const uv_handle_t *h)
{
	return slot_of(h)->closing;
}

void uv_walk(uv_loop_t *loop, uv_walk_cb cb, void *arg)
{
	uv_handle_t *h, *next;

	for (h = sim_loop_of(loop)->handles; h; h = next) {
		next = slot_of(h)->next;
		cb(h, arg);
	}
}

const char *uv_strerror(int err)
{
	return strerror(-err);
}

/* ---- running ---- */

static void forget_handle(uv_handle_t *h)
{
	struct sim_loop *l = sim_loop_of(h->loop);
	uv_handle_t **at = &l->handles;
	size_t i = (size_t)h->u.reserved[0];

	while (*at != h)
		at = &slot_of(*at)->next;
	*at = slots[i].next;
	slots[i].due = free_slot;
	free_slot = i;
}

void sim_timer_fini(uv_timer_t *t)
{
	dequeue((uv_handle_t *)t);
	forget_handle((uv_handle_t *)t);
}

static void dispatch(uv_handle_t *h)
{
	struct slot *s = slot_of(h);
	int end_before = sim_end;

	dequeue(h);
	sim_end = sim_loop_of(h->loop)->end;
	if (s->closing) {
		forget_handle(h);
		if (h->close_cb)
			h->close_cb(h);
	} else if (h->type == UV_TIMER) {
		s->active = false;
		((uv_timer_t *)h)->timer_cb((uv_timer_t *)h);
	} else if (h->type == UV_ASYNC) {
		s->pending = false;
		((struct wake *)h)->on_wake((struct wake *)h);
	} else {
		uv_poll_t *p = (uv_poll_t *)h;
		int fd = p->io_watcher.fd;

		p->poll_cb(p, 0, UV_READABLE);
		sim_readable(fd); /* what is left is told again; @p may be gone */
	}
	sim_end = end_before;
}

void sim_run(uint64_t until_us, bool (*done)(void))
{
	while (!sim_failed && heap_len && slot_of(heap[1])->due <= until_us) {
		if (slot_of(heap[1])->due > sim_now_us)
			sim_now_us = slot_of(heap[1])->due;
		dispatch(heap[1]);
		if (done && done())
			return;
	}
	if (sim_now_us < until_us && !sim_failed)
		sim_now_us = until_us;
}

void sim_jump(uint64_t us)
{
	sim_now_us += us;
}

/* The earliest event of a worker's loop (of @loop alone if given) until then. */
static uv_handle_t *next_of_threads(const uv_loop_t *loop, uint64_t until)
{
	uv_handle_t *best = NULL;

	for (uint32_t i = 1; i <= heap_len; i++) {
		const struct sim_loop *l = sim_loop_of(heap[i]->loop);

		if ((loop ? heap[i]->loop == loop : l->thread && l->end == sim_end) &&
		    slot_of(heap[i])->due <= until && (!best || before(heap[i], best)))
			best = heap[i];
	}
	return best;
}

/* Control waits for a worker: only workers go on. */
static void sleep_us(uint64_t us)
{
	uint64_t until = sim_now_us + us;
	uv_handle_t *h;

	while ((h = next_of_threads(NULL, until))) {
		if (slot_of(h)->due > sim_now_us)
			sim_now_us = slot_of(h)->due;
		dispatch(h);
	}
	sim_now_us = until;
}

void uv_sleep(unsigned int ms)
{
	sleep_us(ms * MS);
}

int __wrap_usleep(useconds_t us);
int __wrap_usleep(useconds_t us)
{
	sleep_us(us);
	return 0;
}

static bool starting; /* uv_run() is called by a new thread */
static struct sim_loop *started;

int uv_run(uv_loop_t *loop, uv_run_mode mode)
{
	uv_handle_t *h;

	(void)mode;
	if (starting) {
		started = sim_loop_of(loop);
		started->thread = true;
		return 0;
	}
	while ((h = next_of_threads(loop, UINT64_MAX))) {
		if (slot_of(h)->due > sim_now_us)
			sim_now_us = slot_of(h)->due;
		dispatch(h);
	}
	return 0;
}

/* ---- threads ---- */

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*main_fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *attr, void *(*main_fn)(void *), void *arg)
{
	(void)attr;
	starting = true;
	started = NULL;
	main_fn(arg);
	starting = false;
	if (!started)
		abort();
	*t = (pthread_t)(uintptr_t)started;
	return 0;
}

/* The thread ends when its loop has no handles any more. */
int __wrap_pthread_join(pthread_t t, void **ret);
int __wrap_pthread_join(pthread_t t, void **ret)
{
	struct sim_loop *l = (struct sim_loop *)(uintptr_t)t;

	if (ret)
		*ret = NULL;
	uv_run(l->loop, UV_RUN_DEFAULT);
	if (l->handles)
		sim_fail("a worker that was told to stop has not");
	return 0;
}

int __wrap_pthread_setname_np(pthread_t t, const char *name);
int __wrap_pthread_setname_np(pthread_t t, const char *name)
{
	(void)t;
	(void)name;
	return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);
int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	(void)old;
	return 0;
}
