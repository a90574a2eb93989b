/* SPDX-License-Identifier: Apache-2.0 */
#include "scripts/emulator/link.h"

#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define US 1000ull
#define MS 1000000ull
#define S  1000000000ull

#define WIRE 1514 /* a packet of 1500 IP bytes */

static struct parcel_pool *pool;
static struct link_lane lane;

static void begin(uint64_t seed, const struct link_props *props)
{
	pool = parcel_pool_new(256u << 20);
	link_init(&lane, pool, seed, 0);
	CHECK("properties are right", !link_check(props));
	link_set(&lane, props);
}

static void end(void)
{
	const struct link_count *c = lane.counts;

	CHECK("what went in is somewhere",
	      c[LINK_OFFERED].packets + c[LINK_DUPLICATED].packets ==
		      c[LINK_DELIVERED].packets + c[LINK_LOST_RANDOM].packets + c[LINK_LOST_BURST].packets +
			      c[LINK_LOST_QUEUE].packets + c[LINK_LOST_CUT].packets + c[LINK_LOST_MEMORY].packets +
			      lane.inside);
	CHECK("nothing is lost for lack of memory", !c[LINK_LOST_MEMORY].packets);
	link_fini(&lane);
	parcel_pool_free(pool);
}

/* A packet or train of @packets, each with 1472 bytes of payload that begin with its number from @first. */
static struct parcel *make(uint32_t first, unsigned int packets)
{
	struct parcel *p = parcel_get(pool, PARCEL_MAX_BYTES);

	p->overhead = WIRE - 1472;
	p->len = packets * 1472;
	p->seg = packets > 1 ? 1472 : 0;
	memset(p->data, 0, 16); /* no SCION packet */
	for (unsigned int i = 0; i < packets; i++) {
		uint32_t number = first + i;

		memcpy(p->data + 1472 * i, &number, sizeof(number));
	}
	return p;
}

static uint32_t number_of(const struct parcel *p, unsigned int i)
{
	uint32_t number;

	memcpy(&number, p->data + 1472 * i, sizeof(number));
	return number;
}

static void send_packets(uint32_t first, unsigned int packets, uint64_t now)
{
	link_enqueue(&lane, make(first, packets), now);
}

/* What comes out until @until: into @seen how often each number did. Return: packets. */
static unsigned int receive(uint64_t until, uint8_t *seen)
{
	unsigned int n = 0;

	while (link_next(&lane) <= until) {
		struct parcel *p = link_dequeue(&lane, link_next(&lane));

		if (!p)
			break;
		for (unsigned int i = 0; i < parcel_packets(p); i++, n++)
			if (seen)
				seen[number_of(p, i)]++;
		parcel_put(pool, p);
	}
	return n;
}

static void test_nothing(void)
{
	struct link_props none = { 0 };
	struct parcel *p, *out;

	begin(1, &none);
	CHECK("an empty lane waits for nothing", link_next(&lane) == UINT64_MAX && !link_dequeue(&lane, S));
	p = make(0, 40);
	link_enqueue(&lane, p, 5 * MS);
	CHECK("it is due at once", link_next(&lane) == 5 * MS);
	out = link_dequeue(&lane, 5 * MS);
	CHECK("a train comes out as it went in, not copied", out == p && parcel_packets(out) == 40);
	parcel_put(pool, out);
	CHECK("counted", lane.counts[LINK_DELIVERED].packets == 40 &&
				 lane.counts[LINK_DELIVERED].bytes == 40 * 1472 && !lane.inside);
	end();
}

