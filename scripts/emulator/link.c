/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/link.h"

#include <math.h>
#include <string.h>

/*
 * The rate is a clock: @busy_until_ns says when all that was let in has left. The queue is what that is ahead of now,
 * so nothing waits in a queue of its own, and a late wake-up costs no rate. What was let in is in @line, whose times
 * only grow; what is held back for reordering is in @held.
 */

#define NS_PER_S 1000000000ull

const char *const link_counter_names[LINK_NUM_COUNTERS] = {
#define LINK_COUNTER_NAME(member, name) [LINK_##member] = #name,
	LINK_COUNTERS(LINK_COUNTER_NAME)
#undef LINK_COUNTER_NAME
};

/* splitmix64: each state is one step further, and its bits mixed are the number. */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static double to_unit(uint64_t v)
{
	return (double)(v >> 11) * 0x1p-53;
}

static bool chance(struct link_rng *rng, double p)
{
	rng->state += 0x9e3779b97f4a7c15;
	return to_unit(mix(rng->state)) < p;
}

uint64_t link_seed(uint64_t run_seed, uint32_t id, unsigned int direction)
{
	return mix(mix(run_seed + 0x9e3779b97f4a7c15) + 2ull * id + direction + 1);
}

void link_reseed(struct link_lane *lane, uint64_t seed, uint64_t now_ns)
{
	lane->seed = seed;
	lane->origin_ns = now_ns;
	lane->in_burst = false;
	lane->random.state = mix(seed + 1);
	lane->burst.state = mix(seed + 2);
	lane->reorder.state = mix(seed + 3);
	lane->duplicate.state = mix(seed + 4);
}

void link_init(struct link_lane *lane, struct parcel_pool *pool, uint64_t seed, uint64_t now_ns)
{
	memset(lane, 0, sizeof(*lane));
	lane->pool = pool;
	lane->line_end = &lane->line;
	link_reseed(lane, seed, now_ns);
}

static void put_all(struct parcel_pool *pool, struct parcel *p)
{
	while (p) {
		struct parcel *next = p->next;

		parcel_put(pool, p);
		p = next;
	}
}

void link_fini(struct link_lane *lane)
{
	put_all(lane->pool, lane->line);
	put_all(lane->pool, lane->held);
	lane->line = lane->held = NULL;
	lane->line_end = &lane->line;
	lane->inside = 0;
}

const char *link_check(const struct link_props *props)
{
	const double of_packets[] = { props->loss,	 props->burst_start, props->burst_end,
				      props->burst_loss, props->reorder,     props->duplicate };
	const uint64_t times[] = { props->queue_ns, props->delay_ns, props->jitter_ns, props->reorder_ns };

	for (size_t i = 0; i < sizeof(of_packets) / sizeof(of_packets[0]); i++)
		if (!(of_packets[i] >= 0 && of_packets[i] <= 1)) /* nor a NaN */
			return "a probability is not between 0 and 1";
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (times[i] > LINK_MAX_DELAY_NS)
			return "a time is above 60 s";
	if (props->rate_bit_s && (props->rate_bit_s < LINK_MIN_RATE || props->rate_bit_s > LINK_MAX_RATE))
		return "the rate is not between 1 kbit and 1 Tbit a second";
	if (props->queue_bytes > LINK_MAX_QUEUE_BYTES)
		return "the queue is above 1 GiB";
	if (props->burst_start > 0 && props->burst_end <= 0)
		return "bursts that begin have to end";
	if ((unsigned int)props->cut >= LINK_NUM_CUTS)
		return "no such kind of cut";
	return NULL;
}

void link_set(struct link_lane *lane, const struct link_props *props)
{
	if (!props->burst_start)
		lane->in_burst = false;
	if (!props->rate_bit_s)
		lane->busy_until_ns = 0;
	lane->busy_rest = 0;
	lane->props = *props;
}

/* What happens to a packet: PASS is LINK_DELIVERED. */
struct fate {
	enum link_counter verdict;
	bool held, twice;
	uint64_t left_ns; /* when its last byte has left the queue */
};

