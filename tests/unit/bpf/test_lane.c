/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/lane.h"
#include "bpf/steer.h"

#include "tests/unit/check.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS 1000000ull

static void test_leaves_and_returns(void)
{
	struct lane_flow f = { 0 };
	uint64_t now = 3600000 * MS;
	unsigned int n = 0;

	for (; n < 100 && !lane_is_bulk(&f, now, 1500); n++)
		now += 1000;
	CHECK("64 KiB at once are no bulk, more are", n >= LANE_BURST_BYTES / 1500 && n < LANE_BURST_BYTES / 1500 + 5);
	now += LANE_QUIET_NS - MS;
	CHECK("what may wait yet stays in its lane", lane_is_bulk(&f, now, 40));
	now += LANE_QUIET_NS - MS;
	CHECK("each packet puts that off", lane_is_bulk(&f, now, 40));
	CHECK("a CPU that is a moment behind does not end it", lane_is_bulk(&f, now - 1000, 40));
	now += LANE_QUIET_NS + MS;
	CHECK("back after quiet", !lane_is_bulk(&f, now, 40));
	CHECK("with the whole burst", !lane_is_bulk(&f, now, LANE_BURST_BYTES - 40));
	CHECK("and no more", lane_is_bulk(&f, now, 40));
}

static bool ever_bulk(uint32_t bytes, uint64_t every_ns, unsigned int packets)
{
	struct lane_flow f = { 0 };
	uint64_t now = MS;

	for (unsigned int i = 0; i < packets; i++, now += every_ns)
		if (lane_is_bulk(&f, now, bytes))
			return true;
	return false;
}