static void test_delay(void)
{
	struct link_props props = { .delay_ns = 10 * MS };

	begin(1, &props);
	send_packets(0, 1, 3 * MS);
	send_packets(1, 30, 4 * MS);
	CHECK("inside", lane.inside == 31 && link_next(&lane) == 13 * MS);
	CHECK("not before it is time", !link_dequeue(&lane, 13 * MS - 1));
	CHECK("the first", receive(13 * MS, NULL) == 1);
	CHECK("the train", receive(14 * MS, NULL) == 30);
	send_packets(31, 1, 20 * MS);
	props.delay_ns = 1 * MS;
	link_set(&lane, &props);
	send_packets(32, 1, 21 * MS);
	CHECK("a shorter delay overtakes nothing", link_next(&lane) == 30 * MS && receive(30 * MS, NULL) == 2);
	end();
}

/* What arrives in 1 s at @rate when more than that is sent, as packets and as trains. */
static void rate_case(uint64_t rate, unsigned int train)
{
	struct link_props props = { .rate_bit_s = rate };
	uint64_t gap = train * WIRE * 8 * S / rate * 4 / 5, bits; /* a quarter more than it carries */
	unsigned int got = 0;

	begin(1, &props);
	for (uint64_t t = 0; t < S; t += gap) {
		send_packets(0, train, t);
		got += receive(t, NULL);
	}
	got += receive(S, NULL);
	bits = got * WIRE * 8ull;
	CHECK("the rate within a queue's granularity", bits <= rate + WIRE * 8ull &&
							       bits + rate / 1000 + LINK_TRAIN_NS * rate / S + 2 * WIRE * 8 > rate);
	CHECK("the queue was full", lane.counts[LINK_LOST_QUEUE].packets);
	CHECK("50 ms are in the queue", lane.inside * WIRE * 8 <= rate / 20 + 64 * WIRE * 8 &&
						lane.inside * WIRE * 8 + 64 * WIRE * 8 >= rate / 20);
	end();
}

static void test_rate(void)
{
	for (unsigned int train = 1; train <= 40; train += 39) {
		if (train == 1)
			rate_case(5000000, train); /* a long train is more than the queue holds */
		rate_case(20000000, train);
		rate_case(300000000, train);
		rate_case(1000000000, train);
		rate_case(10000000000, train);
	}
}

static void test_rate_of_one_packet(void)
{
	struct link_props props = { .rate_bit_s = WIRE * 8 * 1000 }; /* one a millisecond */

	begin(1, &props);
	send_packets(0, 4, 10 * MS);
	for (unsigned int i = 1; i <= 4; i++)
		CHECK("packets of a train leave one by one on a slow link",
		      link_next(&lane) == (10 + i) * MS && receive((10 + i) * MS, NULL) == 1);
	end();
}

static void test_queue_limit(void)
{
	struct link_props props = { .rate_bit_s = WIRE * 8 * 1000, .queue_bytes = 10 * WIRE };

	begin(1, &props);
	send_packets(0, 40, 0);
	CHECK("as many as fit, in bytes", lane.inside == 10 && lane.counts[LINK_LOST_QUEUE].packets == 30);
	receive(S, NULL);
	props.queue_bytes = 0;
	props.queue_ns = 7 * MS;
	link_set(&lane, &props);
	send_packets(0, 40, 2 * S);
	CHECK("as many as fit, in time", lane.inside == 7);
	receive(3 * S, NULL);
	props.queue_ns = 100 * US;
	link_set(&lane, &props);
	send_packets(0, 40, 4 * S);
	CHECK("an empty queue takes one of any size", lane.inside == 1);
	end();
}

#define MANY 200000

/* How many of MANY packets are lost; what was lost goes to @lost. */
static unsigned int lose(uint64_t seed, const struct link_props *props, unsigned int train, uint8_t *lost)
{
	uint8_t *seen = calloc(MANY, 1);
	unsigned int got;

	begin(seed, props);
	for (uint32_t i = 0; i < MANY; i += train) {
		send_packets(i, train, i * 10 * US);
		receive(i * 10 * US, seen);
	}
	receive(UINT64_MAX - 1, seen);
	got = lane.counts[LINK_DELIVERED].packets;
	for (uint32_t i = 0; i < MANY; i++)
		lost[i] = !seen[i];
	free(seen);
	end();
	return MANY - got;
}

