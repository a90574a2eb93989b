/* SPDX-License-Identifier: Apache-2.0 */

/*
 * scripts/micro/flow_table: the flow table of a worker beside tables of libraries, and the timing wheel beside the
 * timers of libuv. Keys are struct flow_key as packets have them, in random order. A figure is the median of some
 * repetitions; the whole runs on one core.
 */
#include "shila/base/wheel.h"
#include "shila/core/flow.h"

#include "tests/bench/memory.h"
#include "tests/bench/tables.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define REPEAT	  5
#define LEAST_OPS (1u << 20) /* look-ups of one repetition */
#define MOST_OPS  (1u << 22)

static const struct bench_table *const tables[] = {
	&bench_shila,
#ifdef BENCH_RTE
	&bench_rte,
#endif
#ifdef BENCH_GLIB
	&bench_glib,
#endif
#ifdef BENCH_ABSL
	&bench_absl,
#endif
};

#define NUM_TABLES (sizeof(tables) / sizeof(tables[0]))

/* Nanoseconds an operation; 0: not there. */
struct figures {
	const char *table;
	bool v6;
	uint32_t entries;
	double hit, hit_batch, miss, miss_batch, insert, slowest_insert, remove, rss;
};

static struct {
	bool json, quick, find;
	const char *only;
	uint32_t least, most;
} opt = { .most = FLOW_TABLE_MAX };

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Ticks of what costs least to read, for pieces of a microsecond. */
static uint64_t ticks(void)
{
#ifdef __x86_64__
	return __builtin_ia32_rdtsc();
#else
	return now_ns();
#endif
}

static double ns_per_tick(void)
{
	static double ratio;

	if (!ratio) {
		uint64_t t = ticks(), ns = now_ns();

		while (now_ns() - ns < 50000000)
			;
		ratio = (double)(now_ns() - ns) / (double)(ticks() - t);
	}
	return ratio;
}

static uint64_t random_state = 1;

static uint32_t rnd(uint32_t below)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((random_state >> 32) * below >> 32);
}

/* The n-th of up to 2^25 flows of a host: ports first, then servers, then clients. */
static struct flow_key key_nr(uint32_t n, bool v6)
{
	static const uint8_t local4[4] = { 10, 64, 0, 1 }, remote4[4] = { 10, 128, 0, 0 };
	static const uint8_t local6[16] = { 0xfd, 0, 0, 1, [15] = 1 }, remote6[16] = { 0xfd, 0, 0, 2 };
	struct flow_key k = { .proto = 6, .local_port = (uint16_t)(32768 + n % 28000), .remote_port = 443 };
	uint32_t host = n / 28000;
	uint8_t len = v6 ? 16 : 4;

	k.local.len = k.remote.len = len;
	memcpy(k.local.b, v6 ? local6 : local4, len);
	memcpy(k.remote.b, v6 ? remote6 : remote4, len);
	k.remote.b[len - 1] = (uint8_t)(1 + host % 200);
	k.local.b[len - 2] = (uint8_t)(host / 200);
	return k;
}

static double rss_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

/* ---- tables ---- */

/* Of flows from number @from on. Keys are made just before they are looked up, like those of packets: they are in the cache. */
static double look_up(void *table, uint32_t (*find)(void *, const struct flow_key *, uint32_t), uint32_t from, uint32_t n, bool v6,
		      uint32_t num, uint32_t expect)
{
	struct flow_key keys[BENCH_BATCH];
	double ns[REPEAT];
	uint32_t found;

	if (!find)
		return 0;
	for (unsigned int r = 0; r < REPEAT; r++) {
		uint64_t sum = 0, t;

		found = 0;
		for (uint32_t i = 0; i < num; i += BENCH_BATCH) {
			for (unsigned int k = 0; k < BENCH_BATCH; k++)
				keys[k] = key_nr(from + rnd(n), v6);
			t = ticks();
			found += find(table, keys, BENCH_BATCH);
			sum += ticks() - t;
		}
		ns[r] = (double)sum * ns_per_tick() / num;
		if (found != expect) {
			fprintf(stderr, "%u found instead of %u\n", found, expect);
			exit(1);
		}
	}
	return median(ns, REPEAT);
}

