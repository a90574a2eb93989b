/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Schedules. Each plans a few connections, and what goes wrong meanwhile; then the network is fair again and
 * everything has to come to its end. Schedules of one group share a pair of ends, so that what one leaves
 * behind another one meets; a group has one seed.
 *
 *     two_ends [--schedules N] [--seed S] [--exhaustive K] [--verbose] [--keep-going]
 *
 * --exhaustive K: instead of random ones all ways in which the first K frames of a connection can be delivered,
 * lost, doubled or overtaken, for each of a few kinds of connections.
 */
#include "tests/model/sim.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GROUP	    64 /* schedules with one pair of ends */
#define DRAIN_EVERY 4 /* schedules, then DATAGRAM flows have to end, too */
#define BOUND_US    (90 * SEC) /* in a fair network everything is over by then */
#define MAX_FAULTS  16
#define MAX_FRAMES  8  /* --exhaustive */

bool sim_failed, sim_verbose;

/* Ends of the world that the product writes to. */
enum log_level log_level = LOG_LEVEL_ERROR;

static struct {
	uint64_t seed, first_seed;
	uint64_t schedules;
	unsigned int exhaustive;
	bool verbose, keep_going;
} opt = { .seed = 1 };

static struct {
	uint64_t group_seed;
	unsigned int in_group;	  /* number of the schedule in its group */
	const char *command;
	char what[256];
} now;

static struct {
	uint64_t schedules, conns, finished, refused, reset, restarts, moves, followed, renewals, unknowns, faults, late_drain;
	uint64_t lost_state, stranded, failures;
} total;

/* ---- failures and trace ---- */

static const char *end_name(void)
{
	return sim_end == LEFT ? "left " : sim_end == RIGHT ? "right" : "-----";
}

void sim_trace_line(const char *fmt, ...)
{
	va_list ap;

	printf("%12.6f %s ", (double)sim_now_us / 1e6, end_name());
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

static char repeat[160];

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	if (sim_failed)
		return;
	sim_failed = true;
	va_start(ap, fmt);
	vsnprintf(now.what, sizeof(now.what), fmt, ap);
	va_end(ap);
	printf("FAILED at %.6f: %s\n%s", (double)sim_now_us / 1e6, now.what, repeat);
	fflush(stdout);
}

/* What ASan, assert() and the like do not say. */
static void on_abort(int sig)
{
	if (write(STDERR_FILENO, repeat, strlen(repeat)) < 0)
		_exit(2);
	signal(sig, SIG_DFL);
	raise(sig);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;
	char text[1024];

	(void)level;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sim_trace("log: %s", text);
}

/* ---- faults ---- */

enum fault_kind {
	FAULT_PATH_DOWN, /* one way or both */
	FAULT_PATH_UP,
	FAULT_RENEW,
	FAULT_EXPIRE,
	FAULT_DELAY,	 /* the path gets another delay: all that is behind overtakes, or is overtaken */
	FAULT_CRASH,
	FAULT_STOP,
	FAULT_START,
	FAULT_SOURCE,
	FAULT_KINDS
};

struct mishap {
	uint64_t at_us;
	enum fault_kind kind;
	int end, path;
	unsigned int arg;
	uv_timer_t timer;
};

static struct mishap faults[MAX_FAULTS];
static unsigned int num_faults;

static void lost_state(void)
{
	for (unsigned int i = 0; i < num_conns; i++)
		conns[i].lost_state = true;
	total.lost_state++;
}

static void add_fault(uint64_t at_us, enum fault_kind kind, int end, int path, unsigned int arg);