static uint8_t lost_a[MANY], lost_b[MANY];

static void test_random_loss(void)
{
	const double rates[] = { 0.0001, 0.01, 0.05, 0.5, 1 };

	for (size_t i = 0; i < 5; i++) {
		double p = rates[i], sigma = sqrt(MANY * p * (1 - p));
		struct link_props props = { .loss = p };
		unsigned int lost = lose(7, &props, 1, lost_a);

		CHECK("within 4 sigma of the binomial", fabs(lost - MANY * p) <= 4 * sigma);
		CHECK("trains lose the same packets",
		      lose(7, &props, 40, lost_b) == lost && !memcmp(lost_a, lost_b, MANY));
		if (p < 1)
			CHECK("another seed loses others", (lose(8, &props, 1, lost_b), memcmp(lost_a, lost_b, MANY)));
	}
}

static void test_bursts(void)
{
	struct link_props props = { .burst_start = 0.002, .burst_end = 0.05, .burst_loss = 1 };
	unsigned int lost = lose(3, &props, 1, lost_a), bursts = 0;
	double share = 0.002 / (0.002 + 0.05);

	for (uint32_t i = 1; i < MANY; i++)
		bursts += lost_a[i] && !lost_a[i - 1];
	CHECK("the share of packets in bursts", fabs(lost / (double)MANY - share) < share / 5);
	CHECK("bursts are as long as they should be", fabs(lost / (double)bursts - 20) < 3);
	CHECK("trains lose the same packets", lose(3, &props, 40, lost_b) == lost && !memcmp(lost_a, lost_b, MANY));
	props.loss = 0.01;
	props.burst_loss = 0.5;
	lost = lose(3, &props, 1, lost_b);
	CHECK("half of a burst, and random ones", fabs(lost / (double)MANY - share / 2 - 0.01) < share / 5);
}

static void test_one_property_does_not_change_another(void)
{
	struct link_props props = { .loss = 0.02 };
	unsigned int lost = lose(11, &props, 1, lost_a);

	props.duplicate = 0.1;
	props.reorder = 0.1;
	props.delay_ns = 3 * MS;
	props.jitter_ns = 1 * MS;
	(void)lose(11, &props, 40, lost_b);
	CHECK("the same packets are lost", lost && !memcmp(lost_a, lost_b, MANY));
}

static void test_jitter(void)
{
	struct link_props props = { .delay_ns = 50 * MS, .jitter_ns = 20 * MS };
	unsigned int below[4] = { 0 }, n = 20000;
	uint64_t least = UINT64_MAX, most = 0, last = 0;
	double sum = 0;

	begin(5, &props);
	for (uint32_t i = 0; i < n; i++) { /* far apart: none waits for another */
		uint64_t t = i * 97 * MS, delay;

		send_packets(0, 1, t);
		delay = link_next(&lane) - t;
		CHECK("none is lost", receive(t + S, NULL) == 1);
		sum += delay;
		least = delay < least ? delay : least;
		most = delay > most ? delay : most;
		for (unsigned int q = 0; q < 4; q++)
			below[q] += delay < (30 + 10 * (q + 1)) * MS;
	}
	CHECK("the mean is the delay", fabs(sum / n - 50.0 * MS) < 0.5 * MS);
	CHECK("between delay - jitter and delay + jitter", least >= 30 * MS && most <= 70 * MS && least < 31 * MS &&
								   most > 69 * MS);
	for (unsigned int q = 0; q < 4; q++)
		CHECK("uniform", fabs(below[q] / (double)n - (q + 1) / 4.0) < 0.02);
	end();

	props.delay_ns = 5 * MS;
	begin(5, &props);
	for (uint32_t i = 0, next = 0; i < 20000; i++) { /* close together */
		uint64_t now = i * 100 * US;

		send_packets(i, 1, now);
		while (link_next(&lane) <= now) {
			uint64_t t = link_next(&lane);
			struct parcel *p = link_dequeue(&lane, now);

			CHECK("in order of time and number", t >= last && number_of(p, 0) == next++);
			CHECK("never negative", t >= number_of(p, 0) * 100 * US);
			last = t;
			parcel_put(pool, p);
		}
	}
	receive(UINT64_MAX - 1, NULL);
	end();
}