/* Fill it; @slowest: the longest time of one insertion, else of all together. */
static double fill(const struct bench_table *b, void *table, uint32_t n, bool v6, bool slowest)
{
	uint64_t longest = 0, sum = 0, t = now_ns(), last = t;

	for (uint32_t i = 1; i <= n;) {
		struct flow_key keys[BENCH_BATCH];
		uint32_t num = n - i + 1 < BENCH_BATCH ? n - i + 1 : BENCH_BATCH;

		for (uint32_t k = 0; k < num; k++)
			keys[k] = key_nr(i + k, v6);
		last = t = now_ns();
		for (uint32_t k = 0; k < num; k++) {
			b->insert(table, &keys[k], i + k);
			if (slowest) {
				uint64_t at = now_ns();

				longest = at - last > longest ? at - last : longest;
				last = at;
			}
		}
		sum += now_ns() - t;
		i += num;
	}
	return slowest ? (double)longest : (double)sum / n;
}

/* In an order that is neither that of insertion nor of memory. */
static double empty(const struct bench_table *b, void *table, uint32_t n, bool v6)
{
	uint32_t size = 1, at = 0;
	uint64_t sum = 0;

	while (size <= n)
		size *= 2;
	for (uint32_t left = n; left;) {
		struct flow_key keys[BENCH_BATCH];
		uint32_t numbers[BENCH_BATCH], num = 0;
		uint64_t t;

		while (num < BENCH_BATCH && num < left) {
			at = (at + 0x9E3779B1u) & (size - 1);
			if (!at || at > n)
				continue;
			numbers[num] = at;
			keys[num++] = key_nr(at, v6);
		}
		t = now_ns();
		for (uint32_t k = 0; k < num; k++)
			b->remove(table, &keys[k], numbers[k]);
		sum += now_ns() - t;
		left -= num;
	}
	return (double)sum / n;
}

static bool measure(const struct bench_table *b, uint32_t n, bool v6, struct figures *out)
{
	uint32_t ops = n < LEAST_OPS ? LEAST_OPS : n > MOST_OPS ? MOST_OPS : n & ~(BENCH_BATCH - 1u);
	double before = rss_bytes(), times[REPEAT];
	unsigned int repeat = opt.quick || n > 2000000 ? 1 : REPEAT;
	void *table = b->make(n);

	if (!table)
		return false;
	*out = (struct figures){ .table = b->name, .v6 = v6, .entries = n };
	times[0] = fill(b, table, n, v6, false);
	out->rss = (rss_bytes() - before) / n;
	out->hit = look_up(table, b->find, 1, n, v6, ops, ops);
	out->hit_batch = look_up(table, b->find_batch, 1, n, v6, ops, ops);
	out->miss = look_up(table, b->find, n + 1, n, v6, ops, 0);
	out->miss_batch = look_up(table, b->find_batch, n + 1, n, v6, ops, 0);

	out->insert = times[0];
	if (opt.find) {
		b->free(table);
		return true;
	}
	for (unsigned int r = 1; r < repeat; r++) {
		b->free(table);
		table = b->make(n);
		times[r] = fill(b, table, n, v6, false);
	}
	out->insert = median(times, repeat);
	times[0] = empty(b, table, n, v6);
	for (unsigned int r = 1; r < repeat; r++) {
		fill(b, table, n, v6, false);
		times[r] = empty(b, table, n, v6);
	}
	out->remove = median(times, repeat);
	b->free(table);
	table = b->make(n);
	out->slowest_insert = fill(b, table, n, v6, true);
	b->free(table);
	return true;
}

static void print_one(const struct figures *f, bool first)
{
	if (opt.json) {
		printf("%s\n  {\"table\": \"%s\", \"keys\": \"%s\", \"entries\": %u, \"hit_ns\": %.2f, \"hit_batch_ns\": %.2f, "
		       "\"miss_ns\": %.2f, \"miss_batch_ns\": %.2f, \"insert_ns\": %.1f, \"slowest_insert_ns\": %.0f, "
		       "\"remove_ns\": %.1f, \"bytes\": %.1f}", first ? "" : ",", f->table, f->v6 ? "IPv6" : "IPv4",
		       f->entries, f->hit, f->hit_batch, f->miss, f->miss_batch, f->insert, f->slowest_insert, f->remove, f->rss);
		fflush(stdout);
		return;
	}
	if (first)
		printf("%-13s %-5s %9s | %8s %8s %8s %8s | %7s %9s %7s | %7s\n%-13s %-5s %9s | %8s %8s %8s %8s | %7s %9s %7s | %7s\n",
		       "", "", "", "found", "found", "not", "not", "insert", "slowest", "remove", "bytes", "table", "keys",
		       "entries", "M/s", "M/s,batch", "M/s", "M/s,batch", "ns", "us", "ns", "resident");
	printf("%-13s %-5s %9u | %8.1f %9.1f %8.1f %9.1f | %7.0f %9.1f %7.0f | %7.0f\n", f->table, f->v6 ? "IPv6" : "IPv4", f->entries,
	       1e3 / f->hit, f->hit_batch ? 1e3 / f->hit_batch : 0, 1e3 / f->miss, f->miss_batch ? 1e3 / f->miss_batch : 0,
	       f->insert, f->slowest_insert / 1e3, f->remove, f->rss);
	fflush(stdout);
}

