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
#include "tests/model/plan.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define GROUP	    64 /* schedules with one pair of ends */
#define DRAIN_EVERY 4 /* schedules, then DATAGRAM flows have to end, too */
#define BOUND_US    (90 * SEC) /* in a fair network everything is over by then */

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
	uint64_t schedules, conns, finished, refused, reset, restarts, moves, followed, renewals, unknowns, late_drain;
	uint64_t stranded, failures;
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

/* ---- one schedule ---- */

static bool quiet(void)
{
	return !net_in_flight();
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
			if (plan.clean && !expected && !p->main)
				sim_fail("refused: conn %u in a network that loses nothing", p->id);
			/* An OPEN is repeated at least five times before its deadline. */
			if (plan_bad_frames() < 4 && !expected)
				sim_fail("refused: conn %u, and only %u frames were lost or late", p->id, plan_bad_frames());
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
	plan_forget();
	p = plan_conn(client, rng_below(&sim_rng, 2) ? CONN_MAIN : CONN_PLAIN);
	sim_timer_us(&p->timer, plan_start, 0);
	sim_run(sim_now_us + BOUND_US, conns_over);
	if (!sim_failed && p->outcome != FINISHED)
		sim_fail("a connection after it all was %s", p->outcome == RUNNING ? "stuck" : p->outcome == REFUSED ? "refused" : "reset");
}

static void tell_flows(const char *why)
{
	char text[256];

	sim_trace("not clean: %s", why);
	for (int n = 0; n < NUM_ENDS; n++)
		for (struct ctl_flow *f = flow_after(ends[n].c, NULL); f; f = flow_after(ends[n].c, f))
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

	plan_forget();
	sim_path_keep_down(-1);
	net_reset();
	sim_source_mood[LEFT] = sim_source_mood[RIGHT] = SOURCE_FINE;
	sim_lag_us = rng_below(&sim_rng, 4) ? 20 : 2500;
	if (exhaustive) {
		sim_lag_us = 1;
		plan_exhaustive(exhaustive_index, opt.exhaustive);
		chaos = 5 * SEC;
	} else {
		plan.frames = 0;
		chaos = plan_network();
		plan_random();
		plan_mishaps(chaos);
	}
	plan_start_all();
	sim_run(sim_now_us + chaos, exhaustive ? conns_over : NULL);
	plan_stop_mishaps();
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
	plan.next_conn = 1;
	plan.next_port = 20000;
	plan_forget();
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
	plan_forget();
	plan_stop_mishaps();
	sim_run(sim_now_us, NULL); /* what is closed is freed */
	return i;
}

static void summary(uint64_t ms)
{
	printf("%llu schedules in %.1f s of CPU: %llu connections, %llu finished, %llu refused, %llu reset; %llu faults, "
	       "%llu restarts without state, %llu moves, %llu followed, %llu renewals\n",
	       (unsigned long long)total.schedules, (double)ms / 1000, (unsigned long long)total.conns,
	       (unsigned long long)total.finished, (unsigned long long)total.refused, (unsigned long long)total.reset,
	       (unsigned long long)plan.mishaps, (unsigned long long)plan.lost_state, (unsigned long long)total.moves,
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
