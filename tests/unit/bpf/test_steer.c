/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/steer.h"

#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_worker(void)
{
	unsigned int count[8] = { 0 };
	bool even = true;

	CHECK("symmetric", steer_worker(40000, 80, 8) == steer_worker(80, 40000, 8));
	CHECK("one worker", steer_worker(40000, 80, 1) == 0);
	/* Fixed for all time, because two versions must agree. */
	CHECK("a known value", steer_worker(40000, 5201, 65536) == 0xfa55);
	for (uint32_t port = 32768; port < 60999; port++)
		count[steer_worker((uint16_t)port, 5201, 8)]++;
	for (int i = 0; i < 8; i++)
		even = even && count[i] > 28231 / 8 * 9 / 10 && count[i] < 28231 / 8 * 11 / 10;
	CHECK("ephemeral ports spread within 10 %", even);
}

/* 10 000 flows from one client to one server port: how far the fullest or emptiest worker is from its share, in permille. */
static unsigned int unevenness(const uint16_t *ports, uint16_t server, uint32_t workers)
{
	unsigned int count[8] = { 0 }, worst = 0;

	for (int i = 0; i < 10000; i++)
		count[steer_worker(ports[i], server, workers)]++;
	for (uint32_t w = 0; w < workers; w++) {
		int off = (int)(count[w] * workers) - 10000;

		worst = (unsigned int)abs(off) / 10 > worst ? (unsigned int)abs(off) / 10 : worst;
	}
	return worst;
}

/* As kernels choose ports: one after the other, every second one (Linux: connect() has the odd or even ones), any. */
static void test_even(void)
{
	static const uint16_t servers[] = { 22, 80, 443, 993, 3306, 5201, 5432, 8080, 8443, 65535 };
	static const char *const names[] = { "consecutive ports", "every second port", "random ports" };
	unsigned int worst[3] = { 0 };
	uint16_t ports[10000];

	for (unsigned int how = 0; how < 3; how++) {
		for (uint32_t first = 32768; first <= 40001; first += 803) {
			uint64_t random = first;

			for (uint32_t i = 0; i < 10000; i++) {
				random = random * 6364136223846793005ull + 1442695040888963407ull;
				ports[i] = (uint16_t)(how < 2 ? first + i * (how + 1) : 32768 + (random >> 33) % 28232);
			}
			for (size_t s = 0; s < sizeof(servers) / sizeof(servers[0]); s++)
				for (uint32_t workers = 2; workers <= 8; workers++) {
					unsigned int u = unevenness(ports, servers[s], workers);

					worst[how] = u > worst[how] ? u : worst[how];
				}
		}
		printf("%s: at most %.1f %% from even\n", names[how], worst[how] / 10.0);
		CHECK(names[how], worst[how] <= 100);
	}
}

#define V4(frag_hi, frag_lo, proto)                                                                \
	0x45, 0, 0, 40, 0, 1, frag_hi, frag_lo, 64, proto, 0, 0, 10, 7, 1, 1, 10, 70, 1, 9
#define V6(next)                                                                                   \
	0x60, 0, 0, 0, 0, 20, next, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xfd,   \
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define PORTS 0x9c, 0x40, 0x14, 0x51 /* 40000, 5201 */

/* Packets and whether their ports decide; what does not decide goes to worker 0. */
static const struct {
	const char *why;
	size_t len;
	uint8_t pkt[64];
	bool by_ports;
} rows[] = {
	{ "IPv4 TCP", 24, { V4(0x40, 0, 6), PORTS }, true },
	{ "IPv4 UDP", 28, { V4(0, 0, 17), PORTS, 0, 8 }, true },
	{ "IPv4 options",
	  28,
	  { 0x46, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0, 10, 7, 1, 1, 10, 70, 1, 9, 1, 1, 1, 1, PORTS },
	  true },
	{ "IPv4 ICMP", 28, { V4(0, 0, 1), PORTS }, false },
	{ "IPv4 first fragment", 28, { V4(0x20, 0, 17), PORTS }, false },
	{ "IPv4 later fragment", 28, { V4(0, 185, 17), PORTS }, false },
	{ "IPv4 later fragment, high bits", 28, { V4(0x01, 0, 17), PORTS }, false },
	{ "IPv4 reserved bit is no fragment", 24, { V4(0x80, 0, 6), PORTS }, true },
	{ "IPv4 header length 16",
	  24,
	  { 0x44, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 7, 1, 1, PORTS },
	  false },
	{ "IPv4 without ports", 20, { V4(0, 0, 6) }, false },
	{ "IPv4 with half of the ports", 23, { V4(0, 0, 6), PORTS }, false },
	{ "IPv6 TCP", 44, { V6(6), PORTS }, true },
	{ "IPv6 UDP", 48, { V6(17), PORTS }, true },
	{ "IPv6 hop-by-hop", 52, { V6(0), 6, 0, 1, 4, 0, 0, 0, 0, PORTS }, false },
	{ "IPv6 fragment", 52, { V6(44), 17, 0, 0, 1, 0, 0, 0, 9, PORTS }, false },
	{ "IPv6 ICMPv6", 48, { V6(58), PORTS }, false },
	{ "IPv6 without ports", 40, { V6(6) }, false },
	{ "other version", 44, { 0x50, 0, 0, 0, 0, 20, 6, 64, 0, 6 }, false },
	{ "short", 9, { 0x45 }, false },
	{ "nothing", 0, { 0 }, false },
};