static void test_reordering(void)
{
	struct link_props props = { .delay_ns = 10 * MS, .reorder = 0.01, .reorder_ns = 2 * MS };
	unsigned int behind = 0, most = 0, n = 100000;
	uint64_t held;

	begin(9, &props);
	for (uint32_t i = 0, next = 0; i < n; i += 10) {
		send_packets(i, 10, i * 100 * US);
		while (link_next(&lane) <= i * 100 * US) {
			struct parcel *p = link_dequeue(&lane, i * 100 * US);

			for (unsigned int k = 0; k < parcel_packets(p); k++) {
				uint32_t number = number_of(p, k);

				if (number < next) {
					behind++;
					most = next - number > most ? next - number : most;
				} else {
					next = number + 1;
				}
			}
			parcel_put(pool, p);
		}
	}
	receive(UINT64_MAX - 1, NULL);
	held = lane.counts[LINK_REORDERED].packets;
	CHECK("one of a hundred is held back", held > 800 && held < 1200);
	CHECK("so others overtake it", behind > held * 8 / 10 && behind <= held);
	CHECK("those of 2 ms: 20, and what is in its train", most >= 20 && most <= 40);
	CHECK("nothing is lost", lane.counts[LINK_DELIVERED].packets == n);
	end();
}

static void test_duplication(void)
{
	static uint8_t seen[MANY];
	struct link_props props = { .duplicate = 0.05 };
	unsigned int twice = 0;

	memset(seen, 0, sizeof(seen));
	begin(2, &props);
	for (uint32_t i = 0; i < MANY; i += 40) {
		send_packets(i, 40, i * US);
		receive(i * US, seen);
	}
	for (uint32_t i = 0; i < MANY; i++) {
		CHECK("once or twice", seen[i] == 1 || seen[i] == 2);
		twice += seen[i] == 2;
	}
	CHECK("5 of 100 twice", fabs(twice - MANY * 0.05) < 4 * sqrt(MANY * 0.05 * 0.95));
	CHECK("counted", lane.counts[LINK_DUPLICATED].packets == twice);
	end();
}

static void set_cut(struct link_props *props, enum link_cut cut)
{
	props->cut = cut;
	link_set(&lane, props);
}

static void test_cut(void)
{
	struct link_props props = { .delay_ns = 10 * MS };
	struct parcel *bfd;

	begin(1, &props);
	send_packets(0, 5, 0);
	set_cut(&props, LINK_CUT_ALL);
	send_packets(5, 5, 1 * MS);
	CHECK("what is inside is lost as well", !receive(S, NULL) && lane.counts[LINK_LOST_CUT].packets == 10);
	set_cut(&props, LINK_CUT_NONE);
	send_packets(10, 5, 2 * MS);
	CHECK("and back", receive(S, NULL) == 5);

	set_cut(&props, LINK_CUT_SILENT);
	send_packets(15, 5, S);
	bfd = make(0, 1);
	bfd->data[4] = 203;
	link_enqueue(&lane, bfd, S);
	CHECK("only BFD passes", receive(2 * S, NULL) == 1 && lane.counts[LINK_LOST_CUT].packets == 15);
	set_cut(&props, LINK_CUT_ALL);
	bfd = make(0, 1);
	bfd->data[4] = 203;
	link_enqueue(&lane, bfd, 2 * S);
	CHECK("nor that", !receive(3 * S, NULL));
	end();
}