static void test_rates(void)
{
	static const struct {
		const char *why;
		uint32_t bytes;
		uint64_t every_ns;
		bool bulk;
	} rows[] = {
		{ "a request every 50 us", 53, 50000, false },
		{ "ACKs of a connection that receives 5 Gbit/s", 64, 90000, false },
		{ "100 Mbit/s of large segments", 1500, 120000, false },
		{ "a train of 57000 bytes every 5 ms", 57000, 5 * MS, false },
		{ "200 Mbit/s", 1500, 60000, true },
		{ "a train of 57000 bytes every 50 us", 57000, 50000, true },
		{ "64 bytes 400 000 times a second", 92, 2500, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CHECK(rows[i].why, ever_bulk(rows[i].bytes, rows[i].every_ns, 100000) == rows[i].bulk);
}

/* ---- a kernel and a worker, at random ---- */

#define FLOWS	  40
#define PLACES	  16 /* so that many share one */
#define PACKETS	  200000
#define NUM_LANES 2

struct packet {
	uint32_t flow, seq, len;
};

static struct {
	struct packet packets[PACKETS];
	unsigned int first, end;
} lanes[NUM_LANES];
static struct lane_flow places[PLACES];
static uint32_t sent[FLOWS], received[FLOWS];
static unsigned int num_sent, disorder;
static uint64_t now_ns;
static bool pausing; /* the programs */

/* What programs do between two steps of the worker. Flow 0 asks, some send all they can, others now and then. */
static void programs_send(void)
{
	for (int n = pausing ? 0 : rand() % 4; n > 0 && num_sent < PACKETS; n--) {
		uint32_t flow = rand() % 3 ? (uint32_t)rand() % 3 + 1 : (uint32_t)rand() % FLOWS;
		uint32_t len = flow && flow < 4 ? (uint32_t)rand() % 57000 + 40 : (uint32_t)rand() % 1460 + 40;
		bool bulk = lane_is_bulk(&places[flow % PLACES], now_ns, len);

		lanes[bulk].packets[lanes[bulk].end++] = (struct packet){ flow, sent[flow]++, len };
		num_sent++;
		now_ns += (uint64_t)rand() % 3000;
	}
}

static bool take_one(unsigned int lane, struct packet *p)
{
	programs_send();
	if (lanes[lane].first == lanes[lane].end)
		return false;
	*p = lanes[lane].packets[lanes[lane].first++];
	return true;
}

static void give(const struct packet *p)
{
	disorder += p->seq != received[p->flow];
	received[p->flow] = p->seq + 1;
}

/* As worker/out.c: some of the quick lane, or some of the other behind all that is in the quick one by then. */
static void worker_turn(void)
{
	struct packet held[64], p;
	unsigned int n = 0, done = 0, most = (unsigned int)rand() % 64 + 1;

	if (rand() % 2) {
		for (; done < most && take_one(0, &p); done++)
			give(&p);
		return;
	}
	while (n < most && take_one(1, &held[n]))
		n++;
	while (n && take_one(0, &p))
		give(&p);
	for (unsigned int i = 0; i < n; i++)
		give(&held[i]);
}

static bool waiting(void)
{
	return lanes[0].first < lanes[0].end || lanes[1].first < lanes[1].end;
}

static void test_order(void)
{
	bool all = true, both;

	srand(7);
	now_ns = MS;
	do {
		pausing = num_sent == PACKETS || rand() % 300 == 0;
		if (!pausing) {
			worker_turn();
			continue;
		}
		while (waiting()) /* long before the end of the pause the worker has read all */
			worker_turn();
		now_ns += LANE_QUIET_NS / 2 * (uint64_t)(rand() % 5);
	} while (num_sent < PACKETS || waiting());
	for (unsigned int f = 0; f < FLOWS; f++)
		all = all && received[f] == sent[f];
	both = lanes[0].end > PACKETS / 100 && lanes[1].end > PACKETS / 100;
	printf("  %u packets by the quick lane, %u by the other\n", lanes[0].end, lanes[1].end);
	CHECK("both lanes were used", both);
	CHECK("nothing is lost", all && lanes[0].end + lanes[1].end == PACKETS);
	CHECK("each flow in order", !disorder);
}

/* ---- the program in the kernel ---- */

static uint8_t frame[ETH_HLEN + 1500];

static int queue_of(int prog, uint16_t port, size_t len)
{
	static const uint8_t ip[] = { 0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 7, 1, 1, 10, 70, 1, 9 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)(ETH_HLEN + len), .repeat = 1);

	frame[12] = 0x88; /* as in test_steer.c */
	frame[13] = 0xb5;
	memcpy(frame + ETH_HLEN, ip, sizeof(ip));
	frame[ETH_HLEN + 20] = (uint8_t)(port >> 8);
	frame[ETH_HLEN + 21] = (uint8_t)port;
	frame[ETH_HLEN + 22] = 0x14;
	frame[ETH_HLEN + 23] = 0x51; /* 5201 */
	return bpf_prog_test_run_opts(prog, &opts) ? -1 : (int)opts.retval;
}

#define WORKERS 3

static void test_in_kernel(void)
{
	int prog = steer_load(WORKERS, true), quick = (int)steer_worker(40000, 5201, WORKERS), n = 0;
	bool mine = true;

	if (prog < 0) {
		printf("  the kernel refuses BPF programs here (%s)\n", strerror(-prog));
		CHECK("refused for a known reason", prog == -EPERM || prog == -ENOSYS || prog == -EACCES);
		return;
	}
	while (n < 1000 && queue_of(prog, 40000, 1500) == quick)
		n++;
	CHECK("bulk after 64 KiB", n >= LANE_BURST_BYTES / 1500 && n < 1000);
	CHECK("in the other queue of the same worker", queue_of(prog, 40000, 40) == quick + WORKERS);
	for (uint16_t port = 41000; port < 41200; port++)
		mine = mine && queue_of(prog, port, 1500) == (int)steer_worker(port, 5201, WORKERS);
	CHECK("others stay where they are", mine);
	usleep(LANE_QUIET_NS / 1000 + 20000);
	CHECK("back after quiet", queue_of(prog, 40000, 1500) == quick);
	close(prog);
	prog = steer_load(WORKERS, false);
	for (n = 0; n < 1000 && queue_of(prog, 40000, 1500) == quick; n++)
		;
	CHECK("without lanes there is one", n == 1000);
	close(prog);
}

const struct unit_test unit_tests[] = {
	{ "leaves and returns", test_leaves_and_returns },
	{ "rates", test_rates },
	{ "order of flows", test_order },
	{ "in the kernel", test_in_kernel },
	{ 0 },
};
