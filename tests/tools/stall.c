/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The longest time without a byte delivered to a program.
 *
 *     stall receive PORT SECONDS [WINDOW_S]           takes one connection, reads for so long or to its end
 *     stall fetch ADDRESS PORT SECONDS [WINDOW_S]     connects and reads
 *     stall send ADDRESS PORT SECONDS [BYTES_PER_S [CONTROL]]   connects and sends
 *     stall serve PORT SECONDS [BYTES_PER_S [CONTROL]]          takes one connection and sends
 *
 * Who reads prints a line of JSON: bytes, the longest gap and when it began (ms since the first byte, and by CLOCK_MONOTONIC,
 * so that it can be compared with when a link was cut), and how many gaps were longer than 5, 10, 20, 50, 100, 200, 500
 * and 1000 ms. The first 200 ms do not count. With WINDOW_S a line before it for each so many seconds: bytes and the
 * longest gap that ended in them. CONTROL is a congestion control, BYTES_PER_S 0 as much as goes. MPTCP: mptcpize.
 */
#include "tests/tools/common.h"

#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define WARM_NS	     200000000ull
#define NUM_LIMITS   8

static const unsigned int limits_ms[NUM_LIMITS] = { 5, 10, 20, 50, 100, 200, 500, 1000 };
static char buffer[BUFFER_BYTES];

struct window {
	uint64_t ns, end, bytes, longest; /* ns 0: none are wanted */
};

static void window_take(struct window *w, uint64_t now, uint64_t bytes, uint64_t gap)
{
	if (!w->ns)
		return;
	if (!w->end)
		w->end = now + w->ns;
	while (now >= w->end) {
		printf("{\"window_bytes\": %llu, \"longest_ms\": %.1f}\n", (unsigned long long)w->bytes, (double)w->longest / 1e6);
		fflush(stdout);
		*w = (struct window){ .ns = w->ns, .end = w->end + w->ns };
	}
	w->bytes += bytes;
	w->longest = gap > w->longest ? gap : w->longest;
}

static void receive(int fd, uint64_t run_ns, uint64_t window_ns)
{
	uint64_t first = 0, last = 0, bytes = 0, longest = 0, longest_at = 0, gaps[NUM_LIMITS] = { 0 };
	struct window window = { .ns = window_ns };
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now;
		ssize_t n;
		int ready = poll(&p, 1, 20000);

		if (ready <= 0)
			break;
		n = recv(fd, buffer, sizeof(buffer), 0);
		now = now_ns();
		if (n <= 0)
			break;
		bytes += (uint64_t)n;
		if (!first)
			first = last = now;
		window_take(&window, now, (uint64_t)n, now - first > WARM_NS ? now - last : 0);
		if (now - first > WARM_NS) {
			uint64_t gap = now - last;

			if (gap > longest) {
				longest = gap;
				longest_at = last;
			}
			for (unsigned int i = 0; i < NUM_LIMITS; i++)
				gaps[i] += gap > limits_ms[i] * 1000000ull;
		}
		last = now;
		if (now - first > run_ns)
			break;
	}
	printf("{\"bytes\": %llu, \"seconds\": %.3f, \"longest_ms\": %.1f, \"began_ms\": %.1f, \"began_s\": %.6f, \"longer_than_ms\": {",
	       (unsigned long long)bytes, (double)(last - first) / 1e9, (double)longest / 1e6,
	       (double)(longest_at - first) / 1e6, (double)longest_at / 1e9);
	for (unsigned int i = 0; i < NUM_LIMITS; i++)
		printf("%s\"%u\": %llu", i ? ", " : "", limits_ms[i], (unsigned long long)gaps[i]);
	printf("}}\n");
}

static void send_all(int fd, uint64_t run_ns, uint64_t bytes_per_s)
{
	uint64_t began = now_ns(), sent = 0, end = began + run_ns;

	while (now_ns() < end) {
		size_t len = bytes_per_s ? 1400 : sizeof(buffer);
		ssize_t n = send(fd, buffer, len, MSG_NOSIGNAL);

		if (n < 0)
			break;
		sent += (uint64_t)n;
		while (bytes_per_s && now_ns() - began < sent * 1000000000ull / bytes_per_s)
			usleep(1000);
	}
}

static int take_one(uint16_t port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_STREAM, 0), one = 1, zero = 0, got;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 1) < 0)
		die("bind");
	got = accept(fd, NULL, NULL);
	if (got < 0)
		die("accept");
	return got; /* the listener stays: MPTCP has nobody else for subflows */
}

static int reach(const char *address, const char *port)
{
	struct sockaddr_storage to;
	socklen_t len = address_of(address, (uint16_t)atoi(port), &to);
	int fd = socket(to.ss_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&to, len) < 0)
		die("connect");
	return fd;
}

int main(int argc, char **argv)
{
	bool reads, takes;
	int fd, at = 2;
	uint64_t run_ns, rate = 0; /* or seconds of a window */

	if (argc < 4)
		return 2;
	reads = !strcmp(argv[1], "receive") || !strcmp(argv[1], "fetch");
	takes = !strcmp(argv[1], "receive") || !strcmp(argv[1], "serve");
	if (takes) {
		fd = take_one((uint16_t)atoi(argv[at++]));
	} else {
		if (argc < 5)
			return 2;
		fd = reach(argv[at], argv[at + 1]);
		at += 2;
	}
	run_ns = (uint64_t)(atof(argv[at++]) * 1e9);
	if (at < argc)
		rate = strtoull(argv[at], NULL, 10);
	if (!reads && at + 1 < argc && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, argv[at + 1], (socklen_t)strlen(argv[at + 1])) < 0)
		die("congestion control");
	if (reads)
		receive(fd, run_ns, rate * 1000000000ull);
	else
		send_all(fd, run_ns, rate);
	close(fd);
	return 0;
}