#define NUM_ROWS (sizeof(rows) / sizeof(rows[0]))

static void test_packet(void)
{
	for (size_t i = 0; i < NUM_ROWS; i++)
		for (uint32_t workers = 1; workers <= 8; workers++)
			CHECK(rows[i].why,
			      steer_packet(rows[i].pkt, rows[i].len, workers) ==
				      (rows[i].by_ports ? steer_worker(40000, 5201, workers) : 0));
}

/*
 * The program in the kernel on one packet. The kernel's test facility takes an Ethernet frame and
 * gives the program what is behind that header, as a TUN device does.
 */
static int run_in_kernel(int prog, const uint8_t *pkt, size_t len, uint32_t *worker)
{
	uint8_t frame[ETH_HLEN + 2048] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = (uint32_t)(ETH_HLEN + len), .repeat = 1);
	int err;

	frame[12] = 0x88; /* local experiments; as IP the facility would refuse what is too short */
	frame[13] = 0xb5;
	memcpy(frame + ETH_HLEN, pkt, len);
	err = bpf_prog_test_run_opts(prog, &opts);
	*worker = opts.retval;
	return err;
}

/* A random packet that is often a plausible one. */
static size_t random_packet(uint8_t *pkt)
{
	static const uint8_t protos[] = { 6, 17, 6, 17, 1, 58, 0, 43, 44, 60 };
	static const uint8_t first[] = { 0x45, 0x45, 0x46, 0x4f, 0x44, 0x60, 0x60, 0x6f };
	size_t len = 1 + (size_t)rand() % 120;

	for (size_t i = 0; i < 120; i++)
		pkt[i] = (uint8_t)rand();
	pkt[0] = first[(size_t)rand() % sizeof(first)];
	if (rand() % 4)
		pkt[6] = pkt[0] >> 4 == 4 ? 0x40 : protos[(size_t)rand() % sizeof(protos)];
	if (rand() % 4)
		pkt[7] = 0;
	pkt[9] = pkt[0] >> 4 == 4 ? protos[(size_t)rand() % sizeof(protos)] : pkt[9];
	return len;
}

static void test_kernel_agrees(void)
{
	static const uint32_t counts[] = { 1, 2, 3, 4, 7, 8 };
	uint8_t pkt[120];
	uint32_t worker;

	srand(1);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		uint32_t workers = counts[c];
		unsigned int differ = 0, spread = 0;
		int prog = steer_load(workers, false);

		if (prog < 0) {
			printf("  the kernel refuses BPF programs here (%s), not compared\n",
			       strerror(-prog));
			CHECK("refused for a known reason",
			      prog == -EPERM || prog == -ENOSYS || prog == -EACCES);
			return;
		}
		for (size_t i = 0; i < NUM_ROWS; i++) {
			if (!rows[i].len)
				continue; /* the kernel's test facility refuses an empty packet */
			CHECK(rows[i].why,
			      !run_in_kernel(prog, rows[i].pkt, rows[i].len, &worker) &&
				      worker == steer_packet(rows[i].pkt, rows[i].len, workers));
		}
		for (int i = 0; i < 5000; i++) {
			size_t len = random_packet(pkt);
			uint32_t want = steer_packet(pkt, len, workers);

			differ += run_in_kernel(prog, pkt, len, &worker) || worker != want;
			spread += want != 0;
		}
		CHECK("5000 random packets", !differ);
		CHECK("many of them go elsewhere than worker 0", workers == 1 || spread > 300);
		close(prog);
	}
	CHECK("no workers", steer_load(0, false) == -EINVAL);
}

const struct unit_test unit_tests[] = {
	{ "worker of two ports", test_worker },
	{ "even spread", test_even },
	{ "worker of a packet", test_packet },
	{ "BPF and C agree", test_kernel_agrees },
	{ 0 },
};