/* ---- timers ---- */

struct timer_figures {
	double set, put_off, expire, stop;
};

/* As large as what a timer lies in. */
struct timed {
	struct wheel_timer timer;
	uint8_t more[232];
};

#define SPREAD_MS 60000u

static struct timer_figures wheel_figures(uint32_t n)
{
	struct timed *all = calloc(n, sizeof(*all));
	struct timer_figures out;
	struct wheel *w = calloc(1, sizeof(*w));
	struct wheel_timer *x;
	uint32_t expired = 0;
	uint64_t t;

	if (!all || !w)
		abort();
	memset(all, 0, n * sizeof(*all));
	wheel_init(w, 1000000);
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_set(w, &all[i].timer, 1000000 + 1 + rnd(SPREAD_MS));
	out.set = (double)(now_ns() - t) / n;
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_set(w, &all[rnd(n)].timer, 1000000 + SPREAD_MS + rnd(SPREAD_MS));
	out.put_off = (double)(now_ns() - t) / n;
	t = now_ns();
	for (uint64_t ms = 1; ms <= 2 * SPREAD_MS; ms++) {
		unsigned int work = UINT32_MAX;

		if (wheel_wake_at(w) <= 1000000 + ms)
			while ((x = wheel_expire(w, 1000000 + ms, &work)))
				expired++;
	}
	out.expire = (double)(now_ns() - t) / n;
	if (expired != n)
		abort();
	for (uint32_t i = 0; i < n; i++)
		wheel_set(w, &all[i].timer, 2000000 + rnd(SPREAD_MS));
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		wheel_stop(w, &all[(i * 0x9E3779B1u) % n].timer);
	out.stop = (double)(now_ns() - t) / n;
	free(all);
	free(w);
	return out;
}

static void count_expired(uv_timer_t *t)
{
	++*(uint32_t *)t->data;
}

/* The heap of libuv. Expiry: all at once, after they have become due. */
static struct timer_figures uv_figures(uint32_t n)
{
	uv_timer_t *all = calloc(n, sizeof(*all));
	struct timer_figures out;
	uint32_t expired = 0;
	uv_loop_t loop;
	uint64_t t;