static bool burst_takes(struct link_lane *lane)
{
	const struct link_props *props = &lane->props;

	if (chance(&lane->burst, lane->in_burst ? props->burst_end : props->burst_start))
		lane->in_burst = !lane->in_burst;
	return lane->in_burst && chance(&lane->burst, props->burst_loss);
}

static uint64_t queue_limit_ns(const struct link_props *props)
{
	if (props->queue_bytes)
		return props->queue_bytes * 8 * NS_PER_S / props->rate_bit_s;
	return props->queue_ns ? props->queue_ns : LINK_QUEUE_NS;
}

/* The next packet of @wire bytes; each property that is on takes its random numbers, so that they count packets. */
static struct fate decide(struct link_lane *lane, uint64_t wire, uint64_t now_ns)
{
	const struct link_props *props = &lane->props;
	struct fate fate = { .verdict = LINK_DELIVERED, .left_ns = now_ns };
	bool random = props->loss > 0 && chance(&lane->random, props->loss);
	bool burst = props->burst_start > 0 && burst_takes(lane);

	fate.held = props->reorder > 0 && chance(&lane->reorder, props->reorder);
	fate.twice = props->duplicate > 0 && chance(&lane->duplicate, props->duplicate);
	if (random || burst) {
		fate.verdict = random ? LINK_LOST_RANDOM : LINK_LOST_BURST;
		return fate;
	}
	if (props->rate_bit_s) {
		uint64_t begin = lane->busy_until_ns > now_ns ? lane->busy_until_ns : now_ns;
		uint64_t took = wire * 8 * NS_PER_S + lane->busy_rest;
		uint64_t end = begin + took / props->rate_bit_s;

		/* An empty queue takes a packet of any size. */
		if (begin > now_ns && end - now_ns > queue_limit_ns(props)) {
			fate.verdict = LINK_LOST_QUEUE;
			return fate;
		}
		lane->busy_until_ns = fate.left_ns = end;
		lane->busy_rest = took % props->rate_bit_s;
	}
	return fate;
}

/* Delay of what leaves the queue at @t. */
static uint64_t delay_at(const struct link_lane *lane, uint64_t t)
{
	const struct link_props *props = &lane->props;
	uint64_t period = 2 * props->jitter_ns, n, late;

	if (!period)
		return props->delay_ns;
	n = (t - lane->origin_ns) / period;
	late = props->delay_ns + (uint64_t)(to_unit(mix(lane->seed + n * 0x9e3779b97f4a7c15)) * (double)period);
	return late > props->jitter_ns ? late - props->jitter_ns : 0;
}

static void count(struct link_lane *lane, enum link_counter what, const struct parcel *p, unsigned int first,
		  unsigned int packets)
{
	lane->counts[what].packets += packets;
	lane->counts[what].bytes += parcel_wire_bytes(p, first, packets) -
				    (uint64_t)packets * (p->overhead - p->counted);
}

static void append(struct link_lane *lane, struct parcel *p, uint64_t due_ns)
{
	lane->last_due_ns = due_ns;
	p->due_ns = due_ns;
	p->order = lane->next_order++;
	p->next = NULL;
	*lane->line_end = p;
	lane->line_end = &p->next;
	lane->inside += parcel_packets(p);
}

static void hold(struct link_lane *lane, struct parcel *p, uint64_t due_ns)
{
	struct parcel **at = &lane->held;

	while (*at && (*at)->due_ns <= due_ns)
		at = &(*at)->next;
	p->due_ns = due_ns;
	p->order = lane->next_order++;
	p->next = *at;
	*at = p;
	lane->inside += parcel_packets(p);
}

/* Packets @first ... of @p, which is given to the lane if they are all of it. Return: whether it was. */
static bool let_in(struct link_lane *lane, struct parcel *p, unsigned int first, unsigned int packets,
		   const struct fate *fate, uint64_t now_ns)
{
	uint64_t due_ns = fate->left_ns + delay_at(lane, fate->left_ns);
	bool whole = !first && packets == parcel_packets(p) && !fate->twice;
	struct parcel *in = whole ? p : parcel_slice(lane->pool, p, first, packets), *copy;

	if (!in) {
		count(lane, LINK_LOST_MEMORY, p, first, packets);
		return false;
	}
	if (due_ns < lane->last_due_ns)
		due_ns = lane->last_due_ns;
	if (due_ns > now_ns || fate->held)
		in = parcel_shrink(lane->pool, in);
	if (fate->held) {
		count(lane, LINK_REORDERED, in, 0, packets);
		hold(lane, in, due_ns + (lane->props.reorder_ns ? lane->props.reorder_ns : LINK_REORDER_BY_NS));
	} else {
		append(lane, in, due_ns);
	}
	if (!fate->twice)
		return whole;
	copy = parcel_slice(lane->pool, p, first, packets);
	if (copy) {
		count(lane, LINK_DUPLICATED, copy, 0, packets);
		append(lane, copy, due_ns);
	}
	return false;
}