static void do_fault(uv_timer_t *t)
{
	struct mishap *f = t->data;
	struct sim_path *p = &sim_paths[f->path];

	total.faults++;
	switch (f->kind) {
	case FAULT_PATH_DOWN:
		sim_trace("path %d down, ways %u", f->path, f->arg & 3);
		p->down[LEFT] = f->arg & 1;
		p->down[RIGHT] = f->arg & 2;
		p->tells = f->arg & 4;
		return;
	case FAULT_PATH_UP:
		sim_trace("path %d up", f->path);
		p->down[LEFT] = p->down[RIGHT] = false;
		return;
	case FAULT_RENEW:
		sim_trace("path %d has new bytes", f->path);
		sim_path_renew(f->path);
		return;
	case FAULT_EXPIRE:
		sim_trace("path %d expires", f->path);
		sim_path_expire(f->path);
		return;
	case FAULT_DELAY:
		p->delay_us = f->arg * MS;
		return;
	case FAULT_CRASH:
	case FAULT_STOP:
		if (!ends[f->end].c)
			return;
		lost_state();
		if (f->kind == FAULT_CRASH)
			end_crash(f->end);
		else
			end_stop(f->end);
		return;
	case FAULT_START:
		if (!ends[f->end].c)
			end_start(f->end);
		return;
	case FAULT_SOURCE:
		sim_source_mood[f->end] = (enum source_mood)f->arg;
		return;
	case FAULT_KINDS:
		return;
	}
}

static void add_fault(uint64_t at_us, enum fault_kind kind, int end, int path, unsigned int arg)
{
	static bool up;
	struct mishap *f;

	for (unsigned int i = 0; !up && i < MAX_FAULTS; i++) {
		uv_timer_init(sim_world(), &faults[i].timer);
		faults[i].timer.data = &faults[i];
	}
	up = true;
	if (num_faults == MAX_FAULTS)
		return;
	f = &faults[num_faults++];
	f->at_us = at_us;
	f->kind = kind;
	f->end = end;
	f->path = path;
	f->arg = arg;
	sim_timer_us(&f->timer, do_fault, at_us);
}

/* ---- connections ---- */

static uint32_t next_conn = 1;
static uint16_t next_port = 20000;

static void start_conn(uv_timer_t *t)
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

static void forget_conns(void)
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

static struct conn_plan *add_conn(int client, enum conn_kind kind)
{
	struct conn_plan *p;

	if (num_conns == MAX_CONNS)
		abort();
	p = &conns[num_conns++];
	memset(p, 0, offsetof(struct conn_plan, timer));
	p->timer.data = p;
	p->timer.timer_cb = start_conn;
	p->id = next_conn++;
	p->client = client;
	p->kind = kind;
	p->tun = 1;
	p->client_port = next_port++;
	if (next_port > 60000)
		next_port = 20000;
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
	struct conn_plan *p = add_conn((int)rng_below(r, 2), kinds[rng_below(r, 4)]);
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
		struct conn_plan *j = add_conn(p->client, CONN_JOIN);

		j->main = p;
		j->tun = (uint8_t)(2 + i % 2);
		j->surplus = i == 2; /* three paths are planned */
		j->start_us = rng_below(r, 2) ? rng_next(r) % (200 * MS) : 0;
		j->bytes[0] = rng_below(r, 1500);
		j->bytes[1] = rng_below(r, 1500);
		j->accept_us = rng_below(r, 4) ? 0 : 5 * MS;
	}
}

static void start_all(void)
{
	for (unsigned int i = 0; i < num_conns; i++)
		if (!conns[i].main && !conns[i].after)
			sim_timer_us(&conns[i].timer, start_conn, conns[i].start_us);
}

/* ---- random schedules ---- */

static bool clean_net; /* nothing is lost: nothing may be refused or reset */