	if (!all || uv_loop_init(&loop) < 0)
		abort();
	for (uint32_t i = 0; i < n; i++) {
		uv_timer_init(&loop, &all[i]);
		all[i].data = &expired;
	}
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		uv_timer_start(&all[i], count_expired, 1000000 + rnd(SPREAD_MS), 0);
	out.set = (double)(now_ns() - t) / n;
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		uv_timer_start(&all[rnd(n)], count_expired, 1000000 + SPREAD_MS + rnd(SPREAD_MS), 0);
	out.put_off = (double)(now_ns() - t) / n;
	t = now_ns();
	for (uint32_t i = 0; i < n; i++)
		uv_timer_stop(&all[(i * 0x9E3779B1u) % n]);
	out.stop = (double)(now_ns() - t) / n;
	for (uint32_t i = 0; i < n; i++)
		uv_timer_start(&all[i], count_expired, 1 + rnd(50), 0);
	usleep(60000);
	uv_update_time(&loop);
	t = now_ns();
	while (expired < n)
		uv_run(&loop, UV_RUN_NOWAIT);
	out.expire = (double)(now_ns() - t) / n;
	for (uint32_t i = 0; i < n; i++)
		uv_close((uv_handle_t *)&all[i], NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
	free(all);
	return out;
}

static void print_timers(const char *name, uint32_t n, const struct timer_figures *f, bool first)
{
	if (opt.json) {
		printf("%s\n  {\"timers\": \"%s\", \"entries\": %u, \"set_ns\": %.1f, \"put_off_ns\": %.1f, \"expire_ns\": %.1f, "
		       "\"stop_ns\": %.1f}", first ? "" : ",", name, n, f->set, f->put_off, f->expire, f->stop);
		return;
	}
	if (first)
		printf("\n%-13s %15s | %8s %8s %8s %8s\n", "timers", "entries", "set, ns", "put off", "expire", "stop");
	printf("%-13s %15u | %8.0f %8.0f %8.0f %8.0f\n", name, n, f->set, f->put_off, f->expire, f->stop);
	fflush(stdout);
}

/* ---- memory ---- */

static void print_memory(uint32_t n, bool first)
{
	static const unsigned int in_flight[] = { 1, 8, 16, 32, 64 };
	static const uint32_t bytes[] = { 64, sizeof(struct flow) };

	for (size_t b = 0; b < sizeof(bytes) / sizeof(bytes[0]); b++) {
		if (!opt.json && first && !b)
			printf("\n%-13s %7s %9s | %s\n", "memory", "bytes", "entries", "million lines a second, 1, 8, 16, 32, 64 in flight");
		printf(opt.json ? "%s\n  {\"entries\": %u, \"entry_bytes\": %u, \"line_ns\": {" : "%s%21u %9u |",
		       !opt.json || (first && !b) ? "" : ",", opt.json ? n : bytes[b], opt.json ? bytes[b] : n);
		for (size_t i = 0; i < sizeof(in_flight) / sizeof(in_flight[0]); i++) {
			double ns = memory_line_ns(n, bytes[b], in_flight[i]);

			if (opt.json)
				printf("%s\"%u\": %.2f", i ? ", " : "", in_flight[i], ns);
			else
				printf(" %8.1f", 1e3 / ns);
		}
		printf(opt.json ? "}}" : "\n");
		fflush(stdout);
	}
}

/* ---- all of it ---- */

static bool wanted(const char *name)
{
	size_t len = strlen(name);

	for (const char *p = opt.only; p; p = strchr(p, ','), p += !!p)
		if (!strncmp(p, name, len) && (!p[len] || p[len] == ','))
			return true;
	return !opt.only;
}

static int usage(void)
{
	fprintf(stderr, "usage: flow_table [--json] [--quick] [--find] [--only TABLE|wheel|libuv|memory[,...]] [--least ENTRIES] [--most ENTRIES]\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = { 1024, 65536, 1048576, FLOW_TABLE_MAX };
	bool first = true;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			opt.json = true;
		else if (!strcmp(argv[i], "--quick"))
			opt.quick = true;
		else if (!strcmp(argv[i], "--find"))
			opt.find = true;
		else if (!strcmp(argv[i], "--only") && i + 1 < argc)
			opt.only = argv[++i];
		else if (!strcmp(argv[i], "--least") && i + 1 < argc)
			opt.least = (uint32_t)strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--most") && i + 1 < argc)
			opt.most = (uint32_t)strtoul(argv[++i], NULL, 10);
		else
			return usage();
	}
	if (opt.json)
		printf("{\"tables\": [");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]) && sizes[s] <= opt.most; s++) {
		if (sizes[s] < opt.least)
			continue;
		for (unsigned int v6 = 0; v6 < 2; v6++) {
			for (size_t i = 0; i < NUM_TABLES; i++) {
				struct figures f;

				if (!wanted(tables[i]->name) || !measure(tables[i], sizes[s], v6, &f))
					continue;
				print_one(&f, first);
				first = false;
			}
		}
	}
	first = true;
	if (opt.json)
		printf("\n], \"timers\": [");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]) && sizes[s] <= opt.most; s++) {
		struct timer_figures f;

		if (sizes[s] < opt.least)
			continue;
		if (wanted("wheel")) {
			f = wheel_figures(sizes[s]);
			print_timers("wheel", sizes[s], &f, first);
			first = false;
		}
		if (wanted("libuv")) {
			f = uv_figures(sizes[s]);
			print_timers("libuv", sizes[s], &f, first);
			first = false;
		}
	}
	first = true;
	if (opt.json)
		printf("\n], \"memory\": [");
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]) && sizes[s] <= opt.most; s++) {
		if (sizes[s] >= opt.least && wanted("memory")) {
			print_memory(sizes[s], first);
			first = false;
		}
	}
	if (opt.json)
		printf("\n]}\n");
	return 0;
}