static bool is_plain(const struct link_props *props)
{
	return !props->rate_bit_s && props->loss <= 0 && props->burst_start <= 0 && props->reorder <= 0 &&
	       props->duplicate <= 0;
}

static bool is_cut(const struct link_lane *lane, const struct parcel *p)
{
	return lane->props.cut == LINK_CUT_ALL || (lane->props.cut == LINK_CUT_SILENT && !parcel_is_bfd(p));
}

/* Whether @next goes on in one parcel with packets that have @fate, the first of which leaves at @began_ns. */
static bool same_fate(const struct fate *fate, const struct fate *next, uint64_t began_ns)
{
	if (fate->verdict != next->verdict)
		return false;
	return fate->verdict != LINK_DELIVERED || (!fate->held && !fate->twice && !next->held && !next->twice &&
						   next->left_ns - began_ns <= LINK_TRAIN_NS);
}

void link_enqueue(struct link_lane *lane, struct parcel *p, uint64_t now_ns)
{
	unsigned int packets = parcel_packets(p), first = 0, n;
	struct fate fate, next;
	bool given = false;

	count(lane, LINK_OFFERED, p, 0, packets);
	if (lane->props.cut != LINK_CUT_NONE && is_cut(lane, p)) {
		count(lane, LINK_LOST_CUT, p, 0, packets);
		parcel_put(lane->pool, p);
		return;
	}
	if (is_plain(&lane->props)) {
		fate = (struct fate){ .verdict = LINK_DELIVERED, .left_ns = now_ns };
		let_in(lane, p, 0, packets, &fate, now_ns);
		return;
	}
	next = decide(lane, parcel_wire_bytes(p, 0, 1), now_ns);
	while (first < packets) {
		uint64_t began_ns = next.left_ns;

		fate = next;
		for (n = 1; first + n < packets; n++) {
			next = decide(lane, parcel_wire_bytes(p, first + n, 1), now_ns);
			if (!same_fate(&fate, &next, began_ns))
				break;
			fate.left_ns = next.left_ns;
		}
		if (fate.verdict == LINK_DELIVERED)
			given = let_in(lane, p, first, n, &fate, now_ns);
		else
			count(lane, fate.verdict, p, first, n);
		first += n;
	}
	if (!given)
		parcel_put(lane->pool, p);
}

void link_refuse(struct link_lane *lane, const struct parcel *p)
{
	count(lane, LINK_OFFERED, p, 0, parcel_packets(p));
	count(lane, LINK_LOST_MEMORY, p, 0, parcel_packets(p));
}

static struct parcel *take_first(struct link_lane *lane)
{
	struct parcel *line = lane->line, *held = lane->held;

	if (held && (!line || held->due_ns < line->due_ns ||
		     (held->due_ns == line->due_ns && held->order < line->order))) {
		lane->held = held->next;
		return held;
	}
	lane->line = line->next;
	if (!lane->line)
		lane->line_end = &lane->line;
	return line;
}

struct parcel *link_dequeue(struct link_lane *lane, uint64_t now_ns)
{
	while (link_next(lane) <= now_ns) {
		struct parcel *p = take_first(lane);
		unsigned int packets = parcel_packets(p);

		lane->inside -= packets;
		if (lane->props.cut == LINK_CUT_NONE || !is_cut(lane, p)) {
			count(lane, LINK_DELIVERED, p, 0, packets);
			p->next = NULL;
			return p;
		}
		count(lane, LINK_LOST_CUT, p, 0, packets);
		parcel_put(lane->pool, p);
	}
	return NULL;
}