static uint64_t plan_network(void)
{
	struct rng *r = &sim_rng;
	uint64_t chaos = 200 * MS + rng_next(r) % (rng_below(r, 4) ? 2 * SEC : 5 * SEC);
	static const uint32_t losses[] = { 0, 20, 150, 400, 700 };

	net.fair = false;
	clean_net = false;
	switch (rng_below(r, 8)) {
	case 0: /* nothing but reordering */
		clean_net = true;
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

static void plan_faults(uint64_t chaos)
{
	struct rng *r = &sim_rng;
	unsigned int n = clean_net ? 0 : rng_below(r, 5);

	for (unsigned int i = 0; i < n; i++) {
		uint64_t at = rng_next(r) % chaos;
		int end = (int)rng_below(r, 2), path = (int)rng_below(r, NUM_PATHS);

		switch (rng_below(r, 10)) {
		case 0:
		case 1:
		case 2:
			add_fault(at, FAULT_PATH_DOWN, end, path, 1 + rng_below(r, 7));
			add_fault(at + rng_next(r) % (2 * SEC), FAULT_PATH_UP, end, path, 0);
			break;
		case 3: /* all at once */
			for (path = 0; path < NUM_PATHS; path++)
				add_fault(at + rng_next(r) % (100 * MS), FAULT_PATH_DOWN, end, path, 3);
			break;
		case 4:
			add_fault(at, FAULT_RENEW, end, path, 0);
			break;
		case 5:
			add_fault(at, FAULT_EXPIRE, end, path, 0);
			break;
		case 6:
			add_fault(at, FAULT_DELAY, end, path, 1 + rng_below(r, 300));
			break;
		case 7:
			if (rng_below(r, 3))
				break;
			add_fault(at, rng_below(r, 2) ? FAULT_CRASH : FAULT_STOP, end, path, 0);
			add_fault(at + rng_next(r) % SEC, FAULT_START, end, path, 0);
			break;
		case 8:
			add_fault(at, FAULT_SOURCE, end, path, 1 + rng_below(r, 3));
			break;
		default:
			break;
		}
	}
}

static void plan_random(void)
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
		again = add_conn(p->client, p->kind); /* the same ports once more, at once or soon */
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

#define NUM_SCENARIOS 6

static unsigned int digits[MAX_FRAMES], num_digits, next_digit;

static bool decide_digit(int from, uint8_t type, struct fate *fate)
{
	(void)from;
	if (type < FRAME_OPEN || type == FRAME_PROBE || type == FRAME_PROBE_REPLY || next_digit >= num_digits)
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

static void plan_exhaustive(uint64_t index)
{
	struct conn_plan *p, *q;
	unsigned int scenario = (unsigned int)(index % NUM_SCENARIOS);

	index /= NUM_SCENARIOS;
	num_digits = opt.exhaustive;
	next_digit = 0;
	for (unsigned int i = 0; i < num_digits; i++, index /= 4)
		digits[i] = index % 4;
	net.fair = false;
	net.decide = decide_digit;
	clean_net = false;
	p = add_conn(LEFT, scenario == 4 ? CONN_UDP : CONN_MAIN);
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
		q = add_conn(RIGHT, CONN_PLAIN);
		q->client_port = p->client_port;
		q->bytes[0] = 0;
		break;
	case 4:
		p->udp_count = 2;
		break;
	case 5: /* nobody listens; then the ports once more */
		p->server_port = 81;
		p->closed_port = true;
		q = add_conn(LEFT, CONN_PLAIN);
		q->client_port = p->client_port;
		q->server_port = 81;
		q->after = p;
		break;
	}
}

/* ---- one schedule ---- */

static bool quiet(void)
{
	return !net_in_flight();
}

/* Of an exhaustive schedule. */
static unsigned int net_bad_frames(void)
{
	unsigned int bad = 0;

	if (!num_digits)
		return UINT32_MAX;
	for (unsigned int i = 0; i < num_digits; i++)
		bad += digits[i] == 1 || digits[i] == 3;
	return bad;
}

static void judge(void)
{
	for (unsigned int i = 0; i < num_conns && !sim_failed; i++) {
		const struct conn_plan *p = &conns[i];
		bool expected = p->closed_port || p->surplus;

		if (!p->started)
			continue;
		total.conns++;
		switch (p->outcome) {
		case RUNNING:
			if (tcp_stranded(p))
				total.stranded++;
			else
				sim_fail("stuck: conn %u is not over", p->id);
			break;
		case FINISHED:
			total.finished++;
			if (p->closed_port)
				sim_fail("conn %u to a closed port was opened", p->id);
			break;
		case REFUSED:
			total.refused++;
			if (clean_net && !expected && !p->main)
				sim_fail("refused: conn %u in a network that loses nothing", p->id);
			/* An OPEN is repeated at least five times before its deadline. */
			if (net_bad_frames() < 4 && !expected)
				sim_fail("refused: conn %u, and only %u frames were lost or late", p->id, net_bad_frames());
			break;
		case RESET:
			total.reset++;
			if (!p->lost_state && !p->abort)
				sim_fail("lost: conn %u was reset, and nobody lost state", p->id);
			break;
		}
	}
}

static void settle(void)
{
	sim_run(sim_now_us + 20 * SEC, quiet); /* what is late has come */
	sim_run(sim_now_us + 300 * MS, NULL);  /* and what was answered */
}

/* A connection in a fair network: whatever was before. */
static void afterwards(void)
{
	struct conn_plan *p;
	int client = (int)rng_below(&sim_rng, 2);

	sim_run(sim_now_us + 3 * SEC, NULL); /* paths that were down need some answers */
	settle();
	if (sim_failed)
		return;
	forget_conns();
	p = add_conn(client, rng_below(&sim_rng, 2) ? CONN_MAIN : CONN_PLAIN);
	sim_timer_us(&p->timer, start_conn, 0);
	sim_run(sim_now_us + BOUND_US, conns_over);
	if (!sim_failed && p->outcome != FINISHED)
		sim_fail("a connection after it all was %s", p->outcome == RUNNING ? "stuck" : p->outcome == REFUSED ? "refused" : "reset");
}

static void tell_flows(const char *why)
{
	char text[256];

	sim_trace("not clean: %s", why);
	for (int n = 0; n < NUM_ENDS; n++)
		for (struct ctl_flow *f = ends[n].c->by_key; f; f = f->by_key.next)
			sim_trace("%s: %s, %s", n ? "right" : "left", flow_str(f, text), flow_state_str(f->state));
}

/* All is over: time goes by until nothing is left. */
static void drain(bool all)
{
	char why[512];

	settle();
	sim_jump(61 * SEC);
	sim_run(sim_now_us + 100 * MS, NULL);
	if (sim_failed || (!all && ends_clean(why, sizeof(why))))
		return;
	if (!ends_clean(why, sizeof(why)))
		tell_flows(why);
	total.late_drain += !all;
	for (int i = 0; i < 12 && !sim_failed && ends_flows(); i++) { /* some still announce a move: ten times */
		sim_jump(301 * SEC);
		sim_run(sim_now_us + 100 * MS, NULL);
	}
	if (sim_failed || (ends_clean(why, sizeof(why)) && !ends_flows()))
		return;
	sim_jump(125 * 60 * SEC); /* TCP without a FIN */
	sim_run(sim_now_us + 100 * MS, NULL);
	sim_jump(61 * SEC);
	sim_run(sim_now_us + 100 * MS, NULL);
	if (sim_failed)
		return;
	if (!ends_clean(why, sizeof(why)))
		sim_fail("not clean: %s", why);
	else if (ends_flows())
		sim_fail("not clean: %u DATAGRAM flows after all time-outs", ends_flows());
}

static void counters_agree(void)
{
	for (int n = 0; n < NUM_ENDS && !sim_failed; n++) {
		const struct control_counters *c = &ends[n].c->n;
		const struct watch_counts *w = &watch_counts[n];

		if (c->opens_tx != w->sent[FRAME_OPEN] || c->opens_rx != w->got[FRAME_OPEN] ||
		    c->accepts_tx != w->sent[FRAME_ACCEPT] || c->rejects_tx != w->sent[FRAME_REJECT] ||
		    c->hellos_tx != w->sent[FRAME_HELLO] || c->unknowns_tx != w->sent[FRAME_UNKNOWN] ||
		    c->unknowns_rx != w->got[FRAME_UNKNOWN] || c->probes_tx != w->sent[FRAME_PROBE] ||
		    c->probes_rx != w->got[FRAME_PROBE] || c->closes_rx != w->got[FRAME_CLOSE])
			sim_fail("%s: counters and frames on the wire differ", n ? "right" : "left");
	}
}

static void one_schedule(uint64_t exhaustive_index, bool exhaustive)
{
	uint64_t chaos;

	forget_conns();
	num_faults = 0;
	sim_path_keep_down(-1);
	net_reset();
	sim_source_mood[LEFT] = sim_source_mood[RIGHT] = SOURCE_FINE;
	sim_lag_us = rng_below(&sim_rng, 4) ? 20 : 2500;
	if (exhaustive) {
		sim_lag_us = 1;
		plan_exhaustive(exhaustive_index);
		chaos = 5 * SEC;
	} else {
		num_digits = 0;
		chaos = plan_network();
		plan_random();
		plan_faults(chaos);
	}
	start_all();
	sim_run(sim_now_us + chaos, exhaustive ? conns_over : NULL);
	for (unsigned int i = 0; i < num_faults; i++)
		uv_timer_stop(&faults[i].timer);
	/*
	 * A path that is down may stay so: there are others. But only clients move flows: a server whose client forgot its
	 * flow on a dead path waits for TCP's time-out.
	 */
	for (int p = 0; p < NUM_PATHS; p++)
		if (!conns[0].lost_state && (sim_paths[p].down[LEFT] || sim_paths[p].down[RIGHT]) && !rng_below(&sim_rng, 2))
			sim_path_keep_down(p);
	ends_agree();
	net_reset(); /* what is late stays late */
	sim_trace("the network is fair from now on");
	sim_source_mood[LEFT] = sim_source_mood[RIGHT] = SOURCE_FINE;
	for (int n = 0; n < NUM_ENDS; n++)
		if (!ends[n].c && !sim_failed)
			end_start(n);
	sim_run(sim_now_us + BOUND_US, conns_over);
	ends_agree();
	if (!sim_failed)
		judge();
	sim_path_keep_down(-1);
	net_reset();
	if (!sim_failed && tcp_abort_rest())
		sim_run(sim_now_us + 4 * SEC, NULL); /* longer than contact.open_deadline_ms */
	if (!sim_failed && !exhaustive && !rng_below(&sim_rng, 4))
		afterwards();
	sim_run(sim_now_us + 200 * MS, NULL);
}

static uint64_t cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void add_up(void)
{
	for (int n = 0; n < NUM_ENDS; n++) {
		if (!ends[n].c)
			continue;
		total.moves += ends[n].c->n.moves;
		total.followed += ends[n].c->n.followed;
		total.renewals += ends[n].c->n.renewals;
		total.unknowns += ends[n].c->n.unknowns_tx;
		total.restarts += ends[n].boots - 1;
	}
}

/* Return: how many schedules were run. */
static uint64_t group(uint64_t seed, uint64_t count, bool exhaustive, uint64_t first)
{
	struct end_params params;
	uint64_t i;

	sim_rng.s = seed * 2 + 1;
	product_rng.s = ~seed;
	next_conn = 1;
	next_port = 20000;
	forget_conns();
	num_faults = 0;
	sim_lag_us = 20;
	sim_source_mood[LEFT] = sim_source_mood[RIGHT] = SOURCE_FINE;
	sim_path_keep_down(-1);
	memset(sim_paths, 0, sizeof(sim_paths));
	sim_now_us = 3600 * SEC;
	sim_failed = false;
	net_reset();
	params = (struct end_params){ { 1 + rng_below(&sim_rng, 2), 1 + rng_below(&sim_rng, 2) },
				      rng_below(&sim_rng, 8) ? 64 : 16 };
	sim_verbose = opt.verbose && count == 1;
	ends_up(&params);
	sim_run(sim_now_us + 3 * SEC, NULL); /* they find each other */
	for (i = 0; i < count && !sim_failed; i++) {
		now.in_group = (unsigned int)i;
		sim_verbose = opt.verbose && i + 1 == count;
		log_level = sim_verbose ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR;
		snprintf(repeat, sizeof(repeat), "repeat: two_ends %s--seed %llu --schedules %llu --verbose\n",
			 exhaustive ? now.command : "", (unsigned long long)seed, (unsigned long long)i + 1);
		one_schedule(first + i, exhaustive);
		if (!sim_failed)
			drain(i % DRAIN_EVERY == DRAIN_EVERY - 1);
		if (!sim_failed)
			counters_agree();
		total.schedules++;
	}
	add_up();
	if (sim_failed) {
		total.failures++;
		if (!opt.keep_going)
			exit(1);
		printf("\n");
	}
	sim_failed = false;
	sim_verbose = false;
	for (int n = 0; n < NUM_ENDS; n++)
		if (!ends[n].c)
			end_start(n);
	ends_down();
	forget_conns();
	for (unsigned int k = 0; k < MAX_FAULTS; k++)
		if (faults[k].timer.data)
			uv_timer_stop(&faults[k].timer);
	sim_run(sim_now_us, NULL); /* what is closed is freed */
	return i;
}

static void summary(uint64_t ms)
{
	printf("%llu schedules in %.1f s of CPU: %llu connections, %llu finished, %llu refused, %llu reset; %llu faults, "
	       "%llu restarts without state, %llu moves, %llu followed, %llu renewals\n",
	       (unsigned long long)total.schedules, (double)ms / 1000, (unsigned long long)total.conns,
	       (unsigned long long)total.finished, (unsigned long long)total.refused, (unsigned long long)total.reset,
	       (unsigned long long)total.faults, (unsigned long long)total.lost_state, (unsigned long long)total.moves,
	       (unsigned long long)total.followed, (unsigned long long)total.renewals);
	printf("%llu schedules needed the time-outs of idle flows; frames:", (unsigned long long)total.late_drain);
	for (uint8_t k = 1; k <= 12; k++)
		printf(" %llu %s", (unsigned long long)watch_total.sent[k], watch_type(k));
	printf("\n%llu failed\n", (unsigned long long)total.failures);
}

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long v = strtoull(text, &end, 0);

	if (*end || end == text) {
		fprintf(stderr, "two_ends: %s is no number\n", text);
		exit(2);
	}
	return v;
}

int main(int argc, char **argv)
{
	static char command[64];
	uint64_t done = 0, all;

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (!strcmp(argv[i], "--schedules") && more) {
			opt.schedules = number(argv[++i]);
		} else if (!strcmp(argv[i], "--seed") && more) {
			opt.seed = number(argv[++i]);
		} else if (!strcmp(argv[i], "--exhaustive") && more) {
			opt.exhaustive = (unsigned int)number(argv[++i]);
		} else if (!strcmp(argv[i], "--verbose")) {
			opt.verbose = true;
		} else if (!strcmp(argv[i], "--keep-going")) {
			opt.keep_going = true;
		} else {
			fprintf(stderr, "usage: two_ends [--schedules N] [--seed S] [--exhaustive K] [--verbose] [--keep-going]\n");
			return 2;
		}
	}
	if (opt.exhaustive > MAX_FRAMES)
		opt.exhaustive = MAX_FRAMES;
	if (!opt.seed) {
		fprintf(stderr, "two_ends: seeds count from 1\n");
		return 2;
	}
	signal(SIGABRT, on_abort);
	signal(SIGSEGV, on_abort);
	snprintf(command, sizeof(command), "--exhaustive %u ", opt.exhaustive);
	now.command = command;
	all = (uint64_t)NUM_SCENARIOS << 2 * opt.exhaustive;
	if (!opt.schedules)
		opt.schedules = opt.exhaustive ? all : 1000;
	/* A failure is repeated by the number of its group and of its schedule in it. */
	for (uint64_t g = opt.seed - 1; opt.exhaustive && g * GROUP < all && done < opt.schedules; g++) {
		uint64_t n = all - g * GROUP < GROUP ? all - g * GROUP : GROUP;

		if (n > opt.schedules - done)
			n = opt.schedules - done;
		done += group(g + 1, n, true, g * GROUP);
	}
	for (uint64_t g = 0; !opt.exhaustive && done < opt.schedules; g++)
		done += group(opt.seed + g, opt.schedules - done < GROUP ? opt.schedules - done : GROUP, false, 0);
	summary(cpu_ms());
	return total.failures != 0;
}