static void test_a_full_pool(void)
{
	struct link_props props = { .delay_ns = S };
	unsigned int sent = 0;

	pool = parcel_pool_new(1 << 20);
	link_init(&lane, pool, 1, 0);
	link_set(&lane, &props);
	for (;;) {
		struct parcel *p = parcel_get(pool, PARCEL_MAX_BYTES);

		if (!p)
			break;
		p->len = 100;
		link_enqueue(&lane, p, 0);
		sent++;
	}
	CHECK("small packets lie in small places", sent > 300);
	CHECK("and all come out", receive(S, NULL) == sent);
	props.duplicate = 1;
	link_set(&lane, &props);
	for (unsigned int i = 0; i < 50; i++) {
		struct parcel *p = parcel_get(pool, PARCEL_MAX_BYTES);

		if (!p)
			break;
		p->len = 65000;
		p->seg = 1000;
		link_enqueue(&lane, p, S);
	}
	CHECK("what has no place is counted", lane.counts[LINK_LOST_MEMORY].packets);
	link_fini(&lane);
	parcel_pool_free(pool);
}

static void test_check(void)
{
	struct link_props bad[] = {
		{ .loss = 1.1 }, { .loss = -0.1 }, { .loss = NAN }, { .burst_start = 0.1 }, { .duplicate = 2 },
		{ .reorder = 2 }, { .burst_loss = 2 }, { .rate_bit_s = 999 }, { .rate_bit_s = 2000000000000 },
		{ .delay_ns = 61 * S }, { .jitter_ns = 61 * S }, { .queue_bytes = 1ull << 31 }, { .cut = LINK_NUM_CUTS },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK("refused", link_check(&bad[i]));
	CHECK("directions and links have seeds of their own",
	      link_seed(1, 1, 0) != link_seed(1, 1, 1) && link_seed(1, 1, 0) != link_seed(1, 2, 0) &&
		      link_seed(1, 1, 0) != link_seed(2, 1, 0) && link_seed(1, 1, 1) == link_seed(1, 1, 1));
}

/* Whatever the properties and the sizes: nothing vanishes, and time only grows. */
static void test_anything(void)
{
	srand(1);
	for (unsigned int round = 0; round < 300; round++) {
		struct link_props props = { .delay_ns = rand() % (20 * MS), .jitter_ns = rand() % 3 * MS };
		uint64_t now = 0, last = 0;

		props.rate_bit_s = rand() % 2 ? 1000000 + rand() % 1000000000 : 0;
		props.loss = rand() % 2 ? 0.1 : 0;
		props.burst_start = rand() % 2 ? 0.01 : 0;
		props.burst_end = props.burst_loss = 0.3;
		props.reorder = rand() % 2 ? 0.1 : 0;
		props.duplicate = rand() % 2 ? 0.1 : 0;
		begin(round, &props);
		for (unsigned int i = 0; i < 200; i++) {
			now += rand() % (2 * MS);
			send_packets(i, 1 + rand() % 43, now);
			while (link_next(&lane) <= now) {
				uint64_t t = link_next(&lane);
				struct parcel *p = link_dequeue(&lane, now);

				CHECK("in order of time", t >= last);
				last = t;
				if (p)
					parcel_put(pool, p);
			}
			if (rand() % 50 == 0) {
				props.cut = rand() % LINK_NUM_CUTS;
				props.delay_ns = rand() % (20 * MS);
				link_set(&lane, &props);
			}
		}
		end();
	}
}

const struct unit_test unit_tests[] = {
	{ "nothing", test_nothing },
	{ "delay", test_delay },
	{ "rate", test_rate },
	{ "rate of one packet", test_rate_of_one_packet },
	{ "queue limit", test_queue_limit },
	{ "random loss", test_random_loss },
	{ "bursts", test_bursts },
	{ "properties are independent", test_one_property_does_not_change_another },
	{ "jitter", test_jitter },
	{ "reordering", test_reordering },
	{ "duplication", test_duplication },
	{ "cut", test_cut },
	{ "a full pool", test_a_full_pool },
	{ "what can be", test_check },
	{ "anything", test_anything },
	{ NULL, NULL },
};
